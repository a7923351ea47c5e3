//! What runs here of an application: threads for its sources and sinks, tasks for its edges to other hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use composition::Usage;
use engine::columns;
use engine::report::ComponentReport;
use engine::runtime::{Handle, Runtime};
use engine::{Admitted, Deployed, OperatorSample, Provider, RemoteEdge};
use model::plan::{Reader, Stream};
use model::{
    ApplicationId, Clock, ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, NodeId,
    StreamName, convert,
};
use overlay::net::Network;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Results;
use super::control::Inbound;
use super::deploy::Prepared;
use super::hello::Hello;
use super::link::Upstream;
use super::open::OpenSink;
use super::passing::Passing;
use crate::clock::MachineClock;
use crate::node::{Measured, Pace};
use crate::run::{self, Lease, Shelf, SinkThread, SourcePlace, SourceThread, shelf_name};
use crate::store::Store;

/// How long edges upstream may take to say goodbye. Unit: time. Source: guess; a round trip and some.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// What parts need of the driver.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) engine: Handle,
    pub(super) network: Network,
    pub(super) clock: Arc<MachineClock>,
    pub(super) inbox: mpsc::Sender<Inbound>,
    pub(super) results: Results,
    /// What is kept for a restart.
    pub(super) store: Option<Store>,
    /// The round trips that were measured to other hosts.
    pub(super) round_trips: RoundTrips,
    /// By what sinks write.
    pub(super) lease: Arc<Lease>,
}

/// Round trips by host, as they are known when an edge is opened.
pub(super) type RoundTrips = Arc<Mutex<BTreeMap<NodeId, Duration>>>;

/// What runs here of a composition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) application: ApplicationId,
    /// The engine's numbers for it: one for what was made at once.
    pub(super) numbers: Vec<u64>,
    pub(super) graph: Box<ComponentGraph>,
    pub(super) since: Instant,
    /// It was ended, and what is left is there for others.
    pub(super) is_released: bool,
    /// When it was last measured.
    measured: Instant,
    /// What was made here for each source and operator of the plan, or is shared.
    pub(super) sources: Vec<Option<ComponentId>>,
    pub(super) operators: Vec<Option<ComponentId>>,
    pub(super) sinks: Vec<Option<ComponentId>>,
    /// With how many cores it is held here.
    pub(super) cores: f64,
    /// Operators that run elsewhere by now, by their places in the plan, and what is here of them for as long as others read it.
    left: Vec<(usize, ComponentId)>,
    upstream: Vec<JoinHandle<()>>,
    pub(super) downstream: BTreeMap<(Stream, Reader, NodeId), Downstream>,
    /// Those of them that are for readers on other hosts by now, which still pull: see [`Part::close_former`].
    pub(super) former: BTreeSet<(Stream, Reader, NodeId)>,
    /// Edges of what stepped in here for readers that were not here: they keep everything until those are.
    pub(super) unread: BTreeMap<(Stream, Reader), EdgeId>,
}

/// An edge that another host pulls.
#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) edge: EdgeId,
    pub(super) task: Option<JoinHandle<()>>,
}

impl Part {
    /// Deploys what was prepared, and starts its threads and edges. Nothing runs before it is started or pulled.
    ///
    /// # Errors
    /// Why that cannot be, for people; nothing of it is left.
    pub(super) fn deploy(
        means: &Means,
        runtime: &Runtime,
        id: CompositionId,
        application: ApplicationId,
        graph: Box<ComponentGraph>,
        prepared: Prepared,
    ) -> Result<Self, String> {
        let deployed = runtime
            .deploy(prepared.deployment)
            .map_err(|error| error.to_string())?;
        let mut part = Self::new(means.clock.now(), application, graph);
        let graph = part.graph.clone();
        part.add(means, id, &graph, &deployed);
        let spawned = part.spawn_threads(means, id, &deployed, prepared.sources, prepared.sinks);
        if let Err(error) = spawned {
            part.retire(&means.engine);
            return Err(format!("the system gives no thread: {error}"));
        }
        Ok(part)
    }

    /// A part of which nothing is here yet.
    pub(super) fn new(
        now: Instant,
        application: ApplicationId,
        graph: Box<ComponentGraph>,
    ) -> Self {
        let plan = graph.plan();
        Self {
            application,
            numbers: Vec::new(),
            since: now,
            is_released: false,
            measured: now,
            sources: vec![None; plan.sources().len()],
            operators: vec![None; plan.operators().len()],
            sinks: vec![None; plan.sinks().len()],
            cores: 0.0,
            left: Vec::new(),
            upstream: Vec::new(),
            downstream: BTreeMap::new(),
            former: BTreeSet::new(),
            unread: BTreeMap::new(),
            graph,
        }
    }

    /// Takes over what was deployed for a graph of it, which may be one that is yet to hold, and pulls what that reads on other hosts.
    pub(super) fn add(
        &mut self,
        means: &Means,
        id: CompositionId,
        graph: &ComponentGraph,
        deployed: &Deployed,
    ) {
        self.numbers.push(deployed.application);
        let sources = self.sources.iter_mut().zip(&deployed.sources);
        let operators = self.operators.iter_mut().zip(&deployed.operators);
        let sinks = self.sinks.iter_mut().zip(&deployed.sinks);
        for (known, made) in sources.chain(operators).chain(sinks) {
            *known = made.or(*known);
        }
        for remote in &deployed.downstream {
            let peer = graph.reader(remote.reader).host;
            self.serve((remote.stream, remote.reader, peer), remote.edge);
        }
        for remote in &deployed.upstream {
            let host = graph.producer(remote.stream).host;
            self.pull(means, id, (*remote, host), false);
        }
    }

    /// Lets an operator that has come here read what is here already from where its state ends: by an edge beside that of the one that it
    /// follows, so that nothing was released that it lacks.
    ///
    /// # Errors
    /// When what it reads is not here any more.
    pub(super) fn read_here(&self, engine: &Handle, edge: RemoteEdge) -> Result<(), String> {
        let before = self.yielding_edge(engine, edge.stream, edge.reader)?;
        let fork = engine.fork_edge(before).map_err(|it| it.to_string())?;
        let rebound = engine.rebind(edge.edge, Provider::Here(fork));
        rebound.map(drop).map_err(|it| it.to_string())
    }

    /// The edge by which a stream that is here is read by a part of the application. Another instance of what yields it may still be here for
    /// who has not heard that it ends: it is none for anybody else.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn yielding_edge(
        &self,
        engine: &Handle,
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

    /// Drops what was deployed for an operator that does not come here after all.
    pub(super) fn remove(&mut self, engine: &Handle, deployed: &Deployed, operator: usize) {
        engine.retire(deployed.application);
        self.numbers.retain(|it| *it != deployed.application);
        self.operators[operator] = None;
        let edges: Vec<EdgeId> = deployed.downstream.iter().map(|it| it.edge).collect();
        self.downstream.retain(|_, it| !edges.contains(&it.edge));
    }

    /// An operator runs elsewhere from now on; what was here of it stays until nobody reads it. Gives that, unless it was another's.
    pub(super) fn leave(&mut self, operator: usize, is_shared: bool) -> Option<ComponentId> {
        let component = self.operators[operator].take().filter(|_| !is_shared)?;
        self.left.push((operator, component));
        Some(component)
    }

    /// An edge may be pulled by a host from now on.
    pub(super) fn serve(&mut self, by: (Stream, Reader, NodeId), edge: EdgeId) {
        self.former.remove(&by);
        self.downstream.insert(by, Downstream { edge, task: None });
    }

    /// Pulls by an edge from a host; one that is taken over from where it pulled before.
    pub(super) fn pull(
        &mut self,
        means: &Means,
        id: CompositionId,
        (remote, host): (RemoteEdge, NodeId),
        is_taken_over: bool,
    ) {
        let upstream = Upstream {
            engine: means.engine.clone(),
            network: means.network.clone(),
            clock: Arc::clone(&means.clock),
            inbox: means.inbox.clone(),
            composition: id,
            edge: remote.edge,
            is_taken_over,
            host,
            hello: Hello::Edge {
                composition: id,
                stream: remote.stream,
                reader: remote.reader,
            },
            round_trips: Arc::clone(&means.round_trips),
            passing: Passing::of(self.graph.plan(), remote.stream),
            schema: columns::to_arrow(self.graph.plan().schema(remote.stream)),
        };
        self.upstream.retain(|task| !task.is_finished());
        self.upstream.push(tokio::spawn(upstream.run()));
    }

    pub(super) fn spawn_threads(
        &self,
        means: &Means,
        id: CompositionId,
        deployed: &Deployed,
        sources: Vec<Option<Box<dyn crate::connector::Source>>>,
        sinks: Vec<Option<OpenSink>>,
    ) -> Result<(), std::io::Error> {
        // Sinks first: the first result finds somebody who writes it.
        let any_shown = sinks.iter().flatten().any(|open| open.is_shown);
        for (component, sink) in deployed.sinks.iter().zip(sinks) {
            let (Some(component), Some(open)) = (component, sink) else {
                continue;
            };
            let (limit, news) = match &means.results {
                Results::Tapped => (None, None),
                Results::Shown { limit, news, .. } => {
                    let counts = open.is_shown || !any_shown;
                    (limit.clone().filter(|_| counts), Some(news.clone()))
                }
            };
            let thread = SinkThread {
                handle: means.engine.clone(),
                application: deployed.application,
                id: *component,
                sink: open.sink,
                journal: open.journal,
                limit,
                ends: news,
                lease: Some(Arc::clone(&means.lease)),
            };
            run::spawn(means.engine.clone(), "sink", *component, move || {
                thread.run();
            })?;
        }
        for ((index, component), source) in deployed.sources.iter().enumerate().zip(sources) {
            let (Some(component), Some(source)) = (component, source) else {
                continue;
            };
            let place = SourcePlace {
                handle: means.engine.clone(),
                application: deployed.application,
                id: *component,
                idle_after: run::idle_after(self.graph.plan().qos()),
            };
            let origin = self.graph.origins()[index];
            let clock: Arc<dyn Clock> = means.clock.clone();
            let store = means.store.as_ref();
            let shelf = store.map(|store| Shelf {
                store: store.clone(),
                name: shelf_name(&id, origin),
            });
            let thread = SourceThread::new(place, source, origin, clock, shelf);
            run::spawn(means.engine.clone(), "source", *component, move || {
                thread.run();
            })?;
        }
        Ok(())
    }

    /// Whether a reader on another host is given a stream: what it had there before it ran elsewhere may have ended.
    pub(super) fn serves(&self, engine: &Handle, by: &(Stream, Reader, NodeId)) -> bool {
        let served = self.downstream.get(by);
        served.is_some_and(|it| engine.is_open(it.edge))
    }

    /// The edge by which a reader on another host pulls a stream, if `peer` is the host where it runs.
    pub(super) fn downstream(
        &mut self,
        stream: Stream,
        reader: Reader,
        peer: NodeId,
    ) -> Option<(EdgeId, &mut Option<JoinHandle<()>>)> {
        let edge = self.downstream.get_mut(&(stream, reader, peer))?;
        Some((edge.edge, &mut edge.task))
    }

    /// The component and port that yield a stream here; made of this, where that is said.
    pub(super) fn find(
        &self,
        name: StreamName,
        made_of: Option<&BTreeMap<StreamName, NodeId>>,
    ) -> Option<(ComponentId, u16)> {
        let mut streams = self.graph.plan().streams_named(name);
        streams.find_map(|stream| match stream {
            Stream::Source(index, port) if made_of.is_none() => self.sources[index].zip(Some(port)),
            Stream::Operator(index, port)
                if made_of.is_none_or(|made_of| self.graph.made_of(index) == *made_of) =>
            {
                self.operators[index].zip(Some(port))
            }
            Stream::Source(..) | Stream::Operator(..) => None,
        })
    }

    /// What was measured here since the last time; nothing where no time has passed.
    pub(super) fn measure(
        &mut self,
        engine: &Handle,
        here: NodeId,
        now: Instant,
    ) -> Option<Measured> {
        let elapsed = now.since(self.measured).as_secs_f64();
        let quantile = self.graph.plan().qos().quantile;
        let numbers = self.numbers.iter();
        let samples = numbers.filter_map(|number| engine.sample(*number, quantile));
        let (mut measured, mut delay) = (BTreeMap::new(), None);
        for sample in samples {
            delay = delay.max(sample.delay);
            let operators = sample.operators.into_iter();
            measured.extend(operators.map(|it| (it.id, it)));
        }
        self.measured = now;
        self.left.retain(|(_, it)| measured.contains_key(it));
        if elapsed <= 0.0 {
            return None;
        }
        // What is bound to this host and is not here is being made.
        let left = self.left.iter().map(|(operator, _)| *operator);
        let bound = self.graph.operators().iter().enumerate();
        let bound = bound.filter(|(_, binding)| binding.host == here && !binding.shared);
        let kept = left.chain(bound.map(|(operator, _)| operator));
        let kept = kept.filter_map(|operator| u16::try_from(operator).ok());
        let kept = kept.collect();
        let operators = (0..).zip(&self.operators);
        let of = |(operator, component): (u16, &Option<ComponentId>)| {
            let it: &OperatorSample = measured.get(component.as_ref()?)?;
            let dispatches = u32::try_from(it.dispatches).unwrap_or(u32::MAX);
            let ran = it.busy.checked_div(dispatches);
            let usage = Usage {
                operator,
                cores: it.busy.as_secs_f64() / elapsed,
                execution: ran.unwrap_or_default(),
            };
            let pace = Pace {
                operator,
                rows_per_second: convert::count_to_f64(it.rows) / elapsed,
                execution: ran.map(|ran| ran + it.waited.unwrap_or_default()),
                age: it.age.filter(|_| dispatches > 0),
                budget: it.budget,
            };
            Some((usage, pace))
        };
        let (operators, paces) = operators.filter_map(of).unzip();
        Some(Measured {
            operators,
            paces,
            kept,
            delay,
        })
    }

    /// What is known of the operators that run here for others and are shared by this application.
    pub(super) fn shared(&self, engine: &Handle) -> Vec<ComponentReport> {
        let parts = self.graph.plan().operators().iter();
        let parts = parts.zip(self.graph.operators()).zip(&self.operators);
        let shared = parts.filter(|((_, binding), _)| binding.shared);
        shared
            .filter_map(|((operator, _), component)| {
                let name = operator.name.clone();
                Some(ComponentReport {
                    name,
                    ..engine.report_of((*component)?)?
                })
            })
            .collect()
    }

    /// Says what it was let in with: those elsewhere who read here for it get no more urgency than that.
    pub(super) fn admit(&self, engine: &Handle, admitted: &Admitted) {
        for number in &self.numbers {
            engine.set_admitted(*number, admitted.clone());
        }
    }

    /// Lets it pull, with so many cores beside others.
    pub(super) fn start(&self, engine: &Handle, cores: f64) {
        for number in &self.numbers {
            engine.set_demand(*number, cores);
            engine.follow_record(*number);
            engine.start(*number);
        }
    }

    /// Ends an application that has started: what others read stays, and is served until they stop.
    pub(super) fn release(&mut self, engine: &Handle) {
        self.is_released = true;
        for number in &self.numbers {
            engine.release(*number);
        }
    }

    /// Drops all that runs here. Edges upstream say goodbye, within bounds.
    pub(super) fn retire(self, engine: &Handle) {
        for number in &self.numbers {
            engine.retire(*number);
        }
        for mut task in self.upstream {
            tokio::spawn(async move {
                if tokio::time::timeout(GOODBYE_MAX, &mut task).await.is_err() {
                    task.abort();
                }
            });
        }
        // Those downstream end by themselves: the engine tells them that the stream is gone.
    }
}
