//! The aggregate calls in the selected expressions.

use std::collections::BTreeSet;

use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::Expr;
use model::{DataType, Field, Schema};

use super::{BOUNDS, bound_fields};
use crate::aggregate::{self, AGGREGATES_MAX, Aggregates};
use crate::columns;
use crate::expression::planning::{self, Scope, columns_of};
use crate::expression::{EvaluationError, ExpressionError, syntax};
use crate::operator::ArgumentError;
use crate::operator::arguments::{wrong, wrong_expression};

/// The aggregate calls that were found so far.
pub(super) struct Calls {
    /// What the texts may name: the input's columns and the bounds of the window.
    scope: Scope,
    input: BTreeSet<String>,
    /// What may stand outside of aggregates, beside the aggregates themselves.
    outside: BTreeSet<String>,
    /// What the names of the columns of aggregates begin with; no column of the input does.
    mark: String,
    found: Vec<Expr>,
    pub(super) aggregates: Aggregates,
    /// The types of their values.
    pub(super) types: Vec<DataType>,
}

impl Calls {
    pub(super) fn new(by: &[String], input: &Schema) -> Self {
        let mut fields = input.fields().to_vec();
        fields.extend(bound_fields().filter(|field| input.find(&field.name).is_none()));
        let named = Schema::new(fields).unwrap_or_else(|_| input.clone());
        let mut mark = "#".to_owned();
        let is_taken = |mark: &str| {
            input
                .fields()
                .iter()
                .any(|field| field.name.starts_with(mark))
        };
        while is_taken(&mark) {
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
    pub(super) fn part(
        &mut self,
        parameter: &str,
        text: &str,
    ) -> Result<(String, Expr), ArgumentError> {
        let refuse = |refused: &ExpressionError| wrong_expression(parameter, refused);
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
            .map_err(|refused| wrong(parameter, refused.message()))?
            .data;
        for call in found {
            self.push(parameter, call)?;
        }
        let is_ours = |name: &str| name.starts_with(&self.mark) || self.outside.contains(name);
        if let Some(name) = columns_of(&around).iter().find(|name| !is_ours(name)) {
            let message = format!("{name:?} stands outside of an aggregate and is no key column");
            let expected = format!("an aggregate such as max({name}), or {name} in `by`");
            return Err(wrong(parameter, message).expecting(&expected));
        }
        Ok((syntax.into_text(), around))
    }

    fn push(&mut self, parameter: &str, call: Expr) -> Result<(), ArgumentError> {
        let refuse = |message: String| Err(wrong(parameter, message));
        let Expr::AggregateFunction(function) = &call else {
            return refuse(format!("{call} is no aggregate"));
        };
        let name = function.func.name();
        if !aggregate::FUNCTIONS.contains(&name) {
            let expected = format!("one of {}", aggregate::FUNCTIONS.join(", "));
            let refused = wrong(parameter, format!("{name} cannot be used in windows"));
            return Err(refused.expecting(&expected));
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
            .map_err(|refused| wrong(parameter, EvaluationError::from(refused).to_string()))?;
        let Some(data_type) = columns::from_arrow_type(&output) else {
            let refused = ExpressionError::NoColumnType(output.to_string().to_lowercase());
            return Err(wrong_expression(parameter, &refused));
        };
        self.types.push(data_type);
        self.found.push(call);
        Ok(())
    }

    /// The columns that results are evaluated over.
    pub(super) fn inner(&self, keys: &[Field]) -> Schema {
        let aggregates = self
            .types
            .iter()
            .enumerate()
            .map(|(index, data_type)| Field::new(format!("{}{index}", self.mark), *data_type));
        let fields = keys.iter().cloned().chain(bound_fields()).chain(aggregates);
        Schema::new(fields.collect()).expect("names of keys, bounds and aggregates differ")
    }
}
