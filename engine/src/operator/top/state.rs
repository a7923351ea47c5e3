//! State chunks: the best rows of a slot with their times and indices, and back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};

use super::best::{Best, Candidate, Groups, Wanted};
use super::encoding::Encoding;
use crate::expression::Expression;
use crate::operator::{Cursor, ExportPart, ImportError, StateChunk};

/// The columns behind those of the input.
const POSITION: [(&str, DataType); 2] = [("#time", DataType::Int64), ("#index", DataType::UInt64)];

/// The next part of the rows that count first behind a cursor.
pub(super) fn export(
    best: &mut Best,
    encoding: &Encoding,
    at: &mut Cursor,
    bytes_max: usize,
) -> ExportPart {
    best.slots.export(at, bytes_max, |groups, page, export| {
        let told = groups.tell(page, export);
        (!told.is_empty()).then(|| to_columns(&told, encoding))
    })
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
    encoding: &Encoding,
    value: &Expression,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    let (layout, wanted) = (best.slots.layout(), best.wanted);
    best.slots.import(
        chunk,
        |place, columns| {
            let is_there = |time: &i64| layout.pane(*time) == place.pane;
            from_columns(columns, encoding, value, is_there, wanted)
        },
        |groups, later| groups.append(wanted, later),
    )
}

/// The best of the rows that these columns are.
fn from_columns(
    columns: &RecordBatch,
    encoding: &Encoding,
    value: &Expression,
    is_there: impl Fn(&i64) -> bool,
    wanted: Wanted,
) -> Result<Groups, ImportError> {
    let refuse = |message: String| Err(ImportError::Columns(message));
    let columns = columns.columns();
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
    if !times.iter().all(is_there) {
        return refuse("rows that are not of their pane".to_owned());
    }
    let indices = indices.as_primitive::<UInt64Type>().values().to_vec();
    let newcomers = encoding.encode(&rows, &values, times, indices);
    let mut groups = Groups::new();
    groups.update(wanted, &newcomers);
    Ok(groups)
}
