//! Edges between hosts: both their ends, and the frames that go over them.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::frame;
use engine::transit::Transit;
use model::{EdgeId, Instant};

use super::{Happening, Machine, Out, Wanted};
use crate::simulator::fluid::Hosts;

/// After what time a stream is asked for again that was not there. Unit: time. Source: production's first retries.
pub(super) const RETRY: Duration = Duration::from_millis(40);

/// How much of what waits is taken from an edge at once. Unit: bytes. Source: guess; some frames.
const TAKEN_MAX: usize = 64 << 10;

/// The reading end of an edge.
#[derive(Debug)]
struct Inward {
    wanted: Wanted,
    schema: SchemaRef,
    transit: Transit,
    peer: Option<(usize, EdgeId)>,
    is_asked: bool,
}

/// The ends of edges on a host.
#[derive(Debug, Default)]
pub(super) struct Ends {
    inward: BTreeMap<EdgeId, Inward>,
    /// The serving ends: who reads, and since when.
    outward: BTreeMap<EdgeId, ((usize, EdgeId), Instant)>,
}

impl Ends {
    /// An edge whose reader is here.
    pub(super) fn read(&mut self, edge: EdgeId, wanted: Wanted, schema: SchemaRef, now: Instant) {
        let inward = Inward {
            wanted,
            schema,
            transit: Transit::new(now),
            peer: None,
            is_asked: false,
        };
        self.inward.insert(edge, inward);
    }

    /// An edge is served from here.
    pub(super) fn serve(&mut self, edge: EdgeId, reader: (usize, EdgeId), now: Instant) {
        self.outward.insert(edge, (reader, now));
    }

    /// An edge is served from there.
    pub(super) fn opened(&mut self, edge: EdgeId, peer: (usize, EdgeId), now: Instant) {
        if let Some(inward) = self.inward.get_mut(&edge) {
            inward.peer = Some(peer);
            inward.transit = Transit::new(now);
        }
    }
}

impl Machine {
    /// Asks for the stream of an edge.
    pub(super) fn hello(&mut self, edge: EdgeId, hosts: &Hosts, out: &mut Vec<Out>) {
        let Some(inward) = self.edges.inward.get_mut(&edge) else {
            return;
        };
        let wanted = inward.wanted;
        inward.is_asked = true;
        let Some(part) = self.parts.get(&wanted.composition) else {
            return;
        };
        let producer = part.graph.producer(wanted.stream).host;
        if let Some(to) = hosts.get_index_of(&producer) {
            let hello = Happening::Hello {
                from: self.place,
                edge,
                wanted,
            };
            out.push(Out::Send(to, hello, 128));
        }
    }

    /// Sends what is due on edges, and asks for those that are wanted for the first time.
    pub(super) fn exchange(&mut self, now: Instant, hosts: &Hosts, out: &mut Vec<Out>) {
        for edge in self.engine.take_ready() {
            if self.edges.inward.contains_key(&edge) {
                self.pull(now, edge, hosts, out);
            } else {
                self.push(now, edge, out);
            }
        }
    }

    fn pull(&mut self, now: Instant, edge: EdgeId, hosts: &Hosts, out: &mut Vec<Out>) {
        let peer = self.edges.inward.get(&edge).and_then(|it| it.peer);
        let Some((to, there)) = peer else {
            let is_asked = self.edges.inward.get(&edge).is_some_and(|it| it.is_asked);
            // Nothing is opened before somebody wants rows; what is due then is built when it is open.
            if !is_asked {
                self.hello(edge, hosts, out);
            }
            return;
        };
        while let Some(pull) = self.engine.take_pull(now, edge) {
            let is_last = pull.is_goodbye();
            let mut bytes = Vec::new();
            match frame::encode_pull(&pull, &mut bytes) {
                Ok(()) => {
                    let size = bytes.len();
                    out.push(Out::Send(to, Happening::Pull(there, bytes), size));
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
        let Some(((to, there), opened)) = self.edges.outward.get(&edge).copied() else {
            return;
        };
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
                    match frame::encode_batch(now, opened, &piece, &mut bytes) {
                        Ok(()) => {
                            let size = bytes.len();
                            out.push(Out::Send(to, Happening::Batch(there, bytes), size));
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
        edge: EdgeId,
        bytes: &[u8],
        half_round_trip: impl Fn(usize) -> Duration,
        out: &mut Vec<Out>,
    ) {
        let Some(inward) = self.edges.inward.get_mut(&edge) else {
            return;
        };
        let Some((peer, _)) = inward.peer else {
            return;
        };
        match frame::decode_batch(bytes, &inward.schema, now) {
            Ok(received) => {
                let half = half_round_trip(peer);
                let took = inward.transit.of_frame(now, received.sent, half);
                self.engine.set_transit(edge, took);
                self.engine.handle_batch(now, edge, received.after(took));
            }
            Err(error) => out.push(Out::Wrong(format!("a batch cannot be read: {error}"))),
        }
    }
}
