//! Planning: from a tree to something that can be evaluated, with all names found and all types made to fit.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, ExprSchemable, cast};
use datafusion_optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use model::{DataType, Schema};
use sqlparser::ast::{self, Visit, Visitor};

use super::functions::{FUNCTIONS, Found, nearest};
use super::syntax::Syntax;
use super::{ExpressionError, evaluation};
use crate::columns;

/// Whether an expression may call aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregates {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// The columns that an expression may name.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    schema: DFSchemaRef,
}

impl Scope {
    /// The columns of this schema.
    pub(crate) fn new(schema: &Schema) -> Self {
        let schema = DFSchema::try_from(columns::to_arrow(schema))
            .expect("the names of a schema's columns differ");
        Self {
            schema: Arc::new(schema),
        }
    }

    /// The columns, as datafusion wants to have them.
    pub(crate) fn schema(&self) -> &DFSchema {
        &self.schema
    }

    /// What the tree means: names found, types coerced, constants folded.
    pub(crate) fn plan(
        &self,
        syntax: &Syntax,
        aggregates: Aggregates,
    ) -> Result<Expr, ExpressionError> {
        let mut names = Names {
            scope: self,
            aggregates,
        };
        if let ControlFlow::Break(error) = syntax.tree().visit(&mut names) {
            return Err(*error);
        }
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false);
        let planner = SqlToRel::new_with_options(&*FUNCTIONS, options);
        let planned = planner
            .sql_to_expr(
                syntax.tree().clone(),
                &self.schema,
                &mut PlannerContext::new(),
            )
            .map_err(|error| types_error(&error))?;
        check_parts(&planned, aggregates)?;
        self.fit(planned)
    }

    /// Coerces types and folds constants. Functions that exist only to be rewritten are rewritten here.
    pub(crate) fn fit(&self, expression: Expr) -> Result<Expr, ExpressionError> {
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&self.schema))
            .with_config_options(FUNCTIONS.shared_options())
            .build();
        let simplifier = ExprSimplifier::new(context);
        simplifier
            .coerce(expression, &self.schema)
            .and_then(|coerced| simplifier.simplify(coerced))
            .map_err(|error| types_error(&error))
    }

    /// The expression's type before any cast.
    pub(crate) fn type_of(&self, expression: &Expr) -> Result<ArrowType, ExpressionError> {
        expression
            .get_type(&*self.schema)
            .map_err(|error| types_error(&error))
    }

    /// The expression with values of the closed list of types.
    pub(crate) fn cast(&self, expression: Expr) -> Result<(Expr, DataType), ExpressionError> {
        let given = self.type_of(&expression)?;
        let data_type = columns::from_arrow_type(&given)
            .ok_or_else(|| ExpressionError::NoColumnType(type_name(&given)))?;
        let wanted = columns::to_arrow_type(data_type);
        if given == wanted {
            return Ok((expression, data_type));
        }
        Ok((self.fit(cast(expression, wanted))?, data_type))
    }

    /// The expression with lists of values of the closed list of types.
    pub(crate) fn cast_list(&self, expression: Expr) -> Result<(Expr, DataType), ExpressionError> {
        let given = self.type_of(&expression)?;
        let element = match &given {
            ArrowType::List(field)
            | ArrowType::LargeList(field)
            | ArrowType::FixedSizeList(field, _) => field.data_type(),
            _ => return Err(ExpressionError::NoList(type_name(&given))),
        };
        let element_type = columns::from_arrow_type(element)
            .ok_or_else(|| ExpressionError::NoColumnType(type_name(element)))?;
        let wanted = list_type(element_type);
        if given == wanted {
            return Ok((expression, element_type));
        }
        Ok((self.fit(cast(expression, wanted))?, element_type))
    }

    /// What can be evaluated.
    ///
    /// A value that no column enters into is computed on the way: what always fails is refused.
    pub(crate) fn compile(
        &self,
        expression: Expr,
    ) -> Result<Arc<dyn PhysicalExpr>, ExpressionError> {
        let properties = ExecutionProps {
            config_options: Some(FUNCTIONS.shared_options()),
            ..ExecutionProps::new()
        };
        let context = PhysicalPlanningContext::default();
        let compiled = create_physical_expr(&expression, &self.schema, &properties, &context)
            .map_err(|error| types_error(&error))?;
        if columns_of(&expression).is_empty() {
            evaluation::evaluate(&compiled, &one_row())
                .map_err(|error| ExpressionError::Fails(error.to_string()))?;
        }
        Ok(compiled)
    }
}

/// Lists of values of this type.
pub(crate) fn list_type(element_type: DataType) -> ArrowType {
    ArrowType::List(Arc::new(ArrowField::new_list_field(
        columns::to_arrow_type(element_type),
        true,
    )))
}

/// Looks at every name of a tree before the planner does, whose own messages say less.
struct Names<'a> {
    scope: &'a Scope,
    aggregates: Aggregates,
}

impl Visitor for Names<'_> {
    type Break = Box<ExpressionError>;

    fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<Self::Break> {
        refuse("a subquery", "an expression reads one row")
    }

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<Self::Break> {
        match expression {
            ast::Expr::Identifier(name) => self.check_column(&name.value),
            ast::Expr::CompoundIdentifier(parts) => {
                let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                refuse(&parts.join("."), "columns are named without a prefix")
            }
            ast::Expr::Function(function) => self.check_function(function),
            ast::Expr::Wildcard(_) | ast::Expr::QualifiedWildcard(..) => {
                refuse("*", "name the columns")
            }
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                refuse(&value.to_string(), "nothing fills in a placeholder")
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Names<'_> {
    fn check_column(&self, name: &str) -> ControlFlow<Box<ExpressionError>> {
        let fields = self.scope.schema().fields();
        if fields.iter().any(|field| field.name() == name) {
            return ControlFlow::Continue(());
        }
        let known: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        ControlFlow::Break(Box::new(ExpressionError::UnknownColumn {
            name: name.to_owned(),
            nearest: nearest(name, known.iter().map(String::as_str)),
            known,
        }))
    }

    fn check_function(&self, function: &ast::Function) -> ControlFlow<Box<ExpressionError>> {
        let name = function.name.to_string();
        if function.over.is_some() {
            return refuse(&name, "windows are an operator of their own");
        }
        match FUNCTIONS.find(&name) {
            Some(Found::Scalar) => ControlFlow::Continue(()),
            Some(Found::Aggregate) if self.aggregates == Aggregates::Allowed => {
                ControlFlow::Continue(())
            }
            Some(Found::Aggregate) => refuse(&name, AGGREGATE),
            Some(Found::Varying) => refuse(&name, VARYING),
            Some(Found::Boundless) => {
                refuse(&name, "one number could make it take all memory of a host")
            }
            None => ControlFlow::Break(Box::new(ExpressionError::UnknownFunction {
                nearest: FUNCTIONS.nearest(&name),
                name,
            })),
        }
    }
}

const AGGREGATE: &str = "aggregates are computed by the operator window";
const VARYING: &str = "it would give another value on another host";

fn refuse(what: &str, reason: &'static str) -> ControlFlow<Box<ExpressionError>> {
    ControlFlow::Break(Box::new(ExpressionError::Refused {
        what: what.to_owned(),
        reason,
    }))
}

/// Looks at what the planner made of the tree: special forms and planners bring in functions that no name in
/// the text shows.
fn check_parts(expression: &Expr, aggregates: Aggregates) -> Result<(), ExpressionError> {
    let mut refused = None;
    let walked = expression.apply(|part| {
        let reason = match part {
            Expr::AggregateFunction(_) if aggregates == Aggregates::Refused => Some(AGGREGATE),
            Expr::ScalarFunction(call) if FUNCTIONS.find(call.name()) == Some(Found::Varying) => {
                Some(VARYING)
            }
            Expr::WindowFunction(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::ScalarSubquery(_)
            | Expr::GroupingSet(_)
            | Expr::Placeholder(_)
            | Expr::ScalarVariable(..)
            | Expr::OuterReferenceColumn(..)
            | Expr::Unnest(_)
            | Expr::HigherOrderFunction(_)
            | Expr::Lambda(_)
            | Expr::LambdaVariable(_) => Some("an expression gives one value for each row"),
            _ => None,
        };
        let Some(reason) = reason else {
            return Ok(TreeNodeRecursion::Continue);
        };
        refused = Some(ExpressionError::Refused {
            what: first_line(&part.to_string()),
            reason,
        });
        Ok(TreeNodeRecursion::Stop)
    });
    walked.map_err(|error| types_error(&error))?;
    refused.map_or(Ok(()), Err)
}

/// A row without columns.
fn one_row() -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(ArrowSchema::empty()), Vec::new(), &options)
        .expect("no columns, as the schema says")
}

fn type_name(data_type: &ArrowType) -> String {
    data_type.to_string().to_lowercase()
}

/// The useful part of datafusion's message.
fn types_error(error: &DataFusionError) -> ExpressionError {
    ExpressionError::Types(first_line(&error.find_root().message()))
}

/// The first line of a foreign message, in our style: lower case, no full stop.
pub(super) fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    let line = line.trim_end_matches('.');
    let mut characters = line.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => "no reason is known".to_owned(),
    }
}

/// The columns that an expression reads.
pub(crate) fn columns_of(expression: &Expr) -> BTreeSet<String> {
    expression
        .column_refs()
        .into_iter()
        .map(|column| column.name.clone())
        .collect()
}
