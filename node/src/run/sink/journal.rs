//! What a sink has written, noted beside it: so that a process that comes after one that was killed goes on in the file exactly behind what counts.

use model::{CompositionId, Origin, Positions, wire};

use crate::connector::Sink;
use crate::note::Note;
use crate::store::Store;

/// Up to where a sink has written, in what it reads and in what it writes.
#[derive(Debug, Clone, Default, bincode::Encode, bincode::Decode)]
struct Written {
    positions: Positions,
    bytes: u64,
}

/// The journal of a sink whose results stay where they are written.
///
/// What is noted has been written, and what is acknowledged has been noted: rows behind the note come again, and what the file has behind it goes. So each row
/// is in the file once, whenever the process was killed. Where the system itself failed the file may be shorter than the note says: then it goes on as it is,
/// and what was not acknowledged comes again.
#[derive(Debug)]
pub(crate) struct Journal {
    note: Note,
    written: Written,
    store: Store,
    name: String,
}

impl Journal {
    /// The journal of a sink that goes on, or begins `anew`. The sink goes on where that is said to be; nothing where it keeps nothing that could be gone on with.
    pub(crate) fn open(
        store: &Store,
        name: String,
        sink: &mut dyn Sink,
        anew: bool,
    ) -> Option<Self> {
        sink.bytes()?;
        let opened = store.open_note(&name);
        let opened = opened.inspect_err(|error| tracing::warn!(%error, "a sink keeps no journal"));
        let (note, found) = opened.ok()?;
        let found = found.filter(|_| !anew);
        let said = found.and_then(|found| wire::decode_large::<Written>(&found.says).ok());
        let written = said.filter(|said| sink.go_on_behind(said.bytes).is_ok_and(|it| it));
        Some(Self {
            note,
            written: written.unwrap_or_default(),
            store: store.clone(),
            name,
        })
    }

    /// Up to where everything was written: nobody has to give that again.
    pub(crate) const fn positions(&self) -> &Positions {
        &self.written.positions
    }

    /// Everything up to an index was written. Says whether that is noted; else the journal is of no use any more, and gone.
    pub(crate) fn note(&mut self, origin: Origin, through: u64, sink: &dyn Sink) -> bool {
        let bytes = sink.bytes().unwrap_or_default();
        let known = self.written.positions.through(origin) == Some(through);
        if known && self.written.bytes == bytes {
            return true;
        }
        self.written.positions.advance(origin, through);
        self.written.bytes = bytes;
        let noted = self.note.write(&wire::encode(&self.written));
        if let Err(error) = &noted {
            tracing::warn!(%error, "a sink keeps no journal any more");
            self.forget();
        }
        noted.is_ok()
    }

    /// Nobody will go on with what was written.
    pub(crate) fn forget(&self) {
        self.store.remove(&self.name);
    }
}

/// The name of the journal of a sink.
pub(crate) fn journal_name(composition: &CompositionId, sink: &str) -> String {
    let hash = model::name::Digest::of(
        "synergy 2026 journal",
        &[&wire::encode(composition), sink.as_bytes()],
    );
    format!("sink-{}", hash.file_name())
}
