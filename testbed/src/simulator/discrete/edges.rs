//! Edges between hosts: both their ends, the frames that go over them, and the streams that carry these and break.
//!
//! As in production a reader opens a stream when it first wants rows, and opens another when that breaks. Each stream
//! is told by its number, so that nothing of one that broke, or of a host that was started anew, is taken for another's.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::frame;
use engine::transit::Transit;
use model::{EdgeId, Instant, NodeId};
use node::node::PartEvent;

use super::{Happening, Machine, Out, Wanted};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub(super) reader: usize,
    number: u64,
}

/// The reading end of an edge.
#[derive(Debug)]
struct Inward {
    wanted: Wanted,
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
    outward: BTreeMap<EdgeId, Outward>,
    /// How many streams were opened from here, also before a restart.
    pub(super) opened_count: u64,
}

impl Ends {
    /// An edge whose reader is here.
    pub(super) fn read(&mut self, edge: EdgeId, wanted: Wanted, schema: SchemaRef, now: Instant) {
        let inward = Inward {
            wanted,
            schema,
            transit: Transit::new(now),
            link: None,
            peer: None,
            opened: now,
            is_asked: false,
            wait: RETRY.0,
            is_connected: true,
        };
        self.inward.insert(edge, inward);
    }

    /// An edge is served from here: what its reader had before is broken.
    pub(super) fn serve(
        &mut self,
        edge: EdgeId,
        reader: (usize, EdgeId),
        link: Link,
        now: Instant,
    ) {
        let outward = Outward {
            reader,
            link,
            opened: now,
        };
        self.outward.insert(edge, outward);
    }

    /// Whether a frame of a stream is for an edge that is served from here by it.
    pub(super) fn serves(&self, edge: EdgeId, link: Link) -> bool {
        self.outward.get(&edge).is_some_and(|it| it.link == link)
    }
}

impl Machine {
    /// Asks for the stream of an edge.
    pub(super) fn hello(&mut self, edge: EdgeId, hosts: &Hosts, out: &mut Vec<Out>) {
        if !self.engine.is_upstream(edge) {
            self.edges.inward.remove(&edge);
            return;
        }
        let Some(inward) = self.edges.inward.get_mut(&edge) else {
            return;
        };
        let wanted = inward.wanted;
        self.edges.opened_count += 1;
        let link = Link {
            reader: self.place,
            number: self.edges.opened_count,
        };
        inward.is_asked = true;
        inward.link = Some(link);
        let producer = self.producer(wanted);
        let Some(to) = producer.and_then(|node| hosts.get_index_of(&node)) else {
            return;
        };
        let hello = Happening::Hello { edge, link, wanted };
        out.push(Out::Send(to, hello, link, 128));
    }

    /// The stream of an edge is open.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        edge: EdgeId,
        link: Link,
        peer: (usize, EdgeId),
        out: &mut Vec<Out>,
    ) {
        let Some(inward) = self.edges.inward.get_mut(&edge) else {
            return;
        };
        if inward.link != Some(link) {
            return;
        }
        inward.peer = Some(peer);
        inward.opened = now;
        inward.transit = Transit::new(now);
        let (wanted, was_connected) = (inward.wanted, inward.is_connected);
        inward.is_connected = true;
        if !was_connected && let Some(host) = self.producer(wanted) {
            let event = PartEvent::Reconnected { host };
            out.push(Out::Happened(wanted.composition, event));
        }
        self.engine.reconnected(edge);
    }

    /// A stream broke, or was refused: whoever reads asks for another after a while.
    pub(super) fn broken(&mut self, now: Instant, link: Link, out: &mut Vec<Out>) {
        self.edges.outward.retain(|_, it| it.link != link);
        let mut inward = self.edges.inward.iter_mut();
        let Some((edge, inward)) = inward.find(|(_, it)| it.link == Some(link)) else {
            return;
        };
        inward.link = None;
        // Only a stream that lasted is tried again at once.
        if inward.peer.take().is_some() && now.since(inward.opened) >= RETRY.1 {
            inward.wait = RETRY.0;
        }
        out.push(Out::Later(inward.wait, Happening::Again(*edge)));
        let (wanted, is_lasting) = (inward.wanted, inward.wait > RETRY.0);
        inward.wait = (inward.wait * 2).min(RETRY.1);
        if is_lasting
            && std::mem::replace(&mut inward.is_connected, false)
            && let Some(host) = self.producer(wanted)
        {
            let event = PartEvent::Disconnected { host };
            out.push(Out::Happened(wanted.composition, event));
        }
    }

    /// The host that has a stream.
    fn producer(&self, wanted: Wanted) -> Option<NodeId> {
        let part = self.parts.get(&wanted.composition)?;
        Some(part.graph.producer(wanted.stream).host)
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
        let Some(inward) = self.edges.inward.get(&edge) else {
            return;
        };
        let (Some((to, there)), Some(link)) = (inward.peer, inward.link) else {
            // Nothing is opened before somebody wants rows; what is due then is built when it is open.
            if !inward.is_asked {
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
        let (to, there) = outward.reader;
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
                            let batch = Happening::Batch(there, outward.link, bytes);
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
        (edge, link): (EdgeId, Link),
        bytes: &[u8],
        half_round_trip: impl Fn(usize) -> Duration,
        out: &mut Vec<Out>,
    ) {
        let Some(inward) = self.edges.inward.get_mut(&edge) else {
            return;
        };
        let Some((peer, _)) = inward.peer.filter(|_| inward.link == Some(link)) else {
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
