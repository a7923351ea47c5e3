//! State chunks: the rows that a join holds as columns, and back.
//!
//! A chunk has the rows of one side and one origin that enter at one tick: their keys, what is kept of them, and their times. One
//! more chunk without columns says which ticks are closed. A tick that is half closed is closed anew by
//! whoever imports it: its rows have the same positions as before.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, RecordBatch};
use arrow_schema::DataType as ArrowType;

use super::rows::Row;
use super::{Join, Side};
use crate::operator::chunk::{self, CLOSED};
use crate::operator::{ImportError, Part, StateChunk, Tick};

/// The rows that enter behind `since`, and which ticks are closed.
pub(super) fn export(join: &Join, since: Option<Tick>) -> Vec<StateChunk> {
    let behind = since.map_or(i64::MIN, |tick| tick.0);
    let sides = [(Side::Left, &join.left), (Side::Right, &join.right)];
    let chunks = sides.into_iter().flat_map(|(side, rows)| {
        let entering = rows.entering_behind(behind).into_iter();
        entering.map(move |((tick, origin), rows)| StateChunk {
            tick: Tick(tick),
            part: Part {
                origin,
                number: number(side),
            },
            columns: to_columns(join, side, &rows),
        })
    });
    chunk::export(Tick(join.open), since, chunks)
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
    let sides = [Side::Left, Side::Right];
    let side = sides
        .into_iter()
        .find(|side| number(*side) == chunk.part.number);
    let Some(side) = side else {
        let number = chunk.part.number;
        return Err(ImportError::Columns(format!("a join has no side {number}")));
    };
    let mut rows = from_columns(join, side, chunk)?;
    join.closing = None;
    let (timing, open) = (join.timing, join.open);
    rows.retain(|row| timing.held_through(side, row.time) >= open);
    join.side_mut(side)
        .replace(chunk.tick.0, chunk.part.origin, rows);
    Ok(())
}

const fn number(side: Side) -> i64 {
    match side {
        Side::Left => 0,
        Side::Right => 1,
    }
}

fn to_columns(join: &Join, side: Side, rows: &[Arc<Row>]) -> RecordBatch {
    let keys = rows.iter().map(|row| &*row.key);
    let kept = rows.iter().map(|row| &*row.values);
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
    let row = |(place, time): (usize, &i64)| Row {
        key: keys.row(place).into(),
        values: kept.row(place).into(),
        time: *time,
        origin: chunk.part.origin,
        enters,
    };
    Ok(times.values().iter().enumerate().map(row).collect())
}
