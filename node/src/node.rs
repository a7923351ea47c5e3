//! The control plane of a node as one machine without I/O.
//!
//! [`Node`] owns a composer, keeps the records of applications and streams, and speaks to the overlay and to
//! other nodes through effects. It contains no algorithm: it carries what siblings want of one another. All
//! that happens to it comes in by one door, so that `(now, input)` pairs that were written down replay it.

mod command;

use std::time::Duration;

use model::{
    ApplicationId, ComponentGraph, CompositionId, HostSummary, Instant, NodeId, Outcome, Query, Rng,
};

pub use command::*;

/// What a node is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it says of itself: its id, name, addresses, capacity, labels, offered operators.
    pub host: HostSummary,
    /// The network that it belongs to, for people.
    pub network: String,
    /// The first number of its compositions and versions of its records: larger than any that it used before,
    /// also before a restart.
    pub first_number: u64,
}

/// What happens to a node.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Input {
    /// A person or a program on this host asks something.
    Command {
        /// Which answer belongs to it.
        id: CommandId,
        /// What.
        command: Command,
    },
    /// The overlay's answer to [`Effect::Query`].
    Outcome {
        /// To which.
        query: u64,
        /// What.
        outcome: Outcome,
    },
    /// A control message of a peer, not decoded yet.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A peer cannot be reached.
    Unreachable(NodeId),
    /// A host is there, or said something new of itself.
    Seen {
        /// What it says.
        summary: HostSummary,
        /// The round trip to it, where this node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts.
    Lost(NodeId),
    /// How many cores of this host are in use.
    Load {
        /// By everything that runs on it.
        busy_cores: f64,
    },
    /// What [`Effect::Deploy`] asked for is there.
    Deployed(CompositionId),
    /// What [`Effect::Deploy`] asked for could not be made; nothing of it is there.
    DeployFailed {
        /// For which composition.
        id: CompositionId,
        /// Why.
        reason: String,
    },
    /// Something happened to the components that run here for a composition.
    Happened {
        /// Which composition.
        id: CompositionId,
        /// What.
        event: PartEvent,
    },
    /// The answer to [`Effect::Report`].
    Reported {
        /// To which.
        ticket: u64,
        /// What was counted.
        report: PartReport,
    },
    /// The time of [`Node::poll_timeout`] has come.
    Timeout,
}

/// What happened to the components that run here for a composition.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum PartEvent {
    /// All results have left the sinks that are here, and no more will come.
    Finished,
    /// A source here cannot be read on; what it gave still leaves.
    Degraded {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// A component failed, and with it the application.
    Failed {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// An edge to another host is broken and is tried again.
    Disconnected {
        /// Which host.
        host: NodeId,
    },
    /// It goes on.
    Reconnected {
        /// Which host.
        host: NodeId,
    },
    /// Nobody pulls from here any more: the components are gone.
    Retired,
}

/// What was counted of the components that run here for a composition.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct PartReport {
    /// The components; `host` and `node` are filled in by [`Node`].
    pub components: Vec<ComponentRow>,
    /// The delays of results at the sinks that are here: of several, the longest.
    pub delay_ms: Option<Quantiles>,
    /// Rows that left the sinks here.
    pub results: u64,
    /// Of these, after the target.
    pub misses: u64,
    /// Rows that results say they lack.
    pub missing: u64,
}

/// What a node wants done, or tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The answer to a command. Each command is answered once, in bounded time.
    Answer {
        /// To which.
        id: CommandId,
        /// What.
        answered: Answered,
    },
    /// Ask the overlay.
    Query {
        /// Which outcome belongs to it.
        query: u64,
        /// What.
        ask: Query,
    },
    /// Send a control message.
    Send {
        /// To whom; never this node itself.
        to: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Make components of all parts that the graph binds to this node; open no edge upstream yet.
    Deploy {
        /// For which composition.
        id: CompositionId,
        /// Of which application.
        application: ApplicationId,
        /// The parts and where each of them is.
        graph: Box<ComponentGraph>,
    },
    /// The sinks that are here for a composition pull.
    Start(CompositionId),
    /// Drop all components that are here for a composition; edges upstream say goodbye.
    Retire(CompositionId),
    /// Say what was counted of a composition here.
    Report {
        /// Which answer belongs to it.
        ticket: u64,
        /// Of which composition.
        id: CompositionId,
    },
    /// What this host says of itself from now on.
    Describe(HostSummary),
    /// Something that people should find in the log.
    Note(String),
}

/// The control plane of a node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    rng: Rng,
}

impl Node {
    /// A node that knows nobody.
    pub const fn new(config: Config, rng: Rng) -> Self {
        Self { config, rng }
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle_input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        let _ = (now, input, out, &self.config, &mut self.rng);
    }

    /// When [`Input::Timeout`] is wanted.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
