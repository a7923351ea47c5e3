//! From a graph to components: operators are compiled, sources and sinks opened, for the parts that are here.

use std::collections::{BTreeMap, BTreeSet};

use engine::operator;
use engine::state::Resumed;
use engine::{Deployment, OperatorDeployment, OperatorPart, SinkDeployment, SourcePart};
use model::plan::{Connector, Stream};
use model::{ComponentGraph, ComponentId, Instant, QueryPlan, Schema, SourceName, StreamName};

use super::open::{OpenSink, Opener, listed};
use crate::application::{Application, Source};
use crate::connector;

/// The sources that were opened when an application file was loaded here: standard input cannot be opened twice, and need not be.
///
/// Whatever else there is to know of how parts are opened, the plan says. A composition may be tried on several graphs: the first attempt takes what is
/// open, the next ones open anew.
#[derive(Debug)]
pub(super) struct Local {
    /// When the file was loaded.
    pub(super) since: Instant,
    sources: Vec<Option<LocalSource>>,
}

#[derive(Debug)]
struct LocalSource {
    connector: Connector,
    open: Box<dyn connector::Source>,
}

impl Local {
    /// What of `application` is open here.
    pub(super) fn new(now: Instant, application: Application) -> Self {
        let sources = application.plan.sources().iter().zip(application.sources);
        let sources = sources.map(|(part, source)| match source {
            Source::Inline(source) => Some(LocalSource {
                connector: part.connector.clone()?,
                open: source.source,
            }),
            Source::Published { .. } => None,
        });
        Self {
            since: now,
            sources: sources.collect(),
        }
    }

    /// Takes the sources of a plan that are open still: another file of its name may have been loaded since.
    pub(super) fn take(&mut self, plan: &QueryPlan) -> Vec<Option<Box<dyn connector::Source>>> {
        let parts = plan.sources().iter().zip(&mut self.sources);
        let open = parts.map(|(part, source)| {
            let source = source.take_if(|it| Some(&it.connector) == part.connector.as_ref());
            Some(source?.open)
        });
        open.collect()
    }
}

/// What is needed to prepare a deployment, gathered before it is done on a thread that may block.
#[derive(Debug)]
pub(super) struct Preparation {
    opener: Opener,
    graph: Box<ComponentGraph>,
    /// Sources that are open already, in the plan's order.
    open: Vec<Option<Box<dyn connector::Source>>>,
    /// The published streams that this host reads, by name.
    publications: BTreeMap<String, ComponentId>,
    /// What runs here already of what is to be shared, by the name of its first stream.
    running: BTreeMap<StreamName, ComponentId>,
}

/// A deployment that can be made, and what its threads need.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) deployment: Deployment,
    /// The open sources of the parts that are here, in the plan's order.
    pub(super) sources: Vec<Option<Box<dyn connector::Source>>>,
    /// The open sinks of the parts that are here, in the plan's order.
    pub(super) sinks: Vec<Option<OpenSink>>,
}

/// Some parts of a plan, by their places in it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) sources: BTreeSet<usize>,
    pub(super) operators: BTreeSet<usize>,
    pub(super) sinks: BTreeSet<usize>,
}

impl Wanted {
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.operators.is_empty() && self.sinks.is_empty()
    }

    /// What the parts are called.
    pub(super) fn names(&self, graph: &ComponentGraph) -> impl Iterator<Item = String> {
        let plan = graph.plan();
        let sources = self
            .sources
            .iter()
            .map(|it| plan.sources()[*it].name.clone());
        let operators = self
            .operators
            .iter()
            .map(|it| plan.operators()[*it].name.clone());
        let sinks = self.sinks.iter().map(|it| plan.sinks()[*it].name.clone());
        sources.chain(operators).chain(sinks)
    }
}

/// A source as it is to be deployed, and what is read there.
type OpenSource = (SourcePart, Option<Box<dyn connector::Source>>);

/// Some parts of a plan, compiled and open, or why one of them is not.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub(super) sources: BTreeMap<usize, Result<OpenSource, String>>,
    pub(super) operators: BTreeMap<usize, Result<OperatorDeployment, String>>,
    /// Operators in the state that this host's disk has of them, and how many bytes that holds.
    pub(super) resumed: BTreeMap<usize, (Resumed, u64)>,
    pub(super) sinks: BTreeMap<usize, Result<Option<OpenSink>, String>>,
}

impl Preparation {
    pub(super) fn new(
        opener: Opener,
        graph: Box<ComponentGraph>,
        local: Option<&mut Local>,
        publications: BTreeMap<String, ComponentId>,
        running: BTreeMap<StreamName, ComponentId>,
    ) -> Self {
        let open = local.map(|local| local.take(graph.plan()));
        Self {
            opener,
            graph,
            open: open.unwrap_or_default(),
            publications,
            running,
        }
    }

    /// Compiles and opens all that is here. May block, and take some milliseconds for each operator.
    ///
    /// # Errors
    /// Why a part cannot run here, for people. Nothing is left open.
    pub(super) fn prepare(mut self) -> Result<Prepared, String> {
        let mut open = std::mem::take(&mut self.open).into_iter();
        let plan = self.graph.plan();
        let mut sources = Vec::new();
        let mut source_parts = Vec::new();
        for index in 0..plan.sources().len() {
            let (part, source) = self.source(index, open.next().flatten())?;
            source_parts.push(part);
            sources.push(source);
        }
        let operators: Result<Vec<_>, String> = (0..plan.operators().len())
            .map(|index| self.operator(index))
            .collect();
        let sinks: Result<Vec<_>, String> = (0..plan.sinks().len())
            .map(|index| self.sink(index))
            .collect();
        let sinks = sinks?;
        let target = plan.qos().latency;
        let sink_parts = sinks
            .iter()
            .map(|sink| sink.as_ref().map(|_| SinkDeployment { target }));
        Ok(Prepared {
            deployment: Deployment {
                plan: plan.clone(),
                origins: self.graph.origins().to_vec(),
                sources: source_parts,
                operators: operators?,
                sinks: sink_parts.collect(),
            },
            sources,
            sinks,
        })
    }

    /// Compiles and opens some of what is here, each by itself. May block.
    pub(super) fn pieces(mut self, wanted: &Wanted) -> Pieces {
        let mut open = std::mem::take(&mut self.open);
        let plan = self.graph.plan();
        let sources = wanted.sources.iter().map(|index| {
            let open = open.get_mut(*index).and_then(Option::take);
            (*index, self.source(*index, open))
        });
        let sources = sources.collect();
        let operators = wanted.operators.iter();
        let sinks = wanted.sinks.iter();
        Pieces {
            sources,
            operators: operators
                .map(|index| (*index, compile(plan, *index)))
                .collect(),
            resumed: BTreeMap::new(),
            sinks: sinks.map(|index| (*index, self.sink(*index))).collect(),
        }
    }

    fn source(
        &self,
        index: usize,
        already: Option<Box<dyn connector::Source>>,
    ) -> Result<(SourcePart, Option<Box<dyn connector::Source>>), String> {
        if self.graph.sources()[index].host != self.opener.node {
            return Ok((SourcePart::Elsewhere, None));
        }
        let part = &self.graph.plan().sources()[index];
        if let SourceName::Published { name, .. } = &part.source {
            let running = self.publications.get(name);
            let running =
                running.ok_or_else(|| format!("{name} is not published here any more"))?;
            return Ok((SourcePart::Running(*running), None));
        }
        if self.graph.sources()[index].shared {
            let running = self.running(Stream::Source(index, 0), &part.name)?;
            return Ok((SourcePart::Running(running), None));
        }
        let source = self.opener.source(self.graph.plan(), index, already)?;
        Ok((SourcePart::Here, Some(source)))
    }

    /// What runs here already, and is to be shared.
    fn running(&self, stream: Stream, name: &str) -> Result<ComponentId, String> {
        let running = self.running.get(&self.graph.plan().stream_name(stream));
        running
            .copied()
            .ok_or_else(|| format!("{name} was to be shared, and does not run here any more"))
    }

    fn operator(&self, index: usize) -> Result<OperatorPart, String> {
        let binding = self.graph.operators()[index];
        let plan = self.graph.plan();
        let part = &plan.operators()[index];
        match (binding.host == self.opener.node, binding.shared) {
            (false, false) => return Ok(OperatorPart::Elsewhere),
            (false, true) => return Ok(OperatorPart::RunningElsewhere),
            (true, true) => {
                let running = self.running(Stream::Operator(index, 0), &part.name)?;
                return Ok(OperatorPart::Running(running));
            }
            (true, false) => {}
        }
        compile(plan, index).map(OperatorPart::Here)
    }

    fn sink(&self, index: usize) -> Result<Option<OpenSink>, String> {
        if self.graph.sinks()[index].host != self.opener.node {
            return Ok(None);
        }
        self.opener.sink(self.graph.plan(), index).map(Some)
    }
}

/// Compiles an operator of a plan.
///
/// # Errors
/// Why it cannot run here, for people.
pub(super) fn compile(plan: &QueryPlan, index: usize) -> Result<OperatorDeployment, String> {
    let part = &plan.operators()[index];
    let kind = operator::find(&part.kind)
        .ok_or_else(|| format!("{:?} is no operator that this host knows", part.kind))?;
    let inputs: Vec<Schema> = part
        .inputs
        .iter()
        .map(|input| plan.schema(*input).clone())
        .collect();
    let compiled = (kind.compile)(&part.parameters, &inputs);
    let compiled = compiled
        .map_err(|errors| format!("{} cannot be compiled: {}", part.name, listed(&errors)))?;
    if compiled.outputs != part.outputs || compiled.parameters != part.parameters {
        return Err(format!(
            "{} means something else to the host that asks for it",
            part.name
        ));
    }
    Ok(OperatorDeployment {
        compiled,
        numbering: kind.numbering,
        declared: None,
    })
}

#[cfg(test)]
mod tests;
