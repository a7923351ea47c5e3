//! Published streams: finding what published names stand for, and where they are.

use std::collections::BTreeMap;

use model::plan::INPUTS_MAX;
use model::{Entry, Instant, Key, NodeId, Outcome, Query, StreamName, wire};

use super::finding::{Finding, Intent};
use super::task::{OVERLAY_WAIT, Phase, overlay_failure};
use super::view::hex;
use super::{
    Answer, Answered, CommandId, Effect, Failure, FailureKind, Node, Publication, StreamRow,
    TapTarget, tap,
};

/// The longest published name. Unit: bytes. Source: guess; four names that people may give.
const PUBLISHED_NAME_BYTES_MAX: usize = 256;

/// The most names that are resolved at once: those of all sources of a plan.
const NAMES_MAX: usize = model::plan::OPERATORS_MAX;

/// How many publishers of one name are looked at. There should be one.
const PUBLISHERS: usize = 8;

/// Whether people may publish a stream under this name: names with slashes between them.
pub(super) fn is_published_name(name: &str) -> bool {
    name.len() <= PUBLISHED_NAME_BYTES_MAX && name.split('/').all(model::name::is_valid)
}

/// Published names that are looked up for an application.
#[derive(Debug)]
pub(super) struct Resolving {
    /// The names by the questions that are open.
    open: BTreeMap<u64, String>,
    found: BTreeMap<String, Publication>,
}

/// A stream that is looked for by the name that it may be published under.
#[derive(Debug)]
pub(super) struct StreamFinding {
    /// The whole name, as people gave it.
    name: String,
    is_tap: bool,
    /// Whether it can be of an application too.
    is_open: bool,
}

impl Publication {
    /// Whether it is such as a host may say.
    pub(super) fn is_sound(&self) -> bool {
        let of_number =
            |number: Option<f64>| number.is_none_or(|number| number.is_finite() && number >= 0.0);
        is_published_name(&self.name)
            && !self.outputs.is_empty()
            && self.outputs.len() <= INPUTS_MAX
            && of_number(self.rate_hz)
            && of_number(self.row_bytes)
            && self.live.is_none_or(|live| live.is_sound())
    }

    /// The canonical name of what it yields at a port, and its columns.
    fn output(&self, port: Option<&str>) -> Option<(StreamName, &model::Schema)> {
        let (_, rows) = self.outputs.first()?;
        let Some(port) = port else {
            return Some((self.stream, rows));
        };
        let index = self.outputs.iter().position(|(name, _)| name == port)?;
        let name = if index == 0 {
            self.stream
        } else {
            self.stream.at_port(port)
        };
        Some((name, &self.outputs[index].1))
    }
}

impl Node {
    pub(super) fn look_up_publishers(
        &mut self,
        ticket: u64,
        key: Key,
        out: &mut Vec<Effect>,
    ) -> u64 {
        let ask = Query::Lookup {
            key,
            near: None,
            count: PUBLISHERS,
        };
        self.query_for(ticket, ask, out)
    }

    /// The sound publications among entries, each said by who publishes; those under `name`, where one is given.
    pub(super) fn publications_in(&mut self, entries: &[Entry], name: &str) -> Vec<Publication> {
        let mut found = Vec::new();
        for entry in entries {
            let Some(payload) = entry.payload.as_deref() else {
                continue;
            };
            match wire::decode::<Publication>(payload) {
                Ok(publication) if !publication.is_sound() => self.counts.add("garbage_entries"),
                Ok(publication) if publication.publisher != entry.owner => {
                    self.counts.add("forged_entries");
                }
                Ok(publication) if name.is_empty() || publication.name == name => {
                    found.push(publication);
                }
                Ok(_) => self.counts.add("forged_entries"),
                Err(_) => self.counts.add("garbage_entries"),
            }
        }
        found
    }

    /// All published streams: those of the index, and this node's own.
    pub(super) fn stream_rows(&mut self, entries: &[Entry]) -> Vec<StreamRow> {
        let mut all: BTreeMap<(String, NodeId), Publication> = BTreeMap::new();
        let here = self.id();
        let read = self.publications_in(entries, "");
        let others = read.into_iter().filter(|it| it.publisher != here);
        let own = self.publications.values().cloned();
        for publication in others.chain(own) {
            all.insert(
                (publication.name.clone(), publication.publisher),
                publication,
            );
        }
        all.values().map(|it| self.stream_row(it)).collect()
    }

    pub(super) fn stream_row(&self, publication: &Publication) -> StreamRow {
        let publisher = publication.publisher;
        let is_heard = self.view.hosts.find(publisher).is_some();
        let rows = publication.outputs.first();
        StreamRow {
            name: publication.name.clone(),
            host: self.view.name(publisher),
            node: hex(publisher),
            columns: rows.map_or_else(Vec::new, |(_, schema)| tap::columns(schema)),
            rows_per_second: publication.rate_hz,
            status: if is_heard { "running" } else { "unheard" }.to_owned(),
        }
    }

    pub(super) fn on_resolve(
        &mut self,
        now: Instant,
        command: CommandId,
        names: Vec<String>,
        out: &mut Vec<Effect>,
    ) {
        if names.len() > NAMES_MAX {
            let message = format!("{} published names are more than {NAMES_MAX}.", names.len());
            let failure = Failure::new(FailureKind::Invalid, message);
            self.answer(command, Err(failure), out);
            return;
        }
        let ticket = self.take_number();
        let mut resolving = Resolving {
            open: BTreeMap::new(),
            found: BTreeMap::new(),
        };
        for name in names {
            if let Some(own) = self.publications.get(&name) {
                resolving.found.insert(name, own.clone());
            } else if !resolving.open.values().any(|open| *open == name) {
                let query = self.look_up_publishers(ticket, Key::published(&name), out);
                resolving.open.insert(query, name);
            }
        }
        if resolving.open.is_empty() {
            self.answer(command, Ok(Answer::Resolved(resolving.found)), out);
            return;
        }
        let deadline = now + OVERLAY_WAIT;
        self.go_on(ticket, command, deadline, Phase::Resolving(resolving));
    }

    pub(super) fn on_resolved(
        &mut self,
        (ticket, command, deadline): (u64, CommandId, Instant),
        mut resolving: Resolving,
        query: u64,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        let Some(name) = resolving.open.remove(&query) else {
            self.go_on(ticket, command, deadline, Phase::Resolving(resolving));
            return;
        };
        match self.one_publication(&name, outcome) {
            Ok(publication) => {
                resolving.found.insert(name, publication);
            }
            Err(failure) => {
                self.answer(command, Err(failure), out);
                return;
            }
        }
        if resolving.open.is_empty() {
            self.answer(command, Ok(Answer::Resolved(resolving.found)), out);
        } else {
            self.go_on(ticket, command, deadline, Phase::Resolving(resolving));
        }
    }

    /// The one publication under a name that the overlay answered.
    fn one_publication(&mut self, name: &str, outcome: Outcome) -> Result<Publication, Failure> {
        let entries = match outcome {
            Outcome::Entries(entries) => entries,
            Outcome::Failed(error) => {
                return Err(overlay_failure("The published names", Some(&error)));
            }
            Outcome::Nodes(_) | Outcome::Done => Vec::new(),
        };
        let mut found = self.publications_in(&entries, name);
        if found.len() > 1 {
            let publishers = found.iter().map(|it| self.view.full_name(it.publisher));
            let publishers: Vec<String> = publishers.collect();
            let message = format!(
                "{name} is published by {} at once: end all but one with `synergy stream stop {name}` \
                 at those nodes.",
                publishers.join(" and ")
            );
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        found.pop().ok_or_else(|| {
            let message =
                format!("Nobody publishes {name}. `synergy stream ls` lists what there is.");
            Failure::new(FailureKind::NotFound, message)
        })
    }

    /// Describes a stream, or finds where it can be tapped: a published one, or one of an application.
    pub(super) fn on_stream(
        &mut self,
        now: Instant,
        command: CommandId,
        name: String,
        is_tap: bool,
        out: &mut Vec<Effect>,
    ) {
        let ticket = self.take_number();
        if let Some(name) = name.strip_prefix("app:") {
            self.find_stream_of_application(now, ticket, command, (name, is_tap, false), out);
            return;
        }
        let published = name.strip_prefix("stream:");
        let finding = StreamFinding {
            is_tap,
            is_open: published.is_none(),
            name: published.unwrap_or(&name).to_owned(),
        };
        let (base, port) = tap::split_port(&finding.name);
        if let Some(own) = self.publications.get(base) {
            let answered = self.published_answer(own, port, is_tap);
            self.answer(command, answered, out);
        } else if is_published_name(base) {
            let key = Key::published(base);
            self.look_up_publishers(ticket, key, out);
            let deadline = now + OVERLAY_WAIT;
            self.go_on(ticket, command, deadline, Phase::StreamFinding(finding));
        } else {
            let name = (finding.name.as_str(), is_tap, false);
            self.find_stream_of_application(now, ticket, command, name, out);
        }
    }

    fn find_stream_of_application(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        (name, is_tap, is_unpublished): (&str, bool, bool),
        out: &mut Vec<Effect>,
    ) {
        let Some((application, wanted)) = tap::split(name) else {
            let message = format!(
                "No stream is published as {name}, and it is none of an application: those are called \
                 APP/OPERATOR, or APP/OPERATOR.PORT."
            );
            let failure = Failure::new(FailureKind::NotFound, message);
            self.answer(command, Err(failure), out);
            return;
        };
        let intent = Intent::Stream(tap::Wanted { is_tap, ..wanted });
        let finding = Finding {
            is_unpublished,
            ..Finding::new(application.to_owned(), intent)
        };
        self.find_application(now, ticket, command, finding, out);
    }

    pub(super) fn on_stream_found(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        finding: StreamFinding,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        let (base, port) = tap::split_port(&finding.name);
        match self.one_publication(base, outcome) {
            Ok(publication) => {
                let answered = self.published_answer(&publication, port, finding.is_tap);
                self.answer(command, answered, out);
            }
            Err(failure) if failure.kind == FailureKind::NotFound && finding.is_open => {
                let name = (finding.name.as_str(), finding.is_tap, true);
                self.find_stream_of_application(now, ticket, command, name, out);
            }
            Err(failure) => self.answer(command, Err(failure), out),
        }
    }

    fn published_answer(
        &self,
        publication: &Publication,
        port: Option<&str>,
        is_tap: bool,
    ) -> Answered {
        let Some((stream, schema)) = publication.output(port) else {
            let ports: Vec<&str> = publication.outputs.iter().map(|(it, _)| &**it).collect();
            let message = format!(
                "{} has no port called {:?}. It has: {}.",
                publication.name,
                port.unwrap_or_default(),
                ports.join(", ")
            );
            return Err(Failure::new(FailureKind::NotFound, message));
        };
        if is_tap {
            return Ok(Answer::Tap(TapTarget {
                host: publication.publisher,
                stream,
                composition: None,
                schema: schema.clone(),
            }));
        }
        let mut row = self.stream_row(publication);
        row.columns = tap::columns(schema);
        Ok(Answer::Stream(Box::new(row)))
    }
}
