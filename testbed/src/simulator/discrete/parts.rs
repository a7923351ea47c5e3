//! What runs on a host for a composition, and what is deployed there for a graph of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{
    Deployed, Deployment, Engine, OperatorDeployment, OperatorPart, SinkDeployment, SourcePart,
    operator,
};
use model::plan::{Reader, Stream};
use model::{
    Binding, ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, NodeId, QueryPlan,
    Schema, StreamName,
};

use super::{Discrete, Machine, Out};

/// What runs on a host for a composition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) graph: Arc<ComponentGraph>,
    /// The engine's numbers for it: one for what was made at once, the latest last.
    pub(super) numbers: Vec<u64>,
    /// What was made here for each source, operator and sink of the plan, or is shared.
    pub(super) sources: Vec<Option<ComponentId>>,
    pub(super) operators: Vec<Option<ComponentId>>,
    pub(super) sinks: Vec<Option<ComponentId>>,
    /// Edges that other hosts pull.
    pub(super) downstream: BTreeMap<(Stream, Reader, NodeId), EdgeId>,
    /// Those of them that are for readers on other hosts by now, which still pull, as in production.
    pub(super) former: BTreeSet<(Stream, Reader, NodeId)>,
}

impl Part {
    /// A part of which nothing is here yet.
    pub(super) fn new(graph: Arc<ComponentGraph>) -> Self {
        let plan = graph.plan();
        Self {
            numbers: Vec::new(),
            sources: vec![None; plan.sources().len()],
            operators: vec![None; plan.operators().len()],
            sinks: vec![None; plan.sinks().len()],
            downstream: BTreeMap::new(),
            former: BTreeSet::new(),
            graph,
        }
    }

    /// Takes over what was deployed for a graph of it, which may be one that is yet to hold.
    pub(super) fn add(&mut self, graph: &ComponentGraph, deployed: &Deployed) {
        self.numbers.push(deployed.application);
        let sources = self.sources.iter_mut().zip(&deployed.sources);
        let operators = self.operators.iter_mut().zip(&deployed.operators);
        let sinks = self.sinks.iter_mut().zip(&deployed.sinks);
        for (known, made) in sources.chain(operators).chain(sinks) {
            *known = made.or(*known);
        }
        for end in &deployed.downstream {
            let peer = graph.reader(end.reader).host;
            self.serve((end.stream, end.reader, peer), end.edge);
        }
    }

    /// An edge may be pulled by a host from now on.
    pub(super) fn serve(&mut self, by: (Stream, Reader, NodeId), edge: EdgeId) {
        self.former.remove(&by);
        self.downstream.insert(by, edge);
    }

    /// Drops what was deployed for an operator that does not come here after all.
    pub(super) fn remove(&mut self, deployed: &Deployed, operator: usize) {
        self.numbers.retain(|it| *it != deployed.application);
        if self.operators[operator] == deployed.operators[operator] {
            self.operators[operator] = None;
        }
        let edges: Vec<EdgeId> = deployed.downstream.iter().map(|it| it.edge).collect();
        self.downstream.retain(|_, it| !edges.contains(it));
    }

    /// Whether a reader on another host is given a stream: what it had there before it ran elsewhere may have ended.
    pub(super) fn serves(&self, engine: &Engine, by: &(Stream, Reader, NodeId)) -> bool {
        let served = self.downstream.get(by);
        served.is_some_and(|it| engine.is_open(*it))
    }

    /// The edge by which a stream that is here is read. Another instance of its producer may still be here for who has not heard that it ends.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn yielding_edge(
        &self,
        engine: &Engine,
        stream: Stream,
        reader: Reader,
    ) -> Result<EdgeId, String> {
        let component = match stream {
            Stream::Source(index, _) => self.sources[index],
            Stream::Operator(index, _) => self.operators[index],
        };
        let by = (stream, reader);
        let mut numbers = self.numbers.iter().rev();
        let edge = component
            .and_then(|component| numbers.find_map(|it| engine.yielding_edge(*it, component, by)));
        edge.ok_or_else(|| "what it reads does not run there any more".to_owned())
    }

    /// The sources that are its own, by their places in the plan: what it shares is fed by whose it is.
    pub(super) fn own_sources(&self) -> impl Iterator<Item = (usize, ComponentId)> {
        let sources = self.graph.sources().iter().zip(&self.sources);
        let own = sources
            .enumerate()
            .filter(|(_, (binding, _))| !binding.shared);
        own.filter_map(|(index, (_, component))| Some((index, (*component)?)))
    }
}

impl Discrete {
    /// The compositions of which something is on a host.
    pub(in crate::simulator) fn compositions(
        &self,
        host: usize,
    ) -> impl Iterator<Item = CompositionId> + '_ {
        self.machines[host].parts.keys().copied()
    }

    /// The operators that a composition has for its own on a host, by their places in the plan: those that are ready, and those that are left, too.
    pub(in crate::simulator) fn operators(
        &self,
        host: usize,
        id: CompositionId,
    ) -> BTreeSet<usize> {
        let machine = &self.machines[host];
        let Some(part) = machine.parts.get(&id) else {
            return BTreeSet::new();
        };
        let plan = part.graph.plan();
        let running = part
            .numbers
            .iter()
            .flat_map(|it| machine.engine.component_names(*it));
        let place = |name: &str| plan.operators().iter().position(|it| it.name == name);
        running.filter_map(place).collect()
    }

    /// Ends the sinks of a composition on a host; what others read stays. What is gone at last is told by [`Out::Retired`]: at once where nothing is left.
    pub(in crate::simulator) fn release(
        &mut self,
        now: Instant,
        host: usize,
        id: CompositionId,
    ) -> Vec<Out> {
        let mut out = Vec::new();
        let machine = &mut self.machines[host];
        machine.drop_backups(id, &mut out);
        let part = machine.parts.get(&id);
        let numbers = part.map(|part| part.numbers.clone()).unwrap_or_default();
        if numbers.is_empty() {
            // All went before its word came, and what was to come does not; or only backups were here.
            machine.parts.remove(&id);
            out.push(Out::Retired(id));
        }
        for number in numbers {
            machine.engine.release(now, number);
        }
        out
    }
}

impl Machine {
    /// The component that yields a stream here, of whichever composition; made of this, where that is said.
    pub(super) fn running(
        &self,
        name: StreamName,
        made_of: Option<&BTreeMap<StreamName, NodeId>>,
    ) -> Option<ComponentId> {
        let mut running = self.parts.values().flat_map(|part| {
            let streams = part.graph.plan().streams_named(name);
            streams.filter_map(move |stream| match stream {
                Stream::Source(index, _) if made_of.is_none() => part.sources[index],
                Stream::Operator(index, _)
                    if made_of.is_none_or(|made_of| part.graph.made_of(index) == *made_of) =>
                {
                    part.operators[index]
                }
                Stream::Source(..) | Stream::Operator(..) => None,
            })
        });
        running.find(|id| self.engine.is_running(*id))
    }

    /// What of a graph runs here, made of what the plan says.
    pub(super) fn deployment(
        &self,
        graph: &ComponentGraph,
        node: NodeId,
    ) -> Result<Deployment, String> {
        let plan = graph.plan();
        let running = |stream: Stream| {
            let made_of = match stream {
                Stream::Operator(index, _) => Some(graph.made_of(index)),
                Stream::Source(..) => None,
            };
            let running = self.running(plan.stream_name(stream), made_of.as_ref());
            running.ok_or_else(|| format!("{stream:?} does not run here any more"))
        };
        let mut sources = Vec::new();
        for (index, binding) in graph.sources().iter().enumerate() {
            sources.push(match (binding.host == node, binding.shared) {
                (false, _) => SourcePart::Elsewhere,
                (true, true) => SourcePart::Running(running(Stream::Source(index, 0))?),
                (true, false) => SourcePart::Here,
            });
        }
        let mut operators = Vec::new();
        for (index, binding) in graph.operators().iter().enumerate() {
            operators.push(match (binding.host == node, binding.shared) {
                (false, false) => OperatorPart::Elsewhere,
                (false, true) => OperatorPart::RunningElsewhere,
                (true, true) => OperatorPart::Running(running(Stream::Operator(index, 0))?),
                (true, false) => OperatorPart::Here(compiled(plan, index)?),
            });
        }
        let target = plan.qos().latency;
        let sink = |binding: &Binding| {
            let is_here = binding.host == node;
            is_here.then_some(SinkDeployment { target })
        };
        Ok(Deployment {
            plan: plan.clone(),
            origins: graph.origins().to_vec(),
            sources,
            operators,
            sinks: graph.sinks().iter().map(sink).collect(),
        })
    }
}

/// An operator of a plan, to be run.
///
/// # Errors
/// Why it cannot run, for people.
pub(super) fn compiled(plan: &QueryPlan, index: usize) -> Result<OperatorDeployment, String> {
    let part = &plan.operators()[index];
    let kind = operator::find(&part.kind).ok_or_else(|| format!("no operator {}", part.kind))?;
    let inputs: Vec<Schema> = part
        .inputs
        .iter()
        .map(|input| plan.schema(*input).clone())
        .collect();
    let compiled = (kind.compile)(&part.parameters, &inputs)
        .map_err(|errors| format!("{}: {errors:?}", part.name))?;
    if compiled.outputs != part.outputs {
        return Err(format!("{} has other ports than in the plan", part.name));
    }
    Ok(OperatorDeployment {
        compiled,
        numbering: kind.numbering,
        declared: None,
    })
}
