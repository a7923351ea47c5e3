//! The composer: one node's part of composition. It takes what happens and hands it to the part that it is for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{CompositionId, Instant, NodeId, NodeView, Resources, Rng, convert};

use crate::allocation::Allocation;
use crate::config::Config;
use crate::counts::{Counts, Ignored};
use crate::effect::{Effect, Event};
use crate::ledger::Ledger;
use crate::message::{Body, Message};
use crate::order::Order;
use crate::reminder::{Kind, Reminder};
use crate::session::{Phase, Session};
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
    /// The components that this node ran for a composition are gone: what they took is free.
    Retired(CompositionId),
    /// The time of [`Composer::poll_timeout`] has come.
    Timeout,
}

/// One node's part of composition.
#[derive(Debug)]
pub struct Composer {
    pub(crate) config: Config,
    rng: Rng,
    pub(crate) counts: Counts,
    // As a host.
    pub(crate) ledger: Ledger,
    pub(crate) visits: Visits,
    pub(crate) closed: Closed,
    pub(crate) allocations: BTreeMap<CompositionId, Allocation>,
    /// How many answers to deployments are to come.
    pub(crate) answers_due: BTreeMap<CompositionId, u32>,
    // As a composing node.
    pub(crate) sessions: BTreeMap<CompositionId, (Session, Phase)>,
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
            visits: Visits::default(),
            closed: Closed::default(),
            allocations: BTreeMap::new(),
            answers_due: BTreeMap::new(),
            sessions: BTreeMap::new(),
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
            Input::Deployed(id) => self.on_deployed(id, &mut out),
            Input::DeployFailed { id, reason } => {
                self.on_deploy_failed(now, id, &reason, &mut out);
            }
            Input::Retired(id) => self.on_retired(now, id),
            Input::Timeout => {
                self.remind_again(now, &mut out);
                self.time_out_sessions(now, view, &mut out);
            }
        }
        // What this node says to itself goes the same way as everything else, at once.
        while let Some(body) = out.local.pop_front() {
            self.on_message(now, view, view.node(), body, &mut out);
        }
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self
            .sessions
            .values()
            .map(|(_, phase)| phase.poll_timeout());
        let reminders = self.reminders.values().map(Reminder::at);
        let allocations = self.allocations.values().filter_map(Allocation::until);
        let others = [
            self.ledger.poll_timeout(),
            self.visits.poll_timeout(),
            self.closed.poll_timeout(),
        ];
        sessions
            .chain(reminders)
            .chain(allocations)
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
        self.ledger.taken().0
    }

    /// What confirmed graphs take here.
    pub fn allocated(&self) -> Resources {
        self.ledger.taken().1
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
        match body {
            Body::Probe(probe) => self.on_probe(now, view, *probe, out),
            Body::Ended(ended) => self.on_ended(now, view, from, *ended, out),
            Body::Confirm(confirm) => self.on_confirm(now, view, from, *confirm, out),
            Body::Confirmed { id, attempt } => {
                self.on_confirmed(now, from, (id, attempt), out);
            }
            Body::Declined { id, attempt, why } => {
                self.settle((id, Kind::Start), from);
                self.on_declined(now, view, from, (id, attempt), why, out);
            }
            Body::Start { id, attempt } => self.on_start(now, view, from, (id, attempt), out),
            Body::Started { id, attempt } => {
                self.settle((id, Kind::Start), from);
                self.on_started(now, from, (id, attempt), out);
            }
            Body::Release { id, attempt } => self.on_release(now, from, (id, attempt), out),
            Body::Released { id, attempt: _ } => self.settle((id, Kind::Release), from),
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
        self.ledger.release_reserved_by(node);
        for ended in self.visits.lost(node) {
            out.send(ended.id.node, Body::Ended(Box::new(ended)));
        }
        self.exclude(now, view, node, out);
    }

    /// Lets go of everything whose time is over.
    fn lapse(&mut self, now: Instant, out: &mut Outbox<'_>) {
        self.counts.lapsed += self.ledger.lapse(now);
        self.visits.lapse(now);
        self.closed.lapse(now);
        self.lapse_allocations(now, out);
        let Self {
            answers_due,
            allocations,
            closed,
            ..
        } = self;
        answers_due.retain(|id, _| allocations.contains_key(id) || closed.has(*id));
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
