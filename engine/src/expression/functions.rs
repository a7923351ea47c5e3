//! The functions that an expression may call, and how the planner finds them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion_common::config::ConfigOptions;
use datafusion_common::utils::datafusion_strsim::levenshtein;
use datafusion_common::{Result, TableReference, not_impl_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{
    AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF,
};

/// All functions, built once.
pub(crate) static FUNCTIONS: LazyLock<Functions> = LazyLock::new(Functions::new);

/// The functions by name and by alias, and the planners that turn operators and special forms into them.
#[derive(Debug)]
pub(crate) struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: Arc<ConfigOptions>,
}

impl Functions {
    fn new() -> Self {
        let nested = datafusion_functions_nested::all_default_nested_functions();
        let plain = datafusion_functions::all_default_functions();
        let mut scalars = BTreeMap::new();
        for function in plain.into_iter().chain(nested) {
            for alias in function.aliases() {
                scalars.insert(alias.clone(), Arc::clone(&function));
            }
            scalars.insert(function.name().to_owned(), function);
        }
        let mut aggregates = BTreeMap::new();
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            for alias in function.aliases() {
                aggregates.insert(alias.clone(), Arc::clone(&function));
            }
            aggregates.insert(function.name().to_owned(), function);
        }
        // The words that people write for them; rows have one order here, so nothing else is meant.
        for (word, name) in [("first", "first_value"), ("last", "last_value")] {
            if let Some(function) = aggregates.get(name).cloned() {
                aggregates.insert(word.to_owned(), function);
            }
        }
        Self {
            scalars,
            aggregates,
            planners: vec![
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
                Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
            ],
            options: Arc::new(ConfigOptions::default()),
        }
    }

    /// What functions are evaluated with: the same on every host.
    pub(crate) fn shared_options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }

    pub(super) fn find(&self, name: &str) -> Option<Found> {
        if let Some(function) = self.scalars.get(name) {
            if BOUNDLESS.contains(&function.name()) {
                return Some(Found::Boundless);
            }
            // The version is that of the program, which differs between hosts.
            let is_fixed =
                function.signature().volatility == Volatility::Immutable && name != "version";
            return Some(if is_fixed {
                Found::Scalar
            } else {
                Found::Varying
            });
        }
        self.aggregates.get(name).map(|_| Found::Aggregate)
    }

    /// The name of a function that is most similar to `name`, if one is similar at all.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        let scalars = self.scalars.keys();
        nearest(
            name,
            scalars.chain(self.aggregates.keys()).map(String::as_str),
        )
    }
}

/// Functions that make as much as a number among their arguments says: one such number, constant or read
/// from a row,
/// could take all memory of a host. Listed by the names that aliases lead to.
const BOUNDLESS: [&str; 7] = [
    "array_repeat",
    "array_resize",
    "generate_series",
    "lpad",
    "range",
    "repeat",
    "rpad",
];

/// What a name that is called stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A value for each row, and always the same for the same arguments.
    Scalar,
    /// A value for each row that depends on more than its arguments.
    Varying,
    /// A value for each row, of any size, however small the arguments are.
    Boundless,
    /// A value for many rows.
    Aggregate,
}

/// The most similar of `known`: at most a third of the longer name, rounded up, has to change.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    known
        .map(|candidate| (levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= name.len().max(candidate.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        not_impl_err!("an expression reads columns, not the table {name}")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<arrow_schema::DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
