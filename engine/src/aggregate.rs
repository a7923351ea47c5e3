//! Aggregates over groups of rows: what windows compute.
//!
//! `Aggregates` are compiled once. Their arguments are evaluated on a batch, accumulated in `Groups`, kept
//! as `Frozen` state that others of its kind can merge, and evaluated at last.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr_common::groups_accumulator::GroupsAccumulator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};

mod groups;
mod keys;
mod per_group;

use groups::Accumulating;
pub(crate) use groups::{Frozen, Groups};
pub(crate) use keys::{EncodedKeys, KeyEncoder, Keys};
use per_group::{Chunked, PerGroup};

/// The most aggregates of one operator.
///
/// Unit: count. Source: guess; each has state for each group.
pub const AGGREGATES_MAX: usize = 64;

/// The functions that may be used, by the name that the planner gives them.
///
/// Each is tested to give the same again when its state is exported, imported and merged.
pub(crate) const FUNCTIONS: &[&str] = &[
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "avg",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "first_value",
    "last_value",
    "max",
    "median",
    "min",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Several aggregates over the same groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aggregates {
    list: Vec<Aggregate>,
    state_types: Vec<Vec<DataType>>,
}

/// One aggregate, ready to be computed.
#[derive(Debug, Clone)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Aggregates {
    /// Adds the aggregate that a logical expression is, whose types have been coerced, and gives the type of
    /// its values.
    ///
    /// # Errors
    /// When the planner refuses it; nothing was added then.
    pub(crate) fn push(&mut self, call: &Expr, schema: &DFSchema) -> Result<DataType> {
        let lowered = LoweredAggregateBuilder::new(
            call,
            schema,
            schema.as_arrow(),
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )
        .build()?;
        let aggregate = Aggregate {
            arguments: lowered.aggregate.expressions(),
            function: lowered.aggregate,
            filter: lowered.filter,
        };
        // What has no accumulator is found out now, not when the first row comes.
        aggregate.accumulator()?;
        let state = aggregate.function.state_fields()?;
        let output = aggregate.function.field().data_type().clone();
        self.state_types.push(
            state
                .iter()
                .map(|field| field.data_type().clone())
                .collect(),
        );
        self.list.push(aggregate);
        Ok(output)
    }

    /// How many aggregates these are.
    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// The types of the state columns, by aggregate.
    pub(crate) fn state_types(&self) -> &[Vec<DataType>] {
        &self.state_types
    }

    /// No group yet.
    pub(crate) fn groups(&self) -> Groups {
        let accumulating = self.list.iter().map(|aggregate| Accumulating {
            accumulator: aggregate
                .accumulator()
                .expect("the same accumulator was made when it was added"),
            arguments: aggregate.arguments.len(),
            has_filter: aggregate.filter.is_some(),
        });
        Groups::new(accumulating.collect())
    }

    /// The arguments of all aggregates for these rows: of each its values, then its filter where it has one.
    ///
    /// # Errors
    /// When a row cannot be evaluated, whichever it is.
    pub(crate) fn arguments(&self, columns: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.list
            .iter()
            .flat_map(|aggregate| aggregate.arguments.iter().chain(&aggregate.filter))
            .map(|argument| argument.evaluate(columns)?.into_array(columns.num_rows()))
            .collect()
    }
}

impl Aggregate {
    fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        self.function.create_accumulator()?;
        let function = Arc::clone(&self.function);
        let is_digest = DIGESTS.contains(&function.fun().name());
        Ok(Box::new(PerGroup::new(Box::new(move || {
            let group = function.create_accumulator()?;
            Ok(if is_digest {
                Box::new(Chunked::new(group))
            } else {
                group
            })
        }))))
    }
}

/// The functions whose result depends on how their rows are cut.
const DIGESTS: &[&str] = &["approx_median", "approx_percentile_cont"];
