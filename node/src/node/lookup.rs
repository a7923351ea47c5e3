//! Looking into the overlay: what lies under a name, in words.

use std::collections::BTreeSet;

use composition::StreamRecord;
use model::{ApplicationId, Entry, Instant, Key, NodeId, Outcome, Query, wire};

use super::finding::{Finding, Intent};
use super::record::Record;
use super::status::milliseconds;
use super::streams::is_published_name;
use super::task::{OVERLAY_WAIT, Phase, overlay_failure};
use super::view::hex;
use super::{Answer, CommandId, Effect, EntryRow, Failure, FailureKind, Node, Publication, tap};

/// The most entries that are shown of a key. Source: guess; more than one owner may register, fit a terminal.
const ENTRIES_MAX: usize = 64;

/// What the keys stand for that are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Published,
    Application,
    Stream,
}

/// A key that is being looked up.
#[derive(Debug)]
pub(super) struct LookingUp {
    kind: Kind,
    query: u64,
    /// What people called it.
    name: String,
}

impl Node {
    pub(super) fn on_lookup(
        &mut self,
        now: Instant,
        command: CommandId,
        name: String,
        out: &mut Vec<Effect>,
    ) {
        let ticket = self.take_number();
        let (base, _) = tap::split_port(&name);
        if is_published_name(base) {
            let key = Key::published(base);
            self.look_up(now, ticket, command, (Kind::Published, key, name), out);
        } else {
            self.look_up_part(now, ticket, command, (&name, false), out);
        }
    }

    fn look_up(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        (kind, key, name): (Kind, Key, String),
        out: &mut Vec<Effect>,
    ) {
        let ask = Query::Lookup {
            key,
            near: None,
            count: ENTRIES_MAX,
        };
        let query = self.query_for(ticket, ask, out);
        let looking = LookingUp { kind, query, name };
        let deadline = now + OVERLAY_WAIT;
        self.go_on(ticket, command, deadline, Phase::LookingUp(looking));
    }

    /// Looks for an application, or a stream of one.
    fn look_up_part(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        (name, is_unpublished): (&str, bool),
        out: &mut Vec<Effect>,
    ) {
        let (name, wanted) = match tap::split(name) {
            Some((application, wanted)) => (application.to_owned(), Some(wanted)),
            None => (name.to_owned(), None),
        };
        let intent = Intent::Lookup(wanted);
        let finding = Finding {
            is_unpublished,
            ..Finding::new(name, intent)
        };
        self.find_application(now, ticket, command, finding, out);
    }

    pub(super) fn look_up_application(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        id: &ApplicationId,
        out: &mut Vec<Effect>,
    ) {
        let key = Key::application(id);
        let name = id.name.clone();
        self.look_up(now, ticket, command, (Kind::Application, key, name), out);
    }

    pub(super) fn look_up_stream(
        &mut self,
        now: Instant,
        command: CommandId,
        key: Key,
        name: String,
        out: &mut Vec<Effect>,
    ) {
        let ticket = self.take_number();
        self.look_up(now, ticket, command, (Kind::Stream, key, name), out);
    }

    pub(super) fn on_looked_up(
        &mut self,
        now: Instant,
        (ticket, command, deadline): (u64, CommandId, Instant),
        looking: LookingUp,
        query: u64,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        if looking.query != query {
            self.go_on(ticket, command, deadline, Phase::LookingUp(looking));
            return;
        }
        let entries = match outcome {
            Outcome::Entries(entries) => entries,
            Outcome::Failed(error) => {
                let failure = overlay_failure("What lies under this name", Some(&error));
                self.answer(command, Err(failure), out);
                return;
            }
            Outcome::Nodes(_) | Outcome::Done => Vec::new(),
        };
        if entries.is_empty() && looking.kind == Kind::Published {
            self.look_up_part(now, ticket, command, (&looking.name, true), out);
            return;
        }
        if entries.is_empty() {
            let message = format!("The overlay has nothing under {}.", looking.name);
            let failure = Failure::new(FailureKind::NotFound, message);
            self.answer(command, Err(failure), out);
            return;
        }
        let rows = entries
            .iter()
            .map(|entry| self.entry_row(looking.kind, entry));
        let rows = rows.collect();
        self.answer(command, Ok(Answer::Entries(rows)), out);
    }

    fn entry_row(&self, kind: Kind, entry: &Entry) -> EntryRow {
        let (word, says) = match kind {
            Kind::Published => ("published", self.say_publication(entry)),
            Kind::Application => ("application", self.say_record(entry)),
            Kind::Stream => ("stream", say_stream(entry)),
        };
        EntryRow {
            kind: word.to_owned(),
            owner: hex(entry.owner),
            version: entry.version,
            addresses: entry.addresses.clone(),
            says: says.unwrap_or_else(|| "something that is not understood here".to_owned()),
        }
    }

    fn say_publication(&self, entry: &Entry) -> Option<String> {
        let publication: Publication = wire::decode(entry.payload.as_deref()?).ok()?;
        let publisher = self.view.full_name(publication.publisher);
        let (_, columns) = publication.outputs.first()?;
        Some(format!("published by {publisher}: {columns}"))
    }

    fn say_record(&self, entry: &Entry) -> Option<String> {
        let record: Record = wire::decode(entry.payload.as_deref()?).ok()?;
        let listing = &record.listing;
        let hosts = listing.hosts();
        let hosts = hosts.iter().map(|host| self.view.full_name(*host));
        let hosts: Vec<String> = hosts.collect();
        let standing = listing.standing();
        Some(format!(
            "{} on {}; target {} ms; composition {}, version {}",
            listing.state().word(),
            hosts.join(", "),
            milliseconds(listing.head.target),
            standing.composition,
            standing.version,
        ))
    }
}

/// What an operator that runs says of itself, or who publishes the stream.
fn say_stream(entry: &Entry) -> Option<String> {
    let payload = entry.payload.as_deref()?;
    if let Ok(publication) = wire::decode::<Publication>(payload)
        && publication.publisher == entry.owner
        && publication.is_sound()
    {
        return Some(format!("published as {}", publication.name));
    }
    let record: StreamRecord = wire::decode(payload).ok()?;
    let hosts: BTreeSet<NodeId> = record.parts.iter().map(|(_, host)| *host).collect();
    Some(format!(
        "{} in {}, composition {}; {} ms old; of {} parts on {} hosts",
        record.operator,
        record.application,
        record.composition.number,
        milliseconds(record.age),
        record.parts.len(),
        hosts.len(),
    ))
}
