//! A network in memory: machines of many nodes, joined by virtual time and conditions drawn from a seed.
//!
//! It carries what [`crate::net`] carries, and tells it in the same order: messages between overlays, and bytes of
//! whoever is above them. Between two nodes they arrive in order unless the [`Conditions`] say otherwise. A walk is answered
//! from what is known of all nodes that are there: exactly, where the routing library is only nearly right.
//!
//! ```
//! use std::time::Duration;
//! use model::{Key, Outcome, Query};
//! use overlay::memory::{Conditions, Memory};
//!
//! let mut network = Memory::new(7, Conditions::default());
//! let nodes = network.start_joined(5);
//! network.pass(Duration::from_secs(2));
//! let key = Key::published("flows");
//! let entry = Query::Register { key, slot: 0, payload: b"here".to_vec() };
//! assert_eq!(network.ask(nodes[0], entry), Outcome::Done);
//! let lookup = Query::Lookup { key, near: None, count: 1 };
//! let Outcome::Entries(found) = network.ask(nodes[4], lookup) else { panic!("an answer") };
//! assert_eq!(found[0].owner, nodes[0]);
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{HostSummary, Instant, Key, NodeId, Outcome, Query, Resources, Rng, wire};

use crate::identity::Identity;
use crate::machine::{Config, Input, Overlay, QueryId, Stats, WalkId};
use crate::message::Message;

mod carry;
mod wires;

use wires::{Parcel, Wires};

/// What the network does to what is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    /// The least time that something is on its way.
    pub delay: Duration,
    /// How much longer it may take; drawn anew for each.
    pub jitter: Duration,
    /// The fraction that is lost without anybody being told.
    pub loss_fraction: f64,
    /// The fraction that arrives twice.
    pub duplicate_fraction: f64,
    /// Whether what is sent later may arrive earlier.
    pub is_reordering: bool,
    /// After what time a node hears that a peer's process is gone.
    pub detection: Duration,
}

impl Default for Conditions {
    /// A local network without faults.
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(300),
            jitter: Duration::from_micros(200),
            loss_fraction: 0.0,
            duplicate_fraction: 0.0,
            is_reordering: false,
            detection: Duration::from_millis(50),
        }
    }
}

/// What a node hears, besides the answers to its queries.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Bytes of a peer, see [`Memory::send`].
    Message {
        /// Who sent them.
        from: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A peer cannot be reached: what was sent to it last may be lost.
    Unreachable(NodeId),
    /// A host is there, or said something new of itself.
    Seen {
        /// What it says.
        summary: HostSummary,
        /// The round trip to it, where the node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts.
    Lost(NodeId),
}

/// The most events that a node keeps for whoever takes them; the oldest go first. Unit: events.
const EVENTS_MAX: usize = 100_000;

#[derive(Debug)]
struct Host {
    overlay: Overlay,
    identity: Identity,
    is_alive: bool,
    has_joined: bool,
    wake: Option<Instant>,
    events: std::collections::VecDeque<Event>,
}

#[derive(Debug)]
enum Due {
    Arrives(Parcel),
    Walked(NodeId, WalkId, Key, usize),
    Connected(NodeId, NodeId),
    Unreachable(NodeId, NodeId),
}

/// A network of nodes in memory.
#[derive(Debug)]
pub struct Memory {
    now: Instant,
    rng: Rng,
    wires: Wires,
    hosts: BTreeMap<NodeId, Host>,
    due: BTreeMap<(Instant, u64), Due>,
    /// When each node wants to be woken.
    wakes: BTreeSet<(Instant, NodeId)>,
    next_number: u64,
    outcomes: BTreeMap<QueryId, (NodeId, Outcome)>,
    sent: u64,
    sent_bytes: u64,
}

impl Memory {
    /// An empty network.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let rng = Rng::from_seed(seed);
        Self {
            now: Instant::ZERO,
            wires: Wires::new(conditions, rng.keyed("wires")),
            rng,
            hosts: BTreeMap::new(),
            due: BTreeMap::new(),
            wakes: BTreeSet::new(),
            next_number: 0,
            outcomes: BTreeMap::new(),
            sent: 0,
            sent_bytes: 0,
        }
    }

    /// The present moment, the same at all nodes.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Changes what the network does to what is sent from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.wires.conditions = conditions;
    }

    /// Starts a node that knows nobody, with an identity drawn from the seed.
    pub fn start(&mut self) -> NodeId {
        let number = self.hosts.len();
        let mut secret = [0; 32];
        let mut rng = self.rng.keyed(&format!("secret {number}"));
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&rng.bits().to_le_bytes());
        }
        let identity = Identity::from_secret(secret);
        let host = HostSummary {
            addresses: vec![format!("/memory/{number}")],
            capacity: Resources {
                cpu_cores: 4.0,
                memory_bytes: 1 << 30,
                uplink_bytes_per_second: 1e8,
            },
            ..HostSummary::new(identity.node(), format!("host-{number}"))
        };
        self.start_as(identity, host)
    }

    /// Starts a node of this identity that says this of itself.
    pub fn start_as(&mut self, identity: Identity, host: HostSummary) -> NodeId {
        let node = identity.node();
        let config = Config {
            identity: identity.clone(),
            host,
            // A node that is started again begins above what it used before.
            first_version: self.now.as_nanos() + 1,
        };
        let rng = self.rng.keyed(&format!("{node} {:?}", self.now));
        let overlay = Overlay::new(self.now, config, rng);
        let started = Host {
            overlay,
            identity,
            is_alive: true,
            has_joined: false,
            wake: None,
            events: std::collections::VecDeque::new(),
        };
        self.set_wake(node, None);
        self.hosts.insert(node, started);
        self.follow_wake(node);
        node
    }

    /// Starts nodes that join by way of the first of them.
    pub fn start_joined(&mut self, count: usize) -> Vec<NodeId> {
        let nodes: Vec<NodeId> = (0..count).map(|_| self.start()).collect();
        for node in nodes.iter().skip(1) {
            self.join(*node, nodes[0]);
        }
        nodes
    }

    /// Joins a node to the network by way of another.
    pub fn join(&mut self, node: NodeId, via: NodeId) {
        for joined in [node, via] {
            if let Some(host) = self.hosts.get_mut(&joined) {
                host.has_joined = true;
            }
        }
        self.connect(node, via);
    }

    /// Has a node ask its overlay; the answer comes with [`Self::outcome`].
    pub fn query(&mut self, node: NodeId, query: Query) -> QueryId {
        let id = QueryId(self.next_number);
        self.next_number += 1;
        self.input(node, Input::Query { id, query });
        id
    }

    /// The answer to a query, once it is there.
    pub fn outcome(&mut self, id: QueryId) -> Option<Outcome> {
        self.outcomes.remove(&id).map(|(_, outcome)| outcome)
    }

    /// Has a node ask its overlay, and lets time pass until the answer is there.
    ///
    /// # Panics
    /// When there is no answer within ten seconds: each query is answered in three.
    pub fn ask(&mut self, node: NodeId, query: Query) -> Outcome {
        let id = self.query(node, query);
        let end = self.now + Duration::from_secs(10);
        loop {
            if let Some(outcome) = self.outcome(id) {
                return outcome;
            }
            let next = self.next_event();
            assert!(
                next.is_some_and(|next| next <= end),
                "{id:?} is not answered"
            );
            self.step();
        }
    }

    /// Sends bytes from one node to another, under the same conditions as the overlay's messages.
    pub fn send(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        let is_there = self.hosts.get(&from).is_some_and(|host| host.is_alive);
        if is_there {
            self.dispatch(Parcel {
                from,
                to,
                is_payload: true,
                bytes,
            });
        }
    }

    /// Puts a message on its way that the machine of `from` would never send.
    pub fn say(&mut self, from: NodeId, to: NodeId, message: Message) {
        self.dispatch(Parcel {
            from,
            to,
            is_payload: false,
            bytes: wire::encode(&message),
        });
    }

    /// What a node says of itself from now on.
    pub fn describe(&mut self, node: NodeId, host: HostSummary) {
        self.input(node, Input::Describe(host));
    }

    /// Ends a node as if its process had been killed: connected peers hear of it.
    pub fn crash(&mut self, node: NodeId) {
        self.vanish(node);
        for peer in self.wires.disconnect_all(node) {
            self.detect(peer, node);
        }
    }

    /// Ends a node as if its host had lost power: nobody is told anything.
    pub fn vanish(&mut self, node: NodeId) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.is_alive = false;
        }
        self.set_wake(node, None);
    }

    /// Lets a node leave in order.
    pub fn leave(&mut self, node: NodeId) {
        self.input(node, Input::Leave);
    }

    /// Divides the network: what is sent from one group to another is lost. Who is in no group is in a group of its own.
    pub fn divide(&mut self, groups: &[&[NodeId]]) {
        self.wires.divide(groups);
    }

    /// Joins what was divided: some node of each part finds one of another again, as those that were isolated do.
    pub fn heal(&mut self) {
        self.wires.divide(&[]);
        let is_there = |(_, host): &(&NodeId, &Host)| host.is_alive && host.has_joined;
        let nodes: Vec<NodeId> = self
            .hosts
            .iter()
            .filter(is_there)
            .map(|(node, _)| *node)
            .collect();
        for pair in nodes.windows(2) {
            self.connect(pair[0], pair[1]);
        }
    }

    /// What a node heard since this was last asked.
    pub fn take_events(&mut self, node: NodeId) -> Vec<Event> {
        let events = self
            .hosts
            .get_mut(&node)
            .map(|host| host.events.drain(..).collect());
        events.unwrap_or_default()
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Instant> {
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        let wakes = self.hosts.values().filter_map(|host| host.wake);
        due.into_iter()
            .chain(wakes)
            .min()
            .map(|at| at.max(self.now))
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.advance_to(self.now + time);
    }

    /// Lets time pass until this moment.
    pub fn advance_to(&mut self, end: Instant) {
        while self.next_event().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// A node's machine.
    ///
    /// # Panics
    /// When there never was such a node.
    pub fn overlay(&self, node: NodeId) -> &Overlay {
        &self.hosts[&node].overlay
    }

    /// Who a node is.
    ///
    /// # Panics
    /// When there never was such a node.
    pub fn identity(&self, node: NodeId) -> &Identity {
        &self.hosts[&node].identity
    }

    /// What a node counted.
    pub fn stats(&self, node: NodeId) -> Stats {
        self.overlay(node).stats()
    }

    /// Whether a node is there: not crashed, not gone.
    pub fn is_alive(&self, node: NodeId) -> bool {
        self.hosts.get(&node).is_some_and(|host| host.is_alive)
    }

    /// How many messages were sent so far, and of how many bytes.
    pub const fn traffic(&self) -> (u64, u64) {
        (self.sent, self.sent_bytes)
    }

    /// The nodes that were ever started.
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        self.hosts.keys().copied().collect()
    }
}
