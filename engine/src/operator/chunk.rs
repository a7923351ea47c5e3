//! Chunks of state: what those of all operators have in common.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use model::Origin;

use super::{Part, StateChunk, Tick};

/// The part that says which ticks are closed; its tick is the earliest that is not. No other part has this number.
pub(super) const CLOSED: Part = Part {
    origin: Origin(0),
    number: i64::MIN,
};

/// What is told of what changed behind `since`: that all ticks before `open` are closed, where they were not then, and these chunks.
pub(super) fn export(
    open: Tick,
    since: Option<Tick>,
    chunks: impl Iterator<Item = StateChunk>,
) -> Vec<StateChunk> {
    let closed = StateChunk {
        tick: open,
        part: CLOSED,
        columns: columns(Vec::new(), 0),
    };
    std::iter::once(closed)
        // Nothing is closed before the least tick of all.
        .filter(|closed| closed.tick > since.unwrap_or(Tick(i64::MIN)))
        .chain(chunks)
        .collect()
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
