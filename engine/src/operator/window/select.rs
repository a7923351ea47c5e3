//! What a window selects: expressions over aggregates, in two steps.
//!
//! The aggregates are found in the expressions and computed over the rows; what is around them is evaluated
//! over the key columns, the bounds of the window and the values of the aggregates, once for each group.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array, new_null_array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow_select::take::take;
use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use model::{DataType, Field, Schema};

use super::parameters::error;
use crate::aggregate::{self, AGGREGATES_MAX, Aggregates, Groups, KeyEncoder};
use crate::batch::Rows;
use crate::columns;
use crate::expression::planning::{self, Scope, columns_of};
use crate::expression::{EvaluationError, ExpressionError, evaluate_rows, syntax};
use crate::operator::{ArgumentError, Emitter};

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

/// Admitted rows that could be evaluated, and the arguments of the aggregates for them.
#[derive(Debug)]
pub(super) struct Evaluated {
    pub(super) rows: Rows,
    pub(super) arguments: Vec<ArrayRef>,
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
                Err(error) => errors.push(from_expression(&parameter, &error)),
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
            .map_err(|schema_error| vec![error("select", &schema_error.to_string())])?;
        let key_types: Vec<ArrowType> = key_fields
            .iter()
            .map(|field| columns::to_arrow_type(field.data_type))
            .collect();
        let indices = keys.iter().map(|(index, _)| *index).collect();
        let encoder = KeyEncoder::new(indices, key_types.iter().cloned())
            .map_err(|refused| vec![error("by", &refused.to_string())])?;
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

    /// Evaluates the arguments of the aggregates; rows for which that fails leave as bad ones.
    pub(super) fn evaluate(&self, rows: Rows, emit: &mut Emitter) -> Evaluated {
        let outcome = evaluate_rows(rows.columns(), |columns| {
            Ok(self.aggregates.arguments(columns)?)
        });
        let rows = match outcome.bad {
            None => rows,
            Some(bad) => {
                for (places, reason) in bad.by_reason() {
                    emit.bad(rows.take(&places), reason.to_string());
                }
                rows.take(&bad.good)
            }
        };
        Evaluated {
            rows,
            arguments: outcome.values,
        }
    }

    /// The results of a window with these bounds, in key order.
    pub(super) fn results(&self, groups: Groups, (start, end): (i64, i64)) -> RecordBatch {
        let (keys, values) = groups.evaluate();
        let mut order: Vec<u32> = (0u32..).take(keys.len()).collect();
        let key = |group: u32| keys.key(usize::try_from(group).expect("32 bits fit a pointer"));
        order.sort_unstable_by_key(|group| key(*group));
        let mut inner = self
            .encoder
            .decode(order.iter().map(|group| key(*group)))
            .expect("keys are decoded by who encoded them");
        for bound in [start, end] {
            inner.push(Arc::new(TimestampMicrosecondArray::from(vec![
                bound;
                order.len()
            ])));
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
            output.push(evaluate_or_null(expression, *data_type, &inner));
        }
        RecordBatch::try_new(Arc::clone(&self.output_arrow), output)
            .expect("results are of the announced types")
    }
}

/// The values of an expression, null for the rows for which it fails.
fn evaluate_or_null(
    expression: &Arc<dyn PhysicalExpr>,
    data_type: DataType,
    rows: &RecordBatch,
) -> ArrayRef {
    let outcome = evaluate_rows(rows, |rows| {
        let values = expression.evaluate(rows)?.into_array(rows.num_rows())?;
        Ok(vec![columns::coerce(values, data_type)?])
    });
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

fn nulls(data_type: DataType, len: usize) -> ArrayRef {
    new_null_array(&columns::to_arrow_type(data_type), len)
}

/// The aggregate calls that were found so far.
struct Calls {
    /// What the texts may name: the input's columns and the bounds of the window.
    scope: Scope,
    input: BTreeSet<String>,
    /// What may stand outside of aggregates, beside the aggregates themselves.
    outside: BTreeSet<String>,
    /// What the names of the columns of aggregates begin with; no key column does.
    mark: String,
    found: Vec<Expr>,
    aggregates: Aggregates,
    types: Vec<DataType>,
}

impl Calls {
    fn new(by: &[String], input: &Schema) -> Self {
        let mut fields = input.fields().to_vec();
        fields.extend(bound_fields().filter(|field| input.find(&field.name).is_none()));
        let named = Schema::new(fields).unwrap_or_else(|_| input.clone());
        let mut mark = "#".to_owned();
        while by.iter().any(|name| name.starts_with(&mark)) {
            mark.push('#');
        }
        Self {
            scope: Scope::new(&named),
            input: input
                .fields()
                .iter()
                .map(|field| field.name.clone())
                .collect(),
            outside: by
                .iter()
                .cloned()
                .chain(BOUNDS.map(str::to_owned))
                .collect(),
            mark,
            found: Vec::new(),
            aggregates: Aggregates::default(),
            types: Vec::new(),
        }
    }

    /// The normal form of a text, and its expression with a column in the place of each aggregate.
    fn part(&mut self, parameter: &str, text: &str) -> Result<(String, Expr), ArgumentError> {
        let refuse = |refused: &ExpressionError| from_expression(parameter, refused);
        let syntax = syntax::parse(text).map_err(|refused| refuse(&refused))?;
        let planned = self
            .scope
            .plan(&syntax, planning::Aggregates::Allowed)
            .map_err(|refused| refuse(&refused))?;
        let mut found = Vec::new();
        let mark = self.mark.clone();
        let known = self.found.len();
        let around = planned.transform_down(|part| {
            if !matches!(part, Expr::AggregateFunction(_)) {
                return Ok(Transformed::no(part));
            }
            let all = || self.found.iter().chain(&found);
            let index = all().position(|known| *known == part);
            let index = index.unwrap_or_else(|| {
                found.push(part);
                known + found.len() - 1
            });
            let column = Expr::Column(Column::new_unqualified(format!("{mark}{index}")));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        let around = around
            .map_err(|refused| error(parameter, &refused.message()))?
            .data;
        for call in found {
            self.push(parameter, call)?;
        }
        let is_ours = |name: &str| name.starts_with(&self.mark) || self.outside.contains(name);
        if let Some(name) = columns_of(&around).iter().find(|name| !is_ours(name)) {
            let message = format!("{name:?} stands outside of an aggregate and is no key column");
            let mut refused = error(parameter, &message);
            refused.expected = Some(format!(
                "an aggregate such as max({name}), or {name} in `by`"
            ));
            return Err(refused);
        }
        Ok((syntax.into_text(), around))
    }

    fn push(&mut self, parameter: &str, call: Expr) -> Result<(), ArgumentError> {
        let refuse = |message: String| Err(error(parameter, &message));
        let Expr::AggregateFunction(function) = &call else {
            return refuse(format!("{call} is no aggregate"));
        };
        let name = function.func.name();
        if !aggregate::FUNCTIONS.contains(&name) {
            return Err(ArgumentError {
                expected: Some(format!("one of {}", aggregate::FUNCTIONS.join(", "))),
                ..error(parameter, &format!("{name} cannot be used in windows"))
            });
        }
        if !function.params.order_by.is_empty() {
            return refuse(format!(
                "{name} counts rows as they come: it takes no order"
            ));
        }
        if call
            .exists(|part| Ok(*part != call && matches!(part, Expr::AggregateFunction(_))))
            .unwrap_or(true)
        {
            return refuse(format!("an aggregate stands within {name}"));
        }
        if let Some(column) = columns_of(&call).difference(&self.input).next() {
            return refuse(format!("{column} is not known before the window has ended"));
        }
        if self.aggregates.len() == AGGREGATES_MAX {
            return refuse(format!("there are more than {AGGREGATES_MAX} aggregates"));
        }
        let output = self
            .aggregates
            .push(&call, self.scope.schema())
            .map_err(|refused| error(parameter, &&EvaluationError::from(refused).to_string()))?;
        let Some(data_type) = columns::from_arrow_type(&output) else {
            let refused = ExpressionError::NoColumnType(output.to_string().to_lowercase());
            return Err(from_expression(parameter, &refused));
        };
        self.types.push(data_type);
        self.found.push(call);
        Ok(())
    }

    /// The columns that results are evaluated over.
    fn inner(&self, keys: &[Field]) -> Schema {
        let aggregates = self
            .types
            .iter()
            .enumerate()
            .map(|(index, data_type)| Field::new(format!("{}{index}", self.mark), *data_type));
        let fields = keys.iter().cloned().chain(bound_fields()).chain(aggregates);
        Schema::new(fields.collect()).expect("names of keys, bounds and aggregates differ")
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
            errors.push(error("by", &clash(&key.name)));
        }
    }
    for (name, _) in select {
        let parameter = format!("select.{name}");
        if name.is_empty() || name.contains('.') {
            errors.push(error(&parameter, "a column's name has a letter and no dot"));
        } else if !names.insert(name) {
            errors.push(error(&parameter, &clash(name)));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

fn from_expression(parameter: &str, refused: &ExpressionError) -> ArgumentError {
    ArgumentError {
        expected: refused.expected(),
        ..error(parameter, &refused.to_string())
    }
}
