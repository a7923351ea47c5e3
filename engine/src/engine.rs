//! The engine: the components of one host, the edges between them, and which of them runs next.
//!
//! An [`Engine`] is plain data. Sources [`offer`](Engine::offer) batches, workers take a [`Dispatch`] with
//! [`next`](Engine::next), run it outside, and hand it back with [`complete`](Engine::complete); sinks
//! [`receive`](Engine::receive) and [`acknowledge`](Engine::acknowledge). Threads do that in
//! [`crate::runtime`], virtual processors in the simulator.
//!
//! Edges to other hosts are fed and emptied by whoever drives the links: batches by
//! [`handle_batch`](Engine::handle_batch) and [`take_batches`](Engine::take_batches), pulls by
//! [`handle_pull`](Engine::handle_pull) and [`take_pull`](Engine::take_pull).
//!
//! How data moves is in `flow`, how components are made in `deploy` and joined in `join`, how they go in `retire`,
//! edges to other hosts in `remote`, budgets between them in `admitted`, what is told of all that in [`crate::report`] and `sample`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{ComponentId, EdgeId, EventTime, Instant, convert};

use crate::batch::Batch;
use crate::edge::storage::Order;
use crate::intake::Taken;
use crate::ledger::{Ledger, RETENTION_DIVISOR};
use crate::mailbox::{Channel, Waiting};
use crate::paged::Paged;
use crate::report::{self, ComponentReport, Report};
use crate::scheduler::{Policy, Rules, Scheduler, Worker};
use crate::share::Share;

mod admitted;
mod again;
mod application;
mod component;
mod deploy;
mod dispatch;
mod downstream;
mod edges;
mod ends;
mod flow;
mod join;
mod lacking;
mod measures;
mod order;
mod rebind;
mod rebuild;
mod remote;
mod resume;
mod retire;
mod sample;
mod shadows;
mod shape;
mod storage;
mod timers;

pub use admitted::Admitted;
pub(crate) use application::Application;
pub(crate) use component::{Component, Role};
pub use deploy::{
    DeployError, Deployed, Deployment, EDGES_MAX, OperatorDeployment, OperatorPart, RemoteEdge,
    SinkDeployment, SourcePart,
};
pub use dispatch::{Completed, Dispatch, Panicked};
use edges::{Edge, Producing};
pub use ends::Event;
pub use rebind::Provider;
pub use remote::{EdgeKind, TAPS_MAX};
pub use resume::StandingBy;
pub use sample::{OperatorSample, Sample};
pub use shadows::{CopyId, SHADOWS_MAX};
pub use storage::Slot;

/// Why a component is found: who asks has just found it, or holds an edge that goes with it.
const HERE: &str = "a component that edges and members name is here";

/// How often budgets are computed again from what was measured.
///
/// Unit: time. Range: well below the cool-down of any decision built on them. Source: guess.
const BUDGET_INTERVAL: Duration = Duration::from_millis(100);

/// The longest that one dispatch is to take, where no target asks for less: long batches are split.
///
/// Unit: time. Range: at least [`UNIT_MIN`]. Source: Cameo's quantum.
const UNIT_MAX: Duration = Duration::from_millis(1);

/// The shortest that batches are split for.
///
/// Unit: time. Source: guess; some fifty times what a dispatch costs.
const UNIT_MIN: Duration = Duration::from_micros(50);

/// What of the tightest budget others may be held up by one dispatch.
///
/// Unit: divisor. Source: design.
const UNIT_DIVISOR: u32 = 20;

/// What of the tightest budget a source may hold rows back for. Unit: divisor. Source: design; 5 %.
const LINGER_DIVISOR: u32 = 20;

/// The longest that a source holds rows back. Unit: time. Source: design.
const LINGER_MAX: Duration = Duration::from_millis(5);

/// What an engine is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The memory for data: state and what is retained. Unit: bytes. Range: from [`MEMORY_MIN`].
    pub memory_bytes: u64,
    /// What may lie in a storage of what is retained beyond the memory. Unit: bytes; zero where nobody carries out orders to a storage.
    pub disk_bytes: u64,
    /// How components are ordered.
    pub policy: Policy,
    /// Which rules of deadlines hold, where the policy knows them.
    pub rules: Rules,
    /// For how long a worker goes on with one component before it compares; where not given, as the policy has it.
    pub quantum: Option<Duration>,
    /// About how much of a large state leaves in one dispatch. Unit: bytes. Range: from 1; below what takes as long as a long batch may.
    pub export_bytes: usize,
}

/// The least memory that an engine can work with.
///
/// Unit: bytes. Source: guess; a few full batches on each of some dozens of edges.
pub const MEMORY_MIN: u64 = 8 << 20;

impl Default for Config {
    /// 256 MiB, deadlines, exports by a mebibyte.
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            disk_bytes: 0,
            policy: Policy::Deadline,
            rules: Rules::ALL,
            quantum: None,
            export_bytes: shadows::EXPORT_BYTES,
        }
    }
}

/// The components of one host.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    /// By number, which says nothing of who reads whom: see `in_order_of_flow`.
    pub(crate) components: Paged<ComponentId, Component>,
    edges: Paged<EdgeId, Edge>,
    /// Edges by which shadows elsewhere pull the state of components here.
    states: BTreeMap<EdgeId, shadows::StateEdge>,
    pub(crate) applications: Paged<u64, Application>,
    /// Numbers are never given twice.
    next_component: u64,
    next_edge: u64,
    next_application: u64,
    pub(crate) ledger: Ledger,
    scheduler: Scheduler,
    /// What each worker took last, and since when it goes on with that.
    turns: BTreeMap<Worker, (ComponentId, Instant)>,
    /// Whether an application ever had a share: where none had, none is looked for.
    has_shares: bool,
    /// The same of sources that cannot be read on.
    has_broken: bool,
    /// The time of the latest token that was worked off.
    reached: Instant,
    /// The worker whose work is being taken back.
    acting: Option<Worker>,
    /// The longest that one dispatch is to take.
    unit: Duration,
    /// How many batches were ever put into mailboxes.
    sequence: u64,
    budgets_due: Instant,
    /// When timers are to be looked at, if anything waits for time to pass.
    timers_due: Option<Instant>,
    signals: Signals,
    /// What is being sent; empty in between, and kept since it has grown already.
    sends: Vec<(EdgeId, Arc<Batch>)>,
    /// The same of what is appended.
    appends: Vec<(u16, Arc<Batch>)>,
    /// Edges between hosts that have something to be taken.
    ready: Vec<EdgeId>,
    /// What a storage is to do.
    orders: Vec<(Slot, Order)>,
    events: Vec<Event>,
}

/// Who may have something to do now that had nothing before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signals {
    /// Everybody at a source or at a sink: an application may have ended, or nobody can say who it is.
    pub all: bool,
    /// Otherwise these sources, which may offer; some more than once.
    pub sources: Vec<ComponentId>,
    /// Otherwise these sinks, which may receive; some more than once.
    pub sinks: Vec<ComponentId>,
}

/// How many sources or sinks are named before everybody is meant.
///
/// Unit: count. Source: guess; one change concerns a source and a sink as a rule.
const NAMED_MAX: usize = 64;

impl Signals {
    fn name_source(&mut self, source: ComponentId) {
        self.all |= !name(&mut self.sources, source);
    }

    fn name_sink(&mut self, sink: ComponentId) {
        self.all |= !name(&mut self.sinks, sink);
    }
}

/// Names one more, unless there are too many to be named.
fn name(named: &mut Vec<ComponentId>, component: ComponentId) -> bool {
    let is_named = named.last() == Some(&component);
    let has_place = named.len() < NAMED_MAX;
    if !is_named && has_place {
        named.push(component);
    }
    is_named || has_place
}

impl Engine {
    /// An engine without components.
    ///
    /// # Panics
    /// When the memory is less than [`MEMORY_MIN`].
    pub fn new(config: Config) -> Self {
        assert!(
            config.memory_bytes >= MEMORY_MIN,
            "an engine needs {MEMORY_MIN} bytes at least"
        );
        Self {
            config,
            components: Paged::new(),
            edges: Paged::new(),
            states: BTreeMap::new(),
            applications: Paged::new(),
            next_component: 0,
            next_edge: 0,
            next_application: 0,
            ledger: Ledger::new(config.memory_bytes),
            scheduler: Scheduler::new(config.policy),
            turns: BTreeMap::new(),
            has_shares: false,
            has_broken: false,
            reached: Instant::ZERO,
            acting: None,
            unit: UNIT_MAX,
            sequence: 0,
            budgets_due: Instant::ZERO,
            timers_due: None,
            signals: Signals::default(),
            sends: Vec::new(),
            appends: Vec::new(),
            ready: Vec::new(),
            orders: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Whether a source may offer more now.
    ///
    /// Not while those who read it have no credit left; and, where memory is short, only the source that
    /// waits behind no other of those that meet at a stateful operator.
    pub fn has_room(&self, source: ComponentId) -> bool {
        let Some(component) = self.components.get(&source) else {
            return false;
        };
        let Role::Source(source) = &component.role else {
            return false;
        };
        let has_room = || component.has_room_for(|_| source.origin);
        if component.has_failed() || !component.is_awake || !has_room() {
            return false;
        }
        if !self.ledger.is_short() {
            return true;
        }
        let members = self.members(component.application);
        let others = members.filter_map(|other| match &self.component(other).role {
            Role::Source(other) => Some(other),
            Role::Operator | Role::Sink(_) => None,
        });
        // One that has broken is waited for in vain.
        let least = others
            .filter(|other| other.group == source.group && other.broken.is_none())
            .map(|other| other.progress)
            .min();
        least.is_none_or(|least| source.progress <= least)
    }

    /// Takes what a source has read.
    ///
    /// Must be asked for with [`Engine::has_room`]; what is offered all the same is taken, and counted.
    pub fn offer(&mut self, now: Instant, source: ComponentId, taken: Taken) {
        let rows = taken.rows.rows.len();
        let bad = taken.bad.rows.len();
        let Some(component) = self.components.get_mut(&source) else {
            return;
        };
        // Where it is to go back it does not know of that yet, and reads this again.
        if component.has_failed() || component.goes_back().is_some() {
            return;
        }
        let is_new = component.reaches(&taken.rows.header);
        if is_new {
            component.counters.take(now, convert::size(rows + bad));
            component.counters.bad += convert::size(bad);
            let reason = component.counters.bad_reason.take();
            component.counters.bad_reason = reason.or(taken.bad_reason);
        }
        let wanted = component.wanted();
        let token = self.take_token(now, source, rows + bad);
        for (port, mut batch) in [(0, taken.rows), (1, taken.bad)] {
            batch.header.token = token;
            if wanted.contains(port) {
                self.append(now, source, port, batch);
            }
        }
    }

    /// The next batch that waits at a sink.
    pub fn receive(&mut self, now: Instant, sink: ComponentId) -> Option<(Channel, Arc<Batch>)> {
        let component = self.components.get_mut(&sink)?;
        let oldest = |waiting: &Waiting| waiting.batch.header.arrival;
        let channel = component.mailbox.first(oldest, |_| true)?;
        let entered = component.mailbox.head(channel)?.entered;
        let batch = component.mailbox.take_one(channel)?;
        component.queueing.note(now, now.since(entered));
        component.note_start(now, batch.header.arrival);
        if let Role::Sink(results) = &mut component.role {
            results.received += 1;
        }
        Some((channel, batch))
    }

    /// A sink has written a batch.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        sink: ComponentId,
        channel: Channel,
        batch: &Batch,
    ) {
        let bytes = convert::size(batch.rows.bytes());
        let Some(component) = self.components.get_mut(&sink) else {
            return;
        };
        component
            .counters
            .take(now, convert::size(batch.rows.len()));
        component.counters.missing += u64::from(batch.header.missing);
        component.note_result(now, channel, batch);
        self.taken(now, sink, channel, batch.header.interval.through(), bytes);
        if batch.header.progress == EventTime::MAX {
            self.check_finished(sink);
        }
        self.check_still(now, sink);
    }

    /// For how long a source may hold back what it has read, so that more leaves with it: a small part of the tightest budget behind it.
    pub fn linger(&self, source: ComponentId) -> Duration {
        let Some(component) = self.components.get(&source) else {
            return Duration::ZERO;
        };
        let budget = u64::try_from(component.budget.strictest().as_nanos()).unwrap_or(0);
        (Duration::from_nanos(budget) / LINGER_DIVISOR).min(LINGER_MAX)
    }

    /// From now on so many rows a second of an application go first, or all, where nothing is given. What is above that goes by its deadlines
    /// where nobody else is late.
    pub fn set_share(&mut self, application: u64, share: Option<Share>) {
        if let Some(application) = self.applications.get_mut(&application) {
            self.has_shares |= share.is_some();
            application.share = share;
        }
    }

    /// Says with how many cores an application was admitted: where it is late beside others, it gets its part by that.
    pub fn set_demand(&mut self, application: u64, cores: f64) {
        if self.applications.contains_key(&application) {
            self.scheduler.set_demand(application, cores);
        }
    }

    /// What has been counted and measured so far; nothing of an application that is not here.
    pub fn report(&self, now: Instant, application: u64) -> Option<Report> {
        report::report(self, now, application)
    }

    /// What has been counted and measured so far of a component that is here, whoever made it.
    pub fn report_of(&self, now: Instant, id: ComponentId) -> Option<ComponentReport> {
        let component = self.components.get(&id)?;
        Some(report::component(self, now, id, component))
    }

    /// Whether an application is here: not after it has retired.
    pub fn is_deployed(&self, application: u64) -> bool {
        self.applications.contains_key(&application)
    }

    /// Whether a component is here: not after it has retired.
    pub fn is_here(&self, component: ComponentId) -> bool {
        self.components.contains_key(&component)
    }

    /// The edges between hosts that have had nothing to be taken before and have now, since this was last
    /// asked. Some may have gone since.
    pub fn take_ready(&mut self) -> Vec<EdgeId> {
        std::mem::take(&mut self.ready)
    }

    /// What happened since this was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Who may have something to do since this was last asked.
    pub fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// Whether each operator is to have a worker of its own, called by its number.
    pub fn wants_slots(&self) -> bool {
        self.scheduler.wants_slots()
    }

    /// Which of the operators that have workers of their own could not run before, since this was last asked.
    pub fn take_woken(&mut self) -> Vec<ComponentId> {
        self.scheduler.take_woken()
    }

    /// How many components could run now.
    pub fn runnable(&self) -> usize {
        self.scheduler.len()
    }

    /// How many applications, components and edges are here, and entries of the ledger: what must not grow
    /// with those that have gone.
    pub fn sizes(&self) -> [usize; 4] {
        [
            self.applications.len(),
            self.components.len(),
            self.edges.len() + self.states.len(),
            self.ledger.len(),
        ]
    }

    /// How much memory is held, was held at most, and may be held, in bytes.
    pub const fn memory(&self) -> &Ledger {
        &self.ledger
    }

    /// Shares what may be retained among all streams that somebody reads.
    fn share_retention(&mut self) {
        let outputs = |component: &Component| {
            let read = component
                .outputs
                .iter()
                .filter(|output| !output.readers.is_empty());
            convert::size(read.count())
        };
        let streams: u64 = self.components.values().map(outputs).sum();
        let share = self.config.memory_bytes / RETENTION_DIVISOR / streams.max(1);
        let stored = self.config.disk_bytes / streams.max(1);
        for component in self.components.values_mut() {
            for output in &mut component.outputs {
                output.producer.set_retention(share);
                output.producer.set_storage(stored);
            }
        }
    }

    fn members(&self, application: u64) -> impl Iterator<Item = ComponentId> + '_ {
        let members = self
            .applications
            .get(&application)
            .map(|application| application.members.as_slice());
        members.unwrap_or_default().iter().copied()
    }

    /// How many batches of another host were refused at an edge.
    pub(crate) fn refused(&self, edge: EdgeId) -> u64 {
        match self.edges.get(&edge).map(|edge| &edge.producer) {
            Some(Producing::Elsewhere(link)) => link.refused,
            _ => 0,
        }
    }

    /// What the consuming end of an edge has dropped, where that is here.
    pub(crate) fn dropped(&self, edge: EdgeId) -> Option<(u64, u64)> {
        Some(self.edges.get(&edge)?.inbound()?.state.dropped())
    }

    pub(crate) fn component(&self, id: ComponentId) -> &Component {
        self.components.get(&id).expect(HERE)
    }

    fn component_mut(&mut self, id: ComponentId) -> &mut Component {
        self.components.get_mut(&id).expect(HERE)
    }
}
