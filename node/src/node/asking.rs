//! Asking the hosts of an application about it.
//!
//! What an application is now is asked of the hosts in its record, all at once and bounded in time; it is never
//! read from what the overlay has cached. Those that do not answer are part of the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::name::Digest;
use model::{Instant, Key, NodeId, Outcome, Query};

use super::finding::Intent;
use super::journal::{self, EventsHeard, EventsTold};
use super::message::{Message, PartTold, Told};
use super::record::{Body, Listing, Record, State};
use super::task::Phase;
use super::telling::Asker;
use super::{Answer, CommandId, Effect, Failure, FailureKind, Node, apply, status, tap};

/// How long the hosts of an application may take to answer.
///
/// Unit: time. Range: well above a round trip; people wait for it where a host is dead and its connection does
/// not say so. Source: design, protocols 2: status is bounded in time.
const ASK_WAIT: Duration = Duration::from_secs(1);

/// The most entries of a record that are read: what its owner and hosts registered. Source: guess.
pub(super) const RECORD_ENTRIES: usize = 16;

/// What was heard of a host.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// It runs this; nothing, where it runs nothing of the application.
    Told(Option<Box<PartTold>>),
    /// It cannot be reached.
    Unreachable,
}

/// The hosts of an application that are asked about it.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) intent: Intent,
    pub(super) listing: Listing,
    pub(super) body: Option<Box<Body>>,
    pub(super) heard: BTreeMap<NodeId, Heard>,
    /// Which graph each of them holds.
    pub(super) graphs: BTreeMap<NodeId, Digest>,
    /// What hosts said of their decisions, where those were asked for.
    pub(super) events: Vec<EventsHeard>,
    silent: BTreeSet<NodeId>,
    /// The question to the overlay for the body, as long as it is open.
    query: Option<u64>,
}

impl Asking {
    pub(super) fn awaits(&self, node: NodeId) -> bool {
        self.silent.contains(&node)
    }

    /// Whether nothing more is to be waited for.
    fn is_complete(&self) -> bool {
        if self.intent == Intent::Events {
            return self.silent.is_empty();
        }
        let is_all_heard = self.silent.is_empty() && (self.body.is_some() || self.query.is_none());
        let wants_graph = matches!(self.intent, Intent::Stream(_) | Intent::Lookup(_));
        is_all_heard || (wants_graph && self.body.is_some())
    }

    /// Takes a record that is genuine: its body, or what became of the application since.
    fn learn(&mut self, record: Record) {
        let listing = record.listing;
        if listing.head.composition != self.listing.head.composition {
            return;
        }
        let body = listing.body();
        if listing.standing() > self.listing.standing() {
            if body != self.listing.body() {
                self.body = None;
            }
            self.listing = listing;
        }
        if record.body.is_some() && body == self.listing.body() {
            self.body = record.body;
        }
    }

    /// Waits for the hosts of the newest graph alone; gives those that were not asked yet.
    fn follow_graph(&mut self) -> BTreeSet<NodeId> {
        // What was decided of it is told also by those that it has left, or where it was stopped.
        let mut hosts = match (&self.intent, self.listing.state()) {
            (Intent::Events, _) => self.listing.keepers(),
            (_, State::Stopped) => return BTreeSet::new(),
            _ => self.listing.hosts(),
        };
        self.silent.retain(|host| hosts.contains(host));
        hosts.retain(|host| !self.silent.contains(host) && !self.heard.contains_key(host));
        self.silent.extend(&hosts);
        hosts
    }
}

impl Node {
    pub(super) fn begin_asking(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        intent: Intent,
        listing: Listing,
        out: &mut Vec<Effect>,
    ) {
        let head = listing.head.clone();
        let held = self.records.find(&head.application);
        let held = held.filter(|record| record.listing.body() == listing.body());
        let body = held.and_then(|record| record.body.clone());
        let is_over = *listing.state() == State::Stopped;
        let mut asking = Asking {
            intent,
            silent: BTreeSet::new(),
            listing,
            heard: BTreeMap::new(),
            graphs: BTreeMap::new(),
            events: Vec::new(),
            query: None,
            body,
        };
        let hosts = asking.follow_graph();
        let wants_body = asking.body.is_none() && asking.intent != Intent::Events;
        if wants_body && !is_over {
            let ask = Query::Lookup {
                key: Key::application(&head.application),
                near: None,
                count: RECORD_ENTRIES,
            };
            asking.query = Some(self.query_for(ticket, ask, out));
        }
        if asking.is_complete() {
            self.end_asking(now, command, asking, out);
            return;
        }
        self.ask_hosts(now, (ticket, command, now + ASK_WAIT), asking, hosts, out);
    }

    /// Asks these hosts, and waits for all that were asked.
    fn ask_hosts(
        &mut self,
        now: Instant,
        (ticket, command, deadline): (u64, CommandId, Instant),
        asking: Asking,
        hosts: BTreeSet<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        let head = &asking.listing.head;
        let (application, composition) = (head.application.clone(), head.composition);
        let body = asking.body.as_ref().map(|_| asking.listing.body());
        let wants_events = asking.intent == Intent::Events;
        self.go_on(ticket, command, deadline, Phase::Asking(asking));
        let message = Message::Ask {
            ticket,
            application: application.clone(),
            composition,
            body,
            wants_events,
        };
        for host in hosts {
            if host == self.id() {
                let asker = Asker::Task(ticket);
                let (application, wanted) = (application.clone(), (body, wants_events));
                self.on_ask(now, asker, application, composition, wanted, out);
            } else {
                self.send(host, &message, out);
            }
        }
    }

    /// A peer answered what it runs of an application.
    pub(super) fn on_told(
        &mut self,
        now: Instant,
        from: NodeId,
        ticket: u64,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let is_awaited = match self.tasks.get(&ticket).map(|task| &task.phase) {
            Some(Phase::Asking(asking)) => asking.awaits(from),
            _ => false,
        };
        if !is_awaited {
            self.counts.add("answers_unasked");
            return;
        }
        let is_part_sound = told.part.as_ref().is_none_or(PartTold::is_sound);
        let are_events_sound = told.events.as_ref().is_none_or(EventsTold::is_sound);
        if !is_part_sound || !are_events_sound {
            self.counts.add("answers_unsound");
            return;
        }
        if let Some(record) = &told.record
            && !self.is_genuine(record)
        {
            return;
        }
        self.on_heard(now, ticket, from, told, out);
    }

    pub(super) fn on_heard(
        &mut self,
        now: Instant,
        ticket: u64,
        host: NodeId,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        self.with_asking(now, ticket, out, |asking| {
            asking.silent.remove(&host);
            asking
                .heard
                .insert(host, Heard::Told(told.part.map(Box::new)));
            if let Some(record) = told.record {
                if record.listing.head.composition == asking.listing.head.composition {
                    asking.graphs.insert(host, record.listing.body());
                }
                asking.learn(record);
            }
            if let Some(told) = told.events {
                let at = now;
                asking.events.push(EventsHeard { host, at, told });
            }
        });
    }

    /// A host that is being asked cannot be reached.
    pub(super) fn on_unheard(
        &mut self,
        now: Instant,
        ticket: u64,
        host: NodeId,
        out: &mut Vec<Effect>,
    ) {
        self.with_asking(now, ticket, out, |asking| {
            asking.silent.remove(&host);
            asking.heard.insert(host, Heard::Unreachable);
        });
    }

    fn with_asking(
        &mut self,
        now: Instant,
        ticket: u64,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut Asking),
    ) {
        let Some(task) = self.tasks.remove(&ticket) else {
            return;
        };
        let (command, deadline) = (task.command, task.deadline);
        match task.phase {
            Phase::Asking(mut asking) => {
                change(&mut asking);
                self.go_on_asking(now, (ticket, command, deadline), asking, out);
            }
            phase => self.go_on(ticket, command, deadline, phase),
        }
    }

    /// Something was learned: the answer follows, or others are asked whom the newest graph names.
    fn go_on_asking(
        &mut self,
        now: Instant,
        task: (u64, CommandId, Instant),
        mut asking: Asking,
        out: &mut Vec<Effect>,
    ) {
        let hosts = asking.follow_graph();
        if asking.is_complete() {
            self.end_asking(now, task.1, asking, out);
        } else {
            self.ask_hosts(now, task, asking, hosts, out);
        }
    }

    /// The overlay says what it has of an application that is asked about, or looked up.
    pub(super) fn on_entries_of_record(
        &mut self,
        now: Instant,
        (ticket, command, deadline): (u64, CommandId, Instant),
        mut asking: Asking,
        query: u64,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        if asking.query == Some(query) {
            asking.query = None;
            if let Outcome::Entries(entries) = outcome {
                for entry in &entries {
                    if let Some(record) = self.read_record(entry) {
                        asking.learn(record);
                    }
                }
            }
        }
        self.go_on_asking(now, (ticket, command, deadline), asking, out);
    }

    /// All that will be heard was heard.
    pub(super) fn end_asking(
        &mut self,
        now: Instant,
        command: CommandId,
        asking: Asking,
        out: &mut Vec<Effect>,
    ) {
        let answered = match &asking.intent {
            Intent::Show => {
                let mut status = status::status(&asking, &self.view);
                status.ended_s = self.records.ended_for(now, &asking.listing);
                Ok(Answer::Application(Box::new(status)))
            }
            Intent::Again => {
                let status = status::status(&asking, &self.view);
                let owner = self.view.name(self.id());
                apply::answer_again(asking.body.as_deref(), &status, &owner)
            }
            Intent::Why => status::why(&asking, &self.view)
                .map(|why| Answer::Why(Box::new(why)))
                .ok_or_else(|| unread(&asking.listing)),
            Intent::Events => {
                let events = journal::merged(now, &asking, &self.view);
                Ok(Answer::Events(Box::new(events)))
            }
            Intent::Move { operator, to } => {
                self.ask_to_move(now, command, &asking, (operator, *to), out);
                return;
            }
            Intent::Stream(wanted) => match &asking.body {
                Some(body) => tap::find(wanted, &asking.listing, body, &self.view),
                None => Err(unread(&asking.listing)),
            },
            Intent::Lookup(Some(wanted)) => match &asking.body {
                Some(body) => match tap::stream_key(wanted, body) {
                    Ok(key) => {
                        let application = &asking.listing.head.application.name;
                        let name = format!("{application}/{}", wanted.component);
                        self.look_up_stream(now, command, key, name, out);
                        return;
                    }
                    Err(failure) => Err(failure),
                },
                None => Err(unread(&asking.listing)),
            },
            Intent::Stop | Intent::Lookup(None) => {
                unreachable!("nobody is asked for this: see `pursue`")
            }
        };
        self.answer(command, answered, out);
    }
}

/// Nobody who could be asked has the graph of an application.
fn unread(listing: &Listing) -> Failure {
    let name = &listing.head.application.name;
    if *listing.state() == State::Stopped {
        let message = format!("{name} was stopped: nothing of it is kept.");
        return Failure::new(FailureKind::NotFound, message);
    }
    Failure::new(
        FailureKind::Unreachable,
        format!(
            "{name} is listed, and none of its hosts says where its parts are: \
             they may be down. `app show {name}` says which."
        ),
    )
}
