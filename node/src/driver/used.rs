//! How much of this host its node uses: what it tells others of its load, and what hot-spots are found by.

use model::{Instant, Resources, convert};

use super::parts::Means;
use crate::clock::ProcessCpu;

/// Samples what is in use.
#[derive(Debug)]
pub(super) struct Used {
    cpu: ProcessCpu,
    sampled: Instant,
    sent_bytes: u64,
}

impl Used {
    /// Starts counting.
    pub(super) fn start(now: Instant) -> Self {
        Self {
            cpu: ProcessCpu::start(now),
            sampled: now,
            sent_bytes: 0,
        }
    }

    /// What was in use since the last sample: cores by the whole process, the memory for data, and what left by data streams.
    pub(super) fn sample(&mut self, now: Instant, means: &Means) -> Resources {
        let elapsed = now.since(self.sampled).as_secs_f64();
        let sent_bytes = means.network.sent_bytes();
        let left = convert::count_to_f64(sent_bytes - self.sent_bytes);
        (self.sampled, self.sent_bytes) = (now, sent_bytes);
        Resources {
            cpu_cores: self.cpu.sample(now),
            memory_bytes: means.engine.used_bytes(),
            uplink_bytes_per_second: if elapsed > 0.0 { left / elapsed } else { 0.0 },
        }
    }
}
