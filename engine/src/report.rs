//! What an engine tells of an application: what was counted, measured and missed.

use std::time::Duration;

use model::{ComponentId, Instant, Slack};

use crate::engine::{Component, Engine, Role};

/// What is known of an application on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The application's name.
    pub application: String,
    /// Its own components: sources, operators and sinks, each in the plan's order; also those that have gone.
    pub components: Vec<ComponentReport>,
    /// Bytes in the ledger, now and at most, of all applications.
    pub memory_bytes: u64,
    /// See `memory_bytes`.
    pub memory_peak_bytes: u64,
}

/// What is known of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentReport {
    /// Which one.
    pub id: ComponentId,
    /// What it is called in its application.
    pub name: String,
    /// What it is there for.
    pub role: RoleReport,
    /// Whether it is here still; of one that has gone, this is what was last known.
    pub is_here: bool,
    /// Rows that came in; of a source, records.
    pub rows_in: u64,
    /// Rows that left, summed over the ports that somebody reads, late and bad rows left out.
    pub rows_out: u64,
    /// Batches that were worked off.
    pub batches: u64,
    /// Rows that were late for every window.
    pub late: u64,
    /// Rows that could not be parsed or evaluated.
    pub bad: u64,
    /// Why the first of them could not.
    pub bad_reason: Option<String>,
    /// The memory that its state holds now.
    pub state_bytes: u64,
    /// Processor time used.
    pub busy: Duration,
    /// What a batch of the usual size is expected to cost.
    pub cost: Duration,
    /// How far batches lie off that.
    pub cost_deviation: Duration,
    /// The greatest age at which a batch may start here.
    pub budget: Slack,
    /// Batches that wait.
    pub waiting: usize,
    /// Batches that arrived twice and were dropped, and how often something was missing.
    pub dropped: (u64, u64),
    /// Rows that those who read it did not get: they were too far behind, or only look on.
    pub drops: u64,
    /// Batches of other hosts that were refused: beyond what was granted, or of too many origins.
    pub refused: u64,
    /// Pulls of other hosts that asked for more urgency than was admitted; they were given that.
    pub clamped: u64,
    /// How much older batches could have been when they started here, and still meet every target: the budget
    /// less their age, smoothed; nothing before the first, or where no target lies behind.
    pub slack: Option<Slack>,
    /// Rows that come in, smoothed. Unit: rows per second.
    pub rate: f64,
    /// How long batches waited here before they were worked on, or before a sink's thread took them.
    pub waited: Spreads,
    /// How much processor time batches took that are worked off together, and parts of windows that close; of operators alone.
    pub ran: Spreads,
}

/// What times come to: of all since the start, and of those in the last minute or half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spreads {
    /// Since the start.
    pub all: Spread,
    /// Lately.
    pub recent: Spread,
    /// All of them together, since the start.
    pub total: Duration,
}

/// What times come to; all zero where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// The median.
    pub p50: Duration,
    /// 95 % were at most this.
    pub p95: Duration,
    /// 99 % were at most this.
    pub p99: Duration,
    /// 99.9 % were at most this.
    pub p999: Duration,
    /// The longest.
    pub longest: Duration,
}

/// What a component is there for, with what only such a one has.
#[derive(Debug, Clone, PartialEq)]
pub enum RoleReport {
    /// Rows enter.
    Source,
    /// Something is computed.
    Operator,
    /// Results leave.
    Sink(Box<Delays>),
}

/// The delays of results: from the arrival of the last contributing row to their leaving.
#[derive(Debug, Clone, PartialEq)]
pub struct Delays {
    /// What was required.
    pub target: Duration,
    /// Of each batch of results.
    pub times: Spreads,
    /// Rows that left in the last minute or half of it, and how many of them after the target.
    pub recent: (u64, u64),
    /// Rows that left after the target.
    pub misses: u64,
    /// Rows that results say they lack.
    pub missing: u64,
}

/// The report of an application, where it is here.
pub(crate) fn report(engine: &Engine, now: Instant, application: u64) -> Option<Report> {
    let application = engine.applications.get(&application)?;
    let here = application
        .members
        .iter()
        .map(|id| component(engine, now, *id, engine.component(*id)));
    let mut components: Vec<ComponentReport> =
        here.chain(application.gone.iter().cloned()).collect();
    components.sort_by_key(|component| component.id);
    Some(Report {
        application: application.name.clone(),
        components,
        memory_bytes: engine.ledger.used_bytes(),
        memory_peak_bytes: engine.ledger.peak_bytes(),
    })
}

/// The report of a component that is here.
pub(crate) fn component(
    engine: &Engine,
    now: Instant,
    id: ComponentId,
    component: &Component,
) -> ComponentReport {
    let inputs = || component.inputs.iter();
    let dropped = inputs().filter_map(|edge| engine.dropped(*edge));
    let counters = component.counters.clone();
    ComponentReport {
        id,
        name: component.name.clone(),
        role: role(component, now),
        is_here: true,
        rows_in: counters.rows_in,
        rows_out: counters.rows_out,
        batches: counters.batches,
        late: counters.late,
        bad: counters.bad,
        bad_reason: counters.bad_reason,
        state_bytes: engine.ledger.state_bytes(id),
        busy: counters.busy,
        cost: component.cost.usual(),
        cost_deviation: component.cost.deviation(),
        budget: component.budget.strictest(),
        waiting: component.mailbox.len(),
        dropped: dropped.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1)),
        drops: component.drops(),
        clamped: counters.clamped,
        refused: inputs().map(|edge| engine.refused(*edge)).sum(),
        slack: component.slack(),
        rate: counters.rate.per_second(now),
        waited: component.queueing.spreads(now),
        ran: component.execution.spreads(now),
    }
}

fn role(component: &Component, now: Instant) -> RoleReport {
    let results = match &component.role {
        Role::Source(_) => return RoleReport::Source,
        Role::Operator => return RoleReport::Operator,
        Role::Sink(results) => results,
    };
    let left = results.left.halves(now);
    RoleReport::Sink(Box::new(Delays {
        target: results.target,
        times: results.delays.spreads(now),
        recent: left.fold((0, 0), |all, half| (all.0 + half.0, all.1 + half.1)),
        misses: results.misses,
        missing: component.counters.missing,
    }))
}
