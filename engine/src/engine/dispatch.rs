//! Dispatches: work that leaves the engine to be run, and comes back.

use std::sync::Arc;

use model::{ComponentId, convert};

use crate::batch::Batch;
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
    /// Consecutive batches of a channel; at least one.
    Batches(Channel, Vec<Arc<Batch>>),
    /// Windows that it had begun to close.
    Close,
}

/// A dispatch that was run.
#[derive(Debug)]
pub struct Completed {
    pub(super) component: ComponentId,
    pub(super) ticket: Ticket,
    pub(super) worked: Option<Worked>,
    pub(super) step: Box<Step>,
    pub(super) outcome: Outcome,
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
        let (channel, batches) = match work {
            Work::Close => {
                let outcome = step.close(wanted);
                return Completed {
                    component,
                    ticket,
                    worked: None,
                    step,
                    outcome,
                };
            }
            Work::Batches(channel, batches) => (channel, batches),
        };
        let whole = match batches.as_slice() {
            [only] => Arc::clone(only),
            several => Arc::new(
                Batch::join(several).expect("the batches of a stream have the same columns"),
            ),
        };
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
        }
    }

    /// What to hand back where running it panicked.
    pub const fn panicked(&self) -> Panicked {
        Panicked(self.component)
    }
}
