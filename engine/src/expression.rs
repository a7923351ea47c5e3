//! Expressions: SQL on the columns of a stream, without tables and without anything that varies.
//!
//! A text is parsed and brought to the one form that all texts of the same shape share ([`syntax`]), its names
//! are looked up and its types made to fit ([`planning`]), and what comes out is evaluated column by column
//! ([`evaluation`]). The parser and the functions are datafusion's; what they may do here is less: no subquery,
//! no window, no function that gives another answer tomorrow.
//!
//! ```
//! use engine::expression::Expression;
//! use model::{DataType, Field, Schema};
//!
//! let schema = Schema::new(vec![Field::new("price", DataType::Int64)]).expect("one name");
//! let expression = Expression::parse("price>10 AND LENGTH('ab')=2", &schema).expect("valid");
//! assert_eq!(expression.text(), "price > 10 AND length('ab') = 2");
//! assert_eq!(expression.data_type(), DataType::Boolean);
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, ListArray, RecordBatch};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::utils::collect_columns;
use model::{DataType, Schema};

pub mod evaluation;
mod functions;
pub(crate) mod planning;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;

pub use evaluation::{BadRows, EvaluationError, Outcome, evaluate_rows};
pub use syntax::{DEPTH_MAX, ENCLOSURE_DEPTH, TEXT_BYTES_MAX};

/// An expression that gives one value for each row, compiled against the columns that it reads.
#[derive(Clone)]
pub struct Expression {
    text: String,
    data_type: DataType,
    physical: Arc<dyn PhysicalExpr>,
}

impl Expression {
    /// Compiles `text` for rows of this schema.
    ///
    /// A value of a type outside of the closed list is cast to the type of the list that holds it: narrow
    /// numbers are widened, decimals become floats, dates and all times become timestamps.
    ///
    /// # Errors
    /// When the text is no expression on these columns, or its value has no place in the closed list.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, ExpressionError> {
        let syntax = syntax::parse(text)?;
        let scope = planning::Scope::new(schema);
        let value = scope.plan(&syntax, planning::Aggregates::Refused)?;
        let (value, data_type) = scope.cast(value)?;
        Ok(Self {
            physical: scope.compile(value)?,
            text: syntax.into_text(),
            data_type,
        })
    }

    /// Compiles `text` as a condition.
    ///
    /// # Errors
    /// Like [`Self::parse`], and when the value is not a boolean.
    pub fn parse_predicate(text: &str, schema: &Schema) -> Result<Self, ExpressionError> {
        let expression = Self::parse(text, schema)?;
        if expression.data_type != DataType::Boolean {
            return Err(ExpressionError::NoCondition(expression.data_type));
        }
        Ok(expression)
    }

    /// The text in its one form: parsed again it gives the same text and the same expression.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The type of its values.
    pub const fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The indices of the columns that it reads.
    pub(crate) fn columns(&self) -> BTreeSet<usize> {
        let columns = collect_columns(&self.physical);
        columns.iter().map(|column| column.index()).collect()
    }

    /// The value of each row.
    ///
    /// # Errors
    /// When one row, or several, cannot be evaluated. [`evaluate_rows`] says which.
    pub fn evaluate(&self, columns: &RecordBatch) -> Result<ArrayRef, EvaluationError> {
        let array = evaluation::evaluate(&self.physical, columns)?;
        Ok(crate::columns::coerce(array, self.data_type)?)
    }

    /// Of each row, whether the condition holds; null where that is unknown.
    ///
    /// # Errors
    /// Like [`Self::evaluate`].
    ///
    /// # Panics
    /// When the expression was not made by [`Self::parse_predicate`].
    pub fn holds(&self, columns: &RecordBatch) -> Result<BooleanArray, EvaluationError> {
        assert_eq!(
            self.data_type,
            DataType::Boolean,
            "only a condition holds or does not"
        );
        Ok(self.evaluate(columns)?.as_boolean().clone())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({} {})", self.text, self.data_type)
    }
}

/// An expression that gives a list of values for each row.
#[derive(Clone)]
pub struct ListExpression {
    text: String,
    element_type: DataType,
    physical: Arc<dyn PhysicalExpr>,
}

impl ListExpression {
    /// Compiles `text` for rows of this schema.
    ///
    /// # Errors
    /// When the text is no expression on these columns, its value is no list, or the elements have no place in
    /// the closed list of types.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, ExpressionError> {
        let syntax = syntax::parse(text)?;
        let scope = planning::Scope::new(schema);
        let value = scope.plan(&syntax, planning::Aggregates::Refused)?;
        let (value, element_type) = scope.cast_list(value)?;
        Ok(Self {
            physical: scope.compile(value)?,
            text: syntax.into_text(),
            element_type,
        })
    }

    /// The text in its one form: parsed again it gives the same text and the same expression.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The type of the elements.
    pub const fn element_type(&self) -> DataType {
        self.element_type
    }

    /// The list of each row; null where there is none.
    ///
    /// # Errors
    /// When one row, or several, cannot be evaluated. [`evaluate_rows`] says which.
    pub fn evaluate(&self, columns: &RecordBatch) -> Result<ListArray, EvaluationError> {
        let array = evaluation::evaluate(&self.physical, columns)?;
        let list = planning::list_type(self.element_type);
        Ok(evaluation::cast(&array, &list)?.as_list::<i32>().clone())
    }
}

impl fmt::Debug for ListExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListExpression({} {})", self.text, self.element_type)
    }
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// There is nothing but white space.
    #[error("an expression is missing")]
    Empty,
    /// The text is too long.
    #[error("{0} bytes are more than an expression may have, {TEXT_BYTES_MAX}")]
    TooLong(usize),
    /// Parentheses, or operators in a row, go too deep.
    #[error("the expression is nested too deep")]
    TooDeep,
    /// The parser did not understand it.
    #[error("{0}")]
    Syntax(String),
    /// A word stands where only a column can.
    #[error("no column is called {name:?}")]
    UnknownColumn {
        /// The word.
        name: String,
        /// The most similar column, if one is similar at all.
        nearest: Option<String>,
        /// All columns.
        known: Vec<String>,
    },
    /// No function has this name.
    #[error("no function is called {name:?}")]
    UnknownFunction {
        /// The name.
        name: String,
        /// The most similar function, if one is similar at all.
        nearest: Option<String>,
    },
    /// It is SQL, but not what may stand here.
    #[error("{what} cannot be used here: {reason}")]
    Refused {
        /// What it is.
        what: String,
        /// Why not.
        reason: &'static str,
    },
    /// The names are known, but the types do not fit.
    #[error("{0}")]
    Types(String),
    /// No column enters into it, and it cannot be evaluated.
    #[error("it always fails: {0}")]
    Fails(String),
    /// The value has a type that no column may have.
    #[error("the value is of type {0}, which no column may have")]
    NoColumnType(String),
    /// The value is no list.
    #[error("the value is of type {0}, not a list")]
    NoList(String),
    /// The value is no boolean.
    #[error("the value is of type {0}, not a condition")]
    NoCondition(DataType),
}

impl ExpressionError {
    /// What would be right, if that can be said.
    pub fn expected(&self) -> Option<String> {
        match self {
            Self::UnknownColumn { nearest, known, .. } => Some(match nearest {
                Some(nearest) => format!("{nearest}; columns are {}", known.join(", ")),
                None => format!("one of {}", known.join(", ")),
            }),
            Self::UnknownFunction { nearest, .. } => nearest.clone(),
            Self::NoColumnType(_) => {
                let names = DataType::ALL.map(|(_, name)| name);
                Some(format!("a value of type {}", names.join(", ")))
            }
            Self::NoList(_) => Some("a list, as string_to_array(text, ' ') gives".to_owned()),
            Self::NoCondition(_) => Some("true or false, as price > 10 gives".to_owned()),
            Self::Empty => Some("an SQL expression on the columns".to_owned()),
            Self::TooDeep => Some(format!(
                "at most {DEPTH_MAX} operators in a row, or {} levels of calls and parentheses",
                DEPTH_MAX / ENCLOSURE_DEPTH
            )),
            Self::TooLong(_)
            | Self::Syntax(_)
            | Self::Refused { .. }
            | Self::Types(_)
            | Self::Fails(_) => None,
        }
    }
}
