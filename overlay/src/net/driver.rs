//! The one task that drives a node's swarm and its [`Overlay`] machine.
//!
//! Everything that waits has a bound, and everything that is dropped is counted. What a task reads of a peer
//! comes here as a [`Report`]; [`heard`] takes it in, [`links`] knows what is said to whom, [`swarm`] hears what the library tells,
//! [`watch`] finds out who has fallen silent, and [`leave`] ends it all in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, kad};
use model::{Clock, HostSummary, Instant, Key, NodeId, Outcome, Query, QueryError, Rng};
use tokio::sync::{mpsc, oneshot};

use self::links::Link;
use self::outbox::Outbox;
use super::behavior::{Behavior, BehaviorEvent};
use super::book::Book;
use super::control::{Frame, Heard, WriterEnd};
use super::gauge::{Places, Refused};
use super::join::Join;
use super::opening::Incoming;
use super::shared::{Command, Shared};
use super::substreams::Reply;
use super::transport::Lives;
use super::{Event, NetworkStats};
use crate::machine::{Effect, Input, Overlay, Peer, QueryId, WalkId};

mod heard;
mod leave;
pub(super) mod links;
mod outbox;
mod swarm;
mod walks;
mod watch;

/// How many queries may be under way. Unit: queries. Source: guess; each lasts 3 s at most.
const QUERIES_MAX: usize = 4_096;

/// How many reports of tasks may wait; beyond it they read no more of their peers.
///
/// Each is a control message of 1 MiB at most, hence 64 MiB. Source: guess.
pub(super) const REPORTS_MAX: usize = 64;

/// How many effects of the overlay are performed before anything else has its turn. Source: guess.
const EFFECTS_PER_TURN: usize = 1_024;

/// What a task tells the driver.
#[derive(Debug)]
pub(super) enum Report {
    /// A peer said something on a control substream.
    Heard { from: NodeId, heard: Heard },
    /// A writer came to its end.
    WriterEnded {
        to: NodeId,
        generation: u64,
        end: WriterEnd,
    },
    /// A peer wants to open a data stream.
    Incoming(Incoming),
}

/// What the driver is made of.
pub(super) struct Parts {
    pub(super) node: NodeId,
    pub(super) swarm: Swarm<Behavior>,
    pub(super) overlay: Overlay,
    pub(super) host: HostSummary,
    pub(super) lives: Lives,
    pub(super) join: Vec<Multiaddr>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Rng,
    pub(super) refused: Refused,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
    /// What the swarm told before there was a driver.
    pub(super) early: Vec<SwarmEvent<BehaviorEvent>>,
}

/// Drives a node's network.
pub(super) struct Driver {
    node: NodeId,
    swarm: Swarm<Behavior>,
    overlay: Overlay,
    effects: VecDeque<Effect>,
    /// What this node said of itself last, and the addresses that it told with it.
    host: HostSummary,
    is_loopback: bool,
    clock: Arc<dyn Clock>,
    refused: Refused,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    reports: mpsc::Receiver<Report>,
    reporter: mpsc::Sender<Report>,
    outbox: Outbox,
    queries: BTreeMap<QueryId, oneshot::Sender<Outcome>>,
    query_count: u64,
    walks: Vec<(kad::QueryId, WalkId, Key, usize)>,
    links: BTreeMap<NodeId, Link>,
    /// Writers made so far.
    writer_count: u64,
    /// Those of them that have not ended.
    writers_running: usize,
    /// Data streams of all peers that wait for an answer.
    waiting: Places,
    book: Book,
    lives: Lives,
    join: Join,
    dials: BTreeMap<libp2p::swarm::ConnectionId, usize>,
    /// When those that are watched are looked at next.
    tick: Option<Instant>,
    /// Whether the overlay has said all that leaving takes.
    has_left: bool,
}

/// What is to be done after a turn.
enum Turn {
    Continue,
    /// Everybody who could ask for anything is gone.
    Abandoned,
    Leave(oneshot::Sender<()>),
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS_MAX);
        let now = parts.clock.now();
        let mut driver = Self {
            node: parts.node,
            swarm: parts.swarm,
            overlay: parts.overlay,
            effects: VecDeque::new(),
            host: parts.host,
            is_loopback: true,
            clock: parts.clock,
            outbox: Outbox::new(parts.events, parts.refused.clone()),
            refused: parts.refused,
            shared: parts.shared,
            commands: parts.commands,
            reports,
            reporter,
            queries: BTreeMap::new(),
            query_count: 0,
            walks: Vec::new(),
            links: BTreeMap::new(),
            writer_count: 0,
            writers_running: 0,
            waiting: Places::default(),
            book: Book::default(),
            lives: parts.lives,
            join: Join::new(now, &parts.join, parts.rng),
            dials: BTreeMap::new(),
            tick: None,
            has_left: false,
        };
        driver.advertise();
        for event in parts.early {
            driver.on_swarm(event);
        }
        driver
    }

    /// Runs until this node leaves, or nobody could ask for anything any more.
    pub(super) async fn run(mut self) {
        loop {
            match self.turn(None).await {
                Turn::Continue => {}
                Turn::Abandoned => return,
                Turn::Leave(done) => {
                    self.leave().await;
                    // Whoever asked may have given up.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// Waits for one thing to happen, at most until `until`, and does what follows from it.
    async fn turn(&mut self, until: Option<Instant>) -> Turn {
        self.perform();
        self.on_time();
        self.perform();
        let wait = self.next_time(until).map(|at| at - self.clock.now());
        let wait = match self.effects.is_empty() {
            true => wait.unwrap_or(FOREVER),
            false => Duration::ZERO,
        };
        tokio::select! {
            event = futures::StreamExt::select_next_some(&mut self.swarm) => self.on_swarm(event),
            command = self.commands.recv() => match command {
                Some(Command::Leave(done)) => return Turn::Leave(done),
                Some(command) => self.on_command(command),
                None => return Turn::Abandoned,
            },
            report = self.reports.recv() => {
                self.on_report(report.expect("the driver itself keeps a sender"));
            }
            () = self.outbox.deliver() => {}
            () = self.shared.overflown.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        self.on_overflow();
        Turn::Continue
    }

    fn next_time(&self, until: Option<Instant>) -> Option<Instant> {
        let times = [
            until,
            self.overlay.poll_timeout(),
            self.join.poll_timeout(),
            self.tick,
        ];
        times.into_iter().flatten().min()
    }

    /// Does what is due.
    fn on_time(&mut self) {
        let now = self.clock.now();
        if self.overlay.poll_timeout().is_some_and(|at| at <= now) {
            self.tell(Input::Timeout);
        }
        for dial in self.join.due(now) {
            self.on_dial(now, dial);
        }
        if self.tick.is_some_and(|at| at <= now) {
            self.on_tick(now);
        }
    }

    /// Gives an input to the overlay.
    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.overlay.handle_input(self.clock.now(), input, &mut out);
        self.effects.extend(out);
    }

    /// Performs what the overlay wants, some of it at least.
    fn perform(&mut self) {
        for _ in 0..EFFECTS_PER_TURN {
            let Some(effect) = self.effects.pop_front() else {
                return;
            };
            self.on_effect(effect);
        }
    }

    fn on_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { id, outcome } => {
                if let Some(reply) = self.queries.remove(&id) {
                    // Whoever asked may have given up.
                    drop(reply.send(outcome));
                }
            }
            Effect::Send {
                to,
                addresses,
                message,
            } => {
                self.learn(to, &addresses);
                self.say(to, Frame::Overlay(model::wire::encode(&message)));
            }
            Effect::Walk { walk, key, count } => self.on_walk(walk, key, count),
            Effect::Seen {
                summary,
                round_trip,
            } => {
                self.learn(summary.node, &summary.addresses);
                self.outbox.push(Event::Seen {
                    summary,
                    round_trip,
                });
            }
            Effect::Lost(node) => {
                self.forget(node);
                self.outbox.push(Event::Lost(node));
            }
            Effect::Left => self.has_left = true,
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Query { query, reply } => self.on_query(query, reply),
            Command::Send { to, bytes, weight } => {
                self.say(to, Frame::Payload(bytes));
                drop(weight);
            }
            Command::Open { to, reply } => self.open(to, reply),
            Command::Say { to, message } => {
                self.say(to, Frame::Overlay(model::wire::encode(&*message)));
            }
            Command::Describe(host) => {
                let addresses = std::mem::take(&mut self.host.addresses);
                self.host = HostSummary { addresses, ..*host };
                self.tell(Input::Describe(self.host.clone()));
            }
            Command::Stats(reply) => drop(reply.send(self.stats())),
            Command::Leave(_) => unreachable!("leaving is the caller's"),
        }
    }

    fn on_query(&mut self, query: Query, reply: oneshot::Sender<Outcome>) {
        if self.queries.len() >= QUERIES_MAX {
            self.queries.retain(|_, reply| !reply.is_closed());
        }
        if self.queries.len() >= QUERIES_MAX {
            drop(reply.send(Outcome::Failed(QueryError::Timeout)));
            return;
        }
        self.query_count += 1;
        let id = QueryId(self.query_count);
        self.queries.insert(id, reply);
        self.tell(Input::Query { id, query });
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Heard { from, heard } => self.on_heard(from, heard),
            Report::WriterEnded {
                to,
                generation,
                end,
            } => self.on_writer_ended(to, generation, end),
            Report::Incoming(incoming) => self.outbox.push(Event::Incoming(incoming)),
        }
    }

    /// What did not even find room on its way here is as lost as what finds its peer gone.
    fn on_overflow(&mut self) {
        let lost: BTreeSet<NodeId> = self.shared.take_lost();
        for node in lost {
            self.outbox.push(Event::Unreachable(node));
        }
    }

    /// A peer cannot be reached, and something is lost by it.
    fn on_unreachable(&mut self, node: NodeId) {
        tracing::debug!(%node, "unreachable");
        self.tell(Input::Unreachable(node));
        self.outbox.push(Event::Unreachable(node));
    }

    fn stats(&mut self) -> NetworkStats {
        let is_connected = |link: &&Link| link.is_connected();
        let connections = self.links.values().filter(is_connected).count();
        let buckets = self.swarm.behaviour_mut().kad.kbuckets();
        let routing_peers = buckets.map(|bucket| bucket.num_entries()).sum();
        NetworkStats {
            connections: model::convert::size(connections),
            routing_peers: model::convert::size(routing_peers),
            overlay: self.overlay.stats(),
            refused: self.refused.counts(),
        }
    }
}

/// Longer than anybody waits. Unit: time.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
