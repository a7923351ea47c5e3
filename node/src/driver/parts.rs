//! What runs here of an application: threads for its sources and sinks, tasks for its edges to other hosts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use composition::Usage;
use engine::Deployed;
use engine::columns;
use engine::report::ComponentReport;
use engine::runtime::{Handle, Runtime};
use model::plan::{Reader, Stream};
use model::{
    ApplicationId, Clock, ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, NodeId,
    StreamName,
};
use overlay::net::Network;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Results;
use super::control::Inbound;
use super::deploy::{OpenSink, Prepared};
use super::hello::Hello;
use super::link::Upstream;
use crate::clock::MachineClock;
use crate::node::Measured;
use crate::run::{self, SinkThread, SourcePlace, SourceThread};

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
    /// The round trips that were measured to other hosts.
    pub(super) round_trips: RoundTrips,
}

/// Round trips by host, as they are known when an edge is opened.
pub(super) type RoundTrips = Arc<Mutex<BTreeMap<NodeId, Duration>>>;

/// What runs here of a composition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) application: ApplicationId,
    /// The engine's number for it.
    pub(super) number: u64,
    pub(super) graph: Box<ComponentGraph>,
    pub(super) since: Instant,
    /// It was ended, and what is left is there for others.
    pub(super) is_released: bool,
    /// When it was last measured.
    measured: Instant,
    deployed: Deployed,
    upstream: Vec<JoinHandle<()>>,
    downstream: BTreeMap<(Stream, Reader), Downstream>,
}

/// What is no longer to be had.
#[derive(Debug)]
pub(super) struct Lost {
    /// The stream, as the plan calls it.
    pub(super) stream: String,
    /// Who had it.
    pub(super) host: NodeId,
    /// Which part read it.
    pub(super) reader: String,
}

/// An edge that another host pulls.
#[derive(Debug)]
struct Downstream {
    edge: EdgeId,
    task: Option<JoinHandle<()>>,
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
        let number = deployed.application;
        let now = means.clock.now();
        let mut part = Self {
            application,
            number,
            since: now,
            is_released: false,
            measured: now,
            downstream: deployed
                .downstream
                .iter()
                .map(|remote| {
                    let edge = Downstream {
                        edge: remote.edge,
                        task: None,
                    };
                    ((remote.stream, remote.reader), edge)
                })
                .collect(),
            deployed,
            graph,
            upstream: Vec::new(),
        };
        part.upstream = part.pull(means, id);
        if let Err(error) = part.spawn_threads(means, prepared.sources, prepared.sinks) {
            part.retire(&means.engine);
            return Err(format!("the system gives no thread: {error}"));
        }
        Ok(part)
    }

    fn pull(&self, means: &Means, id: CompositionId) -> Vec<JoinHandle<()>> {
        let pull = |remote: &engine::RemoteEdge| {
            let upstream = Upstream {
                engine: means.engine.clone(),
                network: means.network.clone(),
                clock: Arc::clone(&means.clock),
                inbox: means.inbox.clone(),
                composition: id,
                edge: remote.edge,
                host: self.graph.producer(remote.stream).host,
                hello: Hello::Edge {
                    composition: id,
                    stream: remote.stream,
                    reader: remote.reader,
                },
                round_trips: Arc::clone(&means.round_trips),
                schema: columns::to_arrow(self.graph.plan().schema(remote.stream)),
            };
            tokio::spawn(upstream.run())
        };
        self.deployed.upstream.iter().map(pull).collect()
    }

    fn spawn_threads(
        &self,
        means: &Means,
        sources: Vec<Option<Box<dyn crate::connector::Source>>>,
        sinks: Vec<Option<OpenSink>>,
    ) -> Result<(), std::io::Error> {
        // Sinks first: the first result finds somebody who writes it.
        let any_shown = sinks.iter().flatten().any(|(_, is_shown)| *is_shown);
        for (component, sink) in self.deployed.sinks.iter().zip(sinks) {
            let (Some(component), Some((sink, is_shown))) = (component, sink) else {
                continue;
            };
            let (limit, news) = match &means.results {
                Results::Tapped => (None, None),
                Results::Shown { limit, news, .. } => {
                    let counts = is_shown || !any_shown;
                    (limit.clone().filter(|_| counts), Some(news.clone()))
                }
            };
            let thread = SinkThread {
                handle: means.engine.clone(),
                application: self.number,
                id: *component,
                sink,
                limit,
                ends: news,
            };
            run::spawn(means.engine.clone(), "sink", *component, move || {
                thread.run();
            })?;
        }
        for ((index, component), source) in self.deployed.sources.iter().enumerate().zip(sources) {
            let (Some(component), Some(source)) = (component, source) else {
                continue;
            };
            let place = SourcePlace {
                handle: means.engine.clone(),
                application: self.number,
                id: *component,
                idle_after: run::idle_after(self.graph.plan().qos()),
            };
            let origin = self.graph.origins()[index];
            let clock: Arc<dyn Clock> = means.clock.clone();
            let thread = SourceThread::new(place, source, origin, clock);
            run::spawn(means.engine.clone(), "source", *component, move || {
                thread.run();
            })?;
        }
        Ok(())
    }

    /// The edge by which a reader on another host pulls a stream, if `peer` is the host where it runs.
    pub(super) fn downstream(
        &mut self,
        stream: Stream,
        reader: Reader,
        peer: NodeId,
    ) -> Option<(EdgeId, &mut Option<JoinHandle<()>>)> {
        let edge = self.downstream.get_mut(&(stream, reader))?;
        // The edge is there, so the reader is one of the plan.
        (self.graph.reader(reader).host == peer).then_some((edge.edge, &mut edge.task))
    }

    /// The component and port that yield a stream here; made of this, where that is said.
    pub(super) fn find(
        &self,
        name: StreamName,
        made_of: Option<&BTreeMap<StreamName, NodeId>>,
    ) -> Option<(ComponentId, u16)> {
        let mut streams = self.graph.plan().streams_named(name);
        streams.find_map(|stream| match stream {
            Stream::Source(index, port) if made_of.is_none() => {
                self.deployed.sources[index].zip(Some(port))
            }
            Stream::Operator(index, port)
                if made_of.is_none_or(|made_of| self.graph.made_of(index) == *made_of) =>
            {
                self.deployed.operators[index].zip(Some(port))
            }
            Stream::Source(..) | Stream::Operator(..) => None,
        })
    }

    /// What was measured here since the last time; nothing where there is nothing to tell.
    pub(super) fn measure(&mut self, engine: &Handle, now: Instant) -> Option<Measured> {
        let elapsed = now.since(self.measured).as_secs_f64();
        let quantile = self.graph.plan().qos().quantile;
        let sample = engine.sample(self.number, quantile)?;
        self.measured = now;
        if elapsed <= 0.0 || sample.operators.is_empty() && sample.delay.is_none() {
            return None;
        }
        // Components are numbered in the plan's order.
        let of = |component: &ComponentId| {
            let found = sample
                .operators
                .binary_search_by_key(component, |(id, _, _)| *id);
            Some(sample.operators[found.ok()?])
        };
        let operators = (0..).zip(&self.deployed.operators);
        let usage = |(operator, component): (u16, &Option<ComponentId>)| {
            let (_, busy, dispatches) = of(component.as_ref()?)?;
            let dispatches = u32::try_from(dispatches).unwrap_or(u32::MAX);
            Some(Usage {
                operator,
                cores: busy.as_secs_f64() / elapsed,
                execution: busy.checked_div(dispatches).unwrap_or_default(),
            })
        };
        Some(Measured {
            operators: operators.filter_map(usage).collect(),
            delay: sample.delay,
        })
    }

    /// What is known of the operators that run here for others and are shared by this application.
    pub(super) fn shared(&self, engine: &Handle) -> Vec<ComponentReport> {
        let parts = self.graph.plan().operators().iter();
        let parts = parts
            .zip(self.graph.operators())
            .zip(&self.deployed.operators);
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

    /// What this application loses where another, perhaps itself, loses what a part of it reads: who reads may be
    /// shared.
    pub(super) fn loses(&self, other: &Self, stream: Stream, reader: Reader) -> Option<Lost> {
        if self.number == other.number {
            return Some(self.lost(stream, reader));
        }
        let Reader::Operator(index, port) = reader else {
            return None;
        };
        let component = other.deployed.operators[index]?;
        let mut operators = self.deployed.operators.iter();
        let index = operators.position(|it| *it == Some(component))?;
        let stream = self.graph.plan().operators()[index].inputs.get(port)?;
        Some(self.lost(*stream, Reader::Operator(index, port)))
    }

    /// What a reader of this application reads, and who has it, as people call them.
    fn lost(&self, stream: Stream, reader: Reader) -> Lost {
        let plan = self.graph.plan();
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
        let port = match port {
            0 => String::new(),
            port => format!(".{}", outputs[usize::from(port)].0),
        };
        Lost {
            stream: format!("{name}{port}"),
            host: self.graph.producer(stream).host,
            reader: match reader {
                Reader::Operator(index, _) => plan.operators()[index].name.clone(),
                Reader::Sink(index) => plan.sinks()[index].name.clone(),
            },
        }
    }

    /// Ends an application that has started: what others read stays, and is served until they stop.
    pub(super) fn release(&mut self, engine: &Handle) {
        self.is_released = true;
        engine.release(self.number);
    }

    /// Drops all that runs here. Edges upstream say goodbye, within bounds.
    pub(super) fn retire(self, engine: &Handle) {
        engine.retire(self.number);
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
