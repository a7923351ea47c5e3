//! One node's part of the overlay, as one machine.

use std::time::Duration;

use model::{HostSummary, Instant, Key, NodeId, Outcome, Query, Rng};

use crate::identity::Identity;
use crate::message::Message;

/// A query of this node; its answer repeats it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct QueryId(pub u64);

/// A walk that was asked for; its answer repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalkId(pub u64);

/// A node and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Peer {
    /// Which node.
    pub node: NodeId,
    /// Multiaddresses, at most [`model::entry::ADDRESSES_MAX`].
    pub addresses: Vec<String>,
}

/// What a node's overlay is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Who this is.
    pub identity: Identity,
    /// What it says of itself at first.
    pub host: HostSummary,
    /// The first version of its entries: larger than any that it used before, also before a restart.
    pub first_version: u64,
}

/// What happens to the overlay.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// This node asks something.
    Query {
        /// Which answer belongs to it.
        id: QueryId,
        /// What.
        query: Query,
    },
    /// A peer said something, over a connection that proved who it is.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A walk of the routing library came to its end: the closest nodes it found, this one left out.
    Walked {
        /// Which one.
        walk: WalkId,
        /// The nodes, in any order.
        peers: Vec<Peer>,
    },
    /// A connection to a peer was made.
    Connected(NodeId),
    /// A peer could not be reached, or its last connection was closed by an error.
    Unreachable(NodeId),
    /// What this node says of itself from now on; version and coordinate are filled in here.
    Describe(HostSummary),
    /// This node leaves in order: what it holds is handed over, what it registered is withdrawn.
    Leave,
    /// The time of [`Overlay::poll_timeout`] has come.
    Timeout,
}

/// What the overlay wants done, or tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The answer to a query. Each query is answered once.
    Answer {
        /// To which.
        id: QueryId,
        /// What.
        outcome: Outcome,
    },
    /// Say something to a peer. It may get lost; [`Input::Unreachable`] tells where it surely was.
    Send {
        /// To whom.
        to: NodeId,
        /// Where it was last known to be reached, where that is not known otherwise.
        addresses: Vec<String>,
        /// What.
        message: Message,
    },
    /// Find the closest nodes to a key by the routing library.
    Walk {
        /// Which answer belongs to it.
        walk: WalkId,
        /// Closest to what.
        key: Key,
        /// How many are wanted.
        count: usize,
    },
    /// A host is there, or said something new of itself.
    Seen {
        /// What it says.
        summary: HostSummary,
        /// The round trip to it, where this node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts as a candidate.
    Lost(NodeId),
    /// All that leaving takes was said: the node may go.
    Left,
}

/// Counts since the start, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that this node holds for others and itself, and the keys that they lie under.
    pub entries_held: u64,
    /// See `entries_held`.
    pub keys_held: u64,
    /// Entries that this node keeps registered.
    pub entries_registered: u64,
    /// Hosts that this node knows.
    pub hosts_known: u64,
    /// Queries that were answered from what was cached or held here, without asking anybody.
    pub queries_local: u64,
    /// Queries for which others were asked, without a walk.
    pub queries_remote: u64,
    /// Walks.
    pub walks: u64,
    /// What peers sent and was refused, by reason.
    pub refused: std::collections::BTreeMap<&'static str, u64>,
}

/// One node's part of the overlay.
#[derive(Debug)]
pub struct Overlay {
    config: Config,
    rng: Rng,
}

impl Overlay {
    /// A node that knows nobody.
    pub fn new(now: Instant, config: Config, rng: Rng) -> Self {
        let _ = now;
        Self { config, rng }
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle_input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        let _ = (now, input, out, &self.config, &mut self.rng);
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
