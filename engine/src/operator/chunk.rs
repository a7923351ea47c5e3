//! State as chunks: how it is exported and imported, and what chunks of all operators have in common.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use model::Origin;

use super::Tick;

/// Up to where a state was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The last tick that the export leaves out: it was complete when that was exported.
    pub since: Option<Tick>,
    /// How far the export has come, once it has begun: what that counts is the operator's affair.
    pub within: Option<usize>,
}

/// A part of an export.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPart {
    /// What it tells.
    pub chunks: Vec<StateChunk>,
    /// Whether nothing is left to tell.
    pub is_last: bool,
}

impl Default for ExportPart {
    /// All of no state.
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            is_last: true,
        }
    }
}

/// A piece of an operator's state. Importing all that were exported, in order, makes an equal operator.
#[derive(Debug, Clone, PartialEq)]
pub struct StateChunk {
    /// The tick that it belongs to. Once a tick is complete its chunks change no more.
    pub tick: Tick,
    /// What the operator calls this part of the tick. What a later chunk of the same tick and part tells comes behind it.
    pub part: Part,
    /// The state as columns.
    pub columns: RecordBatch,
}

impl Cursor {
    /// Where an increment begins that adds to what is complete up to a tick.
    pub const fn behind(since: Option<Tick>) -> Self {
        Self {
            since,
            within: None,
        }
    }
}

/// Which part of a tick's state a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// Whose rows made it.
    pub origin: Origin,
    /// What else tells the operator's parts apart: of a window, the pane.
    pub number: i64,
}

/// Why a chunk of state was not taken in. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The operator has no state.
    #[error("a stateless operator has no state at tick {}", tick.0)]
    Stateless {
        /// The tick of the chunk.
        tick: Tick,
    },
    /// The columns are not those of this operator.
    #[error("state of another operator: {0}")]
    Columns(String),
}

/// The part that says which ticks are closed; its tick is the earliest that is not. It is the last of an export, and no other part has this number.
pub(super) const CLOSED: Part = Part {
    origin: Origin(0),
    number: i64::MIN,
};

/// The part that says from which tick on all is told anew: what was held of that goes. It is the first of an export, and no other part has this number.
pub(super) const ANEW: Part = Part {
    origin: Origin(0),
    number: i64::MIN + 1,
};

/// What an export begins with that leaves out what is complete up to a tick.
pub(super) fn anew(since: Option<Tick>) -> StateChunk {
    StateChunk {
        tick: Tick(since.map_or(i64::MIN, |since| since.0.saturating_add(1))),
        part: ANEW,
        columns: columns(Vec::new(), 0),
    }
}

/// What such an export ends with: that all ticks before `open` are closed, where they were not at its beginning.
pub(super) fn closed(open: Tick, since: Option<Tick>) -> Option<StateChunk> {
    // Nothing is closed before the least tick of all.
    let is_new = open > since.unwrap_or(Tick(i64::MIN));
    is_new.then(|| StateChunk {
        tick: open,
        part: CLOSED,
        columns: columns(Vec::new(), 0),
    })
}

/// Columns that are called by their numbers.
///
/// # Panics
/// When a column has not so many rows.
pub(super) fn columns(columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(index.to_string(), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .expect("each column of a chunk has a value for each row")
}
