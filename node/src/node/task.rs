//! Commands that take more than one step: each has a deadline, so that each is answered.

use std::time::Duration;

use model::{Index, Instant, NodeId, Outcome, Query, QueryError};

use super::apply::Applying;
use super::asking::Asking;
use super::finding::{Finding, Intent};
use super::lookup::LookingUp;
use super::moving::Moving;
use super::publishing::Publishing;
use super::stop::Stopping;
use super::streams::{Resolving, StreamFinding};
use super::{Answered, Command, CommandId, Effect, Failure, FailureKind, Node};

/// The most commands that are carried out at once. Source: guess; people and scripts of one host.
const TASKS_MAX: usize = 1024;

/// How long the overlay may take over a question: longer than it takes by itself to give up.
///
/// Unit: time. Range: above the 3 s within which the overlay answers.
pub(super) const OVERLAY_WAIT: Duration = Duration::from_secs(4);

/// A command that is being carried out.
#[derive(Debug)]
pub(super) struct Task {
    /// To which its answer belongs.
    pub(super) command: CommandId,
    /// When it ends at the latest, or goes on with what it has.
    pub(super) deadline: Instant,
    /// What it waits for.
    pub(super) phase: Phase,
}

/// What a task waits for.
#[derive(Debug)]
pub(super) enum Phase {
    /// An application is being composed.
    Applying(Applying),
    /// An index is read.
    Listing(Index),
    /// An application is looked for by its name.
    Finding(Finding),
    /// The hosts of an application are asked.
    Asking(Asking),
    /// An application is being stopped.
    Stopping(Stopping),
    /// A host gives something away.
    Moving(Moving),
    /// A stream is being published.
    Publishing(Publishing),
    /// Published names are looked up for an application.
    Resolving(Resolving),
    /// A published name is looked up.
    StreamFinding(StreamFinding),
    /// Somebody looks into the overlay.
    LookingUp(LookingUp),
}

/// What the overlay's silence means for people.
pub(super) fn overlay_failure(what: &str, error: Option<&QueryError>) -> Failure {
    let reason = error.map_or_else(
        || "the overlay has not answered in time".to_owned(),
        ToString::to_string,
    );
    Failure::new(
        FailureKind::Unreachable,
        format!(
            "{what} could not be read: {reason}. Nothing was changed; try again, or ask another node."
        ),
    )
}

impl Node {
    pub(super) fn on_command(
        &mut self,
        now: Instant,
        id: CommandId,
        command: Command,
        out: &mut Vec<Effect>,
    ) {
        if self.tasks.len() >= TASKS_MAX {
            self.counts.add("commands_over_limit");
            let message = format!("This node carries out {TASKS_MAX} commands: try again later.");
            self.answer(id, Err(Failure::new(FailureKind::Failed, message)), out);
            return;
        }
        match command {
            Command::Apply(order) => self.on_apply(now, id, *order, out),
            Command::Applications => self.begin_listing(now, id, Index::Applications, out),
            Command::Streams => self.begin_listing(now, id, Index::Streams, out),
            Command::Nodes => self.begin_listing(now, id, Index::Hosts, out),
            Command::Application(name) => self.on_describe(now, id, name, false, out),
            Command::Why(name) => self.on_describe(now, id, name, true, out),
            Command::Stop(name) => self.on_stop_command(now, id, name, out),
            Command::Move {
                application,
                operator,
                to,
            } => self.on_move_command(now, id, (application, operator), to, out),
            Command::Events(None) => self.on_events(now, id, out),
            Command::Events(Some(name)) => {
                let ticket = self.take_number();
                let finding = Finding::new(name, Intent::Events);
                self.find_application(now, ticket, id, finding, out);
            }
            Command::Drain(host) => self.on_drain_command(now, id, host, out),
            Command::Publish(publication) => self.on_publish(now, id, publication, out),
            Command::Unpublish(name) => self.on_unpublish(id, &name, out),
            Command::Stream(name) => self.on_stream(now, id, name, false, out),
            Command::Tap(name) => self.on_stream(now, id, name, true, out),
            Command::Resolve(names) => self.on_resolve(now, id, names, out),
            Command::Info => self.on_info(now, id, out),
            Command::Lookup(name) => self.on_lookup(now, id, name, out),
        }
    }

    /// A task with a ticket of its own.
    pub(super) fn begin(&mut self, command: CommandId, deadline: Instant, phase: Phase) -> u64 {
        let ticket = self.take_number();
        self.go_on(ticket, command, deadline, phase);
        ticket
    }

    /// A task waits for something else now.
    pub(super) fn go_on(
        &mut self,
        ticket: u64,
        command: CommandId,
        deadline: Instant,
        phase: Phase,
    ) {
        let task = Task {
            command,
            deadline,
            phase,
        };
        self.tasks.insert(ticket, task);
    }

    pub(super) fn answer(&self, id: CommandId, answered: Answered, out: &mut Vec<Effect>) {
        out.push(Effect::Answer { id, answered });
    }

    fn begin_listing(&mut self, now: Instant, id: CommandId, index: Index, out: &mut Vec<Effect>) {
        let ticket = self.begin(id, now + OVERLAY_WAIT, Phase::Listing(index));
        self.query_for(ticket, Query::List { index }, out);
    }

    pub(super) fn on_outcome(
        &mut self,
        now: Instant,
        query: u64,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        if let Some(lookup) = self.lookups.remove(&query) {
            let entries = match outcome {
                Outcome::Entries(entries) => entries,
                Outcome::Nodes(_) | Outcome::Done | Outcome::Failed(_) => Vec::new(),
            };
            self.compose(now, composition::Input::Found { lookup, entries }, out);
            return;
        }
        if self.on_record_found(now, query, &outcome, out) || self.on_former(query, &outcome, out) {
            return;
        }
        let Some(ticket) = self.queries.remove(&query) else {
            match outcome {
                Outcome::Failed(QueryError::Timeout) => self.counts.add("registrations_late"),
                Outcome::Failed(_) => self.counts.add("registrations_failed"),
                Outcome::Entries(_) | Outcome::Nodes(_) | Outcome::Done => {}
            }
            return;
        };
        let Some(task) = self.tasks.remove(&ticket) else {
            return;
        };
        let (command, deadline) = (task.command, task.deadline);
        match task.phase {
            Phase::Applying(applying) => {
                self.on_earlier_records(now, ticket, command, applying, outcome, out);
            }
            Phase::Listing(index) => self.on_listed(now, command, index, outcome, out),
            Phase::Finding(finding) => {
                self.on_names(now, ticket, command, finding, Some(outcome), out);
            }
            Phase::Asking(asking) => {
                let waiting = (ticket, command, deadline);
                self.on_entries_of_record(now, waiting, asking, query, outcome, out);
            }
            phase @ (Phase::Stopping(_) | Phase::Moving(_)) => {
                self.go_on(ticket, command, deadline, phase);
            }
            Phase::Publishing(publishing) => {
                self.on_publishing(now, ticket, command, publishing, outcome, out);
            }
            Phase::Resolving(resolving) => {
                let waiting = (ticket, command, deadline);
                self.on_resolved(waiting, resolving, query, outcome, out);
            }
            Phase::StreamFinding(finding) => {
                self.on_stream_found(now, ticket, command, finding, outcome, out);
            }
            Phase::LookingUp(looking) => {
                let waiting = (ticket, command, deadline);
                self.on_looked_up(now, waiting, looking, query, outcome, out);
            }
        }
    }

    /// Ends tasks whose time is over, or lets them go on with what they have.
    pub(super) fn end_late_tasks(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let late: Vec<u64> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.deadline <= now)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in late {
            // One that ends may answer another.
            if let Some(task) = self.tasks.remove(&ticket) {
                self.end_late(now, ticket, task, out);
            }
        }
        let tasks = &self.tasks;
        self.queries.retain(|_, ticket| tasks.contains_key(ticket));
    }

    fn end_late(&mut self, now: Instant, ticket: u64, task: Task, out: &mut Vec<Effect>) {
        let command = task.command;
        match task.phase {
            Phase::Applying(applying) => self.on_apply_late(now, ticket, command, applying, out),
            Phase::Listing(_) => {
                let failure = overlay_failure("The list", None);
                self.answer(command, Err(failure), out);
            }
            Phase::Finding(finding) => self.on_names(now, ticket, command, finding, None, out),
            Phase::Asking(asking) => self.end_asking(now, command, asking, out),
            Phase::Stopping(stopping) => self.end_stopping(command, &stopping, out),
            Phase::Moving(moving) => self.on_move_unheard(command, &moving, out),
            Phase::Publishing(publishing) => self.on_publish_late(command, publishing, out),
            Phase::Resolving(_) | Phase::StreamFinding(_) | Phase::LookingUp(_) => {
                let failure = overlay_failure("What lies under this name", None);
                self.answer(command, Err(failure), out);
            }
        }
    }

    /// A host cannot be reached: who waits for it goes on without it.
    pub(super) fn on_host_unreachable(
        &mut self,
        now: Instant,
        node: NodeId,
        out: &mut Vec<Effect>,
    ) {
        let tickets: Vec<u64> = self.tasks.keys().copied().collect();
        for ticket in tickets {
            match self.tasks.get(&ticket).map(|task| &task.phase) {
                Some(Phase::Asking(asking)) if asking.awaits(node) => {
                    self.on_unheard(now, ticket, node, out);
                }
                Some(Phase::Stopping(stopping)) if stopping.awaits(node) => {
                    self.on_stop_unheard(ticket, node, out);
                }
                Some(Phase::Moving(moving)) if moving.awaits(node) => {
                    if let Some(task) = self.tasks.remove(&ticket) {
                        self.end_late(now, ticket, task, out);
                    }
                }
                _ => {}
            }
        }
    }
}
