//! State chunks: the rows that a join holds as columns, and back.
//!
//! A row never changes, so rows leave in the order in which they came, as many at a time as are wanted, whether or not their tick is complete.
//! A chunk has some rows of one side and one origin that enter at one tick: their keys, what is kept of them, and their times. They come
//! behind those of the chunks before; the first of all says from which tick on there are none, and the last which ticks are closed.
//! A tick that is half closed is closed anew by whoever imports it: its rows have the same positions as before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, RecordBatch};
use arrow_schema::DataType as ArrowType;
use model::Origin;

use super::rows::Row;
use super::{Join, Side};
use crate::operator::chunk::{self, ANEW, CLOSED};
use crate::operator::{Cursor, ExportPart, ImportError, Part, StateChunk, Tick};

/// How many rows are looked at for one part of an export, also where all of them lie before its cursor.
///
/// Unit: rows. Source: guess; about as long as it takes to copy a part.
const LOOKED_AT_MAX: usize = 64 << 10;

/// The next rows behind a cursor; at last, which ticks are closed.
pub(super) fn export(join: &Join, at: &mut Cursor, bytes_max: usize) -> ExportPart {
    let anew = at.within.is_none().then(|| chunk::anew(at.since));
    let (rows, is_last) = next_rows(join, at, bytes_max);
    let closed = is_last.then(|| chunk::closed(Tick(join.open), at.since));
    let chunks = anew.into_iter().chain(chunks(join, &rows));
    ExportPart {
        chunks: chunks.chain(closed.flatten()).collect(),
        is_last,
    }
}

/// The next rows behind a cursor in the order in which they came, up to about so many bytes, and whether these are all; the cursor goes on behind them.
fn next_rows(join: &Join, at: &mut Cursor, bytes_max: usize) -> (Vec<(Side, Arc<Row>)>, bool) {
    let number = at.within.get_or_insert_default();
    let mut left = join.left.came_from(*number).peekable();
    let mut right = join.right.came_from(*number).peekable();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for _ in 0..LOOKED_AT_MAX {
        let is_left = match (left.peek(), right.peek()) {
            (Some((left, _)), Some((right, _))) => left < right,
            (left, _) => left.is_some(),
        };
        let next = match is_left {
            true => left.next().map(|row| (row, Side::Left)),
            false => right.next().map(|row| (row, Side::Right)),
        };
        let Some(((came, row), side)) = next else {
            return (rows, true);
        };
        *number = came + 1;
        if at.since.is_none_or(|since| row.enters > since.0) {
            bytes += row.bytes();
            rows.push((side, row));
        }
        if bytes >= bytes_max {
            break;
        }
    }
    (rows, false)
}

/// These rows as chunks.
fn chunks(join: &Join, rows: &[(Side, Arc<Row>)]) -> impl Iterator<Item = StateChunk> {
    let mut parts: BTreeMap<(i64, Side, Origin), Vec<&Row>> = BTreeMap::new();
    for (side, row) in rows {
        let part = (row.enters, *side, row.origin);
        parts.entry(part).or_default().push(row);
    }
    let parts = parts.into_iter();
    parts.map(|((tick, side, origin), rows)| StateChunk {
        tick: Tick(tick),
        part: Part {
            origin,
            number: number(side),
        },
        columns: to_columns(join, side, &rows),
    })
}

/// Takes a chunk in.
pub(super) fn import(join: &mut Join, chunk: &StateChunk) -> Result<(), ImportError> {
    // Whatever was half closed is closed anew, with what came in.
    if chunk.part == CLOSED {
        join.closing = None;
        join.open = join.open.max(chunk.tick.0);
        join.release();
        let closed = join.open.saturating_sub(1);
        join.left.forget(closed);
        join.right.forget(closed);
        return Ok(());
    }
    if chunk.part == ANEW {
        join.closing = None;
        join.left.forget_from(chunk.tick.0);
        join.right.forget_from(chunk.tick.0);
        return Ok(());
    }
    let sides = [Side::Left, Side::Right];
    let side = sides
        .into_iter()
        .find(|side| number(*side) == chunk.part.number);
    let Some(side) = side else {
        let number = chunk.part.number;
        return Err(ImportError::Columns(format!("a join has no side {number}")));
    };
    let rows = from_columns(join, side, chunk)?;
    join.closing = None;
    for row in rows {
        if join.timing.held_through(side, row.time) >= join.open {
            join.take(side, row);
        }
    }
    Ok(())
}

const fn number(side: Side) -> i64 {
    match side {
        Side::Left => 0,
        Side::Right => 1,
    }
}

fn to_columns(join: &Join, side: Side, rows: &[&Row]) -> RecordBatch {
    let keys = rows.iter().map(|row| row.key());
    let kept = rows.iter().map(|row| row.values());
    let mut columns = join.selected.decode(side, keys, kept);
    let times: Int64Array = rows.iter().map(|row| Some(row.time)).collect();
    columns.push(Arc::new(times));
    chunk::columns(columns, rows.len())
}

/// The rows that these columns are.
fn from_columns(join: &Join, side: Side, chunk: &StateChunk) -> Result<Vec<Row>, ImportError> {
    let refuse = |message: String| Err(ImportError::Columns(message));
    let (keys, kept) = join.selected.types(side);
    let wanted: Vec<&ArrowType> = keys.iter().chain(kept).chain([&ArrowType::Int64]).collect();
    let columns = chunk.columns.columns();
    if columns.len() != wanted.len() {
        return refuse(format!(
            "{} columns instead of {}",
            columns.len(),
            wanted.len()
        ));
    }
    let given = columns.iter().map(|column| column.data_type());
    let mut pairs = given.zip(wanted);
    if let Some((given, wanted)) = pairs.find(|(given, wanted)| given != wanted) {
        return refuse(format!("a column of {given} instead of {wanted}"));
    }
    let (keys, rest) = columns.split_at(keys.len());
    if side == Side::Right && keys.iter().any(|key| key.null_count() > 0) {
        return refuse("a row that agrees with nothing".into());
    }
    let (kept, times) = rest.split_at(kept.len());
    let times = times[0].as_primitive::<Int64Type>();
    if times.null_count() > 0 {
        return refuse("a row without a time".into());
    }
    let enters = chunk.tick.0;
    let has = |time: &&i64| join.timing.has(side, **time, enters);
    if let Some(time) = times.values().iter().find(|time| !has(time)) {
        return refuse(format!(
            "a row at {time} us does not enter at tick {enters}"
        ));
    }
    let (keys, kept) = join.selected.encode(side, keys, kept);
    let row = |(place, time): (usize, &i64)| {
        let when = (*time, chunk.part.origin, enters);
        Row::new(keys.row(place), kept.row(place), when)
    };
    Ok(times.values().iter().enumerate().map(row).collect())
}
