//! The overlay's port as a model of Kademlia.
//!
//! What holders keep and answer is production's `overlay::Holder`, one for each host that holds anything; what is made of
//! several answers is production's `overlay::Merged`; an entry is registered at as many, asked for at as many, and renewed as often
//! as production does. Modelled are the walk to the closest nodes, which takes hops of real ways, and that a
//! query does everything at the moment at which it is asked: its answer comes when it would have.
//!
//! A renewal that nobody looks at is made up for when somebody does, so that a million entries that lie
//! there cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::entry::{INDEX_SHARDS, PAYLOAD_BYTES_MAX, TTL_MAX};
use model::{Coordinate, Entry, HostSummary, Instant, Key, Outcome, Query, QueryError, Rng};
use model::{convert, wire};
use overlay::distance::Place;
use overlay::message::{Answer, Request};
use overlay::{Holder, Identity, QUERY_TIMEOUT, REPLICAS, REQUEST_TIMEOUT};

mod asking;
mod churn;
mod closest;
mod cost;

use closest::Ring;
pub use cost::Cost;

/// After what time it is known of a host that it is gone, so that nobody is sent there. Unit: time.
/// Source: production gives a host up after two pings of three seconds, and sooner where a connection breaks.
const NOTICED_AFTER: Duration = Duration::from_secs(3);

/// After what time a newcomer is handed what belongs to it. Unit: time. Source: production's rounds after news, some 100 ms.
const HANDED_AFTER: Duration = Duration::from_millis(400);

/// How many nodes around a newcomer or a leaver know of it and hand over. Unit: nodes. Source: two of Kademlia's buckets.
const AROUND: usize = 40;

/// The ways between hosts.
pub trait Ways {
    /// How long something small takes; nothing where nothing comes through.
    fn delay(&self, from: usize, to: usize) -> Option<Duration>;
}

/// What came of a query.
#[derive(Debug)]
pub struct Asked {
    /// The answer.
    pub outcome: Outcome,
    /// What it took.
    pub cost: Cost,
}

#[derive(Debug)]
struct Registration {
    /// As it was last signed: its holders have the same one.
    entry: Arc<Entry>,
    renewed: Instant,
    holders: Vec<usize>,
}

#[derive(Debug)]
struct Member {
    identity: Identity,
    place: Place,
    summary: Arc<HostSummary>,
    is_up: bool,
    /// Until when others still count on it, where it is gone.
    counts_until: Instant,
    holder: Option<Box<Holder>>,
    registered: BTreeMap<(Key, u64), Registration>,
    next_version: u64,
    refused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Came(usize),
    Gone(usize),
}

/// The overlay of all hosts.
#[derive(Debug)]
pub struct Overlay {
    members: Vec<Member>,
    ring: Ring,
    /// Who has registered under a key.
    owners: BTreeMap<Key, BTreeSet<(usize, u64)>>,
    due: BTreeSet<(Instant, Change)>,
    rng: Rng,
}

impl Overlay {
    /// An overlay without nodes.
    pub fn new(rng: Rng) -> Self {
        Self {
            members: Vec::new(),
            ring: Ring::default(),
            owners: BTreeMap::new(),
            due: BTreeSet::new(),
            rng,
        }
    }

    /// A node joins. Gives its number: they are counted from 0.
    pub fn join(&mut self, now: Instant, identity: Identity, summary: Arc<HostSummary>) -> usize {
        let number = self.members.len();
        let place = Place::of_node(identity.node());
        self.ring.insert(place, number);
        self.members.push(Member {
            identity,
            place,
            next_version: summary.version.max(1),
            summary,
            is_up: true,
            counts_until: now,
            holder: None,
            registered: BTreeMap::new(),
            refused: 0,
        });
        self.due.insert((now + HANDED_AFTER, Change::Came(number)));
        number
    }

    /// A node says something new of itself: so do its entries, from their next renewal on.
    pub fn describe(&mut self, node: usize, summary: Arc<HostSummary>) {
        self.members[node].summary = summary;
    }

    /// When time should pass here.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Lets follow what is due: newcomers are handed what belongs to them, and what those held that are gone is registered again.
    pub fn on_timeout(&mut self, now: Instant, ways: &dyn Ways) -> Cost {
        let mut cost = Cost::default();
        while let Some((at, change)) = self.due.first().copied()
            && at <= now
        {
            self.due.remove(&(at, change));
            match change {
                Change::Came(node) => self.on_came(now, node, &mut cost),
                Change::Gone(node) => self.on_gone(now, node, ways, &mut cost),
            }
        }
        cost
    }

    /// How many entries and messages a node has refused.
    pub fn refused(&self, node: usize) -> u64 {
        self.members[node].refused
    }

    /// Who a node is.
    pub fn identity(&self, node: usize) -> &Identity {
        &self.members[node].identity
    }

    /// How many nodes there ever were.
    pub fn node_count(&self) -> usize {
        self.members.len()
    }

    /// Whether a node is there.
    pub fn is_up(&self, node: usize) -> bool {
        self.members[node].is_up
    }

    /// Asks something by a node.
    pub fn ask(&mut self, now: Instant, node: usize, query: Query, ways: &dyn Ways) -> Asked {
        let mut cost = Cost::default();
        let outcome = match query {
            Query::Lookup { key, near, count } => {
                let near = near.filter(Coordinate::is_valid);
                self.find(now, node, (key, near, count), ways, &mut cost)
            }
            Query::List { index } => {
                let mut entries = Vec::new();
                let mut is_lost = false;
                let mut longest = Duration::ZERO;
                for shard in 0..INDEX_SHARDS {
                    let key = Key::index(index, shard);
                    let mut of_shard = Cost::default();
                    match self.page_through(now, node, key, ways, &mut of_shard) {
                        Some(found) => entries.extend(found),
                        None => is_lost = true,
                    }
                    longest = longest.max(of_shard.time);
                    cost.add(of_shard);
                }
                // Two rounds of eight shards side by side.
                cost.time = (2 * longest).min(QUERY_TIMEOUT);
                match is_lost {
                    true => Outcome::Failed(QueryError::Timeout),
                    false => Outcome::Entries(entries),
                }
            }
            Query::Register { key, slot, payload } => {
                self.register(now, node, (key, slot), payload, ways, &mut cost)
            }
            Query::Withdraw { key, slot } => {
                self.members[node].registered.remove(&(key, slot));
                self.disown(key, node, slot);
                let entry = self.sign(node, key, slot, None);
                let (outcome, _) = self.keep(now, node, &entry, ways, &mut cost);
                outcome
            }
            Query::Closest { key, count } => {
                cost.walk(self.walk(node, ways));
                let closest = self.closest(now, key, count);
                let nodes = closest.into_iter();
                Outcome::Nodes(nodes.map(|it| self.members[it].identity.node()).collect())
            }
        };
        cost.time = cost.time.min(QUERY_TIMEOUT);
        Asked { outcome, cost }
    }

    fn register(
        &mut self,
        now: Instant,
        node: usize,
        (key, slot): (Key, u64),
        mut payload: Vec<u8>,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Outcome {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Outcome::Failed(QueryError::TooLarge(payload.len()));
        }
        // It stays for as long as the application does, and was written with room to grow.
        payload.shrink_to_fit();
        let entry = self.sign(node, key, slot, Some(payload));
        let (outcome, holders) = self.keep(now, node, &entry, ways, cost);
        let registration = Registration {
            entry,
            renewed: now,
            holders,
        };
        let member = &mut self.members[node];
        member.registered.insert((key, slot), registration);
        self.owners.entry(key).or_default().insert((node, slot));
        outcome
    }

    fn disown(&mut self, key: Key, node: usize, slot: u64) {
        if let Some(owners) = self.owners.get_mut(&key) {
            owners.remove(&(node, slot));
            if owners.is_empty() {
                self.owners.remove(&key);
            }
        }
    }

    fn sign(&mut self, node: usize, key: Key, slot: u64, payload: Option<Vec<u8>>) -> Arc<Entry> {
        let member = &mut self.members[node];
        let version = member.next_version;
        member.next_version += 1;
        let mut entry = Entry {
            owner: member.identity.node(),
            key,
            slot,
            version,
            ttl: TTL_MAX,
            addresses: member.summary.addresses.clone(),
            load: member.summary.load,
            coordinate: member.summary.coordinate,
            payload,
            signature: [0; 64],
        };
        entry.signature = member.identity.sign(&entry.signed_bytes());
        Arc::new(entry)
    }

    /// Has an entry kept by the closest nodes; gives those that do.
    fn keep(
        &mut self,
        now: Instant,
        node: usize,
        entry: &Arc<Entry>,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> (Outcome, Vec<usize>) {
        cost.walk(self.walk(node, ways));
        let bytes = convert::size(wire::encode(&**entry).len());
        let owner = self.members[node].identity.node();
        let mut kept = Vec::new();
        let mut is_refused = false;
        let mut times = Vec::new();
        // Who does not answer is replaced by the next closest.
        for holder in self.closest(now, entry.key, REPLICAS + 2) {
            if kept.len() == REPLICAS {
                break;
            }
            let Some(time) = self.round_trip(node, holder, ways) else {
                times.push(REQUEST_TIMEOUT);
                continue;
            };
            times.push(time);
            cost.ask(holder != node, bytes, Some(1));
            let entry = Arc::clone(entry);
            match self.serve(now, owner, holder, Request::Keep { entry }) {
                Answer::Kept => kept.push(holder),
                Answer::Refused | Answer::Entries { .. } => is_refused = true,
            }
        }
        cost.time += times.into_iter().max().unwrap_or_default();
        let outcome = match (kept.is_empty(), is_refused) {
            (false, _) => Outcome::Done,
            (true, true) => Outcome::Failed(QueryError::Refused),
            (true, false) => Outcome::Failed(QueryError::Timeout),
        };
        (outcome, kept)
    }

    fn serve(
        &mut self,
        now: Instant,
        from: model::NodeId,
        holder: usize,
        request: Request,
    ) -> Answer {
        let member = &mut self.members[holder];
        let rng = &self.rng;
        let held = member.holder.get_or_insert_with(|| {
            let name = format!("holder {holder}");
            Box::new(Holder::new(rng.keyed(&name)))
        });
        let (answer, refusal) = held.serve(now, from, request);
        member.refused += u64::from(refusal.is_some());
        answer
    }

    /// Who is closest to a key, as far as others know who is there.
    fn closest(&self, now: Instant, key: Key, count: usize) -> Vec<usize> {
        let counts = |node: usize| {
            let member = &self.members[node];
            member.is_up || member.counts_until > now
        };
        self.ring.closest(&Place::of_key(key), count, counts)
    }

    fn round_trip(&self, from: usize, to: usize, ways: &dyn Ways) -> Option<Duration> {
        if from == to {
            return Some(Duration::ZERO);
        }
        if !self.members[to].is_up {
            return None;
        }
        Some(ways.delay(from, to)? + ways.delay(to, from)?)
    }

    /// The hops of a walk to somewhere: of each, the round trip.
    fn walk(&mut self, node: usize, ways: &dyn Ways) -> Vec<Duration> {
        let count = convert::size(self.members.len());
        let hops = cost::hops(self.members.len());
        (0..hops)
            .map(|_| {
                let other = convert::index(self.rng.below(count));
                let time = self.round_trip(node, other, ways);
                time.unwrap_or(Duration::from_millis(200))
            })
            .collect()
    }
}
