//! From a graph to components: operators are compiled, sources and sinks opened, for the parts that are here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use engine::operator::{ArgumentError, KINDS};
use engine::{Deployment, OperatorDeployment, OperatorPart, SinkDeployment, SourcePart};
use model::plan::Stream;
use model::{
    Arguments, ComponentGraph, ComponentId, Instant, NodeId, QueryPlan, Schema, SourceName,
    StreamName,
};

use super::Results;
use crate::application::{self, Application};
use crate::clock::MachineClock;
use crate::connector::{self, Context, SinkKind, SourceKind};

/// What an application file that was loaded here keeps on this host: how its sources and sinks are opened.
///
/// A composition may be tried on several graphs, so a source can be opened more than once.
#[derive(Debug)]
pub(super) struct Local {
    /// When the file was loaded.
    pub(super) since: Instant,
    pub(super) folder: PathBuf,
    pub(super) sources: Vec<Option<LocalSource>>,
    pub(super) sinks: Vec<LocalSink>,
}

#[derive(Debug)]
pub(super) struct LocalSource {
    pub(super) kind: &'static SourceKind,
    pub(super) arguments: Arguments,
    /// As it was opened when the file was loaded; taken by the first attempt.
    pub(super) open: Option<Box<dyn connector::Source>>,
}

#[derive(Debug, Clone)]
pub(super) struct LocalSink {
    pub(super) kind: &'static SinkKind,
    pub(super) arguments: Arguments,
    pub(super) schema: Schema,
}

impl Local {
    /// What `application`, whose file lies in `folder`, keeps here.
    pub(super) fn new(now: Instant, application: Application, folder: PathBuf) -> Self {
        let source = |source: application::Source| match source {
            application::Source::Inline(source) => Some(LocalSource {
                kind: source.kind,
                arguments: source.arguments,
                open: Some(source.source),
            }),
            application::Source::Published { .. } => None,
        };
        let sink = |sink: application::Sink| LocalSink {
            kind: sink.kind,
            arguments: sink.arguments,
            schema: sink.schema,
        };
        Self {
            since: now,
            folder,
            sources: application.sources.into_iter().map(source).collect(),
            sinks: application.sinks.into_iter().map(sink).collect(),
        }
    }

    /// Takes what one attempt needs: open sources where they are still there.
    fn attempt(&mut self) -> Self {
        let source = |source: &mut Option<LocalSource>| {
            source.as_mut().map(|source| LocalSource {
                kind: source.kind,
                arguments: source.arguments.clone(),
                open: source.open.take(),
            })
        };
        Self {
            since: self.since,
            folder: self.folder.clone(),
            sources: self.sources.iter_mut().map(source).collect(),
            sinks: self.sinks.clone(),
        }
    }
}

/// What is needed to prepare a deployment, gathered before it is done on a thread that may block.
#[derive(Debug)]
pub(super) struct Preparation {
    node: NodeId,
    graph: Box<ComponentGraph>,
    local: Option<Local>,
    /// The folder that relative paths of the application's file start from.
    folder: PathBuf,
    /// The published streams that this host reads, by name.
    publications: BTreeMap<String, ComponentId>,
    /// What runs here already of what is to be shared, by the name of its first stream.
    running: BTreeMap<StreamName, ComponentId>,
    results: Results,
    clock: Arc<MachineClock>,
}

/// An open sink, and whether people see what it writes.
pub(super) type OpenSink = (Box<dyn connector::Sink>, bool);

/// A deployment that can be made, and what its threads need.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) deployment: Deployment,
    /// The open sources of the parts that are here, in the plan's order.
    pub(super) sources: Vec<Option<Box<dyn connector::Source>>>,
    /// The open sinks of the parts that are here, in the plan's order.
    pub(super) sinks: Vec<Option<OpenSink>>,
}

impl Preparation {
    pub(super) fn new(
        node: NodeId,
        graph: Box<ComponentGraph>,
        local: Option<&mut Local>,
        publications: BTreeMap<String, ComponentId>,
        running: BTreeMap<StreamName, ComponentId>,
        results: Results,
        clock: Arc<MachineClock>,
    ) -> Self {
        let local = local.map(Local::attempt);
        Self {
            node,
            graph,
            folder: local
                .as_ref()
                .map(|local| local.folder.clone())
                .unwrap_or_default(),
            local,
            publications,
            running,
            results,
            clock,
        }
    }

    /// Compiles and opens all that is here. May block, and take some milliseconds for each operator.
    ///
    /// # Errors
    /// Why a part cannot run here, for people. Nothing is left open.
    pub(super) fn prepare(mut self) -> Result<Prepared, String> {
        let mut local = self.local.take();
        let plan = self.graph.plan();
        let mut sources = Vec::new();
        let mut source_parts = Vec::new();
        for index in 0..plan.sources().len() {
            let (part, source) = self.source(index, local.as_mut())?;
            source_parts.push(part);
            sources.push(source);
        }
        let operators: Result<Vec<_>, String> = (0..plan.operators().len())
            .map(|index| self.operator(index))
            .collect();
        let sinks: Result<Vec<_>, String> = (0..plan.sinks().len())
            .map(|index| self.sink(index, local.as_ref()))
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

    fn source(
        &self,
        index: usize,
        local: Option<&mut Local>,
    ) -> Result<(SourcePart, Option<Box<dyn connector::Source>>), String> {
        if self.graph.sources()[index].host != self.node {
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
        let kept = local.and_then(|local| local.sources.get_mut(index)?.as_mut());
        let kept = kept.ok_or_else(|| format!("{} was not opened on this host", part.name))?;
        let source = match kept.open.take() {
            Some(source) => source,
            None => self.reopen(kept, &part.name)?,
        };
        if part.outputs.first().map(|(_, schema)| schema) != Some(source.schema()) {
            return Err(format!(
                "{} has other columns than it had when it was composed",
                part.name
            ));
        }
        Ok((SourcePart::Here, Some(source)))
    }

    fn reopen(
        &self,
        source: &LocalSource,
        name: &str,
    ) -> Result<Box<dyn connector::Source>, String> {
        let opened = (source.kind.open)(&source.arguments, &self.context());
        opened.map_err(|errors| format!("{name} cannot be opened: {}", listed(&errors)))
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
        match (binding.host == self.node, binding.shared) {
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

    fn sink(&self, index: usize, local: Option<&Local>) -> Result<Option<OpenSink>, String> {
        if self.graph.sinks()[index].host != self.node {
            return Ok(None);
        }
        let name = &self.graph.plan().sinks()[index].name;
        let sink = local.and_then(|local| local.sinks.get(index));
        let sink = sink.ok_or_else(|| format!("{name} was not asked for on this host"))?;
        let is_tapped = sink.kind.is_shown && matches!(self.results, Results::Tapped);
        let kind = if is_tapped {
            &connector::DISCARD
        } else {
            sink.kind
        };
        let opened = (kind.open)(&sink.arguments, &sink.schema, &self.context());
        let opened =
            opened.map_err(|errors| format!("{name} cannot be opened: {}", listed(&errors)))?;
        Ok(Some((opened, sink.kind.is_shown)))
    }

    fn context(&self) -> Context<'_> {
        Context {
            folder: &self.folder,
            clock: self.clock.clone(),
            epoch: self.clock.epoch(),
        }
    }
}

/// Compiles an operator of a plan.
///
/// # Errors
/// Why it cannot run here, for people.
pub(super) fn compile(plan: &QueryPlan, index: usize) -> Result<OperatorDeployment, String> {
    let part = &plan.operators()[index];
    let kind = KINDS.iter().find(|kind| kind.name == part.kind);
    let kind =
        kind.ok_or_else(|| format!("{:?} is no operator that this host knows", part.kind))?;
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

fn listed(errors: &[ArgumentError]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}
