//! The expressions of a join: keys on one side each, the condition and the selection on both.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    new_null_array,
};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::filter::filter_record_batch;
use model::{Field, Schema};

use super::Side;
use super::closing::Pair;
use super::timing::Timing;
use crate::aggregate::{EncodedKeys, KeyEncoder};
use crate::batch::Rows;
use crate::columns;
use crate::expression::{EvaluationError, Expression};
use crate::operator::evaluate::evaluate_or_null;

/// The columns of both sides, and in what the expressions read of them.
#[derive(Debug)]
pub(super) struct Scope {
    /// Of both sides, as expressions call them: of the left one, of the right one.
    pub(super) both: Schema,
    pub(super) left_count: usize,
    /// The same, and the bounds of the window where there is one.
    pub(super) all: Schema,
}

/// The compiled expressions.
#[derive(Debug)]
pub(super) struct Selected {
    keys: [Vec<Expression>; 2],
    key_encoder: KeyEncoder,
    key_types: Vec<ArrowType>,
    /// The columns of a side that are kept of its rows, and of what types they are.
    kept: [KeyEncoder; 2],
    kept_types: [Vec<ArrowType>; 2],
    /// What stands for the right row where there is none.
    absent: Box<[u8]>,
    keeps_left: bool,
    condition: Option<Expression>,
    results: Vec<Expression>,
    /// What the condition and the results are evaluated over: what is kept, and the bounds that are read.
    inner: SchemaRef,
    /// Which bounds are read: of start and end.
    bounds: [bool; 2],
    output: SchemaRef,
    /// The columns of both sides: what is late or bad is shown in.
    both: SchemaRef,
    left_count: usize,
}

/// What expressions were given, compiled against all columns.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) keys: [Vec<Expression>; 2],
    pub(super) condition: Option<Expression>,
    pub(super) results: Vec<(String, Expression)>,
}

impl Selected {
    /// Keeps of each side what the expressions read, and no more.
    pub(super) fn new(scope: &Scope, texts: Texts, keeps_left: bool) -> Result<Self, String> {
        let Texts {
            keys,
            condition,
            results,
        } = texts;
        let Scope {
            both,
            left_count,
            all,
        } = scope;
        let expressions = condition
            .iter()
            .chain(results.iter().map(|(_, result)| result));
        let read: BTreeSet<usize> = expressions.flat_map(Expression::columns).collect();
        let both_count = both.fields().len();
        let fields = |indices: &mut dyn Iterator<Item = usize>| -> Vec<Field> {
            indices.map(|index| all.fields()[index].clone()).collect()
        };
        let inner = fields(&mut read.iter().copied());
        let inner = Schema::new(inner).map_err(|error| error.to_string())?;
        let again = |expression: Expression| {
            Expression::parse(expression.text(), &inner).map_err(|error| error.to_string())
        };
        let output = results
            .iter()
            .map(|(name, result)| Field::new(name, result.data_type()));
        let output = Schema::new(output.collect()).map_err(|error| error.to_string())?;
        let kept_of =
            |side: std::ops::Range<usize>| -> Result<(KeyEncoder, Vec<ArrowType>), String> {
                let indices: Vec<usize> = read
                    .range(side.clone())
                    .map(|index| index - side.start)
                    .collect();
                let types: Vec<ArrowType> = fields(&mut read.range(side).copied())
                    .iter()
                    .map(|field| columns::to_arrow_type(field.data_type))
                    .collect();
                let encoder = KeyEncoder::new(indices, types.iter().cloned());
                Ok((encoder.map_err(|error| error.to_string())?, types))
            };
        let (left, left_types) = kept_of(0..*left_count)?;
        let (right, right_types) = kept_of(*left_count..both_count)?;
        let key_types: Vec<ArrowType> = keys[0]
            .iter()
            .map(|key| columns::to_arrow_type(key.data_type()))
            .collect();
        let key_encoder =
            KeyEncoder::new((0..key_types.len()).collect(), key_types.iter().cloned())
                .map_err(|error| error.to_string())?;
        Ok(Self {
            keys,
            key_encoder,
            key_types,
            absent: absent(&right, &right_types),
            kept: [left, right],
            kept_types: [left_types, right_types],
            keeps_left,
            condition: condition.map(again).transpose()?,
            results: results
                .into_iter()
                .map(|(_, result)| again(result))
                .collect::<Result<_, _>>()?,
            inner: columns::to_arrow(&inner),
            bounds: [both_count, both_count + 1].map(|index| read.contains(&index)),
            output: columns::to_arrow(&output),
            both: columns::to_arrow(both),
            left_count: *left_count,
        })
    }

    /// Whether left rows leave that nothing met.
    pub(super) const fn keeps_left(&self) -> bool {
        self.keeps_left
    }

    /// The keys of some rows of a side.
    pub(super) fn keys(
        &self,
        side: Side,
        rows: &RecordBatch,
    ) -> Result<Vec<ArrayRef>, EvaluationError> {
        let keys = self.keys[side.index()].iter();
        keys.map(|key| key.evaluate(rows).map_err(|error| error.within(key.text())))
            .collect()
    }

    /// The types of the keys and of what is kept of a side.
    pub(super) fn types(&self, side: Side) -> (&[ArrowType], &[ArrowType]) {
        (&self.key_types, &self.kept_types[side.index()])
    }

    /// What is kept of whole rows.
    pub(super) fn kept_of(&self, side: Side, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.kept[side.index()].columns_of(rows)
    }

    /// Encodes keys, and what is kept of their rows.
    pub(super) fn encode(
        &self,
        side: Side,
        keys: &[ArrayRef],
        kept: &[ArrayRef],
    ) -> (EncodedKeys, EncodedKeys) {
        let mut encoded = (EncodedKeys::default(), EncodedKeys::default());
        self.key_encoder
            .encode_columns(keys, &mut encoded.0)
            .expect("keys are of the announced types");
        self.kept[side.index()]
            .encode_columns(kept, &mut encoded.1)
            .expect("kept columns are of the announced types");
        encoded
    }

    /// Keys and kept columns of rows that were encoded here.
    pub(super) fn decode<'r>(
        &self,
        side: Side,
        keys: impl Iterator<Item = &'r [u8]>,
        kept: impl Iterator<Item = &'r [u8]>,
    ) -> Vec<ArrayRef> {
        let keys = self.key_encoder.decode(keys);
        let mut columns = keys.expect("keys are decoded by who encoded them");
        columns.extend(self.decode_kept(side, kept));
        columns
    }

    fn decode_kept<'r>(&self, side: Side, kept: impl Iterator<Item = &'r [u8]>) -> Vec<ArrayRef> {
        self.kept[side.index()]
            .decode(kept)
            .expect("rows are decoded by who encoded them")
    }

    /// Rows of one side with the columns of both, those of the other side null.
    pub(super) fn widened(&self, side: Side, rows: &Rows) -> Rows {
        let given = rows.columns().columns();
        let nulls = |range: std::ops::Range<usize>| {
            self.both.fields()[range]
                .iter()
                .map(|field| new_null_array(field.data_type(), rows.len()))
                .collect::<Vec<ArrayRef>>()
        };
        let columns = match side {
            Side::Left => [
                given.to_vec(),
                nulls(self.left_count..self.both.fields().len()),
            ],
            Side::Right => [nulls(0..self.left_count), given.to_vec()],
        };
        let columns = RecordBatch::try_new(Arc::clone(&self.both), columns.concat())
            .expect("the columns of both sides are those of the inputs");
        rows.with_columns(columns)
    }

    /// What becomes of pairs that agree in keys and time: those for which the condition holds, and left rows alone. The pairs are of these
    /// ticks, each of so many; and how many results each of them has.
    pub(super) fn results(
        &self,
        pairs: &[Pair],
        timing: Timing,
        ticks: &[(i64, usize)],
    ) -> (RecordBatch, Vec<usize>) {
        let mut counts: Vec<usize> = ticks.iter().map(|(_, count)| *count).collect();
        let rows = self.inner(pairs, timing, ticks);
        let rows = match self.holds(&rows) {
            None => rows,
            Some(holds) => {
                let leaves: BooleanArray = holds
                    .iter()
                    .zip(pairs)
                    .map(|(holds, (_, right))| Some(holds == Some(true) || right.is_none()))
                    .collect();
                let mut begin = 0;
                for count in &mut counts {
                    let of_tick = leaves.slice(begin, *count);
                    begin += *count;
                    *count = of_tick.true_count();
                }
                filter_record_batch(&rows, &leaves).expect("one answer for each row")
            }
        };
        let results = self.results.iter().map(|result| {
            evaluate_or_null(&rows, result.data_type(), |rows| result.evaluate(rows))
        });
        let results = RecordBatch::try_new(Arc::clone(&self.output), results.collect())
            .expect("results are of the announced types");
        (results, counts)
    }

    /// Whether the condition holds for any of these pairs.
    pub(super) fn any_holds(&self, pairs: &[Pair], timing: Timing, tick: i64) -> bool {
        if pairs.is_empty() || self.condition.is_none() {
            return !pairs.is_empty();
        }
        let holds = self.holds(&self.inner(pairs, timing, &[(tick, pairs.len())]));
        holds.is_none_or(|holds| holds.true_count() > 0)
    }

    /// Of each row, whether the condition holds, where there is one; null where that cannot be said.
    fn holds(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        let condition = self.condition.as_ref()?;
        let holds = evaluate_or_null(rows, condition.data_type(), |rows| condition.evaluate(rows));
        Some(BooleanArray::from(holds.to_data()))
    }

    /// What the condition and the results are evaluated over.
    fn inner(&self, pairs: &[Pair], timing: Timing, ticks: &[(i64, usize)]) -> RecordBatch {
        let lefts = pairs.iter().map(|(left, _)| left.values());
        let rights = pairs
            .iter()
            .map(|(_, right)| right.as_ref().map_or(&*self.absent, |right| right.values()));
        let mut columns = self.decode_kept(Side::Left, lefts);
        columns.extend(self.decode_kept(Side::Right, rights));
        for (place, is_read) in self.bounds.into_iter().enumerate() {
            if is_read {
                let bounds = ticks.iter().flat_map(|(tick, count)| {
                    let (start, end) = timing.ticks().bounds(*tick);
                    std::iter::repeat_n([start, end][place], *count)
                });
                let bounds = TimestampMicrosecondArray::from_iter_values(bounds);
                columns.push(Arc::new(bounds));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.inner), columns, &options)
            .expect("what was kept is of the announced types")
    }
}

/// A row of nothing but nulls.
fn absent(encoder: &KeyEncoder, types: &[ArrowType]) -> Box<[u8]> {
    let nulls: Vec<ArrayRef> = types.iter().map(|kind| new_null_array(kind, 1)).collect();
    let mut encoded = EncodedKeys::default();
    encoder
        .encode_columns(&nulls, &mut encoded)
        .expect("nulls are of every type");
    encoded.row(0).into()
}
