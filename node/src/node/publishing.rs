//! Publishing a stream of this host under a name.

use model::entry::PAYLOAD_BYTES_MAX;
use model::{Index, Instant, Key, Outcome, Query, wire};

use super::records::slot;
use super::streams::is_published_name;
use super::task::{OVERLAY_WAIT, Phase, overlay_failure};
use super::{Answer, CommandId, Effect, Failure, FailureKind, Node, Publication};

/// The most streams that a host publishes. Relation: three entries each, of 4,096 that a node registers.
const PUBLICATIONS_MAX: usize = 512;

/// A stream that is being published.
#[derive(Debug)]
pub(super) struct Publishing {
    publication: Publication,
    /// Whether the name is free, and its entry is on its way.
    is_registering: bool,
}

impl Publishing {
    /// Under which name.
    pub(super) fn name(&self) -> &str {
        &self.publication.name
    }
}

impl Publication {
    /// The keys under which it is registered.
    fn keys(&self) -> [Key; 3] {
        let key = Key::published(&self.name);
        let index = Key::index(Index::Streams, key.shard());
        [key, index, Key::stream(self.stream)]
    }
}

impl Node {
    pub(super) fn on_publish(
        &mut self,
        now: Instant,
        command: CommandId,
        publication: Publication,
        out: &mut Vec<Effect>,
    ) {
        if let Err(failure) = self.check_publication(&publication) {
            self.answer(command, Err(failure), out);
            return;
        }
        let key = Key::published(&publication.name);
        let publishing = Publishing {
            publication,
            is_registering: false,
        };
        let deadline = now + OVERLAY_WAIT;
        let ticket = self.begin(command, deadline, Phase::Publishing(publishing));
        self.look_up_publishers(ticket, key, out);
    }

    fn check_publication(&self, publication: &Publication) -> Result<(), Failure> {
        let name = &publication.name;
        let is_being_published = self
            .tasks
            .values()
            .any(|task| matches!(&task.phase, Phase::Publishing(other) if other.name() == name));
        let message = if !is_published_name(name) {
            format!(
                "{name:?} is no name of a stream: names of letters, digits, \"_\" and \"-\" that \
                 begin with a letter, with \"/\" between them, as in lab/flows."
            )
        } else if publication.publisher != self.id() || !publication.is_sound() {
            format!(
                "{name} cannot be published like this: it is not of this node, or has no columns."
            )
        } else if self.publications.contains_key(name) || is_being_published {
            format!("{name} is published by this node already.")
        } else if self.publications.len() >= PUBLICATIONS_MAX {
            format!("This node publishes {PUBLICATIONS_MAX} streams, and no more are possible.")
        } else if wire::encode(publication).len() > PAYLOAD_BYTES_MAX {
            format!(
                "{name} has too many columns: its description does not fit {PAYLOAD_BYTES_MAX} bytes."
            )
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Invalid, message))
    }

    pub(super) fn on_publishing(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        publishing: Publishing,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        let publication = publishing.publication;
        match outcome {
            Outcome::Entries(entries) if !publishing.is_registering => {
                let here = self.id();
                let others = self.publications_in(&entries, &publication.name);
                let other = others.into_iter().find(|other| other.publisher != here);
                if let Some(other) = other {
                    let failure = self.taken(&other);
                    self.answer(command, Err(failure), out);
                    return;
                }
                self.register_publication(ticket, &publication, out);
                let publishing = Publishing {
                    publication,
                    is_registering: true,
                };
                let phase = Phase::Publishing(publishing);
                self.go_on(ticket, command, now + OVERLAY_WAIT, phase);
            }
            Outcome::Done => {
                let row = self.stream_row(&publication);
                let name = publication.name.clone();
                self.publications.insert(name, publication);
                self.answer(command, Ok(Answer::Stream(Box::new(row))), out);
            }
            Outcome::Failed(error) => {
                self.withdraw_publication(&publication, out);
                let failure = overlay_failure("The published names", Some(&error));
                self.answer(command, Err(failure), out);
            }
            Outcome::Entries(_) | Outcome::Nodes(_) => {
                let phase = Phase::Publishing(Publishing {
                    publication,
                    ..publishing
                });
                self.go_on(ticket, command, now + OVERLAY_WAIT, phase);
            }
        }
    }

    fn taken(&self, other: &Publication) -> Failure {
        let name = &other.name;
        let publisher = self.view.full_name(other.publisher);
        let message = format!(
            "{name} is published by {publisher} already: choose another name, or end it there with \
             `synergy stream stop {name}`."
        );
        Failure::new(FailureKind::Refused, message)
    }

    fn register_publication(
        &mut self,
        ticket: u64,
        publication: &Publication,
        out: &mut Vec<Effect>,
    ) {
        let [key, index, stream] = publication.keys();
        let slot = slot(key);
        let payload = wire::encode(publication);
        let listed = Query::Register {
            key: index,
            slot,
            payload: payload.clone(),
        };
        self.tell_overlay(listed, out);
        let produced = Query::Register {
            key: stream,
            slot,
            payload: payload.clone(),
        };
        self.tell_overlay(produced, out);
        self.query_for(ticket, Query::Register { key, slot, payload }, out);
    }

    pub(super) fn withdraw_publication(
        &mut self,
        publication: &Publication,
        out: &mut Vec<Effect>,
    ) {
        let keys = publication.keys();
        let slot = slot(keys[0]);
        for key in keys {
            self.tell_overlay(Query::Withdraw { key, slot }, out);
        }
    }

    pub(super) fn on_publish_late(
        &mut self,
        command: CommandId,
        publishing: Publishing,
        out: &mut Vec<Effect>,
    ) {
        if publishing.is_registering {
            self.withdraw_publication(&publishing.publication, out);
        }
        let failure = overlay_failure("The published names", None);
        self.answer(command, Err(failure), out);
    }

    pub(super) fn on_unpublish(&mut self, command: CommandId, name: &str, out: &mut Vec<Effect>) {
        let Some(publication) = self.publications.remove(name) else {
            let message = format!(
                "This node does not publish {name}. `synergy stream show {name}` says who does."
            );
            let failure = Failure::new(FailureKind::NotFound, message);
            self.answer(command, Err(failure), out);
            return;
        };
        self.withdraw_publication(&publication, out);
        let mut row = self.stream_row(&publication);
        "finished".clone_into(&mut row.status);
        self.answer(command, Ok(Answer::Stream(Box::new(row))), out);
    }
}
