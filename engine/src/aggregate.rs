//! Aggregates over groups of rows: what windows compute.
//!
//! `Aggregates` are compiled once. Their arguments are evaluated on a batch and accumulated in `Groups`, which give state that others
//! of their kind can merge, a page at a time, and are evaluated at last.

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

mod classes;
mod groups;
mod keys;
mod page;
mod per_group;

pub(crate) use groups::{Groups, Told};
pub(crate) use keys::{EncodedKeys, KeyEncoder, Keys};
use page::Accumulating;
use per_group::{Chunked, PerGroup};

/// The most aggregates of one operator.
///
/// Unit: count. Source: guess; each has state for each group.
pub const AGGREGATES_MAX: usize = 64;

/// How many groups a page has.
///
/// Unit: groups. Range: from some batches, whose rows are parted where their keys lie on several pages, to what is merged in about the time of a batch. In
/// tests a few keys are several pages. Source: guess.
const PAGE_GROUPS: usize = if cfg!(test) { 3 } else { 16 << 10 };

/// The same of groups that have accumulators of their own, each with a state that is made by itself.
const PAGE_GROUPS_APART: usize = if cfg!(test) { 2 } else { 1 << 10 };

/// How many rows of state are told at once.
///
/// Unit: rows. Range: from a batch to what is encoded in about its time. In tests it is less than a page. Source: guess.
pub(crate) const TOLD_ROWS: usize = if cfg!(test) { 2 } else { 4 << 10 };

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
        let mut list = self.list.iter();
        let are_together = list.all(|one| one.function.groups_accumulator_supported());
        Groups::new(match are_together {
            true => PAGE_GROUPS,
            false => PAGE_GROUPS_APART,
        })
    }

    /// What takes in rows of some groups, of which none has any yet.
    fn accumulating(&self) -> Vec<Accumulating> {
        let each = self.list.iter().zip(&self.state_types);
        let accumulating = each.map(|(aggregate, states)| Accumulating {
            accumulator: aggregate
                .accumulator()
                .expect("the same accumulator was made when it was added"),
            arguments: aggregate.arguments.len(),
            has_filter: aggregate.filter.is_some(),
            states: states.len(),
        });
        accumulating.collect()
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
