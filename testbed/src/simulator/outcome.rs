//! What a simulation gives: outcomes of requests, delays, and what was sent.

use std::sync::Arc;
use std::time::Duration;

use model::{ApplicationId, ComponentGraph, CompositionId};
use node::node::Failure;

/// A request, or another command that was given to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u32);

/// How a request ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What was admitted, where it was.
    pub admitted: Option<Admitted>,
    /// Why it was refused, where it was.
    pub refusal: Option<Failure>,
    /// From the request to its answer, at the composing host.
    pub elapsed: Duration,
    /// Probes that were sent for it, as the composing node counted them, of refusals too.
    pub probes: u64,
    /// Control messages between hosts that followed from it, until now: its probes, its commit, its record.
    pub messages: u64,
    /// Their size. Unit: bytes.
    pub bytes: u64,
    /// What the overlay was asked because of it.
    pub lookups: u64,
    /// The messages that this took: hops of walks, questions, answers.
    pub lookup_messages: u64,
}

/// A request that was admitted.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Whose it is and what it is called.
    pub application: ApplicationId,
    /// Its composition.
    pub composition: CompositionId,
    /// Where everything is. Nothing where it was only tried.
    pub graph: Option<Arc<ComponentGraph>>,
    /// The delay that was foretold.
    pub predicted_delay: Duration,
    /// Of the hosts and links that it takes.
    pub congestion: f64,
    /// How many operators ran already.
    pub shared: u64,
    /// What that saved. Unit: cores.
    pub saved_cores: f64,
}

/// The true delay of an application, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// From its sources to its sinks: the longest way.
    pub full: Duration,
    /// The same, from the streams on that it shares; all of it where it shares nothing.
    pub from_sharing_point: Duration,
    /// What it was promised.
    pub target: Duration,
}

/// What was sent of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// How many messages.
    pub messages: u64,
    /// How large they were together. Unit: bytes.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }
}
