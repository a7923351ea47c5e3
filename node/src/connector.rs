//! Connectors: where rows come from and where results go. One file for each kind, a line here makes it known.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use engine::intake::Records;
use engine::operator::{ArgumentError, Parameter};
use model::plan::Live;
use model::{Arguments, Clock, EventTime, Schema};

mod bookmark;
mod cell;
mod csv;
mod cutter;
mod file;
mod format;
mod host;
mod infer;
mod jsonl;
mod options;
mod reader;
mod render;
mod sinks;
mod stdin;
mod typed;
mod zeek;

pub(crate) use host::EVERY_DEFAULT as HOST_EVERY;

/// All kinds of source.
pub const SOURCES: &[&SourceKind] = &[&file::KIND, &stdin::KIND, &host::KIND];

/// All kinds of sink.
pub const SINKS: &[&SinkKind] = &[&sinks::REQUESTER, &sinks::STDOUT, &sinks::FILE, &DISCARD];

pub use bookmark::Bookmark;
pub use render::Text;
pub use sinks::DISCARD;

/// A connector that was opened, or all that is wrong with what was given.
pub type Opened<T> = Result<Box<T>, Vec<ArgumentError>>;

/// A kind of source: its word, what it asks for, and how one is opened.
#[derive(Debug)]
pub struct SourceKind {
    /// The word that application files use as `connector`.
    pub name: &'static str,
    /// What it reads, in a sentence.
    pub doc: &'static str,
    /// What may and must be given, [`connector` itself](SourceKind::name) left out.
    pub parameters: &'static [Parameter],
    /// How time passes for one that gives rows as things happen and cannot be read again; nothing where it is waited for, or where nobody knows.
    pub live: fn(&Arguments) -> Option<Live>,
    /// Opens one and finds its schema. Reads no more than it needs for that, and loses nothing of it.
    pub open: fn(&Arguments, &Context<'_>) -> Opened<dyn Source>,
}

/// What a connector may need of where it runs.
#[derive(Clone)]
pub struct Context<'a> {
    /// The folder that relative paths start from: that of the application file.
    pub folder: &'a Path,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The event time of [`model::Instant::ZERO`], for rows that carry none.
    pub epoch: EventTime,
}

impl Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// An open source.
pub trait Source: Send + Debug {
    /// The columns of its rows; they do not change.
    fn schema(&self) -> &Schema;

    /// What people should know of how it was opened: renamed columns, inferred types.
    fn remarks(&self) -> &[String] {
        &[]
    }

    /// How its records are to be taken in.
    fn pace(&self) -> Pace {
        Pace::default()
    }

    /// The records that are there, at most [`engine::batch::ROWS_MAX`]; waits at most `wait` for the first.
    ///
    /// # Errors
    /// When the source cannot be read on. What was read before stands.
    fn read(&mut self, wait: Duration) -> Result<Reading, SourceError>;

    /// Where the next reading begins, for [`Source::go_to`], also of the same source opened by another process; nothing where it
    /// cannot be read again.
    fn bookmark(&self) -> Option<Bookmark> {
        None
    }

    /// Reads on from a bookmark, which may lie before what was read.
    ///
    /// # Errors
    /// When it cannot be read from there, or what lies before the bookmark is not what it was. It cannot be read on then.
    fn go_to(&mut self, _bookmark: &Bookmark) -> Result<(), SourceError> {
        Err(SourceError {
            place: "a source".to_owned(),
            reason: "it cannot be read again".to_owned(),
        })
    }
}

/// How the records of a source are to be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    /// How much faster than event time records are replayed; absent, as fast as possible.
    ///
    /// Unit: event time per time. Range: finite, above 0.
    pub speed: Option<f64>,
    /// By how much a record may come after later ones, in microseconds. Range: not negative.
    pub out_of_order_micros: i64,
    /// What happens to records that cannot be taken in.
    pub overflow: Overflow,
    /// Whether records come as things happen, rather than being there already.
    pub is_live: bool,
}

/// What happens to records that cannot be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// They wait.
    #[default]
    Block,
    /// The oldest are dropped, and counted as missing.
    DropOldest,
}

/// What a reading of a source gave.
#[derive(Debug)]
pub enum Reading {
    /// These records.
    Records(Records),
    /// Nothing yet.
    Idle,
    /// Nothing, and nothing will come.
    End,
}

/// Why a source cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct SourceError {
    /// What was read, and where in it: `conn.log.gz, record 512`.
    pub place: String,
    /// What happened.
    pub reason: String,
}

/// A kind of sink: its word, what it asks for, and how one is opened.
#[derive(Debug)]
pub struct SinkKind {
    /// The word that application files use as `connector`.
    pub name: &'static str,
    /// Where it writes, in a sentence.
    pub doc: &'static str,
    /// What may and must be given.
    pub parameters: &'static [Parameter],
    /// Whether it writes to standard output, where people see what they asked for.
    pub is_shown: bool,
    /// What it does on a host that is not the application's own.
    pub elsewhere: Elsewhere,
    /// Says what is wrong with the arguments, as far as that can be known without writing anything.
    pub check: fn(&Arguments, &Context<'_>) -> Result<(), Vec<ArgumentError>>,
    /// Opens one for rows of this schema. Called when the application starts, not when it is checked.
    pub open: fn(&Arguments, &Schema, &Context<'_>, Opening) -> Opened<dyn Sink>,
}

/// What a kind of sink does on a host that is not the one whose application it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// The same: it leaves nothing on the host.
    Same,
    /// It writes a file that the host chooses, instead of the one at `path`.
    OwnFile,
    /// It is not opened there.
    Never,
}

/// What becomes of what a sink has written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Its composition is new: what was there is replaced.
    Anew,
    /// Its composition has written it: it goes on behind that, of which a row that is not whole is cut off.
    Again,
}

/// An open sink.
pub trait Sink: Send + Debug {
    /// Writes rows; when it returns they have left the process.
    ///
    /// # Errors
    /// When they could not be written.
    fn write(&mut self, rows: &RecordBatch) -> Result<(), std::io::Error>;

    /// How many bytes there are of what it has written; nothing where they do not stay.
    fn bytes(&self) -> Option<u64> {
        None
    }

    /// Goes on behind so many bytes of what it has written, and removes what lies behind them. Says whether there were as many: otherwise
    /// nothing has changed.
    ///
    /// # Errors
    /// When that cannot be removed.
    fn go_on_behind(&mut self, _bytes: u64) -> Result<bool, std::io::Error> {
        Ok(false)
    }
}
