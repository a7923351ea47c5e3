//! State chunks: the keys that were last seen in a tick, rows of ticks to come, and which ticks are closed.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use model::Origin;

use super::Distinct;
use crate::columns;
use crate::operator::chunk::{self, ANEW, CLOSED};
use crate::operator::selection::Selection;
use crate::operator::{Cursor, ExportPart, ImportError, Part, StateChunk, Tick, ticks};

/// The part of keys; that of rows is of their origin and has the number zero.
const SEEN: Part = Part {
    origin: Origin(0),
    number: 1,
};

/// The next part of what changed behind a cursor: keys that rows of closed ticks had, which only come behind others, and then rows of ticks to come.
pub(super) fn export(distinct: &mut Distinct, at: &mut Cursor, bytes_max: usize) -> ExportPart {
    let Distinct {
        memory, pending, ..
    } = distinct;
    let mut chunks: Vec<StateChunk> = pending.begin_export(at).into_iter().collect();
    if !chunks.is_empty() {
        memory.begin_export(at.since.map_or(i64::MIN, |tick| tick.0));
    }
    let mut left = bytes_max;
    while left > 0
        && let Some((tick, keys)) = memory.tell(left)
    {
        let columns = to_columns(keys);
        let told = columns::bytes(columns.column(0));
        left = left.saturating_sub(told.max(1));
        chunks.push(StateChunk {
            tick: Tick(tick),
            part: SEEN,
            columns,
        });
    }
    if left == 0 {
        let is_last = false;
        return ExportPart { chunks, is_last };
    }
    let rows = pending.export(at.since, left);
    chunks.extend(rows.chunks);
    if rows.is_last {
        chunks.extend(chunk::closed(ticks::open(distinct.closed), at.since));
    }
    let is_last = rows.is_last;
    ExportPart { chunks, is_last }
}

fn to_columns<'k>(keys: impl Iterator<Item = &'k [u8]>) -> RecordBatch {
    let keys = BinaryArray::from_iter_values(keys);
    let field = Field::new("key", DataType::Binary, false);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(keys)])
        .expect("one column of keys")
}

/// Takes a chunk in.
pub(super) fn import(distinct: &mut Distinct, chunk: &StateChunk) -> Result<(), ImportError> {
    let refuse = |message: String| Err(ImportError::Columns(message));
    let Tick(tick) = chunk.tick;
    let is_reachable = ticks::tick_of(-ticks::REACH_MICROS)..=ticks::tick_of(ticks::REACH_MICROS);
    if ![ANEW, CLOSED].contains(&chunk.part) && !is_reachable.contains(&tick) {
        return refuse(format!("tick {tick} has no rows"));
    }
    match chunk.part {
        CLOSED => {
            distinct.close_through(tick.saturating_sub(1));
            Ok(())
        }
        ANEW => {
            // A key that was told before was seen, or has been seen anew.
            distinct.pending.forget_from(tick);
            Ok(())
        }
        SEEN => {
            let [keys] = chunk.columns.columns() else {
                return refuse("not one column of keys".to_owned());
            };
            if *keys.data_type() != DataType::Binary || keys.null_count() > 0 {
                return refuse(format!("keys of type {}", keys.data_type()));
            }
            for key in keys.as_binary::<i32>().iter().flatten() {
                distinct.memory.remember(key, tick);
            }
            distinct.forget_before(distinct.closed.saturating_add(1));
            Ok(())
        }
        Part { origin, number: 0 } => {
            let schema = Arc::clone(distinct.pending.schema());
            let columns = match RecordBatch::try_new(schema, chunk.columns.columns().to_vec()) {
                Ok(columns) => columns,
                Err(refused) => return refuse(refused.to_string()),
            };
            if tick > distinct.closed && columns.num_rows() > 0 {
                let all = Selection::Range {
                    offset: 0,
                    len: columns.num_rows(),
                };
                distinct
                    .encoder
                    .encode(&columns, &mut distinct.keys)
                    .expect("key columns are of the input's types");
                distinct
                    .pending
                    .update(tick, origin, &columns, &distinct.keys, &all);
            }
            Ok(())
        }
        Part { number, .. } => refuse(format!("a part called {number}")),
    }
}
