//! One run of a scenario: what left, and what it took.

use std::time::Duration;

use engine::report::{ComponentReport, Report};
use model::ComponentId;

use super::plan::Running;
use super::reference::Left;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// Every window that left, in no order.
    pub left: Vec<Left>,
    /// What each application worked off.
    pub worked: Vec<Worked>,
    /// The processor time that all workers took: of operators, of the engine and of waiting and waking. Virtual cores take what they hold.
    pub worker_cpu: Duration,
    /// What of it the operators were to take, as the scenario says.
    pub told: Duration,
    /// The processor time that the generator took.
    pub generator_cpu: Duration,
    /// By how much the generator was late, at most and where sources had room. It counts as delay of what it offered.
    pub generator_late: Duration,
}

/// What an application worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worked {
    /// Rows of its sources.
    pub rows: u64,
    /// Batches, at all its operators.
    pub batches: u64,
    /// The processor time that its operators took.
    pub busy: Duration,
}

impl Worked {
    /// What an application has worked off so far. Rows of sources are those that their first readers took in.
    pub(super) fn of(report: &Report, running: &Running, first_stage: usize) -> Self {
        let find = |id: &ComponentId| report.components.iter().find(|it| it.id == *id);
        let operators: Vec<&ComponentReport> = running.operators.iter().filter_map(find).collect();
        Self {
            rows: operators
                .iter()
                .take(first_stage)
                .map(|it| it.rows_in)
                .sum(),
            batches: operators.iter().map(|it| it.batches).sum(),
            busy: operators.iter().map(|it| it.busy).sum(),
        }
    }
}

impl Run {
    /// What workers took for a batch beside what its operator was to take.
    pub fn dispatch(&self) -> Duration {
        let batches = u32::try_from(self.total().batches).unwrap_or(u32::MAX);
        let beside = self.worker_cpu.saturating_sub(self.told);
        beside.checked_div(batches).unwrap_or_default()
    }

    /// What all applications worked off.
    pub fn total(&self) -> Worked {
        let add = |all: Worked, one: &Worked| Worked {
            rows: all.rows + one.rows,
            batches: all.batches + one.batches,
            busy: all.busy + one.busy,
        };
        self.worked.iter().fold(Worked::default(), add)
    }
}
