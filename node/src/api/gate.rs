//! The gate: by which the HTTP server speaks to the node behind it.

use std::path::PathBuf;

use overlay::net::NetworkStats;
use tokio::sync::{mpsc, oneshot};

use crate::node::{Answered, Command, Failure, FailureKind, NodeInfo, PartReport};

/// What the server wants of the node; each request carries the place for its answer. Whoever drops that place
/// says that there will be no answer.
#[derive(Debug)]
pub enum Request {
    /// Load an application file and compose it.
    Apply {
        /// The file.
        file: File,
        /// Whether no two operators may share a host as long as there are enough.
        spread: bool,
        /// Whether to say what would be composed, and reserve nothing.
        is_trial: bool,
        /// Where the answer goes: an [`crate::node::Answer::Composition`].
        answer: oneshot::Sender<Answered>,
    },
    /// Open a source on this host and publish its stream.
    Publish {
        /// Under which name.
        name: String,
        /// The source file.
        file: File,
        /// Where the answer goes: an [`crate::node::Answer::Stream`].
        answer: oneshot::Sender<Answered>,
    },
    /// Carry out a command.
    Command {
        /// Which one.
        command: Command,
        /// Where the answer goes.
        answer: oneshot::Sender<Answered>,
    },
    /// Show a stream from now on.
    Tap {
        /// Which one: a published stream, or `APP/OPERATOR[.PORT]`.
        name: String,
        /// Where the answer goes. The stream ends when its sender is dropped, and whoever drops the receiver wants
        /// no more.
        answer: oneshot::Sender<Result<mpsc::Receiver<Tapped>, Failure>>,
    },
    /// Say what was counted of the network.
    Stats {
        /// Where the answer goes.
        answer: oneshot::Sender<NetworkStats>,
    },
    /// Say all that is measured.
    Measure {
        /// Where the answer goes.
        answer: oneshot::Sender<Measured>,
    },
    /// Say whether the node is ready: that it listens, and has joined where it was told to.
    Ready {
        /// Where the answer goes: what is still missing, for people.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// Leave the network in order and end the process.
    Stop {
        /// Where the answer goes, when the node has left and nothing but the end of the process is to come.
        answer: oneshot::Sender<()>,
    },
}

/// A file as it was read where somebody asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it is called to people.
    pub name: String,
    /// What stands in it.
    pub text: String,
    /// The folder that relative paths in it start from.
    pub folder: PathBuf,
}

/// What a tap gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tapped {
    /// Rows, each a line of JSON with its line end.
    Rows(String),
    /// So many rows were not shown: the tap was too slow, or the stream lacks them.
    Missing(u64),
    /// The stream ends, and why.
    Ended(String),
}

/// All that is measured at a node.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What the node knows of itself.
    pub info: NodeInfo,
    /// What was counted of the network.
    pub network: NetworkStats,
    /// What was counted of each application that has parts here.
    pub applications: Vec<(String, PartReport)>,
    /// Resident memory of the process, where the system tells. Unit: bytes.
    pub resident_bytes: Option<u64>,
    /// Processor time that the process has taken. Unit: seconds.
    pub cpu_seconds: f64,
}

/// The way to the node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    requests: mpsc::Sender<Request>,
}

/// How many requests may wait for the node to take them.
///
/// Unit: count. Source: guess; with as many under way, a request is told to come back rather than to wait.
pub const WAITING_MAX: usize = 64;

impl Gate {
    /// A gate, and where what goes through it comes out.
    pub fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(WAITING_MAX);
        (Self { requests }, receiver)
    }

    /// Asks without waiting for an answer. Says whether there is a node that takes it.
    pub(crate) fn put(&self, request: Request) -> bool {
        self.requests.try_send(request).is_ok()
    }

    /// Asks, and waits for the answer, as long as the caller waits for this.
    ///
    /// # Errors
    /// When too many ask at once, or the node goes down before it has answered.
    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.requests
            .try_send(request(sender))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => busy(),
                mpsc::error::TrySendError::Closed(_) => going_down(),
            })?;
        receiver.await.map_err(|_| going_down())
    }
}

/// The answer where a node has more to do than it takes on.
pub(super) fn busy() -> Failure {
    Failure::new(
        FailureKind::Unreachable,
        "the node has as many requests under way as it takes: nothing was done; try again",
    )
}

fn going_down() -> Failure {
    Failure::new(
        FailureKind::Unreachable,
        "the node goes down: it may or may not have done what was asked; ask another node",
    )
}
