//! What a window selects: expressions over aggregates, in two steps.
//!
//! The aggregates are found in the expressions and computed over the rows; what is around them is evaluated
//! over the key columns, the bounds of the window and the values of the aggregates, once for each group.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take;
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use model::{DataType, Field, Schema};

use crate::aggregate::{Aggregates, Groups, KeyEncoder};
use crate::batch::Rows;
use crate::columns;
use crate::expression::planning::Scope;
use crate::expression::{EvaluationError, ExpressionError};
use crate::operator::arguments::{check_column_name, wrong, wrong_expression};
use crate::operator::evaluate::{evaluate, evaluate_or_null, nulls};
use crate::operator::{ArgumentError, Emitter};

mod calls;

use calls::Calls;

/// The columns of every result that say when its window begins and ends.
const BOUNDS: [&str; 2] = ["window_start", "window_end"];

/// The compiled selection.
#[derive(Debug)]
pub(super) struct Selected {
    aggregates: Aggregates,
    aggregate_types: Vec<DataType>,
    encoder: KeyEncoder,
    key_types: Vec<ArrowType>,
    /// Keys, bounds and aggregates: what the results are evaluated over.
    inner: SchemaRef,
    results: Vec<(Arc<dyn PhysicalExpr>, DataType)>,
    output: Schema,
    output_arrow: SchemaRef,
}

impl Selected {
    /// Compiles the expressions, and gives their texts in normal form.
    pub(super) fn compile(
        by: &[String],
        select: &[(&str, &str)],
        input: &Schema,
    ) -> Result<(Self, Vec<String>), Vec<ArgumentError>> {
        let keys: Vec<(usize, &Field)> = by.iter().filter_map(|name| input.find(name)).collect();
        let key_fields: Vec<Field> = keys.iter().map(|(_, field)| (*field).clone()).collect();
        check_names(&key_fields, select)?;

        let mut calls = Calls::new(by, input);
        let mut errors = Vec::new();
        let mut texts = Vec::new();
        let mut around = Vec::new();
        for (name, text) in select {
            let parameter = format!("select.{name}");
            match calls.part(&parameter, text) {
                Ok((text, expression)) => {
                    texts.push(text);
                    around.push((parameter, expression));
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }

        let inner = calls.inner(&key_fields);
        let scope = Scope::new(&inner);
        let mut results = Vec::new();
        for (parameter, expression) in around {
            match compile_result(&scope, expression) {
                Ok(result) => results.push(result),
                Err(error) => errors.push(wrong_expression(&parameter, &error)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }

        let selected = select
            .iter()
            .zip(&results)
            .map(|((name, _), (_, data_type))| Field::new(*name, *data_type));
        let output = key_fields
            .iter()
            .cloned()
            .chain(bound_fields())
            .chain(selected);
        let output = Schema::new(output.collect())
            .map_err(|schema_error| vec![wrong("select", schema_error.to_string())])?;
        let key_types: Vec<ArrowType> = key_fields
            .iter()
            .map(|field| columns::to_arrow_type(field.data_type))
            .collect();
        let indices = keys.iter().map(|(index, _)| *index).collect();
        let encoder = KeyEncoder::new(indices, key_types.iter().cloned())
            .map_err(|refused| vec![wrong("by", refused.to_string())])?;
        let selected = Self {
            aggregates: calls.aggregates,
            aggregate_types: calls.types,
            encoder,
            key_types,
            inner: columns::to_arrow(&inner),
            results,
            output_arrow: columns::to_arrow(&output),
            output,
        };
        Ok((selected, texts))
    }

    /// The columns of the results.
    pub(super) const fn output(&self) -> &Schema {
        &self.output
    }

    /// The aggregates.
    pub(super) const fn aggregates(&self) -> &Aggregates {
        &self.aggregates
    }

    /// Encodes the keys of rows.
    pub(super) const fn encoder(&self) -> &KeyEncoder {
        &self.encoder
    }

    /// The types of the key columns.
    pub(super) fn key_types(&self) -> &[ArrowType] {
        &self.key_types
    }

    /// The rows that can be evaluated, and the arguments of the aggregates for them; the others leave as bad.
    pub(super) fn evaluate(
        &self,
        rows: &Rows,
        emit: &mut Emitter,
    ) -> Option<(Rows, Vec<ArrayRef>)> {
        evaluate(rows, emit, |columns| {
            Ok(self.aggregates.arguments(columns)?)
        })
    }

    /// The results of windows of which each key has one, with these bounds, in key order.
    pub(super) fn results(
        &self,
        groups: Groups,
        bounds: impl Fn(&[u8]) -> (i64, i64),
    ) -> RecordBatch {
        let (keys, values) = groups
            .evaluate(&self.aggregates)
            .expect("state merges with state of the same aggregates");
        let mut order: Vec<u32> = (0u32..).take(keys.len()).collect();
        let key = |group: u32| keys.key(usize::try_from(group).expect("32 bits fit a pointer"));
        order.sort_unstable_by_key(|group| key(*group));
        let mut inner = self
            .encoder
            .decode(order.iter().map(|group| key(*group)))
            .expect("keys are decoded by who encoded them");
        let bounds = order.iter().map(|group| bounds(key(*group)));
        let (starts, ends): (Vec<i64>, Vec<i64>) = bounds.unzip();
        for times in [starts, ends] {
            inner.push(Arc::new(TimestampMicrosecondArray::from(times)));
        }
        let order = UInt32Array::from(order);
        for (value, data_type) in values.into_iter().zip(&self.aggregate_types) {
            let ordered = value.map_err(EvaluationError::from).and_then(|value| {
                let value = columns::coerce(value, *data_type)?;
                Ok(take(&value, &order, None)?)
            });
            inner.push(ordered.unwrap_or_else(|_| nulls(*data_type, order.len())));
        }
        let inner = RecordBatch::try_new(Arc::clone(&self.inner), inner)
            .expect("keys, bounds and aggregates are of the announced types");

        let bounds_end = self.key_types.len() + BOUNDS.len();
        let mut output = inner.columns()[..bounds_end].to_vec();
        for (expression, data_type) in &self.results {
            output.push(evaluate_or_null(&inner, *data_type, |rows| {
                let values = expression.evaluate(rows)?.into_array(rows.num_rows())?;
                Ok(columns::coerce(values, *data_type)?)
            }));
        }
        RecordBatch::try_new(Arc::clone(&self.output_arrow), output)
            .expect("results are of the announced types")
    }
}

/// What can be evaluated once for each group.
fn compile_result(
    scope: &Scope,
    expression: Expr,
) -> Result<(Arc<dyn PhysicalExpr>, DataType), ExpressionError> {
    let (expression, data_type) = scope.cast(scope.fit(expression)?)?;
    Ok((scope.compile(expression)?, data_type))
}

fn bound_fields() -> impl Iterator<Item = Field> {
    BOUNDS
        .into_iter()
        .map(|name| Field::new(name, DataType::Timestamp))
}

/// Makes sure that all columns of the results have names of their own.
fn check_names(keys: &[Field], select: &[(&str, &str)]) -> Result<(), Vec<ArgumentError>> {
    let mut errors = Vec::new();
    let mut names: BTreeSet<&str> = BOUNDS.into_iter().collect();
    let clash = |name: &str| format!("a column is called {name:?} already");
    for key in keys {
        if !names.insert(&key.name) {
            errors.push(wrong("by", clash(&key.name)));
        }
    }
    for (name, _) in select {
        let parameter = format!("select.{name}");
        if let Err(wrong) = check_column_name("select", name) {
            errors.push(wrong);
        } else if !names.insert(name) {
            errors.push(wrong(&parameter, clash(name)));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
