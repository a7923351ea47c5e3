//! What runs on hosts, as demands: cores that are taken, and delays that come of it.
//!
//! A component that an application has for itself takes `rate x cost` cores of its host. A shared one takes nothing
//! again: its age is that of the component that runs. Ages are computed when they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use composition::queue::{self, Discipline, Job};
use composition::{MigrationId, Order};
use model::plan::Stream;
use model::{ComponentGraph, CompositionId, Demand, NodeId, StreamName, convert};

use crate::topology::Topology;

mod age;
mod life;
mod moving;

/// What is known of an application from its order.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) target: Duration,
    pub(super) demands: Vec<Demand>,
    pub(super) source_demands: Vec<Demand>,
}

impl Facts {
    pub(super) fn of(order: &Order) -> Self {
        Self {
            target: order.plan.qos().latency,
            demands: order.demands.clone(),
            source_demands: order.source_demands.clone(),
        }
    }

    /// What an operator takes, that can wait so long.
    pub(super) fn job(&self, operator: usize, laxity: Duration) -> Job {
        let demand = self.demands[operator];
        Job {
            laxity,
            cores: demand.rows_per_second * demand.cost_seconds,
            burst_cores: 0.0,
            execution: convert::seconds(demand.cost_seconds),
        }
    }
}

/// A component: of which composition, and its operator's place in the plan.
pub(super) type Component = (CompositionId, usize);

/// What runs on a host for a composition.
#[derive(Debug)]
struct Part {
    graph: Arc<ComponentGraph>,
    /// Operators that it has here for itself and that run.
    operators: BTreeSet<usize>,
    /// Operators of others here, by which its parts elsewhere read them.
    shared: BTreeSet<usize>,
    /// Components of other compositions that it reads.
    reads: Vec<Component>,
    /// Whether sources or sinks of it are here.
    has_sources: bool,
    has_sinks: bool,
    is_started: bool,
    is_released: bool,
    /// Operators that are made ready here and serve nobody yet.
    coming: BTreeSet<usize>,
    /// Operators that run elsewhere by now, and here only for others who read them still.
    left: BTreeSet<usize>,
}

impl Part {
    fn new(graph: Arc<ComponentGraph>) -> Self {
        Self {
            graph,
            operators: BTreeSet::new(),
            shared: BTreeSet::new(),
            reads: Vec::new(),
            has_sources: false,
            has_sinks: false,
            is_started: false,
            is_released: false,
            coming: BTreeSet::new(),
            left: BTreeSet::new(),
        }
    }
}

/// What an operator is made of, by the hosts of all that it reads.
type MadeOf = BTreeMap<StreamName, NodeId>;

/// A composition: where its parts are.
#[derive(Debug)]
struct Running {
    graph: Arc<ComponentGraph>,
    /// How often an operator of it went elsewhere.
    generation: u64,
    facts: Arc<Facts>,
    hosts: BTreeSet<usize>,
    /// Of each operator.
    laxities: Vec<Duration>,
    /// By whom its streams are read that are of other compositions.
    readers: BTreeMap<usize, BTreeSet<(CompositionId, usize)>>,
}

/// A processor and what runs on it.
#[derive(Debug)]
struct Machine {
    cores: f64,
    background: f64,
    jobs: BTreeMap<Component, Job>,
    /// What each composition that depends on a component can wait: the component is as strict as the strictest of them.
    laxities: BTreeMap<Component, BTreeMap<CompositionId, Duration>>,
    /// The same, as production computes with it; nothing where it has changed since.
    queue: Option<queue::Queue>,
}

impl Machine {
    /// A composition comes to depend on a component, and can wait so long.
    fn depend(&mut self, component: Component, by: CompositionId, laxity: Duration) {
        let laxities = self.laxities.entry(component).or_default();
        laxities.insert(by, laxity);
        let strictest = laxities.values().min().copied();
        if let (Some(job), Some(strictest)) = (self.jobs.get_mut(&component), strictest) {
            job.laxity = strictest;
        }
        self.queue = None;
    }

    /// A composition depends on nothing here any more.
    fn forget(&mut self, by: CompositionId) {
        for (component, laxities) in &mut self.laxities {
            if laxities.remove(&by).is_some()
                && let Some(strictest) = laxities.values().min()
                && let Some(job) = self.jobs.get_mut(component)
            {
                job.laxity = *strictest;
            }
        }
        self.laxities
            .retain(|component, _| self.jobs.contains_key(component));
        self.queue = None;
    }
}

/// All that runs.
#[derive(Debug)]
pub(super) struct Fluid {
    topology: Arc<dyn Topology>,
    discipline: Discipline,
    machines: Vec<Machine>,
    parts: BTreeMap<(usize, CompositionId), Part>,
    running: BTreeMap<CompositionId, Running>,
    /// Who has a stream for itself, by its host and name, and what it is made of.
    providers: BTreeMap<(usize, StreamName), BTreeMap<Component, MadeOf>>,
    /// What hosts are ready for that does not hold yet.
    prepared: BTreeMap<(usize, MigrationId), usize>,
    /// Compositions whose delay may have changed.
    pub(super) changed: BTreeSet<CompositionId>,
    /// Hosts whose load may have changed.
    pub(super) loaded: BTreeSet<usize>,
}

/// From which host an id is.
pub(super) type Hosts = indexmap::IndexMap<NodeId, (), foldhash::fast::FixedState>;

impl Fluid {
    pub(super) fn new(
        topology: Arc<dyn Topology>,
        discipline: Discipline,
        cores: impl Iterator<Item = (f64, f64)>,
    ) -> Self {
        let machines = cores.map(|(cores, background)| Machine {
            cores,
            background,
            jobs: BTreeMap::new(),
            laxities: BTreeMap::new(),
            queue: None,
        });
        Self {
            topology,
            discipline,
            machines: machines.collect(),
            parts: BTreeMap::new(),
            running: BTreeMap::new(),
            providers: BTreeMap::new(),
            prepared: BTreeMap::new(),
            changed: BTreeSet::new(),
            loaded: BTreeSet::new(),
        }
    }

    /// Makes what a graph binds to a host.
    ///
    /// # Errors
    /// When something that it shares does not run there any more; nothing of it is left.
    pub(super) fn deploy(
        &mut self,
        host: usize,
        id: CompositionId,
        graph: Arc<ComponentGraph>,
        facts: Arc<Facts>,
        hosts: &Hosts,
    ) -> Result<(), String> {
        self.remove_part(host, id);
        let is_here = |node: NodeId| hosts.get_index_of(&node) == Some(host);
        let here = graph.operators().iter().enumerate();
        let here = here.filter(|(_, it)| is_here(it.host));
        let (mut operators, mut shared) = (BTreeSet::new(), BTreeSet::new());
        for (index, binding) in here {
            let list = if binding.shared {
                &mut shared
            } else {
                &mut operators
            };
            list.insert(index);
        }
        for index in &shared {
            let name = graph.plan().stream_name(Stream::Operator(*index, 0));
            if self
                .provider(host, name, (id, &graph.made_of(*index)))
                .is_none()
            {
                let name = &graph.plan().operators()[*index].name;
                return Err(format!("{name} does not run here any more"));
            }
        }
        let sources = graph.sources().iter();
        let has_sources = sources.clone().any(|it| is_here(it.host) && !it.shared);
        let has_sinks = graph.sinks().iter().any(|it| is_here(it.host));
        let is_new_graph = self
            .running
            .get(&id)
            .is_none_or(|running| running.graph != graph);
        if is_new_graph {
            let laxities = age::laxities(&graph, &facts, hosts, &*self.topology);
            let known = self.running.remove(&id);
            let (hosts, readers) = known.map_or_else(Default::default, |it| (it.hosts, it.readers));
            let running = Running {
                graph: Arc::clone(&graph),
                generation: 0,
                facts: Arc::clone(&facts),
                hosts,
                laxities,
                readers,
            };
            self.running.insert(id, running);
        }
        if let Some(running) = self.running.get_mut(&id) {
            running.hosts.insert(host);
        }
        for index in &operators {
            self.add_operator(host, (id, *index), &graph);
        }
        let part = Part {
            operators,
            shared,
            has_sources,
            has_sinks,
            ..Part::new(graph)
        };
        self.parts.insert((host, id), part);
        self.note_reading(host, id, hosts);
        self.touch(host);
        self.changed.insert(id);
        Ok(())
    }

    /// An operator runs on a host from now on, which takes what it takes.
    fn add_operator(&mut self, host: usize, component: Component, graph: &ComponentGraph) {
        let (id, index) = component;
        let Some(running) = self.running.get(&id) else {
            return;
        };
        let job = running.facts.job(index, running.laxities[index]);
        let machine = &mut self.machines[host];
        machine.jobs.insert(component, job);
        machine.depend(component, id, job.laxity);
        let name = graph.plan().stream_name(Stream::Operator(index, 0));
        let providers = self.providers.entry((host, name)).or_default();
        providers.insert(component, graph.made_of(index));
    }

    /// Whether others read something of a composition.
    pub(super) fn is_kept_for_others(&self, id: CompositionId) -> bool {
        let running = self.running.get(&id);
        let mut readers = running.into_iter().flat_map(|it| it.readers.values());
        readers.any(|readers| !readers.is_empty())
    }

    /// Whether what a host has of a composition has been started, and is to go on.
    pub(super) fn is_serving(&self, host: usize, id: CompositionId) -> bool {
        let part = self.parts.get(&(host, id));
        part.is_some_and(|part| !part.is_released && (part.is_started || !part.has_sinks))
    }

    /// The graph of a composition that runs.
    pub(super) fn graph(&self, id: CompositionId) -> Option<&Arc<ComponentGraph>> {
        self.running.get(&id).map(|running| &running.graph)
    }

    /// The target of a composition that runs.
    pub(super) fn target(&self, id: CompositionId) -> Option<Duration> {
        self.running.get(&id).map(|running| running.facts.target)
    }

    /// The parts of a host.
    pub(super) fn parts_of(&self, host: usize) -> impl Iterator<Item = CompositionId> {
        let first = CompositionId {
            node: NodeId([0; 32]),
            number: 0,
        };
        let range = self.parts.range((host, first)..);
        let here = range.take_while(move |((at, _), _)| *at == host);
        here.map(|((_, id), _)| *id)
    }

    /// The hosts that a host has streams with: those that feed what runs there, read it, or hold its state.
    pub(super) fn near(&self, host: usize, hosts: &Hosts) -> BTreeSet<usize> {
        let mut near = BTreeSet::new();
        for id in self.parts_of(host) {
            let graph = &self.parts[&(host, id)].graph;
            let plan = graph.plan();
            let mut edge = |one: NodeId, other: NodeId| {
                let places = [one, other].map(|it| hosts.get_index_of(&it));
                if places.contains(&Some(host)) {
                    near.extend(places.into_iter().flatten());
                }
            };
            for (stream, reader) in plan.edges() {
                edge(graph.producer(stream).host, graph.reader(reader).host);
            }
            let backups = plan.operators().iter().zip(graph.backups()).enumerate();
            for (index, (operator, backups)) in backups {
                if engine::operator::has_state(&operator.kind) {
                    let at = graph.operators()[index].host;
                    backups.iter().for_each(|backup| edge(at, *backup));
                }
            }
        }
        near.remove(&host);
        near
    }

    /// Whether something runs on a host that wants to be held elsewhere as well.
    pub(super) fn wants_backups(&self, host: usize) -> bool {
        let graphs = self.parts_of(host).map(|id| &self.parts[&(host, id)].graph);
        let mut plans = graphs.map(|graph| graph.plan());
        plans.any(|plan| plan.qos().replicas > 0)
    }

    /// The hosts on which something of a composition is.
    pub(super) fn hosts_of(&self, id: CompositionId) -> Vec<usize> {
        let running = self.running.get(&id);
        running.map_or_else(Vec::new, |running| running.hosts.iter().copied().collect())
    }

    /// Operators of a composition that run on a host, and what each takes.
    pub(super) fn jobs(&self, host: usize, id: CompositionId) -> Vec<(usize, Job)> {
        let range = (id, 0)..=(id, usize::MAX);
        let jobs = self.machines[host].jobs.range(range);
        jobs.map(|((_, index), job)| (*index, *job)).collect()
    }

    /// Whether sinks of a composition run on a host.
    pub(super) fn has_sinks(&self, host: usize, id: CompositionId) -> bool {
        let part = self.parts.get(&(host, id));
        part.is_some_and(|part| part.has_sinks && part.is_started && !part.is_released)
    }

    /// What components take on a host. Unit: cores.
    pub(super) fn cores(&self, host: usize) -> f64 {
        self.machines[host].jobs.values().map(|job| job.cores).sum()
    }

    /// How much of a host others than Synergy use from now on. Unit: cores.
    pub(super) fn set_background(&mut self, host: usize, cores: f64) {
        self.machines[host].background = cores;
        self.touch(host);
    }

    /// The load of a host has changed.
    fn touch(&mut self, host: usize) {
        self.loaded.insert(host);
        self.reorder(host);
    }

    /// What runs on a host comes in another order, or more does: the delays of all that is there may have changed, and of who shares it.
    fn reorder(&mut self, host: usize) {
        self.machines[host].queue = None;
        let mut open: Vec<CompositionId> = self.parts_of(host).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Some(running) = self.running.get(&id) {
                let readers = running.readers.values().flatten();
                open.extend(readers.map(|(reader, _)| *reader));
            }
        }
        self.changed.extend(seen);
    }
}
