//! The overlay over libp2p: the only module that names it.
//!
//! [`start`] makes a node that joins in the background; [`Network`] is how the rest of the process speaks to
//! it, and [`Event`]s are what it hears.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, HostSummary, NodeId, Outcome, Query, Rng};
use tokio::sync::mpsc;

use crate::identity::Identity;
use crate::machine::Stats;

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
    /// How long what arrives from a peer is held back: for testbeds that stand for wide areas.
    pub delay: Option<Arc<dyn Fn(NodeId) -> Duration + Send + Sync>>,
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
    /// A host is there, or said something new of itself.
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

/// A data stream that a peer wants to open: accepted or refused by whoever gets it.
#[derive(Debug)]
pub struct Incoming {
    /// Who opens it.
    pub from: NodeId,
    /// What for, at most 64 KiB.
    pub hello: Vec<u8>,
}

impl Incoming {
    /// Takes the stream: the peer hears that it is open.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn accept(self) -> Result<(FrameSender, FrameReceiver), std::io::Error> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// Refuses the stream with a reason of at most 1 KiB.
    pub async fn refuse(self, reason: &str) {
        let _ = reason;
    }
}

/// The sending half of a data stream. Frames are coalesced: nothing is sure to leave before a flush.
#[derive(Debug)]
pub struct FrameSender {}

impl FrameSender {
    /// Puts a frame behind the others, and writes them out where there are 64 KiB of them.
    ///
    /// # Errors
    /// When the stream is closed or the frame is larger than [`FRAME_BYTES_MAX`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), std::io::Error> {
        let _ = frame;
        Ok(())
    }

    /// Writes out all frames.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn flush(&mut self) -> Result<(), std::io::Error> {
        Ok(())
    }
}

/// The receiving half of a data stream.
#[derive(Debug)]
pub struct FrameReceiver {}

impl FrameReceiver {
    /// The next frame; nothing where the peer has closed the stream in order.
    ///
    /// # Errors
    /// When the stream broke, or the peer sent a frame larger than [`FRAME_BYTES_MAX`].
    pub async fn receive(&mut self) -> Result<Option<&[u8]>, std::io::Error> {
        Ok(None)
    }
}

/// The largest frame of a data stream. Unit: bytes. Source: guess; a batch of 65,536 rows of 256 bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// The largest control message. Unit: bytes; that of `model::wire`.
pub const MESSAGE_BYTES_MAX: usize = model::wire::MESSAGE_BYTES_MAX;

/// The network of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network {}

/// Why a network was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is none.
    #[error("{0:?} is no address: {1}")]
    Address(String, String),
    /// Nobody can listen there.
    #[error("cannot listen at {0}: {1}")]
    Listen(String, String),
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

/// Starts a node of the network. It listens when this returns, and joins in the background.
///
/// # Errors
/// When an address is none, or nobody can listen there.
pub async fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Rng,
) -> Result<(Network, mpsc::Receiver<Event>), StartError> {
    let _ = (config, clock, rng);
    Err(StartError::Listen(String::new(), String::new()))
}

impl Network {
    /// Who this is.
    pub fn node(&self) -> NodeId {
        NodeId([0; 32])
    }

    /// Where it listens, as multiaddresses that end in its peer id.
    pub fn addresses(&self) -> Vec<String> {
        Vec::new()
    }

    /// Asks the overlay. Always answers, in bounded time.
    pub async fn query(&self, query: Query) -> Outcome {
        let _ = query;
        Outcome::Done
    }

    /// Sends a control message. Where it surely was lost, [`Event::Unreachable`] says so.
    pub fn send(&self, to: NodeId, bytes: Vec<u8>) {
        let _ = (to, bytes);
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
        let _ = hello;
        Err(OpenError::Unreachable(to))
    }

    /// What this node says of itself from now on.
    pub fn describe(&self, host: HostSummary) {
        let _ = host;
    }

    /// What was counted.
    pub async fn stats(&self) -> NetworkStats {
        NetworkStats::default()
    }

    /// Leaves in order: withdraws what is registered, hands over what is held, closes connections. Bounded in
    /// time.
    pub async fn leave(&self) {}
}
