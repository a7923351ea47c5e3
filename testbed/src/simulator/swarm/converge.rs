//! What must hold when faults are long over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::operator;
use model::{ComponentGraph, Instant, NodeId};
use node::node::{Answer, Command};

use crate::simulator::check::Violation;
use crate::simulator::outcome::Ticket;
use crate::simulator::world::World;

/// What was done to a network.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) tickets: Vec<Ticket>,
    /// What was asked to be stopped, and by what.
    pub(super) stops: Vec<(Ticket, Ticket)>,
    /// Moves that were asked for.
    pub(super) moves: Vec<Ticket>,
    pub(super) crashes: Vec<(Instant, usize)>,
    /// Requests whose records no host that was up had at some time.
    orphaned: BTreeSet<Ticket>,
    /// How many rows had left for a request some time before the end.
    rows: BTreeMap<Ticket, u64>,
}

impl Progress {
    pub(super) fn admitted(&self, world: &World) -> usize {
        let outcomes = self.tickets.iter().filter_map(|it| world.outcome(*it));
        outcomes.filter(|it| it.admitted.is_some()).count()
    }

    pub(super) fn shared(&self, world: &World) -> u64 {
        let outcomes = self.tickets.iter().filter_map(|it| world.outcome(*it));
        let admitted = outcomes.filter_map(|it| it.admitted.as_ref());
        admitted.map(|it| it.shared).sum()
    }

    /// Whether a request was stopped, as it was told; nothing where nobody knows, since who was asked failed, or went down before all had heard of it.
    fn is_stopped(&self, world: &World, ticket: Ticket) -> Option<bool> {
        let mut is_stopped = Some(false);
        for (_, stop) in self.stops.iter().filter(|(of, _)| *of == ticket) {
            let asked = world.asked_of(*stop);
            let is_heard_of = |unconfirmed: &[String]| {
                unconfirmed.is_empty() || !self.has_crashed(asked.host, asked.at)
            };
            match world.answer(*stop) {
                Some(Ok(Answer::Stopped(it))) if is_heard_of(&it.unconfirmed) => return Some(true),
                _ => is_stopped = None,
            }
        }
        is_stopped
    }

    /// Notes how many rows have left so far.
    pub(super) fn note_rows(&mut self, world: &World) {
        let rows = self.tickets.iter().map(|it| (*it, rows_of(world, *it)));
        self.rows = rows.collect();
    }

    /// A host goes down.
    pub(super) fn crash(&mut self, world: &mut World, host: usize) {
        self.crashes.push((world.now(), host));
        world.crash(host);
        let is_orphaned = |ticket: &Ticket| {
            let application = world.asked_of(*ticket).application.as_ref();
            let mut up = world.hosts.iter().filter(|host| host.is_up);
            application.is_some_and(|it| up.all(|host| host.node.recorded_graph(it).is_none()))
        };
        let orphaned = self.tickets.iter().copied().filter(is_orphaned);
        self.orphaned.extend(orphaned);
    }

    /// The graph that a request is to run by, where all is to run: nobody has stopped it, and nothing has happened to its hosts that
    /// cannot be repaired.
    fn graph_of(&self, world: &World, ticket: Ticket) -> Option<Arc<ComponentGraph>> {
        let asked = world.asked_of(ticket);
        let graph = recorded(world, ticket)?;
        let numbers = |node: &NodeId| world.host_of(*node);
        let is_feasible = match world.repairs() {
            true => {
                let is_fed = match world.discrete.is_some() {
                    true => {
                        self.has_all_sources(world, ticket, &graph)
                            && has_all_states(world, &graph)
                            && !world.has_lost_state(asked.composition)
                    }
                    false => {
                        let mut at = graph.sources().iter().filter_map(|it| numbers(&it.host));
                        at.all(|host| world.is_up(host))
                    }
                };
                !self.orphaned.contains(&ticket) && is_fed
            }
            false => {
                let hosts = graph.hosts();
                let mut at = hosts.iter().filter_map(numbers);
                !at.any(|host| self.has_crashed(host, asked.at)) && world.is_up(asked.host)
            }
        };
        let is_running = self.is_stopped(world, ticket) == Some(false);
        (is_feasible && is_running).then_some(graph)
    }

    /// Whether no host of its sources has gone down since it was asked for, or of those of others that it shares, ever: a source of rows is
    /// read once.
    fn has_all_sources(&self, world: &World, ticket: Ticket, graph: &ComponentGraph) -> bool {
        let asked = world.asked_of(ticket).at;
        let mut sources = graph.sources().iter();
        !sources.any(|source| {
            let since = if source.shared { Instant::ZERO } else { asked };
            world
                .host_of(source.host)
                .is_some_and(|host| self.has_crashed(host, since))
        })
    }

    /// Whether a host has gone down since then.
    fn has_crashed(&self, host: usize, since: Instant) -> bool {
        self.crashes
            .iter()
            .any(|(at, it)| *it == host && *at >= since)
    }
}

/// Whether somebody who is up has the state of each operator: where nobody has, it waits for its host.
fn has_all_states(world: &World, graph: &ComponentGraph) -> bool {
    let plan = graph.plan().operators().iter();
    let held = plan.zip(graph.operators()).zip(graph.backups());
    let mut stateful = held.filter(|((it, _), _)| operator::has_state(&it.kind));
    let is_up = |node: &NodeId| world.host_of(*node).is_some_and(|host| world.is_up(host));
    stateful.all(|((_, binding), backups)| is_up(&binding.host) || backups.iter().any(is_up))
}

/// What does not hold.
pub(super) fn check(world: &mut World, progress: &Progress) -> Vec<Violation> {
    let mut wrong = Wrong {
        at: world.now(),
        found: Vec::new(),
    };
    ends(world, progress, &mut wrong);
    promises(world, &mut wrong);
    applications(world, progress, &mut wrong);
    moves(world, progress, &mut wrong);
    records(world, progress, &mut wrong);
    wrong.found
}

struct Wrong {
    at: Instant,
    found: Vec<Violation>,
}

impl Wrong {
    fn add(&mut self, host: Option<usize>, what: String) {
        let at = self.at;
        self.found.push(Violation { at, host, what });
    }
}

/// Where rows are kept: each has left once, at every sink; all of them, where nothing has happened to the hosts of its application. Gives how many rows that are.
pub(super) fn check_rows(world: &World, progress: &Progress) -> (usize, Vec<Violation>) {
    let mut wrong = Wrong {
        at: world.now(),
        found: Vec::new(),
    };
    let mut rows = 0;
    for ticket in &progress.tickets {
        let asked = world.asked_of(*ticket);
        let graph = asked.composition.and_then(|id| world.graphs.get(&id));
        let hosts = graph.map(|graph| graph.hosts()).unwrap_or_default();
        let mut numbers = hosts.iter().filter_map(|node| world.host_of(*node));
        let is_whole = match world.repairs() {
            true => progress.graph_of(world, *ticket).is_some(),
            false => {
                numbers.all(|host| !progress.has_crashed(host, asked.at)) && world.is_up(asked.host)
            }
        };
        let is_drained = is_whole && progress.is_stopped(world, *ticket) == Some(false);
        let (count, found) = world.check_rows(*ticket, is_drained);
        rows += count;
        for what in found {
            let name = asked.application.as_ref().map_or("", |it| it.name.as_str());
            wrong.add(Some(asked.host), format!("{name}: {what}"));
        }
    }
    (rows, wrong.found)
}

/// Each request has ended, unless who was asked went down.
fn ends(world: &World, progress: &Progress, wrong: &mut Wrong) {
    for ticket in &progress.tickets {
        let asked = world.asked_of(*ticket);
        if asked.answered.is_none() && !progress.has_crashed(asked.host, asked.at) {
            let what = format!("{:?} was never answered", asked.application);
            wrong.add(Some(asked.host), what);
        }
    }
}

/// Each move has ended, what was made ready holds or is gone, and each operator runs once: where all who keep the record of its
/// application have it.
fn moves(world: &World, progress: &Progress, wrong: &mut Wrong) {
    for ticket in &progress.moves {
        let asked = world.asked_of(*ticket);
        if asked.answered.is_none() && !progress.has_crashed(asked.host, asked.at) {
            wrong.add(Some(asked.host), "a move was never answered".to_owned());
        }
    }
    for (host, id) in world.fluid.prepared() {
        wrong.add(Some(*host), format!("it is ready for {id:?} still"));
    }
    for ticket in &progress.tickets {
        let asked = world.asked_of(*ticket);
        let (Some(id), Some(application)) = (asked.composition, &asked.application) else {
            continue;
        };
        let Some(graph) = progress.graph_of(world, *ticket) else {
            continue;
        };
        let hosts = graph.hosts();
        let hosts = hosts.iter().filter_map(|node| world.host_of(*node));
        // A backup may be gone for which nobody is there to come in its place.
        for host in hosts.filter(|host| world.is_up(*host)) {
            let recorded = world.hosts[host].node.recorded_graph(application);
            if recorded != Some(&*graph) {
                let what = format!(
                    "{} runs as {:?}, and its record says {:?}",
                    application.name,
                    world.places(&graph),
                    recorded.map(|it| world.places(it))
                );
                wrong.add(Some(host), what);
            }
        }
        for (operator, binding) in graph.operators().iter().enumerate() {
            let expected: Vec<usize> = world.host_of(binding.host).into_iter().collect();
            let runs = world.fluid.places((id, operator));
            if !binding.shared && runs != expected {
                let name = &graph.plan().operators()[operator].name;
                let what = format!("{}/{name} runs on {runs:?}", application.name);
                wrong.add(expected.first().copied(), what);
            }
        }
    }
}

/// The graph by which a request runs as hosts that are up have it in their records, or else as it was last deployed.
fn recorded(world: &World, ticket: Ticket) -> Option<Arc<ComponentGraph>> {
    let asked = world.asked_of(ticket);
    let deployed = world.graphs.get(&asked.composition?)?;
    let application = asked.application.as_ref()?;
    let up = (0..world.hosts.len()).filter(|host| world.is_up(*host));
    let mut graphs = up.filter_map(|host| {
        let graph = world.hosts[host].node.recorded_graph(application)?;
        let here = world.numbers.get_index(host).map(|(node, ())| *node)?;
        graph.hosts().contains(&here).then_some(graph)
    });
    let found = graphs.next().filter(|it| **it != **deployed);
    Some(found.map_or_else(|| Arc::clone(deployed), |it| Arc::new(it.clone())))
}

/// Whether something of a graph is on a host that its application has for itself, or reads for itself.
fn serves(graph: &ComponentGraph, node: NodeId) -> bool {
    let bindings = graph.sources().iter().chain(graph.operators());
    let mut bindings = bindings.chain(graph.sinks());
    let edges = graph.plan().edges();
    bindings.any(|it| it.host == node && !it.shared)
        || edges.into_iter().any(|(stream, reader)| {
            graph.producer(stream).host == node && !graph.reader(reader).shared
        })
}

/// How many rows have left for a request.
fn rows_of(world: &World, ticket: Ticket) -> u64 {
    let counted = world.counted(ticket);
    counted.iter().map(|it| it.rows).sum()
}

/// Nothing is reserved, and what is allocated runs.
fn promises(world: &World, wrong: &mut Wrong) {
    for host in 0..world.hosts.len() {
        if !world.is_up(host) {
            continue;
        }
        let (reserved, allocated) = world.hosts[host].node.promised();
        if reserved.cpu_cores > 0.0 || reserved.uplink_bytes_per_second > 0.0 {
            wrong.add(Some(host), format!("{reserved:?} is reserved still"));
        }
        let running = world.running_cores(host);
        if (allocated.cpu_cores - running).abs() > 1e-6 {
            let what = format!(
                "{:.6} cores are allocated, and components for {running:.6} run",
                allocated.cpu_cores
            );
            wrong.add(Some(host), what);
        }
    }
}

/// What was stopped is gone but for what others read, and what runs is everywhere where its graph says.
fn applications(world: &World, progress: &Progress, wrong: &mut Wrong) {
    for ticket in &progress.tickets {
        let asked = world.asked_of(*ticket);
        let Some(id) = asked.composition else {
            continue;
        };
        let name = asked.application.as_ref().map_or("", |it| it.name.as_str());
        match progress.is_stopped(world, *ticket) {
            Some(true) => {
                for host in world.left_of(id) {
                    wrong.add(Some(host), format!("{name} runs here, and was stopped"));
                }
            }
            Some(false) => {
                let Some(graph) = progress.graph_of(world, *ticket) else {
                    continue;
                };
                if world.discrete.is_none() && !world.yields(id, &graph) {
                    let what = format!("{name} gives nothing as {:?}", world.places(&graph));
                    wrong.add(Some(asked.host), what);
                }
                let serving = graph
                    .hosts()
                    .into_iter()
                    .filter(|node| serves(&graph, *node));
                for host in serving.filter_map(|node| world.host_of(node)) {
                    if !world.fluid.is_serving(host, id) {
                        wrong.add(Some(host), format!("{name} should run here"));
                    }
                }
                let before = progress.rows.get(ticket).copied();
                if world.discrete.is_some() && before == Some(rows_of(world, *ticket)) {
                    let what = format!("no row of {name} has left since then");
                    wrong.add(Some(asked.host), what);
                }
            }
            None => {}
        }
    }
}

/// What a host lists: by owner and name, the status.
type List = BTreeMap<(String, String), String>;

/// Hosts agree on what runs.
fn records(world: &mut World, progress: &Progress, wrong: &mut Wrong) {
    let up: Vec<usize> = (0..world.hosts.len())
        .filter(|it| world.is_up(*it))
        .collect();
    let asked: Vec<(usize, Ticket)> = [up.first(), up.last()]
        .into_iter()
        .flatten()
        .map(|host| (*host, world.command(*host, Command::Applications)))
        .collect();
    world.run_until_answered();
    let mut lists: Vec<(usize, List)> = Vec::new();
    for (host, ticket) in asked {
        match world.answer(ticket) {
            Some(Ok(Answer::Applications(rows))) => {
                // Of what was stopped only those know who took part in it, once it is gone from the index.
                let rows = rows.iter().filter(|row| row.status != "stopped");
                // Whether a host is gone for good each host judges by whom it has ever heard of; what is compared is the record.
                let of_record = |status: &str| match status {
                    "degraded" | "unheard" => "running".to_owned(),
                    status => status.to_owned(),
                };
                let rows = rows.map(|row| {
                    let name = (row.owner.clone(), row.name.clone());
                    (name, of_record(&row.status))
                });
                lists.push((host, rows.collect()));
            }
            other => wrong.add(Some(host), format!("no list of applications: {other:?}")),
        }
    }
    if let [(one, first), (other, second)] = lists.as_slice()
        && first != second
    {
        let what = format!("it lists {first:?}, and host {other} {second:?}");
        wrong.add(Some(*one), what);
    }
    let Some((at, list)) = lists.first() else {
        return;
    };
    for ticket in &progress.tickets {
        let it = world.asked_of(*ticket);
        let Some(application) = it.application.as_ref().filter(|_| it.composition.is_some()) else {
            continue;
        };
        let key = (super::hex(&application.owner.0), application.name.clone());
        let status = list.get(&key).map(String::as_str);
        let is_right = match progress.is_stopped(world, *ticket) {
            Some(true) => status.is_none(),
            Some(false) if progress.graph_of(world, *ticket).is_some() => status == Some("running"),
            Some(false) | None => true,
        };
        if !is_right {
            let what = format!("{} is listed as {status:?}", application.name);
            wrong.add(Some(*at), what);
        }
    }
}
