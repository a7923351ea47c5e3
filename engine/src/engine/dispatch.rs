//! Dispatches: work that leaves the engine to be run, and comes back.

use std::sync::Arc;

use model::{ComponentId, convert};

use crate::batch::Batch;
use crate::mailbox::Channel;
use crate::step::{Outcome, Ports, Step};

/// Work for a worker: a step and the batch to run it on.
#[derive(Debug)]
pub struct Dispatch {
    pub(super) component: ComponentId,
    pub(super) channel: Channel,
    pub(super) wanted: Ports,
    /// Consecutive batches of the channel; at least one.
    pub(super) batches: Vec<Arc<Batch>>,
    pub(super) step: Box<Step>,
}

/// A dispatch that was run.
#[derive(Debug)]
pub struct Completed {
    pub(super) component: ComponentId,
    pub(super) channel: Channel,
    pub(super) through: u64,
    pub(super) rows: usize,
    pub(super) bytes: u64,
    pub(super) step: Box<Step>,
    pub(super) outcome: Outcome,
}

/// A dispatch whose operator panicked; the operator is gone.
#[derive(Debug, Clone, Copy)]
pub struct Panicked(pub(super) ComponentId);

impl Dispatch {
    /// Runs the step. This is where a worker spends its time; no lock is needed.
    pub fn run(mut self) -> Completed {
        let whole = match self.batches.as_slice() {
            [only] => Arc::clone(only),
            several => Arc::new(
                Batch::join(several).expect("the batches of a stream have the same columns"),
            ),
        };
        let outcome = self.step.run(self.channel, &whole, self.wanted);
        Completed {
            component: self.component,
            channel: self.channel,
            through: whole.header.interval.through(),
            rows: whole.rows.len(),
            bytes: convert::size(whole.rows.bytes()),
            step: self.step,
            outcome,
        }
    }

    /// What to hand back where running it panicked.
    pub const fn panicked(&self) -> Panicked {
        Panicked(self.component)
    }
}
