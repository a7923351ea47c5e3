//! Times that were measured, and what they come to: since the start, and in the last minute.
//!
//! A histogram forgets nothing, so that after a bad hour it tells of that hour for days. Beside the one of all times there is therefore one of
//! the last minute. Both grow with the longest time that was measured and not with how many were.

use std::time::Duration;

use hdrhistogram::Histogram;
use model::{Instant, convert};

use crate::report::{Spread, Spreads};

/// How long a half of what is recent lasts: what is told of is between half a minute and a minute old.
///
/// Unit: time. Range: well above how often somebody asks, so that each batch is in some answer. Source: guess.
const HALF: Duration = Duration::from_secs(30);

/// The longest time that is told apart from longer ones. Unit: time. Source: guess; who waits longer is told so all the same.
const LONGEST: Duration = Duration::from_hours(24);

/// How exactly times are told apart, and from which on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Precision {
    /// Unit: time.
    least: Duration,
    /// Unit: significant decimal digits.
    digits: u8,
}

impl Precision {
    /// Of delays: to one in a hundred. Source: guess; at delays of up to a second 20 KiB for those since the start.
    pub(crate) const DELAYS: Self = Self {
        least: Duration::from_micros(1),
        digits: 2,
    };
    /// Of how long batches wait and run: to one in sixteen. Source: guess; up to a second 3 KiB, since each component has two.
    pub(crate) const BATCHES: Self = Self {
        least: Duration::from_nanos(100),
        digits: 1,
    };

    fn histogram(self) -> Histogram<u64> {
        let least = convert::nanos(self.least);
        let mut histogram = Histogram::new_with_bounds(least, 2 * least, self.digits)
            .expect("the greatest is twice the least, and at most five digits are asked for");
        histogram.auto(true);
        histogram
    }
}

/// How many times are gathered before they are put into a histogram: together, since that lies far from what else a batch needs.
///
/// Unit: count. Source: two cache lines.
const GATHERED: usize = 16;

/// Times that were measured.
#[derive(Debug)]
pub(crate) struct Times {
    /// What is in no histogram yet, in nanoseconds; all of it counts in the newer half of what is recent.
    gathered: [u64; GATHERED],
    gathered_count: usize,
    total_nanos: u64,
    count: u64,
    /// When the newer half of what is recent was begun.
    since: Instant,
    sorted: Box<Sorted>,
}

/// Times in histograms.
#[derive(Debug)]
struct Sorted {
    precision: Precision,
    /// What is not recent any more.
    old: Histogram<u64>,
    recent: Recent<Option<Histogram<u64>>>,
}

impl Times {
    pub(crate) fn new(precision: Precision) -> Self {
        Self {
            gathered: [0; GATHERED],
            gathered_count: 0,
            total_nanos: 0,
            count: 0,
            since: Instant::ZERO,
            sorted: Box::new(Sorted {
                precision,
                old: precision.histogram(),
                recent: Recent::default(),
            }),
        }
    }

    /// Something took so long.
    pub(crate) fn note(&mut self, now: Instant, time: Duration) {
        let nanos = convert::nanos(time);
        self.total_nanos = self.total_nanos.saturating_add(nanos);
        self.count += 1;
        if self.gathered_count == GATHERED || now.since(self.since) >= HALF {
            self.since = self.sorted.take(now, &self.gathered[..self.gathered_count]);
            self.gathered_count = 0;
        }
        self.gathered[self.gathered_count] = nanos;
        self.gathered_count += 1;
    }

    /// How many there are, and all of them together, since the start.
    pub(crate) const fn total(&self) -> (u64, Duration) {
        (self.count, Duration::from_nanos(self.total_nanos))
    }

    /// What they come to.
    pub(crate) fn spreads(&self, now: Instant) -> Spreads {
        let Sorted {
            precision,
            old,
            recent: halves,
        } = &*self.sorted;
        let gathered = &self.gathered[..self.gathered_count];
        let mut all = old.clone();
        record(&mut all, gathered);
        for half in halves.all() {
            add(&mut all, half.as_ref());
        }
        let mut recent = precision.histogram();
        for half in halves.halves(now) {
            add(&mut recent, half.as_ref());
        }
        if halves.has_newer(now) {
            record(&mut recent, gathered);
        }
        Spreads {
            all: spread(&all),
            recent: spread(&recent),
            total: Duration::from_nanos(self.total_nanos),
        }
    }
}

impl Sorted {
    /// Puts what was gathered where it belongs, and ends the newer half of what is recent where that is over. Says when that was begun.
    fn take(&mut self, now: Instant, gathered: &[u64]) -> Instant {
        if !gathered.is_empty() {
            let newer = &mut self.recent.newer;
            let newer = newer.get_or_insert_with(|| self.precision.histogram());
            record(newer, gathered);
        }
        let old = &mut self.old;
        self.recent.at(now, |half| add(old, half.as_ref()));
        self.recent.since
    }
}

fn add(to: &mut Histogram<u64>, half: Option<&Histogram<u64>>) {
    if let Some(half) = half {
        to.add(half)
            .expect("a histogram grows for what another one holds");
    }
}

fn record(to: &mut Histogram<u64>, nanos: &[u64]) {
    for nanos in nanos {
        to.record((*nanos).min(convert::nanos(LONGEST)))
            .expect("a histogram grows for times up to the longest");
    }
}

fn spread(times: &Histogram<u64>) -> Spread {
    if times.is_empty() {
        return Spread::default();
    }
    let quantile = |quantile: f64| Duration::from_nanos(times.value_at_quantile(quantile));
    Spread {
        count: times.len(),
        p50: quantile(0.50),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p999: quantile(0.999),
        longest: quantile(1.0),
    }
}

/// What was gathered in the last minute, or in half of it: the older half goes as a whole.
#[derive(Debug, Default)]
pub(crate) struct Recent<T> {
    since: Instant,
    newer: T,
    older: T,
}

impl<T: Default> Recent<T> {
    /// Where what happens now is gathered; `gone` takes what is not recent any more.
    pub(crate) fn at(&mut self, now: Instant, mut gone: impl FnMut(T)) -> &mut T {
        let passed = now.since(self.since);
        if passed >= HALF {
            let newer = std::mem::take(&mut self.newer);
            gone(std::mem::replace(&mut self.older, newer));
            if passed >= 2 * HALF {
                gone(std::mem::take(&mut self.older));
            }
            self.since = now;
        }
        &mut self.newer
    }

    /// What was gathered lately: none of it is older than a minute.
    pub(crate) fn halves(&self, now: Instant) -> impl Iterator<Item = &T> {
        let passed = now.since(self.since);
        let newer = self.has_newer(now).then_some(&self.newer);
        let older = (passed < HALF).then_some(&self.older);
        newer.into_iter().chain(older)
    }

    /// Whether the newer half is recent still.
    fn has_newer(&self, now: Instant) -> bool {
        now.since(self.since) < 2 * HALF
    }

    /// All that has not been given away.
    fn all(&self) -> [&T; 2] {
        [&self.newer, &self.older]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_is_old_counts_only_since_the_start() {
        let mut times = Times::new(Precision::DELAYS);
        for second in 0..100 {
            times.note(at(second), Duration::from_secs(1));
        }
        for second in 200..250 {
            times.note(at(second), Duration::from_millis(10));
        }
        let Spreads { all, recent, total } = times.spreads(at(250));
        assert_eq!((all.count, recent.count), (150, 50));
        assert!(all.p99 >= Duration::from_secs(1), "{all:?}");
        assert!(recent.longest < Duration::from_millis(11), "{recent:?}");
        assert_eq!(total, Duration::from_millis(100_500));
        // Half a minute later the older half has gone, and another one later all of it.
        assert_eq!(times.spreads(at(260)).recent.count, 20);
        assert_eq!(times.spreads(at(290)).recent, Spread::default());
        assert_eq!(times.spreads(at(290)).all, all);
    }

    #[test]
    fn quantiles_are_as_exact_as_was_asked_for() {
        for (precision, error) in [(Precision::DELAYS, 0.01), (Precision::BATCHES, 0.07)] {
            let mut times = Times::new(precision);
            for micros in 1..=10_000 {
                times.note(at(0), Duration::from_micros(micros));
            }
            let it = times.spreads(at(1)).recent;
            for (found, micros) in [
                (it.p50, 5_000),
                (it.p95, 9_500),
                (it.p99, 9_900),
                (it.p999, 9_990),
                (it.longest, 10_000),
            ] {
                let expected = Duration::from_micros(micros).as_secs_f64();
                let off = (found.as_secs_f64() / expected - 1.0).abs();
                assert!(off <= error, "{found:?} instead of {micros} us");
            }
        }
    }

    #[test]
    fn memory_follows_the_longest_time_and_not_how_many_there_are() {
        let mut times = Times::new(Precision::BATCHES);
        let size = |times: &Times| {
            let Sorted { old, recent, .. } = &*times.sorted;
            let halves = recent.all().into_iter().flatten();
            halves.map(Histogram::distinct_values).sum::<usize>() + old.distinct_values()
        };
        for nanos in 0..100_000 {
            times.note(at(nanos / 1_000), Duration::from_nanos(nanos));
        }
        assert!(size(&times) < 3 * 300, "{}", size(&times));
        times.note(at(0), Duration::MAX);
        assert!(size(&times) < 3 * 700, "{}", size(&times));
        let longest = times.spreads(at(0)).all.longest;
        assert!(longest >= LONGEST && longest < 2 * LONGEST, "{longest:?}");
    }
}
