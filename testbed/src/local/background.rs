//! What a node of a testbed has to do beside what it runs: processor time, as programs would take it that know nothing of it.

use std::thread;
use std::time::Duration;

use model::{Clock, convert};
use node::clock::MachineClock;
use node::priority;
use serde::{Deserialize, Serialize};

use super::process;

/// What is taken of hosts over time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Background {
    /// For how long a sample stands. Unit: milliseconds. Range: from 1.
    pub step_ms: u64,
    /// By node, in their order: samples, which begin again when they are over. Unit: cores.
    pub cores: Vec<Vec<f64>>,
}

/// As how many programs it is taken: a system shares processors among those that want them, and one alone would leave a worker half of a core.
///
/// Unit: threads. Source: guess; what else runs on a small host.
const PROGRAMS: u32 = 4;

/// In which pieces it is taken. Unit: time. Source: guess; what a scheduler of a system gives a program at once.
const SLICE: Duration = Duration::from_millis(10);

impl Background {
    /// Takes what is to be taken of a node's host, counted from 1, on threads of its own until this process ends.
    pub(super) fn start(self, node: u32) -> std::io::Result<()> {
        let place = convert::index(u64::from(node).saturating_sub(1));
        let Some(samples) = self.cores.into_iter().nth(place) else {
            return Ok(());
        };
        if samples.is_empty() || self.step_ms == 0 {
            return Ok(());
        }
        let step = Duration::from_millis(self.step_ms);
        let part: Vec<f64> = samples.iter().map(|it| it / f64::from(PROGRAMS)).collect();
        for _ in 0..PROGRAMS {
            let part = part.clone();
            let thread = thread::Builder::new().name("background".to_owned());
            thread.spawn(move || take(&part, step))?;
        }
        Ok(())
    }
}

/// How much that was not got is still wanted. Unit: time. Source: guess; what a server has waiting before it turns requests away.
const BACKLOG_MAX: Duration = Duration::from_secs(1);

/// What is not got within a slice is wanted in the next ones, up to [`BACKLOG_MAX`]: who is given too little goes on asking, as other programs do.
fn take(samples: &[f64], step: Duration) {
    // Workers are to compete with it.
    priority::after_others();
    let clock = MachineClock::start();
    let start = clock.now();
    let mut backlog = Duration::ZERO;
    let mut asked = start;
    loop {
        let begun = clock.now();
        let sample = convert::nanos(begun.since(start)) / convert::nanos(step).max(1);
        let part = samples[convert::index(sample) % samples.len()].clamp(0.0, 1.0);
        backlog = (backlog + begun.since(asked).mul_f64(part)).min(BACKLOG_MAX);
        asked = begun;
        let used = clock.thread_cpu();
        let mut got = Duration::ZERO;
        while got < backlog && clock.now().since(begun) < SLICE {
            std::hint::spin_loop();
            got = clock.thread_cpu().saturating_sub(used);
        }
        backlog = backlog.saturating_sub(got);
        let left = SLICE.saturating_sub(clock.now().since(begun));
        if !left.is_zero() && process::pause(left).is_err() {
            return;
        }
    }
}
