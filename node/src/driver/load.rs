//! From the text of an application file to an order: what it reads is resolved, it is loaded, and what it will
//! demand is estimated.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use composition::{Order, Place};
use model::{ApplicationId, Clock, EventTime, NodeId, Origin, StreamName};

use super::deploy::Local;
use crate::api::File;
use crate::application::{self, Application, Host, Kinds, Source, demand};
use crate::node::{Failure, FailureKind, NodeRow, Publication};

/// A file that was loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) order: Order,
    pub(super) local: Local,
    /// What people should know of how the file was understood.
    pub(super) remarks: Vec<String>,
}

/// How an application is to be composed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) spread: bool,
    pub(super) is_trial: bool,
}

/// Loads a file for this node. May block.
///
/// # Errors
/// All that is wrong with the file, in its order.
pub(super) fn load(
    file: &File,
    node: NodeId,
    streams: BTreeMap<String, Publication>,
    hosts: &[NodeRow],
    wish: Wish,
    clock: Arc<dyn Clock>,
    epoch: EventTime,
) -> Result<Loaded, Failure> {
    let invalid = |message: String| Failure::new(FailureKind::Invalid, message);
    let now = clock.now();
    let host = Host {
        owner: node,
        node,
        streams: Some(streams),
        clock,
        epoch,
    };
    // Where it lies: what people call it may start from somewhere else.
    let name = Path::new(&file.name).file_name();
    let path = file.folder.join(name.unwrap_or_default());
    let application = application::load_text(&file.text, &path, &Kinds::ALL, &host)
        .map_err(|problems| invalid(problems.to_string()))?;
    let estimate = demand::estimate(&application);
    let places: Result<Vec<Place>, Failure> = application
        .operators
        .iter()
        .map(|operator| place(&operator.place, hosts))
        .collect();
    let (origins, sources) = ends(&application, node);
    let mut remarks = application.remarks.clone();
    remarks.extend(estimate.remarks);
    let order = Order {
        application: ApplicationId {
            owner: node,
            name: application.plan.application().to_owned(),
        },
        plan: application.plan.clone(),
        origins,
        sources,
        source_demands: estimate.source_demands,
        demands: estimate.demands,
        places: places?,
        sinks: vec![node; application.sinks.len()],
        spread: wish.spread,
        is_trial: wish.is_trial,
    };
    Ok(Loaded {
        order,
        local: Local::new(now, application),
        remarks,
    })
}

/// Who numbers the records of each source, and where it is read.
fn ends(application: &Application, node: NodeId) -> (Vec<Origin>, Vec<NodeId>) {
    let sources = application.plan.sources().iter().zip(&application.sources);
    let end = |(part, source): (&model::plan::Source, &Source)| match source {
        Source::Inline(_) => {
            let stream = StreamName::of_source(&part.source);
            (Origin::of_source(stream, 0), node)
        }
        Source::Published { publication, .. } => (publication.origin, publication.publisher),
    };
    sources.map(end).unzip()
}

/// The host that a file means, or the labels that it asks for.
fn place(place: &application::Place, hosts: &[NodeRow]) -> Result<Place, Failure> {
    let name = match place {
        application::Place::Anywhere => return Ok(Place::Any),
        application::Place::Labels(labels) => return Ok(Place::Labels(labels.clone())),
        application::Place::Node(name) => name,
    };
    let is_meant = |host: &&NodeRow| {
        host.name == *name || (name.len() >= 4 && host.node.starts_with(name.as_str()))
    };
    let meant: Vec<&NodeRow> = hosts.iter().filter(is_meant).collect();
    let failure = |message: String| Failure::new(FailureKind::Invalid, message);
    match meant.as_slice() {
        [host] => parse_node(&host.node)
            .map(Place::Node)
            .ok_or_else(|| failure(format!("{:?} is no id of a host", host.node))),
        [] => Err(failure(format!(
            "no host of this network is called {name:?}: `synergy node ls` lists them"
        ))),
        several => Err(failure(format!(
            "{} hosts are called {name:?}: name one by the beginning of its id",
            several.len()
        ))),
    }
}

/// The node of an id in hexadecimal digits.
fn parse_node(text: &str) -> Option<NodeId> {
    let mut id = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 2 * id.len() {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(NodeId(id))
}
