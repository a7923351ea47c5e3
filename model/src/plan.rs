//! Query plans: what is asked for, as a typed DAG that can only be built valid.
//!
//! A [`Builder`] hands out a [`Stream`] for everything that it accepts, and takes nothing but such streams
//! as inputs. An operator can therefore read only what stands before it: a plan has no cycle, no unknown
//! input and no untyped edge, and its operators are in topological order.

use std::collections::BTreeSet;

use crate::name::{SourceName, StreamName};
use crate::qos::{Qos, QosError};
use crate::schema::Schema;

mod builder;
mod connector;
#[cfg(test)]
mod tests;

pub use builder::{Accepted, Builder};
pub use connector::{Connector, FOLDER_BYTES_MAX, Live};

/// The most sources, operators and sinks, each, that a plan may have.
///
/// Unit: count. Source: guess; published workloads have up to some dozens of operators.
pub const OPERATORS_MAX: usize = 256;

/// The most inputs of an operator.
///
/// Unit: count. Source: guess; a union of a site's sensors.
pub const INPUTS_MAX: usize = 64;

/// The most parameters of an operator.
///
/// Unit: count. Source: guess; operators have up to ten, and what is long is a list or a table in one of them.
pub const ARGUMENTS_MAX: usize = 64;

/// The most ways that may lead from sources to an operator. Behind operators that tell their inputs apart each
/// way is an origin of its own, and chains of them multiply.
///
/// Unit: count. Source: guess; a union of a site's sensors, united with itself some times.
pub const WAYS_MAX: usize = 4096;

/// A plain value in an operator's parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum Scalar {
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A time span in microseconds.
    Micros(i64),
    /// Text: a column, a normalized SQL expression, a word.
    Text(String),
}

/// A value in an operator's parameters: never deeper than this, so that no bytes can nest without end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum Value {
    /// One value.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Scalar>),
    /// Named values in order.
    Table(Vec<(String, Scalar)>),
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Scalar>> From<T> for Value {
    fn from(value: T) -> Self {
        Self::Scalar(value.into())
    }
}

/// The parameters of an operator: named values, in order.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bincode::Encode, bincode::Decode,
)]
pub struct Arguments {
    entries: Vec<(String, Value)>,
}

impl Arguments {
    /// No parameters.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// The value called `name`.
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Puts a value behind the others.
    pub fn push(&mut self, name: impl Into<String>, value: Value) {
        self.entries.push((name.into(), value));
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<N: Into<String>> FromIterator<(N, Value)> for Arguments {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(entries: I) -> Self {
        Self {
            entries: entries
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        }
    }
}

/// A stream inside one plan.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Stream {
    /// What the source at this index yields at this port.
    Source(usize, u16),
    /// What the operator at this index yields at this port.
    Operator(usize, u16),
}

/// Where rows enter.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Source {
    /// Its name in this plan.
    pub name: String,
    /// Its name in the overlay.
    pub source: SourceName,
    /// The output ports: name and columns. The first gives its rows.
    pub outputs: Vec<(String, Schema)>,
    /// How its host opens it, where it is not published and somebody said.
    pub connector: Option<Connector>,
    /// How time passes for it where it cannot be read again; nothing where it is waited for.
    pub live: Option<Live>,
}

/// What is computed.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Operator {
    /// Its name in this plan; nobody else cares.
    pub name: String,
    /// The word that says what it computes: `filter`.
    pub kind: String,
    /// With which parameters, normalized.
    pub parameters: Arguments,
    /// Of what, in port order.
    pub inputs: Vec<Stream>,
    /// Whether the order of inputs does not matter; they are then sorted by canonical name.
    pub commutative: bool,
    /// The output ports: name and columns.
    pub outputs: Vec<(String, Schema)>,
}

/// Where results leave.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Sink {
    /// Its name in this plan.
    pub name: String,
    /// What it receives.
    pub input: Stream,
    /// How its host opens it, where somebody said.
    pub connector: Option<Connector>,
}

/// A valid plan: sources, operators in topological order, sinks, and what is required of the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPlan {
    application: String,
    qos: Qos,
    sources: Vec<Source>,
    operators: Vec<Operator>,
    sinks: Vec<Sink>,
    /// Computed from the parts; hashing a plan anew for every stream would take long for a large one.
    names: Names,
}

impl QueryPlan {
    /// The application's name.
    pub fn application(&self) -> &str {
        &self.application
    }

    /// What is required.
    pub const fn qos(&self) -> &Qos {
        &self.qos
    }

    /// Where rows enter.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What is computed, each operator behind all that it reads.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// Where results leave.
    pub fn sinks(&self) -> &[Sink] {
        &self.sinks
    }

    /// The columns of a stream of this plan.
    ///
    /// # Panics
    /// When the stream is not of this plan; [`QueryPlan::has`] tells.
    pub fn schema(&self, stream: Stream) -> &Schema {
        schema(&self.sources, &self.operators, stream)
    }

    /// The canonical name of a stream of this plan: the same in every plan that has the same sub-plan.
    ///
    /// # Panics
    /// When the stream is not of this plan; [`QueryPlan::has`] tells.
    pub fn stream_name(&self, stream: Stream) -> StreamName {
        self.names.of(stream)
    }

    /// The streams of this plan that have a canonical name: several where the plan has a sub-plan several times.
    ///
    /// Logarithmic in the streams of the plan.
    pub fn streams_named(&self, name: StreamName) -> impl Iterator<Item = Stream> + '_ {
        self.names.streams_named(name)
    }

    /// Whether this is a stream of this plan.
    pub fn has(&self, stream: Stream) -> bool {
        self.names.find(stream).is_some()
    }

    /// Who reads any stream of an operator, once for each edge.
    ///
    /// # Panics
    /// When the plan has no such operator.
    pub fn readers_of(&self, operator: usize) -> impl Iterator<Item = Reader> + '_ {
        let ports = (0..).zip(&self.operators[operator].outputs);
        ports.flat_map(move |(port, _)| self.readers(Stream::Operator(operator, port)))
    }

    /// Who reads a stream: operators by index and input port, and sinks by index.
    pub fn readers(&self, stream: Stream) -> impl Iterator<Item = Reader> + '_ {
        let edges = self.edges().filter(move |(read, _)| *read == stream);
        edges.map(|(_, reader)| reader)
    }

    /// All edges: what is read, and who reads it. Operators first, by index and input port, then sinks.
    pub fn edges(&self) -> impl Iterator<Item = (Stream, Reader)> + '_ {
        let operators = self.operators.iter().enumerate();
        let inputs = operators.flat_map(|(index, operator)| {
            let inputs = operator.inputs.iter().enumerate();
            inputs.map(move |(port, input)| (*input, Reader::Operator(index, port)))
        });
        let sinks = self.sinks.iter().enumerate();
        inputs.chain(sinks.map(|(index, sink)| (sink.input, Reader::Sink(index))))
    }
}

impl bincode::Encode for QueryPlan {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        self.application.encode(encoder)?;
        self.qos.encode(encoder)?;
        self.sources.encode(encoder)?;
        self.operators.encode(encoder)?;
        self.sinks.encode(encoder)
    }
}

impl<Context> bincode::Decode<Context> for QueryPlan {
    /// Takes a plan only through its [`Builder`]: one that exists is valid, whoever sent it.
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let parts = Parts {
            application: String::decode(decoder)?,
            qos: Qos::decode(decoder)?,
            sources: Vec::decode(decoder)?,
            operators: Vec::decode(decoder)?,
            sinks: Vec::decode(decoder)?,
        };
        parts
            .build()
            .map_err(|error| bincode::error::DecodeError::OtherString(error.to_string()))
    }
}
bincode::impl_borrow_decode!(QueryPlan);

/// The parts of a plan that nobody has checked yet.
struct Parts {
    application: String,
    qos: Qos,
    sources: Vec<Source>,
    operators: Vec<Operator>,
    sinks: Vec<Sink>,
}

impl Parts {
    fn build(self) -> Result<QueryPlan, PlanError> {
        let mut builder = Builder::new(&self.application, self.qos)?;
        for part in self.sources {
            let Source {
                name,
                source,
                outputs,
                connector,
                live,
            } = part;
            builder.source(&name, source, outputs)?;
            builder.set_live(live);
            if let Some(connector) = connector {
                builder.connect(&name, connector)?;
            }
        }
        for part in self.operators {
            let Operator {
                name,
                kind,
                parameters,
                inputs,
                commutative,
                outputs,
            } = part;
            if commutative {
                builder.commutative_operator(&name, &kind, parameters, &inputs, outputs)?;
            } else {
                builder.operator(&name, &kind, parameters, &inputs, outputs)?;
            }
        }
        for sink in self.sinks {
            builder.sink(&sink.name, sink.input)?;
            if let Some(connector) = sink.connector {
                builder.connect(&sink.name, connector)?;
            }
        }
        builder
            .build()
            .map_err(|errors| errors.into_iter().next().expect("a refusal has a reason"))
    }
}

/// Who reads a stream.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Reader {
    /// The operator at this index, at this input port.
    Operator(usize, usize),
    /// The sink at this index.
    Sink(usize),
}

/// Why a plan, or a part of it, was not accepted. The builder is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A name has characters that names may not have, or too many.
    #[error("{0:?} is no name: a letter, then letters, digits, '_' or '-', at most 64 in all")]
    Name(String),
    /// The name is taken in this plan.
    #[error("{0:?} is there twice")]
    Repeated(String),
    /// A source is called by what is no name in the overlay.
    #[error("source {0:?} has a name that no stream may have")]
    SourceName(String),
    /// The requirement makes no sense.
    #[error(transparent)]
    Qos(#[from] QosError),
    /// There are too many of something.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A connector is of what is neither a sink nor a source that is read where the application was accepted.
    #[error("{0:?} is opened by no connector")]
    Connected(String),
    /// A connector starts from what is no folder.
    #[error("a connector {0:?} starts from what is no folder")]
    Folder(String),
    /// A source has no port.
    #[error("source {0:?} yields nothing")]
    NoOutput(String),
    /// An operator has no input.
    #[error("operator {0:?} reads nothing")]
    NoInput(String),
    /// An input is none of this plan's streams.
    #[error("{0:?} reads a stream that is not in this plan")]
    UnknownStream(String),
    /// The plan has no sink.
    #[error("nothing leaves the application: it has no sink")]
    NoSink,
    /// Nobody reads what a source or an operator yields.
    #[error("nothing reads {0:?}")]
    Unread(String),
}

fn schema<'p>(sources: &'p [Source], operators: &'p [Operator], stream: Stream) -> &'p Schema {
    let (outputs, port) = match stream {
        Stream::Source(index, port) => (&sources[index].outputs, port),
        Stream::Operator(index, port) => (&operators[index].outputs, port),
    };
    &outputs[usize::from(port)].1
}

/// The canonical names of all streams of a plan.
#[derive(Debug, Clone, PartialEq, Default)]
struct Names {
    sources: Vec<Vec<StreamName>>,
    operators: Vec<Vec<StreamName>>,
    /// The same the other way round.
    streams: BTreeSet<(StreamName, Stream)>,
}

impl Names {
    fn of(&self, stream: Stream) -> StreamName {
        self.find(stream).expect("a stream of this plan")
    }

    fn find(&self, stream: Stream) -> Option<StreamName> {
        let (ports, port) = match stream {
            Stream::Source(index, port) => (self.sources.get(index), port),
            Stream::Operator(index, port) => (self.operators.get(index), port),
        };
        ports?.get(usize::from(port)).copied()
    }

    fn push_source(&mut self, source: &Source) {
        let (_, others) = source.outputs.split_first().expect("a source has a port");
        let rows = StreamName::of_source(&source.source);
        let others = others.iter().map(|(port, _)| rows.at_port(port));
        let names: Vec<StreamName> = std::iter::once(rows).chain(others).collect();
        let place = self.sources.len();
        let streams = (0..).zip(&names);
        self.streams
            .extend(streams.map(|(port, name)| (*name, Stream::Source(place, port))));
        self.sources.push(names);
    }

    fn push_operator(&mut self, operator: &Operator) {
        let inputs: Vec<StreamName> = operator
            .inputs
            .iter()
            .map(|input| self.of(*input))
            .collect();
        let digest = StreamName::operator(&operator.kind, &operator.parameters, &inputs);
        let outputs = operator.outputs.iter();
        let names: Vec<StreamName> = outputs
            .map(|(port, _)| StreamName::derived_at(&digest, port))
            .collect();
        let place = self.operators.len();
        let streams = (0..).zip(&names);
        self.streams
            .extend(streams.map(|(port, name)| (*name, Stream::Operator(place, port))));
        self.operators.push(names);
    }

    fn streams_named(&self, name: StreamName) -> impl Iterator<Item = Stream> + '_ {
        let from = (name, Stream::Source(0, 0));
        let named = self.streams.range(from..);
        named
            .take_while(move |(other, _)| *other == name)
            .map(|(_, stream)| *stream)
    }
}
