//! The composer: one node's part of composition. It takes what happens and hands it to the part that it is for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{
    ApplicationId, ComponentGraph, CompositionId, Entry, Instant, NodeId, NodeView, Resources, Rng,
    convert,
};

use crate::allocation::{Allocation, Deferred};
use crate::config::Config;
use crate::counts::{Counts, Ignored};
use crate::effect::{Effect, Event};
use crate::heard::Heard;
use crate::ledger::Ledger;
use crate::message::{Body, Message};
use crate::migration::{Migration, MigrationId, Taken};
use crate::order::Order;
use crate::reminder::{Kind, Reminder};
use crate::serving::{Change, Ranks, Serving};
use crate::session::{Phase, Session};
use crate::terms::Terms;
use crate::usage::Usage;
use crate::visit::{Closed, Visits};

/// What happens to a composer.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "an input is handed over and taken apart at once, never kept"
)]
pub enum Input {
    /// This node is asked for an application.
    Compose {
        /// Which answer belongs to it. Its node is this one.
        id: CompositionId,
        /// What is asked for.
        order: Order,
    },
    /// A peer said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A peer cannot be reached.
    Unreachable(NodeId),
    /// What [`Effect::Deploy`] asked for is there.
    Deployed(CompositionId),
    /// What [`Effect::Deploy`] asked for could not be made; nothing of it is there.
    DeployFailed {
        /// For which composition.
        id: CompositionId,
        /// Why.
        reason: String,
    },
    /// What [`Effect::Lookup`] asked for.
    Found {
        /// To which.
        lookup: u64,
        /// What there is.
        entries: Vec<Entry>,
    },
    /// What runs here for a composition was measured.
    Measured {
        /// Which one.
        id: CompositionId,
        /// What its own operators here took since the last time. What was ordered and runs here no more is not among them, nor kept.
        usage: Vec<Usage>,
        /// Those of its own operators that run elsewhere by now, and here for others who read them still.
        kept: Vec<u16>,
        /// The delay of results at its sinks here, if there were any.
        delay: Option<Duration>,
    },
    /// A composition that had started has ended here; what others read of it may run on, until [`Input::Retired`].
    Ended(CompositionId),
    /// An operator that runs here is to run elsewhere.
    Migrate {
        /// Of which composition.
        composition: CompositionId,
        /// Its place in the plan.
        operator: u16,
        /// To the first of these hosts that takes it; where there are none, to one of the least loaded that may run it.
        to: Vec<NodeId>,
    },
    /// What [`Effect::Prepare`] asked for is there.
    Prepared {
        /// For which migration.
        id: MigrationId,
        /// The state that was taken over here.
        taken: Taken,
    },
    /// What [`Effect::Prepare`] asked for could not be made; nothing of it is there.
    PrepareFailed {
        /// For which migration.
        id: MigrationId,
        /// Why.
        reason: String,
    },
    /// The record of a composition says that it has this graph: a host that is ready for it goes over, if it was not told to; any other takes it as it is.
    Rebound(Box<Rebound>),
    /// An operator of a graph that was adopted runs here: also one that is shared by it, where whose it is was gone by the time it was made.
    Made {
        /// Of which composition.
        id: CompositionId,
        /// Its place in the plan.
        operator: u16,
    },
    /// The components that this node ran for a composition are gone: what they took is free.
    Retired(CompositionId),
    /// The time of [`Composer::poll_timeout`] has come.
    Timeout,
}

/// The graph that a record says a composition has.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebound {
    /// Which composition.
    pub id: CompositionId,
    /// Of which application.
    pub application: ApplicationId,
    /// The generation of the graph.
    pub generation: u64,
    /// The graph.
    pub graph: ComponentGraph,
    /// The terms under which the first graph was admitted.
    pub terms: Terms,
    /// Whether a host takes the graph that was not made ready for it.
    pub is_adopted: bool,
}

/// From how many look-ups on those are forgotten that nobody waits for any more: where the overlay does not answer.
const LOOKUPS_MAX: usize = 1024;

/// One node's part of composition.
#[derive(Debug)]
pub struct Composer {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) counts: Counts,
    // As a host.
    pub(crate) ledger: Ledger,
    pub(crate) serving: Serving,
    /// Charges of those who wait until it is known what others can spare.
    pub(crate) deferred: Vec<Deferred>,
    /// Ways that were measured lately, one way each.
    pub(crate) ways: BTreeMap<NodeId, (Duration, Instant)>,
    pub(crate) visits: Visits,
    pub(crate) closed: Closed,
    pub(crate) allocations: BTreeMap<CompositionId, Box<Allocation>>,
    /// How many answers to deployments are to come.
    pub(crate) answers_due: BTreeMap<CompositionId, u32>,
    // As a composing node.
    pub(crate) sessions: BTreeMap<CompositionId, (Session, Phase)>,
    /// For which of them the overlay was asked.
    pub(crate) lookups: BTreeMap<u64, CompositionId>,
    pub(crate) next_lookup: u64,
    /// What hosts have said that they have left.
    pub(crate) heard: Heard,
    /// What this node moves elsewhere.
    pub(crate) migrations: BTreeMap<CompositionId, Box<Migration>>,
    // As both.
    pub(crate) reminders: BTreeMap<(CompositionId, Kind), Reminder>,
}

impl Composer {
    /// A composer that has reserved nothing.
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            config,
            rng,
            counts: Counts::default(),
            ledger: Ledger::default(),
            serving: Serving::default(),
            deferred: Vec::new(),
            ways: BTreeMap::new(),
            visits: Visits::default(),
            closed: Closed::default(),
            allocations: BTreeMap::new(),
            answers_due: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            heard: Heard::default(),
            migrations: BTreeMap::new(),
            reminders: BTreeMap::new(),
        }
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle_input(
        &mut self,
        now: Instant,
        view: &NodeView,
        input: Input,
        out: &mut Vec<Effect>,
    ) {
        let mut out = Outbox::new(view.node(), out);
        // Whatever the reason to be called: nothing that has lapsed may still count.
        self.lapse(now, &mut out);
        match input {
            Input::Compose { id, order } => self.on_compose(now, view, id, order, &mut out),
            Input::Message { from, message } => {
                self.on_message(now, view, from, message.0, &mut out);
            }
            Input::Unreachable(node) => self.on_unreachable(now, view, node, &mut out),
            Input::Deployed(id) => self.on_deployed(now, view, id, &mut out),
            Input::DeployFailed { id, reason } => {
                self.on_deploy_failed(now, id, &reason, &mut out);
            }
            Input::Migrate {
                composition,
                operator,
                to,
            } => self.on_migrate(now, view, (composition, operator), to, &mut out),
            Input::Prepared { id, taken } => {
                self.on_made_ready(view, id, taken, &mut out);
            }
            Input::PrepareFailed { id, reason } => {
                self.on_make_ready_failed(now, id, &reason, &mut out);
            }
            Input::Rebound(rebound) => self.on_rebound(now, view, *rebound, &mut out),
            Input::Made { id, operator } => self.on_made(view, id, operator),
            Input::Retired(id) => self.on_retired(now, id, &mut out),
            Input::Found { lookup, entries } => {
                self.on_found(now, view, lookup, &entries, &mut out);
            }
            Input::Measured {
                id,
                usage,
                kept,
                delay,
            } => self.on_measured(view, id, (&usage, &kept), delay, &mut out),
            Input::Ended(id) => self.on_application_ended(now, id, &mut out),
            Input::Timeout => {
                self.remind_again(now, &mut out);
                self.time_out_sessions(now, view, &mut out);
                self.time_out_migrations(now, view, &mut out);
            }
        }
        // What this node says to itself goes the same way as everything else, at once.
        while let Some(body) = out.local.pop_front() {
            self.on_message(now, view, view.node(), body, &mut out);
        }
        self.trim();
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self
            .sessions
            .values()
            .map(|(session, phase)| phase.poll_timeout(session));
        let reminders = self.reminders.values().map(Reminder::at);
        let migrations = self.migrations.values().map(|it| it.until());
        let allocations = self.allocations.values().filter_map(|it| it.until());
        let others = [
            self.ledger.poll_timeout(),
            self.visits.poll_timeout(),
            self.closed.poll_timeout(),
        ];
        sessions
            .chain(reminders)
            .chain(allocations)
            .chain(migrations)
            .chain(others.into_iter().flatten())
            .min()
    }

    /// Everything that this node has promised to applications: what probes have reserved, and what graphs have been
    /// allocated.
    pub fn taken(&self) -> Resources {
        self.reserved() + self.allocated()
    }

    /// What probes have reserved here, for as long as their leases last.
    pub fn reserved(&self) -> Resources {
        self.ledger.reserved()
    }

    /// What an operator's component that runs here can wait, as the scheduler's rank was projected: see [`crate::queue`].
    pub fn laxity(&self, id: CompositionId, operator: u16) -> Option<Duration> {
        self.serving.laxity(id, operator)
    }

    /// How long an operator's component that runs here takes for what it works off at once, as it is projected now: beside all that runs
    /// here, by the formulas of the request that it was made for.
    pub fn execution(&self, view: &NodeView, id: CompositionId, operator: u16) -> Option<Duration> {
        let projection = self.allocations.get(&id)?.projection();
        let queue = self
            .serving
            .queue(view, projection, 0.0, Ranks::All, &Change::default());
        let own = self.serving.own(id, operator)?;
        self.serving.execution(&[(Ranks::All, queue)], own)
    }

    /// Whether this node makes ready for another graph of a composition, and has not gone over.
    pub fn is_making_ready(&self, id: CompositionId) -> bool {
        let allocation = self.allocations.get(&id);
        allocation.is_some_and(|allocation| allocation.pending.is_some())
    }

    /// How many components run here, and how many applications they serve.
    pub fn serving(&self) -> (u64, u64) {
        self.serving.counts()
    }

    /// How many requests this node is composing.
    pub fn composing_count(&self) -> usize {
        self.sessions.len()
    }

    /// What was refused and ignored so far, by reason.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    fn on_message(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        body: Body,
        out: &mut Outbox<'_>,
    ) {
        if !body.is_bounded() {
            return self.counts.ignore(Ignored::Unfit);
        }
        match body {
            Body::Probe(probe) => self.on_probe(now, view, *probe, out),
            Body::Ended(ended) => self.on_ended(now, view, from, *ended, out),
            Body::Confirm(confirm) => self.on_confirm(now, view, from, *confirm, out),
            Body::Confirmed(confirmed) => self.on_confirmed(now, view, from, *confirmed, out),
            Body::Charge {
                id,
                attempt,
                charges,
                delay,
            } => self.on_charge(now, from, (id, attempt), charges, delay, out),
            Body::Granted { id, attempt } => self.on_granted(now, from, (id, attempt), out),
            Body::Ping { id, attempt } => out.send(from, Body::Pong { id, attempt }),
            Body::Pong { id, attempt } => self.on_pong(now, view, from, (id, attempt), out),
            Body::Delay { id, delay } => self.on_delay(from, id, delay),
            Body::Declined { id, attempt, why } => {
                self.settle((id, Kind::Start), from);
                self.on_declined(now, view, from, (id, attempt), why, out);
            }
            Body::Start(start) => self.on_start(now, view, from, *start, out),
            Body::Started { id, attempt } => {
                self.settle((id, Kind::Start), from);
                self.on_started(now, from, (id, attempt), out);
            }
            Body::Release { id, attempt } => self.on_release(now, from, (id, attempt), out),
            Body::Released { id, attempt: _ } => self.settle((id, Kind::Release), from),
            Body::Migration(said) => self.on_said(now, view, from, *said, out),
        }
    }

    fn on_unreachable(
        &mut self,
        now: Instant,
        view: &NodeView,
        node: NodeId,
        out: &mut Outbox<'_>,
    ) {
        if node == view.node() {
            return self.counts.ignore(Ignored::Unfit);
        }
        self.settle_all(node);
        // Nobody will confirm what a composing node has reserved that is gone; it may ask again.
        self.ledger.release_all_of(node);
        for ended in self.visits.lost(node) {
            out.send(ended.id.node, Body::Ended(Box::new(ended)));
        }
        self.exclude(now, view, node, out);
        self.on_unreachable_in_migrations(now, view, node, out);
    }

    /// Lets go of everything whose time is over.
    fn lapse(&mut self, now: Instant, out: &mut Outbox<'_>) {
        self.counts.lapsed += self.ledger.lapse(now);
        self.serving.lapse(now);
        self.visits.lapse(now);
        self.closed.lapse(now);
        self.heard.lapse(now);
        self.lapse_migrations(now, out);
        self.lapse_allocations(now, out);
        if self.lookups.len() > LOOKUPS_MAX {
            let sessions = &self.sessions;
            self.lookups.retain(|_, id| sessions.contains_key(id));
        }
        let Self {
            answers_due,
            allocations,
            closed,
            ..
        } = self;
        answers_due.retain(|id, _| allocations.contains_key(id) || closed.has(*id));
    }

    /// Gives back the room of what is over: a map that held something once keeps that of eleven, and most hosts compose nothing most of the time.
    fn trim(&mut self) {
        if self.sessions.is_empty() {
            self.sessions = BTreeMap::new();
        }
        if self.reminders.is_empty() {
            self.reminders = BTreeMap::new();
        }
        self.visits.trim();
        self.heard.trim();
    }

    /// How long an answer is waited for: up to a tenth less than configured, so that two that met in one place do not again.
    pub(crate) fn interval(&mut self) -> Duration {
        let spread = 0.9 + 0.1 * self.rng.fraction();
        convert::seconds(self.config.confirm_interval.as_secs_f64() * spread)
    }
}

/// What goes out: to others as effects, to this node itself as messages that are handled next.
pub(crate) struct Outbox<'a> {
    node: NodeId,
    local: VecDeque<Body>,
    effects: &'a mut Vec<Effect>,
}

impl<'a> Outbox<'a> {
    const fn new(node: NodeId, effects: &'a mut Vec<Effect>) -> Self {
        Self {
            node,
            local: VecDeque::new(),
            effects,
        }
    }

    /// This node.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Says something to a node, which may be this one.
    pub(crate) fn send(&mut self, to: NodeId, body: Body) {
        if to == self.node {
            self.local.push_back(body);
        } else {
            let message = Message(body);
            self.effects.push(Effect::Send { to, message });
        }
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }
}
