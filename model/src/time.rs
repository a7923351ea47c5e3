//! Time as an input: instants of one host, times of the data, and the clock that a driver hands in.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::convert;

/// A moment on one host, in nanoseconds since its driver started.
///
/// Instants of different hosts have nothing to do with each other, so this type cannot be serialized: what
/// crosses the wire is a [`Duration`]. In the simulator an instant is virtual.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment at which a driver, or a simulation, starts.
    pub const ZERO: Self = Self(0);

    /// The instant this many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment that lies `duration` before this one, or the start.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(convert::nanos(duration)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates after 584 years.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(convert::nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", Duration::from_nanos(self.0))
    }
}

/// A signed span of time in nanoseconds: a budget, or what a budget leaves.
///
/// Negative where the target is out of reach already.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bincode::Encode, bincode::Decode,
)]
pub struct Slack(i64);

impl Slack {
    /// More than any target leaves.
    pub const MAX: Self = Self(i64::MAX);

    /// This many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// What is left after `spent`. [`Slack::MAX`] is no budget at all, and stays so.
    #[must_use]
    pub fn less(self, spent: Duration) -> Self {
        if self == Self::MAX {
            return self;
        }
        Self(
            self.0
                .saturating_sub(i64::try_from(spent.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// In seconds, for people.
    pub fn as_seconds(self) -> f64 {
        Duration::from_nanos(self.0.unsigned_abs())
            .as_secs_f64()
            .copysign(if self.0 < 0 { -1.0 } else { 1.0 })
    }
}

impl From<Duration> for Slack {
    fn from(duration: Duration) -> Self {
        Self::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}s", self.as_seconds())
    }
}

/// What a driver hands to everything that needs to know the time.
///
/// The node's reads the machine's monotonic clock, the simulator's is a variable.
pub trait Clock: Send + Sync {
    /// The time since the start; never decreases.
    fn now(&self) -> Instant;

    /// The processor time that the calling thread has used.
    ///
    /// Only differences on one thread mean anything.
    fn thread_cpu(&self) -> Duration;
}

/// A time in the data, in microseconds since the Unix epoch; negative before it.
///
/// Event times are ordered and subtracted, never compared with an [`Instant`].
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    bincode::Encode,
    bincode::Decode,
)]
pub struct EventTime(pub i64);

impl EventTime {
    /// As progress: nothing is known yet.
    pub const MIN: Self = Self(i64::MIN);
    /// As progress: the origin has ended, no row will follow.
    pub const MAX: Self = Self(i64::MAX);

    /// This many microseconds later; saturates.
    pub const fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The time from `earlier` to here; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This many microseconds earlier; saturates.
    pub const fn minus(self, micros: i64) -> Self {
        Self(self.0.saturating_sub(micros))
    }
}

/// A time in milliseconds as people read it, with as many digits as they need: `0.001 ms`, `5.77 ms`, `42.1 ms`, `250 ms`.
pub fn milliseconds(value: f64) -> String {
    match value.abs() {
        size if size > 0.0 && size < 0.001 => format!("{value:.6} ms"),
        size if size < 1.0 => format!("{value:.3} ms"),
        size if size < 10.0 => format!("{value:.2} ms"),
        size if size < 100.0 => format!("{value:.1} ms"),
        _ => format!("{value:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        let early = Instant::from_nanos(5);
        let late = Instant::from_nanos(12);
        assert_eq!(late - early, Duration::from_nanos(7));
        assert_eq!(early - late, Duration::ZERO);
        assert_eq!(early.before(Duration::from_secs(1)), Instant::ZERO);
        assert_eq!(late + Duration::MAX, Instant::from_nanos(u64::MAX));
    }

    #[test]
    fn progress_saturates_at_its_ends() {
        assert_eq!(EventTime::MAX.plus(1), EventTime::MAX);
        assert_eq!(EventTime::MIN.minus(1), EventTime::MIN);
    }

    #[test]
    fn times_have_as_many_digits_as_people_need() {
        for (value, expected) in [
            (0.0, "0.000 ms"),
            (0.0004, "0.000400 ms"),
            (0.001, "0.001 ms"),
            (5.768, "5.77 ms"),
            (42.06, "42.1 ms"),
            (250.0, "250 ms"),
        ] {
            assert_eq!(milliseconds(value), expected);
        }
    }
}
