//! Discrete fidelity: production's engines, operators on rows, and frames between hosts.
//!
//! A dispatch is run at once and handed back when its modelled cost has passed on a virtual core: what the order says a row costs. Frames
//! are encoded and decoded as between processes, and charged to the network at that size. Sources offer
//! numbered rows one by one, as [`Arrivals`] says; every application has sources of its own.
//!
//! Streams between hosts break where a host goes down or is cut off, and are opened again as production's are. What runs
//! already is shared: readers of another composition have edges of their own. Operators move with their state, by streams that break as well
//! (`moving`). What was offered and what came of it is compared by who knows nothing of engines (`ledger`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use composition::{MigrationId, Taken};
use engine::{Admitted, Batch, Config, Engine, Event};
use model::plan::{Reader, Stream};
use model::{ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, Origin, Rng, Schema};
use node::node::PartEvent;

use super::exact::Offered;
use super::fluid::{Facts, Hosts};
use backups::{Backup, Place};
use edges::Ends;
use feed::Feed;
use moving::{Coming, Migration, Outgoing};
use parts::Part;
use sink::Sink;
use work::Work;

mod adopt;
mod backups;
mod edges;
mod feed;
mod moving;
mod parts;
mod sink;
mod states;
mod tampering;
mod work;

pub(super) use adopt::Held;
pub(super) use edges::BROKEN_AFTER;
pub use edges::Link;
pub use feed::Arrivals;
pub(super) use moving::Wish;
pub use sink::Counted;
pub use tampering::Tampering;
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
    /// Who is to go on in its place wants the state of an operator.
    StateHello {
        /// The stream that it opens.
        link: Link,
        /// Of which composition.
        composition: CompositionId,
        /// Its place in the plan.
        operator: usize,
    },
    /// A stream is open: the other end.
    Opened {
        /// The stream.
        link: Link,
        /// The other end.
        peer: (usize, EdgeId),
    },
    /// A stream broke, or is to be had no longer, or not yet: it is asked for again.
    Broken(Link),
    /// An edge asks for its stream again.
    Again(EdgeId),
    /// What is read here from another host has ended there.
    Gone(Wanted),
    /// A state that is to be held here is asked for again.
    Follow((CompositionId, usize)),
    /// An operator that runs elsewhere by now ends here.
    End(ComponentId),
    /// Whoever takes over a state says that it is there, and asks again for what did not come.
    Keep(Link),
    /// A frame with a piece of a state.
    Piece(Link, Vec<u8>),
    /// A frame with a pull of who takes over a state.
    StatePull(EdgeId, Link, Vec<u8>),
    /// A frame with a batch.
    Batch(Link, Vec<u8>),
    /// A frame with a pull.
    Pull(EdgeId, Link, Vec<u8>),
}

impl Happening {
    /// The stream that it comes by, where it comes from another host.
    pub(super) const fn link(&self) -> Option<Link> {
        match self {
            Self::Hello { link, .. }
            | Self::StateHello { link, .. }
            | Self::Opened { link, .. }
            | Self::Piece(link, _)
            | Self::StatePull(_, link, _)
            | Self::Batch(link, _)
            | Self::Pull(_, link, _) => Some(*link),
            Self::Worked(_)
            | Self::Timer
            | Self::Row(_)
            | Self::Broken(_)
            | Self::Again(_)
            | Self::Gone(_)
            | Self::Follow(_)
            | Self::End(_)
            | Self::Keep(_) => None,
        }
    }
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
    /// A host is ready for another graph, with the state that it has taken over, or cannot be.
    Prepared(Box<Wish>, Result<Taken, String>),
    /// Something else happened to the components of a composition.
    Happened(CompositionId, PartEvent),
    /// A source of a composition offers a row.
    Offered((CompositionId, usize), Origin, Offered),
    /// A batch leaves at a sink of a composition.
    Left((CompositionId, usize), Arc<Batch>),
    /// Something must never be.
    Wrong(String),
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
    migrations: BTreeMap<MigrationId, Migration>,
    /// States that come, by their streams; and those that go.
    coming: BTreeMap<Link, Coming>,
    outgoing: BTreeMap<EdgeId, Outgoing>,
    /// States that are held here for when their hosts are gone.
    backups: BTreeMap<Place, Backup>,
    timer: Option<Instant>,
    tampering: Option<Tampering>,
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
            migrations: BTreeMap::new(),
            coming: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            backups: BTreeMap::new(),
            timer: None,
            tampering: None,
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
        hosts: &Hosts,
    ) -> Result<Vec<Out>, String> {
        let machine = &mut self.machines[host];
        let node = *hosts.get_index(host).ok_or("a host without a name")?.0;
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
        let mut part = Part::new(Arc::clone(graph));
        part.add(graph, &deployed);
        for (index, component) in part.own_sources() {
            let schema: &Schema = &plan.sources()[index].outputs[0].1;
            let rate = facts.source_demands[index].rows_per_second;
            let rng = self.rng.keyed(&format!("feed {host} {component} {id:?}"));
            let feed = Feed::new(
                (id, index),
                graph.origins()[index],
                schema,
                rate,
                self.arrivals,
                rng,
            )?;
            machine.feeds.insert(component, feed);
            out.push(Out::Later(Duration::ZERO, Happening::Row(component)));
        }
        for (index, component) in part.sinks.iter().enumerate() {
            if let Some(component) = component {
                let sink = Sink::new((id, index), plan.qos().latency);
                machine.sinks.insert(*component, sink);
            }
        }
        machine.read(now, id, graph, &deployed.upstream, hosts);
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
        admitted: &Admitted,
    ) {
        let machine = &mut self.machines[host];
        if let Some(part) = machine.parts.get(&id) {
            for number in &part.numbers {
                machine.engine.set_demand(*number, cores);
                machine.engine.follow_record(*number);
                machine.engine.set_admitted(*number, admitted.clone());
                machine.engine.start(now, *number);
            }
        }
    }

    /// Drops what is here of a composition.
    pub(super) fn retire(&mut self, now: Instant, host: usize, id: CompositionId) -> Vec<Out> {
        let mut out = Vec::new();
        let machine = &mut self.machines[host];
        machine.drop_migrations(now, id, &mut out);
        machine.drop_backups(id, &mut out);
        let Some(part) = machine.parts.remove(&id) else {
            return out;
        };
        for number in &part.numbers {
            machine.engine.retire(now, *number);
        }
        for (_, source) in part.own_sources() {
            machine.feeds.remove(&source);
        }
        for sink in part.sinks.iter().flatten() {
            machine.sinks.remove(sink);
        }
        out
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
        let sinks = part.into_iter().flat_map(|part| part.sinks.iter());
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

    /// Doubles or drops the next rows that come to a host.
    pub(super) fn tamper(&mut self, host: usize, tampering: Tampering) {
        self.machines[host].tampering = Some(tampering);
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
                machine.serve(now, (link, edge), wanted, hosts, &mut out);
            }
            Happening::StateHello {
                link,
                composition,
                operator,
            } => machine.give_state(now, link, (composition, operator), &mut out),
            Happening::Opened { link, peer } => machine.opened(now, link, peer, &mut out),
            Happening::Broken(link) => machine.broken(now, link, &mut out),
            Happening::Again(edge) => machine.hello(edge, &mut out),
            Happening::Gone(wanted) => machine.read_again(now, wanted, hosts, &mut out),
            Happening::Follow(place) => machine.follow_state(place, &mut out),
            Happening::End(component) => machine.engine.end(now, component),
            Happening::Keep(link) => machine.keep(now, link, &mut out),
            Happening::Piece(link, bytes) => {
                machine.take_piece(now, (link, &bytes), hosts, &mut out);
            }
            Happening::StatePull(edge, link, bytes) => {
                machine.take_state_pull(now, (edge, link), &bytes, &mut out);
            }
            Happening::Batch(link, bytes) => {
                let half = |peer: usize| round_trip(host, peer) / 2;
                machine.take_batch(now, link, &bytes, half, &mut out);
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
        self.drive(now, host, &mut out);
        out
    }

    /// Lets an engine do all that it can do now.
    pub(super) fn drive(&mut self, now: Instant, host: usize, out: &mut Vec<Out>) {
        let machine = &mut self.machines[host];
        if machine.engine.poll_timeout().is_some_and(|due| due <= now) {
            machine.engine.handle_timeout(now);
        }
        machine.work.begin(now, &mut machine.engine, out);
        machine.drain(now, out);
        for source in machine.feeds.keys().copied().collect::<Vec<_>>() {
            machine.offer(now, source, out);
        }
        machine.work.begin(now, &mut machine.engine, out);
        machine.exchange(now, out);
        machine.engine.take_signals();
        for event in machine.engine.take_events() {
            let number = event.application();
            let mut parts = machine.parts.iter_mut();
            let of_it = parts.find(|(_, part)| part.numbers.contains(&number));
            let Some((id, part)) = of_it.map(|(id, part)| (*id, part)) else {
                continue;
            };
            let told = match event {
                Event::Retired { .. } => {
                    part.numbers.retain(|it| *it != number);
                    if !part.numbers.is_empty() {
                        // What came later, or was there before, goes on.
                        continue;
                    }
                    Out::Retired(id)
                }
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
                    let host = part.graph.producer(stream).host;
                    let composition = id;
                    let wanted = Wanted {
                        composition,
                        stream,
                        reader,
                    };
                    let (component, stream) = (format!("{reader:?}"), format!("{stream:?}"));
                    let gone = PartEvent::Gone {
                        component,
                        stream,
                        host,
                    };
                    out.push(Out::Later(Duration::ZERO, Happening::Gone(wanted)));
                    Out::Happened(id, gone)
                }
                Event::Replaced { stream, reader, .. } => {
                    let (component, stream) = (format!("{reader:?}"), format!("{stream:?}"));
                    Out::Happened(id, PartEvent::Replaced { component, stream })
                }
            };
            out.push(told);
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
