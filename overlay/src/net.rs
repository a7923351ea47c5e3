//! The overlay over libp2p: the only module that names it.
//!
//! [`start`] makes a node that joins in the background; [`Network`] is how the rest of the process speaks to
//! it, and [`Event`]s are what it hears.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, HostSummary, NodeId, Outcome, Query, QueryError, Rng};
use tokio::sync::{mpsc, oneshot};

use self::shared::{Command, Shared};
use crate::identity::Identity;
use crate::machine::Stats;
use crate::message::Message;

mod address;
mod behavior;
mod book;
mod control;
mod driver;
mod frames;
mod gauge;
mod identity;
mod join;
mod opening;
mod shared;
mod starting;
mod substreams;
mod transport;

pub use frames::{FRAME_BYTES_MAX, FrameReceiver, FrameSender, Frames, Next};
pub use opening::Incoming;
pub use transport::{Way, Ways};

/// What a node's network is told at its start.
#[derive(Clone)]
pub struct Config {
    /// Who this is.
    pub identity: Identity,
    /// Which network it belongs to; part of every protocol's name, so that networks do not mix.
    pub network: String,
    /// Where to listen: multiaddresses; port 0 lets the system choose.
    pub listen: Vec<String>,
    /// Whom to join: multiaddresses, with or without a peer's id.
    pub join: Vec<String>,
    /// What this node says of itself; addresses, coordinate and version are filled in.
    pub host: HostSummary,
    /// The first version of its entries: larger than any that it used before, also before a restart.
    pub first_version: u64,
    /// How the ways from peers are shaped: for testbeds that stand for wide areas.
    pub ways: Option<Ways>,
}

impl Config {
    /// A node of nothing but the overlay, which only this machine reaches, at a port that the system chooses.
    pub fn on_loopback(network: &str, name: &str, identity: Identity, join: Vec<String>) -> Self {
        Self {
            network: network.to_owned(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            join,
            host: HostSummary::new(identity.node(), name),
            identity,
            first_version: 1,
            ways: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("identity", &self.identity)
            .field("network", &self.network)
            .field("listen", &self.listen)
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}

/// What the rest of the process hears of the network.
#[derive(Debug)]
pub enum Event {
    /// A control message of a peer.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A peer cannot be reached: what was sent to it last may be lost.
    Unreachable(NodeId),
    /// A host is there, or said something new of itself; this one too, where it has learned where it is.
    Seen {
        /// What it says.
        summary: HostSummary,
        /// The round trip to it, where this node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts.
    Lost(NodeId),
    /// A peer wants to open a data stream.
    Incoming(Incoming),
}

/// The largest control message. Unit: bytes; that of `model::wire`.
pub const MESSAGE_BYTES_MAX: usize = model::wire::MESSAGE_BYTES_MAX;

/// The network of this node. Cheap to clone.
///
/// When the last clone is dropped, everything ends without a word: see [`Network::leave`] for better manners.
#[derive(Debug, Clone)]
pub struct Network {
    /// The driver ends when the last of these is dropped: it has none itself.
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

/// Why a network was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is none.
    #[error("{0:?} is no address: {1}")]
    Address(String, String),
    /// Nobody can listen there.
    #[error("cannot listen at {0}: {1}")]
    Listen(String, String),
    /// A network's name is part of protocols' names.
    #[error(
        "{0:?} is no name of a network: 1 to 64 letters, digits, hyphens, underscores and dots"
    )]
    Network(String),
}

/// Why no data stream was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The peer could not be reached in time.
    #[error("{0} cannot be reached")]
    Unreachable(NodeId),
    /// The peer said no, with its reason.
    #[error("refused: {0}")]
    Refused(String),
}

/// What was counted of the network since the start, for people.
#[derive(Debug, Clone, Default)]
pub struct NetworkStats {
    /// Peers with an open connection.
    pub connections: u64,
    /// Peers in the routing table.
    pub routing_peers: u64,
    /// The overlay's own counts.
    pub overlay: Stats,
    /// What peers sent and was refused, by reason: garbage, oversize frames, silence.
    pub refused: std::collections::BTreeMap<&'static str, u64>,
}

/// How long a query may take before it counts as unanswered. Above what the overlay takes by itself.
///
/// Unit: time. Source: guess.
const QUERY_TIME: Duration = Duration::from_secs(10);

/// How long opening a data stream may take: a connection, a substream, and the peer's answer.
///
/// Unit: time. Source: guess.
const OPEN_TIME: Duration = Duration::from_secs(5);

/// How long a driver may take to leave. Unit: time. Source: what it bounds itself to, twice.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// How many events lie ready for whoever takes them. Unit: events. Source: guess; others wait at the driver.
const EVENTS_READY: usize = 64;

/// Starts a node of the network. It listens when this returns, and joins in the background.
///
/// # Errors
/// When an address is none, or nobody can listen there.
pub async fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Rng,
) -> Result<(Network, mpsc::Receiver<Event>), StartError> {
    starting::start(config, clock, rng).await
}

impl Network {
    /// Who this is.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// Where it listens, as multiaddresses that end in its peer id.
    pub fn addresses(&self) -> Vec<String> {
        self.shared.addresses()
    }

    /// Asks the overlay. Always answers, in bounded time.
    pub async fn query(&self, query: Query) -> Outcome {
        let answer = self.ask(QUERY_TIME, |reply| Command::Query { query, reply });
        let answer = answer.await;
        answer.unwrap_or(Outcome::Failed(QueryError::Timeout))
    }

    /// Sends a control message. Where it surely was lost, [`Event::Unreachable`] says so.
    pub fn send(&self, to: NodeId, bytes: Vec<u8>) {
        self.shared.send(&self.commands, to, bytes);
    }

    /// Says what this node's own overlay never would: for tests of what others make of it.
    pub fn say(&self, to: NodeId, message: Message) {
        let message = Box::new(message);
        if self
            .commands
            .try_send(Command::Say { to, message })
            .is_err()
        {
            self.shared.refused.count("own message beyond the queue");
        }
    }

    /// Opens a data stream. `hello`, at most 64 KiB, tells the peer what for.
    ///
    /// # Errors
    /// When the peer cannot be reached within a bounded time, or refuses.
    pub async fn open(
        &self,
        to: NodeId,
        hello: Vec<u8>,
    ) -> Result<(FrameSender, FrameReceiver), OpenError> {
        if hello.len() > opening::HELLO_BYTES_MAX {
            return Err(OpenError::Refused("a hello of more than 64 KiB".to_owned()));
        }
        let opened = async {
            let stream = self.ask(OPEN_TIME, |reply| Command::Open { to, reply });
            let (stream, held) = stream.await.ok_or(OpenError::Unreachable(to))?;
            opening::ask(to, stream, (held, self.shared.sent.clone()), &hello).await
        };
        let opened = tokio::time::timeout(OPEN_TIME, opened).await;
        opened.unwrap_or(Err(OpenError::Unreachable(to)))
    }

    /// What this node says of itself from now on.
    pub fn describe(&self, host: HostSummary) {
        let command = Command::Describe(Box::new(host));
        if self.commands.try_send(command).is_err() {
            self.shared
                .refused
                .count("own description beyond the queue");
        }
    }

    /// How many bytes left by data streams since the start.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent.bytes()
    }

    /// What was counted.
    pub async fn stats(&self) -> NetworkStats {
        let stats = self.ask(QUERY_TIME, Command::Stats).await;
        stats.unwrap_or_default()
    }

    /// Leaves in order: withdraws what is registered, hands over what is held, closes connections. Bounded in
    /// time.
    pub async fn leave(&self) {
        // One that has left already does not answer.
        let _: Option<()> = self.ask(LEAVE_TIME, Command::Leave).await;
    }

    /// Asks the driver; nothing where it is gone or does not answer in time.
    async fn ask<T>(
        &self,
        time: Duration,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let command = command(reply);
        let asked = async {
            self.commands.send(command).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(time, asked).await.ok().flatten()
    }
}
