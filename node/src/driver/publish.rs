//! Published streams: a source that this host reads for whoever pulls. It outlives the process, with its origin: who pulled goes on where it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::Event;
use model::name::Digest;
use model::{Clock, ComponentId, EventTime, NodeId, Origin, SourceName, StreamName, wire};
use tokio::sync::{mpsc, oneshot};

use super::control::{Control, Inbound};
use super::parts::Means;
use super::request::{ask, failed};
use crate::api::File;
use crate::application;
use crate::connector::{Context, Source};
use crate::node::{Answered, Command, Failure, FailureKind, Publication};
use crate::run::{self, Shelf, SourcePlace, SourceThread, shelf_name};

/// After how long it is tried again to say that a stream is published. Unit: time. Source: guess; a network that a host comes back to answers within seconds.
const REGISTERED_AGAIN: Duration = Duration::from_secs(2);

/// What the names of kept publications begin with.
const PUBLICATIONS: &str = "published-";

/// What a publication was made of.
#[derive(Debug, Clone, bincode::Encode, bincode::Decode)]
struct Kept {
    name: String,
    origin: Origin,
    /// The file that describes its source: what it is called, what stands in it, and the folder that paths in it start from.
    file: (String, String, PathBuf),
}

impl Kept {
    /// Opens its source again. May block.
    fn open(
        self,
        publisher: NodeId,
        clock: Arc<dyn Clock>,
        epoch: EventTime,
    ) -> Result<Opened, Failure> {
        let (name, text, folder) = self.file;
        let file = File { name, text, folder };
        open(self.name, &file, publisher, clock, epoch, Some(self.origin))
    }
}

/// A source that was opened to be published.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) publication: Publication,
    source: Box<dyn Source>,
    kept: Kept,
}

/// A stream that this host publishes.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) publication: Publication,
    /// The engine's number for it.
    pub(super) number: u64,
    /// What reads it.
    pub(super) component: ComponentId,
    kept: Kept,
}

/// Opens the source that a file describes, under an origin that it had before, if it had one. May block.
///
/// # Errors
/// What is wrong with the name or the file.
pub(super) fn open(
    name: String,
    file: &File,
    publisher: NodeId,
    clock: Arc<dyn Clock>,
    epoch: EventTime,
    origin: Option<Origin>,
) -> Result<Opened, Failure> {
    let invalid = |message: String| Failure::new(FailureKind::Invalid, message);
    if !model::name::is_valid_published(&name) {
        let message = format!(
            "{name:?} is no name of a stream: words of letters, digits, '_' or '-', joined by '/', as in lab/flows"
        );
        return Err(invalid(message));
    }
    // A new incarnation each time: records count from its beginning.
    let incarnation = epoch.plus(model::convert::micros(
        clock.now().since(model::Instant::ZERO),
    ));
    let context = Context {
        folder: &file.folder,
        clock,
        epoch,
    };
    let source = application::load_source(&file.text, Path::new(&file.name), &context)
        .map_err(|problems| invalid(problems.to_string()))?;
    let stream = StreamName::of_source(&SourceName::Published {
        publisher,
        name: name.clone(),
    });
    let anew = || Origin::of_source(stream, incarnation.0.unsigned_abs());
    let origin = origin.unwrap_or_else(anew);
    let kept = Kept {
        name: name.clone(),
        origin,
        file: (file.name.clone(), file.text.clone(), file.folder.clone()),
    };
    let publication = Publication {
        name,
        stream,
        origin,
        outputs: vec![
            ("out".to_owned(), source.source.schema().clone()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ],
        publisher,
        rate_hz: source.rate_hz,
        row_bytes: None,
        live: (source.kind.live)(&source.arguments),
    };
    Ok(Opened {
        publication,
        source: source.source,
        kept,
    })
}

impl Opened {
    /// Reads the source from now on: whoever pulls gets what comes next.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(self, means: &Means) -> Result<Published, std::io::Error> {
        let publication = self.publication;
        let outputs = &publication.outputs;
        let (number, component) =
            means
                .engine
                .publish(&publication.name, publication.origin, outputs);
        let place = SourcePlace {
            handle: means.engine.clone(),
            application: number,
            id: component,
            idle_after: run::idle_after(&model::Qos::default()),
        };
        let clock: Arc<dyn Clock> = means.clock.clone();
        let shelf = means.store.as_ref().map(|store| Shelf {
            store: store.clone(),
            name: shelf_name(&publication.name, publication.origin),
        });
        let thread = SourceThread::new(place, self.source, publication.origin, clock, shelf);
        run::spawn(means.engine.clone(), "source", component, move || {
            thread.run();
        })?;
        Ok(Published {
            publication,
            number,
            component,
            kept: self.kept,
        })
    }
}

fn file_name(publication: &str) -> String {
    let hash = Digest::of("synergy 2026 kept publication", &[publication.as_bytes()]);
    format!("{PUBLICATIONS}{}", hash.file_name())
}

impl Control {
    /// Publishes a source that was opened.
    pub(super) fn publish(&mut self, opened: Opened, answer: oneshot::Sender<Answered>) {
        let publication = match self.begin_publication(opened) {
            Ok(publication) => publication,
            Err(failure) => return drop(answer.send(Err(failure))),
        };
        let inbox = self.means.inbox.clone();
        tokio::spawn(async move {
            let name = publication.name.clone();
            let answered = ask(&inbox, Command::Publish(publication)).await;
            if answered.is_err() {
                drop(inbox.send(Inbound::Unpublished(name)).await);
            }
            drop(answer.send(answered));
        });
    }

    /// Reads a source for whoever pulls, and lets it outlive this process.
    fn begin_publication(&mut self, opened: Opened) -> Result<Publication, Failure> {
        let publication = opened.publication.clone();
        let name = publication.name.clone();
        if self.published.contains_key(&name) {
            let message = format!("this host publishes {name} already: end that first");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        let published = opened.start(&self.means);
        let published = published.map_err(|error| failed(&error.to_string()))?;
        if let Some(store) = &self.config.store {
            store.put(&file_name(&name), wire::encode(&published.kept));
        }
        self.published.insert(name, published);
        Ok(publication)
    }

    /// Something happened to a source that this host publishes.
    pub(super) fn on_published(&self, event: &Event) {
        let number = event.application();
        let found = self.published.values();
        let Some(published) = found.into_iter().find(|stream| stream.number == number) else {
            return;
        };
        let name = published.publication.name.clone();
        match event {
            Event::Degraded { reason, .. } | Event::Failed { reason, .. } => {
                tracing::warn!("the source of {name} cannot be read on: {reason}");
            }
            Event::Finished { .. }
            | Event::Retired { .. }
            | Event::Gone { .. }
            | Event::Replaced { .. }
            | Event::Moved { .. } => {}
        }
    }

    /// Stops reading a published source, for good.
    pub(super) fn end_publication(&mut self, name: &str) {
        let Some(published) = self.published.remove(name) else {
            return;
        };
        self.means.engine.retire(published.number);
        if let Some(store) = &self.config.store {
            store.remove(&file_name(name));
            store.remove(&shelf_name(&published.kept.name, published.kept.origin));
        }
    }

    /// Publishes again what was published when this process ended. What cannot be opened stays kept, for the next start.
    pub(super) async fn publish_again(&mut self) {
        let Some(store) = self.config.store.clone() else {
            return;
        };
        for file in store.names(PUBLICATIONS) {
            let kept = store.read(&file);
            let Some(kept) = kept.and_then(|kept| wire::decode::<Kept>(&kept).ok()) else {
                continue;
            };
            let name = kept.name.clone();
            let node = self.network.node();
            let (clock, epoch) = (self.clock.clone(), self.clock.epoch());
            let opened = tokio::task::spawn_blocking(move || kept.open(node, clock, epoch)).await;
            let opened = opened.unwrap_or_else(|error| Err(failed(&error.to_string())));
            match opened.and_then(|opened| self.begin_publication(opened)) {
                Ok(publication) => {
                    let inbox = self.means.inbox.clone();
                    tokio::spawn(register_again(inbox, publication));
                }
                Err(failure) => tracing::warn!("{name} is not published: {}", failure.message),
            }
        }
    }
}

/// Says that a stream is published, until others heard it; where one of them has the name by now, it ends.
async fn register_again(inbox: mpsc::Sender<Inbound>, publication: Publication) {
    let name = publication.name.clone();
    loop {
        match ask(&inbox, Command::Publish(publication.clone())).await {
            Ok(_) => return,
            Err(failure) if failure.kind == FailureKind::Refused => {
                tracing::warn!("{name} is not published any more: {}", failure.message);
                drop(inbox.send(Inbound::Unpublished(name)).await);
                return;
            }
            Err(failure) => {
                tracing::warn!("{name} is not published yet: {}", failure.message);
                if inbox.is_closed() {
                    return;
                }
                tokio::time::sleep(REGISTERED_AGAIN).await;
            }
        }
    }
}
