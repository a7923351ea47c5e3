//! Evaluating expressions on the rows of a batch, with the bad rows put aside.

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_select::take::take;
use model::DataType;

use super::Emitter;
use crate::batch::Rows;
use crate::columns;
use crate::expression::{EvaluationError, evaluate_rows};

/// The rows that can be evaluated with their values; the others leave as bad. Nothing where there is no
/// such row.
pub(super) fn evaluate(
    rows: &Rows,
    emit: &mut Emitter,
    evaluate: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>, EvaluationError>,
) -> Option<(Rows, Vec<ArrayRef>)> {
    if rows.is_empty() {
        return None;
    }
    let outcome = evaluate_rows(rows.columns(), evaluate);
    let Some(bad) = outcome.bad else {
        return Some((rows.clone(), outcome.values));
    };
    for (places, reason) in bad.by_reason() {
        emit.bad(rows.take(&places), reason.to_string());
    }
    (!bad.good.values().is_empty()).then(|| (rows.take(&bad.good), outcome.values))
}

/// The values of an expression, null for the rows for which it fails.
pub(super) fn evaluate_or_null(
    rows: &RecordBatch,
    data_type: DataType,
    evaluate: impl Fn(&RecordBatch) -> Result<ArrayRef, EvaluationError>,
) -> ArrayRef {
    let outcome = evaluate_rows(rows, |rows| Ok(vec![evaluate(rows)?]));
    let Some(values) = outcome.values.into_iter().next() else {
        return nulls(data_type, rows.num_rows());
    };
    let Some(bad) = outcome.bad else {
        return values;
    };
    let mut places: Vec<Option<u32>> = vec![None; rows.num_rows()];
    for (good, place) in (0u32..).zip(bad.good.values()) {
        places[usize::try_from(*place).expect("32 bits fit a pointer")] = Some(good);
    }
    take(&values, &UInt32Array::from(places), None).expect("each place is one of the good values")
}

/// Nothing but nulls.
pub(super) fn nulls(data_type: DataType, len: usize) -> ArrayRef {
    new_null_array(&columns::to_arrow_type(data_type), len)
}
