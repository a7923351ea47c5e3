//! One node's part of the overlay, as one machine.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{HostSummary, Instant, Key, NodeId, Outcome, Query, QueryError, Rng, convert};

use crate::directory::{Around, Directory};
use crate::holder::Holder;
use crate::identity::Identity;
use crate::members::{Change, Members};
use crate::message::Message;

/// A query of this node; its answer repeats it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct QueryId(pub u64);

/// A walk that was asked for; its answer repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalkId(pub u64);

/// A node and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Peer {
    /// Which node.
    pub node: NodeId,
    /// Multiaddresses, at most [`model::entry::ADDRESSES_MAX`].
    pub addresses: Vec<String>,
}

/// What a node's overlay is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Who this is.
    pub identity: Identity,
    /// What it says of itself at first.
    pub host: HostSummary,
    /// The first version of its entries: larger than any that it used before, also before a restart.
    pub first_version: u64,
}

/// What happens to the overlay.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// This node asks something.
    Query {
        /// Which answer belongs to it.
        id: QueryId,
        /// What.
        query: Query,
    },
    /// A peer said something, over a connection that proved who it is.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A walk of the routing library came to its end: the closest nodes it found, this one left out.
    Walked {
        /// Which one.
        walk: WalkId,
        /// The nodes, in any order.
        peers: Vec<Peer>,
    },
    /// A connection to a peer was made.
    Connected(NodeId),
    /// A peer could not be reached, or its last connection was closed by an error.
    Unreachable(NodeId),
    /// What this node says of itself from now on; version and coordinate are filled in here.
    Describe(HostSummary),
    /// This node leaves in order: what it holds is handed over, what it registered is withdrawn.
    Leave,
    /// The time of [`Overlay::poll_timeout`] has come.
    Timeout,
}

/// What the overlay wants done, or tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The answer to a query. Each query is answered once.
    Answer {
        /// To which.
        id: QueryId,
        /// What.
        outcome: Outcome,
    },
    /// Say something to a peer. It may get lost; [`Input::Unreachable`] tells where it surely was.
    Send {
        /// To whom.
        to: NodeId,
        /// Where it was last known to be reached, where that is not known otherwise.
        addresses: Vec<String>,
        /// What.
        message: Message,
    },
    /// Find the closest nodes to a key by the routing library.
    Walk {
        /// Which answer belongs to it.
        walk: WalkId,
        /// Closest to what.
        key: Key,
        /// How many are wanted.
        count: usize,
    },
    /// A host is there, or said something new of itself; this one too, where it has learned where it is.
    Seen {
        /// What it says.
        summary: HostSummary,
        /// The round trip to it, where this node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts as a candidate.
    Lost(NodeId),
    /// All that leaving takes was said: the node may go.
    Left,
}

/// Counts since the start, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that this node holds for others and itself, and the keys that they lie under.
    pub entries_held: u64,
    /// See `entries_held`.
    pub keys_held: u64,
    /// Entries that this node keeps registered.
    pub entries_registered: u64,
    /// Hosts that this node knows.
    pub hosts_known: u64,
    /// Queries that were answered from what was cached or held here, without asking anybody.
    pub queries_local: u64,
    /// Queries for which others were asked, without a walk.
    pub queries_remote: u64,
    /// Walks.
    pub walks: u64,
    /// What peers sent and was refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// How long leaving may take. Unit: time. Source: guess; a round trip between continents, and its answer.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// One node's part of the overlay.
#[derive(Debug)]
pub struct Overlay {
    me: NodeId,
    identity: Identity,
    holder: Holder,
    members: Members,
    directory: Directory,
    stage: Stage,
    refused: BTreeMap<&'static str, u64>,
}

/// Whether this node stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Here,
    /// It withdraws what it registered, until then at the latest.
    Leaving(Instant),
    Left,
}

impl Overlay {
    /// A node that knows nobody.
    pub fn new(now: Instant, config: Config, rng: Rng) -> Self {
        let me = config.identity.node();
        let host = HostSummary {
            node: me,
            version: config.host.version.max(config.first_version),
            ..config.host
        };
        Self {
            me,
            identity: config.identity,
            holder: Holder::new(rng.keyed("holder")),
            members: Members::new(now, host, rng.keyed("members")),
            directory: Directory::new(me, config.first_version, rng.keyed("directory")),
            stage: Stage::Here,
            refused: BTreeMap::new(),
        }
    }

    /// What this node says of itself at present, coordinate and version filled in.
    pub const fn host(&self) -> &HostSummary {
        self.members.host()
    }

    /// The hosts that this node knows, itself left out.
    pub fn hosts(&self) -> impl Iterator<Item = NodeId> {
        self.members.nodes()
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle_input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        if self.stage == Stage::Left {
            if let Input::Query { id, .. } = input {
                let outcome = Outcome::Failed(QueryError::Timeout);
                out.push(Effect::Answer { id, outcome });
            }
            return;
        }
        match input {
            Input::Query { id, query } => {
                let (directory, mut around) = self.parts();
                directory.on_query(now, &mut around, id, query, out);
            }
            Input::Message { from, message } => self.on_message(now, from, message, out),
            Input::Walked { walk, peers } => {
                let (directory, mut around) = self.parts();
                directory.on_walked(now, &mut around, walk, peers, out);
            }
            Input::Connected(node) => {
                self.directory.on_heard(node);
                self.members.on_connected(now, node, out);
            }
            Input::Unreachable(node) => self.members.on_unreachable(now, node, out),
            Input::Describe(host) => self.on_describe(now, host),
            Input::Leave => self.on_leave(now, out),
            Input::Timeout => self.on_timeout(now, out),
        }
        self.follow_members(now, out);
        if let Stage::Leaving(until) = self.stage
            && (now >= until || !self.directory.is_keeping())
        {
            self.stage = Stage::Left;
            self.part(out);
        }
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let until = match self.stage {
            Stage::Here => None,
            Stage::Leaving(until) => Some(until),
            Stage::Left => return None,
        };
        let parts = [
            until,
            Some(self.members.poll_timeout()),
            self.directory.poll_timeout(),
            self.holder.store.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        let counts = &self.directory.counts;
        Stats {
            entries_held: convert::size(self.holder.store.entry_count()),
            keys_held: convert::size(self.holder.store.key_count()),
            entries_registered: convert::size(self.directory.registered_count()),
            hosts_known: convert::size(self.members.count()),
            queries_local: counts.queries_local,
            queries_remote: counts.queries_remote,
            walks: counts.walks,
            refused: self.refused.clone(),
        }
    }

    fn parts(&mut self) -> (&mut Directory, Around<'_>) {
        let around = Around {
            identity: &self.identity,
            holder: &mut self.holder,
            members: &self.members,
            refused: &mut self.refused,
        };
        (&mut self.directory, around)
    }

    fn on_message(&mut self, now: Instant, from: NodeId, message: Message, out: &mut Vec<Effect>) {
        if from == self.me {
            self.refuse("message from this node");
            return;
        }
        self.holder.suspects.heard(now, from);
        self.directory.on_heard(from);
        match message {
            Message::Ping { number, gossip } => {
                if !self.members.on_ping(now, from, number, gossip, out) {
                    self.refuse("ping of somebody else");
                }
            }
            Message::Pong { number, gossip } => {
                if !self.members.on_pong(now, from, number, gossip, out) {
                    self.refuse("answer to no ping");
                }
            }
            Message::Request { number, request } => {
                let (answer, refusal) = self.holder.serve(now, from, request);
                if let Some(refusal) = refusal {
                    self.refuse(refusal.reason());
                }
                out.push(Effect::Send {
                    to: from,
                    addresses: self.members.addresses(from),
                    message: Message::Answer { number, answer },
                });
            }
            Message::Answer { number, answer } => {
                let (directory, mut around) = self.parts();
                directory.on_answer(now, &mut around, from, number, answer, out);
            }
            Message::HandOver { entries } => {
                for held in entries.into_vec() {
                    if let Err(refusal) = self.holder.take_over(now, held) {
                        self.refuse(refusal.reason());
                    }
                }
            }
            Message::Suspect { owner } => self.suspect(now, owner, out),
            Message::Farewell => self.members.on_unreachable(now, from, out),
        }
    }

    /// Somebody could not reach an owner: it is asked whether it is there before its entries are served again.
    fn suspect(&mut self, now: Instant, owner: NodeId, out: &mut Vec<Effect>) {
        let holder = &mut self.holder;
        if owner != self.me && holder.store.has_owner(owner) && holder.suspects.suspect(now, owner)
        {
            let addresses = holder.store.addresses(owner);
            self.members.ping(now, owner, addresses, out);
        }
    }

    fn on_describe(&mut self, now: Instant, host: HostSummary) {
        let before = self.members.host();
        let is_changed = before.load != host.load || before.addresses != host.addresses;
        self.members.describe(host);
        if is_changed {
            self.directory.on_changed(now);
        }
    }

    fn on_leave(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.stage != Stage::Here {
            return;
        }
        self.stage = Stage::Leaving(now + LEAVE_TIMEOUT);
        let known: Vec<NodeId> = self.members.nodes().collect();
        for (to, message) in self.holder.bequest(now, self.me, &known) {
            let addresses = self.members.addresses(to);
            out.push(Effect::Send {
                to,
                addresses,
                message,
            });
        }
        let (directory, mut around) = self.parts();
        directory.withdraw_all(now, &mut around, out);
    }

    /// Says farewell.
    fn part(&mut self, out: &mut Vec<Effect>) {
        self.directory.give_up(out);
        for to in self.members.nodes() {
            out.push(Effect::Send {
                to,
                addresses: self.members.addresses(to),
                message: Message::Farewell,
            });
        }
        out.push(Effect::Left);
    }

    fn on_timeout(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.holder.store.expire(now);
        self.members.on_timeout(now, out);
        let (directory, mut around) = self.parts();
        directory.on_timeout(now, &mut around, out);
    }

    /// What follows from who came and who cannot be reached.
    fn follow_members(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for change in self.members.take_changes() {
            match change {
                Change::Came(node) => {
                    let known: Vec<NodeId> = self.members.nodes().collect();
                    let addresses = self.members.addresses(node);
                    for message in self.holder.belonging_to(now, node, self.me, &known) {
                        out.push(Effect::Send {
                            to: node,
                            addresses: addresses.clone(),
                            message,
                        });
                    }
                    self.directory.on_came(now, &Peer { node, addresses });
                }
                Change::Went(node) => {
                    let (directory, mut around) = self.parts();
                    directory.on_gone(now, &mut around, node, out);
                    self.suspect(now, node, out);
                }
            }
        }
    }

    fn refuse(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }
}

#[cfg(test)]
mod tests;
