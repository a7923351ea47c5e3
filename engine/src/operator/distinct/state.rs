//! State chunks: the keys that were last seen in a tick, rows of ticks to come, and which ticks are closed.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use model::Origin;

use super::{Distinct, Memory};
use crate::operator::chunk::{self, CLOSED};
use crate::operator::selection::Selection;
use crate::operator::{Cursor, ImportError, Part, StateChunk, Tick, ticks};

/// The part of keys; that of rows is of their origin and has the number zero.
const SEEN: Part = Part {
    origin: Origin(0),
    number: 1,
};

/// What changed behind `since`.
pub(super) fn export(distinct: &Distinct, since: Option<Tick>) -> Vec<StateChunk> {
    let behind = since.map_or(i64::MIN, |tick| tick.0);
    let seen = distinct
        .memory
        .since(behind)
        .map(|(tick, keys)| StateChunk {
            tick: Tick(tick),
            part: SEEN,
            columns: to_columns(keys.into_iter()),
        });
    let rows = distinct.pending.since(behind);
    let rows = rows.map(|(tick, origin, columns)| StateChunk {
        tick: Tick(tick),
        part: Part { origin, number: 0 },
        columns,
    });
    chunk::export(ticks::open(distinct.closed), since, seen.chain(rows))
}

/// Some of the keys behind a cursor. Those of a tick leave from the last to the first: a key that is seen anew, and so leaves its tick, lets the last
/// one take its place, which went then.
pub(super) fn export_some(memory: &Memory, at: &mut Cursor, bytes_max: usize) -> Vec<StateChunk> {
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max
        && let Some((tick, keys)) = memory.next_behind(at.since.map_or(i64::MIN, |tick| tick.0))
    {
        let tick = Tick(tick);
        let within = at.within.take().filter(|(known, _)| *known == tick);
        let left = within.map_or(keys.len(), |(_, left)| left.min(keys.len()));
        let mut from = left;
        while from > 0 && bytes < bytes_max {
            from -= 1;
            bytes += keys[from].len() + size_of::<i32>();
        }
        if from < left {
            chunks.push(StateChunk {
                tick,
                part: SEEN,
                columns: to_columns((from..left).map(|place| &*keys[place])),
            });
        }
        match from {
            0 => at.since = Some(tick),
            left => at.within = Some((tick, left)),
        }
    }
    chunks
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
    if chunk.part != CLOSED && !is_reachable.contains(&tick) {
        return refuse(format!("tick {tick} has no rows"));
    }
    match chunk.part {
        CLOSED => {
            distinct.close_through(tick.saturating_sub(1));
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
            distinct.pending.remove(tick, origin);
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
