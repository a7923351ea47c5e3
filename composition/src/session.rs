//! A request at its composing node: rounds of probing, until there are graphs or a reason why there are none.
//!
//! The first round prunes probes that others dominate. Where it finds nothing and pruned or lost some, a second goes without pruning.
//! Where that finds nothing, a relaxed one asks without a target and without reserving, for the target that would
//! be accepted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{CompositionId, Instant, NodeId, NodeView};

use crate::candidates;
use crate::commit::Commit;
use crate::composer::{Composer, Outbox};
use crate::config::{ATTEMPTS_MAX, Config};
use crate::counts::Ignored;
use crate::effect::{Check, Constraint, Event, Reason, Refusal};
use crate::facts::Facts;
use crate::merge::{self, Blocked};
use crate::message::{Body, Ended, Probe};
use crate::order::Order;
use crate::refusal;
use crate::reminder::{Kind, Reminder};
use crate::request::{HostIndex, Part, Request, TARGET_MAX};
use crate::select::Graph;
use crate::share::{Coverage, Share};

/// A request that this node composes.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) order: Order,
    pub(crate) request: Arc<Request>,
    pub(crate) facts: Facts,
    /// How many probes were sent, as far as their ends told.
    pub(crate) probe_count: u64,
    /// The constraint that stood in the way last.
    pub(crate) binding: Option<Constraint>,
}

/// Where a request stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Probes are under way.
    Probing {
        round: Round,
        until: Instant,
        coverage: Coverage,
    },
    /// A graph was chosen.
    Committing(Box<Commit>),
}

/// How a round of probing asks. In the order in which they follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Round {
    /// Probes that others dominate are pruned.
    Pruning,
    /// None are, within what may be under way.
    Full,
    /// Without a target and without reserving.
    Relaxed,
}

impl Round {
    const fn number(self) -> u8 {
        match self {
            Self::Pruning => 0,
            Self::Full => 1,
            Self::Relaxed => 2,
        }
    }
}

impl Phase {
    /// When it wants to be called if nothing comes.
    pub(crate) const fn poll_timeout(&self) -> Instant {
        match self {
            Self::Probing { until, .. } => *until,
            Self::Committing(commit) => commit.again_at,
        }
    }
}

impl Session {
    /// The host of a node in the request's table.
    pub(crate) fn host_of(&self, node: NodeId) -> Option<HostIndex> {
        let hosts = (0..).zip(&self.request.body().hosts);
        hosts
            .into_iter()
            .find(|(_, host)| host.node == node)
            .map(|(index, _)| index)
    }

    /// The part that can be nowhere, now that some hosts are out.
    fn stranded(&self) -> Option<(Part, NodeId)> {
        self.request.parts().find_map(|part| {
            let places = self.request.places(part);
            let is_stranded = places.iter().all(|host| self.facts.is_out(*host));
            is_stranded.then(|| (part, self.request.node(places[0])))
        })
    }
}

impl Composer {
    pub(crate) fn on_compose(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        order: Order,
        out: &mut Outbox<'_>,
    ) {
        if self.sessions.contains_key(&id) {
            return self.counts.ignore(Ignored::Repeated);
        }
        if self.sessions.len() >= self.config.sessions_max {
            return refuse(id, Reason::Busy, None, None, out);
        }
        let request = match candidates::gather(view, &order, &self.config) {
            Ok(request) => Arc::new(request),
            Err(binding) => return refuse(id, Reason::Infeasible, binding, None, out),
        };
        let mut session = Session {
            order,
            request,
            facts: Facts::default(),
            probe_count: 0,
            binding: None,
        };
        let phase = start_round(now, &self.config, id, &mut session, Round::Pruning, out);
        self.sessions.insert(id, (session, phase));
    }

    pub(crate) fn on_ended(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        ended: Ended,
        out: &mut Outbox<'_>,
    ) {
        let id = ended.id;
        let Some((session, phase)) = self.sessions.get_mut(&id) else {
            self.counts.ignore(Ignored::Late);
            // Whoever probes for what is over may have reserved something.
            let is_own = id.node == view.node() && from != view.node();
            if is_own && !self.reminders.contains_key(&(id, Kind::Release)) {
                // Nothing that came about is touched: its hosts hold an attempt, and this is about none.
                let attempt = 0;
                out.send(from, Body::Release { id, attempt });
            }
            return;
        };
        let Phase::Probing {
            round, coverage, ..
        } = phase
        else {
            return self.counts.ignore(Ignored::Late);
        };
        if round.number() != ended.round {
            return self.counts.ignore(Ignored::Late);
        }
        if !session.facts.add(&session.request, &ended) {
            return self.counts.ignore(Ignored::Unfit);
        }
        if !coverage.add(ended.share) {
            return self.counts.ignore(Ignored::Repeated);
        }
        session.probe_count += u64::from(ended.sent);
        if !coverage.is_whole() {
            return;
        }
        let round = *round;
        if let Some((session, _)) = self.sessions.remove(&id) {
            self.finish_round(now, view, id, session, (round, true), out);
        }
    }

    /// All that will be known of a round is known.
    fn finish_round(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        (round, is_whole): (Round, bool),
        out: &mut Outbox<'_>,
    ) {
        let target = session.order.plan.qos().latency.min(TARGET_MAX);
        let blocked = match merge::merge(&session.request, &session.facts, target) {
            Ok(graphs) => return self.choose(now, view, id, session, graphs, out),
            Err(blocked) => blocked,
        };
        let next = match round {
            Round::Pruning if session.facts.has_pruned || !is_whole => Round::Full,
            Round::Pruning | Round::Full => Round::Relaxed,
            Round::Relaxed => return self.give_up(now, id, session, &blocked, out),
        };
        let binding = refusal::constraint(&session.order, &session.facts, &blocked);
        session.binding = binding.or(session.binding);
        if next == Round::Relaxed && session.binding.is_none() && !is_whole {
            // Nobody refused anything: nothing was heard.
            self.release_all(now, id, &session, out);
            return refuse(id, Reason::Timeout, None, None, out);
        }
        let phase = start_round(now, &self.config, id, &mut session, next, out);
        self.sessions.insert(id, (session, phase));
    }

    /// No round found anything at the target: what the relaxed one found is offered.
    fn give_up(
        &mut self,
        now: Instant,
        id: CompositionId,
        session: Session,
        blocked: &Blocked,
        out: &mut Outbox<'_>,
    ) {
        self.release_all(now, id, &session, out);
        let Session {
            order,
            request,
            facts,
            binding,
            ..
        } = session;
        let relaxed = merge::merge(&request, &facts, TARGET_MAX);
        let (binding, feasible_target) = match relaxed {
            Ok(graphs) => {
                let fastest = graphs.iter().map(|graph| graph.delay).min();
                let binding = binding.map(|mut binding| {
                    if let (Check::Delay, Some(delay)) = (binding.check, fastest) {
                        // What probes were refused for is a bound of their part; this is the whole.
                        binding.had = refusal::milliseconds(delay);
                    }
                    binding
                });
                (binding, fastest.map(refusal::feasible_target))
            }
            Err(blocked) => {
                let relaxed = refusal::constraint(&order, &facts, &blocked);
                (relaxed.or(binding), None)
            }
        };
        let binding = binding.or_else(|| refusal::constraint(&order, &facts, blocked));
        let reason = if binding.is_some() {
            Reason::Infeasible
        } else {
            Reason::Timeout
        };
        refuse(id, reason, binding, feasible_target, out);
    }

    /// There are graphs: of a trial that is the answer, else the best is confirmed.
    fn choose(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        session: Session,
        graphs: Vec<Graph>,
        out: &mut Outbox<'_>,
    ) {
        if session.order.is_trial {
            let composed = Commit::describe(view, &session, &graphs);
            return out.event(Event::Composed { id, composed });
        }
        self.try_next(now, view, id, session, (None, graphs), out);
    }

    pub(crate) fn time_out_sessions(
        &mut self,
        now: Instant,
        view: &NodeView,
        out: &mut Outbox<'_>,
    ) {
        let due: Vec<CompositionId> = self
            .sessions
            .iter()
            .filter(|(_, (_, phase))| phase.poll_timeout() <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            match self.sessions.remove(&id) {
                Some((session, Phase::Probing { round, .. })) => {
                    self.finish_round(now, view, id, session, (round, false), out);
                }
                Some((session, Phase::Committing(commit))) => {
                    self.on_commit_timeout(now, view, id, session, *commit, out);
                }
                None => {}
            }
        }
    }

    /// A node is out of every graph.
    pub(crate) fn exclude(
        &mut self,
        now: Instant,
        view: &NodeView,
        node: NodeId,
        out: &mut Outbox<'_>,
    ) {
        let affected: Vec<(CompositionId, HostIndex)> = self
            .sessions
            .iter()
            .filter_map(|(id, (session, _))| Some((*id, session.host_of(node)?)))
            .collect();
        for (id, host) in affected {
            let Some((mut session, phase)) = self.sessions.remove(&id) else {
                continue;
            };
            session.facts.exclude(host);
            if let Some((part, node)) = session.stranded() {
                let name = refusal::name(&session.order, part);
                let binding = Some(refusal::unreachable(&name, node));
                self.release_all(now, id, &session, out);
                refuse(id, Reason::Infeasible, binding, None, out);
                continue;
            }
            match phase {
                Phase::Committing(commit) if commit.graph.uses(host) => {
                    let lost = (node, *commit);
                    self.on_commit_unreachable(now, view, id, session, lost, out);
                }
                phase @ (Phase::Probing { .. } | Phase::Committing(_)) => {
                    self.sessions.insert(id, (session, phase));
                }
            }
        }
    }

    /// Has every host that was probed let go of everything.
    pub(crate) fn release_all(
        &mut self,
        now: Instant,
        id: CompositionId,
        session: &Session,
        out: &mut Outbox<'_>,
    ) {
        let hosts = session.request.body().hosts.iter();
        let hosts = hosts.map(|host| host.node).collect();
        self.release(now, id, ATTEMPTS_MAX, hosts, out);
    }

    /// Has some hosts let go of what they hold up to an attempt.
    pub(crate) fn release(
        &mut self,
        now: Instant,
        id: CompositionId,
        attempt: u8,
        hosts: BTreeSet<NodeId>,
        out: &mut Outbox<'_>,
    ) {
        let message = Body::Release { id, attempt };
        let reminder = Reminder::new(message, hosts);
        self.remind(now, (id, Kind::Release), reminder, out);
    }
}

/// Tells whoever asked.
pub(crate) fn refuse(
    id: CompositionId,
    reason: Reason,
    binding: Option<Constraint>,
    feasible_target: Option<Duration>,
    out: &mut Outbox<'_>,
) {
    let refusal = Refusal {
        reason,
        binding,
        feasible_target,
    };
    out.event(Event::Refused { id, refusal });
}

/// Sends the first probes of a round: one to the host of each source. Gives the phase that this begins.
fn start_round(
    now: Instant,
    config: &Config,
    id: CompositionId,
    session: &mut Session,
    round: Round,
    out: &mut Outbox<'_>,
) -> Phase {
    let is_trial = session.order.is_trial;
    session.facts.clear_refused();
    session.request = Arc::new(session.request.with(|body| {
        body.prunes = round != Round::Full;
        body.reserves = !is_trial && round != Round::Relaxed;
        if round == Round::Relaxed {
            body.target = TARGET_MAX;
        }
    }));
    let latency = session.order.plan.qos().latency;
    let longest = latency.saturating_mul(2);
    let collection = longest.clamp(config.collection_min, config.collection_max);
    let request = &session.request;
    let sources = &request.body().sources;
    let shares = Share::WHOLE.split(sources.len());
    for ((source, number), share) in sources.iter().zip(0..).zip(shares) {
        let probe = Probe {
            id,
            round: round.number(),
            request: Arc::clone(request),
            share,
            sent: 1,
            path: Vec::new(),
            part: Part::Source(number),
            host: source.host,
            link: Duration::ZERO,
            delay: Duration::ZERO,
        };
        out.send(request.node(source.host), Body::Probe(Box::new(probe)));
    }
    Phase::Probing {
        round,
        until: now + collection,
        coverage: Coverage::default(),
    }
}
