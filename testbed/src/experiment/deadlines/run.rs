//! One run of a scenario: what left, and what it took.

use std::time::Duration;

use engine::report::{ComponentReport, Report};
use model::ComponentId;

use super::plan::Running;
use super::reference::Left;
use super::scenario::{Scenario, millis};

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// Every window that left, in no order.
    pub left: Vec<Left>,
    /// What each application worked off.
    pub worked: Vec<Worked>,
    /// What each application had worked off when each of the scenario's phases began and ended.
    pub by_phase: Vec<(Vec<Worked>, Vec<Worked>)>,
    /// The processor time that all workers took: of operators, of the engine and of waiting and waking. Virtual cores take what they hold.
    pub worker_cpu: Duration,
    /// What of it the operators were to take, as the scenario says.
    pub told: Duration,
    /// The processor time that the generator took.
    pub generator_cpu: Duration,
    /// By how much the generator was late, at most and where sources had room. It counts as delay of what it offered.
    pub generator_late: Duration,
    /// When the generator came to offer each arrival, since the beginning, in the order of the schedule; nothing where it did not, and
    /// none at all on virtual cores, which are never late.
    pub offered: Vec<Option<Duration>>,
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

    /// The rows that each application worked off in each phase.
    pub fn phase_rows(&self) -> Vec<Vec<u64>> {
        let rows = |(from, until): &(Vec<Worked>, Vec<Worked>)| {
            let both = from.iter().zip(until);
            both.map(|(from, until)| until.rows - from.rows).collect()
        };
        self.by_phase.iter().map(rows).collect()
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

impl Scenario {
    /// The times between which all groups that have begun share what there is: from two windows behind each beginning to the next one, or to
    /// the end. Nothing where no group has a share.
    pub(super) fn phases(&self) -> Vec<(Duration, Duration)> {
        let sharing = || self.group.iter().filter(|group| group.share.is_some());
        let mut starts: Vec<f64> = sharing().map(|group| group.starts_ms).collect();
        starts.sort_by(f64::total_cmp);
        starts.dedup();
        let window_ms = sharing().map(|group| group.window_ms).fold(0.0, f64::max);
        let end = self.end();
        let until = starts.iter().skip(1).map(|it| millis(*it)).chain([end]);
        starts
            .iter()
            .map(|start| millis(start + 2.0 * window_ms))
            .zip(until)
            .filter(|(from, until)| from < until)
            .collect()
    }
}

/// Notes what has been worked off when phases begin and end.
#[derive(Debug)]
pub(super) struct Phases {
    /// By time: which are still to come, the next one last.
    marks: Vec<Duration>,
    noted: Vec<Vec<Worked>>,
}

impl Phases {
    /// Those of a scenario.
    pub(super) fn of(scenario: &Scenario) -> Self {
        let phases = scenario.phases().into_iter();
        let marks: Vec<Duration> = phases.flat_map(|(from, until)| [from, until]).collect();
        Self {
            marks: marks.into_iter().rev().collect(),
            noted: Vec::new(),
        }
    }

    /// When there is something to note next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.marks.last().copied()
    }

    /// Notes what has been worked off, as often as that was due by `since`.
    pub(super) fn note(&mut self, since: Duration, worked: impl FnOnce() -> Vec<Worked>) {
        if self.next().is_none_or(|due| due > since) {
            return;
        }
        let worked = worked();
        while self.next().is_some_and(|due| due <= since) {
            self.marks.pop();
            self.noted.push(worked.clone());
        }
    }

    /// All of them; what has not been noted is as it was at the end.
    pub(super) fn end(mut self, worked: &[Worked]) -> Vec<(Vec<Worked>, Vec<Worked>)> {
        self.note(Duration::MAX, || worked.to_vec());
        let pairs = self.noted.chunks_exact(2);
        pairs.map(|it| (it[0].clone(), it[1].clone())).collect()
    }
}
