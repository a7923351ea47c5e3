//! Stopping an application, whoever accepted it, from any node.
//!
//! `stopped` is a greater record. A node that is the application's owner or one of its hosts makes it; any
//! other asks each of the hosts to, and each does. It is said again until every one has confirmed, so that a
//! host that was away when it was said stops too when it comes back. Dead hosts hold nobody up.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Instant, NodeId};

use super::finding::{Finding, Intent};
use super::record::{Listing, Record, State};
use super::task::Phase;
use super::{Answer, CommandId, Effect, Failure, FailureKind, Node, Stopped};

/// How long the hosts of an application may take to confirm before people are told who has.
///
/// Unit: time. Source: guess; with finding the application people are answered within about 1.5 s.
const STOP_WAIT: Duration = Duration::from_millis(1100);

/// An application that is being stopped.
#[derive(Debug)]
pub(super) struct Stopping {
    listing: Listing,
    confirmed: BTreeSet<NodeId>,
    /// Who may still confirm in time.
    silent: BTreeSet<NodeId>,
}

impl Stopping {
    pub(super) fn awaits(&self, node: NodeId) -> bool {
        self.silent.contains(&node)
    }
}

impl Node {
    pub(super) fn on_stop_command(
        &mut self,
        now: Instant,
        command: CommandId,
        name: String,
        out: &mut Vec<Effect>,
    ) {
        if self.composing_order(&name).is_some() {
            let message = format!(
                "{name} is being composed: stop it when that has ended, within some seconds."
            );
            self.answer(
                command,
                Err(Failure::new(FailureKind::Failed, message)),
                out,
            );
            return;
        }
        let intent = Intent::Stop;
        let ticket = self.take_number();
        self.find_application(now, ticket, command, Finding::new(name, intent), out);
    }

    pub(super) fn begin_stopping(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        mut listing: Listing,
        out: &mut Vec<Effect>,
    ) {
        let here = self.id();
        let mut confirmed = BTreeSet::new();
        if listing.may_change(here) {
            listing = self.stop_here(now, listing, out);
            if listing.may_change(here) {
                confirmed.insert(here);
            }
        }
        // Those that its graph has left hear of it too, and have nothing to stop.
        let mut silent = listing.members();
        silent.remove(&here);
        self.spread(now, listing.clone(), true, ticket, out);
        let stopping = Stopping {
            listing,
            confirmed,
            silent,
        };
        if stopping.silent.is_empty() {
            self.end_stopping(command, &stopping, out);
            return;
        }
        let phase = Phase::Stopping(stopping);
        self.go_on(ticket, command, now + STOP_WAIT, phase);
    }

    /// Makes the record that says that an application is stopped, and keeps to it.
    fn stop_here(&mut self, now: Instant, listing: Listing, out: &mut Vec<Effect>) -> Listing {
        let composition = listing.head.composition.number;
        let held = self.records.listing(&listing.head.application);
        // Also who was told that it is stopped stops the newest graph that it knows, so that all hosts of that hear of it.
        let stands = |held: &&Listing| {
            held.standing() > listing.standing() || held.has_newer_graph_than(&listing)
        };
        let held = held.filter(stands);
        let mut listing = held.cloned().unwrap_or(listing);
        let is_another = listing.head.composition.number != composition;
        // A graph that has left this host in the meantime is for others to stop: they are told of by what is held here.
        let may_stop = !is_another && listing.may_change(self.id());
        if may_stop && *listing.state() != State::Stopped {
            listing = listing.changed(State::Stopped, &self.config.identity);
        }
        let record = Record {
            listing: listing.clone(),
            body: None,
        };
        self.adopt(now, record, out);
        listing
    }

    /// A peer wants an application stopped.
    pub(super) fn on_stop(
        &mut self,
        now: Instant,
        from: NodeId,
        ticket: u64,
        listing: Listing,
        out: &mut Vec<Effect>,
    ) {
        let record = Record {
            listing,
            body: None,
        };
        if !self.concerns(&record.listing) {
            self.counts.add("records_of_others");
            return;
        }
        if !self.is_genuine(&record) {
            return;
        }
        let id = record.listing.head.application.clone();
        self.stop_here(now, record.listing, out);
        self.confirm(from, ticket, &id, out);
    }

    /// A host confirmed, perhaps, that an application is stopped.
    pub(super) fn on_stop_confirmed(
        &mut self,
        from: NodeId,
        ticket: u64,
        listing: &Listing,
        out: &mut Vec<Effect>,
    ) {
        let here = self.id();
        let Some(task) = self.tasks.get_mut(&ticket) else {
            return;
        };
        let Phase::Stopping(stopping) = &mut task.phase else {
            return;
        };
        let ours = &stopping.listing.head;
        let is_it = listing.head.application == ours.application
            && listing.head.composition.number >= ours.composition.number;
        if !is_it || !stopping.silent.contains(&from) {
            return;
        }
        let is_another = listing.head.composition.number > ours.composition.number;
        if !is_another && listing.standing() > stopping.listing.standing() {
            // Its graph may have changed since it was found: there are others to wait for.
            let (known, members) = (stopping.listing.members(), listing.members());
            let new = members.difference(&known).filter(|node| **node != here);
            stopping.silent.extend(new);
            stopping.silent.retain(|node| members.contains(node));
            stopping.listing = listing.clone();
        }
        if is_another || *listing.state() == State::Stopped {
            stopping.silent.remove(&from);
            stopping.confirmed.insert(from);
        }
        self.end_stopping_if_complete(ticket, out);
    }

    /// A host that is to stop cannot be reached; it is told when it comes back.
    pub(super) fn on_stop_unheard(&mut self, ticket: u64, host: NodeId, out: &mut Vec<Effect>) {
        if let Some(task) = self.tasks.get_mut(&ticket)
            && let Phase::Stopping(stopping) = &mut task.phase
        {
            stopping.silent.remove(&host);
            self.end_stopping_if_complete(ticket, out);
        }
    }

    fn end_stopping_if_complete(&mut self, ticket: u64, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.remove(&ticket) else {
            return;
        };
        match task.phase {
            Phase::Stopping(stopping) if stopping.silent.is_empty() => {
                self.end_stopping(task.command, &stopping, out);
            }
            _ => {
                self.tasks.insert(ticket, task);
            }
        }
    }

    /// Answers who has confirmed.
    pub(super) fn end_stopping(
        &mut self,
        command: CommandId,
        stopping: &Stopping,
        out: &mut Vec<Effect>,
    ) {
        let name = stopping.listing.head.application.name.clone();
        let members = stopping.listing.members();
        let unconfirmed = members.difference(&stopping.confirmed);
        let unconfirmed: Vec<String> = unconfirmed.map(|node| self.view.name(*node)).collect();
        let confirmed = stopping.confirmed.iter();
        let confirmed: Vec<String> = confirmed.map(|node| self.view.name(*node)).collect();
        if confirmed.is_empty() {
            let hosts = unconfirmed.join(", ");
            let message = format!(
                "None of the hosts of {name} has confirmed that it is stopped ({hosts}). \
                 They are told again for a day, or until they do."
            );
            self.answer(
                command,
                Err(Failure::new(FailureKind::Unreachable, message)),
                out,
            );
            return;
        }
        let stopped = Stopped {
            name,
            confirmed,
            unconfirmed,
        };
        self.answer(command, Ok(Answer::Stopped(stopped)), out);
    }
}
