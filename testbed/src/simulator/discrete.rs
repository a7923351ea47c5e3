//! Discrete fidelity: production's engines, operators on rows, and frames between hosts.
//!
//! A dispatch is run at once and handed back when its modelled cost has passed on a virtual core: what the order says a row costs. Frames
//! are encoded and decoded as between processes, and charged to the network at that size. Sources offer
//! numbered rows one by one, as [`Arrivals`] says; every application has sources of its own.
//!
//! Streams between hosts break where a host goes down or is cut off, and are opened again as production's are. What runs
//! already is shared: readers of another composition have edges of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Admitted, Config, Deployed, Deployment, Engine, Event, OperatorDeployment, OperatorPart,
    SinkDeployment, SourcePart, columns, operator,
};
use model::plan::{Reader, Stream};
use model::{
    ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, NodeId, QueryPlan, Rng, Schema,
    StreamName,
};
use node::node::PartEvent;

use super::fluid::{Facts, Hosts};
use edges::Ends;
use feed::Feed;
use sink::Sink;
use work::Work;

mod edges;
mod feed;
mod sink;
mod work;

pub(super) use edges::BROKEN_AFTER;
pub use edges::Link;
pub use feed::Arrivals;
pub use sink::Counted;
pub use work::Costs;

/// Something that happens at an engine.
#[derive(Debug)]
pub enum Happening {
    /// A virtual core has done what it was given.
    Worked(u64),
    /// The engine wants to be called.
    Timer,
    /// A source has a row, or looks whether it may offer.
    Row(ComponentId),
    /// A reader on another host wants a stream.
    Hello {
        /// Its end.
        edge: EdgeId,
        /// The stream that it opens.
        link: Link,
        /// What it reads.
        wanted: Wanted,
    },
    /// A stream is open: which edge, and the other end.
    Opened {
        /// The reader's end.
        edge: EdgeId,
        /// The stream.
        link: Link,
        /// The other end.
        peer: (usize, EdgeId),
    },
    /// A stream broke, or is to be had no longer, or not yet: it is asked for again.
    Broken(Link),
    /// An edge asks for its stream again.
    Again(EdgeId),
    /// A frame with a batch.
    Batch(EdgeId, Link, Vec<u8>),
    /// A frame with a pull.
    Pull(EdgeId, Link, Vec<u8>),
}

/// A stream of a composition, and who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    composition: CompositionId,
    stream: Stream,
    reader: Reader,
}

/// What an engine wants done.
#[derive(Debug)]
pub(super) enum Out {
    /// Something happens at another host when it has come there by a stream; of so many bytes.
    Send(usize, Happening, Link, usize),
    /// Something happens here after a while.
    Later(Duration, Happening),
    /// The last of a composition is gone.
    Retired(CompositionId),
    /// Something else happened to the components of a composition.
    Happened(CompositionId, PartEvent),
    /// Something must never be.
    Wrong(String),
}

/// What runs on a host for a composition.
#[derive(Debug)]
struct Part {
    graph: Arc<ComponentGraph>,
    deployed: Deployed,
}

impl Part {
    /// The sources that are its own, by their places in the plan: what it shares is fed by whose it is.
    fn own_sources(&self) -> impl Iterator<Item = (usize, ComponentId)> {
        let sources = self.graph.sources().iter().zip(&self.deployed.sources);
        let own = sources
            .enumerate()
            .filter(|(_, (binding, _))| !binding.shared);
        own.filter_map(|(index, (_, component))| Some((index, (*component)?)))
    }
}

/// A host's engine and its virtual cores.
#[derive(Debug)]
struct Machine {
    /// Its number.
    place: usize,
    engine: Engine,
    work: Work,
    parts: BTreeMap<CompositionId, Part>,
    edges: Ends,
    feeds: BTreeMap<ComponentId, Feed>,
    sinks: BTreeMap<ComponentId, Sink>,
    timer: Option<Instant>,
}

impl Machine {
    fn new(place: usize, cores: f64, costs: Costs, rng: &Rng) -> Self {
        Self {
            place,
            engine: Engine::new(Config::default()),
            work: Work::new(cores, costs, rng.keyed(&format!("work {place}"))),
            parts: BTreeMap::new(),
            edges: Ends::default(),
            feeds: BTreeMap::new(),
            sinks: BTreeMap::new(),
            timer: None,
        }
    }
}

/// All engines.
#[derive(Debug)]
pub(super) struct Discrete {
    machines: Vec<Machine>,
    cores: Vec<f64>,
    rng: Rng,
    pub(super) arrivals: Arrivals,
}

impl Discrete {
    pub(super) fn new(cores: Vec<f64>, rng: Rng) -> Self {
        let machines = (0..).zip(&cores);
        let machines = machines.map(|(place, it)| Machine::new(place, *it, Costs::Even, &rng));
        Self {
            machines: machines.collect(),
            cores,
            rng,
            arrivals: Arrivals::default(),
        }
    }

    /// Makes what a graph binds to a host; nothing flows before it is started.
    ///
    /// # Errors
    /// Why it cannot be made, for people; nothing of it is left.
    pub(super) fn deploy(
        &mut self,
        now: Instant,
        host: usize,
        id: CompositionId,
        graph: &Arc<ComponentGraph>,
        facts: &Facts,
        node: NodeId,
    ) -> Result<Vec<Out>, String> {
        let machine = &mut self.machines[host];
        let deployment = machine.deployment(graph, node)?;
        let deployed = machine
            .engine
            .deploy(now, deployment)
            .map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        let plan = graph.plan();
        for (index, component) in deployed.operators.iter().enumerate() {
            // What it shares costs what its own application said.
            if let Some(component) = component
                && !graph.operators()[index].shared
            {
                let cost = facts.demands[index].cost_seconds;
                machine.work.costs.insert(*component, cost);
            }
        }
        let part = Part {
            graph: Arc::clone(graph),
            deployed,
        };
        for (index, component) in part.own_sources() {
            let schema: &Schema = &plan.sources()[index].outputs[0].1;
            let rate = facts.source_demands[index].rows_per_second;
            let rng = self.rng.keyed(&format!("feed {host} {component} {id:?}"));
            let feed = Feed::new(graph.origins()[index], schema, rate, self.arrivals, rng)?;
            machine.feeds.insert(component, feed);
            out.push(Out::Later(Duration::ZERO, Happening::Row(component)));
        }
        for component in part.deployed.sinks.iter().flatten() {
            machine
                .sinks
                .insert(*component, Sink::new(plan.qos().latency));
        }
        for end in &part.deployed.upstream {
            let wanted = Wanted {
                composition: id,
                stream: end.stream,
                reader: end.reader,
            };
            let schema = columns::to_arrow(plan.schema(end.stream));
            machine.edges.read(end.edge, wanted, schema, now);
        }
        machine.parts.insert(id, part);
        Ok(out)
    }

    /// The sinks that are here of a composition pull.
    pub(super) fn start(
        &mut self,
        now: Instant,
        host: usize,
        id: CompositionId,
        cores: f64,
        admitted: Admitted,
    ) {
        let machine = &mut self.machines[host];
        if let Some(part) = machine.parts.get(&id) {
            machine.engine.set_demand(part.deployed.application, cores);
            machine
                .engine
                .set_admitted(part.deployed.application, admitted);
            machine.engine.start(now, part.deployed.application);
        }
    }

    /// Drops what is here of a composition.
    pub(super) fn retire(&mut self, now: Instant, host: usize, id: CompositionId) {
        let machine = &mut self.machines[host];
        let Some(part) = machine.parts.remove(&id) else {
            return;
        };
        machine.engine.retire(now, part.deployed.application);
        for (_, source) in part.own_sources() {
            machine.feeds.remove(&source);
        }
        for sink in part.deployed.sinks.iter().flatten() {
            machine.sinks.remove(sink);
        }
    }

    /// Ends the sinks of a composition on a host; what others read stays. What is gone at last is told by [`Out::Retired`].
    pub(super) fn release(&mut self, now: Instant, host: usize, id: CompositionId) {
        let machine = &mut self.machines[host];
        if let Some(part) = machine.parts.get(&id) {
            machine.engine.release(now, part.deployed.application);
        }
    }

    /// Drops everything on a host that is down.
    pub(super) fn crash(&mut self, host: usize) {
        let before = &self.machines[host];
        let (costs, opened_count) = (before.work.varying, before.edges.opened_count);
        let mut machine = Machine::new(host, self.cores[host], costs, &self.rng);
        // Nobody takes a stream of the new one for one that was opened before.
        machine.edges.opened_count = opened_count;
        self.machines[host] = machine;
    }

    /// What was counted at the sinks of a composition on a host.
    pub(super) fn counted(&self, host: usize, id: CompositionId) -> Vec<&Counted> {
        let machine = &self.machines[host];
        let part = machine.parts.get(&id);
        let sinks = part.into_iter().flat_map(|part| part.deployed.sinks.iter());
        sinks
            .flatten()
            .filter_map(|sink| machine.sinks.get(sink))
            .map(|sink| &sink.counted)
            .collect()
    }

    /// Rows that sources of a composition on a host have offered, and that they dropped since there was no room.
    pub(super) fn offered(&self, host: usize, id: CompositionId) -> (u64, u64) {
        let machine = &self.machines[host];
        let part = machine.parts.get(&id);
        let sources = part.into_iter().flat_map(Part::own_sources);
        let feeds = sources.filter_map(|(_, it)| machine.feeds.get(&it));
        feeds.fold((0, 0), |sum, feed| {
            (sum.0 + feed.offered, sum.1 + feed.dropped)
        })
    }

    /// How costs vary from now on.
    pub(super) fn set_costs(&mut self, costs: Costs) {
        for machine in &mut self.machines {
            machine.work.varying = costs;
        }
    }

    /// No source offers any more: what is under way comes to its end.
    pub(super) fn stop_feeds(&mut self) {
        for machine in &mut self.machines {
            machine.feeds.values_mut().for_each(Feed::stop);
        }
    }

    /// Something happens at an engine.
    pub(super) fn happen(
        &mut self,
        now: Instant,
        host: usize,
        what: Happening,
        hosts: &Hosts,
        round_trip: impl Fn(usize, usize) -> Duration,
    ) -> Vec<Out> {
        let mut out = Vec::new();
        let machine = &mut self.machines[host];
        match what {
            Happening::Worked(number) => machine.work.finish(now, number, &mut machine.engine),
            Happening::Timer => machine.timer = None,
            Happening::Row(source) => machine.feed(now, source, &mut out),
            Happening::Hello { edge, link, wanted } => {
                let reader = (link.reader, edge);
                let answer = match machine.open(wanted) {
                    Some(here) => {
                        machine.edges.serve(here, reader, link, now);
                        machine.engine.reconnected(here);
                        let peer = (host, here);
                        Happening::Opened { edge, link, peer }
                    }
                    None => Happening::Broken(link),
                };
                out.push(Out::Send(link.reader, answer, link, 64));
            }
            Happening::Opened { edge, link, peer } => {
                machine.opened(now, edge, link, peer, &mut out);
            }
            Happening::Broken(link) => machine.broken(now, link, &mut out),
            Happening::Again(edge) => machine.hello(edge, hosts, &mut out),
            Happening::Batch(edge, link, bytes) => {
                let half = |peer: usize| round_trip(host, peer) / 2;
                machine.take_batch(now, (edge, link), &bytes, half, &mut out);
            }
            Happening::Pull(edge, link, bytes) => match engine::frame::decode_pull(&bytes) {
                Ok(pull) if machine.edges.serves(edge, link) => {
                    machine.engine.handle_pull(now, edge, &pull);
                }
                // The stream was opened before this host was started anew, or has ended.
                Ok(_) => out.push(Out::Send(link.reader, Happening::Broken(link), link, 64)),
                Err(error) => out.push(Out::Wrong(format!("a pull cannot be read: {error}"))),
            },
        }
        self.drive(now, host, hosts, &mut out);
        out
    }

    /// Lets an engine do all that it can do now.
    pub(super) fn drive(&mut self, now: Instant, host: usize, hosts: &Hosts, out: &mut Vec<Out>) {
        let machine = &mut self.machines[host];
        if machine.engine.poll_timeout().is_some_and(|due| due <= now) {
            machine.engine.handle_timeout(now);
        }
        machine.work.begin(now, &mut machine.engine, out);
        machine.drain(now, out);
        for source in machine.feeds.keys().copied().collect::<Vec<_>>() {
            machine.offer(now, source);
        }
        machine.work.begin(now, &mut machine.engine, out);
        machine.exchange(now, hosts, out);
        machine.engine.take_signals();
        for event in machine.engine.take_events() {
            let mut parts = machine.parts.iter();
            let of_it = parts.find(|(_, part)| part.deployed.application == event.application());
            let Some(id) = of_it.map(|(id, _)| *id) else {
                continue;
            };
            out.push(match event {
                Event::Retired { .. } => Out::Retired(id),
                Event::Finished { .. } => Out::Happened(id, PartEvent::Finished),
                Event::Degraded {
                    component, reason, ..
                } => Out::Happened(id, PartEvent::Degraded { component, reason }),
                Event::Failed {
                    component, reason, ..
                } => Out::Happened(id, PartEvent::Failed { component, reason }),
                Event::Moved { .. } => continue,
                // Of those that share the reader only the one is told whose edge it is.
                Event::Gone { stream, reader, .. } => {
                    let component = format!("{reader:?}");
                    let reason = format!("{stream:?}, which it reads, has gone");
                    Out::Happened(id, PartEvent::Degraded { component, reason })
                }
            });
        }
        if let Some(due) = machine.engine.poll_timeout()
            && machine.timer.is_none_or(|timer| due < timer)
        {
            machine.timer = Some(due);
            // Not at once again, however clocks are rounded.
            let after = due.since(now).max(Duration::from_micros(1));
            out.push(Out::Later(after, Happening::Timer));
        }
    }
}

impl Machine {
    /// The edge by which a reader elsewhere gets a stream of this host.
    fn open(&self, wanted: Wanted) -> Option<EdgeId> {
        let part = self.parts.get(&wanted.composition)?;
        let mut ends = part.deployed.downstream.iter();
        let end = ends.find(|it| (it.stream, it.reader) == (wanted.stream, wanted.reader))?;
        self.engine.is_open(end.edge).then_some(end.edge)
    }

    /// The component that yields a stream here, of whichever composition; made of this, where that is said.
    fn running(
        &self,
        name: StreamName,
        made_of: Option<&BTreeMap<StreamName, NodeId>>,
    ) -> Option<ComponentId> {
        let mut running = self.parts.values().flat_map(|part| {
            let streams = part.graph.plan().streams_named(name);
            streams.filter_map(move |stream| match stream {
                Stream::Source(index, _) if made_of.is_none() => part.deployed.sources[index],
                Stream::Operator(index, _)
                    if made_of.is_none_or(|made_of| part.graph.made_of(index) == *made_of) =>
                {
                    part.deployed.operators[index]
                }
                Stream::Source(..) | Stream::Operator(..) => None,
            })
        });
        running.find(|id| self.engine.is_running(*id))
    }

    /// What of a graph runs here, made of what the plan says.
    fn deployment(&self, graph: &ComponentGraph, node: NodeId) -> Result<Deployment, String> {
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
        let sink = |binding: &model::Binding| {
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
fn compiled(plan: &QueryPlan, index: usize) -> Result<OperatorDeployment, String> {
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
