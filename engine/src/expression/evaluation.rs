//! Evaluation: of whole columns where that succeeds, and row by row around those that do not.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::ArrowError;
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;

/// Why rows could not be evaluated: `divide by zero`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(String);

impl EvaluationError {
    /// An error of what is done with a value.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same, with the name of what was to be computed before it.
    #[must_use]
    pub(crate) fn within(self, name: &str) -> Self {
        Self(format!("{name}: {}", self.0))
    }
}

impl From<DataFusionError> for EvaluationError {
    fn from(error: DataFusionError) -> Self {
        let root = error.find_root();
        Self(match root {
            DataFusionError::ArrowError(error, _) => arrow_message(error),
            other => super::planning::first_line(&other.message()),
        })
    }
}

impl From<ArrowError> for EvaluationError {
    fn from(error: ArrowError) -> Self {
        Self(arrow_message(&error))
    }
}

fn arrow_message(error: &ArrowError) -> String {
    let message = match error {
        ArrowError::CastError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::ArithmeticOverflow(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::ParseError(message) => message.clone(),
        other => other.to_string(),
    };
    super::planning::first_line(&message)
}

/// The value of each row.
pub(super) fn evaluate(
    expression: &Arc<dyn PhysicalExpr>,
    columns: &RecordBatch,
) -> Result<ArrayRef, EvaluationError> {
    let value = expression.evaluate(columns)?;
    Ok(value.into_array(columns.num_rows())?)
}

/// The array as one of this type.
pub(super) fn cast(
    array: &ArrayRef,
    wanted: &arrow_schema::DataType,
) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, wanted, &options)
}

/// What became of some rows.
#[derive(Debug)]
pub struct Outcome {
    /// The values of the rows that could be evaluated, in order; no array at all when there is no such row.
    pub values: Vec<ArrayRef>,
    /// The others, if there are any.
    pub bad: Option<BadRows>,
}

/// Rows that could not be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRows {
    /// Where they stand, ascending.
    pub places: UInt32Array,
    /// Where the others stand, ascending.
    pub good: UInt32Array,
    /// Why each of them could not.
    pub reasons: Vec<EvaluationError>,
}

impl BadRows {
    /// The places of neighbors that are bad for the same reason, and the reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (UInt32Array, &EvaluationError)> {
        let mut start = 0;
        self.reasons
            .chunk_by(|one, next| one == next)
            .map(move |same| {
                let places = self.places.slice(start, same.len());
                start += same.len();
                (places, &same[0])
            })
    }
}

/// Evaluates rows, and finds those that cannot be: one bad row never spoils the others.
///
/// `evaluate` gives some arrays, of one value for each row that it is given. It is called once when all
/// rows are good; else for about `2 log2(rows)` parts of the rows for each bad one.
///
/// Whether a row is bad depends on that row alone, not on its neighbors. In `b <> 0 AND a / b > 1` the
/// division is skipped when the left side is false for all rows at hand; a row that fails only in company
/// is good by itself.
pub fn evaluate_rows(
    columns: &RecordBatch,
    evaluate: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>, EvaluationError>,
) -> Outcome {
    let error = match evaluate(columns) {
        Ok(values) => return Outcome { values, bad: None },
        Err(error) => error,
    };
    let mut search = Search {
        columns,
        evaluate,
        good: Vec::new(),
        parts: Vec::new(),
        bad: Vec::new(),
    };
    search.halve(0, columns.num_rows(), error);
    search.finish()
}

struct Search<'a, F> {
    columns: &'a RecordBatch,
    evaluate: F,
    good: Vec<u32>,
    parts: Vec<Vec<ArrayRef>>,
    bad: Vec<(u32, EvaluationError)>,
}

impl<F: Fn(&RecordBatch) -> Result<Vec<ArrayRef>, EvaluationError>> Search<'_, F> {
    fn look(&mut self, start: usize, len: usize) {
        match (self.evaluate)(&self.columns.slice(start, len)) {
            Ok(values) => {
                self.good.extend((start..start + len).map(place));
                self.parts.push(values);
            }
            Err(error) => self.halve(start, len, error),
        }
    }

    /// Rows that failed together are looked at in two halves.
    fn halve(&mut self, start: usize, len: usize, error: EvaluationError) {
        if len <= 1 {
            self.bad
                .extend((start..start + len).map(|row| (place(row), error.clone())));
            return;
        }
        let half = len / 2;
        self.look(start, half);
        self.look(start + half, len - half);
    }
}

impl<F> Search<'_, F> {
    fn finish(self) -> Outcome {
        let count = self.parts.first().map_or(0, Vec::len);
        let join = |index: usize| {
            let parts: Vec<&dyn Array> = self.parts.iter().map(|part| &*part[index]).collect();
            arrow_select::concat::concat(&parts).expect("an expression's values are of one type")
        };
        let values = (0..count).map(join).collect();
        let is_any_bad = !self.bad.is_empty();
        let (places, reasons): (Vec<u32>, Vec<EvaluationError>) = self.bad.into_iter().unzip();
        let bad = is_any_bad.then(|| BadRows {
            places: places.into(),
            good: self.good.into(),
            reasons,
        });
        Outcome { values, bad }
    }
}

fn place(row: usize) -> u32 {
    u32::try_from(row).expect("a batch has fewer rows than 2^32")
}
