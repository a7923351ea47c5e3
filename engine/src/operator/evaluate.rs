//! Evaluating expressions on the rows of a batch, with the bad rows put aside.

use arrow_array::{ArrayRef, RecordBatch};

use super::Emitter;
use crate::batch::Rows;
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
