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
mod effect;
mod finding;
mod former;
mod handover;
mod happened;
mod info;
mod input;
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
mod recall;
mod record;
mod recorder;
mod records;
mod repair;
mod spread;
mod status;
mod stop;
mod streams;
mod surviving;
mod tap;
mod task;
mod telling;
#[cfg(test)]
mod tests;
mod unasked;
mod view;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use composition::Composer;
use model::{ApplicationId, CompositionId, HostSummary, Instant, NodeId, Query, Rng};
use overlay::Identity;

pub use command::*;
pub use effect::Effect;
pub use input::{Input, Measured, Pace, PartEvent, PartReport};
pub use recorder::{EffectsDigest, RecordedError, Recorder, replay};

use counts::Counts;
use former::Former;
use journal::Journal;
use missing::Missing;
use moving::Moves;
use part::Part;
use records::Records;
use repair::Repairs;
use spread::Spread;
use task::Task;
use view::View;
use watch::Watch;

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
    /// Whether it moves components by itself, where targets or hosts are in danger; when asked to it always does.
    pub migrates: bool,
    /// Whether it goes on in the place of hosts that are gone, and makes again what it has lost itself.
    pub repairs: bool,
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
    watch: Watch,
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
    /// What is to go on elsewhere, since a host is gone.
    repairs: Repairs,
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
    reports: BTreeMap<u64, telling::ReportFor>,
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
            watch: Watch::default(),
            records: Records::default(),
            parts: BTreeMap::new(),
            deploys_due: BTreeMap::new(),
            missing: BTreeMap::new(),
            journal: Journal::default(),
            moves: Moves::default(),
            migrating: migration::Asked::new(),
            repairs: Repairs::default(),
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
            Input::Lost(node) => {
                self.view.lose(now, node);
                self.on_missed(now, node);
            }
            Input::Load { used } => self.on_load(now, used, out),
            Input::Measured { id, measured } => self.on_measured(now, id, measured, out),
            Input::Deployed(id) => self.on_deployed(now, id, out),
            Input::DeployFailed { id, reason } => self.on_deploy_failed(now, id, reason, out),
            Input::Prepared { id, taken } => {
                self.compose(now, composition::Input::Prepared { id, taken }, out);
            }
            Input::PrepareFailed { id, reason } => {
                self.compose(now, composition::Input::PrepareFailed { id, reason }, out);
            }
            Input::Happened { id, event } => self.on_happened(now, id, event, out),
            Input::Reported { ticket, report } => self.on_reported(now, ticket, report, out),
            Input::Recalled(record) => self.on_recalled(now, &record, out),
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
            .chain(self.repairs.poll_timeout())
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
        self.tend_repairs(now, out);
        self.look_for_former(now, out);
        self.tend_recalled(now, out);
        self.expire_records(now, out);
    }

    fn on_unreachable(&mut self, now: Instant, node: NodeId, out: &mut Vec<Effect>) {
        self.view.miss(now, node);
        self.compose(now, composition::Input::Unreachable(node), out);
        self.on_host_unreachable(now, node, out);
        self.on_missed(now, node);
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
