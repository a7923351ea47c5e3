//! The control plane of a node as one machine without I/O.
//!
//! [`Node`] owns a composer, keeps the records of applications and streams, and speaks to the overlay and to
//! other nodes through effects. It contains no algorithm: it carries what siblings want of one another. All
//! that happens to it comes in by one door, so that `(now, input)` pairs that were written down replay it.
//!
//! Commands that need others become a [`task`] with a deadline: each is answered once, also when everybody is
//! silent. What a host runs for an application is a [`part`]; what every host of it keeps and can prove is its
//! [`record`], handed around by [`spread`] until all have it; where the two do not agree, what is [`missing`] is told. Of two records the greater
//! [`Standing`](record::Standing) stands, everywhere, so that order and repetition of messages do not matter.

mod apply;
mod asking;
mod command;
mod composed;
mod counts;
mod finding;
mod former;
mod handover;
mod info;
mod journal;
mod listing;
mod lookup;
mod message;
mod migration;
mod missing;
mod moving;
mod names;
mod part;
mod publishing;
mod record;
mod recorder;
mod records;
mod spread;
mod status;
mod stop;
mod streams;
mod tap;
mod task;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use composition::{Composer, MigrationId};
use model::{
    ApplicationId, ComponentGraph, CompositionId, HostSummary, Instant, NodeId, Outcome, Query, Rng,
};
use overlay::Identity;

pub use command::*;
pub use recorder::{EffectsDigest, RecordedError, Recorder, replay};

use counts::Counts;
use former::Former;
use journal::Journal;
use missing::Missing;
use moving::Moves;
use part::Part;
use records::Records;
use spread::Spread;
use task::Task;
use view::View;

/// What a node is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who this is; its public half is the id of `host`.
    pub identity: Identity,
    /// What it says of itself: its id, name, addresses, capacity, labels, offered operators.
    pub host: HostSummary,
    /// The network that it belongs to, for people.
    pub network: String,
    /// How it composes.
    pub composition: composition::Config,
    /// The first number of its compositions and versions of its records: larger than any that it used before,
    /// also before a restart.
    pub first_number: u64,
    /// Whether nobody was this node before: then it has no applications from before a restart.
    pub is_new: bool,
}

/// What happens to a node.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Input {
    /// A person or a program on this host asks something.
    Command {
        /// Which answer belongs to it.
        id: CommandId,
        /// What.
        command: Command,
    },
    /// The overlay's answer to [`Effect::Query`].
    Outcome {
        /// To which.
        query: u64,
        /// What.
        outcome: Outcome,
    },
    /// A control message of a peer, not decoded yet.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A peer cannot be reached.
    Unreachable(NodeId),
    /// A host is there, or said something new of itself.
    Seen {
        /// What it says.
        summary: Arc<HostSummary>,
        /// The round trip to it, where this node measured it.
        round_trip: Option<Duration>,
    },
    /// A host was not heard of for so long that it no longer counts.
    Lost(NodeId),
    /// How many cores of this host are in use.
    Load {
        /// By everything that runs on it.
        busy_cores: f64,
    },
    /// What was measured of what runs here, about once a second.
    Measured {
        /// Of which composition.
        id: CompositionId,
        /// What.
        measured: Measured,
    },
    /// What [`Effect::Deploy`] asked for is there.
    Deployed(CompositionId),
    /// What [`Effect::Deploy`] asked for could not be made; nothing of it is there.
    DeployFailed {
        /// For which composition.
        id: CompositionId,
        /// Why.
        reason: String,
    },
    /// What [`Effect::Prepare`] asked for is there.
    Prepared {
        /// For which migration.
        id: MigrationId,
        /// How much state was taken over here. Unit: bytes.
        state_bytes: u64,
    },
    /// What [`Effect::Prepare`] asked for could not be made; nothing of it is there.
    PrepareFailed {
        /// For which migration.
        id: MigrationId,
        /// Why.
        reason: String,
    },
    /// Something happened to the components that run here for a composition.
    Happened {
        /// Which composition.
        id: CompositionId,
        /// What.
        event: PartEvent,
    },
    /// The answer to [`Effect::Report`].
    Reported {
        /// To which.
        ticket: u64,
        /// What was counted.
        report: PartReport,
    },
    /// The time of [`Node::poll_timeout`] has come.
    Timeout,
}

/// What was measured of the components that run here for a composition since the last time.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct Measured {
    /// Of each operator of its own that runs here, by its place in the plan.
    pub operators: Vec<composition::Usage>,
    /// The delay of results at the sinks here, at the quantile that the application asks for; nothing where none came.
    pub delay: Option<Duration>,
}

/// What happened to the components that run here for a composition.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum PartEvent {
    /// All results have left the sinks that are here, and no more will come.
    Finished,
    /// A source here cannot be read on; what it gave still leaves.
    Degraded {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// A component failed, and with it the application.
    Failed {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// An edge to another host is broken and is tried again.
    Disconnected {
        /// Which host.
        host: NodeId,
    },
    /// It goes on.
    Reconnected {
        /// Which host.
        host: NodeId,
    },
    /// Nobody pulls from here any more: the components are gone.
    Retired,
}

/// What was counted of the components that run here for a composition.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct PartReport {
    /// The components; `host` and `node` are filled in by [`Node`].
    pub components: Vec<ComponentRow>,
    /// What its results are to meet, where sinks are here.
    pub target_ms: Option<f64>,
    /// The delays of results at the sinks that are here: of several, the longest.
    pub delay_ms: Option<Quantiles>,
    /// Of these, those of the last minute or half of it.
    pub recent_delay_ms: Option<Quantiles>,
    /// Rows that left the sinks here.
    pub results: u64,
    /// Of these, after the target.
    pub misses: u64,
    /// Rows that left the sinks here in the last minute or half of it.
    pub recent_results: u64,
    /// Of these, after the target.
    pub recent_misses: u64,
    /// Rows that results say they lack.
    pub missing: u64,
}

/// What a node wants done, or tells.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub enum Effect {
    /// The answer to a command. Each command is answered once, in bounded time.
    Answer {
        /// To which.
        id: CommandId,
        /// What.
        answered: Answered,
    },
    /// Ask the overlay.
    Query {
        /// Which outcome belongs to it.
        query: u64,
        /// What.
        ask: Query,
    },
    /// Send a control message.
    Send {
        /// To whom; never this node itself.
        to: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Make components of all parts that the graph binds to this node; open no edge upstream yet. Answered once by
    /// [`Input::Deployed`] or [`Input::DeployFailed`], also where it was retired in the meantime: one composition may
    /// be deployed, retired and deployed again, and answers are counted; the one for what was retired comes at once.
    Deploy {
        /// For which composition.
        id: CompositionId,
        /// Of which application.
        application: ApplicationId,
        /// The parts and where each of them is.
        graph: Box<ComponentGraph>,
    },
    /// The sinks that are here for a composition pull.
    Start {
        /// Which one.
        id: CompositionId,
        /// With how many cores it was admitted here.
        cores: f64,
    },
    /// Make ready for another graph of a composition, of which one operator goes elsewhere. Nothing that runs here changes before
    /// [`Effect::Switch`]. Where the operator comes here, it takes over its state and runs on beside the one that it follows; where something here is
    /// read by it, an edge is opened beside the one that there is. Answered once by [`Input::Prepared`] or [`Input::PrepareFailed`], unless
    /// [`Effect::Abandon`] or [`Effect::Retire`] came before.
    Prepare {
        /// Which migration.
        id: MigrationId,
        /// Of which application.
        application: ApplicationId,
        /// The parts and where each of them is to be.
        graph: Box<ComponentGraph>,
        /// Which operator goes elsewhere.
        operator: u16,
        /// Where it runs, and has its state.
        from: NodeId,
    },
    /// The graph that was made ready for holds: each reader here reads from where it says, from where that reader is, and what nobody reads any
    /// more goes.
    Switch {
        /// Which migration.
        id: MigrationId,
        /// The graph.
        graph: Box<ComponentGraph>,
        /// With how many cores the application was admitted here.
        cores: f64,
    },
    /// Drop what was made ready: the graph does not come about.
    Abandon(MigrationId),
    /// Drop all components that are here for a composition, or are being made; edges upstream say goodbye. Nothing is
    /// to be told of them after that, but the answer to [`Effect::Deploy`] where it has not been given.
    Retire(CompositionId),
    /// End an application that has started: its sinks pull no more, and what nobody else reads goes with them. What others
    /// read stays until they stop. Answered once by [`PartEvent::Retired`], when nothing of it is left.
    Release(CompositionId),
    /// Say what was counted of a composition here.
    Report {
        /// Which answer belongs to it.
        ticket: u64,
        /// Of which composition.
        id: CompositionId,
    },
    /// What this host says of itself from now on.
    Describe(HostSummary),
    /// Something that people should find in the log.
    Note(String),
}

/// How many open questions to the overlay are remembered before those are looked through whose task is over.
const QUERIES_MAX: usize = 4096;

/// The control plane of a node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    rng: Rng,
    composer: Composer,
    view: View,
    records: Records,
    /// What runs here, by composition. Bounded by what the composer allocates.
    parts: BTreeMap<CompositionId, Box<Part>>,
    /// How many deployments of a composition the driver has not answered yet.
    deploys_due: BTreeMap<CompositionId, u32>,
    /// What should run here by its record and does not, by application. Bounded by the records that are kept.
    missing: BTreeMap<ApplicationId, Missing>,
    /// What it decided of late.
    journal: Journal,
    /// Components that it was asked to give away.
    moves: Moves,
    /// Who waits for what goes elsewhere.
    migrating: migration::Asked,
    /// Records that somebody has not confirmed yet.
    spreads: BTreeMap<ApplicationId, Spread>,
    /// What it left before it was started anew.
    former: Former,
    /// Streams that this node publishes, by name.
    publications: BTreeMap<String, Publication>,
    /// Commands that are being carried out, by ticket.
    tasks: BTreeMap<u64, Task>,
    /// For which task the overlay was asked.
    queries: BTreeMap<u64, u64>,
    /// For which look-up of the composer the overlay was asked.
    lookups: BTreeMap<u64, u64>,
    /// Of which application the overlay was asked for the record.
    record_lookups: BTreeMap<u64, ApplicationId>,
    /// For whom the driver was asked what it counted.
    reports: BTreeMap<u64, asking::ReportFor>,
    /// Compositions that were not ready when whoever asked for them was told so.
    overdue: BTreeSet<CompositionId>,
    counts: Counts,
    next_number: u64,
    /// Since when it is there: nothing before it has said so to the overlay.
    since: Option<Instant>,
}

impl Node {
    /// A node that knows nobody. It says that it is there with its first input.
    ///
    /// # Panics
    /// When the identity is not that of the host.
    pub fn new(config: Config, rng: Rng) -> Self {
        assert_eq!(
            config.identity.node(),
            config.host.node,
            "a node is who it says it is"
        );
        let composer = Composer::new(config.composition.clone(), rng.keyed("composer"));
        Self {
            composer,
            view: View::new(config.host.clone()),
            records: Records::default(),
            parts: BTreeMap::new(),
            deploys_due: BTreeMap::new(),
            missing: BTreeMap::new(),
            journal: Journal::default(),
            moves: Moves::default(),
            migrating: migration::Asked::new(),
            spreads: BTreeMap::new(),
            former: Former::default(),
            publications: BTreeMap::new(),
            tasks: BTreeMap::new(),
            queries: BTreeMap::new(),
            lookups: BTreeMap::new(),
            record_lookups: BTreeMap::new(),
            reports: BTreeMap::new(),
            overdue: BTreeSet::new(),
            counts: Counts::default(),
            next_number: config.first_number,
            since: None,
            rng: rng.keyed("node"),
            config,
        }
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle_input(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        if self.since.is_none() {
            self.since = Some(now);
            self.list_host(out);
        }
        match input {
            Input::Command { id, command } => self.on_command(now, id, command, out),
            Input::Outcome { query, outcome } => self.on_outcome(now, query, outcome, out),
            Input::Message { from, bytes } => self.on_bytes(now, from, &bytes, out),
            Input::Unreachable(node) => self.on_unreachable(now, node, out),
            Input::Seen {
                summary,
                round_trip,
            } => self.on_seen(now, summary, round_trip, out),
            Input::Lost(node) => self.view.lose(node),
            Input::Load { busy_cores } => self.on_load(busy_cores, out),
            Input::Measured { id, measured } => self.on_measured(now, id, measured, out),
            Input::Deployed(id) => self.on_deployed(now, id, out),
            Input::DeployFailed { id, reason } => self.on_deploy_failed(now, id, reason, out),
            Input::Prepared { id, state_bytes } => {
                self.compose(now, composition::Input::Prepared { id, state_bytes }, out);
            }
            Input::PrepareFailed { id, reason } => {
                self.compose(now, composition::Input::PrepareFailed { id, reason }, out);
            }
            Input::Happened { id, event } => self.on_happened(now, id, event, out),
            Input::Reported { ticket, report } => self.on_reported(now, ticket, report, out),
            Input::Timeout => self.on_timeout(now, out),
        }
        self.trim();
    }

    /// Gives back the room of what is over: a map that held something once keeps that of eleven.
    fn trim(&mut self) {
        if self.tasks.is_empty() {
            self.tasks = BTreeMap::new();
        }
        if self.spreads.is_empty() {
            self.spreads = BTreeMap::new();
        }
    }

    /// Whether another host is known: whether this node has joined anybody.
    pub fn knows_hosts(&self) -> bool {
        !self.view.hosts.hosts.is_empty()
    }

    /// How long a component that runs here takes, as it is projected now: see [`Composer::execution`].
    pub fn projected_execution(&self, id: CompositionId, operator: u16) -> Option<Duration> {
        self.composer.execution(&self.view.hosts, id, operator)
    }

    /// Its composer: what it has promised, and whom it serves.
    pub const fn composer(&self) -> &Composer {
        &self.composer
    }

    /// What people call a host.
    pub fn name_of(&self, host: NodeId) -> String {
        self.view.name(host)
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.since.is_none() {
            return Some(Instant::ZERO);
        }
        let tasks = self.tasks.values().map(|task| task.deadline);
        let reports = self.reports.values().map(|report| report.deadline);
        let spreads = self.spreads.values().map(Spread::poll_timeout);
        let parts = self.parts.values().filter_map(|part| part.poll_timeout());
        let missing = self.missing.values().map(Missing::poll_timeout);
        tasks
            .chain(reports)
            .chain(spreads)
            .chain(parts)
            .chain(missing)
            .chain(self.moves.poll_timeout())
            .chain(self.former.poll_timeout())
            .chain(self.records.poll_timeout())
            .chain(self.composer.poll_timeout())
            .min()
    }

    fn on_timeout(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.composer.poll_timeout().is_some_and(|at| at <= now) {
            self.compose(now, composition::Input::Timeout, out);
        }
        self.end_late_reports(now, out);
        self.end_late_tasks(now, out);
        self.repeat_spreads(now, out);
        self.tend_parts(now, out);
        self.tend_missing(now, out);
        self.tend_drain(now, out);
        self.look_for_former(now, out);
        self.expire_records(now, out);
    }

    fn on_unreachable(&mut self, now: Instant, node: NodeId, out: &mut Vec<Effect>) {
        self.view.miss(node);
        self.compose(now, composition::Input::Unreachable(node), out);
        self.on_host_unreachable(now, node, out);
    }

    /// This node's id.
    const fn id(&self) -> NodeId {
        self.config.host.node
    }

    /// A number that this node has not used before: of a composition, a query, a ticket.
    const fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Asks the overlay for a task; its answer comes back to the task.
    fn query_for(&mut self, ticket: u64, ask: Query, out: &mut Vec<Effect>) -> u64 {
        if self.queries.len() >= QUERIES_MAX {
            let tasks = &self.tasks;
            self.queries.retain(|_, ticket| tasks.contains_key(ticket));
        }
        let query = self.take_number();
        self.queries.insert(query, ticket);
        out.push(Effect::Query { query, ask });
        query
    }

    /// Tells the overlay something; nobody waits for its answer.
    fn tell_overlay(&mut self, ask: Query, out: &mut Vec<Effect>) {
        let query = self.take_number();
        out.push(Effect::Query { query, ask });
    }
}
