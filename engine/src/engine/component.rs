//! What an engine keeps of each component.

use std::collections::BTreeSet;
use std::time::Duration;

use hdrhistogram::Histogram;
use model::{EventTime, Instant, NodeId, Origin, Slack, convert};

use super::lacking::Lacking;
use super::measures::{Ages, Counters, SLACK_WEIGHT, Smoothed};
use super::rebuild::Rebuilding;
use crate::batch::Batch;
use crate::budget::Budget;
use crate::cost::Cost;
use crate::edge::Producer;
use crate::few::Few;
use crate::frontier::{Frontiers, Slide};
use crate::mailbox::{Channel, Mailbox};
use crate::operator::Numbering;
use crate::step::{Ports, Stamp, Step};
use crate::times::{Precision, Recent, Times};

/// A component.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) application: u64,
    pub(crate) role: Role,
    /// How what leaves is numbered; sources and sinks do not care.
    pub(crate) numbering: Numbering,
    /// Who this is as an origin, where it numbers rows.
    pub(crate) origin: Origin,
    /// How many operators lie before it on the longest way.
    pub(crate) depth: u32,
    /// The edge of each input port.
    pub(crate) inputs: Vec<model::EdgeId>,
    /// The ways in that are known from the plan.
    pub(crate) channels: Vec<Channel>,
    pub(crate) mailbox: Mailbox,
    pub(crate) outputs: Vec<Output>,
    /// How much its producers retain, as the ledger has it.
    pub(crate) entered_bytes: u64,
    /// How many of the output ports come before those for late and bad rows.
    pub(crate) result_ports: u16,
    /// The operator, unless a worker has it.
    pub(crate) step: Option<Box<Step>>,
    /// What is known of the batch whose windows are still closing.
    pub(crate) closing: Option<Stamp>,
    /// When it closes something, where it does.
    pub(crate) slide: Option<Slide>,
    pub(crate) cost: Cost,
    pub(crate) budget: Budget,
    /// When the windows behind it close.
    pub(crate) frontiers: Frontiers,
    /// How rarely those before each input port close anything, in microseconds; see [`Frontiers::effect`].
    pub(crate) grains_micros: Vec<i64>,
    /// The ages at which batches come in.
    pub(crate) ages: Ages,
    /// How long batches wait here, smoothed.
    pub(crate) waited: Smoothed,
    pub(crate) counters: Counters,
    pub(crate) failure: Option<String>,
    /// Somebody behind it has begun to pull, and so does it.
    pub(crate) is_awake: bool,
    /// What lets it stay.
    pub(crate) stay: Stay,
    /// Those elsewhere that hold its state: what they lack is kept upstream.
    pub(crate) shadows: Vec<Lacking>,
    /// Since when an export of its state is due; and whether one was the last that it did, so that who asks again and again stops nothing.
    pub(crate) export_due: Option<Instant>,
    pub(crate) has_just_exported: bool,
    /// It goes on where another one was, with what that had retained.
    pub(crate) is_resumed: bool,
    /// It waits for those who read it, to begin where they are.
    pub(crate) rebuilding: Option<Rebuilding>,
    /// Where it goes on.
    pub(crate) moved: Option<NodeId>,
    /// What is left of the budget when batches start, smoothed; in nanoseconds.
    pub(crate) slack_nanos: Option<i64>,
    /// How long batches waited here, and how long they ran.
    pub(crate) queueing: Times,
    pub(crate) execution: Times,
}

/// What a component is there for.
#[derive(Debug)]
pub(crate) enum Role {
    /// Rows enter.
    Source(Entry),
    /// Something is computed.
    Operator,
    /// Results leave.
    Sink(Box<Results>),
}

/// What lets a component stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It stays until its application is retired: a sink, or a source that runs for nobody in particular.
    Forever,
    /// It stays while somebody reads it.
    WhileRead,
}

/// What is known of a source.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Who numbers its rows.
    pub(crate) origin: Origin,
    /// How far it is.
    pub(crate) progress: EventTime,
    /// The last index that it ever gave.
    pub(crate) through: u64,
    /// Sources that meet at a stateful operator, and so wait for one another, are of one group.
    pub(crate) group: usize,
    /// Why it cannot be read on, if it cannot.
    pub(crate) broken: Option<String>,
}

/// What is known of the results of a sink.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) target: Duration,
    /// How far each way in is.
    pub(crate) progress: Few<Channel, EventTime>,
    /// The delay of each batch of results.
    pub(crate) delays: Times,
    /// How many rows came after the target.
    pub(crate) misses: u64,
    /// How many rows left lately, and how many of them after the target.
    pub(crate) left: Recent<(u64, u64)>,
    /// The delays since they were last asked for, in microseconds.
    pub(crate) recent: Histogram<u32>,
    /// How many batches were handed to who writes them, and how many of those were written.
    pub(crate) received: u64,
    pub(crate) acknowledged: u64,
}

/// An output port.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) producer: Producer,
    /// The edges of those who read it.
    pub(crate) readers: Vec<model::EdgeId>,
    pub(crate) schema: arrow_schema::SchemaRef,
}

impl Entry {
    pub(crate) const fn new(origin: Origin, group: usize) -> Self {
        Self {
            origin,
            progress: EventTime::MIN,
            through: 0,
            group,
            broken: None,
        }
    }
}

impl Component {
    /// A component that reads and is read by nobody yet.
    pub(crate) fn new(
        name: &str,
        application: u64,
        role: Role,
        origin: Origin,
        cost: Cost,
    ) -> Self {
        Self {
            name: name.to_owned(),
            application,
            role,
            numbering: Numbering::Kept,
            origin,
            depth: 0,
            inputs: Vec::new(),
            channels: Vec::new(),
            mailbox: Mailbox::default(),
            outputs: Vec::new(),
            entered_bytes: 0,
            result_ports: 0,
            step: None,
            closing: None,
            slide: None,
            cost,
            budget: Budget::NONE,
            frontiers: Frontiers::default(),
            grains_micros: Vec::new(),
            ages: Ages::default(),
            waited: Smoothed::default(),
            counters: Counters::default(),
            failure: None,
            is_awake: false,
            stay: Stay::Forever,
            shadows: Vec::new(),
            export_due: None,
            has_just_exported: false,
            is_resumed: false,
            rebuilding: None,
            moved: None,
            slack_nanos: None,
            queueing: Times::new(Precision::BATCHES),
            execution: Times::new(Precision::BATCHES),
        }
    }

    /// The output ports that somebody reads, or has read: who reads one again finds no gap in it. What nobody keeps is released at once.
    pub(crate) fn wanted(&self) -> Ports {
        let mut ports = Ports::default();
        for (port, output) in (0..).zip(&self.outputs) {
            if !output.readers.is_empty() || output.producer.has_begun() {
                ports.insert(port);
            }
        }
        ports
    }

    /// Whether what would come of a batch of this channel has room.
    pub(crate) fn has_room(&self, channel: Channel) -> bool {
        self.has_room_for(|port| self.leaving(channel, port))
    }

    /// Whether rows may leave by all ports that somebody reads, as the origins that they leave as.
    ///
    /// An application goes at the speed of the slowest of its own edges, at whichever port; the component at that
    /// of its fastest application.
    pub(crate) fn has_room_for(&self, origin: impl Fn(u16) -> Origin) -> bool {
        if !self.is_read_at_several_ports_by_several() {
            return self
                .read_outputs()
                .all(|(port, output)| output.producer.has_room(origin(port)));
        }
        let leading = self.leading(|port| Some(origin(port)));
        let has_room = |application: &u64| {
            let mut outputs = self.read_outputs();
            outputs.all(|(_, output)| output.producer.has_room_of(*application))
        };
        leading.iter().any(has_room)
    }

    /// Whether what comes of windows that close has room: it leaves by the first port.
    pub(crate) fn has_room_to_close(&self) -> bool {
        let Some(first) = self.outputs.first() else {
            return true;
        };
        if first.readers.is_empty() {
            return true;
        }
        if !self.is_read_at_several_ports_by_several() {
            return first.producer.has_room(self.origin);
        }
        let leading = self.leading(|_| Some(self.origin));
        leading.iter().any(|it| first.producer.has_room_of(*it))
    }

    /// Makes room at a port for what is about to leave there, where only those are in the way who are behind others.
    pub(crate) fn make_room(&mut self, port: u16) {
        if !self.outputs[usize::from(port)].producer.is_full()
            || !self.is_read_at_several_ports_by_several()
        {
            // A stream alone does that by itself.
            return;
        }
        let leading = self.leading(|_| None);
        self.outputs[usize::from(port)].producer.make_room(&leading);
    }

    fn is_read_at_several_ports_by_several(&self) -> bool {
        if self.read_outputs().nth(1).is_none() {
            return false;
        }
        let mut applications = self
            .read_outputs()
            .flat_map(|(_, output)| output.producer.applications());
        let first = applications.next();
        applications.any(|other| Some(other) != first)
    }

    /// The applications all of whose edges were sent all there is of an origin at each port, or of all origins.
    fn leading(&self, origin: impl Fn(u16) -> Option<Origin>) -> BTreeSet<u64> {
        let mut leading = self.applications();
        for (port, output) in self.read_outputs() {
            for application in output.producer.behind(origin(port)) {
                leading.remove(&application);
            }
        }
        leading
    }

    /// The applications that set its pace.
    fn applications(&self) -> BTreeSet<u64> {
        let outputs = self.read_outputs();
        outputs
            .flat_map(|(_, output)| output.producer.applications())
            .collect()
    }

    pub(super) fn read_outputs(&self) -> impl Iterator<Item = (u16, &Output)> {
        (0..)
            .zip(&self.outputs)
            .filter(|(_, output)| !output.readers.is_empty())
    }

    /// As which origin the rows of a channel leave at an output port.
    pub(crate) fn leaving(&self, channel: Channel, port: u16) -> Origin {
        self.numbering.leaving(self.origin, channel, port)
    }

    /// What of a channel need not be asked for again for those who read it, when everything up to `taken` was worked off.
    ///
    /// A stateless component keeps upstream what the foremost of those who read it keep of it, and can so be built again from
    /// nothing but the positions that are asked of it. A stateful one has taken rows into its state, and a
    /// sink has handed them on.
    pub(super) fn kept_by_readers(&self, channel: Channel, taken: u64) -> u64 {
        if self.numbering == Numbering::Own {
            return taken;
        }
        let origin = |port| self.leaving(channel, port);
        let kept = if self.is_read_at_several_ports_by_several() {
            let kept_by = |application| {
                let outputs = self.read_outputs();
                outputs
                    .filter_map(|(port, output)| {
                        output.producer.released_by(application, origin(port))
                    })
                    .min()
            };
            self.applications().into_iter().filter_map(kept_by).max()
        } else {
            let outputs = self.read_outputs();
            outputs
                .filter_map(|(port, output)| output.producer.released(origin(port)))
                .min()
        };
        kept.unwrap_or(taken).min(taken)
    }

    /// The latency target, of a sink.
    pub(crate) fn target(&self) -> Option<Duration> {
        match &self.role {
            Role::Sink(results) => Some(results.target),
            Role::Source(_) | Role::Operator => None,
        }
    }

    /// Notes that a batch of results has left.
    pub(crate) fn note_result(&mut self, now: Instant, channel: Channel, batch: &Batch) {
        let Role::Sink(results) = &mut self.role else {
            return;
        };
        results.acknowledged += 1;
        let progress = results
            .progress
            .get_or_insert_with(channel, || EventTime::MIN);
        *progress = (*progress).max(batch.header.progress);
        if batch.rows.is_empty() {
            return;
        }
        let age = batch.header.age(now);
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        results.delays.note(now, age);
        results.recent.saturating_record(micros);
        let rows = convert::size(batch.rows.len());
        let missed = if age > results.target { rows } else { 0 };
        results.misses += missed;
        let left = results.left.at(now, drop);
        *left = (left.0 + rows, left.1 + missed);
    }

    /// Whether this is no sink, or one to which nothing will come any more.
    pub(crate) fn is_finished(&self) -> bool {
        match &self.role {
            Role::Sink(results) => results
                .progress
                .values()
                .all(|progress| *progress == EventTime::MAX),
            Role::Source(_) | Role::Operator => true,
        }
    }

    /// Notes what is left of the budget when a batch starts here that arrived at its source at `arrival`.
    pub(crate) fn note_start(&mut self, now: Instant, arrival: Instant) {
        let budget = self.budget.strictest();
        if budget == Slack::MAX {
            return;
        }
        let age = now.since(arrival);
        let left = budget.less(age).as_nanos();
        // So many batches in the end make up for the first.
        self.slack_nanos = Some(match self.slack_nanos {
            None => left,
            Some(smoothed) => smoothed + (left.saturating_sub(smoothed)) / SLACK_WEIGHT,
        });
    }

    /// Notes how long a batch has waited here.
    pub(crate) fn note_wait(&mut self, waited: Duration) {
        self.waited.add(waited);
    }

    /// What a batch of the usual size costs; of what closes windows, with the closing.
    pub(crate) fn whole_cost(&self) -> Duration {
        match self.slide {
            Some(_) => self.cost.usual() + self.cost.closing(),
            None => self.cost.usual(),
        }
    }

    /// Learns what a batch of so many rows took.
    pub(crate) fn observe_cost(&mut self, rows: usize, busy: Duration, has_closed: bool) {
        if has_closed {
            self.cost.observe_closing(rows, busy);
        } else {
            self.cost.observe(rows, busy);
        }
    }

    /// The budget that is told to other hosts whose stream it reads: less the way from there, and what batches wait here, so
    /// that the slack that is seen there is that of the whole way; of that no more than leaves it above the least age.
    pub(crate) fn asked_upstream(&self, transit: Duration) -> Option<Budget> {
        if self.budget == Budget::NONE {
            return None;
        }
        let budget = self.budget.clone().less(transit);
        let least = Slack::from(self.ages.least());
        let asked = budget.clone().less(self.waited.mean());
        Some(asked.or_at_least(least, &budget))
    }

    /// What is left of the budget when batches start, smoothed.
    pub(crate) fn slack(&self) -> Option<Slack> {
        self.slack_nanos.map(Slack::from_nanos)
    }

    /// Rows that those who read it did not get.
    pub(crate) fn drops(&self) -> u64 {
        let outputs = self.outputs.iter();
        let now: u64 = outputs.map(|output| output.producer.drops()).sum();
        self.counters.drops + now
    }

    /// Retires the component for a reason.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.failure.get_or_insert_with(|| reason.to_owned());
        self.mailbox.clear();
        self.step = None;
    }

    /// Whether it was retired.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}
