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
use overlay::message::{Answer, Held, Message, NearBy, Request};
use overlay::{ASKED, Holder, Identity, Merged, QUERY_TIMEOUT, RENEWAL, REPLICAS, REQUEST_TIMEOUT};

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
    payload: Vec<u8>,
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

    /// A node ends as if it had been killed.
    pub fn crash(&mut self, now: Instant, node: usize, ways: &dyn Ways) {
        self.renew_of(now, node, ways);
        let member = &mut self.members[node];
        member.is_up = false;
        member.counts_until = now + NOTICED_AFTER;
        member.holder = None;
        for (key, slot) in std::mem::take(&mut member.registered).into_keys() {
            self.disown(key, node, slot);
        }
        self.due.insert((now + NOTICED_AFTER, Change::Gone(node)));
    }

    /// A node that had crashed is started again: it has registered nothing.
    pub fn restart(&mut self, now: Instant, node: usize) {
        let member = &mut self.members[node];
        member.is_up = true;
        self.due.insert((now + HANDED_AFTER, Change::Came(node)));
    }

    /// A node leaves in order: it withdraws what it registered, and hands over what it holds.
    pub fn leave(&mut self, now: Instant, node: usize, ways: &dyn Ways) {
        let names: Vec<(Key, u64)> = self.members[node].registered.keys().copied().collect();
        for (key, slot) in names {
            let ask = Query::Withdraw { key, slot };
            self.ask(now, node, ask, ways);
        }
        let heirs = self.around(now, node);
        let nodes: Vec<_> = heirs
            .iter()
            .map(|it| self.members[*it].identity.node())
            .collect();
        let me = self.members[node].identity.node();
        let bequest = self.members[node]
            .holder
            .as_ref()
            .map(|holder| holder.bequest(now, me, &nodes));
        for (to, message) in bequest.unwrap_or_default() {
            if let Some(at) = nodes.iter().position(|node| *node == to) {
                self.hand_over(now, heirs[at], message);
            }
        }
        let member = &mut self.members[node];
        member.is_up = false;
        member.counts_until = now;
        member.holder = None;
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
        payload: Vec<u8>,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Outcome {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Outcome::Failed(QueryError::TooLarge(payload.len()));
        }
        let entry = self.sign(node, key, slot, Some(payload.clone()));
        let (outcome, holders) = self.keep(now, node, &entry, ways, cost);
        let registration = Registration {
            payload,
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

    fn sign(&mut self, node: usize, key: Key, slot: u64, payload: Option<Vec<u8>>) -> Entry {
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
        entry
    }

    /// Has an entry kept by the closest nodes; gives those that do.
    fn keep(
        &mut self,
        now: Instant,
        node: usize,
        entry: &Entry,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> (Outcome, Vec<usize>) {
        cost.walk(self.walk(node, ways));
        let bytes = convert::size(wire::encode(entry).len());
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
            let entry = entry.clone();
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

    fn find(
        &mut self,
        now: Instant,
        node: usize,
        (key, near, count): (Key, Option<Coordinate>, usize),
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Outcome {
        self.renew(now, key, ways);
        cost.walk(self.walk(node, ways));
        let request = Request::Find {
            key,
            near: near.map(NearBy),
            count: u32::try_from(count).unwrap_or(u32::MAX),
        };
        let Some(answers) = self.ask_closest(now, node, key, &request, ways, cost) else {
            return Outcome::Failed(QueryError::Timeout);
        };
        let mut merged = Merged::new(key);
        for (_, entries, _) in answers {
            for held in entries {
                self.take(node, &mut merged, held);
            }
        }
        Outcome::Entries(merged.into_sample(near.as_ref(), count, &mut self.rng))
    }

    /// All entries under a key; nothing where nobody answered.
    fn page_through(
        &mut self,
        now: Instant,
        node: usize,
        key: Key,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Option<Vec<Entry>> {
        self.renew(now, key, ways);
        cost.walk(self.walk(node, ways));
        let mut merged = Merged::new(key);
        let request = Request::Page { key, after: None };
        let me = self.members[node].identity.node();
        for (holder, entries, mut has_more) in
            self.ask_closest(now, node, key, &request, ways, cost)?
        {
            let mut page = entries;
            loop {
                let last = page.last().map(|held| (held.entry.owner, held.entry.slot));
                for held in page {
                    self.take(node, &mut merged, held);
                }
                if !has_more || last.is_none() {
                    break;
                }
                let request = Request::Page { key, after: last };
                let Answer::Entries {
                    entries,
                    has_more: more,
                } = self.serve(now, me, holder, request)
                else {
                    break;
                };
                page = entries.into_vec();
                has_more = more;
                cost.ask(holder != node, 64, Some(entries_bytes(&page)));
            }
        }
        Some(merged.into_entries().collect())
    }

    fn take(&mut self, node: usize, merged: &mut Merged, held: Held) {
        if merged.add(held).is_err() {
            self.members[node].refused += 1;
        }
    }

    /// Asks the closest nodes the same. As in production, who is slow is waited for twice as long as two of the closest three took.
    fn ask_closest(
        &mut self,
        now: Instant,
        node: usize,
        key: Key,
        request: &Request,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Option<Vec<(usize, Vec<Held>, bool)>> {
        let asked = self.closest(now, key, ASKED);
        let times: Vec<(usize, Option<Duration>)> = asked
            .into_iter()
            .map(|holder| (holder, self.round_trip(node, holder, ways)))
            .collect();
        let mut first: Vec<Duration> = times
            .iter()
            .take(REPLICAS)
            .filter_map(|(_, time)| *time)
            .collect();
        first.sort_unstable();
        let patience = match first.get(1) {
            Some(second) => {
                (*second + (2 * *second).max(Duration::from_millis(50))).min(REQUEST_TIMEOUT)
            }
            None => REQUEST_TIMEOUT,
        };
        let me = self.members[node].identity.node();
        let mut answers = Vec::new();
        let mut took = Duration::ZERO;
        for (holder, time) in times {
            let is_heard = time.is_some_and(|time| time <= patience);
            took = took.max(time.filter(|_| is_heard).unwrap_or(patience));
            if !is_heard {
                cost.ask(true, 64, None);
                continue;
            }
            if let Answer::Entries { entries, has_more } =
                self.serve(now, me, holder, request.clone())
            {
                let entries = entries.into_vec();
                cost.ask(holder != node, 64, Some(entries_bytes(&entries)));
                answers.push((holder, entries, has_more));
            }
        }
        cost.time += took;
        (!answers.is_empty()).then_some(answers)
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

    fn hand_over(&mut self, now: Instant, to: usize, message: Message) {
        let Message::HandOver { entries } = message else {
            return;
        };
        let member = &mut self.members[to];
        let rng = &self.rng;
        let holder = member.holder.get_or_insert_with(|| {
            let name = format!("holder {to}");
            Box::new(Holder::new(rng.keyed(&name)))
        });
        for held in entries.into_vec() {
            member.refused += u64::from(holder.take_over(now, held).is_err());
        }
    }

    fn on_came(&mut self, now: Instant, node: usize, cost: &mut Cost) {
        if !self.members[node].is_up {
            return;
        }
        let newcomer = self.members[node].identity.node();
        let around = self.around(now, node);
        let nodes: Vec<_> = around
            .iter()
            .map(|it| self.members[*it].identity.node())
            .collect();
        let mut messages = Vec::new();
        for holder in around {
            let member = &self.members[holder];
            let me = member.identity.node();
            let known: Vec<_> = nodes.iter().copied().filter(|it| *it != me).collect();
            if let Some(holder) = &member.holder {
                messages.extend(holder.belonging_to(now, newcomer, me, &known));
            }
        }
        for message in messages {
            cost.ask(true, convert::size(wire::encode(&message).len()), None);
            self.hand_over(now, node, message);
        }
    }

    fn on_gone(&mut self, now: Instant, node: usize, ways: &dyn Ways, cost: &mut Cost) {
        for owner in 0..self.members.len() {
            let registered = self.members[owner].registered.iter();
            let lost: Vec<(Key, u64)> = registered
                .filter(|(_, it)| it.holders.contains(&node))
                .map(|(name, _)| *name)
                .collect();
            for name in lost {
                self.renew_one(now, owner, name, ways, cost);
            }
        }
    }

    /// Makes up for renewals of what lies under a key.
    fn renew(&mut self, now: Instant, key: Key, ways: &dyn Ways) {
        let owners = self.owners.get(&key);
        let owners: Vec<(usize, u64)> = owners.into_iter().flatten().copied().collect();
        for (owner, slot) in owners {
            self.renew_due(now, owner, (key, slot), ways);
        }
    }

    fn renew_of(&mut self, now: Instant, node: usize, ways: &dyn Ways) {
        let names: Vec<(Key, u64)> = self.members[node].registered.keys().copied().collect();
        for name in names {
            self.renew_due(now, node, name, ways);
        }
    }

    fn renew_due(&mut self, now: Instant, owner: usize, name: (Key, u64), ways: &dyn Ways) {
        let Some(registration) = self.members[owner].registered.get(&name) else {
            return;
        };
        let missed = now.since(registration.renewed).as_secs() / RENEWAL.as_secs();
        if missed == 0 {
            return;
        }
        let seconds = missed * RENEWAL.as_secs();
        let at = registration.renewed + Duration::from_secs(seconds);
        // Nobody waits for it: it was said when it was due.
        self.renew_one(at, owner, name, ways, &mut Cost::default());
    }

    fn renew_one(
        &mut self,
        now: Instant,
        owner: usize,
        name: (Key, u64),
        ways: &dyn Ways,
        cost: &mut Cost,
    ) {
        let Some(registration) = self.members[owner].registered.get(&name) else {
            return;
        };
        let payload = Some(registration.payload.clone());
        let entry = self.sign(owner, name.0, name.1, payload);
        let (_, holders) = self.keep(now, owner, &entry, ways, cost);
        if let Some(registration) = self.members[owner].registered.get_mut(&name) {
            registration.renewed = now;
            registration.holders = holders;
        }
    }

    /// Who is closest to a key, as far as others know who is there.
    fn closest(&self, now: Instant, key: Key, count: usize) -> Vec<usize> {
        let counts = |node: usize| {
            let member = &self.members[node];
            member.is_up || member.counts_until > now
        };
        self.ring.closest(&Place::of_key(key), count, counts)
    }

    /// The nodes around another that are there.
    fn around(&self, _now: Instant, node: usize) -> Vec<usize> {
        let is_other = |it: usize| it != node && self.members[it].is_up;
        self.ring
            .closest(&self.members[node].place, AROUND, is_other)
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

fn entries_bytes(entries: &[Held]) -> u64 {
    let payload = |held: &Held| held.entry.payload.as_ref().map_or(0, Vec::len);
    // What an entry has beside its payload: ids, key, signature, numbers, an address.
    let sum: usize = entries.iter().map(|held| 220 + payload(held)).sum();
    convert::size(sum)
}
