//! What people ask of a node, and what it answers: the words of the HTTP API and of the command line.

mod application;
mod event;
mod moved;

use std::collections::BTreeMap;

use composition::Order;
use model::plan::{Live, Reader, Stream};
use model::{NodeId, Origin, QueryPlan, Schema, StreamName};
use serde::{Deserialize, Serialize};

pub use application::*;
pub use event::*;
pub use moved::*;

/// A command; its answer repeats it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct CommandId(pub u64);

/// What a node is asked by a person or a program on its host.
///
/// Names of applications may be given as `NAME`, as `OWNER:NAME` with the owner's name or the beginning of its id, or as
/// a beginning that is unique.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Command {
    /// Composes an application, or says how it would be composed: the order says which.
    Apply(Box<Order>),
    /// Lists all applications of the network.
    Applications,
    /// Describes an application, asking its hosts.
    Application(String),
    /// Says why the parts of an application are where they are.
    Why(String),
    /// Stops an application, whoever accepted it.
    Stop(String),
    /// Moves an operator of an application to another host, whoever runs it. Any node is asked.
    Move {
        /// Which application.
        application: String,
        /// Which operator of it.
        operator: String,
        /// Where to: the host's name or the beginning of its id; the host that fits best where absent.
        to: Option<String>,
    },
    /// Lets a host give away all that it can: the one that is named as above, or the node that is asked.
    Drain(Option<String>),
    /// Tells the decisions about an application, asking its hosts; or, of whatever, those of the node that is asked.
    Events(Option<String>),
    /// Publishes a stream whose source this host has opened and will read.
    Publish(Publication),
    /// Ends a publication of this host.
    Unpublish(String),
    /// Lists all published streams of the network.
    Streams,
    /// Describes a stream: a published one, or `APP/OPERATOR[.PORT]`.
    Stream(String),
    /// Finds what published names stand for, before an application that reads them is loaded.
    Resolve(Vec<String>),
    /// Finds where a stream can be tapped: a published one, or `APP/OPERATOR[.PORT]`. Streams win; `stream:`
    /// and `app:` before the name decide.
    Tap(String),
    /// Lists all hosts of the network.
    Nodes,
    /// Says what this node knows of itself.
    Info,
    /// Looks up what the overlay has under a name: a stream, an application, `APP/OPERATOR`.
    Lookup(String),
}

/// A stream that a host publishes.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Publication {
    /// The published name: `lab/flows`.
    pub name: String,
    /// Its canonical name.
    pub stream: StreamName,
    /// Who numbers its records, in this incarnation.
    pub origin: Origin,
    /// The output ports with their columns: rows first, then `bad`.
    pub outputs: Vec<(String, Schema)>,
    /// Who publishes it.
    pub publisher: NodeId,
    /// Rows a second, declared or measured; nothing is known where absent.
    pub rate_hz: Option<f64>,
    /// The mean size of a row in bytes, likewise.
    pub row_bytes: Option<f64>,
    /// How time passes for it where it cannot be read again.
    pub live: Option<Live>,
}

/// What came of a command.
pub type Answered = Result<Answer, Failure>;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Failure {
    /// What kind of failure: it becomes the exit status and the HTTP status.
    pub kind: FailureKind,
    /// What happened, what it means and what to do, in sentences for people.
    pub message: String,
    /// The refused composition, where that is what failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refusal: Option<Box<Composition>>,
}

impl Failure {
    /// A failure of this kind, told in these sentences.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            refusal: None,
        }
    }
}

/// Kinds of failure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It went wrong: exit status 1, HTTP 500.
    Failed,
    /// The command or the file is wrong: 2, HTTP 400.
    Invalid,
    /// Admission refused it: 3, HTTP 409.
    Refused,
    /// There is no such thing: 4, HTTP 404.
    NotFound,
    /// Somebody who must answer did not: 5, HTTP 504.
    Unreachable,
    /// It is not allowed: 6, HTTP 403.
    NotAllowed,
}

/// What a command gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(untagged)]
pub enum Answer {
    /// Of [`Command::Apply`].
    Composition(Box<Composition>),
    /// Of [`Command::Applications`].
    Applications(Vec<ApplicationRow>),
    /// Of [`Command::Application`].
    Application(Box<ApplicationStatus>),
    /// Of [`Command::Why`].
    Why(Box<Why>),
    /// Of [`Command::Stop`].
    Stopped(Stopped),
    /// Of [`Command::Events`].
    Events(Box<EventList>),
    /// Of [`Command::Move`].
    Moved(Box<Moved>),
    /// Of [`Command::Drain`].
    Drained(Box<Drained>),
    /// Of [`Command::Publish`], [`Command::Stream`] and [`Command::Unpublish`].
    Stream(Box<StreamRow>),
    /// Of [`Command::Streams`].
    Streams(Vec<StreamRow>),
    /// Of [`Command::Nodes`].
    Nodes(Vec<NodeRow>),
    /// Of [`Command::Info`].
    Info(Box<NodeInfo>),
    /// Of [`Command::Lookup`].
    Entries(Vec<EntryRow>),
    /// Of [`Command::Resolve`]: for the node itself.
    #[serde(skip)]
    Resolved(BTreeMap<String, Publication>),
    /// Of [`Command::Tap`]: for the node itself.
    #[serde(skip)]
    Tap(TapTarget),
}

/// Where a stream can be tapped.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct TapTarget {
    /// The host that has it.
    pub host: NodeId,
    /// Its canonical name.
    pub stream: StreamName,
    /// The composition that it belongs to; of a published stream, none.
    pub composition: Option<model::CompositionId>,
    /// Its columns.
    pub schema: Schema,
}

/// How an application was, or would be, composed; or why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Composition {
    /// The application's name.
    pub application: String,
    /// `running`, `feasible` for a plan, `refused`, or `unchanged` where it ran already.
    pub status: String,
    /// The delay that is expected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predicted_delay_ms: Option<f64>,
    /// The part of it behind what is shared, where something is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delay_from_sharing_ms: Option<f64>,
    /// The delay that was asked for.
    pub target_delay_ms: f64,
    /// Where the parts are.
    pub operators: Vec<Placed>,
    /// Who reads what, as [`edges_of`] the plan: a stream and the part that reads it.
    #[serde(default)]
    pub edges: Vec<(String, String)>,
    /// How many operators were shared with what ran already.
    pub shared: u64,
    /// What that saved, in cores.
    pub saved_cores: f64,
    /// The next best.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runner_up: Option<RunnerUp>,
    /// How congested the graph is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub congestion: Option<f64>,
    /// How many probes it took.
    pub probes: u64,
    /// How many look-ups of what runs already.
    #[serde(default)]
    pub lookups: u64,
    /// How long the composing node looked up what runs already and who could run the rest, where it composed something.
    pub discovery_ms: Option<f64>,
    /// How long it probed hosts.
    pub probing_ms: Option<f64>,
    /// How long it confirmed and started what it chose, with what did not come about.
    pub commit_ms: Option<f64>,
    /// Of a refusal: what stood in the way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binding: Option<Binding>,
    /// A target that would be accepted now: of a refusal the way out, else the tightest that was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub feasible_target_ms: Option<f64>,
    /// What people should know of how the file was understood, and which figures are declared or default.
    pub remarks: Vec<String>,
}

/// The edges of a plan as files name them: `("flows", "syn")`, `("alerts.late", "out")`; operators first, in the
/// plan's order.
pub fn edges_of(plan: &QueryPlan) -> Vec<(String, String)> {
    let named = plan.edges().map(|(stream, reader)| {
        let reader = match reader {
            Reader::Operator(index, _) => &plan.operators()[index].name,
            Reader::Sink(index) => &plan.sinks()[index].name,
        };
        (stream_name(plan, stream), reader.clone())
    });
    named.collect()
}

/// A stream of a plan as files name it: the part that gives it, and the port where that is not the first.
pub fn stream_name(plan: &QueryPlan, stream: Stream) -> String {
    let (name, outputs, port) = match stream {
        Stream::Source(index, port) => {
            let source = &plan.sources()[index];
            (&source.name, &source.outputs, port)
        }
        Stream::Operator(index, port) => {
            let operator = &plan.operators()[index];
            (&operator.name, &operator.outputs, port)
        }
    };
    match port {
        0 => name.clone(),
        port => format!("{name}.{}", outputs[usize::from(port)].0),
    }
}

/// Where a part runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Placed {
    /// Its name in the file.
    pub name: String,
    /// `source`, the operator's kind, or `sink`.
    pub kind: String,
    /// The host's name.
    pub host: String,
    /// The host's id, in full.
    pub node: String,
    /// Whether it ran already.
    pub shared: bool,
}

/// The next best composition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct RunnerUp {
    /// Where its operators would be: names of hosts, in the plan's order.
    pub hosts: Vec<String>,
    /// The delay that would be expected.
    pub predicted_delay_ms: f64,
    /// How congested it would be.
    pub congestion: f64,
}

/// The constraint that a request failed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Binding {
    /// Of which operator.
    pub operator: String,
    /// `offer`, `cpu`, `memory`, `bandwidth`, `delay` or `impact`.
    pub check: String,
    /// What was asked.
    pub needed: String,
    /// The best that was found.
    pub had: String,
    /// How many hosts were asked.
    pub hosts_asked: u64,
}

/// A published stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct StreamRow {
    /// Its name.
    pub name: String,
    /// The host that has it.
    pub host: String,
    /// That host's id, in full.
    pub node: String,
    /// Its columns: name and type.
    pub columns: Vec<(String, String)>,
    /// Rows a second, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows_per_second: Option<f64>,
    /// `running`, `waiting`, `failed`, `finished`.
    pub status: String,
}

/// A host of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Its id, in full.
    pub node: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// Its load as a fraction of its processors, as it last told.
    pub load: f64,
    /// What it offers.
    pub cores: f64,
    /// Memory that it offers.
    pub memory_bytes: u64,
    /// The round trip to it, measured or estimated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub round_trip_ms: Option<f64>,
    /// `self`, `up`, or `unheard` where only its entry is known.
    pub status: String,
}

/// What a node knows of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its id, in full.
    pub node: String,
    /// The version of the program.
    pub version: String,
    /// The network that it belongs to.
    pub network: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// How long it runs.
    pub uptime_s: f64,
    /// Hosts that it knows.
    pub hosts_known: u64,
    /// To how many of these it knows the delay: measured, or by the coordinates of both.
    pub delays_known: u64,
    /// From the first host that it saw until it knew as many delays as ever.
    pub delays_known_ms: Option<f64>,
    /// Components that run here.
    pub components: u64,
    /// Applications that it takes part in.
    pub applications: u64,
    /// What it offers in cores.
    pub cores: f64,
    /// Of these, what is reserved or allocated.
    pub cores_taken: f64,
    /// What it offers in memory.
    pub memory_bytes: u64,
    /// Of that, what is reserved or allocated.
    pub memory_taken_bytes: u64,
    /// What was refused or dropped, by reason.
    pub counts: BTreeMap<String, u64>,
}

/// An entry of the overlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct EntryRow {
    /// What the key stands for: `stream`, `published`, `application`.
    pub kind: String,
    /// Whose entry it is, in full.
    pub owner: String,
    /// Its version.
    pub version: u64,
    /// Where the owner is reached.
    pub addresses: Vec<String>,
    /// What it says, in words.
    pub says: String,
}
