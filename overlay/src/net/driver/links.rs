//! What is said to whom: connections, the writers of control substreams, and what waits for a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use model::NodeId;
use tokio::sync::{mpsc, oneshot};

use super::{Driver, Event, Frame, Input, Places, Reply, Report, WriterEnd};
use crate::net::address::believed;
use crate::net::control::{self, Gauge};
use crate::net::gauge::Held;
use crate::net::identity::peer_id;
use crate::net::substreams::Purpose;
use crate::net::transport::Life;

/// Peers with which this node has to do at once. Unit: peers. Source: connections and dials, twice.
const LINKS_MAX: usize = 4_096;

/// How much may wait for one peer. Units: frames, bytes. Source: guess; four of the largest messages.
const FRAMES_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;

/// Data streams with one peer. Unit: streams. Source: design.
pub(in crate::net) const STREAMS_MAX: usize = 1_024;

/// Streams that are to be opened as soon as there is a connection. Source: as for those that wait there.
const OPENS_MAX: usize = 256;

/// What this node has to do with a peer.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// In the order in which they were made.
    pub(super) connections: Vec<ConnectionId>,
    /// What waits for a connection.
    frames: VecDeque<Frame>,
    bytes: usize,
    opens: Vec<Reply>,
    writer: Option<Writer>,
    pub(super) gauge: Arc<Gauge>,
    /// The ping that was answered last.
    pub(super) answered: u64,
    /// Data streams, those included that wait to be accepted.
    pub(super) streams: Places,
    pub(super) waiting: Places,
    /// Control substreams of the peer.
    pub(super) readers: usize,
    /// Whether one of them broke.
    pub(super) is_broken: bool,
    pub(super) garbage: u32,
    pub(super) life: Arc<Life>,
    pub(super) watch: super::watch::Watch,
}

#[derive(Debug)]
struct Writer {
    frames: mpsc::Sender<Frame>,
    generation: u64,
}

impl Link {
    pub(super) fn is_connected(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Whether something was said that the peer has not confirmed.
    pub(super) fn is_owed(&self) -> bool {
        self.gauge.queued_bytes.load(Ordering::Relaxed) > 0
            || self.gauge.asked.load(Ordering::Relaxed) > self.answered
    }

    /// Whether there is nothing to remember of it.
    fn is_idle(&self) -> bool {
        !self.is_connected() && self.frames.is_empty() && self.opens.is_empty() && self.readers == 0
    }

    /// What was said on the substream that broke is not asked for again.
    fn start_over(&mut self) {
        let asked = self.gauge.asked.load(Ordering::Relaxed);
        self.gauge = Arc::default();
        self.gauge.asked.store(asked, Ordering::Relaxed);
        self.answered = asked;
    }
}

impl Driver {
    /// Says something to a peer, over a connection that is made where there is none.
    pub(super) fn say(&mut self, to: NodeId, frame: Frame) {
        if to == self.node {
            self.hear_itself(frame);
            return;
        }
        let is_message = frame.is_message();
        if is_message && frame.len() > 5 + super::super::MESSAGE_BYTES_MAX {
            self.refused.count("own message too large");
            self.on_unreachable(to);
            return;
        }
        let Some(link) = self.link(to) else {
            return self.on_overfull(to, is_message);
        };
        if link.is_connected() {
            if !self.write(to, frame) {
                self.on_overfull(to, is_message);
            }
            return;
        }
        if !is_message {
            return;
        }
        if link.frames.len() >= FRAMES_MAX || link.bytes + frame.len() > BYTES_MAX {
            return self.on_overfull(to, is_message);
        }
        link.bytes += frame.len();
        link.frames.push_back(frame);
        self.dial(to);
    }

    /// What this node says to itself arrives at once.
    fn hear_itself(&mut self, frame: Frame) {
        if let Frame::Payload(bytes) = frame {
            let from = self.node;
            self.outbox.push(Event::Message { from, bytes });
        } else if let Frame::Overlay(bytes) = frame {
            let message = model::wire::decode(&bytes).expect("our own bytes");
            let from = self.node;
            self.tell(Input::Message { from, message });
        }
    }

    fn on_overfull(&mut self, to: NodeId, is_message: bool) {
        if is_message {
            self.refused.count("own message beyond the queue of a peer");
            self.on_unreachable(to);
        }
    }

    fn link(&mut self, node: NodeId) -> Option<&mut Link> {
        if !self.links.contains_key(&node) && self.links.len() >= LINKS_MAX {
            return None;
        }
        Some(self.links.entry(node).or_default())
    }

    /// Gives a frame to the writer of a connected peer, a new one where there is none.
    fn write(&mut self, to: NodeId, frame: Frame) -> bool {
        let now = self.clock.now();
        self.watch_from(now);
        let has_writer = |link: &Link| {
            let writer = link.writer.as_ref();
            writer.is_some_and(|writer| !writer.frames.is_closed())
        };
        if !self.links.get(&to).is_some_and(has_writer) {
            self.start_writer(to);
        }
        let Some(link) = self.links.get(&to) else {
            return false;
        };
        let Some(writer) = &link.writer else {
            return false;
        };
        let bytes = frame.len();
        let queued = link.gauge.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = queued == 0 || queued + bytes <= BYTES_MAX;
        let is_taken = has_room && writer.frames.try_send(frame).is_ok();
        if !is_taken {
            link.gauge.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    fn start_writer(&mut self, to: NodeId) {
        let Some(link) = self.links.get_mut(&to) else {
            return;
        };
        let Some(connection) = link.connections.first() else {
            return;
        };
        let (frames, taken) = mpsc::channel(FRAMES_MAX);
        let (stream, opened) = oneshot::channel();
        self.writer_count += 1;
        self.writers_running += 1;
        let generation = self.writer_count;
        link.writer = Some(Writer { frames, generation });
        let reply = Reply { stream, held: None };
        let behavior = &mut self.swarm.behaviour_mut().substreams;
        behavior.open(peer_id(to), *connection, Purpose::Control, reply);
        let gauge = Arc::clone(&link.gauge);
        let reporter = self.reporter.clone();
        tokio::spawn(async move {
            let end = control::write(opened, taken, gauge).await;
            let report = Report::WriterEnded {
                to,
                generation,
                end,
            };
            // Without a driver there is nobody to tell.
            drop(reporter.send(report).await);
        });
    }

    pub(super) fn on_writer_ended(&mut self, to: NodeId, generation: u64, end: WriterEnd) {
        self.writers_running -= 1;
        let Some(link) = self.links.get_mut(&to) else {
            return;
        };
        let writer = link.writer.as_ref();
        if writer.is_none_or(|writer| writer.generation != generation) {
            return;
        }
        link.writer = None;
        if end == WriterEnd::InOrder {
            return;
        }
        let is_lost = link.is_owed();
        link.start_over();
        if is_lost {
            self.on_unreachable(to);
        }
    }

    /// No writer takes anything more: what they have leaves, and they end in order.
    pub(super) fn close_writers(&mut self) {
        for link in self.links.values_mut() {
            link.writer = None;
        }
    }

    /// Opens a data stream, as soon as there is a connection.
    pub(super) fn open(&mut self, to: NodeId, stream: oneshot::Sender<(Stream, Option<Held>)>) {
        // A reply that is dropped says that there is no stream.
        if to == self.node {
            return;
        }
        let Some(link) = self.link(to) else {
            return;
        };
        let Some(held) = link.streams.hold(STREAMS_MAX) else {
            self.refused.count("own stream beyond the bound of a peer");
            return;
        };
        let reply = Reply {
            stream,
            held: Some(held),
        };
        match link.connections.first().copied() {
            Some(connection) => self.open_on(to, connection, reply),
            None if link.opens.len() < OPENS_MAX => {
                link.opens.push(reply);
                self.dial(to);
            }
            None => self.refused.count("own stream beyond the queue"),
        }
    }

    fn open_on(&mut self, to: NodeId, connection: ConnectionId, reply: Reply) {
        let now = self.clock.now();
        self.watch_from(now);
        let behavior = &mut self.swarm.behaviour_mut().substreams;
        behavior.open(peer_id(to), connection, Purpose::Data, reply);
    }

    /// Makes a connection to a peer, where none is being made.
    pub(super) fn dial(&mut self, to: NodeId) {
        let options = DialOpts::peer_id(peer_id(to))
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(self.book.find(to))
            .extend_addresses_through_behaviour()
            .build();
        match self.swarm.dial(options) {
            // Where one is being made already, its end is told.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => {
                tracing::debug!(%to, %error, "not dialed");
                self.on_dial_failed(to);
            }
        }
    }

    /// A connection could not be made.
    pub(super) fn on_dial_failed(&mut self, to: NodeId) {
        let Some(link) = self.links.get_mut(&to) else {
            return;
        };
        if link.is_connected() {
            return;
        }
        let is_lost = !link.frames.is_empty() || !link.opens.is_empty();
        link.frames.clear();
        link.bytes = 0;
        link.opens.clear();
        self.drop_idle(to);
        if is_lost {
            self.on_unreachable(to);
        }
    }

    /// A connection was made.
    pub(super) fn on_connected(&mut self, node: NodeId, connection: ConnectionId) {
        let life = self.lives.of(peer_id(node));
        let link = self.links.entry(node).or_default();
        link.connections.push(connection);
        // A new one also where an earlier connection was cut and its end is not told yet.
        link.life = life;
        if link.connections.len() > 1 {
            return;
        }
        link.is_broken = false;
        link.garbage = 0;
        let frames = std::mem::take(&mut link.frames);
        let opens = std::mem::take(&mut link.opens);
        link.bytes = 0;
        self.join.on_connected();
        self.tell(Input::Connected(node));
        for frame in frames {
            if !self.write(node, frame) {
                self.on_overfull(node, true);
            }
        }
        for reply in opens {
            self.open_on(node, connection, reply);
        }
    }

    /// A connection was closed.
    pub(super) fn on_disconnected(&mut self, node: NodeId, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&node) else {
            return;
        };
        link.connections.retain(|it| *it != connection);
        if link.is_connected() {
            return;
        }
        let is_lost = link.is_owed() || link.streams.taken() > 0 || link.is_broken;
        link.writer = None;
        link.is_broken = false;
        // Halves that somebody still has belong to a connection that is gone.
        link.streams = Places::default();
        link.start_over();
        if is_lost {
            // What its readers still tell is no news.
            link.readers = 0;
        }
        self.drop_idle(node);
        if is_lost {
            self.on_unreachable(node);
        }
        if !self.links.values().any(Link::is_connected) {
            let now = self.clock.now();
            self.join.on_alone(now);
        }
    }

    pub(super) fn drop_idle(&mut self, node: NodeId) {
        if self.links.get(&node).is_some_and(Link::is_idle) {
            self.links.remove(&node);
        }
    }

    /// Ends the connections with a peer without waiting for it.
    pub(super) fn cut(&mut self, node: NodeId) {
        self.lives.cut(peer_id(node));
    }

    /// Somebody says where a node is.
    pub(super) fn learn(&mut self, node: NodeId, said: &[String]) {
        if node == self.node || said.is_empty() {
            return;
        }
        let addresses = believed(node, said, self.is_loopback);
        let kad = &mut self.swarm.behaviour_mut().kad;
        for address in &addresses {
            kad.add_address(&peer_id(node), address.clone());
        }
        self.book.learn(node, addresses);
    }

    /// A node is no longer there: walks do not lead to it.
    pub(super) fn forget(&mut self, node: NodeId) {
        if !self.links.get(&node).is_some_and(Link::is_connected) {
            self.swarm.behaviour_mut().kad.remove_peer(&peer_id(node));
        }
    }
}
