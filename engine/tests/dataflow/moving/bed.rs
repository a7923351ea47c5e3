//! Hosts of which operators move while rows flow.

use std::collections::VecDeque;

use engine::state::{Arrived, Shadow, StatePull};
use engine::{Config, Deployed, Event, OperatorPart, Provider, frame};
use model::plan::{Reader, Stream};
use model::{EdgeId, Instant, QueryPlan, Rng};

use crate::hosts::{Faults, Feed, Hosts, Places, drain, part, send};
use crate::support::{Flow, Left, Record};

/// How much a shadow may hold in these tests. Unit: bytes.
const SHADOW_BYTES: u64 = 16 << 20;

/// A dataflow over hosts, and where its parts are by now.
pub(crate) struct Bed {
    pub(crate) flow: Box<dyn Fn() -> Flow>,
    pub(crate) hosts: Hosts,
    pub(crate) places: Places,
    pub(crate) plan: QueryPlan,
    /// What was deployed on each host, the latest last.
    pub(crate) deployed: Vec<Vec<Deployed>>,
    pub(crate) feeds: Vec<Feed>,
    /// What has left at each sink.
    pub(crate) left: Vec<Left>,
    pub(crate) missing: u64,
    /// How many rows may come in at once.
    pub(crate) rows_max: u64,
    pub(crate) draws: Rng,
}

/// A shadow and the frames under way between it and what it is the shadow of.
pub(crate) struct StateLink {
    pub(crate) operator: usize,
    pub(crate) to: usize,
    pub(crate) from: (usize, EdgeId),
    pub(crate) shadow: Shadow,
    pieces: VecDeque<Vec<u8>>,
    pulls: VecDeque<StatePull>,
    opened: Instant,
    /// How many increments it has taken over.
    pub(crate) increments: u64,
}

impl Bed {
    pub(crate) fn new(
        flow: impl Fn() -> Flow + 'static,
        places: Places,
        host_count: usize,
        records: &[Vec<Record>],
        faults: Faults,
        rng: &Rng,
    ) -> Self {
        Self::with(
            flow,
            places,
            host_count,
            records,
            faults,
            rng,
            Config::default(),
        )
    }

    pub(crate) fn with(
        flow: impl Fn() -> Flow + 'static,
        places: Places,
        host_count: usize,
        records: &[Vec<Record>],
        faults: Faults,
        rng: &Rng,
        config: Config,
    ) -> Self {
        // States are small here: so small a part of them leaves at a time.
        let config = Config {
            export_bytes: 64,
            ..config
        };
        let mut hosts = Hosts::new(host_count, config, faults, rng.keyed("hosts"));
        let deployed = hosts.deploy(&flow, &places);
        let deployed: Vec<Deployed> = deployed.into_iter().map(Option::unwrap).collect();
        let feeds = records.iter().enumerate().map(|(source, records)| {
            let host = places.sources[source];
            let id = deployed[host].sources[source].unwrap();
            Feed::new(host, id, source, records)
        });
        let feeds = feeds.collect();
        for (host, deployed) in deployed.iter().enumerate() {
            hosts.engines[host].start(Instant::ZERO, deployed.application);
        }
        Self {
            plan: flow().deployment().plan,
            rows_max: 12,
            flow: Box::new(flow),
            hosts,
            deployed: deployed
                .into_iter()
                .map(|deployed| vec![deployed])
                .collect(),
            feeds,
            left: vec![Left::new(); places.sinks.len()],
            places,
            missing: 0,
            draws: rng.keyed("draws"),
        }
    }

    /// Lets a moment pass: rows come in, something happens, results leave.
    pub(crate) fn step(&mut self) {
        self.hosts.step();
        // Slowly enough that rows come in until the last move.
        if self.draws.below(12) == 0 {
            let source = usize::try_from(self.draws.below(self.feeds.len() as u64)).unwrap();
            self.feeds[source].offer(&mut self.hosts, self.rows_max);
        }
        if self.hosts.faults.one_in > 0 && self.draws.below(3000) == 0 {
            self.hosts.reconnect();
        }
        for (sink, host) in self.places.sinks.clone().into_iter().enumerate() {
            if self.draws.below(4) == 0 {
                let (_, id) = self.sink(sink);
                self.missing += drain(&mut self.hosts, host, id, &mut self.left[sink]);
            }
        }
    }

    /// A sink, and which application it is of.
    pub(crate) fn sink(&self, sink: usize) -> (u64, model::ComponentId) {
        let mut deployed = self.deployed[self.places.sinks[sink]].iter().rev();
        let found = deployed.find_map(|it| Some((it.application, it.sinks[sink]?)));
        found.unwrap()
    }

    pub(crate) fn steps(&mut self, count: u64) {
        (0..count).for_each(|_| self.step());
    }

    pub(crate) fn has_finished(&self) -> bool {
        self.places.sinks.iter().enumerate().all(|(sink, host)| {
            let (application, _) = self.sink(sink);
            self.hosts.events[*host].contains(&Event::Finished { application })
        })
    }

    /// Runs on until all results have left.
    pub(crate) fn finish(&mut self) {
        for step in 0.. {
            assert!(step < 3_000_000, "the dataflow does not come to its end");
            if self.has_finished() {
                return;
            }
            self.step();
        }
    }

    /// Opens a shadow of an operator on a host.
    pub(crate) fn shadow(&mut self, operator: usize, to: usize) -> StateLink {
        let host = self.places.operators[operator];
        let component = self.component(operator);
        let now = self.hosts.now_at(host);
        let edge = self.hosts.engines[host].open_state(now, component).unwrap();
        let mut deployment = (self.flow)().deployment();
        let OperatorPart::Here(part) = deployment.operators.swap_remove(operator) else {
            unreachable!("flows have all their operators here");
        };
        StateLink {
            operator,
            to,
            from: (host, edge),
            shadow: Shadow::new(part, SHADOW_BYTES),
            pieces: VecDeque::new(),
            pulls: VecDeque::new(),
            opened: now,
            increments: 0,
        }
    }

    /// Moves frames of a state stream, as the seed draws.
    pub(crate) fn carry(&mut self, link: &mut StateLink) {
        let (host, edge) = link.from;
        let (there, here) = (self.hosts.now_at(host), self.hosts.now_at(link.to));
        let faults = self.hosts.faults;
        match self.hosts.below(4) {
            0 => {
                if let Some(pull) = link.shadow.pull_due(here) {
                    send(&mut link.pulls, pull, faults, &mut self.hosts.rng);
                }
            }
            1 => {
                if let Some(pull) = link.pulls.pop_front() {
                    let mut bytes = Vec::new();
                    frame::encode_state_pull(pull, &mut bytes);
                    let pull = frame::decode_state_pull(&bytes).unwrap();
                    self.hosts.engines[host].handle_state_pull(there, edge, pull);
                }
            }
            2 => {
                let mut pieces = Vec::new();
                self.hosts.engines[host].take_pieces(edge, 4096, &mut pieces);
                for piece in &pieces {
                    let mut bytes = Vec::new();
                    frame::encode_piece(there, link.opened, piece, &mut bytes).unwrap();
                    send(&mut link.pieces, bytes, faults, &mut self.hosts.rng);
                }
            }
            _ => {
                if let Some(bytes) = link.pieces.pop_front() {
                    let piece = frame::decode_piece(&bytes, link.shadow.schemas(), here).unwrap();
                    let arrived = link.shadow.handle_piece(here, piece).unwrap();
                    link.increments += u64::from(arrived == Arrived::Whole);
                }
            }
        }
    }

    /// Lets the shadow take over so many increments more, while everything goes on.
    pub(crate) fn pull_state(&mut self, link: &mut StateLink, count: u64) {
        let until = link.increments + count;
        for step in 0.. {
            assert!(step < 200_000, "the state does not come");
            if link.increments >= until {
                return;
            }
            link.shadow.want();
            self.step();
            for _ in 0..3 {
                self.carry(link);
            }
        }
    }

    /// Lets an operator move to a host, with whatever happens between the steps of that.
    pub(crate) fn relocate(&mut self, operator: usize, to: usize) {
        let mut link = self.shadow(operator, to);
        let increments = 1 + self.draws.below(3);
        self.pull_state(&mut link, increments);
        self.linger();
        let state = self.activate(link);
        for (stream, reader) in self.readers(operator) {
            self.linger();
            self.turn(stream, reader);
        }
        self.linger();
        self.leave(state);
    }

    /// Lets some moments pass, often none.
    pub(crate) fn linger(&mut self) {
        let most = [0, 0, 30, 400][usize::try_from(self.draws.below(4)).unwrap()];
        let count = self.draws.below(most + 1);
        self.steps(count);
    }

    /// Lets the operator go on from what its shadow holds; the shadow says goodbye when everything reads from there.
    pub(crate) fn switch(&mut self, link: StateLink) {
        let state = self.activate(link);
        self.turn_readers(state.0);
        self.leave(state);
    }

    /// Deploys and starts the operator where its shadow is. Gives which, where it was, and the state edge there.
    pub(crate) fn activate(&mut self, link: StateLink) -> (usize, usize, (usize, EdgeId)) {
        let StateLink {
            operator,
            to,
            from,
            shadow,
            ..
        } = link;
        let was = self.places.operators[operator];
        let resumed = shadow.activate().expect("the shadow holds a state");
        // What is read elsewhere is kept for both from now on.
        let inputs = self.plan.operators()[operator].inputs.clone();
        let ways: Vec<(Stream, Reader)> = inputs
            .into_iter()
            .enumerate()
            .map(|(port, stream)| (stream, Reader::Operator(operator, port)))
            .collect();
        let mut forks = Vec::new();
        for (stream, reader) in &ways {
            let host = self.host_of(*stream);
            let edge = self.yielding(host, *stream, *reader);
            let now = self.hosts.now_at(host);
            let fork = self.hosts.engines[host].fork_edge(now, edge).unwrap();
            forks.push(((*stream, *reader), (host, fork)));
        }
        let mut deployment = part((self.flow)(), &self.nowhere(), to);
        deployment.operators[operator] = OperatorPart::Resumed(Box::new(resumed));
        let now = self.hosts.now_at(to);
        let deployed = self.hosts.engines[to].deploy(now, deployment).unwrap();
        for end in &deployed.upstream {
            let from = forks
                .iter()
                .find(|(way, _)| *way == (end.stream, end.reader));
            self.hosts.link(from.unwrap().1, (to, end.edge));
        }
        self.hosts.engines[to].start(now, deployed.application);
        self.deployed[to].push(deployed);
        self.places.operators[operator] = to;
        (operator, was, from)
    }

    /// Lets all who read an operator read it where it is now.
    pub(crate) fn turn_readers(&mut self, operator: usize) {
        let readers = self.readers(operator);
        for (stream, reader) in readers {
            self.turn(stream, reader);
        }
    }

    /// Who reads an operator.
    pub(crate) fn readers(&self, operator: usize) -> Vec<(Stream, Reader)> {
        let of_it =
            |stream: &Stream| matches!(stream, Stream::Operator(index, _) if *index == operator);
        let operators = self.plan.operators().iter().enumerate();
        let inputs = operators.flat_map(|(index, operator)| {
            let inputs = operator.inputs.iter().enumerate();
            inputs.map(move |(port, stream)| (*stream, Reader::Operator(index, port)))
        });
        let sinks = self.plan.sinks().iter().enumerate();
        let sinks = sinks.map(|(index, sink)| (sink.input, Reader::Sink(index)));
        inputs
            .chain(sinks)
            .filter(|(stream, _)| of_it(stream))
            .collect()
    }

    /// Lets one reader read a stream where it is now.
    pub(crate) fn turn(&mut self, stream: Stream, reader: Reader) {
        let (there, here) = (self.host_of(stream), self.host_of_reader(reader));
        let yielding = self.yielding_end(there, stream, reader);
        let reading = self.reading(here, stream, reader);
        let now = self.hosts.now_at(here);
        let engine = &mut self.hosts.engines[here];
        if here == there {
            engine
                .rebind(now, reading, Provider::Here(yielding))
                .unwrap();
        } else {
            let edge = engine.rebind(now, reading, Provider::Elsewhere).unwrap();
            self.hosts.link((there, yielding), (here, edge));
        }
    }

    /// No part is anywhere.
    pub(crate) fn nowhere(&self) -> Places {
        Places {
            sources: vec![usize::MAX; self.places.sources.len()],
            operators: vec![usize::MAX; self.places.operators.len()],
            sinks: vec![usize::MAX; self.places.sinks.len()],
        }
    }

    /// The edge that the latest deployment on a host has for a reader elsewhere.
    pub(crate) fn yielding_end(&self, host: usize, stream: Stream, reader: Reader) -> EdgeId {
        let mut ends = self.deployed[host]
            .iter()
            .rev()
            .flat_map(|it| &it.downstream);
        let end = ends.find(|end| (end.stream, end.reader) == (stream, reader));
        end.unwrap().edge
    }

    /// The shadow says goodbye: nothing is kept for it any more.
    pub(crate) fn leave(&mut self, (_, _, (host, edge)): (usize, usize, (usize, EdgeId))) {
        let now = self.hosts.now_at(host);
        let goodbye = StatePull {
            holds: 0,
            request: 0,
            is_goodbye: true,
        };
        self.hosts.engines[host].handle_state_pull(now, edge, goodbye);
    }

    /// A host is not reached any more, and reaches nobody.
    pub(crate) fn cut_off(&mut self, host: usize) {
        for link in &mut self.hosts.links {
            link.is_down |= link.from.0 == host || link.to.0 == host;
        }
    }

    /// Nothing moves any more on the edge by which somebody reads a stream.
    pub(crate) fn set_down(&mut self, stream: Stream, reader: Reader) {
        let here = self.host_of_reader(reader);
        let edge = self.reading(here, stream, reader);
        for link in &mut self.hosts.links {
            link.is_down |= link.to == (here, edge);
        }
    }

    /// An operator that goes on at a new place is taken away again before anybody has turned there.
    pub(crate) fn give_up(&mut self, operator: usize, was: usize) {
        let host = self.places.operators[operator];
        let application = self.deployed[host].pop().unwrap().application;
        let now = self.hosts.now_at(host);
        self.hosts.engines[host].retire(now, application);
        self.places.operators[operator] = was;
    }

    /// Up to where an operator has worked off each input port.
    pub(crate) fn taken(&self, operator: usize) -> Vec<model::Positions> {
        let host = self.places.operators[operator];
        let inputs = self.plan.operators()[operator].inputs.iter().enumerate();
        let positions = |(port, stream): (usize, &Stream)| {
            let edge = self.reading(host, *stream, Reader::Operator(operator, port));
            self.hosts.engines[host].taken_on(edge)
        };
        inputs.map(positions).collect()
    }

    pub(crate) fn component(&self, operator: usize) -> model::ComponentId {
        let host = self.places.operators[operator];
        let mut deployed = self.deployed[host].iter().rev();
        deployed
            .find_map(|deployed| deployed.operators[operator])
            .unwrap()
    }

    /// How many rows each operator has counted as late and as bad, in all the places where it was.
    pub(crate) fn left_out(&self) -> Vec<(u64, u64)> {
        let of = |operator: usize| {
            let id = self.component(operator);
            let host = self.places.operators[operator];
            let mut reports = self.deployed[host].iter().filter_map(|deployed| {
                let report = self.hosts.engines[host]
                    .report(self.hosts.now_at(host), deployed.application)?;
                report.components.into_iter().find(|it| it.id == id)
            });
            reports.next().map(|it| (it.late, it.bad)).unwrap()
        };
        (0..self.places.operators.len()).map(of).collect()
    }

    pub(crate) fn host_of(&self, stream: Stream) -> usize {
        match stream {
            Stream::Source(index, _) => self.places.sources[index],
            Stream::Operator(index, _) => self.places.operators[index],
        }
    }

    pub(crate) fn host_of_reader(&self, reader: Reader) -> usize {
        match reader {
            Reader::Operator(index, _) => self.places.operators[index],
            Reader::Sink(index) => self.places.sinks[index],
        }
    }

    pub(crate) fn reading(&self, host: usize, stream: Stream, reader: Reader) -> EdgeId {
        let applications = self.deployed[host]
            .iter()
            .map(|deployed| deployed.application);
        let mut edges =
            applications.filter_map(|it| self.hosts.engines[host].reading_edge(it, stream, reader));
        edges.next_back().unwrap()
    }

    pub(crate) fn yielding(&self, host: usize, stream: Stream, reader: Reader) -> EdgeId {
        let (engine, deployed) = (&self.hosts.engines[host], &self.deployed[host]);
        let component = |it: &Deployed| match stream {
            Stream::Source(index, _) => it.sources[index],
            Stream::Operator(index, _) => it.operators[index],
        };
        // What came last.
        let mut components = deployed.iter().rev().filter_map(component);
        let edge = components.find_map(|component| {
            let mut numbers = deployed.iter().rev().map(|it| it.application);
            numbers.find_map(|it| engine.yielding_edge(it, component, (stream, reader)))
        });
        edge.unwrap()
    }
}
