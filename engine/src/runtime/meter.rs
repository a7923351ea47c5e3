//! How long dispatches took, by processor time where it matters.

use std::time::Duration;

use model::{Clock, Instant};

/// From which duration on a dispatch is measured by processor time.
///
/// Asking the system for it costs as much as a small dispatch; a busy machine rarely takes a core away for less than this.
///
/// Unit: time. Source: design.
const EXACT_FROM: Duration = Duration::from_micros(50);

/// What a worker measures.
#[derive(Debug)]
pub(super) struct Meter {
    /// The thread's processor time when it was last read.
    cpu: Duration,
    /// What was measured by the clock since then.
    since: Duration,
}

impl Meter {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            cpu: clock.thread_cpu(),
            since: Duration::ZERO,
        }
    }

    /// When it is now, and how much processor time a dispatch took that was begun at `began`: by the clock where that is little, else
    /// what the thread has used, less what was told of it before.
    pub(super) fn measure(&mut self, clock: &dyn Clock, began: Instant) -> (Instant, Duration) {
        let now = clock.now();
        let took = now.since(began);
        if took < EXACT_FROM {
            self.since += took;
            return (now, took);
        }
        let cpu = clock.thread_cpu();
        let used = cpu.saturating_sub(self.cpu).saturating_sub(self.since);
        self.cpu = cpu;
        self.since = Duration::ZERO;
        (now, took.min(used))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Time and processor time, in microseconds.
    #[derive(Default)]
    struct Hands(AtomicU64, AtomicU64);

    impl Hands {
        fn pass(&self, micros: u64, cpu_micros: u64) {
            self.0.fetch_add(micros, Ordering::Relaxed);
            self.1.fetch_add(cpu_micros, Ordering::Relaxed);
        }
    }

    impl Clock for Hands {
        fn now(&self) -> Instant {
            Instant::ZERO + Duration::from_micros(self.0.load(Ordering::Relaxed))
        }

        fn thread_cpu(&self) -> Duration {
            Duration::from_micros(self.1.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn what_takes_long_counts_without_the_time_that_others_ran() {
        let clock = Hands::default();
        let mut meter = Meter::new(&clock);
        let mut dispatch = |micros, cpu_micros| {
            let began = clock.now();
            clock.pass(micros, cpu_micros);
            meter.measure(&clock, began).1.as_micros()
        };
        assert_eq!(dispatch(20, 20), 20);
        assert_eq!(dispatch(30, 30), 30);
        assert_eq!(dispatch(5000, 80), 80, "the core was taken away");
        assert_eq!(dispatch(100, 100), 100);
        assert_eq!(dispatch(40, 0), 40, "too short to ask");
        assert_eq!(
            dispatch(60, 55),
            15,
            "what was counted too much is taken off"
        );
    }
}
