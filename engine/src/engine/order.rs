//! Which component runs next: budgets from what lies behind, deadlines of what comes in, and what each has to do first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{ComponentId, EdgeId, EventTime, Instant};

use super::edges::Producing;
use super::{BUDGET_INTERVAL, Component, Engine, Role, UNIT_DIVISOR, UNIT_MAX, UNIT_MIN};
use crate::batch::{Batch, Token};
use crate::budget::{self, Budget, Stage};
use crate::frontier::Effect;
use crate::mailbox::{Ahead, Channel, First, NO_DEADLINE, Waiting};
use crate::scheduler::policy::{Kind, Order};
use crate::scheduler::{Rank, Rules, Runnable, Worker};
use crate::share;

/// What the order goes by: the policy, the rules that hold, and how long one dispatch may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precedence {
    pub(super) kind: &'static Kind,
    pub(super) rules: Rules,
    pub(super) unit: Duration,
}

/// What a component is to do next.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstWork {
    /// Whose batches it works on; of none where it goes on closing windows.
    pub(super) channel: Option<Channel>,
    pub(super) arrival: Instant,
    /// When it was put into the mailbox.
    pub(super) entered: Instant,
    sequence: u64,
    pub(super) token: Token,
    rows: usize,
    start_by: i64,
    window: EventTime,
    pub(super) is_late: bool,
    /// Its state is to be exported, before anything else comes in.
    pub(super) is_export: bool,
}

impl Engine {
    /// What the order goes by.
    pub(super) const fn precedence(&self) -> Precedence {
        Precedence {
            kind: self.config.policy.kind(),
            rules: self.config.policy.rules(self.config.rules),
            unit: self.unit,
        }
    }

    /// Computes budgets of what was measured, and the longest that one dispatch is to take.
    pub(super) fn compute_budgets(&mut self, now: Instant) {
        self.budgets_due = now + BUDGET_INTERVAL;
        let order = self.in_order_of_flow();
        let places: BTreeMap<ComponentId, usize> = order.iter().copied().zip(0..).collect();
        let consumer = |edge: &EdgeId| {
            let inbound = self.edges.get(edge)?.inbound()?;
            places.get(&inbound.component).copied()
        };
        let stage = |component: &Component| {
            let outputs = || component.outputs.iter();
            Stage {
                cost: component.whole_cost(),
                target: component.target(),
                pulled: outputs()
                    .flat_map(|output| output.producer.budgets())
                    .cloned()
                    .collect(),
                consumers: outputs()
                    .flat_map(|output| &output.readers)
                    .filter_map(consumer)
                    .collect(),
                slide: component.slide,
                least_age: component.ages.least(),
            }
        };
        let components = order.iter().filter_map(|id| self.components.get(id));
        let stages: Vec<Stage> = components.map(stage).collect();
        let budgets = budget::budgets(&stages);
        let tightest = budgets.iter().map(Budget::strictest).min();
        let tightest = tightest.and_then(|slack| u64::try_from(slack.as_nanos()).ok());
        self.unit = tightest.map_or(UNIT_MAX, |nanos| {
            (Duration::from_nanos(nanos) / UNIT_DIVISOR).clamp(UNIT_MIN, UNIT_MAX)
        });
        for (id, budget) in order.iter().zip(budgets) {
            self.component_mut(*id).set_budget(budget);
        }
        self.compute_grains(&order);
        for id in order {
            self.refresh(now, id);
        }
        self.tell_budgets();
    }

    /// Says of each way in how rarely those before it close anything, where a policy asks.
    fn compute_grains(&mut self, order: &[ComponentId]) {
        if self.config.policy.kind().mailbox != Order::Progress {
            return;
        }
        for id in order.iter().copied() {
            let grain = |edge: &EdgeId| match self.edges.get(edge).map(|edge| &edge.producer) {
                Some(Producing::Here(producer, _)) => self
                    .components
                    .get(producer)
                    .map_or(0, |component| component.grain_micros()),
                _ => 0,
            };
            let grains = self.component(id).inputs.iter().map(grain).collect();
            self.component_mut(id).grains_micros = grains;
        }
    }

    /// The best token for so many rows of a source among those of the applications that read it; unmetered where one of them is.
    pub(super) fn take_token(&mut self, now: Instant, source: ComponentId, rows: usize) -> Token {
        if !self.has_shares {
            return Token::Unmetered;
        }
        let outputs = &self.component(source).outputs;
        let readers = || {
            let producers = outputs.iter().map(|output| &output.producer);
            producers.flat_map(|producer| producer.applications())
        };
        let is_metered = |reader: &u64| {
            let application = self.applications.get(reader);
            application.is_some_and(|application| application.share.is_some())
        };
        if !readers().any(|reader| is_metered(&reader)) {
            return Token::Unmetered;
        }
        let readers: BTreeSet<u64> = readers().collect();
        let (base, lead_max) = match self.config.policy.kind().mailbox {
            Order::Token => (now.max(self.reached), None),
            _ => (now, Some(share::SPAN)),
        };
        let mut best = None;
        for reader in readers {
            let application = self.applications.get_mut(&reader);
            let token = match application.and_then(|application| application.share.as_mut()) {
                Some(share) => share.take(base, lead_max, rows),
                None => return Token::Unmetered,
            };
            best = Some(best.map_or(token, |best: Token| best.min(token)));
        }
        best.unwrap_or_default()
    }

    /// The component that a worker goes on with, or the one that goes first.
    pub(super) fn take_turn(
        &mut self,
        now: Instant,
        worker: Worker,
    ) -> Option<(ComponentId, Rank)> {
        let quantum = self.config.quantum;
        let quantum = quantum.unwrap_or_else(|| self.config.policy.kind().quantum);
        if quantum.is_zero() {
            // Nobody goes on with anything: whose turn it was does not matter.
            return self.scheduler.pop(worker);
        }
        if let Some((id, since)) = self.turns.get(&worker).copied()
            && now.since(since) < quantum
            && let Some(rank) = self.scheduler.remove(id)
        {
            return Some((id, rank));
        }
        let taken = self.scheduler.pop(worker);
        match taken {
            Some((id, _)) => self.turns.insert(worker, (id, now)),
            None => self.turns.remove(&worker),
        };
        taken
    }

    /// Gives a component its place in the order, or takes it away.
    pub(super) fn refresh(&mut self, now: Instant, id: ComponentId) {
        let precedence = self.precedence();
        let Some(component) = self.components.get_mut(&id) else {
            self.scheduler.set(id, None, None);
            return;
        };
        let could_run = component.step.is_some() && !component.has_failed();
        let first = if could_run {
            component.first_work(now, precedence)
        } else {
            None
        };
        let rank = first.map(|first| component.rank(precedence, &first));
        self.scheduler.set(id, rank, self.acting);
    }
}

impl Component {
    /// What waits when a batch has come in: with its deadline, where the policy goes by deadlines.
    pub(super) fn waiting(
        &mut self,
        now: Instant,
        precedence: Precedence,
        sequence: u64,
        channel: Channel,
        batch: Arc<Batch>,
    ) -> Waiting {
        self.ages.observe(now, batch.header.age(now));
        let (deadline, window) = match precedence.kind.mailbox {
            Order::Urgency | Order::Progress if matches!(self.role, Role::Operator) => {
                self.deadline(now, channel, &batch.header, precedence.rules)
            }
            _ => (NO_DEADLINE, EventTime::MIN),
        };
        Waiting {
            batch,
            sequence,
            entered: now,
            deadline,
            window,
            is_apart: false,
        }
    }

    /// What a batch that has come in is worked off as: one that closes windows and goes on behind them in two parts, where the second would
    /// take long. Results of those windows need not wait for it.
    pub(super) fn part_closing(
        &self,
        precedence: Precedence,
        channel: Channel,
        batch: &Batch,
    ) -> Option<(Batch, Batch)> {
        let Precedence { kind, rules, .. } = precedence;
        let may_part = rules.frontier && rules.closing && kind.mailbox == Order::Urgency;
        if !may_part || self.cost.expect(batch.rows.len()) < UNIT_MIN {
            return None;
        }
        let from = self.frontiers.last_closing(channel, &batch.header)?;
        let parts = batch.split_due(from)?;
        (self.cost.expect(parts.1.rows.len()) >= UNIT_MIN).then_some(parts)
    }

    /// What it is to do next, if what comes of it has room.
    pub(super) fn first_work(&mut self, now: Instant, precedence: Precedence) -> Option<FirstWork> {
        let rules = precedence.rules;
        if let Some(stamp) = self.closing {
            // Windows that are closing go on before anything else comes in.
            return self
                .has_room_to_close()
                .then(|| self.closing_work(now, stamp, rules));
        }
        let export = self.export_due.map(FirstWork::export);
        if self.mailbox.is_empty() || export.is_some() && !self.has_just_exported {
            return export;
        }
        let mut mailbox = std::mem::take(&mut self.mailbox);
        let has_room = |channel| self.has_room(channel);
        let by_head = |channel: Option<Channel>| {
            let channel = channel?;
            let head = mailbox.head(channel)?;
            Some(First {
                channel,
                start_by: head.deadline,
                window: head.window,
                is_late: false,
            })
        };
        let first = match precedence.kind.mailbox {
            Order::Urgency if rules.foremost => {
                let ahead = Ahead {
                    cost_nanos: match rules.ahead {
                        true => signed_nanos(self.cost.usual()),
                        false => 0,
                    },
                    leaves_out_late: rules.late,
                };
                mailbox.most_urgent(now, ahead, has_room)
            }
            Order::Urgency | Order::Progress => by_head(mailbox.first(
                |waiting| (waiting.batch.header.progress, waiting.sequence),
                has_room,
            )),
            Order::Arrival => by_head(mailbox.first(|waiting| waiting.sequence, has_room)),
            Order::Token => by_head(mailbox.first(
                |waiting| (waiting.batch.header.token, waiting.sequence),
                has_room,
            )),
        };
        let work = first.and_then(|first| {
            let head = mailbox.head(first.channel)?;
            Some(FirstWork {
                channel: Some(first.channel),
                arrival: head.batch.header.arrival,
                entered: head.entered,
                sequence: head.sequence,
                token: head.batch.header.token,
                rows: head.batch.rows.len(),
                start_by: first.start_by,
                window: first.window,
                is_late: first.is_late,
                is_export: false,
            })
        });
        self.mailbox = mailbox;
        work.or(export)
    }

    /// The place that what it is to do gives it.
    pub(super) fn rank(&self, precedence: Precedence, first: &FirstWork) -> Rank {
        let Precedence { kind, rules, unit } = precedence;
        (kind.rank)(&Runnable {
            application: self.application,
            start_by: first.start_by,
            is_late: first.is_late,
            window: first.window,
            cost_nanos: signed_nanos(self.cost.expect(first.rows)),
            token: first.token,
            sequence: first.sequence,
            depth: self.depth,
            tie_nanos: rules.ties.then(|| signed_nanos(unit)),
        })
    }

    /// When a batch that comes in must start, and the window that it is part of.
    fn deadline(
        &mut self,
        now: Instant,
        channel: Channel,
        header: &crate::batch::Header,
        rules: Rules,
    ) -> (i64, EventTime) {
        let mut window = EventTime::MIN;
        let mut effects = [Effect::Closes; budget::SLIDES_MAX];
        let slides = self.budget.slides().len();
        if rules.frontier && slides > 0 {
            let grain = self.grains_micros.get(usize::from(channel.port)).copied();
            let grain = (!rules.closing).then(|| grain.unwrap_or(0));
            for (place, effect) in effects.iter_mut().enumerate().take(slides) {
                *effect = self.frontiers.effect(now, place, channel, header, grain);
                if let Effect::Accumulates { border, .. } = *effect {
                    window = window.max(border);
                }
            }
            self.frontiers.enter(channel, header);
        }
        // What is beyond its application's share counts as if it had come when its token is due.
        let arrival = match header.token {
            Token::At(time) => header.arrival.max(time),
            Token::Unmetered => header.arrival,
        };
        let deadline = self.budget.deadline(arrival, &effects[..slides]);
        (deadline, window)
    }

    /// Takes over a budget: what waits must start that much earlier or later.
    fn set_budget(&mut self, budget: Budget) {
        if self.budget == budget {
            return;
        }
        let (old, new) = (self.budget.strictest(), budget.strictest());
        let slides = budget.slides().iter().map(|(slide, _)| *slide);
        self.frontiers.set_slides(slides);
        self.budget = budget;
        if self.mailbox.is_empty() || old == new {
            return;
        }
        let change = new.as_nanos().saturating_sub(old.as_nanos());
        let budget = &self.budget;
        self.mailbox.set_deadlines(|waiting| {
            if waiting.deadline == NO_DEADLINE || new.as_nanos() == NO_DEADLINE {
                return budget::deadline(waiting.batch.header.arrival, budget.strictest());
            }
            waiting.deadline.saturating_add(change)
        });
    }

    /// How rarely it, or who lies before it, closes anything; in microseconds of event time.
    fn grain_micros(&self) -> i64 {
        let before = self.grains_micros.iter().copied().max().unwrap_or(0);
        self.slide
            .map_or(before, |slide| slide.every_micros.max(before))
    }

    fn closing_work(&self, now: Instant, stamp: crate::step::Stamp, rules: Rules) -> FirstWork {
        let start_by = budget::deadline(stamp.arrival, self.budget.strictest());
        let is_late = rules.late && start_by < signed(now);
        FirstWork {
            channel: None,
            arrival: stamp.arrival,
            entered: now,
            sequence: 0,
            token: stamp.token,
            rows: 0,
            start_by,
            window: EventTime::MIN,
            is_late: is_late || rules.late && stamp.token.is_ahead(now),
            is_export: false,
        }
    }
}

impl FirstWork {
    /// An export that is due since then.
    fn export(since: Instant) -> Self {
        Self {
            channel: None,
            arrival: since,
            entered: since,
            sequence: 0,
            token: Token::Unmetered,
            rows: 0,
            start_by: signed(since + EXPORT_WITHIN),
            window: EventTime::MIN,
            is_late: false,
            is_export: true,
        }
    }
}

/// How long an export of a component's state may wait for others.
///
/// Unit: time. Range: well below the second in which shadows pull again. Source: guess; a migration takes some such steps.
const EXPORT_WITHIN: Duration = Duration::from_millis(10);

fn signed_nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn signed(instant: Instant) -> i64 {
    i64::try_from(instant.as_nanos()).unwrap_or(i64::MAX)
}
