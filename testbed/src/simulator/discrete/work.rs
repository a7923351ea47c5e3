//! Virtual cores: what they work on takes modelled time.

use std::collections::BTreeMap;

use engine::{Completed, Engine};
use model::{ComponentId, Instant, Rng, convert};

use super::{Happening, Out};

/// How what is worked off at once varies in what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Costs {
    /// Not at all: as many times the cost of a row as there are rows.
    #[default]
    Even,
    /// By an exponential distribution of that mean, as the queueing formulas suppose.
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
        while self.running.len() < self.cores
            && let Some(dispatch) = engine.next(now)
        {
            let completed = dispatch.run();
            let cost = self.costs.get(&completed.component()).copied();
            let rows = convert::count_to_f64(convert::size(completed.rows()));
            let factor = match self.varying {
                Costs::Even => 1.0,
                Costs::Exponential => -(1.0 - self.rng.fraction()).ln(),
            };
            let busy = convert::seconds(cost.unwrap_or(0.0) * rows * factor);
            self.next += 1;
            self.running.insert(self.next, (completed, busy));
            out.push(Out::Later(busy, Happening::Worked(self.next)));
        }
    }

    /// A core has done its work.
    pub(super) fn finish(&mut self, now: Instant, number: u64, engine: &mut Engine) {
        if let Some((completed, busy)) = self.running.remove(&number) {
            engine.complete(now, completed, busy);
        }
    }
}
