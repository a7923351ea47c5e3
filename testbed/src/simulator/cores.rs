//! Virtual cores: what they work on has been run already, and is handed back when its modelled cost has passed.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::scheduler::Worker;
use engine::{Completed, Engine};
use model::{Instant, convert};

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
        let completed = engine.next(now, self.idle()?)?.run();
        let busy = cost(&completed);
        self.next += 1;
        self.running.insert(self.next, (completed, busy));
        Some((self.next, busy))
    }

    /// The first core that holds nothing.
    fn idle(&self) -> Option<Worker> {
        let mut cores = (0..convert::size(self.count)).map(Worker);
        let is_running = |core: &Worker| {
            let mut running = self.running.values();
            running.any(|(completed, _)| completed.worker() == *core)
        };
        cores.find(|core| !is_running(core))
    }

    /// A core has done its work, which goes back. Unknown numbers are of cores that are no more.
    pub(crate) fn finish(&mut self, now: Instant, number: u64, engine: &mut Engine) {
        if let Some((completed, busy)) = self.running.remove(&number) {
            engine.complete(now, completed, busy);
        }
    }
}
