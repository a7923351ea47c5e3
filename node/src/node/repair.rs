//! What of an application runs elsewhere from now on, since a host of it is gone; and who would go on in whose place after that.
//!
//! A graph names, beside the host of each operator, those that hold its state and go on with it where that host is gone. Whoever misses a host says,
//! by a handover of the record, where everything that ran there runs from then on: the next host in rank, [`placement::repair`]. Nobody is asked, for
//! those that are gone could not answer; every host of the graph takes the record as it comes ([`composition::Rebound`]). Two that say it at once do no
//! harm: of two records one stands everywhere, and rows are judged by their positions.
//!
//! Of a stateful operator nobody may go on but who holds its state: without backups it waits for its host. What keeps no state goes on
//! anywhere; sinks go where they are fed from. Sources stay: they are where their data is.
//!
//! Who misses most of the hosts that it works with is more likely cut off itself than alone left: for `lost_after` it says nothing, and what runs here
//! goes on. Where two sides of a network are apart so, one at most says how it goes on, and nothing that the other did contends with that. Two halves say it
//! both, as two hosts do of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::operator;
use model::{ApplicationId, Binding, ComponentGraph, CompositionId, Instant, NodeId};
use placement::repair::Next;

use super::{Decision, Effect, Node};

mod backups;
mod shared;

pub(super) use backups::{BACKUPS, lacks_backups};
use shared::{Followed, is_of_others};

/// How long a host that cannot be reached is waited for before others go on in its place, and how much longer by each that is to do so before this one.
///
/// Unit: time. Range: above what a connection takes that is made again. Source: guess; whoever closes a connection to make another does so within milliseconds.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(400));

/// How long it is waited for what is being moved to be decided. Unit: time. Source: guess.
const AGAIN: Duration = Duration::from_millis(250);

/// How often what could not be made here is tried again. Unit: time. Source: guess; a host comes up in about a second.
const RETRY: Duration = Duration::from_secs(2);

/// How long a host that went over to another graph waits for the record of that before it says a graph without those that are gone: a change that was made
/// of an earlier graph would contend with it.
///
/// Unit: time. Range: above what a record takes that is sent again; who made it may be the one that is gone. Source: guess.
const RECORD_WAIT: Duration = Duration::from_millis(500);

/// As which component it is said that this host may be cut off.
const CUT_OFF: &str = "hosts";

/// What of the applications here is to be looked at. Bounded by the parts that run here.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    due: BTreeMap<CompositionId, Due>,
}

/// When an application is looked at.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// Since when a host of it is missed.
    since: Instant,
}

impl Repairs {
    /// When something is to be looked at.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.values().map(|due| due.at).min()
    }
}

/// A graph without the hosts that are gone.
struct Mended {
    graph: ComponentGraph,
    /// What runs elsewhere then, and where.
    moved: Vec<(String, NodeId)>,
}

impl Node {
    /// A host cannot be reached: what it ran is to go on elsewhere.
    pub(super) fn on_missed(&mut self, now: Instant, node: NodeId) {
        if !self.config.repairs {
            return;
        }
        let here = self.id();
        let parts = self.parts.iter().filter(|(_, part)| part.is_running());
        let missing = parts.filter(|(_, part)| part.graph.hosts().contains(&node));
        for (id, part) in missing {
            // Those that have to do with it know it first, and one of them says it.
            let near = neighbors(&part.graph, node);
            let present = |host: &&NodeId| !self.view.is_absent(**host);
            let before = match near.contains(&here) {
                true => near.iter().filter(present).position(|host| *host == here),
                false => Some(near.iter().filter(present).count() + 1),
            };
            let turn = u32::try_from(before.unwrap_or_default()).unwrap_or(u32::MAX);
            let at = now + WAIT.0 + WAIT.1.saturating_mul(turn.min(8));
            let due = self
                .repairs
                .due
                .entry(*id)
                .or_insert(Due { at, since: now });
            due.at = due.at.min(at);
        }
    }

    /// Looks at what is due.
    pub(super) fn tend_repairs(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let due = self.repairs.due.iter().filter(|(_, due)| due.at <= now);
        let due: Vec<(CompositionId, Due)> = due.map(|(id, due)| (*id, *due)).collect();
        if due.is_empty() {
            return;
        }
        let parts = self.parts.values().filter(|part| part.is_running());
        let hosts: BTreeSet<NodeId> = parts.flat_map(|part| part.graph.hosts()).collect();
        for (id, due) in due {
            self.repairs.due.remove(&id);
            self.repair(now, (id, due), &hosts, out);
        }
    }

    /// Says where everything of an application runs, where a host of it is gone. `hosts` are those that this one works with.
    fn repair(
        &mut self,
        now: Instant,
        (id, due): (CompositionId, Due),
        hosts: &BTreeSet<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        let Some(part) = self.parts.get(&id).filter(|part| part.is_running()) else {
            return;
        };
        let (application, graph) = (part.application.clone(), part.graph.clone());
        let gone: BTreeSet<NodeId> = graph.hosts();
        let gone: BTreeSet<NodeId> = gone
            .into_iter()
            .filter(|host| self.view.is_absent(*host))
            .collect();
        let lost_after = graph.plan().qos().lost_after;
        let is_cut_off = !gone.is_empty() && self.is_cut_off(now, hosts, lost_after);
        if let Some(part) = self.parts.get_mut(&id).filter(|_| !is_cut_off) {
            part.degraded.remove(CUT_OFF);
        }
        if gone.is_empty() || !self.is_current(&application, id) {
            return;
        }
        if self.composer.is_making_ready(id) {
            // It is abandoned, since a host of it cannot be reached, or comes about.
            let at = now + AGAIN;
            self.repairs.due.insert(id, Due { at, ..due });
            return;
        }
        if is_cut_off {
            let at = now + AGAIN;
            self.repairs.due.insert(id, Due { at, ..due });
            let reason = format!(
                "most hosts that this one works with cannot be reached: for {} s it waits for them",
                lost_after.as_secs()
            );
            self.degrade(now, id, CUT_OFF.to_owned(), reason, out);
            return;
        }
        if !self.is_recorded(id) && now.since(due.since) < RECORD_WAIT {
            let at = now + AGAIN;
            self.repairs.due.insert(id, Due { at, ..due });
            return;
        }
        let followed = self.followed(id, &graph, &gone);
        if followed.is_awaited {
            let at = now + RETRY;
            self.repairs.due.insert(id, Due { at, ..due });
        }
        let mended = self.mended(id, &graph, &gone, &followed);
        if mended.moved.is_empty() {
            return;
        }
        let name = |host: &NodeId| self.view.name(*host);
        let lost = graph.running_hosts();
        let lost: Vec<String> = lost.intersection(&gone).map(name).collect();
        let (components, hosts): (Vec<_>, Vec<_>) = mended.moved.into_iter().unzip();
        let decision = Decision::Repaired {
            lost: lost.join(", "),
            components,
            hosts: hosts.iter().map(name).collect(),
            after_ms: super::status::milliseconds(now.since(due.since)),
        };
        if self
            .say_rebound(now, &application, mended.graph, out)
            .is_ok()
        {
            self.counts.add("repaired");
            self.decided(now, &application, decision);
        }
    }

    /// Whether more of these hosts were missed of late than are there: rather than that all of those are gone this one is cut off.
    fn is_cut_off(&self, now: Instant, hosts: &BTreeSet<NodeId>, lost_after: Duration) -> bool {
        let absent = hosts.iter().filter_map(|it| self.view.absent_since(*it));
        let is_of_late = |since: &Instant| now.since(*since) < lost_after;
        let (missed, gone): (Vec<Instant>, Vec<Instant>) = absent.partition(is_of_late);
        missed.len() * 2 + gone.len() > hosts.len()
    }

    /// Whether a composition is the one that the record of its application is about, and runs.
    fn is_current(&self, application: &ApplicationId, id: CompositionId) -> bool {
        let record = self.records.find(application);
        record.is_some_and(|record| {
            record.listing.head.composition == id
                && record.listing.is_running()
                && record.listing.may_change(self.id())
                && record.body.is_some()
        })
    }

    /// A graph of which nothing that can be elsewhere is bound to those that are gone.
    fn mended(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        gone: &BTreeSet<NodeId>,
        followed: &Followed,
    ) -> Mended {
        let mut mended = Mended {
            graph: graph.clone(),
            moved: Vec::new(),
        };
        for (index, to) in &followed.moved {
            if let Ok(graph) = mended.graph.rebound(*index, Binding::shared(*to)) {
                let name = graph.plan().operators()[*index].name.clone();
                mended.graph = graph;
                mended.moved.push((name, *to));
            }
        }
        // Readers go before what they read: what is made for nobody would be read by nobody.
        for index in (0..graph.operators().len()).rev() {
            let host = mended.graph.operators()[index].host;
            let is_lost = gone.contains(&host) || followed.lost.contains(&index);
            if !is_lost || is_of_others(&mended.graph, index) {
                continue;
            }
            // What is shared and lost may have its host: there it is somebody else's.
            let mut gone = gone.clone();
            gone.insert(host);
            let gone = &gone;
            let backups = &graph.backups()[index];
            let ranked: Vec<NodeId> = [host].into_iter().chain(backups.iter().copied()).collect();
            let operator = &graph.plan().operators()[index];
            let to = match placement::repair::next(&ranked, 0, gone) {
                Next::Activate(rank) => Some(ranked[rank]),
                Next::Recompose
                    if operator::find(&operator.kind).is_some_and(|it| !it.has_state()) =>
                {
                    self.nearest(id, &mended.graph, index, gone)
                }
                Next::Recompose | Next::Stay => None,
            };
            let rebound = to.map(|to| (to, mended.graph.rebound(index, Binding::new(to))));
            if let Some((to, Ok(graph))) = rebound {
                mended.graph = graph;
                mended.moved.push((operator.name.clone(), to));
            }
        }
        for (index, sink) in graph.plan().sinks().iter().enumerate() {
            if !gone.contains(&graph.sinks()[index].host) {
                continue;
            }
            let feeding = mended.graph.producer(sink.input).host;
            let mut others = mended.graph.hosts().into_iter();
            let to = match gone.contains(&feeding) {
                false => Some(feeding),
                true => others.find(|host| !gone.contains(host)),
            };
            if let Some(to) = to {
                mended.graph = mended.graph.with_sink(index, to);
                mended.moved.push((sink.name.clone(), to));
            }
        }
        mended
    }

    /// The host that an operator goes to which nobody holds a place for: one that runs something beside it, before others.
    fn nearest(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        operator: usize,
        gone: &BTreeSet<NodeId>,
    ) -> Option<NodeId> {
        let may_run: BTreeSet<NodeId> = self.hosts_for(id, operator).collect();
        let beside = graph.running_hosts();
        let is_there = |host: &&NodeId| !gone.contains(host) && may_run.contains(host);
        let mut beside = beside.iter().filter(is_there);
        let mut others = may_run.iter().filter(is_there);
        beside.next().or_else(|| others.next()).copied()
    }

    /// The hosts that may run an operator and can be reached, this one among them.
    fn hosts_for(&self, id: CompositionId, operator: usize) -> impl Iterator<Item = NodeId> {
        let operator = u16::try_from(operator).unwrap_or(u16::MAX);
        let hosts = self.composer.hosts_for(&self.view.hosts, id, operator);
        let nodes = hosts.map(|host| host.node);
        nodes.filter(|node| !self.view.is_absent(*node))
    }

    /// Sees to it that as many hosts hold the state of every operator as were asked for; and makes again what could not be made here.
    pub(super) fn tend_backups(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if !self.config.repairs {
            return;
        }
        let ids: Vec<CompositionId> = self.parts.keys().copied().collect();
        for id in ids {
            self.protect(now, id, out);
            self.make_again(now, id, out);
        }
    }

    /// What could not be made here is tried again.
    fn make_again(&mut self, now: Instant, id: CompositionId, out: &mut Vec<Effect>) {
        let Some(part) = self.parts.get_mut(&id).filter(|part| part.is_running()) else {
            return;
        };
        if part.unmade.is_empty() || now < part.made_again {
            return;
        }
        part.made_again = now + RETRY;
        let effect = Effect::Adopt {
            id,
            application: part.application.clone(),
            graph: Box::new(part.graph.clone()),
            cores: part.cores,
        };
        out.push(effect);
    }
}

/// The hosts that have to do with what runs on one: that feed it, read it, or hold its state; each once, in order.
fn neighbors(graph: &ComponentGraph, node: NodeId) -> BTreeSet<NodeId> {
    let plan = graph.plan();
    let mut near = BTreeSet::new();
    let mut edge = |from: NodeId, to: NodeId| {
        if from == node {
            near.insert(to);
        }
        if to == node {
            near.insert(from);
        }
    };
    for (index, operator) in plan.operators().iter().enumerate() {
        let at = graph.operators()[index].host;
        for input in &operator.inputs {
            edge(graph.producer(*input).host, at);
        }
        for backup in &graph.backups()[index] {
            edge(at, *backup);
        }
    }
    for (sink, binding) in plan.sinks().iter().zip(graph.sinks()) {
        edge(graph.producer(sink.input).host, binding.host);
    }
    near.remove(&node);
    near
}
