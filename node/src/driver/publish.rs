//! Published streams: a source that this host reads for whoever pulls.

use std::path::Path;
use std::sync::Arc;

use model::{Clock, ComponentId, EventTime, NodeId, Origin, SourceName, StreamName};

use super::parts::Means;
use crate::api::File;
use crate::application;
use crate::connector::{Context, Source};
use crate::node::{Failure, FailureKind, Publication};
use crate::run::{self, SourcePlace, SourceThread};

/// A source that was opened to be published.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) publication: Publication,
    source: Box<dyn Source>,
}

/// A stream that this host publishes.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) publication: Publication,
    /// The engine's number for it.
    pub(super) number: u64,
    /// What reads it.
    pub(super) component: ComponentId,
}

/// Opens the source that a file describes. May block.
///
/// # Errors
/// What is wrong with the name or the file.
pub(super) fn open(
    name: String,
    file: &File,
    publisher: NodeId,
    clock: Arc<dyn Clock>,
    epoch: EventTime,
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
    let publication = Publication {
        name,
        stream,
        origin: Origin::of_source(stream, incarnation.0.unsigned_abs()),
        outputs: vec![
            ("out".to_owned(), source.source.schema().clone()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ],
        publisher,
        rate_hz: source.rate_hz,
        row_bytes: None,
    };
    Ok(Opened {
        publication,
        source: source.source,
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
        let thread = SourceThread::new(place, self.source, publication.origin, clock, None);
        run::spawn(means.engine.clone(), "source", component, move || {
            thread.run();
        })?;
        Ok(Published {
            publication,
            number,
            component,
        })
    }
}
