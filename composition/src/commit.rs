//! The composing node's side of a commit: the best graph is confirmed, then started; when that fails, the next best.

use std::collections::BTreeSet;

use model::{Binding, ComponentGraph, CompositionId, Instant, NodeId, NodeView, Resources};

use crate::composer::{Composer, Outbox};
use crate::config::{ATTEMPTS_MAX, CONFIRM_ROUNDS};
use crate::counts::Ignored;
use crate::effect::{Composed, Event, Outline, Reason};
use crate::message::{Body, Confirm, Decline};
use crate::refusal;
use crate::request::{HostIndex, Part};
use crate::select::Graph;
use crate::session::{Phase, Session, refuse};

/// A graph that is being confirmed or started.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Counted from 1.
    attempt: u8,
    step: Step,
    pub(crate) graph: Graph,
    /// What is told when it has started.
    composed: Composed,
    /// The others, the best first.
    others: Vec<Graph>,
    /// Who has not answered.
    waiting: BTreeSet<NodeId>,
    sends_left: u8,
    pub(crate) again_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Everybody is to deploy.
    Confirm,
    /// Everybody has deployed, and is to start.
    Start,
}

impl Commit {
    /// What is told of the best of some graphs.
    pub(crate) fn describe(view: &NodeView, session: &Session, graphs: &[Graph]) -> Composed {
        let facts = (&*session.request, &session.facts);
        let best = &graphs[0];
        Composed {
            graph: components(session, best),
            predicted_delay: best.delay,
            congestion: best.congestion,
            runner_up: graphs.get(1).map(|graph| Outline {
                operators: bind(session, &graph.hosts),
                predicted_delay: graph.delay,
                congestion: graph.congestion,
            }),
            reasons: refusal::reasons(view, &session.order, facts, graphs),
            probe_count: session.probe_count,
        }
    }

    /// Everything that is said to a host in this step.
    fn message(&self, id: CompositionId, session: &Session, node: NodeId) -> Body {
        let attempt = self.attempt;
        match self.step {
            Step::Start => Body::Start { id, attempt },
            Step::Confirm => {
                let host = session.host_of(node);
                let takes = host.and_then(|host| self.graph.takes.get(&host));
                Body::Confirm(Box::new(Confirm {
                    id,
                    attempt,
                    application: session.order.application.clone(),
                    graph: self.composed.graph.clone(),
                    takes: takes.map_or_else(Resources::default, |it| *it),
                }))
            }
        }
    }
}

fn bind(session: &Session, hosts: &[HostIndex]) -> Vec<Binding> {
    let hosts = hosts.iter();
    hosts
        .map(|host| Binding::new(session.request.node(*host)))
        .collect()
}

/// The plan with its parts bound as a graph says.
fn components(session: &Session, graph: &Graph) -> ComponentGraph {
    let order = &session.order;
    let at = |nodes: &[NodeId]| nodes.iter().copied().map(Binding::new).collect();
    ComponentGraph::new(
        order.plan.clone(),
        order.origins.clone(),
        at(&order.sources),
        bind(session, &graph.hosts),
        at(&order.sinks),
    )
    .expect("an order was complete before anybody was asked, and a graph binds each operator")
}

impl Composer {
    /// Confirms the best graph that is left, or refuses the request. `before` has failed.
    pub(crate) fn try_next(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        session: Session,
        (before, mut graphs): (Option<&Commit>, Vec<Graph>),
        out: &mut Outbox<'_>,
    ) {
        graphs.retain(|graph| graph.takes.keys().all(|host| !session.facts.is_out(*host)));
        let attempts = before.map_or(0, |commit| commit.attempt);
        if attempts >= ATTEMPTS_MAX || graphs.is_empty() {
            self.release_all(now, id, &session, out);
            return refuse(id, Reason::Unconfirmed, session.binding, None, out);
        }
        let composed = Commit::describe(view, &session, &graphs);
        let graph = graphs.remove(0);
        let hosts = composed.graph.hosts();
        if let Some(before) = before {
            // Hosts of both are told by the next confirmation, so that nobody takes in between what they hold.
            let left = &before.composed.graph.hosts() - &hosts;
            self.release(now, id, attempts, left, out);
        }
        let commit = Commit {
            attempt: attempts + 1,
            step: Step::Confirm,
            waiting: hosts,
            graph,
            composed,
            others: graphs,
            sends_left: CONFIRM_ROUNDS,
            again_at: now,
        };
        self.say(now, id, session, commit, out);
    }

    /// Says what its step says to everybody who has not answered.
    fn say(
        &mut self,
        now: Instant,
        id: CompositionId,
        session: Session,
        mut commit: Commit,
        out: &mut Outbox<'_>,
    ) {
        for node in &commit.waiting {
            out.send(*node, commit.message(id, &session, *node));
        }
        commit.sends_left -= 1;
        commit.again_at = now + self.interval();
        self.keep(id, session, commit);
    }

    fn keep(&mut self, id: CompositionId, session: Session, commit: Commit) {
        let phase = Phase::Committing(Box::new(commit));
        self.sessions.insert(id, (session, phase));
    }

    /// Takes a commit out of its place if it is at `attempt`, and at `step` where one is asked for.
    fn take_commit(
        &mut self,
        (id, attempt): (CompositionId, u8),
        from: NodeId,
        step: Option<Step>,
    ) -> Option<(Session, Commit)> {
        let is_heeded = self
            .sessions
            .get(&id)
            .is_some_and(|(_, phase)| match phase {
                Phase::Probing { .. } => false,
                Phase::Committing(commit) => {
                    commit.attempt == attempt
                        && step.is_none_or(|step| commit.step == step)
                        && commit.composed.graph.hosts().contains(&from)
                }
            });
        if !is_heeded {
            self.counts.ignore(Ignored::Late);
            return None;
        }
        match self.sessions.remove(&id) {
            Some((session, Phase::Committing(commit))) => Some((session, *commit)),
            Some((_, Phase::Probing { .. })) | None => None,
        }
    }

    pub(crate) fn on_confirmed(
        &mut self,
        now: Instant,
        from: NodeId,
        key: (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        let Some((session, mut commit)) = self.take_commit(key, from, Some(Step::Confirm)) else {
            return;
        };
        commit.waiting.remove(&from);
        if !commit.waiting.is_empty() {
            return self.keep(key.0, session, commit);
        }
        commit.step = Step::Start;
        commit.waiting = commit.composed.graph.hosts();
        commit.sends_left = CONFIRM_ROUNDS;
        self.say(now, key.0, session, commit, out);
    }

    pub(crate) fn on_started(
        &mut self,
        now: Instant,
        from: NodeId,
        key: (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        let (id, attempt) = key;
        let Some((session, mut commit)) = self.take_commit(key, from, Some(Step::Start)) else {
            return;
        };
        commit.waiting.remove(&from);
        if !commit.waiting.is_empty() {
            return self.keep(id, session, commit);
        }
        // The losers keep nothing.
        let composed = commit.composed;
        let part_of_it = composed.graph.hosts();
        let hosts = session.request.body().hosts.iter().map(|host| host.node);
        let losers = hosts.filter(|node| !part_of_it.contains(node)).collect();
        self.release(now, id, attempt, losers, out);
        out.event(Event::Composed { id, composed });
    }

    pub(crate) fn on_declined(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        key: (CompositionId, u8),
        why: Decline,
        out: &mut Outbox<'_>,
    ) {
        let Some((mut session, commit)) = self.take_commit(key, from, None) else {
            return;
        };
        let host = session.host_of(from);
        if let (Decline::Failed(_), Some(host)) = (&why, host) {
            // It would fail again: no other graph of this request goes there.
            session.facts.exclude(host);
        }
        let name = part_name(&session, &commit.graph, host);
        session.binding = Some(match why {
            Decline::Lacks(lack) => refusal::lacks(name, &lack, 1),
            Decline::Failed(reason) => refusal::unusable(name, from, reason),
            Decline::Gone => refusal::unusable(name, from, "it let go of what it held".to_owned()),
        });
        self.fail(now, view, key.0, session, commit, out);
    }

    /// A step was not answered by all in time: once more, or the next graph.
    pub(crate) fn on_commit_timeout(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        commit: Commit,
        out: &mut Outbox<'_>,
    ) {
        if commit.sends_left > 0 {
            return self.say(now, id, session, commit, out);
        }
        if let Some(silent) = commit.waiting.first() {
            let host = session.host_of(*silent);
            let name = part_name(&session, &commit.graph, host);
            let reason = format!("it did not answer {CONFIRM_ROUNDS} times");
            session.binding = Some(refusal::unusable(name, *silent, reason));
        }
        for host in commit.waiting.clone() {
            if let Some(host) = session.host_of(host) {
                session.facts.exclude(host);
            }
        }
        self.fail(now, view, id, session, commit, out);
    }

    /// A host of the graph that is being committed cannot be reached.
    pub(crate) fn on_commit_unreachable(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        (node, commit): (NodeId, Commit),
        out: &mut Outbox<'_>,
    ) {
        let host = session.host_of(node);
        let name = part_name(&session, &commit.graph, host);
        session.binding = Some(refusal::unreachable(&name, node));
        self.fail(now, view, id, session, commit, out);
    }

    fn fail(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        session: Session,
        mut commit: Commit,
        out: &mut Outbox<'_>,
    ) {
        let graphs = std::mem::take(&mut commit.others);
        self.try_next(now, view, id, session, (Some(&commit), graphs), out);
    }
}

/// The first part of a graph that is on a host.
fn part_name(session: &Session, graph: &Graph, host: Option<HostIndex>) -> String {
    let at = |part: Part| match part {
        Part::Operator(index) => graph.hosts[usize::from(index)],
        Part::Source(_) | Part::Sink(_) => session.request.places(part)[0],
    };
    let mut parts = session.request.parts();
    let part = parts.find(|part| Some(at(*part)) == host);
    part.map_or_else(String::new, |part| refusal::name(&session.order, part))
}
