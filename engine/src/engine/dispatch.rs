//! Dispatches: work that leaves the engine to be run, and comes back.

use std::sync::Arc;
use std::time::Duration;

use model::{ComponentId, Instant, convert};

use super::Engine;
use super::shadows::{Export, Made};

use crate::batch::{Batch, Token};
use crate::mailbox::Channel;
use crate::scheduler::Worker;
use crate::step::{Outcome, Ports, Step};

/// Work for a worker: a step and what to run it on.
#[derive(Debug)]
pub struct Dispatch {
    pub(super) component: ComponentId,
    pub(super) ticket: Ticket,
    pub(super) wanted: Ports,
    pub(super) work: Work,
    pub(super) step: Box<Step>,
}

/// How work was given out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    /// To whom.
    pub(super) worker: Worker,
    /// Whether it could not be on time any more.
    pub(super) is_late: bool,
}

/// What a step is run on.
#[derive(Debug)]
pub(super) enum Work {
    /// Consecutive batches of a channel, which the step has; at least one.
    Batches(Channel),
    /// Windows that it had begun to close.
    Close,
    /// Its state is put into pieces for a shadow.
    Export(Box<Export>),
}

/// A dispatch that was run.
#[derive(Debug)]
pub struct Completed {
    pub(super) component: ComponentId,
    pub(super) ticket: Ticket,
    pub(super) worked: Option<Worked>,
    pub(super) step: Box<Step>,
    pub(super) outcome: Outcome,
    pub(super) made: Option<Made>,
}

/// What was worked off.
#[derive(Debug)]
pub(super) struct Worked {
    pub(super) channel: Channel,
    pub(super) through: u64,
    pub(super) rows: usize,
    pub(super) bytes: u64,
}

/// A dispatch whose operator panicked; the operator is gone.
#[derive(Debug, Clone, Copy)]
pub struct Panicked(pub(super) ComponentId);

impl Engine {
    /// The work that a worker is to do next, if there is any.
    pub fn next(&mut self, now: Instant, worker: Worker) -> Option<Dispatch> {
        if now >= self.budgets_due {
            self.compute_budgets(now);
        }
        let precedence = self.precedence();
        loop {
            let (id, rank) = self.take_turn(now, worker)?;
            let Some(component) = self.components.get_mut(&id) else {
                continue;
            };
            let Some(first) = component.first_work(now, precedence) else {
                continue;
            };
            let is_late = first.is_late && component.rank(precedence, &first).is_late;
            if is_late && !rank.is_late && self.scheduler.has_timely() {
                // It has become late while it waited, and others are not.
                self.refresh(now, id);
                continue;
            }
            let unit = precedence.rules.units.then_some(precedence.unit);
            if let Token::At(time) = first.token {
                self.reached = self.reached.max(time);
            }
            let export = match first.is_export {
                true => self.begin_export(id),
                false => None,
            };
            if first.is_export && export.is_none() {
                self.refresh(now, id);
                continue;
            }
            let Some(component) = self.components.get_mut(&id) else {
                continue;
            };
            if let Some(export) = export {
                let Some(step) = component.step.take() else {
                    continue;
                };
                return Some(Dispatch {
                    component: id,
                    ticket: Ticket { worker, is_late },
                    wanted: Ports::default(),
                    work: Work::Export(Box::new(export)),
                    step,
                });
            }
            component.note_start(now, first.arrival);
            let waited = now.since(first.entered);
            component.note_wait(waited);
            let wanted = component.wanted();
            let Some(mut step) = component.step.take() else {
                continue;
            };
            let work = match first.channel {
                None => Work::Close,
                Some(channel) => {
                    component.queueing.note(now, waited);
                    let rows_max = unit.map(|unit| component.cost.rows_within(unit));
                    let rows_max = rows_max.unwrap_or(usize::MAX);
                    component.mailbox.take(channel, rows_max, &mut step.input);
                    Work::Batches(channel)
                }
            };
            return Some(Dispatch {
                component: id,
                ticket: Ticket { worker, is_late },
                wanted,
                work,
                step,
            });
        }
    }

    /// Takes back a dispatch that was run, which took `busy` of processor time.
    pub fn complete(&mut self, now: Instant, completed: Completed, busy: Duration) {
        let Completed {
            component: id,
            ticket,
            worked,
            mut step,
            mut outcome,
            made,
        } = completed;
        let was_short = self.ledger.is_short();
        let Some(component) = self.components.get_mut(&id) else {
            return;
        };
        if component.has_failed() {
            // Nobody needs the step any more: its state goes with it.
            return;
        }
        self.scheduler
            .charge(component.application, ticket.is_late, busy);
        // Vectors that have grown are passed on: the step gets an empty one for the one that it gives.
        step.batches = std::mem::take(&mut self.appends);
        let mut outputs = std::mem::take(&mut outcome.outputs);
        component.step = Some(step);
        component.has_just_exported = made.is_some();
        component.closing = outcome.closing;
        component.counters.add(busy, &outcome);
        component.execution.note(now, busy);
        if let Some(worked) = &worked {
            component.observe_cost(worked.rows, busy, outcome.has_closed);
            component.counters.take(now, convert::size(worked.rows));
        }
        if let Some(bytes) = outcome.state_bytes {
            self.ledger.set_state(id, bytes);
            self.check_state(now);
        }
        if let Some(made) = made {
            self.take_export(now, id, made);
        }
        self.acting = Some(ticket.worker);
        for (port, batch) in outputs.drain(..) {
            self.append(now, id, port, batch);
        }
        self.appends = outputs;
        if let Some(worked) = worked {
            self.taken(now, id, worked.channel, worked.through, worked.bytes);
        }
        self.refresh(now, id);
        self.acting = None;
        self.signals.all |= was_short && !self.ledger.is_short();
        self.check_still(now, id);
    }

    /// Takes back a dispatch that panicked: the component is retired and its application fails.
    pub fn complete_panicked(&mut self, now: Instant, panicked: Panicked, reason: &str) {
        self.fail(now, panicked.0, &format!("panicked: {reason}"));
    }
}

impl Completed {
    /// Which component has worked.
    pub const fn component(&self) -> ComponentId {
        self.component
    }

    /// Who has run it.
    pub const fn worker(&self) -> Worker {
        self.ticket.worker
    }

    /// How many rows it worked off: none where it closed windows.
    pub fn rows(&self) -> usize {
        self.worked.as_ref().map_or(0, |worked| worked.rows)
    }
}

impl Dispatch {
    /// Runs the step. This is where a worker spends its time; no lock is needed.
    pub fn run(self) -> Completed {
        let Self {
            component,
            ticket,
            wanted,
            work,
            mut step,
        } = self;
        let unworked = |step, outcome, made| Completed {
            component,
            ticket,
            worked: None,
            step,
            outcome,
            made,
        };
        let channel = match work {
            Work::Close => {
                let outcome = step.close(wanted);
                return unworked(step, outcome, None);
            }
            Work::Export(export) => {
                let made = export.run(&mut step);
                return unworked(step, Outcome::default(), Some(made));
            }
            Work::Batches(channel) => channel,
        };
        let whole = match step.input.as_slice() {
            [only] => Arc::clone(only),
            several => Arc::new(
                Batch::join(several).expect("the batches of a stream have the same columns"),
            ),
        };
        step.input.clear();
        let outcome = step.run(channel, &whole, wanted);
        let worked = Worked {
            channel,
            through: whole.header.interval.through(),
            rows: whole.rows.len(),
            bytes: convert::size(whole.rows.bytes()),
        };
        Completed {
            component,
            ticket,
            worked: Some(worked),
            step,
            outcome,
            made: None,
        }
    }

    /// What to hand back where running it panicked.
    pub const fn panicked(&self) -> Panicked {
        Panicked(self.component)
    }
}
