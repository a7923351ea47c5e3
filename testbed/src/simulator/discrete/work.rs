//! Virtual cores: what they work on takes modelled time.

use std::collections::BTreeMap;

use engine::scheduler::Worker;
use engine::{Completed, Engine};
use model::{ComponentId, Instant, Rng, convert};

use super::{Happening, Out};

/// How rows vary in what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Costs {
    /// Not at all.
    #[default]
    Even,
    /// By an exponential distribution, as the queueing formulas suppose.
    Exponential,
}

/// The virtual cores of a host, and what they do.
#[derive(Debug)]
pub(super) struct Work {
    cores: usize,
    pub(super) varying: Costs,
    rng: Rng,
    next: u64,
    running: BTreeMap<u64, (Completed, std::time::Duration)>,
    /// What a row costs, by component. Unit: seconds.
    pub(super) costs: BTreeMap<ComponentId, f64>,
}

impl Work {
    /// As many whole cores as there are, one at least.
    pub(super) fn new(cores: f64, varying: Costs, rng: Rng) -> Self {
        let whole = u64::try_from(convert::round(cores.floor())).unwrap_or(1);
        Self {
            cores: convert::index(whole.max(1)),
            varying,
            rng,
            next: 0,
            running: BTreeMap::new(),
            costs: BTreeMap::new(),
        }
    }

    /// Gives idle cores what is most urgent.
    pub(super) fn begin(&mut self, now: Instant, engine: &mut Engine, out: &mut Vec<Out>) {
        while let Some(core) = self.idle()
            && let Some(dispatch) = engine.next(now, core)
        {
            let completed = dispatch.run();
            let cost = self.costs.get(&completed.component()).copied();
            let rows = completed.rows();
            let times: f64 = match self.varying {
                Costs::Even => convert::count_to_f64(convert::size(rows)),
                Costs::Exponential => (0..rows).map(|_| -(1.0 - self.rng.fraction()).ln()).sum(),
            };
            let busy = convert::seconds(cost.unwrap_or(0.0) * times);
            self.next += 1;
            self.running.insert(self.next, (completed, busy));
            out.push(Out::Later(busy, Happening::Worked(self.next)));
        }
    }

    fn idle(&self) -> Option<Worker> {
        let mut cores = (0..convert::size(self.cores)).map(Worker);
        let is_running = |core: &Worker| {
            let mut running = self.running.values();
            running.any(|(completed, _)| completed.worker() == *core)
        };
        cores.find(|core| !is_running(core))
    }

    /// A core has done its work.
    pub(super) fn finish(&mut self, now: Instant, number: u64, engine: &mut Engine) {
        if let Some((completed, busy)) = self.running.remove(&number) {
            engine.complete(now, completed, busy);
        }
    }
}
