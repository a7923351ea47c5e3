//! Several engines joined by links that lose, repeat and reorder frames, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::edge::Pull;
use engine::intake::Intake;
use engine::scheduler::Worker;
use engine::transit::Transit;
use engine::{
    Batch, Config, Deployed, Deployment, Dispatch, Engine, Event, OperatorPart, SourcePart,
    columns, frame,
};
use model::plan::{Reader, Stream};
use model::{ComponentId, EdgeId, EventTime, Instant, Rng};

use crate::support::{Flow, Left, Record, collect, origin, reading, schema};

/// On which host each part of a plan runs.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) sources: Vec<usize>,
    pub(crate) operators: Vec<usize>,
    pub(crate) sinks: Vec<usize>,
}

/// What of a dataflow runs on one host.
pub(crate) fn part(flow: Flow, places: &Places, host: usize) -> Deployment {
    let mut deployment = flow.deployment();
    for (part, place) in deployment.sources.iter_mut().zip(&places.sources) {
        if *place != host {
            *part = SourcePart::Elsewhere;
        }
    }
    for (part, place) in deployment.operators.iter_mut().zip(&places.operators) {
        if *place != host {
            *part = OperatorPart::Elsewhere;
        }
    }
    for (part, place) in deployment.sinks.iter_mut().zip(&places.sinks) {
        if *place != host {
            *part = None;
        }
    }
    deployment
}

/// One edge between two hosts, and the frames that are under way on it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: (usize, EdgeId),
    pub(crate) to: (usize, EdgeId),
    batches: VecDeque<Frame>,
    transit: Transit,
    /// When it was opened, as the clock of whoever sends has it.
    opened: Instant,
    pulls: VecDeque<Pull>,
    /// Nothing moves on it.
    pub(crate) is_down: bool,
    has_ended: bool,
}

/// A batch on its way, as bytes.
#[derive(Debug, Clone)]
struct Frame {
    bytes: Vec<u8>,
    schema: SchemaRef,
    /// When the batch arrived at its source, as the clock of whoever sends has it: what no frame tells.
    arrival: Instant,
}

/// By what a host knows how old a batch of another host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamps {
    /// By the age that the frame tells, as in production.
    Ages,
    /// By the sender's clock, as if all clocks showed the same.
    Clocks,
}

/// What may happen to frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Of so many frames, one is lost, one repeated, and one overtakes others; none where zero.
    pub(crate) one_in: u64,
}

/// Hosts and what joins them.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) engines: Vec<Engine>,
    pub(crate) links: Vec<Link>,
    pub(crate) now: Instant,
    /// How far the clock of each host is ahead of `now`.
    pub(crate) ahead: Vec<Duration>,
    pub(crate) stamps: Stamps,
    /// Which component was worked on, and on which host, in order.
    pub(crate) order: Vec<(usize, ComponentId)>,
    pub(crate) events: Vec<Vec<Event>>,
    dispatches: Vec<Vec<Dispatch>>,
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
}

impl Hosts {
    pub(crate) fn new(count: usize, config: Config, faults: Faults, rng: Rng) -> Self {
        Self {
            engines: (0..count).map(|_| Engine::new(config)).collect(),
            links: Vec::new(),
            now: Instant::ZERO,
            ahead: vec![Duration::ZERO; count],
            stamps: Stamps::Ages,
            order: Vec::new(),
            events: vec![Vec::new(); count],
            dispatches: (0..count).map(|_| Vec::new()).collect(),
            rng,
            faults,
        }
    }

    /// What the clock of a host shows.
    pub(crate) fn now_at(&self, host: usize) -> Instant {
        self.now + self.ahead[host]
    }

    /// Deploys a dataflow over the hosts and joins its edges; nothing is started.
    pub(crate) fn deploy(
        &mut self,
        flow: impl Fn() -> Flow,
        places: &Places,
    ) -> Vec<Option<Deployed>> {
        let deployed: Vec<Option<Deployed>> = (0..self.engines.len())
            .map(|host| {
                let part = part(flow(), places, host);
                let now = self.now_at(host);
                self.engines[host].deploy(now, part).ok()
            })
            .collect();
        self.join(&deployed);
        deployed
    }

    /// Joins the ends of edges that are of one stream and one reader.
    pub(crate) fn join(&mut self, deployed: &[Option<Deployed>]) {
        let find = |wanted: (Stream, Reader)| {
            deployed.iter().enumerate().find_map(|(host, deployed)| {
                let ends = deployed.as_ref()?.downstream.iter();
                let mut ends = ends.filter(|end| (end.stream, end.reader) == wanted);
                Some((host, ends.next()?.edge))
            })
        };
        for (host, deployed) in deployed.iter().enumerate() {
            for end in deployed.iter().flat_map(|deployed| &deployed.upstream) {
                let from = find((end.stream, end.reader)).expect("each edge has two ends");
                self.link(from, (host, end.edge));
            }
        }
    }

    pub(crate) fn link(&mut self, from: (usize, EdgeId), to: (usize, EdgeId)) {
        self.links.push(Link {
            from,
            to,
            batches: VecDeque::new(),
            transit: Transit::new(self.now_at(to.0)),
            opened: self.now_at(from.0),
            pulls: VecDeque::new(),
            is_down: false,
            has_ended: false,
        });
    }

    pub(crate) fn start(&mut self, deployed: &[Option<Deployed>]) {
        for (host, deployed) in deployed.iter().enumerate() {
            if let Some(deployed) = deployed {
                let now = self.now_at(host);
                self.engines[host].start(now, deployed.application);
            }
        }
    }

    /// Lets a moment pass in which something happens that the seed draws.
    pub(crate) fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        let host = self.below(self.engines.len());
        let now = self.now_at(host);
        match self.below(8) {
            0..=2 => {
                self.dispatches[host].extend(self.engines[host].next(now, Worker::default()));
            }
            3 | 4 if !self.dispatches[host].is_empty() => {
                let which = self.below(self.dispatches[host].len());
                let completed = self.dispatches[host].swap_remove(which).run();
                self.order.push((host, completed.component()));
                self.engines[host].complete(now, completed, Duration::from_micros(1));
            }
            _ if !self.links.is_empty() => {
                let link = self.below(self.links.len());
                self.carry(link);
            }
            _ => {}
        }
        self.tick();
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.below(limit as u64)).unwrap()
    }

    /// Lets time pass on all hosts.
    pub(crate) fn tick(&mut self) {
        let hosts = self.engines.iter_mut().zip(&mut self.events);
        for ((engine, events), ahead) in hosts.zip(&self.ahead) {
            let now = self.now + *ahead;
            if engine.poll_timeout().is_some_and(|due| due <= now) {
                engine.handle_timeout(now);
            }
            events.extend(engine.take_events());
            engine.take_ready();
        }
    }

    /// Moves frames on a link: takes what waits at its ends, or delivers what is under way.
    fn carry(&mut self, which: usize) {
        let link = &mut self.links[which];
        if link.is_down || link.has_ended {
            return;
        }
        let (from, to) = (link.from, link.to);
        let there = self.now + self.ahead[from.0];
        let here = self.now + self.ahead[to.0];
        match self.rng.below(4) {
            0 => {
                let mut taken = Vec::new();
                self.engines[from.0].take_batches(from.1, 4096, &mut taken);
                for batch in taken.iter().flat_map(|it| frame::pieces(it).unwrap()) {
                    let mut bytes = Vec::new();
                    frame::encode_batch(there, link.opened, &batch, &mut bytes).unwrap();
                    let frame = Frame {
                        bytes,
                        schema: batch.rows.columns().schema(),
                        arrival: batch.header.arrival,
                    };
                    send(&mut link.batches, frame, self.faults, &mut self.rng);
                }
            }
            1 => {
                if let Some(pull) = self.engines[to.0].take_pull(here, to.1) {
                    if pull.is_goodbye() {
                        // Whoever ends an edge tells it in order, and not at random.
                        self.engines[from.0].handle_pull(there, from.1, &pull);
                        link.has_ended = true;
                        return;
                    }
                    send(&mut link.pulls, pull, self.faults, &mut self.rng);
                }
            }
            2 => {
                if let Some(frame) = link.batches.pop_front() {
                    let received = frame::decode_batch(&frame.bytes, &frame.schema, here).unwrap();
                    let took = link.transit.of_frame(here, received.sent, Duration::ZERO);
                    let mut batch: Batch = received.after(took);
                    if self.stamps == Stamps::Clocks {
                        batch.header.arrival = frame.arrival;
                    }
                    self.engines[to.0].handle_batch(here, to.1, batch);
                }
            }
            _ => {
                if let Some(pull) = link.pulls.pop_front() {
                    self.engines[from.0].handle_pull(there, from.1, &pull);
                }
            }
        }
    }

    /// A link breaks and is made anew: what was under way is lost.
    pub(crate) fn reconnect(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let which = self.below(self.links.len());
        let link = &mut self.links[which];
        link.batches.clear();
        link.pulls.clear();
        self.engines[link.to.0].reconnected(link.to.1);
        self.engines[link.from.0].reconnected(link.from.1);
    }

    /// Lets so much time pass, with whatever happens in it.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            self.step();
        }
    }
}

pub(crate) fn send<T: Clone>(frames: &mut VecDeque<T>, frame: T, faults: Faults, rng: &mut Rng) {
    let what = match faults.one_in {
        0 => 3,
        one_in => rng.below(one_in),
    };
    match what {
        0 => {}
        1 => frames.extend([frame.clone(), frame]),
        2 => frames.push_front(frame),
        _ => frames.push_back(frame),
    }
}

/// A source that is fed from records, wherever it is.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) host: usize,
    pub(crate) id: ComponentId,
    intake: Intake,
    rest: VecDeque<Record>,
    has_ended: bool,
}

impl Feed {
    pub(crate) fn new(host: usize, id: ComponentId, source: usize, records: &[Record]) -> Self {
        Self {
            host,
            id,
            intake: Intake::new(origin(source), 0),
            rest: records.iter().copied().collect(),
            has_ended: false,
        }
    }

    /// Offers some of what is left, or that it is all, where there is room.
    pub(crate) fn offer(&mut self, hosts: &mut Hosts, rows_max: u64) -> bool {
        if self.has_ended || !hosts.engines[self.host].has_room(self.id) {
            return false;
        }
        let count = 1 + hosts.below(usize::try_from(rows_max).unwrap());
        let now = hosts.now_at(self.host);
        let records: Vec<Record> = self.rest.drain(..count.min(self.rest.len())).collect();
        let taken = if records.is_empty() {
            self.has_ended = true;
            let schema = columns::to_arrow(&schema());
            self.intake.advance(now, EventTime::MAX, &schema)
        } else {
            self.intake.take(now, reading(&records))
        };
        hosts.engines[self.host].offer(now, self.id, taken);
        true
    }
}

/// Takes what waits at a sink.
pub(crate) fn drain(hosts: &mut Hosts, host: usize, sink: ComponentId, left: &mut Left) -> u64 {
    let mut missing = 0;
    let now = hosts.now_at(host);
    while let Some((channel, batch)) = hosts.engines[host].receive(now, sink) {
        collect(left, &batch);
        missing += u64::from(batch.header.missing);
        hosts.engines[host].acknowledge(now, sink, channel, &batch);
    }
    missing
}

/// Runs a dataflow spread over hosts to its end, breaking links now and then. Gives what left, and the hosts.
pub(crate) fn run_spread(
    flow: impl Fn() -> Flow,
    places: &Places,
    feeds: &[Vec<Record>],
    faults: Faults,
    rng: &Rng,
) -> (Left, Hosts, Vec<Option<Deployed>>) {
    let count = 1 + places
        .sources
        .iter()
        .chain(&places.operators)
        .chain(&places.sinks)
        .max()
        .unwrap();
    let mut hosts = Hosts::new(count, Config::default(), faults, rng.keyed("hosts"));
    let deployed = hosts.deploy(flow, places);
    let part = |host: usize| deployed[host].as_ref().unwrap();
    let mut sources: Vec<Feed> = feeds
        .iter()
        .enumerate()
        .map(|(source, records)| {
            let host = places.sources[source];
            Feed::new(host, part(host).sources[source].unwrap(), source, records)
        })
        .collect();
    hosts.start(&deployed);
    let mut left = Left::new();
    let mut draws = rng.keyed("draws");
    for step in 0.. {
        assert!(step < 2_000_000, "the dataflow does not come to its end");
        hosts.step();
        if draws.below(4) == 0 {
            let source = usize::try_from(draws.below(sources.len() as u64)).unwrap();
            sources[source].offer(&mut hosts, 40);
        }
        if faults.one_in > 0 && draws.below(3000) == 0 {
            hosts.reconnect();
        }
        for (sink, host) in places.sinks.iter().enumerate() {
            if draws.below(4) == 0 {
                let id = part(*host).sinks[sink].unwrap();
                drain(&mut hosts, *host, id, &mut left);
            }
        }
        let finished = places.sinks.iter().all(|host| {
            let application = part(*host).application;
            hosts.events[*host].contains(&Event::Finished { application })
        });
        if finished {
            break;
        }
    }
    (left, hosts, deployed)
}
