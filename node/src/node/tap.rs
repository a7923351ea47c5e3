//! Which stream a name stands for: `APP/OPERATOR[.PORT]`, as the graph of the application says.

use model::plan::{QueryPlan, Stream};
use model::{Key, NodeId, Schema, SourceName};

use super::record::{Body, Listing};
use super::view::{View, hex};
use super::{Answer, Answered, Failure, FailureKind, StreamRow, TapTarget};

/// A stream of an application that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The source, operator or sink. A sink stands for what it receives.
    pub(super) component: String,
    /// The output port; the first where none is given.
    pub(super) port: Option<String>,
    /// Whether it is to be tapped; else it is described.
    pub(super) is_tap: bool,
}

/// The application and the stream that `APP/OPERATOR[.PORT]` names.
pub(super) fn split(name: &str) -> Option<(&str, Wanted)> {
    let (application, stream) = name.rsplit_once('/')?;
    let (component, port) = split_port(stream);
    let wanted = Wanted {
        component: component.to_owned(),
        port: port.map(str::to_owned),
        is_tap: false,
    };
    Some((application, wanted))
}

/// The name before a port, and the port.
pub(super) fn split_port(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((name, port)) => (name, Some(port)),
        None => (name, None),
    }
}

/// The columns of a stream as people read them.
pub(super) fn columns(schema: &Schema) -> Vec<(String, String)> {
    let fields = schema.fields().iter();
    fields
        .map(|field| (field.name.clone(), field.data_type.to_string()))
        .collect()
}

/// Where a stream of an application is, or what it is.
pub(super) fn find(wanted: &Wanted, listing: &Listing, body: &Body, view: &View) -> Answered {
    let graph = &body.graph;
    let plan = graph.plan();
    let stream = stream(wanted, plan)?;
    let host: NodeId = graph.producer(stream).host;
    let schema = plan.schema(stream).clone();
    if wanted.is_tap {
        let composition = match stream {
            Stream::Source(index, _) if is_published(plan, index) => None,
            Stream::Source(..) | Stream::Operator(..) => Some(listing.head.composition),
        };
        return Ok(Answer::Tap(TapTarget {
            host,
            stream: plan.stream_name(stream),
            composition,
            schema,
        }));
    }
    let port = wanted.port.as_ref();
    let port = port.map_or_else(String::new, |port| format!(".{port}"));
    let application = &listing.head.application.name;
    let is_heard = view.hosts.find(host).is_some() && !view.is_absent(host);
    let status = match listing.is_running() && !is_heard {
        true => "unheard",
        false => listing.state().word(),
    };
    Ok(Answer::Stream(Box::new(StreamRow {
        name: format!("{application}/{}{port}", wanted.component),
        host: view.name(host),
        node: hex(host),
        columns: columns(&schema),
        rows_per_second: None,
        status: status.to_owned(),
    })))
}

/// The key of a stream of an application.
pub(super) fn stream_key(wanted: &Wanted, body: &Body) -> Result<Key, Failure> {
    let plan = body.graph.plan();
    // An operator is registered under its first stream.
    let first = match stream(wanted, plan)? {
        Stream::Operator(index, _) => Stream::Operator(index, 0),
        stream @ Stream::Source(..) => stream,
    };
    Ok(Key::stream(plan.stream_name(first)))
}

fn is_published(plan: &QueryPlan, source: usize) -> bool {
    let source = plan.sources().get(source);
    source.is_some_and(|source| matches!(source.source, SourceName::Published { .. }))
}

fn stream(wanted: &Wanted, plan: &QueryPlan) -> Result<Stream, Failure> {
    let name = wanted.component.as_str();
    let sink = plan.sinks().iter().find(|sink| sink.name == name);
    if let Some(sink) = sink
        && wanted.port.is_none()
    {
        return Ok(sink.input);
    }
    let source = plan.sources().iter().position(|part| part.name == name);
    let operator = plan.operators().iter().position(|part| part.name == name);
    let (outputs, of_port): (_, fn(usize, u16) -> Stream) = match (source, operator) {
        (Some(index), _) => ((index, &plan.sources()[index].outputs), Stream::Source),
        (None, Some(index)) => ((index, &plan.operators()[index].outputs), Stream::Operator),
        (None, None) => return Err(unknown_component(name, plan)),
    };
    let (index, outputs) = outputs;
    let Some(port) = &wanted.port else {
        return Ok(of_port(index, 0));
    };
    let found = (0..).zip(outputs).find(|(_, (known, _))| known == port);
    match found {
        Some((number, _)) => Ok(of_port(index, number)),
        None => {
            let ports: Vec<&str> = outputs.iter().map(|(port, _)| port.as_str()).collect();
            let message = format!(
                "{name} has no port called {port:?}. It has: {}.",
                ports.join(", ")
            );
            Err(Failure::new(FailureKind::NotFound, message))
        }
    }
}

fn unknown_component(name: &str, plan: &QueryPlan) -> Failure {
    let sources = plan.sources().iter().map(|part| part.name.as_str());
    let operators = plan.operators().iter().map(|part| part.name.as_str());
    let names: Vec<&str> = sources.chain(operators).collect();
    let message = format!(
        "{} has no source or operator called {name:?}. It has: {}.",
        plan.application(),
        names.join(", ")
    );
    Failure::new(FailureKind::NotFound, message)
}
