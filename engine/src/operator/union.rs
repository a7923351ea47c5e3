//! Union: the rows of several streams of the same columns as one stream.
//!
//! ```toml
//! [operator.all]
//! use = "union"
//! from = ["site_a", "site_b"]
//! ```
//!
//! Port: `out`. Rows of one stream stay in order; between streams there is none. A stream that comes in
//! twice counts twice.

use model::{Arguments, Schema};

use super::arguments::{check, wrong};
use super::{ArgumentError, Compiled, DefaultCost, Emitter, Inputs, Kind, Numbering, Operator};
use crate::batch::Batch;

pub(super) const KIND: Kind = Kind {
    name: "union",
    doc: "The rows of several streams of the same columns as one stream.",
    inputs: Inputs::AnyOrder,
    parameters: &[],
    numbering: Numbering::KeptByPort,
    compile,
};

#[derive(Debug)]
struct Union;

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, &[])?;
    let [first, others @ ..] = inputs else {
        return Err(vec![wrong("from", "missing")]);
    };
    if others.is_empty() {
        return Err(vec![ArgumentError {
            parameter: "from".to_owned(),
            message: "a union of one stream".to_owned(),
            expected: Some("two streams or more".to_owned()),
        }]);
    }
    for (number, other) in (2..).zip(others) {
        if let Some(difference) = difference(first, other) {
            return Err(vec![ArgumentError {
                parameter: "from".to_owned(),
                message: format!("input {number} is not like input 1: {difference}"),
                expected: Some(format!("the columns {first}")),
            }]);
        }
    }
    Ok(Compiled {
        parameters: Arguments::new(),
        outputs: vec![("out".to_owned(), first.clone())],
        operator: Box::new(Union),
        cost: COST,
    })
}

/// The first column in which two schemas differ, as people say it.
fn difference(first: &Schema, other: &Schema) -> Option<String> {
    let (first, other) = (first.fields(), other.fields());
    for number in 0..first.len().max(other.len()) {
        let column = number + 1;
        match (first.get(number), other.get(number)) {
            (Some(left), Some(right)) if left == right => {}
            (Some(left), Some(right)) => {
                return Some(format!(
                    "column {column} is {:?} {} instead of {:?} {}",
                    right.name, right.data_type, left.name, left.data_type
                ));
            }
            (Some(left), None) => {
                return Some(format!("column {column}, {:?}, is missing", left.name));
            }
            (None, Some(right)) => {
                return Some(format!("column {column}, {:?}, is too many", right.name));
            }
            (None, None) => {}
        }
    }
    None
}

impl Operator for Union {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        emit.rows(0, batch.rows.clone());
    }
}

/// What passing rows on costs, until it is measured.
///
/// Source: guess; nothing is done for a row.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 2e-7,
    row_seconds: 0.0,
};
