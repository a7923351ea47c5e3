//! The only place where numbers change their type with a chance of loss; each says what happens then.

use std::time::Duration;

/// Nanoseconds of a duration; saturates after 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds of a duration as event time counts them; saturates after 292,000 years.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A count as a float, exact below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and sizes stay far below 2^53"
)]
pub const fn count_to_f64(count: u64) -> f64 {
    count as f64
}

/// A size as a 64-bit count: no supported machine has wider pointers.
pub const fn size(size: usize) -> u64 {
    size as u64
}

/// A 64-bit count as an index; saturates on narrower machines.
pub fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A float of seconds as a duration; negative and not-a-number become zero, too large saturates.
pub fn seconds(seconds: f64) -> Duration {
    if seconds.is_nan() || seconds <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// A float rounded to the nearest integer; not-a-number becomes 0, the ends saturate.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float-to-integer cast saturates, which is what is promised"
)]
pub const fn round(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_saturates() {
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        assert_eq!(micros(Duration::MAX), i64::MAX);
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(f64::INFINITY), Duration::MAX);
        assert_eq!(round(f64::NAN), 0);
        assert_eq!(round(1e300), i64::MAX);
    }
}
