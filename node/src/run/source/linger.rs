//! How long a source holds back what it has read, so that what comes next leaves with it.
//!
//! A batch costs more than its rows where they come one by one. What of its budget a source may use for that is small, so that nobody
//! notices; and it is used only where rows come so closely that some will join.

use std::time::Duration;

use model::{Instant, convert};

/// How much the gap before a record counts against those before.
///
/// Unit: fraction. Source: guess; follows a change within some dozens of readings.
const WEIGHT: f64 = 0.1;

/// How many records must be expected to join, for what was read to be held back.
///
/// Unit: records. Source: guess; below that, batches are not worth waiting for.
const JOINING_MIN: f64 = 4.0;

/// How closely the records of a source come.
#[derive(Debug, Default)]
pub(super) struct Linger {
    last: Option<Instant>,
    /// The time between records, smoothed, in seconds.
    gap: Option<f64>,
}

impl Linger {
    /// So many records were read.
    pub(super) fn note(&mut self, now: Instant, count: u32) {
        let before = self.last.replace(now);
        let Some(before) = before.filter(|_| count > 0) else {
            return;
        };
        let gap = now.since(before).as_secs_f64() / f64::from(count);
        self.gap = Some(match self.gap {
            None => gap,
            Some(mean) => (gap - mean).mul_add(WEIGHT, mean),
        });
    }

    /// For how long what was just read is to be held back, of the time that is allowed.
    pub(super) fn wait(&self, allowed: Duration) -> Duration {
        let joining = self
            .gap
            .map_or(0.0, |gap| allowed.as_secs_f64() / gap.max(1e-9));
        if joining < JOINING_MIN {
            return Duration::ZERO;
        }
        // A full batch need not wait for more.
        let full = convert::count_to_f64(convert::size(engine::batch::ROWS_MAX));
        convert::seconds(allowed.as_secs_f64() * (full / joining).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_millis(5);

    /// What is waited for where readings of so many records come so many microseconds apart.
    fn wait(apart: u64, count: u32) -> Duration {
        let mut linger = Linger::default();
        for n in 0..100 {
            linger.note(Instant::ZERO + Duration::from_micros(n * apart), count);
        }
        linger.wait(ALLOWED)
    }

    #[test]
    fn only_who_comes_closely_is_waited_for_and_no_longer_than_a_full_batch_takes() {
        assert_eq!(Linger::default().wait(ALLOWED), Duration::ZERO);
        assert_eq!(wait(100_000, 1), Duration::ZERO, "ten a second");
        assert_eq!(wait(2_000, 1), Duration::ZERO, "two would join");
        assert_eq!(wait(100, 1), ALLOWED, "fifty join");
        let full = wait(10, 10);
        assert!(full > Duration::from_micros(1000) && full < Duration::from_micros(1050));
    }
}
