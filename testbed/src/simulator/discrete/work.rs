//! Virtual cores: what they work on takes modelled time.

use std::collections::BTreeMap;

use engine::Engine;
use model::{ComponentId, Instant, Rng, convert};

use super::{Happening, Out};
use crate::simulator::cores::Cores;

/// How rows vary in what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Costs {
    /// Not at all.
    #[default]
    Even,
    /// By an exponential distribution, as the queueing formulas suppose.
    Exponential,
}

/// The virtual cores of a host, and what rows cost there.
#[derive(Debug)]
pub(super) struct Work {
    cores: Cores,
    pub(super) varying: Costs,
    rng: Rng,
    /// What a row costs, by component. Unit: seconds.
    pub(super) costs: BTreeMap<ComponentId, f64>,
}

impl Work {
    /// As many whole cores as there are, one at least.
    pub(super) fn new(cores: f64, varying: Costs, rng: Rng) -> Self {
        let whole = u64::try_from(convert::round(cores.floor())).unwrap_or(1);
        Self {
            cores: Cores::new(convert::index(whole)),
            varying,
            rng,
            costs: BTreeMap::new(),
        }
    }

    /// Gives idle cores what is most urgent.
    pub(super) fn begin(&mut self, now: Instant, engine: &mut Engine, out: &mut Vec<Out>) {
        let (costs, varying, rng) = (&self.costs, self.varying, &mut self.rng);
        let mut cost = |completed: &engine::Completed| {
            let cost = costs.get(&completed.component()).copied();
            let rows = completed.rows();
            let times: f64 = match varying {
                Costs::Even => convert::count_to_f64(convert::size(rows)),
                Costs::Exponential => (0..rows).map(|_| -(1.0 - rng.fraction()).ln()).sum(),
            };
            convert::seconds(cost.unwrap_or(0.0) * times)
        };
        while let Some((number, busy)) = self.cores.begin(now, engine, &mut cost) {
            out.push(Out::Later(busy, Happening::Worked(number)));
        }
    }

    /// A core has done its work.
    pub(super) fn finish(&mut self, now: Instant, number: u64, engine: &mut Engine) {
        self.cores.finish(now, number, engine);
    }
}
