//! Edges between hosts: both their ends, the frames that go over them, and the streams that carry these and break.
//!
//! As in production a reader opens a stream when it first wants rows, and opens another when that breaks. Each stream
//! is told by its number, so that nothing of one that broke, or of a host that was started anew, is taken for another's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::transit::Transit;
use engine::{Provider, RemoteEdge, columns, frame};
use model::{ComponentGraph, CompositionId, EdgeId, Instant, NodeId};
use node::node::PartEvent;

use super::{Happening, Machine, Out, Wanted, tampering};
use crate::simulator::fluid::Hosts;

/// How long a reader waits before it asks for a stream again: doubled each time, from the first to the second.
///
/// Unit: time. Source: production's.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// After what time both ends of a stream know that nothing comes through. Unit: time. Source: production's three beats of 200 ms.
pub(in crate::simulator) const BROKEN_AFTER: Duration = Duration::from_millis(600);

/// How much of what waits is taken from an edge at once. Unit: bytes. Source: guess; some frames.
const TAKEN_MAX: usize = 64 << 10;

/// A stream: who opened it, and how many that host had opened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    pub(in crate::simulator) reader: usize,
    number: u64,
}

/// The reading end of an edge.
#[derive(Debug)]
struct Inward {
    wanted: Wanted,
    /// The host that has the stream.
    host: (usize, NodeId),
    schema: SchemaRef,
    transit: Transit,
    /// The stream that was opened last; none before anybody wanted rows, and between two of them.
    link: Option<Link>,
    /// Who serves it, as soon as that has answered.
    peer: Option<(usize, EdgeId)>,
    /// Since when it is open.
    opened: Instant,
    is_asked: bool,
    wait: Duration,
    is_connected: bool,
}

impl Inward {
    fn new(now: Instant, wanted: Wanted, host: (usize, NodeId), schema: SchemaRef) -> Self {
        Self {
            wanted,
            host,
            schema,
            transit: Transit::new(now),
            link: None,
            peer: None,
            opened: now,
            is_asked: false,
            wait: RETRY.0,
            is_connected: true,
        }
    }

    /// The stream is open.
    fn open(&mut self, now: Instant, peer: (usize, EdgeId)) {
        self.peer = Some(peer);
        self.opened = now;
        self.transit = Transit::new(now);
    }

    /// The stream broke, or was refused. Gives after what time another is asked for.
    fn close(&mut self, now: Instant) -> Duration {
        self.link = None;
        // Only a stream that lasted is tried again at once.
        if self.peer.take().is_some() && now.since(self.opened) >= RETRY.1 {
            self.wait = RETRY.0;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(RETRY.1);
        wait
    }
}

/// The serving end of an edge.
#[derive(Debug, Clone, Copy)]
struct Outward {
    reader: (usize, EdgeId),
    link: Link,
    opened: Instant,
}

/// The ends of edges on a host.
#[derive(Debug, Default)]
pub(super) struct Ends {
    inward: BTreeMap<EdgeId, Inward>,
    /// Edges of which the readers turn to another host as soon as the stream is open there; by the edge that they still read by. Only the latest
    /// place counts.
    turning: BTreeMap<EdgeId, Inward>,
    outward: BTreeMap<EdgeId, Outward>,
    /// How many streams were opened from here, also before a restart.
    pub(super) opened_count: u64,
}

impl Ends {
    /// A stream that is opened from a host.
    pub(super) const fn next_link(&mut self, reader: usize) -> Link {
        self.opened_count += 1;
        Link {
            reader,
            number: self.opened_count,
        }
    }

    /// Whether a reader elsewhere has a stream open to an edge here.
    pub(super) fn is_pulled(&self, edge: EdgeId) -> bool {
        self.outward.contains_key(&edge)
    }

    /// Whether a frame of a stream is for an edge that is served from here by it.
    pub(super) fn serves(&self, edge: EdgeId, link: Link) -> bool {
        self.outward.get(&edge).is_some_and(|it| it.link == link)
    }
}

impl Machine {
    /// Edges by which parts here read what a graph has on other hosts.
    pub(super) fn read(
        &mut self,
        now: Instant,
        composition: CompositionId,
        graph: &ComponentGraph,
        ends: &[RemoteEdge],
        hosts: &Hosts,
    ) {
        for end in ends {
            let node = graph.producer(end.stream).host;
            let wanted = Wanted {
                composition,
                stream: end.stream,
                reader: end.reader,
            };
            let schema = columns::to_arrow(graph.plan().schema(end.stream));
            if let Some(host) = hosts.get_index_of(&node) {
                let inward = Inward::new(now, wanted, (host, node), schema);
                self.edges.inward.insert(end.edge, inward);
            }
        }
    }

    /// A reader here reads by an edge from another host, as soon as its stream is open there.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        edge: EdgeId,
        wanted: Wanted,
        (host, schema): ((usize, NodeId), SchemaRef),
        out: &mut Vec<Out>,
    ) {
        let inward = Inward::new(now, wanted, host, schema);
        self.edges.turning.insert(edge, inward);
        self.hello(edge, out);
    }

    /// What was read may have been an instance that was left behind: the reader is turned to the one that the graph says, if that is ever open.
    pub(super) fn read_again(
        &mut self,
        now: Instant,
        wanted: Wanted,
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        let Some(part) = self.parts.get(&wanted.composition) else {
            return;
        };
        let graph = Arc::clone(&part.graph);
        let (from, to) = (graph.producer(wanted.stream), graph.reader(wanted.reader));
        let host = |node: &NodeId| hosts.get_index_of(node);
        let mut numbers = part.numbers.iter().rev();
        let (stream, reader) = (wanted.stream, wanted.reader);
        let edge = numbers.find_map(|it| self.engine.reading_edge(*it, stream, reader));
        let Some((edge, feeder)) = edge.zip(host(&from.host)) else {
            return;
        };
        if feeder != self.place && host(&to.host) == Some(self.place) && !to.shared {
            let schema = columns::to_arrow(graph.plan().schema(wanted.stream));
            self.turn(now, edge, wanted, ((feeder, from.host), schema), out);
        }
    }

    /// Asks for the stream of an edge, or for the one that its reader is to turn to.
    pub(super) fn hello(&mut self, edge: EdgeId, out: &mut Vec<Out>) {
        let Ends {
            inward,
            turning,
            opened_count,
            ..
        } = &mut self.edges;
        // No stream is opened to say goodbye: what came after may be found at its other end.
        if !self.engine.is_reading(edge) {
            turning.remove(&edge);
            inward.remove(&edge);
            return;
        }
        for ends in [turning, inward] {
            let Some(end) = ends.get_mut(&edge).filter(|it| it.link.is_none()) else {
                continue;
            };
            *opened_count += 1;
            let link = Link {
                reader: self.place,
                number: *opened_count,
            };
            end.is_asked = true;
            end.link = Some(link);
            let wanted = end.wanted;
            let hello = Happening::Hello { edge, link, wanted };
            out.push(Out::Send(end.host.0, hello, link, 128));
        }
    }

    /// A reader elsewhere wants a stream of this host.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        reader: (Link, EdgeId),
        wanted: Wanted,
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        let (link, edge) = reader;
        let by = hosts.get_index(link.reader).map(|(node, ())| *node);
        let part = self.parts.get(&wanted.composition);
        let here = part.zip(by).and_then(|(part, by)| {
            let key = (wanted.stream, wanted.reader, by);
            part.downstream.get(&key).copied()
        });
        let answer = match here.filter(|here| self.engine.is_open(*here)) {
            Some(here) => {
                let outward = Outward {
                    reader: (link.reader, edge),
                    link,
                    opened: now,
                };
                self.edges.outward.insert(here, outward);
                self.engine.reconnected(here);
                let peer = (self.place, here);
                Happening::Opened { link, peer }
            }
            None => Happening::Broken(link),
        };
        out.push(Out::Send(link.reader, answer, link, 64));
    }

    /// A stream that was asked for from here is open.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        link: Link,
        peer: (usize, EdgeId),
        out: &mut Vec<Out>,
    ) {
        if self.coming.contains_key(&link) {
            return self.state_opened(now, link, peer, out);
        }
        if let Some(place) = self.backed_up(link) {
            return self.backup_opened(now, (place, link), peer, out);
        }
        let mut turning = self.edges.turning.iter();
        let turned = turning.find(|(_, it)| it.link == Some(link));
        if let Some(edge) = turned.map(|(edge, _)| *edge) {
            let Some(mut inward) = self.edges.turning.remove(&edge) else {
                return;
            };
            match self.engine.rebind(now, edge, Provider::Elsewhere) {
                Ok(edge) => {
                    inward.open(now, peer);
                    self.edges.inward.insert(edge, inward);
                    self.engine.reconnected(edge);
                }
                // Nobody reads here any more.
                Err(_) => out.push(Out::Send(peer.0, Happening::Broken(link), link, 64)),
            }
            return;
        }
        let mut inward = self.edges.inward.iter_mut();
        let Some((edge, inward)) = inward.find(|(_, it)| it.link == Some(link)) else {
            return;
        };
        if !self.engine.is_reading(*edge) {
            out.push(Out::Send(peer.0, Happening::Broken(link), link, 64));
            let edge = *edge;
            self.edges.inward.remove(&edge);
            return;
        }
        inward.open(now, peer);
        if !std::mem::replace(&mut inward.is_connected, true) {
            let host = inward.host.1;
            let event = PartEvent::Reconnected { host };
            out.push(Out::Happened(inward.wanted.composition, event));
        }
        self.engine.reconnected(*edge);
    }

    /// A stream broke, or was refused: whoever reads asks for another after a while.
    pub(super) fn broken(&mut self, now: Instant, link: Link, out: &mut Vec<Out>) {
        self.edges.outward.retain(|_, it| it.link != link);
        self.close_broken(now);
        self.state_broken(now, link, out);
        let Ends {
            inward, turning, ..
        } = &mut self.edges;
        let mut turning = turning.iter_mut();
        if let Some((edge, end)) = turning.find(|(_, it)| it.link == Some(link)) {
            out.push(Out::Later(end.close(now), Happening::Again(*edge)));
            return;
        }
        let mut inward = inward.iter_mut();
        let Some((edge, end)) = inward.find(|(_, it)| it.link == Some(link)) else {
            return;
        };
        let wait = end.close(now);
        out.push(Out::Later(wait, Happening::Again(*edge)));
        if wait > RETRY.0 && std::mem::replace(&mut end.is_connected, false) {
            let host = end.host.1;
            let event = PartEvent::Disconnected { host };
            out.push(Out::Happened(end.wanted.composition, event));
        }
    }

    /// Sends what is due on edges, and asks for those that are wanted for the first time.
    pub(super) fn exchange(&mut self, now: Instant, out: &mut Vec<Out>) {
        for edge in self.engine.take_ready() {
            if self.edges.inward.contains_key(&edge) {
                self.pull(now, edge, out);
            } else if self.outgoing.contains_key(&edge) {
                self.push_state(now, edge, out);
            } else {
                self.push(now, edge, out);
            }
        }
    }

    fn pull(&mut self, now: Instant, edge: EdgeId, out: &mut Vec<Out>) {
        let Some(inward) = self.edges.inward.get(&edge) else {
            return;
        };
        let (Some((to, there)), Some(link)) = (inward.peer, inward.link) else {
            // Nothing is opened before somebody wants rows; what is due then is built when it is open.
            if !inward.is_asked {
                self.hello(edge, out);
            }
            return;
        };
        while let Some(pull) = self.engine.take_pull(now, edge) {
            let is_last = pull.is_goodbye();
            let mut bytes = Vec::new();
            match frame::encode_pull(&pull, &mut bytes) {
                Ok(()) => {
                    let size = bytes.len();
                    let pull = Happening::Pull(there, link, bytes);
                    out.push(Out::Send(to, pull, link, size));
                }
                Err(error) => out.push(Out::Wrong(format!("a pull cannot be sent: {error}"))),
            }
            if is_last {
                self.edges.inward.remove(&edge);
                return;
            }
        }
    }

    fn push(&mut self, now: Instant, edge: EdgeId, out: &mut Vec<Out>) {
        let Some(outward) = self.edges.outward.get(&edge).copied() else {
            return;
        };
        let (to, _) = outward.reader;
        loop {
            let mut batches = Vec::new();
            let goes_on = self.engine.take_batches(edge, TAKEN_MAX, &mut batches);
            if !goes_on {
                self.edges.outward.remove(&edge);
            }
            if batches.is_empty() {
                return;
            }
            for batch in batches {
                let pieces = frame::pieces(&batch).unwrap_or_default();
                for piece in pieces {
                    let mut bytes = Vec::new();
                    match frame::encode_batch(now, outward.opened, &piece, &mut bytes) {
                        Ok(()) => {
                            let size = bytes.len();
                            let batch = Happening::Batch(outward.link, bytes);
                            out.push(Out::Send(to, batch, outward.link, size));
                        }
                        Err(error) => {
                            out.push(Out::Wrong(format!("a batch cannot be sent: {error}")));
                        }
                    }
                }
            }
        }
    }

    /// A frame with a batch came.
    pub(super) fn take_batch(
        &mut self,
        now: Instant,
        link: Link,
        bytes: &[u8],
        half_round_trip: impl Fn(usize) -> Duration,
        out: &mut Vec<Out>,
    ) {
        let mut inward = self.edges.inward.iter_mut();
        let Some((edge, inward)) = inward.find(|(_, it)| it.link == Some(link)) else {
            return;
        };
        let (edge, Some((peer, _))) = (*edge, inward.peer) else {
            return;
        };
        match frame::decode_batch(bytes, &inward.schema, now) {
            Ok(received) => {
                let half = half_round_trip(peer);
                let took = inward.transit.of_frame(now, received.sent, half);
                self.engine.set_transit(edge, took);
                let batch = tampering::tamper(&mut self.tampering, received.after(took));
                self.engine.handle_batch(now, edge, batch);
            }
            Err(error) => out.push(Out::Wrong(format!("a batch cannot be read: {error}"))),
        }
    }
}
