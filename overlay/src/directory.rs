//! The asking side: queries become requests to the closest nodes to a key, and their answers one answer.
//!
//! An entry is registered at the three nodes closest to its key and asked for at up to five, so that routes may
//! differ a little. Who is closest is found by a walk of the routing library, remembered, and corrected by the
//! hosts that come and go; this node is put in at its own distance. Nodes are asked side by side, and the next
//! closest instead of one that is silent. What holders answer is checked and merged: of each owner and slot the highest version.
//!
//! A query is answered once, after at most [`QUERY_TIMEOUT`]: a walk is waited for half a second where any host
//! is known, a node for one second. A dead node does not cost that much: when two of the closest three have answered, the
//! others have twice the time that these took.
//!
//! What it costs: a cached look-up is at most five requests and answers; a listing of an index of 16 shards at most 80 of
//! each; an entry three requests and answers a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Instant, Key, NodeId, Outcome, QueryError, Rng};

use crate::holder::Holder;
use crate::identity::Identity;
use crate::machine::{Effect, Peer, QueryId, WalkId};
use crate::members::Members;
use crate::message::{Answer, Message};

mod asking;
mod merge;
mod queries;
mod registry;
mod routes;
mod task;

pub use merge::Merged;
pub use registry::RENEWAL;
pub use task::ASKED;

use queries::Listing;
use registry::Registry;
use routes::Routes;
use task::{Goal, Phase, Task};

/// How long a query takes at most. Unit: time. Range: above [`REQUEST_TIMEOUT`]. Source: design.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a node is waited for. Unit: time. Source: design.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a walk is waited for where any host is known, and where none is. Unit: time. Range: below [`QUERY_TIMEOUT`].
/// Source: guess.
const WALK_PATIENCE: Duration = Duration::from_millis(500);
/// See [`WALK_PATIENCE`].
const WALK_TIMEOUT: Duration = Duration::from_millis(2500);

/// The most walks that are remembered until they end. Unit: walks. Source: guess.
const WALKS_MAX: usize = 256;

/// For how long a node is not asked that was silent, or could not be reached, if others can be. Unit: time. Source: guess.
const SILENCE: Duration = Duration::from_secs(5);

/// The most nodes that are remembered as silent, and the most owners whose holders are. Unit: nodes. Source: guess.
const SILENT_MAX: usize = 256;

/// The most entries that are renewed side by side. Unit: tasks. Source: guess.
const RENEWALS_MAX: usize = 16;

const _: () = assert!(REQUEST_TIMEOUT.as_millis() < QUERY_TIMEOUT.as_millis());
const _: () = assert!(WALK_TIMEOUT.as_millis() < QUERY_TIMEOUT.as_millis());

/// A task of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u64);

/// What the directory needs of the rest of its node.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) holder: &'a mut Holder,
    pub(crate) members: &'a Members,
    pub(crate) refused: &'a mut BTreeMap<&'static str, u64>,
}

impl Around<'_> {
    fn refuse(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }
}

#[derive(Debug)]
struct Pending {
    task: TaskId,
    to: NodeId,
    sent: Instant,
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) queries_local: u64,
    pub(crate) queries_remote: u64,
    pub(crate) walks: u64,
}

/// The asking side.
#[derive(Debug)]
pub(crate) struct Directory {
    me: NodeId,
    next_version: u64,
    next_number: u64,
    tasks: BTreeMap<TaskId, Task>,
    wakes: BTreeSet<(Instant, TaskId)>,
    requests: BTreeMap<u64, Pending>,
    walks: BTreeMap<WalkId, (Key, Instant)>,
    listings: BTreeMap<QueryId, Listing>,
    registry: Registry,
    routes: Routes,
    /// Until when nodes that were silent are not asked.
    silent: BTreeMap<NodeId, Instant>,
    /// Who served entries of whom.
    sources: BTreeMap<NodeId, BTreeSet<NodeId>>,
    pub(crate) counts: Counts,
    rng: Rng,
}

impl Directory {
    pub(crate) fn new(me: NodeId, first_version: u64, rng: Rng) -> Self {
        Self {
            me,
            next_version: first_version,
            next_number: 0,
            tasks: BTreeMap::new(),
            wakes: BTreeSet::new(),
            requests: BTreeMap::new(),
            walks: BTreeMap::new(),
            listings: BTreeMap::new(),
            registry: Registry::default(),
            routes: Routes::default(),
            silent: BTreeMap::new(),
            sources: BTreeMap::new(),
            counts: Counts::default(),
            rng,
        }
    }

    /// How many entries this node keeps registered.
    pub(crate) fn registered_count(&self) -> usize {
        self.registry.len()
    }

    /// The end of a walk.
    pub(crate) fn on_walked(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        walk: WalkId,
        peers: Vec<Peer>,
        out: &mut Vec<Effect>,
    ) {
        let Some((key, _)) = self.walks.remove(&walk) else {
            return;
        };
        let me = self.me;
        let known = around.members.nodes().map(|node| Peer {
            node,
            addresses: around.members.addresses(node),
        });
        // What a host says of itself is newer than what the routing library remembers: it is put in last.
        let walked = peers.into_iter().filter(|peer| peer.node != me);
        self.routes.insert(now, key, walked.chain(known));
        let is_waiting = |task: &Task| task.key == key && matches!(task.phase, Phase::Walking);
        let waiting: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, task)| is_waiting(task))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.begin(now, around, id, out);
        }
    }

    /// The answer of a holder.
    pub(crate) fn on_answer(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        from: NodeId,
        number: u64,
        answer: Answer,
        out: &mut Vec<Effect>,
    ) {
        match self.requests.get(&number) {
            Some(pending) if pending.to == from => {
                let id = pending.task;
                self.requests.remove(&number);
                self.take_answer(now, around, id, from, answer, out);
                self.proceed(now, around, id, out);
            }
            Some(_) | None => around.refuse("answer late or to nothing"),
        }
    }

    /// Somebody was heard of.
    pub(crate) fn on_heard(&mut self, node: NodeId) {
        self.silent.remove(&node);
    }

    /// A host came to be known.
    pub(crate) fn on_came(&mut self, now: Instant, peer: &Peer) {
        self.routes.on_came(peer);
        self.registry.on_came(now, peer.node, &mut self.rng);
    }

    /// A node cannot be reached: others are asked instead, and those that served what it registered are told.
    pub(crate) fn on_gone(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        node: NodeId,
        out: &mut Vec<Effect>,
    ) {
        self.routes.on_gone(node);
        self.registry.on_gone(now, node, &mut self.rng);
        self.note_silent(now, node);
        for holder in self.sources.remove(&node).unwrap_or_default() {
            if holder != node {
                out.push(Effect::Send {
                    to: holder,
                    addresses: around.members.addresses(holder),
                    message: Message::Suspect { owner: node },
                });
            }
        }
        let lost: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, pending)| pending.to == node)
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            self.fail(now, around, number, out);
        }
    }

    /// What this node's entries say of it has changed.
    pub(crate) fn on_changed(&mut self, now: Instant) {
        self.registry.on_changed(now, &mut self.rng);
    }

    /// Asks others where nodes were silent, renews what is due, and ends what took too long.
    pub(crate) fn on_timeout(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        // Numbers are given in order of time.
        while let Some((number, pending)) = self.requests.first_key_value()
            && pending.sent + REQUEST_TIMEOUT <= now
        {
            let (number, node) = (*number, pending.to);
            self.note_silent(now, node);
            self.fail(now, around, number, out);
        }
        while let Some((wake, id)) = self.wakes.first().copied()
            && wake <= now
        {
            self.wakes.remove(&(wake, id));
            self.on_wake(now, around, id, out);
        }
        while self.renewal_count() < RENEWALS_MAX
            && let Some(name) = self.registry.take_due(now)
        {
            self.renew(now, around, name, out);
        }
    }

    /// When [`Self::on_timeout`] is wanted.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let request = self.requests.values().next();
        let due = self.registry.poll_timeout();
        [
            request.map(|pending| pending.sent + REQUEST_TIMEOUT),
            self.wakes.first().map(|(wake, _)| *wake),
            due.filter(|_| self.renewal_count() < RENEWALS_MAX),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn note_silent(&mut self, now: Instant, node: NodeId) {
        if self.silent.len() >= SILENT_MAX {
            self.silent.retain(|_, until| *until > now);
        }
        if self.silent.len() < SILENT_MAX {
            self.silent.insert(node, now + SILENCE);
        }
    }
}
