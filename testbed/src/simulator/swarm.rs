//! Swarm: many small networks in which everything goes wrong for a while, each drawn from a seed.
//!
//! The seed draws the hosts, their network, the policy, requests, stops, moves, and faults. Then faults stop, and after
//! [`CONVERGED_AFTER`] everything must be as if there had been none: each request and each move has ended once, nothing is reserved, what was stopped is gone
//! everywhere, what runs is what its record says, and hosts agree on that. In discrete fidelity rows leave each sink that nothing has happened to, and at
//! every sink each row has left once: see [`World::check_rows`].

use std::collections::BTreeMap;
use std::time::Duration;

use model::Rng;
use node::node::Command;

use super::Fidelity;
use super::check::Violation;
use super::world::World;

mod case;
mod converge;
mod plane;
#[cfg(test)]
mod tests;

use case::{Case, Step};
pub use plane::Plane;

/// For how long faults happen. Unit: time. Source: guess; several leases of 10 s.
const FAULTS_FOR: Duration = Duration::from_secs(30);

/// By when everything is as it should be after faults have stopped.
///
/// Unit: time. Relation: records are sent again after at most 75 s, what nobody pulls goes after 65 s, what has no record
/// after 30 s; one may follow on the other. Source: those constants of `node` and of the engine.
pub const CONVERGED_AFTER: Duration = Duration::from_secs(200);

/// Within what time a row must leave each sink at the end, where rows are followed.
///
/// Unit: time. Relation: sources give two rows a second or more, and far fewer are dropped. Source: guess.
const FLOWS_WITHIN: Duration = Duration::from_secs(20);

/// Within what time all that is under way has left when no source offers any more. Unit: time. Source: guess; what broke is opened again within two
/// seconds.
const DRAINED_AFTER: Duration = Duration::from_secs(20);

/// What came of a seed.
#[derive(Debug)]
pub struct Run {
    /// Which seed.
    pub seed: u64,
    /// The hash of all effects in order.
    pub digest: String,
    /// The case, in a line.
    pub case: String,
    /// How often what was drawn, by its name: of crashes those of hosts that were up.
    pub steps: BTreeMap<&'static str, u64>,
    /// Requests that were made.
    pub requests: usize,
    /// Of these, admitted.
    pub admitted: usize,
    /// Operators that they share.
    pub shared: u64,
    /// How often an operator went to another host.
    pub moved: u64,
    /// How often a host made something that ran on another one.
    pub repaired: u64,
    /// Events in all.
    pub events: u64,
    /// Rows that left at sinks and were compared with the reference.
    pub rows: usize,
    /// What went wrong.
    pub violations: Vec<Violation>,
}

/// Runs the case of a seed. What happens is told step by step to `trace`, where that is wanted.
pub fn run(seed: u64, trace: Option<&mut dyn FnMut(String)>) -> Run {
    run_in(seed, None, trace)
}

/// The same, in a fidelity that is not drawn where one is named.
pub fn run_in(
    seed: u64,
    fidelity: Option<Fidelity>,
    mut trace: Option<&mut dyn FnMut(String)>,
) -> Run {
    let mut rng = Rng::from_seed(seed).keyed("swarm");
    let case = Case::draw(seed, fidelity, &mut rng);
    let mut world = World::new(case.setup());
    world.check_each_event();
    world.keep_digest();
    world.keep_rows();
    world.notice_down(case.is_down_noticed);
    if trace.is_some() {
        world.keep_trace();
    }
    let mut progress = converge::Progress::default();
    let mut steps = BTreeMap::new();
    for (at, step) in case.steps(&mut rng, FAULTS_FOR) {
        pass(&mut world, at, &mut trace);
        if let Some(trace) = &mut trace {
            trace(format!("{at:?} {step:?}"));
        }
        let is_idle = matches!(step, Step::Crash(host) if !world.is_up(host));
        *steps.entry(step.name()).or_default() += u64::from(!is_idle);
        take(&mut world, step, &mut progress);
    }
    pass(&mut world, FAULTS_FOR, &mut trace);
    if let Some(trace) = &mut trace {
        trace("faults stop".to_owned());
    }
    world.clear_faults();
    for host in case.returning() {
        world.restart(host);
    }
    pass(
        &mut world,
        FAULTS_FOR + CONVERGED_AFTER - FLOWS_WITHIN,
        &mut trace,
    );
    progress.note_rows(&world);
    pass(&mut world, FAULTS_FOR + CONVERGED_AFTER, &mut trace);
    let mut found = converge::check(&mut world, &progress);
    world.stop_sources();
    world.run_for(DRAINED_AFTER);
    let (rows, of_rows) = converge::check_rows(&world, &progress);
    found.extend(of_rows);
    let mut violations = world.violations().to_vec();
    violations.extend(found);
    Run {
        seed,
        digest: world.digest().map_or_else(String::new, |it| hex(&it.0)),
        case: case.to_string(),
        steps,
        requests: progress.tickets.len(),
        admitted: progress.admitted(&world),
        shared: progress.shared(&world),
        moved: world.moved.values().sum(),
        repaired: world.repaired.values().sum(),
        events: world.event_count(),
        rows,
        violations,
    }
}

/// Lets time pass until this long after the start.
fn pass(world: &mut World, until: Duration, trace: &mut Option<&mut dyn FnMut(String)>) {
    let passed = world.now().since(model::Instant::ZERO);
    world.run_for(until.saturating_sub(passed));
    if let Some(trace) = trace {
        for line in world.take_trace() {
            trace(line);
        }
    }
}

/// Bytes for people.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn take(world: &mut World, step: Step, progress: &mut converge::Progress) {
    match step {
        Step::Apply(request) => {
            if world.is_up(request.at) {
                let order = request.order(world);
                let ticket = world.apply(request.at, order);
                progress.tickets.push(ticket);
            }
        }
        Step::Stop(which) => {
            if let Some(ticket) = progress.tickets.get(which).copied()
                && world.is_up(world.asked_of(ticket).host)
                && let Some(stop) = world.stop(ticket)
            {
                progress.stops.push((ticket, stop));
            }
        }
        Step::Crash(host) => {
            if world.is_up(host) {
                progress.crash(world, host);
            }
        }
        Step::Restart(host) => world.restart(host),
        Step::Fault(fault) => world.add_fault(fault.rule()),
        Step::Heal => world.clear_faults(),
        Step::Background(host, cores) => world.set_background(host, cores),
        Step::Move(step) => {
            if let Some(ticket) = progress.tickets.get(step.request).copied()
                && world.is_up(step.at)
                && let Some(application) = world.asked_of(ticket).application.clone()
            {
                let command = Command::Move {
                    application: application.name,
                    operator: step.operator,
                    to: step.to.map(|to| world.summary(to).name.clone()),
                };
                progress.moves.push(world.command(step.at, command));
            }
        }
        Step::Drain { at, host } => {
            if world.is_up(at) {
                let name = world.summary(host).name.clone();
                let command = Command::Drain(Some(name));
                progress.moves.push(world.command(at, command));
            }
        }
    }
}
