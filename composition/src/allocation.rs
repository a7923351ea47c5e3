//! The host's side of a commit: what was confirmed here, and whether it has started.
//!
//! Confirmed is what reserves for good and deploys; it lapses unless a start follows. A start comes from the composing node, and from
//! every other host of the graph that has been told: when the composing node vanishes in the middle of it, either
//! everybody starts or nobody does.
//!
//! A host that confirms checks exactly: resources, whom it slows, and the ways into its parts, which it measures where it never did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::plan::Stream;
use model::{ApplicationId, ComponentGraph, CompositionId, Instant, NodeId, NodeView, StreamName};

use crate::composer::{Composer, Outbox};
use crate::config::ATTEMPTS_MAX;
use crate::counts::Ignored;
use crate::effect::Effect;
use crate::ledger::Claim;
use crate::message::{Body, Confirm, Confirmed, Decline, Wants};
use crate::migration::{MigrationId, Pending};
use crate::policy::Projection;
use crate::queue::Job;
use crate::reminder::Kind;
use crate::request::{Part, number};
use crate::serving::Charge;

mod admit;
mod charge;
pub(crate) mod room;
mod start;
mod tell;
#[cfg(test)]
mod tests;

pub(crate) use admit::newcomer;
pub(crate) use charge::{CHARGES_MAX, Deferred};

/// How often a way is measured: the first time may count what it takes to connect. The shortest counts.
const PINGS: u8 = 2;

/// How long a measured way is used again. Unit: time. Source: guess; routes change within minutes.
const WAY_LIFE: Duration = Duration::from_secs(60);

/// The most ways that are remembered. Unit: hosts, 64 bytes each. Source: guess; more than a host has neighbors in graphs.
const WAYS_MAX: usize = 1024;

/// The most graphs of which a host runs parts.
///
/// Unit: compositions, some kilobytes each. When there are as many no more is taken. Source: guess; hosts run out of processors before.
pub(crate) const ALLOCATIONS_MAX: usize = 1024;

/// A graph of which this host runs a part, or is about to.
#[derive(Debug)]
pub(crate) struct Allocation {
    attempt: u8,
    pub(crate) application: ApplicationId,
    pub(crate) state: State,
    pub(crate) graph: ComponentGraph,
    /// How often operators of it were moved, as this host knows.
    pub(crate) generation: u64,
    /// How many hosts this one has asked to take operators of it, modulo 256: no two are asked under one id.
    pub(crate) moves_tried: u8,
    /// The migration that the graph came of, where one did.
    pub(crate) switched: Option<MigrationId>,
    /// The graph that this host makes ready for.
    pub(crate) pending: Option<Box<Pending>>,
    pub(crate) wants: Wants,
    /// What each operator of the plan takes, and can wait, as it was declared; nothing before a record has said it.
    pub(crate) jobs: Vec<Job>,
    /// What leaves this host by the graph. Unit: bytes per second.
    pub(crate) leaves: f64,
    /// What the copies take that run here of operators of it, as backups.
    pub(crate) copies: model::Resources,
    pub(crate) projection: Projection,
    /// Whom it slows.
    charges: Vec<Charge>,
    /// The ways that are being measured: to whom, since when, and how many answers are to come.
    pings: BTreeMap<NodeId, (Instant, u8)>,
    /// How old what each operator of the plan yields is expected to be.
    pub(crate) ages: Vec<Duration>,
    /// What is registered of it: by stream, and how old it was said to be.
    registered: BTreeMap<StreamName, Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It was ordered, and lapses then.
    Deploying { until: Instant },
    /// It is there, and lapses then; whether that was said.
    Deployed { until: Instant, is_told: bool },
    /// It runs, until it is retired.
    Started,
    /// Its application has ended; what others read runs on until they stop.
    Ended,
}

impl Allocation {
    /// Of a graph that this host confirms.
    fn confirmed(confirm: Confirm, leaves: f64, until: Instant, charges: Vec<Charge>) -> Self {
        let graph = confirm.graph;
        Self {
            state: State::Deploying { until },
            charges,
            wants: confirm.wants,
            leaves,
            projection: confirm.projection,
            ..Self::joining(confirm.application, confirm.attempt, graph)
        }
    }

    /// Of a graph that runs elsewhere and of which an operator is to come here.
    pub(crate) fn joining(application: ApplicationId, attempt: u8, graph: ComponentGraph) -> Self {
        Self {
            attempt,
            application,
            state: State::Deploying {
                until: Instant::ZERO,
            },
            graph,
            generation: 0,
            moves_tried: 0,
            switched: None,
            pending: None,
            wants: Wants::default(),
            jobs: Vec::new(),
            leaves: 0.0,
            copies: model::Resources::default(),
            projection: Projection::Rank,
            charges: Vec::new(),
            pings: BTreeMap::new(),
            ages: Vec::new(),
            registered: BTreeMap::new(),
        }
    }

    /// Whether it is of another graph than the composing node knows, or makes ready for one.
    const fn has_moved(&self) -> bool {
        self.generation > 0 || self.pending.is_some()
    }

    /// The operators of its own that its graph wants on a host, and those that are to come there, whether they are there yet or not.
    fn wanted(&self, here: NodeId) -> (BTreeSet<u16>, BTreeSet<u16>) {
        let own = |graph: &ComponentGraph| {
            let own = (0..).zip(graph.operators());
            let own = own.filter(|(_, binding)| binding.host == here && !binding.shared);
            own.map(|(index, _)| index).collect()
        };
        let graph = (self.state != State::Ended).then_some(&self.graph);
        let pending = self.pending.as_deref().map(Pending::graph);
        let (graph, pending) = (graph.map(own), pending.map(own));
        (graph.unwrap_or_default(), pending.unwrap_or_default())
    }

    /// What its request is projected by.
    pub(crate) const fn projection(&self) -> Projection {
        self.projection
    }

    pub(crate) const fn attempt(&self) -> u8 {
        self.attempt
    }

    /// The hosts that the parts on a host read from.
    fn upstream(&self, node: NodeId) -> BTreeSet<NodeId> {
        let parts = parts(&self.graph, node);
        let inputs = parts.iter().flat_map(|(_, inputs)| inputs);
        let hosts = inputs.map(|input| self.graph.producer(*input).host);
        hosts.filter(|host| *host != node).collect()
    }
}

/// The parts of the plan that are on a host and what each of them reads; those that it makes anew, and those that run there already.
fn parts(graph: &ComponentGraph, node: NodeId) -> Vec<(Part, Vec<Stream>)> {
    let plan = graph.plan();
    let operators = plan.operators().iter().zip(graph.operators()).enumerate();
    let operators = operators
        .filter(|(_, (_, at))| at.host == node)
        .map(|(index, (it, _))| (Part::Operator(number(index)), it.inputs.clone()));
    let sinks = plan.sinks().iter().zip(graph.sinks()).enumerate();
    let sinks = sinks
        .filter(|(_, (_, at))| at.host == node)
        .map(|(index, (it, _))| (Part::Sink(number(index)), vec![it.input]));
    operators.chain(sinks).collect()
}

fn part_of(stream: Stream) -> Part {
    match stream {
        Stream::Source(index, _) => Part::Source(number(index)),
        Stream::Operator(index, _) => Part::Operator(number(index)),
    }
}

impl Composer {
    pub(crate) fn on_confirm(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        confirm: Confirm,
        out: &mut Outbox<'_>,
    ) {
        let (id, attempt) = (confirm.id, confirm.attempt);
        if from != id.node {
            return self.counts.ignore(Ignored::Foreign);
        }
        if !confirm.graph.hosts().contains(&view.node()) || !(1..=ATTEMPTS_MAX).contains(&attempt) {
            return self.counts.ignore(Ignored::Unfit);
        }
        if self.closed.has_attempt(id, attempt) {
            self.counts.ignore(Ignored::Late);
            let why = Decline::Gone;
            return out.send(from, Body::Declined { id, attempt, why });
        }
        if let Some(known) = self.allocations.get(&id) {
            if known.attempt > attempt {
                return self.counts.ignore(Ignored::Late);
            }
            if known.attempt == attempt {
                self.counts.ignore(Ignored::Repeated);
                return self.confirm_again(view, id, out);
            }
            // An earlier graph, of which the release was overtaken or left out because this one follows.
            self.allocations.remove(&id);
            self.serving.remove(id);
            out.effect(Effect::Undeploy { id });
        }
        let claim = Claim {
            id,
            failed: attempt - 1,
        };
        let application = confirm.application.clone();
        let graph = (None, &confirm.graph);
        let newcomer = newcomer(view.node(), application, graph, |it| confirm.jobs[it]);
        let leaves = confirm.wants.leaves(&confirm.graph, view.node());
        match self.take_in(view, claim, newcomer, leaves, confirm.projection) {
            Ok(charges) => self.deploy(now, view, confirm, charges, out),
            Err(why) => {
                self.ledger.release(id);
                out.send(from, Body::Declined { id, attempt, why });
            }
        }
    }

    fn deploy(
        &mut self,
        now: Instant,
        view: &NodeView,
        confirm: Confirm,
        charges: Vec<Charge>,
        out: &mut Outbox<'_>,
    ) {
        let (id, attempt) = (confirm.id, confirm.attempt);
        let until = now + self.config.lease;
        *self.answers_due.entry(id).or_default() += 1;
        out.effect(Effect::Deploy {
            id,
            application: confirm.application.clone(),
            graph: confirm.graph.clone(),
        });
        let leaves = confirm.wants.leaves(&confirm.graph, view.node());
        let mut allocation = Allocation::confirmed(confirm, leaves, until, charges);
        self.ways.retain(|_, (_, until)| *until > now);
        for node in allocation.upstream(view.node()) {
            if !view.round_trips.contains_key(&node) && !self.ways.contains_key(&node) {
                allocation.pings.insert(node, (now, PINGS));
                out.send(node, Body::Ping { id, attempt });
            }
        }
        self.allocations.insert(id, Box::new(allocation));
    }

    /// A way was measured once.
    pub(crate) fn on_pong(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        (id, attempt): (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        let allocation = self.allocations.get_mut(&id);
        let allocation = allocation.filter(|it| it.attempt == attempt);
        let Some(allocation) = allocation else {
            return self.counts.ignore(Ignored::Late);
        };
        let Some((since, left)) = allocation.pings.remove(&from) else {
            return self.counts.ignore(Ignored::Repeated);
        };
        let way = now.since(since) / 2;
        if left > 1 {
            allocation.pings.insert(from, (now, left - 1));
            out.send(from, Body::Ping { id, attempt });
        }
        if self.ways.len() < WAYS_MAX || self.ways.contains_key(&from) {
            let known = self.ways.entry(from).or_insert((way, now + WAY_LIFE));
            *known = (known.0.min(way), now + WAY_LIFE);
        }
        self.confirm_when_ready(view, id, out);
    }

    pub(crate) fn on_deployed(
        &mut self,
        _now: Instant,
        view: &NodeView,
        id: CompositionId,
        out: &mut Outbox<'_>,
    ) {
        if !self.is_last_answer(id) {
            return;
        }
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        if let State::Deploying { until } = allocation.state {
            let is_told = false;
            allocation.state = State::Deployed { until, is_told };
            self.confirm_when_ready(view, id, out);
        }
    }

    /// Who asked to confirm has heard nothing: ways that do not answer are as long as they are believed to be.
    fn confirm_again(&mut self, view: &NodeView, id: CompositionId, out: &mut Outbox<'_>) {
        if let Some(allocation) = self.allocations.get_mut(&id)
            && let State::Deployed { is_told, .. } = &mut allocation.state
        {
            *is_told = false;
            allocation.pings.clear();
            self.confirm_when_ready(view, id, out);
        }
    }

    /// Says what was found, as soon as all is there and measured.
    fn confirm_when_ready(&mut self, view: &NodeView, id: CompositionId, out: &mut Outbox<'_>) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let attempt = allocation.attempt;
        match &mut allocation.state {
            State::Deployed { is_told, .. } if allocation.pings.is_empty() && !*is_told => {
                *is_told = true;
            }
            State::Deploying { .. } | State::Deployed { .. } | State::Started | State::Ended => {
                return;
            }
        }
        let allocation = &self.allocations[&id];
        let told = self.tell(view, id, allocation.projection, &allocation.graph);
        let charges = allocation.charges.clone();
        let confirmed = Confirmed {
            id,
            attempt,
            told,
            charges,
        };
        out.send(id.node, Body::Confirmed(Box::new(confirmed)));
    }

    pub(crate) fn on_deploy_failed(
        &mut self,
        now: Instant,
        id: CompositionId,
        reason: &str,
        out: &mut Outbox<'_>,
    ) {
        if !self.is_last_answer(id) {
            return;
        }
        let Some(allocation) = self.allocations.remove(&id) else {
            return;
        };
        self.serving.remove(id);
        let attempt = allocation.attempt;
        self.closed.close(id, attempt, now + self.config.lease);
        let why = Decline::failed(reason);
        out.send(id.node, Body::Declined { id, attempt, why });
    }

    /// Whether an answer belongs to the last deployment that was ordered: those before it were undone.
    fn is_last_answer(&mut self, id: CompositionId) -> bool {
        let Some(due) = self.answers_due.get_mut(&id) else {
            return false;
        };
        *due -= 1;
        if *due == 0 {
            self.answers_due.remove(&id);
            return true;
        }
        false
    }

    pub(crate) fn on_release(
        &mut self,
        now: Instant,
        from: NodeId,
        (id, attempt): (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        if from != id.node {
            return self.counts.ignore(Ignored::Foreign);
        }
        // Who was asked in vain may have come by a migration since, before it heard that it is not of the graph that came about.
        let known = self.allocations.get(&id);
        if known.is_some_and(|known| known.attempt > attempt || known.has_moved()) {
            self.counts.ignore(Ignored::Late);
        } else {
            self.drop_allocation(now, id, out);
            self.ledger.release(id);
            self.serving.take_back(id);
            self.deferred.retain(|it| it.id != id);
            self.visits.forget(id);
            self.answer_deferred(now, out);
        }
        self.closed.close(id, attempt, now + self.config.lease);
        out.send(from, Body::Released { id, attempt });
    }

    /// Its components are gone already.
    pub(crate) fn on_retired(&mut self, now: Instant, id: CompositionId, out: &mut Outbox<'_>) {
        if let Some(allocation) = self.allocations.get_mut(&id)
            && !allocation.graph.hosts().contains(&out.node())
            && let Some(pending) = allocation.pending.as_mut()
            && pending.joins(out.node())
        {
            // What had moved away is gone at last, and something else is coming.
            let until = pending.until;
            allocation.state = State::Deploying { until };
            return;
        }
        self.serving.remove(id);
        if let Some(allocation) = self.allocations.remove(&id) {
            if let Some(pending) = &allocation.pending {
                out.effect(Effect::Abandon { id: pending.id });
            }
            Self::withdraw(id, &allocation, out);
            let until = now + self.config.lease;
            self.closed.close(id, allocation.attempt, until);
            self.reminders.remove(&(id, Kind::Start));
        }
    }

    /// The application has ended on this host; what others read of it runs on, and nothing of it goes elsewhere any more.
    pub(crate) fn on_application_ended(
        &mut self,
        now: Instant,
        id: CompositionId,
        out: &mut Outbox<'_>,
    ) {
        if let Some(allocation) = self.allocations.get_mut(&id)
            && allocation.state == State::Started
        {
            allocation.state = State::Ended;
            if let Some(pending) = allocation.pending.take() {
                out.effect(Effect::Abandon { id: pending.id });
            }
        }
        self.serving.end(id);
        self.answer_deferred(now, out);
    }

    /// Undoes what was confirmed here of a composition, if anything was.
    pub(crate) fn drop_allocation(
        &mut self,
        now: Instant,
        id: CompositionId,
        out: &mut Outbox<'_>,
    ) {
        if let Some(allocation) = self.allocations.remove(&id) {
            Self::withdraw(id, &allocation, out);
            self.serving.remove(id);
            self.reminders.remove(&(id, Kind::Start));
            self.closed
                .close(id, allocation.attempt, now + self.config.lease);
            out.effect(Effect::Undeploy { id });
        }
    }

    /// Lets go of what was confirmed and never started.
    pub(crate) fn lapse_allocations(&mut self, now: Instant, out: &mut Outbox<'_>) {
        let lapsed = self.allocations.iter();
        let lapsed = lapsed.filter(|(_, it)| it.lapses_at().is_some_and(|until| until <= now));
        let lapsed: Vec<CompositionId> = lapsed.map(|(id, _)| *id).collect();
        for id in lapsed {
            self.counts.lapsed += 1;
            self.drop_allocation(now, id, out);
        }
    }
}
