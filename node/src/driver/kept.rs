//! What an application file keeps on this host, on the disk: so that a host that was started again can make its part anew.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use model::{Arguments, CompositionId, Instant, Schema, wire};

use super::deploy::{Local, LocalSink, LocalSource};
use crate::connector::{SINKS, SOURCES};
use crate::run::{Shelf, shelf_name};
use crate::store::Store;

/// A [`Local`], as it stands on the disk: connectors by their words.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Kept {
    folder: Vec<u8>,
    sources: Vec<Option<(String, Arguments)>>,
    sinks: Vec<(String, Arguments, Schema)>,
}

/// Keeps what the file of a composition that runs here has said of its sources and sinks.
pub(super) fn keep(store: &Store, id: &CompositionId, local: &Local) {
    let source = |source: &Option<LocalSource>| {
        let source = source.as_ref()?;
        Some((source.kind.name.to_owned(), source.arguments.clone()))
    };
    let sink = |sink: &LocalSink| {
        let name = sink.kind.name.to_owned();
        (name, sink.arguments.clone(), sink.schema.clone())
    };
    let kept = Kept {
        folder: local.folder.as_os_str().as_bytes().to_vec(),
        sources: local.sources.iter().map(source).collect(),
        sinks: local.sinks.iter().map(sink).collect(),
    };
    store.put(&name(id), wire::encode(&kept));
}

/// What was kept of a composition before this host was started again.
pub(super) fn find(store: &Store, id: &CompositionId, now: Instant) -> Option<Local> {
    let kept: Kept = wire::decode(&store.read(&name(id))?).ok()?;
    let source = |source: Option<(String, Arguments)>| {
        let Some((name, arguments)) = source else {
            return Some(None);
        };
        let kind = SOURCES.iter().find(|kind| kind.name == name)?;
        let open = None;
        Some(Some(LocalSource {
            kind,
            arguments,
            open,
        }))
    };
    let sink = |(name, arguments, schema): (String, Arguments, Schema)| {
        let kind = SINKS.iter().find(|kind| kind.name == name)?;
        Some(LocalSink {
            kind,
            arguments,
            schema,
        })
    };
    // Of a word that is not known any more there is no part to be made.
    Some(Local {
        since: now,
        folder: PathBuf::from(std::ffi::OsString::from_vec(kept.folder)),
        sources: kept
            .sources
            .into_iter()
            .map(source)
            .collect::<Option<_>>()?,
        sinks: kept.sinks.into_iter().map(sink).collect::<Option<_>>()?,
    })
}

/// Nothing of a composition is here any more that a restart would need.
pub(super) fn forget(store: &Store, id: &CompositionId) {
    store.remove(&name(id));
}

/// Where a source of a composition keeps how far it is.
pub(super) fn shelf(store: &Store, id: &CompositionId, origin: model::Origin) -> Shelf {
    Shelf {
        store: store.clone(),
        name: shelf_name(id, origin),
    }
}

fn name(id: &CompositionId) -> String {
    let node: String = id.node.0[..8]
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    format!("part-{node}-{}", id.number)
}
