//! What happens to a node.

use std::sync::Arc;
use std::time::Duration;

use composition::{MigrationId, Taken};
use model::{CompositionId, HostSummary, NodeId, Outcome, Resources, Slack};

use super::{Command, CommandId, ComponentRow, Quantiles};
#[cfg(doc)]
use super::{Effect, Node};

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
        summary: Arc<HostSummary>,
        /// The round trip to it, where this node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts.
    Lost(NodeId),
    /// How much of this host is in use, by everything that runs on it.
    Load {
        /// Cores, the memory for data, and what left in a second.
        used: Resources,
    },
    /// What was measured of what runs here, about once a second.
    Measured {
        /// Of which composition.
        id: CompositionId,
        /// What.
        measured: Measured,
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
    /// A record that was kept before a restart: see [`Effect::Keep`].
    Recalled(Vec<u8>),
    /// The time of [`Node::poll_timeout`] has come.
    Timeout,
}

/// What was measured of the components that run here for a composition since the last time.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct Measured {
    /// Of each operator of its own that runs here, by its place in the plan.
    pub operators: Vec<composition::Usage>,
    /// Of the same operators: how they keep up with what comes in.
    pub paces: Vec<Pace>,
    /// Those of its own operators that run elsewhere by now, and here for others who read them still.
    pub kept: Vec<u16>,
    /// The delay of results at the sinks here, at the quantile that the application asks for; nothing where none came.
    pub delay: Option<Duration>,
}

/// How an operator that runs here keeps up with what comes in.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Pace {
    /// Its place in the plan.
    pub operator: u16,
    /// Rows that it worked off. Unit: rows per second.
    pub rows_per_second: f64,
    /// How long batches were there, waiting and running, in the mean; nothing where there were none.
    pub execution: Option<Duration>,
    /// How old batches were when they started; nothing where there were none, or no target lies behind.
    pub age: Option<Duration>,
    /// The greatest age at which a batch may start there and still meet every target; [`Slack::MAX`] where no target lies behind.
    pub budget: Slack,
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
    /// What a component here reads is not to be had any more where it was.
    Gone {
        /// Which component.
        component: String,
        /// What it reads.
        stream: String,
        /// Where it was read.
        host: NodeId,
    },
    /// What had gone is read elsewhere, or is not read any more.
    Replaced {
        /// Which component.
        component: String,
        /// What it reads, or read.
        stream: String,
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
    /// Results no longer wait for a source whose host is away.
    Passed {
        /// Which source.
        source: String,
        /// Which host.
        host: NodeId,
    },
    /// What a graph binds to this host could not be made here.
    Unmade {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// A component was made here in the place of one that was lost, and goes on.
    Restored {
        /// Which component.
        component: String,
        /// How much state it goes on with. Unit: bytes.
        state_bytes: u64,
    },
    /// The state of an operator was lost with the process that ran it: its successor here begins with nothing.
    StateLost {
        /// Which operator.
        operator: String,
    },
    /// The state of an operator here would outlive this process, or would not.
    Surviving {
        /// Which operator.
        operator: String,
        /// Why not, where it would not.
        refused: Option<String>,
    },
    /// Nobody pulls from here any more: the components are gone.
    Retired,
}

/// What was counted of the components that run here for a composition.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct PartReport {
    /// What should be here of the graph that was adopted last and is not yet, or is held here for others: which component, and why.
    pub lacking: Vec<(String, String)>,
    /// The components; `host` and `node` are filled in by [`Node`].
    pub components: Vec<ComponentRow>,
    /// What its results are to meet, where sinks are here.
    pub target_ms: Option<f64>,
    /// The delays of results at the sinks that are here: of several, the longest.
    pub delay_ms: Option<Quantiles>,
    /// Of these, those of the last minute or half of it.
    pub recent_delay_ms: Option<Quantiles>,
    /// Rows that left the sinks here.
    pub results: u64,
    /// Of these, after the target.
    pub misses: u64,
    /// Rows that left the sinks here in the last minute or half of it.
    pub recent_results: u64,
    /// Of these, after the target.
    pub recent_misses: u64,
    /// Rows that results say they lack.
    pub missing: u64,
}
