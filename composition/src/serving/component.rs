//! A component that runs here: what it takes, and who ranks it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{CompositionId, Resources};

use super::MadeOf;
use crate::queue::Job;
use crate::request::COMPONENT_MEMORY_BYTES;
use crate::usage::Usage;

/// The most samples of a component's traffic that are kept. Unit: samples of about a second. Source: papers, section 4.2.
const SAMPLES_MAX: usize = 60;

/// From how many samples on a component counts as measured. Source: guess; some seconds.
const SAMPLES_MIN: usize = 5;

/// From where on traffic is bursty: its mean above its mean, as a multiple of it. Source: papers, section 4.2.
const BURSTY: f64 = 1.5;

/// A component that runs here.
#[derive(Debug)]
pub(super) struct Component {
    /// What tells it from others that yield the same: see [`model::ComponentGraph::made_of`].
    pub(super) made_of: MadeOf,
    /// As it was declared when it was admitted.
    declared: Job,
    /// Whether it was seen to run here: before that it is only ordered.
    pub(super) was_here: bool,
    /// What each application that depends on it can wait: it is as strict as the strictest of them.
    pub(super) dependents: BTreeMap<CompositionId, Dependent>,
    /// Processor time a second, as measured.
    samples: VecDeque<f64>,
    /// The mean of these, and by how much that of the higher ones is above it where they are far above; nothing before there are enough.
    cores: Option<(f64, f64)>,
    /// The processor time of what is worked off at once, as measured.
    execution: Option<Duration>,
}

/// That an application depends on a component.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dependent {
    pub(super) laxity: Duration,
    /// Before that it pulls nothing, and may go again.
    pub(super) has_started: bool,
}

impl Dependent {
    pub(super) const fn new(laxity: Duration) -> Self {
        Self {
            laxity,
            has_started: false,
        }
    }
}

/// Who ranks the components of a host.
///
/// An application that has confirmed and not started makes what it shares stricter if it comes about, and leaves it as it was if not. Nobody may
/// rely on either: whoever comes meanwhile looks at both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranks {
    /// All that depend on them.
    All,
    /// Those that have started, and this one.
    Started(CompositionId),
}

impl Ranks {
    /// Both that whoever comes looks at.
    pub(crate) const fn both(id: CompositionId) -> [Self; 2] {
        [Self::All, Self::Started(id)]
    }

    fn count(self, id: CompositionId, dependent: &Dependent) -> bool {
        match self {
            Self::All => true,
            Self::Started(but) => dependent.has_started || id == but,
        }
    }
}

/// What a component holds that was declared so; what leaves the host is of the graphs.
pub(crate) fn takes(declared: &Job) -> Resources {
    Resources {
        cpu_cores: declared.cores,
        memory_bytes: COMPONENT_MEMORY_BYTES,
        uplink_bytes_per_second: 0.0,
    }
}

impl Component {
    /// A component of which nothing was measured yet, and on which nobody depends.
    pub(super) fn new(made_of: MadeOf, declared: Job) -> Self {
        Self {
            made_of,
            declared,
            was_here: false,
            dependents: BTreeMap::new(),
            samples: VecDeque::new(),
            cores: None,
            execution: None,
        }
    }

    /// An application depends on it: one that did before and has started ranks it as before.
    pub(super) fn depend(&mut self, id: CompositionId, laxity: Duration) {
        let dependent = self.dependents.entry(id);
        dependent.or_insert_with(|| Dependent::new(laxity)).laxity = laxity;
    }

    /// What it was measured to take for about a second.
    pub(super) fn measure(&mut self, usage: &Usage) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(usage.cores);
        if self.samples.len() >= SAMPLES_MIN {
            let mean = |samples: &mut dyn Iterator<Item = f64>| {
                let (sum, count) =
                    samples.fold((0.0, 0_u32), |(sum, count), it| (sum + it, count + 1));
                sum / f64::from(count.max(1))
            };
            let all = mean(&mut self.samples.iter().copied());
            let high = mean(&mut self.samples.iter().copied().filter(|it| *it > all));
            let is_bursty = high >= BURSTY * all;
            self.cores = Some((all, if is_bursty { high - all } else { 0.0 }));
        }
        if usage.execution > Duration::ZERO {
            self.execution = Some(usage.execution);
        }
    }

    /// What it holds for as long as it is here.
    pub(super) fn takes(&self) -> Resources {
        takes(&self.declared)
    }

    /// What it takes: as measured, until then as declared.
    pub(super) fn job(&self, ranks: Ranks) -> Job {
        let dependents = self.dependents.iter();
        let counted = dependents.filter(|(id, it)| ranks.count(**id, it));
        let strictest = counted.map(|(_, it)| it.laxity).min();
        Job {
            laxity: strictest.unwrap_or(self.declared.laxity),
            ..self.measured()
        }
    }

    fn measured(&self) -> Job {
        let execution = self.execution.unwrap_or(self.declared.execution);
        let Some((cores, burst_cores)) = self.cores else {
            return Job {
                execution: execution.max(self.declared.execution),
                ..self.declared
            };
        };
        Job {
            laxity: self.declared.laxity,
            cores,
            burst_cores,
            execution,
        }
    }
}
