//! A host's own clock: ahead of the simulation's, and faster or slower.

use std::time::Duration;

use model::Instant;

/// A host's own clock. It never goes backward.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostClock {
    offset: Duration,
    drift: f64,
}

impl HostClock {
    pub(super) const fn new(offset: Duration, drift: f64) -> Self {
        assert!(drift > -1.0, "a clock goes forward");
        Self { offset, drift }
    }

    /// What it shows at a moment of the simulation.
    pub(super) fn local(self, now: Instant) -> Instant {
        Instant::ZERO + self.offset + self.stretched(now)
    }

    /// The first moment of the simulation at which it shows this, or later.
    pub(super) fn moment(self, local: Instant) -> Instant {
        let passed = local.before(self.offset).since(Instant::ZERO);
        if self.drift.abs() < f64::EPSILON {
            return Instant::ZERO + passed;
        }
        let mut moment = Instant::ZERO + passed.div_f64(1.0 + self.drift);
        // The way back may have been rounded down.
        while self.local(moment) < local {
            moment = moment + Duration::from_nanos(16);
        }
        moment
    }

    fn stretched(self, now: Instant) -> Duration {
        let passed = now.since(Instant::ZERO);
        if self.drift.abs() < f64::EPSILON {
            return passed;
        }
        passed.mul_f64(1.0 + self.drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_first_at_which_a_clock_shows_a_time() {
        for drift in [-0.01, -1e-6, 0.0, 1e-5, 0.02] {
            let clock = HostClock::new(Duration::from_secs(3), drift);
            for nanos in [0, 1, 999_999_999, 12_345_678_901, 86_400_000_000_000] {
                let local = Instant::from_nanos(nanos) + Duration::from_secs(3);
                let moment = clock.moment(local);
                assert!(clock.local(moment) >= local, "{drift} {nanos}");
                let early = moment.before(Duration::from_nanos(64));
                assert!(clock.local(early) <= local, "{drift} {nanos}");
            }
        }
    }
}
