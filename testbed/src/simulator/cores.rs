//! Virtual cores: what they work on has been run already, and is handed back when its modelled cost has passed.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Completed, Engine};
use model::Instant;

/// The virtual cores of a host, and what each of them holds.
#[derive(Debug)]
pub(crate) struct Cores {
    count: usize,
    next: u64,
    running: BTreeMap<u64, (Completed, Duration)>,
}

impl Cores {
    /// So many cores, one at least, all of them idle.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count: count.max(1),
            next: 0,
            running: BTreeMap::new(),
        }
    }

    /// Gives an idle core what is most urgent: under which number, and for how long it holds the core. Nothing where no
    /// core is idle or nothing can run.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        engine: &mut Engine,
        cost: impl FnOnce(&Completed) -> Duration,
    ) -> Option<(u64, Duration)> {
        if self.running.len() >= self.count {
            return None;
        }
        let completed = engine.next(now)?.run();
        let busy = cost(&completed);
        self.next += 1;
        self.running.insert(self.next, (completed, busy));
        Some((self.next, busy))
    }

    /// A core has done its work, which goes back. Unknown numbers are of cores that are no more.
    pub(crate) fn finish(&mut self, now: Instant, number: u64, engine: &mut Engine) {
        if let Some((completed, busy)) = self.running.remove(&number) {
            engine.complete(now, completed, busy);
        }
    }
}
