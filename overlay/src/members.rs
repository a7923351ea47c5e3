//! The hosts that this node knows: a bounded, fresh sample, kept by pinging a few neighbors.
//!
//! Every 10 s a node pings at most [`NEIGHBORS_MAX`] neighbors: the three that are closest to it by key, which makes one
//! network of all nodes, and three at random, which makes it a narrow one. A ping and its answer carry what the sender
//! says of itself and what it heard of sixteen others. They also carry a digest of whom the sender
//! knows, and of who of them has found where it is: where two that know fewer than 128 hosts differ, they tell each other all. A node that hears
//! of a host for the first time, or for the first time where it is, pings its neighbors at once, so that news crosses a small network in a few round
//! trips: delays are known by what the first answer to each node measured, before anybody has met all others.
//!
//! Where fewer than 128 hosts are known, each is met: pinged once, four a second, over a connection that is kept, and from then on in
//! turns, three every round. Whoever composes then knows all ways, and a probe that goes to a host for the first time need not connect: over
//! a wide area that is several round trips. A connection that is kept costs 55 KiB, and no message but those turns.
//!
//! What it costs. Idle: 9 pings out, 9 in and their answers every 10 s are 3.6 messages a second of about 4 KiB
//! (seventeen summaries): at 0.1 ms each, 0.04 % of a core. A join: each of n < 128 nodes pings its neighbors once or twice more for who came, and as often for where it is, at most
//! 48 n messages in all. Where 30 nodes join together each sends some eighty (`members/tests/soon.rs`). Larger networks tell no news early.
//! How fresh: of n hosts, about 200 rumors in 10 s come in; up to two hundred hosts are heard of every 10 s each.
//!
//! What a host says of itself over its own connection always counts; what others say of it counts if it is newer.
//! Summaries are hints: whatever is built on them is checked at the host itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::entry::ADDRESSES_MAX;
use model::{Coordinate, HostSummary, Instant, NodeId, Rng};

use crate::coordinate;
use crate::distance::{Distance, Place};
use crate::machine::Effect;
use crate::message::{Gossip, Message, Rumor};

mod bounds;
pub use bounds::KNOWN_MAX;
mod gossip;
mod hearing;
mod round;
#[cfg(test)]
mod tests;

/// The time between two rounds of pings; jittered by a tenth. Unit: time. Source: design.
pub const ROUND: Duration = Duration::from_secs(10);

/// How soon a round follows on news: this, and up to twice as long. Unit: time. Range: well below the 200 ms within which all delays are to be
/// known; as long as it lets news of several hosts travel together. Source: `members/tests/soon.rs`.
const EARLY: Duration = Duration::from_millis(25);

/// How many neighbors are pinged in a round: half of them by key, half at random. Unit: nodes. Source: design.
pub const NEIGHBORS_MAX: usize = 6;

/// How often hosts are met that never were, and how many. Units: time, nodes. Source: guess; 127 of them in half a minute, and at a
/// millisecond for each connection less than half a percent of a core.
const MEETING: Duration = Duration::from_secs(1);
/// See [`MEETING`].
const MEETINGS: usize = 4;

/// How many others are pinged again in a round, who was not for the longest time first. Unit: nodes. Source: 127 hosts in 7 minutes,
/// less than the time for which a connection is kept.
const TURNS: usize = 3;

/// How long a ping may take; after two that took longer, a host is given up. Unit: time. Source: guess; five times
/// the longest round trip on the ground.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// See [`PING_TIMEOUT`]. Unit: pings.
const MISSED_MAX: u8 = 2;

/// For how long a host is known that nobody heard of. Unit: time. Range: several rounds. Source: guess.
pub(crate) const FRESH: Duration = Duration::from_secs(60);

/// How old a rumor may be to make a host known that was not: below [`FRESH`], so that hosts that are just forgotten do
/// not come back for a moment. Unit: time. Source: guess.
const RUMOR_FRESH: Duration = Duration::from_secs(45);

/// The most pings that wait for an answer. Unit: pings. Source: guess; a ping beyond it is not sent.
const PINGS_MAX: usize = 256;

/// How many round trips are kept of a host; the least of them counts. Unit: samples. Source: guess.
const SAMPLES: usize = 4;

/// Who came to be known, and who cannot be reached, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A host is known now.
    Came(NodeId),
    /// A host cannot be reached.
    Went(NodeId),
}

#[derive(Debug)]
struct Member {
    summary: HostSummary,
    distance: Distance,
    /// When it was last heard of, as far as is known, as [`stamp`] counts; and when it came.
    heard: Instant,
    came: Instant,
    /// The latest round trips.
    samples: Vec<Duration>,
    /// When it was last pinged.
    pinged: Option<Instant>,
    missed: u8,
}

impl Member {
    fn round_trip(&self) -> Option<Duration> {
        self.samples.iter().min().copied()
    }
}

#[derive(Debug)]
struct Ping {
    to: NodeId,
    sent: Instant,
    /// Whether it waited for a connection: what that took is no round trip.
    has_waited: bool,
    why: Why,
}

/// Why a ping is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// To hear of a host.
    Round,
    /// As the one before was not answered.
    Again,
    /// To push what a peer did not know: such a one is not followed by another.
    Push,
}

/// The hosts that this node knows.
#[derive(Debug)]
pub(crate) struct Members {
    /// What this node says of itself.
    host: HostSummary,
    /// Where it is; told in `host` when it is news.
    coordinate: Coordinate,
    place: Place,
    known: BTreeMap<NodeId, Member>,
    /// Whom this node could not reach, and when: older rumors of them are not believed.
    gone: BTreeMap<NodeId, Instant>,
    /// The neighbors that were drawn at random.
    drawn: BTreeSet<NodeId>,
    pings: BTreeMap<u64, Ping>,
    next_number: u64,
    next_round: Instant,
    /// When strangers are met, if there may be some.
    next_meeting: Option<Instant>,
    changes: Vec<Change>,
    rng: Rng,
}

impl Members {
    /// A node that knows nobody.
    pub(crate) fn new(now: Instant, host: HostSummary, rng: Rng) -> Self {
        let mut members = Self {
            place: Place::of_node(host.node),
            coordinate: coordinate::unknown(),
            host: trimmed(host),
            known: BTreeMap::new(),
            gone: BTreeMap::new(),
            drawn: BTreeSet::new(),
            pings: BTreeMap::new(),
            next_number: 0,
            next_round: now + ROUND,
            next_meeting: None,
            changes: Vec::new(),
            rng,
        };
        members.host.coordinate = members.coordinate;
        members
    }

    /// What this node says of itself.
    pub(crate) const fn host(&self) -> &HostSummary {
        &self.host
    }

    /// Changes what this node says of itself; version and coordinate stay its own. Peers hear of it with the next round.
    pub(crate) fn describe(&mut self, host: HostSummary) {
        self.host = HostSummary {
            node: self.host.node,
            coordinate: self.host.coordinate,
            version: host.version.max(self.host.version + 1),
            ..trimmed(host)
        };
    }

    /// The hosts that are known.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.known.keys().copied()
    }

    /// Where a host is reached, where that is known.
    pub(crate) fn addresses(&self, node: NodeId) -> Vec<String> {
        let member = self.known.get(&node);
        member.map_or_else(Vec::new, |member| member.summary.addresses.clone())
    }

    /// How many hosts are known.
    pub(crate) fn count(&self) -> usize {
        self.known.len()
    }

    /// Who came and went since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Reacts to a connection.
    pub(crate) fn on_connected(&mut self, now: Instant, node: NodeId, out: &mut Vec<Effect>) {
        for ping in self.pings.values_mut().filter(|ping| ping.to == node) {
            ping.has_waited = true;
        }
        let member = self.known.get(&node);
        if member.is_none_or(|member| member.samples.is_empty()) {
            self.ping(now, node, Vec::new(), out);
        }
    }

    /// Reacts to a host that cannot be reached, or that says that it leaves.
    pub(crate) fn on_unreachable(&mut self, now: Instant, node: NodeId, out: &mut Vec<Effect>) {
        self.pings.retain(|_, ping| ping.to != node);
        self.note_gone(stamp(now), node);
        self.forget(node, out);
        self.changes.push(Change::Went(node));
    }

    /// Answers a ping. False where the sender says that it is somebody else.
    pub(crate) fn on_ping(
        &mut self,
        now: Instant,
        from: NodeId,
        number: u64,
        gossip: Gossip,
        out: &mut Vec<Effect>,
    ) -> bool {
        let known = gossip.known;
        if !self.on_gossip(now, from, gossip, None, out) {
            return false;
        }
        let gossip = self.answer_for(now, from, known);
        out.push(Effect::Send {
            to: from,
            addresses: self.addresses(from),
            message: Message::Pong { number, gossip },
        });
        true
    }

    /// Reacts to the answer to a ping. False where none was asked for, or the sender says that it is somebody else.
    pub(crate) fn on_pong(
        &mut self,
        now: Instant,
        from: NodeId,
        number: u64,
        gossip: Gossip,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.pings.get(&number).is_none_or(|ping| ping.to != from) {
            return false;
        }
        let Some(ping) = self.pings.remove(&number) else {
            return false;
        };
        let theirs = gossip.known;
        let told: BTreeSet<NodeId> = gossip.rumors.as_slice().iter().map(rumored).collect();
        let round_trip = (!ping.has_waited).then(|| now - ping.sent);
        if !self.on_gossip(now, from, gossip, round_trip, out) {
            return false;
        }
        if ping.why != Why::Push
            && let Some(rumors) = self.missing(now, from, theirs, &told)
        {
            let gossip = self.gossip(rumors);
            self.send_ping(now, from, self.addresses(from), gossip, Why::Push, out);
        }
        true
    }

    /// Pings what is to be pinged, and forgets whom nobody heard of.
    pub(crate) fn on_timeout(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.on_silence(now, out);
        self.meet_when_due(now, out);
        if now < self.next_round {
            return;
        }
        self.forget_stale(now, out);
        for node in self.round() {
            let addresses = self.addresses(node);
            self.ping(now, node, addresses, out);
        }
        let jitter = 0.9 + 0.2 * self.rng.fraction();
        self.next_round = now + ROUND.mul_f64(jitter);
    }

    /// When [`Self::on_timeout`] is wanted.
    pub(crate) fn poll_timeout(&self) -> Instant {
        // Numbers are given in order of time.
        let silence = self
            .pings
            .values()
            .next()
            .map(|ping| ping.sent + PING_TIMEOUT);
        let others = [silence, self.next_meeting].into_iter().flatten();
        others.fold(self.next_round, Instant::min)
    }

    /// Asks a host whether it is there.
    pub(crate) fn ping(
        &mut self,
        now: Instant,
        node: NodeId,
        addresses: Vec<String>,
        out: &mut Vec<Effect>,
    ) {
        let rumors = self.rumors(now, node);
        let gossip = self.gossip(rumors);
        self.send_ping(now, node, addresses, gossip, Why::Round, out);
    }

    fn send_ping(
        &mut self,
        now: Instant,
        to: NodeId,
        addresses: Vec<String>,
        gossip: Gossip,
        why: Why,
        out: &mut Vec<Effect>,
    ) {
        if to == self.host.node || self.pings.len() >= PINGS_MAX {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        let ping = Ping {
            to,
            sent: now,
            has_waited: false,
            why,
        };
        self.pings.insert(number, ping);
        if let Some(member) = self.known.get_mut(&to) {
            member.pinged = Some(now);
        }
        out.push(Effect::Send {
            to,
            addresses,
            message: Message::Ping { number, gossip },
        });
    }

    /// Gives up pings that took too long, and hosts that missed two.
    fn on_silence(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(first) = self.pings.first_entry()
            && first.get().sent + PING_TIMEOUT <= now
        {
            let Ping { to, why, .. } = first.remove();
            let member = self.known.get_mut(&to);
            let addresses = member
                .as_ref()
                .map(|member| member.summary.addresses.clone());
            let is_missed = member.is_some_and(|member| {
                member.missed += 1;
                member.missed >= MISSED_MAX
            });
            if is_missed {
                self.on_unreachable(now, to, out);
            } else if why != Why::Again {
                let rumors = self.rumors(now, to);
                let gossip = self.gossip(rumors);
                let addresses = addresses.unwrap_or_default();
                self.send_ping(now, to, addresses, gossip, Why::Again, out);
            }
        }
    }
}

/// A moment on a clock that began an hour before this node's: what was heard before this node started has its place on it.
fn stamp(now: Instant) -> Instant {
    now + Duration::from_secs(3600)
}

fn seen(member: &Member) -> Effect {
    Effect::Seen {
        summary: member.summary.clone(),
        round_trip: member.round_trip(),
    }
}

const fn rumored(rumor: &Rumor) -> NodeId {
    rumor.summary.node
}

/// A summary of this node's own within the limits that peers hold it to: what is too much is left out.
fn trimmed(mut host: HostSummary) -> HostSummary {
    let words = model::host::WORD_BYTES_MAX;
    let fits = |word: &String| word.len() <= words;
    host.addresses
        .retain(|address| address.len() <= model::entry::ADDRESS_BYTES_MAX);
    host.addresses.truncate(ADDRESSES_MAX);
    host.labels
        .retain(|label, value| fits(label) && fits(value));
    while host.labels.len() > model::host::LABELS_MAX {
        host.labels.pop_last();
    }
    if let Some(kinds) = &mut host.operators {
        kinds.retain(fits);
        kinds.truncate(model::host::OPERATORS_MAX);
    }
    if !fits(&host.name) {
        let end = (0..=words)
            .rev()
            .find(|end| host.name.is_char_boundary(*end));
        host.name.truncate(end.unwrap_or(0));
    }
    host
}
