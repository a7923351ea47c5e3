//! A request at its composing node: what runs already is looked up, then rounds of probing follow, until there are graphs or a reason why
//! there are none.
//!
//! The first round prunes probes that others dominate. Where it finds nothing since hosts lack something, others are asked, round by round, until all
//! were that are known. Where nothing meets the target behind what is shared, less is, down to nothing. Where probes were pruned or lost, a round goes without pruning.
//! Where that finds nothing, others ask without reserving for the target that would be accepted (`relaxed`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{CompositionId, Instant, NodeId, NodeView};

use crate::candidates::Parts;
use crate::commit::Commit;
use crate::composer::{Composer, Outbox};
use crate::config::{ATTEMPTS_MAX, Config};
use crate::counts::Ignored;
use crate::discovery::{Discovery, Split};
use crate::effect::{Check, Constraint, Event, Reason, Refusal};
use crate::facts::Facts;
use crate::merge::{self, Blocked};
use crate::message::{Body, Ended};
use crate::order::Order;
use crate::policy::{Search, Sharing};
use crate::refusal;
use crate::reminder::{Kind, Reminder};
use crate::request::{Goal, HostIndex, Part, Request, TARGET_MAX};
use crate::select::Graph;
use crate::share::Coverage;
use crate::spent::Watch;
use crate::stream::Before;

mod discover;
mod relaxed;
mod round;
mod wider;

use relaxed::Relaxed;
pub(crate) use round::Round;

/// A request that this node composes.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) order: Order,
    pub(crate) discovery: Discovery,
    /// What of the plan is shared.
    pub(crate) split: Split,
    /// What the request's parts are in the plan.
    pub(crate) parts: Parts,
    /// What is asked of hosts; nothing before it is known what is shared.
    pub(crate) request: Arc<Request>,
    pub(crate) facts: Facts,
    /// The number of the round that is under way, or was last.
    number: u8,
    /// How many graphs were tried.
    pub(crate) attempts: u8,
    /// How many of them with what is shared now.
    pub(crate) attempts_here: u8,
    /// How many rounds have asked other hosts.
    wider_count: u8,
    /// The search for a target that would be accepted.
    relaxed: Relaxed,
    /// The shortest delay of those that were confirmed and found too slow.
    pub(crate) closest: Option<Duration>,
    /// The graphs of this request that were tried: where their starts and operators were.
    pub(crate) tried: BTreeSet<(Vec<HostIndex>, Vec<HostIndex>)>,
    /// Everybody who may hold something for it.
    pub(crate) asked: BTreeSet<NodeId>,
    /// Where the time went so far.
    pub(crate) watch: Watch,
    /// How many probes were sent, as far as their ends told.
    pub(crate) probe_count: u64,
    /// The constraint that stood in the way last.
    pub(crate) binding: Option<Constraint>,
}

/// Where a request stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// It is looked up what runs already.
    Discovering,
    /// Probes are under way.
    Probing {
        round: Round,
        until: Instant,
        coverage: Coverage,
    },
    /// A graph was chosen.
    Committing(Box<Commit>),
}

impl Phase {
    /// When it wants to be called if nothing comes.
    pub(crate) const fn poll_timeout(&self, session: &Session) -> Instant {
        match self {
            Self::Discovering => session.discovery.until,
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

    /// The target that was asked for.
    pub(crate) fn target(&self) -> Duration {
        self.order.plan.qos().latency.min(TARGET_MAX)
    }

    /// How many probes and look-ups there were.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.probe_count, self.discovery.lookup_count)
    }

    /// What people call a part of the request.
    pub(crate) fn name(&self, part: Part) -> String {
        let plan = &self.order.plan;
        let name = match part {
            Part::Source(index) => match self.parts.starts[usize::from(index)] {
                Before::Source(index) => &plan.sources()[index].name,
                Before::Operator(index) => &plan.operators()[index].name,
            },
            Part::Operator(index) => {
                &plan.operators()[self.parts.operators[usize::from(index)]].name
            }
            Part::Sink(index) => &plan.sinks()[usize::from(index)].name,
        };
        name.clone()
    }

    /// The graphs that meet the request, but for those that were tried: the best first.
    pub(crate) fn graphs(&self, config: &Config) -> Result<Vec<Graph>, Blocked> {
        let is_whole = config.policy.search() == Search::All;
        let mut graphs = merge::merge(&self.request, &self.facts, self.request.limit(), is_whole)?;
        graphs.retain(|graph| {
            let places = (graph.starts.clone(), graph.hosts.clone());
            !self.tried.contains(&places) && self.agrees(graph)
        });
        if graphs.is_empty() {
            // Nothing that is left was found to lack anything.
            return Err(Blocked {
                part: Part::Sink(0),
                lacks: BTreeMap::new(),
            });
        }
        Ok(graphs)
    }

    /// Whether what is shared by a graph was made of the same parts, where it has some in common: a part is in one place.
    fn agrees(&self, graph: &Graph) -> bool {
        let mut placed: BTreeMap<Before, NodeId> = BTreeMap::new();
        let starts = self.parts.starts.iter().zip(&graph.starts);
        starts.into_iter().all(|(start, host)| {
            let Before::Operator(index) = start else {
                return true;
            };
            let node = self.request.node(*host);
            let mut providers = self.split.shared[index].iter();
            let provider = providers.find(|it| it.node == node);
            provider.is_none_or(|provider| {
                provider
                    .places
                    .iter()
                    .all(|(part, at)| *placed.entry(*part).or_insert(*at) == *at)
            })
        })
    }

    /// That a host did not answer where the request begins, where none did.
    fn silent(&self) -> Option<Constraint> {
        let mut starts = (0..).zip(&self.request.body().sources);
        let (number, source) = starts.find(|(_, source)| {
            let mut hosts = source.hosts.iter();
            hosts.all(|host| self.facts.spare(*host).is_none())
        })?;
        let node = self.request.node(source.hosts[0]);
        Some(refusal::unreachable(&self.name(Part::Source(number)), node))
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
        if session.number != ended.round {
            return self.counts.ignore(Ignored::Late);
        }
        if !session.facts.add(&session.request, &ended) {
            return self.counts.ignore(Ignored::Unfit);
        }
        if !coverage.add(ended.share) {
            return self.counts.ignore(Ignored::Repeated);
        }
        session.probe_count += u64::from(ended.sent);
        for (host, cores) in ended.cores_left() {
            self.heard.note(now, session.request.node(host), cores);
        }
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
        let graphs = session.graphs(&self.config);
        if round == Round::Relaxed {
            return self.on_relaxed(now, id, session, graphs, out);
        }
        let blocked = match graphs {
            Ok(graphs) => return self.choose(now, view, id, session, graphs, out),
            Err(blocked) => blocked,
        };
        session.binding = refusal::constraint(&session, &blocked).or(session.binding);
        if let Some(request) = self.widen(view, &session, &blocked) {
            session.facts.note_lacks(&blocked);
            return self.ask_others(now, id, session, request, out);
        }
        if self.config.policy.sharing() == Sharing::Fallback
            && session.discovery.pass_over(&session.split)
        {
            return self.discover(now, view, id, session, out);
        }
        let is_judged_later = session.request.body().goal == Goal::Any;
        if is_judged_later {
            return self.give_up(now, id, session, Some(&blocked), out);
        }
        // Where hosts are chosen for what a path has used, a probe that was pruned would have gone elsewhere.
        let has_missed = !is_whole || (session.order.spread && session.facts.has_pruned);
        let next = match has_missed && round != Round::Full {
            true => Round::Full,
            false => Round::Relaxed,
        };
        if next == Round::Relaxed && session.binding.is_none() && !is_whole {
            // Nobody refused anything: nothing was heard.
            self.release_all(now, id, &session, out);
            let binding = session.silent();
            return refuse(id, Reason::Timeout, binding, None, session.counts(), out);
        }
        self.begin_round(now, id, session, next, out);
    }

    /// Nothing was found for the target: it is refused, with what was found for others; `blocked` is what stands in the way of any target.
    fn give_up(
        &mut self,
        now: Instant,
        id: CompositionId,
        session: Session,
        blocked: Option<&Blocked>,
        out: &mut Outbox<'_>,
    ) {
        self.release_all(now, id, &session, out);
        let counts = session.counts();
        let of_any = blocked.and_then(|blocked| refusal::constraint(&session, blocked));
        let found = session.relaxed.found;
        let at_target = || {
            let (request, facts) = (&session.request, &session.facts);
            let blocked = merge::merge(request, facts, session.target(), false).err()?;
            refusal::constraint(&session, &blocked)
        };
        let mut binding = of_any
            .or_else(|| session.binding.clone())
            .or_else(at_target);
        if let (Some(binding), Some((_, delay))) = (&mut binding, found)
            && binding.check == Check::Delay
            && delay > session.order.plan.qos().latency
        {
            // What probes were refused for is a bound of their part; this is the whole.
            binding.had = refusal::milliseconds(delay);
        }
        let reason = match binding {
            Some(_) if session.closest.is_some() => Reason::Unconfirmed,
            Some(_) => Reason::Infeasible,
            None => Reason::Timeout,
        };
        let feasible_target = found.map(|(target, _)| target);
        refuse(id, reason, binding, feasible_target, counts, out);
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
            let composed = Commit::describe(now, view, &session, &graphs);
            return out.event(Event::Composed { id, composed });
        }
        self.try_next(now, view, id, session, graphs, out);
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
            .filter(|(_, (session, phase))| phase.poll_timeout(session) <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            match self.sessions.remove(&id) {
                Some((mut session, Phase::Discovering)) => {
                    session.discovery.give_up();
                    self.lookups.retain(|_, it| *it != id);
                    self.discover(now, view, id, session, out);
                }
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
            session.discovery.exclude(node);
            if let Some((Part::Source(start), _)) = session.stranded()
                && matches!(
                    session.parts.starts[usize::from(start)],
                    Before::Operator(_)
                )
            {
                // What was to be shared is gone: it is looked for elsewhere, or made anew.
                self.release_tried(now, id, &session, out);
                self.discover(now, view, id, session, out);
                continue;
            }
            if let Some((part, node)) = session.stranded() {
                let name = session.name(part);
                let binding = Some(refusal::unreachable(&name, node));
                self.release_all(now, id, &session, out);
                refuse(id, Reason::Infeasible, binding, None, session.counts(), out);
                continue;
            }
            match phase {
                Phase::Committing(commit) if commit.graph.uses(host) => {
                    let lost = (node, *commit);
                    self.on_commit_unreachable(now, view, id, session, lost, out);
                }
                phase @ (Phase::Discovering | Phase::Probing { .. } | Phase::Committing(_)) => {
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
        self.release(now, id, ATTEMPTS_MAX, session.asked.clone(), out);
    }

    /// Has everybody let go of the graphs that were tried, if any were: hosts are asked again.
    fn release_tried(
        &mut self,
        now: Instant,
        id: CompositionId,
        session: &Session,
        out: &mut Outbox<'_>,
    ) {
        if session.attempts > 0 {
            self.release(now, id, session.attempts, session.asked.clone(), out);
        }
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

/// Tells whoever asked; `counts` are of probes and look-ups.
pub(crate) fn refuse(
    id: CompositionId,
    reason: Reason,
    binding: Option<Constraint>,
    feasible_target: Option<Duration>,
    counts: (u64, u64),
    out: &mut Outbox<'_>,
) {
    let (probe_count, lookup_count) = counts;
    let refusal = Refusal {
        reason,
        binding,
        feasible_target,
        probe_count,
        lookup_count,
    };
    out.event(Event::Refused { id, refusal });
}
