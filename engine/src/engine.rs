//! The engine: the components of one host, the edges between them, and which of them runs next.
//!
//! An [`Engine`] is plain data. Sources [`offer`](Engine::offer) batches, workers take a [`Dispatch`] with
//! [`next`](Engine::next), run it outside, and hand it back with [`complete`](Engine::complete); sinks
//! [`receive`](Engine::receive) and [`acknowledge`](Engine::acknowledge). Threads do that in
//! [`crate::runtime`], virtual processors in the simulator.
//!
//! How data moves is in `flow`, how components are made in `deploy`, what is told of them in
//! [`crate::report`].

use std::sync::Arc;
use std::time::Duration;

use model::{ComponentId, EdgeId, EventTime, Instant, convert};

use crate::batch::Batch;
use crate::budget::{self, Stage};
use crate::intake::Taken;
use crate::ledger::{Ledger, RETENTION_DIVISOR};
use crate::mailbox::Channel;
use crate::report::{self, Report};
use crate::scheduler::{Policy, Scheduler, Waiting};

mod component;
mod deploy;
mod dispatch;
mod ends;
mod flow;

use component::Output;
pub(crate) use component::{Application, Component, Edge, Role};
pub use deploy::{Deployed, Deployment, OperatorDeployment, SinkDeployment, SourceDeployment};
use dispatch::Work;
pub use dispatch::{Completed, Dispatch, Panicked};
pub use ends::Event;

/// How often budgets are computed again from what was measured.
///
/// Unit: time. Range: well below the cool-down of any decision built on them. Source: guess.
const BUDGET_INTERVAL: Duration = Duration::from_millis(100);

/// What an engine is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The memory for data: state and what is retained. Unit: bytes. Range: from [`MEMORY_MIN`].
    pub memory_bytes: u64,
    /// How components are ordered.
    pub policy: Policy,
}

/// The least memory that an engine can work with.
///
/// Unit: bytes. Source: guess; a few full batches on each of some dozens of edges.
pub const MEMORY_MIN: u64 = 8 << 20;

impl Default for Config {
    /// 256 MiB, deadlines.
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            policy: Policy::Deadline,
        }
    }
}

/// The components of one host.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    pub(crate) components: Vec<Component>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) applications: Vec<Application>,
    pub(crate) ledger: Ledger,
    scheduler: Scheduler,
    /// How many batches were ever put into mailboxes.
    sequence: u64,
    budgets_due: Instant,
    signals: Signals,
    events: Vec<Event>,
}

/// Who may have something to do now that had nothing before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// Some sink may receive.
    pub sinks: bool,
    /// Some source may offer.
    pub sources: bool,
}

/// What a component is to do next.
#[derive(Debug, Clone, Copy)]
struct FirstWork {
    /// Whose batches it works on; of none where it goes on closing windows.
    channel: Option<Channel>,
    arrival: Instant,
    sequence: u64,
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
            components: Vec::new(),
            edges: Vec::new(),
            applications: Vec::new(),
            ledger: Ledger::new(config.memory_bytes),
            scheduler: Scheduler::default(),
            sequence: 0,
            budgets_due: Instant::ZERO,
            signals: Signals::default(),
            events: Vec::new(),
        }
    }

    /// Whether a source may offer more now.
    ///
    /// Not while those who read it have no credit left; and, where memory is short, only the source that
    /// waits behind no other of those that meet at a stateful operator.
    pub fn has_room(&self, source: ComponentId) -> bool {
        let component = self.component(source);
        let Role::Source(source) = &component.role else {
            return false;
        };
        let has_room = |output: &Output| output.has_room(source.origin);
        if component.has_failed() || !component.outputs.iter().all(has_room) {
            return false;
        }
        if !self.ledger.is_short() {
            return true;
        }
        let members = self.components.iter();
        let members = members.filter(|other| other.application == component.application);
        let others = members.filter_map(|other| match &other.role {
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
        let component = self.component_mut(source);
        if component.has_failed() {
            return;
        }
        component.counters.rows_in += convert::size(rows + bad);
        component.counters.bad += convert::size(bad);
        component.counters.bad_reason = component.counters.bad_reason.take().or(taken.bad_reason);
        if let Role::Source(source) = &mut component.role {
            source.progress = source.progress.max(taken.rows.header.progress);
        }
        let wanted = component.wanted();
        for (port, batch) in [(0, taken.rows), (1, taken.bad)] {
            if wanted.contains(port) {
                self.append(now, source, port, batch);
            }
        }
    }

    /// The most urgent work, if there is any.
    pub fn next(&mut self, now: Instant) -> Option<Dispatch> {
        if now >= self.budgets_due {
            self.compute_budgets();
            self.budgets_due = now + BUDGET_INTERVAL;
        }
        loop {
            let id = self.scheduler.pop()?;
            let Some(first) = self.first_work(id) else {
                continue;
            };
            let component = self.component_mut(id);
            let wanted = component.wanted();
            let Some(step) = component.step.take() else {
                continue;
            };
            let work = match first.channel {
                None => Work::Close,
                Some(channel) => Work::Batches(channel, component.mailbox.take(channel)),
            };
            return Some(Dispatch {
                component: id,
                wanted,
                work,
                step,
            });
        }
    }

    /// Takes back a dispatch that was run, which took `busy` of processor time.
    pub fn complete(&mut self, now: Instant, completed: Completed, busy: Duration) {
        let Completed {
            component: id,
            worked,
            step,
            outcome,
        } = completed;
        let was_short = self.ledger.is_short();
        let component = self.component_mut(id);
        if component.has_failed() {
            // Nobody needs the step any more: its state goes with it.
            return;
        }
        component.step = Some(step);
        component.closing = outcome.closing;
        component.counters.add(busy, &outcome);
        if let Some(worked) = &worked {
            component.cost.observe(worked.rows, busy);
            component.counters.rows_in += convert::size(worked.rows);
        }
        if let Some(bytes) = outcome.state_bytes {
            self.ledger.set_state(id, bytes);
            self.check_state();
        }
        for (port, batch) in outcome.outputs {
            self.append(now, id, port, batch);
        }
        if let Some(worked) = worked {
            self.taken(now, id, worked.channel, worked.through, worked.bytes);
        }
        self.refresh(id);
        self.signals.sources |= was_short && !self.ledger.is_short();
        self.check_broken(self.component(id).application);
    }

    /// Takes back a dispatch that panicked: the component is retired and its application fails.
    pub fn complete_panicked(&mut self, panicked: Panicked, reason: &str) {
        self.fail(panicked.0, &format!("panicked: {reason}"));
    }

    /// The next batch that waits at a sink.
    pub fn receive(&mut self, sink: ComponentId) -> Option<(Channel, Arc<Batch>)> {
        let component = self.component_mut(sink);
        let oldest = |arrival: Instant, _| arrival.as_nanos();
        let channel = component.mailbox.first(oldest, |_| true)?;
        let batch = component.mailbox.take_one(channel)?;
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
        let component = self.component_mut(sink);
        component.counters.rows_in += convert::size(batch.rows.len());
        component.counters.missing += u64::from(batch.header.missing);
        component.note_result(now, channel, batch);
        self.taken(now, sink, channel, batch.header.interval.through(), bytes);
        if batch.header.progress == EventTime::MAX {
            self.check_finished(sink);
        }
        self.check_broken(self.component(sink).application);
    }

    /// What has been counted and measured so far.
    pub fn report(&self, application: u64) -> Report {
        report::report(self, application)
    }

    /// What happened since this was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Who may have something to do since this was last asked.
    pub fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// How many components could run now.
    pub fn runnable(&self) -> usize {
        self.scheduler.len()
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
        let streams: u64 = self.components.iter().map(outputs).sum();
        let share = self.config.memory_bytes / RETENTION_DIVISOR / streams.max(1);
        for component in &mut self.components {
            for output in &mut component.outputs {
                output.producer.set_retention(share);
            }
        }
    }

    fn compute_budgets(&mut self) {
        let stage = |component: &Component| Stage {
            cost: component.cost.usual(),
            target: component.target(),
            consumers: component
                .outputs
                .iter()
                .flat_map(|output| &output.readers)
                .map(|edge| convert::index(self.edges[convert::index(edge.0)].consumer.0))
                .collect(),
        };
        let stages: Vec<Stage> = self.components.iter().map(stage).collect();
        let budgets = budget::budgets(&stages);
        for (component, budget) in self.components.iter_mut().zip(budgets) {
            component.budget = budget;
        }
        for place in 0..convert::size(self.components.len()) {
            self.refresh(ComponentId(place));
        }
    }

    /// What a component is to do next, if what comes of it has room.
    fn first_work(&self, id: ComponentId) -> Option<FirstWork> {
        let component = self.component(id);
        if let Some(arrival) = component.closing {
            // Windows that are closing go on before anything else comes in.
            let has_room = component
                .outputs
                .first()
                .is_none_or(|out| out.has_room(component.origin));
            return has_room.then_some(FirstWork {
                channel: None,
                arrival,
                sequence: 0,
            });
        }
        let urgency = |arrival: Instant, sequence| match self.config.policy {
            Policy::Deadline => arrival.as_nanos(),
            Policy::Fifo => sequence,
        };
        let channel = component
            .mailbox
            .first(urgency, |channel| component.has_room(channel))?;
        let (arrival, sequence) = component.mailbox.head(channel)?;
        Some(FirstWork {
            channel: Some(channel),
            arrival,
            sequence,
        })
    }

    /// Gives a component its place in the order, or takes it away.
    fn refresh(&mut self, id: ComponentId) {
        let component = self.component(id);
        let could_run = component.step.is_some() && !component.has_failed();
        let first = if could_run { self.first_work(id) } else { None };
        let rank = first.map(|first| {
            self.config.policy.rank(Waiting {
                arrival: first.arrival,
                budget: component.budget,
                sequence: first.sequence,
                depth: component.depth,
            })
        });
        self.scheduler.set(id, rank);
    }

    fn members(&self, application: u64) -> impl Iterator<Item = ComponentId> + '_ {
        let ids = (0..).map(ComponentId).zip(&self.components);
        ids.filter(move |(_, component)| component.application == application)
            .map(|(id, _)| id)
    }

    fn component(&self, id: ComponentId) -> &Component {
        &self.components[convert::index(id.0)]
    }

    fn component_mut(&mut self, id: ComponentId) -> &mut Component {
        &mut self.components[convert::index(id.0)]
    }

    fn edge_mut(&mut self, id: EdgeId) -> &mut Edge {
        &mut self.edges[convert::index(id.0)]
    }
}
