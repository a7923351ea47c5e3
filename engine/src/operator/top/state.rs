//! State chunks: the best rows of a slot with their times and indices, and back.
//!
//! One more chunk without columns says which windows are closed.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use model::Origin;

use super::best::{Best, Candidate, Slot};
use super::encoding::Encoding;
use crate::expression::Expression;
use crate::operator::window::layout::{Layout, Place};
use crate::operator::{ImportError, Part, StateChunk, Tick};

/// The part that says which windows are closed; its tick is the earliest that is not. No pane has this number.
const CLOSED: Part = Part {
    origin: Origin(0),
    number: i64::MIN,
};

/// The columns behind those of the input.
const POSITION: [(&str, DataType); 2] = [("#time", DataType::Int64), ("#index", DataType::UInt64)];

/// The rows that count first behind `since`, and which windows are closed.
pub(super) fn export(best: &Best, encoding: &Encoding, since: Option<Tick>) -> Vec<StateChunk> {
    let since = since.map_or(i64::MIN, |tick| tick.0);
    let options = RecordBatchOptions::new().with_row_count(Some(0));
    let closed = StateChunk {
        tick: Tick(best.open()),
        part: CLOSED,
        columns: RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
            .expect("no columns of no rows"),
    };
    let slots = best.since(since).map(|(slot, rows)| StateChunk {
        tick: Tick(slot.place.first),
        part: Part {
            origin: slot.origin,
            number: slot.place.pane,
        },
        columns: to_columns(&rows, encoding),
    });
    std::iter::once(closed)
        .filter(|closed| closed.tick.0 > since)
        .chain(slots)
        .collect()
}

fn to_columns(rows: &[&Candidate], encoding: &Encoding) -> RecordBatch {
    let columns = encoding.decode(rows.iter().map(|row| &*row.row));
    let times: Int64Array = rows.iter().map(|row| Some(row.time)).collect();
    let indices: UInt64Array = rows.iter().map(|row| Some(row.index)).collect();
    let mut fields: Vec<Field> = columns
        .schema()
        .fields()
        .iter()
        .map(|field| (**field).clone())
        .collect();
    fields.extend(POSITION.map(|(name, data_type)| Field::new(name, data_type, false)));
    let mut arrays = columns.columns().to_vec();
    arrays.extend([Arc::new(times) as ArrayRef, Arc::new(indices)]);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .expect("each row has a time and an index")
}

/// Takes a chunk in.
pub(super) fn import(
    best: &mut Best,
    layout: Layout,
    encoding: &Encoding,
    value: &Expression,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    let refuse = |message: String| Err(ImportError::Columns(message));
    if chunk.part == CLOSED {
        best.open_from(chunk.tick.0);
        return Ok(());
    }
    let place = Place {
        pane: chunk.part.number,
        first: chunk.tick.0,
    };
    if !layout.has(place) {
        return refuse(format!(
            "pane {} does not count first in window {}",
            place.pane, place.first
        ));
    }
    let columns = chunk.columns.columns();
    let Some((rows, [times, indices])) = columns.split_last_chunk::<2>() else {
        return refuse(format!("{} columns without positions", columns.len()));
    };
    let is = |column: &ArrayRef, data_type: &DataType| {
        column.data_type() == data_type && column.null_count() == 0
    };
    if !is(times, &POSITION[0].1) || !is(indices, &POSITION[1].1) {
        return refuse("columns of positions that are none".to_owned());
    }
    let rows = match RecordBatch::try_new(encoding.schema().clone(), rows.to_vec()) {
        Ok(rows) => rows,
        Err(refused) => return refuse(refused.to_string()),
    };
    let values = match value.evaluate(&rows) {
        Ok(values) => values,
        Err(refused) => return refuse(refused.to_string()),
    };
    let times = times.as_primitive::<Int64Type>().values();
    if times.iter().any(|time| layout.pane(*time) != place.pane) {
        return refuse(format!("rows that are not of pane {}", place.pane));
    }
    let indices = indices.as_primitive::<UInt64Type>().values().to_vec();
    let newcomers = encoding.encode(&rows, &values, times, indices);
    let slot = Slot {
        place,
        origin: chunk.part.origin,
    };
    best.replace(slot, &newcomers);
    Ok(())
}
