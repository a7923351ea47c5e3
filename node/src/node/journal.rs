//! What this host decided of late, and by which numbers: for people who want to know why something is where it is.
//!
//! Each host keeps its own, and nobody else's. Who asks for the decisions about an application asks the hosts of its record and puts
//! what they say in order by age: clocks differ, and a way takes less than people can tell apart.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use model::{ApplicationId, Instant, NodeId};

use super::asking::Asking;
use super::record::{Listing, Record, State};
use super::view::{View, hex};
use super::{Answer, CommandId, Decision, Effect, EventList, EventRow, Node};

/// How many decisions a host keeps; the oldest go first.
///
/// Unit: decisions. Range: some hundreds, at 1 KiB or so each. Source: guess; a day of a host that moves something every few minutes.
pub(super) const EVENTS_MAX: usize = 256;

/// How many decisions are told at once: the newest. Unit: decisions. Source: guess; what people page through.
const TOLD_MAX: usize = 4096;

/// The decisions of this host.
#[derive(Debug, Default)]
pub(super) struct Journal {
    events: VecDeque<(Instant, ApplicationId, Decision)>,
    dropped: u64,
}

/// What a host says of its decisions about an application.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub(super) struct EventsTold {
    /// How old each is, the oldest first.
    pub(super) events: Vec<(Duration, Decision)>,
    /// How many decisions, about whatever, it keeps no more.
    pub(super) dropped: u64,
}

impl EventsTold {
    /// Whether a host can have said that.
    pub(super) fn is_sound(&self) -> bool {
        self.events.len() <= EVENTS_MAX && self.events.iter().all(|(_, it)| it.is_sound())
    }
}

/// What was heard of the decisions of a host, and when.
#[derive(Debug, Clone)]
pub(super) struct EventsHeard {
    pub(super) host: NodeId,
    pub(super) at: Instant,
    pub(super) told: EventsTold,
}

impl Journal {
    /// Takes a decision down; gives whether another one had to go for it.
    fn note(&mut self, now: Instant, application: ApplicationId, decision: Decision) -> bool {
        let is_full = self.events.len() >= EVENTS_MAX;
        if is_full {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back((now, application, decision));
        is_full
    }

    /// What is said of an application.
    pub(super) fn told(&self, now: Instant, application: &ApplicationId) -> EventsTold {
        let of_it = self.events.iter().filter(|(_, id, _)| id == application);
        let events = of_it.map(|(at, _, decision)| (now.since(*at), decision.clone()));
        EventsTold {
            events: events.collect(),
            dropped: self.dropped,
        }
    }
}

/// What a record says that one before it did not.
pub(super) fn news(before: Option<&Listing>, record: &Record, view: &View) -> Option<Decision> {
    let listing = &record.listing;
    let signer = listing.standing().signer;
    let by = signer.map_or_else(String::new, |node| view.name(node));
    let is_same = |it: &&Listing| it.head.composition == listing.head.composition;
    let before = before.filter(is_same);
    if before.is_some_and(|before| before.state() == listing.state()) {
        let is_moved = before.is_some_and(|before| before.body() != listing.body());
        return is_moved.then(|| Decision::Rebound {
            version: listing.standing().version,
            by,
            hosts: listing
                .hosts()
                .iter()
                .map(|node| view.name(*node))
                .collect(),
        });
    }
    match listing.state().clone() {
        State::Running => None,
        State::Finished => Some(Decision::Finished { by }),
        State::Stopped => Some(Decision::Stopped { by }),
        State::Failed { component, reason } => Some(Decision::Failed { component, reason }),
        State::Lost { component, reason } => Some(Decision::Lost { component, reason }),
    }
}

/// What the hosts of an application said, as one list.
pub(super) fn merged(now: Instant, asking: &Asking, view: &View) -> EventList {
    let application = &asking.listing.head.application.name;
    let mut dropped = 0;
    let mut rows: Vec<EventRow> = Vec::new();
    for heard in &asking.events {
        dropped += heard.told.dropped;
        let since = now.since(heard.at);
        rows.extend(heard.told.events.iter().map(|(age, decision)| EventRow {
            age_s: (*age + since).as_secs_f64(),
            host: view.name(heard.host),
            node: hex(heard.host),
            application: application.clone(),
            decision: decision.clone(),
        }));
    }
    let rows = once_each(rows);
    let heard = |node: &NodeId| asking.events.iter().any(|it| it.host == *node);
    let silent = asking.listing.keepers();
    let silent = silent.iter().filter(|node| !heard(node));
    let silent = silent.map(|node| view.full_name(*node)).collect();
    list(rows, dropped, silent)
}

/// Each host of an application takes down that its graph is another one: told by the first.
fn once_each(mut rows: Vec<EventRow>) -> Vec<EventRow> {
    rows.sort_by(|a, b| b.age_s.total_cmp(&a.age_s));
    let mut told = BTreeSet::new();
    rows.retain(|row| match &row.decision {
        Decision::Rebound { version, by, .. } => told.insert((*version, by.clone())),
        _ => true,
    });
    rows
}

/// Rows in their order, the oldest first, and no more than are told.
fn list(mut rows: Vec<EventRow>, dropped: u64, silent: Vec<String>) -> EventList {
    rows.sort_by(|a, b| b.age_s.total_cmp(&a.age_s));
    let over = rows.len().saturating_sub(TOLD_MAX);
    rows.drain(..over);
    EventList {
        events: rows,
        dropped: dropped + model::convert::size(over),
        silent,
    }
}

impl Node {
    /// Takes a decision down, for people.
    pub(super) fn decided(
        &mut self,
        now: Instant,
        application: &ApplicationId,
        decision: Decision,
    ) {
        if self.journal.note(now, application.clone(), decision) {
            self.counts.add("events_dropped");
        }
    }

    /// Answers what this host decided of late.
    pub(super) fn on_events(&self, now: Instant, command: CommandId, out: &mut Vec<Effect>) {
        let here = self.id();
        let rows = self.journal.events.iter();
        let rows = rows.map(|(at, application, decision)| EventRow {
            age_s: now.since(*at).as_secs_f64(),
            host: self.view.name(here),
            node: hex(here),
            application: application.name.clone(),
            decision: decision.clone(),
        });
        let told = list(rows.collect(), self.journal.dropped, Vec::new());
        self.answer(command, Ok(Answer::Events(Box::new(told))), out);
    }
}
