//! The composing node's side of a commit: the best graph is confirmed, charged for, and started; when that fails, the next best.
//!
//! What was chosen by estimates is checked by what its hosts tell: the ways that they measured, the times that its parts take beside all
//! that runs there now. Whom it slows is asked at their sinks, once for all of its hosts together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{CompositionId, Instant, NodeId, NodeView};

use crate::allocation::CHARGES_MAX;
use crate::composer::{Composer, Outbox};
use crate::config::{ATTEMPTS_EACH, ATTEMPTS_MAX, CONFIRM_ROUNDS};
use crate::counts::Ignored;
use crate::effect::{Check, Composed, Event, Outline, Reason};
use crate::measure::Lack;
use crate::message::{Body, Confirm, Confirmed, Decline, Start, Told};
use crate::policy::Projection;
use crate::queue::Job;
use crate::refusal;
use crate::request::{Goal, HostIndex, Part};
use crate::select::Graph;
use crate::session::{Phase, Session, refuse};
use crate::spent::Stage;
use crate::stream::Before;
use crate::terms::Terms;

mod whole;

use whole::{components, jobs, learn, wants};

/// A graph that is being confirmed or started.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Counted from 1.
    attempt: u8,
    step: Step,
    pub(crate) graph: Graph,
    /// What is told when it has started.
    composed: Composed,
    /// What each operator of the plan takes, and can wait.
    jobs: Vec<Job>,
    /// What hosts told of the parts of the plan.
    told: BTreeMap<Part, Told>,
    /// What each application would be slowed by in all, by the host of its sink.
    charges: BTreeMap<NodeId, BTreeMap<CompositionId, Duration>>,
    /// How old what each operator of the plan yields will be.
    ages: Vec<Duration>,
    /// Who has not answered.
    waiting: BTreeSet<NodeId>,
    sends_left: u8,
    pub(crate) again_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Everybody is to deploy.
    Confirm,
    /// The sinks of those that would be slowed are to grant it.
    Charge,
    /// Everybody has deployed, and is to start.
    Start,
}

impl Commit {
    /// What is told of the best of some graphs.
    pub(crate) fn describe(
        now: Instant,
        view: &NodeView,
        session: &Session,
        graphs: &[Graph],
    ) -> Composed {
        let best = &graphs[0];
        let graph = components(session, best);
        let fastest = graphs.iter().map(|graph| graph.delay).min();
        let is_shared = |at: &Before| matches!(at, Before::Operator(_));
        let ages = session.parts.starts.iter().zip((0..).zip(&best.starts));
        let ages = ages.filter(|(start, _)| is_shared(start));
        let age = ages.map(|(_, (number, host))| session.request.age(Part::Source(number), *host));
        Composed {
            reasons: refusal::reasons(view, session, &graph, graphs),
            predicted_delay: best.delay,
            delay_from_sharing: best.delay.saturating_sub(age.max().unwrap_or_default()),
            // What was asked for is accepted, however small the margin.
            feasible_target: fastest.map(|it| refusal::feasible_target(it).min(session.target())),
            congestion: best.congestion,
            runner_up: graphs.get(1).map(|other| Outline {
                operators: components(session, other).operators().to_vec(),
                predicted_delay: other.delay,
                congestion: other.congestion,
            }),
            spent: session.watch.spent(now),
            probe_count: session.probe_count,
            lookup_count: session.discovery.lookup_count,
            terms: Terms::default(),
            graph,
        }
    }

    /// Everything that is said to a host in this step.
    fn message(&self, id: CompositionId, session: &Session, node: NodeId) -> Body {
        let attempt = self.attempt;
        match self.step {
            Step::Start => Body::Start(Box::new(Start {
                id,
                attempt,
                delay: self.composed.predicted_delay,
                ages: self.ages.clone(),
            })),
            Step::Charge => {
                let charges = self.charges.get(&node).into_iter().flatten();
                let charges = charges.map(|(of, increase)| (*of, *increase)).collect();
                let is_own = self.composed.graph.sinks()[0].host == node;
                Body::Charge {
                    id,
                    attempt,
                    charges,
                    delay: is_own.then_some(self.composed.predicted_delay),
                }
            }
            Step::Confirm => Body::Confirm(Box::new(Confirm {
                id,
                attempt,
                application: session.order.application.clone(),
                graph: self.composed.graph.clone(),
                jobs: self.jobs.clone(),
                wants: wants(session),
                projection: session.request.body().projection,
            })),
        }
    }
}

impl Composer {
    /// Confirms the best of some graphs, or refuses the request.
    pub(crate) fn try_next(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        mut graphs: Vec<Graph>,
        out: &mut Outbox<'_>,
    ) {
        graphs.retain(|graph| graph.takes.keys().all(|host| !session.facts.is_out(*host)));
        if session.attempts >= ATTEMPTS_MAX || graphs.is_empty() {
            return match session.closest {
                Some(delay) => self.look_for_target(now, id, session, delay, out),
                None => {
                    // It is not known why hosts that had room did not confirm, nor what they would.
                    self.release_all(now, id, &session, out);
                    let counts = session.counts();
                    refuse(id, Reason::Unconfirmed, session.binding, None, counts, out);
                }
            };
        }
        session.watch.enter(now, Stage::Commit);
        let composed = Commit::describe(now, view, &session, &graphs);
        let graph = graphs.swap_remove(0);
        session.attempts += 1;
        session.attempts_here += 1;
        session
            .tried
            .insert((graph.starts.clone(), graph.hosts.clone()));
        let hosts = composed.graph.hosts();
        if session.attempts > 1 {
            // Hosts of both are told by the next confirmation, so that nobody takes in between what they hold.
            let left = &session.asked - &hosts;
            self.release(now, id, session.attempts - 1, left, out);
        }
        session.asked.extend(&hosts);
        let commit = Commit {
            attempt: session.attempts,
            step: Step::Confirm,
            jobs: jobs(&session, &graph),
            told: BTreeMap::new(),
            charges: BTreeMap::new(),
            ages: Vec::new(),
            waiting: hosts,
            graph,
            composed,
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

    /// Takes a commit out of its place if it is at `attempt`, and at `step` where one is asked for, and knows who speaks.
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
                Phase::Discovering | Phase::Probing { .. } => false,
                Phase::Committing(commit) => {
                    commit.attempt == attempt
                        && step.is_none_or(|step| commit.step == step)
                        && (commit.waiting.contains(&from)
                            || commit.composed.graph.hosts().contains(&from))
                }
            });
        if !is_heeded {
            self.counts.ignore(Ignored::Late);
            return None;
        }
        match self.sessions.remove(&id) {
            Some((session, Phase::Committing(commit))) => Some((session, *commit)),
            Some((_, Phase::Discovering | Phase::Probing { .. })) | None => None,
        }
    }

    pub(crate) fn on_confirmed(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        confirmed: Confirmed,
        out: &mut Outbox<'_>,
    ) {
        let key = (confirmed.id, confirmed.attempt);
        let Some((session, mut commit)) = self.take_commit(key, from, Some(Step::Confirm)) else {
            return;
        };
        if commit.waiting.remove(&from) {
            // Each speaks for itself alone.
            for told in confirmed.told {
                if told.part.host_in(&commit.composed.graph) == Some(from) {
                    commit.told.insert(told.part, told);
                }
            }
            for charge in confirmed.charges.into_iter().take(CHARGES_MAX) {
                let of_sink = commit.charges.entry(charge.sink).or_default();
                let increase = of_sink.entry(charge.of).or_default();
                *increase = increase.saturating_add(charge.increase);
            }
        }
        if !commit.waiting.is_empty() {
            return self.keep(key.0, session, commit);
        }
        self.check_whole(now, view, key.0, session, commit, out);
    }

    /// All hosts have told: the whole graph is checked once more, by what was measured.
    fn check_whole(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        mut commit: Commit,
        out: &mut Outbox<'_>,
    ) {
        let (delay, ages) = commit.delay(true);
        let body = session.request.body();
        if body.goal == Goal::Target && delay > body.target {
            let lack = Lack::of_delay(delay, body.target);
            let name = session.order.plan.sinks()[0].name.clone();
            session.binding = Some(refusal::lacks(name, &lack, 1));
            session.closest = Some(session.closest.map_or(delay, |it| it.min(delay)));
            learn(&mut session, &commit, &ages);
            return self.fail(now, view, id, session, out);
        }
        commit.composed.predicted_delay = delay;
        commit.composed.delay_from_sharing = commit.delay(false).0;
        commit.ages = ages;
        if body.projection == Projection::Rank {
            // Its own sink is asked also where it slows nobody: that may have granted something to others before it knew this delay.
            commit.step = Step::Charge;
            commit.waiting = commit.charges.keys().copied().collect();
            commit.waiting.insert(commit.composed.graph.sinks()[0].host);
            session.asked.extend(&commit.waiting);
            commit.sends_left = CONFIRM_ROUNDS;
            return self.say(now, id, session, commit, out);
        }
        self.start(now, id, session, commit, out);
    }

    fn start(
        &mut self,
        now: Instant,
        id: CompositionId,
        session: Session,
        mut commit: Commit,
        out: &mut Outbox<'_>,
    ) {
        commit.step = Step::Start;
        commit.waiting = commit.composed.graph.hosts();
        commit.sends_left = CONFIRM_ROUNDS;
        self.say(now, id, session, commit, out);
    }

    /// A sink grants what its applications would be slowed by.
    pub(crate) fn on_granted(
        &mut self,
        now: Instant,
        from: NodeId,
        key: (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        let Some((session, mut commit)) = self.take_commit(key, from, Some(Step::Charge)) else {
            return;
        };
        commit.waiting.remove(&from);
        if !commit.waiting.is_empty() {
            return self.keep(key.0, session, commit);
        }
        self.start(now, key.0, session, commit, out);
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
        for (host, takes) in &commit.graph.takes {
            let node = session.request.node(*host);
            self.heard.take(node, takes.cpu_cores);
        }
        // The losers keep nothing. What sinks have granted, they have.
        let mut composed = commit.composed;
        composed.spent = session.watch.spent(now);
        composed.terms = Terms {
            attempt,
            projection: session.request.body().projection,
            jobs: commit.jobs,
            wants: wants(&session),
            ages: commit.ages,
            delay: composed.predicted_delay,
        };
        let part_of_it = composed.graph.hosts();
        let losers = session.asked.iter().copied();
        let losers = losers
            .filter(|node| !part_of_it.contains(node) && !commit.charges.contains_key(node))
            .collect();
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
        if let Decline::Failed(_) = &why {
            // It would fail again: no other graph of this request goes there.
            session.discovery.exclude(from);
            if let Some(host) = host {
                session.facts.exclude(host);
            }
        }
        if let Decline::Lacks(lack) = &why
            && lack.check == Check::Cpu
        {
            self.heard.note(now, from, lack.had);
        }
        if let (Decline::Lacks(_), Some(host)) = (&why, host) {
            // It would decline the same again.
            let here = (0..)
                .zip(&commit.graph.hosts)
                .filter(|(_, it)| **it == host);
            for (number, _) in here {
                session.facts.decline(Part::Operator(number), host);
            }
        }
        let name = part_name(&session, &commit.graph, host);
        session.binding = Some(match why {
            Decline::Lacks(lack) => refusal::lacks(name, &lack, 1),
            Decline::Failed(reason) => refusal::unusable(name, from, reason),
            Decline::Gone => refusal::unusable(name, from, "it let go of what it held".to_owned()),
        });
        self.fail(now, view, key.0, session, out);
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
        for node in &commit.waiting {
            session.discovery.exclude(*node);
            if let Some(host) = session.host_of(*node) {
                session.facts.exclude(host);
            }
        }
        self.fail(now, view, id, session, out);
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
        self.fail(now, view, id, session, out);
    }

    /// The graph did not come about: the next best, of what is known by now.
    fn fail(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        session: Session,
        out: &mut Outbox<'_>,
    ) {
        let graphs = session.graphs(&self.config).unwrap_or_default();
        if graphs.is_empty()
            && session.attempts < ATTEMPTS_MAX
            && let Some(request) = self.widen_declined(view, &session)
        {
            return self.ask_others(now, id, session, request, out);
        }
        let is_enough = graphs.is_empty() || session.attempts_here >= ATTEMPTS_EACH;
        if is_enough && session.attempts < ATTEMPTS_MAX {
            return self.share_less(now, view, id, session, out);
        }
        self.try_next(now, view, id, session, graphs, out);
    }
}

/// The first part of a graph that is on a host.
fn part_name(session: &Session, graph: &Graph, host: Option<HostIndex>) -> String {
    let at = |part: Part| match part {
        Part::Operator(index) => graph.hosts[usize::from(index)],
        Part::Source(index) => graph.starts[usize::from(index)],
        Part::Sink(_) => session.request.places(part)[0],
    };
    let mut parts = session.request.parts();
    let part = parts.find(|part| Some(at(*part)) == host);
    let of_all = || session.order.plan.sinks()[0].name.clone();
    part.map_or_else(of_all, |part| session.name(part))
}
