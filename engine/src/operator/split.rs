//! Split: each row to the first of several ports whose condition holds.
//!
//! ```toml
//! [operator.trades]
//! use = "split"
//! from = "ticks"
//! when = { big = "price > 1000", small = "price > 10" }
//! ```
//!
//! Ports: those of `when` in that order, `rest` for rows for which no condition holds, and `bad` for rows
//! of which a condition cannot be evaluated before one holds. A condition that is unknown does not hold.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt16Array};
use model::{Arguments, Schema, name};

use super::arguments::{check, entry, only, table, texts, wrong, wrong_expression};
use super::evaluate::evaluate;
use super::{
    ArgumentError, Compiled, DefaultCost, Emitter, Inputs, Kind, Numbering, Operator, Parameter,
    Shape, bad_schema,
};
use crate::batch::Batch;
use crate::expression::{EvaluationError, Expression};

/// The most conditions of a split.
///
/// Unit: conditions. Range: with `rest` and `bad` below the 128 ports of an operator. Source: guess.
pub(super) const CONDITIONS_MAX: usize = 64;

pub(super) const KIND: Kind = Kind {
    name: "split",
    doc: "Each row to the first of several ports whose condition holds.",
    inputs: Inputs::One,
    parameters: PARAMETERS,
    numbering: Numbering::Kept,
    compile,
};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "when",
    shape: Shape::Expressions,
    required: true,
    doc: "The ports with their conditions; rows for which none holds leave at the port `rest`.",
}];

/// Names of ports that mean something else.
const TAKEN: [&str; 3] = ["rest", "late", "bad"];

#[derive(Debug)]
struct Split {
    conditions: Vec<(String, Expression)>,
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let input = only(inputs)?;
    let entries = texts(arguments, "when")?.ok_or_else(|| vec![wrong("when", "missing")])?;
    if entries.len() > CONDITIONS_MAX {
        let message = format!(
            "{} conditions are more than {CONDITIONS_MAX}",
            entries.len()
        );
        return Err(vec![wrong("when", message)]);
    }
    let mut conditions = Vec::with_capacity(entries.len());
    let mut errors = Vec::new();
    for (port, text) in entries {
        errors.extend(check_port(port).err());
        match Expression::parse_predicate(text, input) {
            Ok(condition) => conditions.push((port.to_owned(), condition)),
            Err(error) => errors.push(wrong_expression(&entry("when", port), &error)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let normal = conditions
        .iter()
        .map(|(port, condition)| (port.as_str(), condition.text()));
    let parameters = Arguments::from_iter([("when", table(normal))]);
    let ports = conditions.iter().map(|(port, _)| port.as_str());
    let mut outputs: Vec<(String, Schema)> = ports
        .chain(["rest"])
        .map(|port| (port.to_owned(), input.clone()))
        .collect();
    outputs.push(("bad".to_owned(), bad_schema(input)));
    Ok(Compiled {
        parameters,
        outputs,
        operator: Box::new(Split { conditions }),
        cost: COST,
    })
}

fn check_port(port: &str) -> Result<(), ArgumentError> {
    let parameter = entry("when", port);
    if TAKEN.contains(&port) {
        return Err(wrong(
            &parameter,
            format!("{port:?} is a port of another meaning"),
        ));
    }
    if !name::is_valid(port) {
        return Err(ArgumentError {
            parameter,
            message: format!("{port:?} is no name of a port"),
            expected: Some("a letter, then letters, digits, '_' or '-'".to_owned()),
        });
    }
    Ok(())
}

impl Split {
    /// The port of each row.
    ///
    /// A condition is not looked at when every row has its port: a row by itself is bad only if a condition
    /// fails that had to be asked.
    fn ports(&self, columns: &RecordBatch) -> Result<Vec<ArrayRef>, EvaluationError> {
        let mut ports: Vec<Option<u16>> = vec![None; columns.num_rows()];
        let mut open = ports.len();
        for (port, (name, condition)) in (0..).zip(&self.conditions) {
            if open == 0 {
                break;
            }
            let holds = condition
                .holds(columns)
                .map_err(|error| error.within(name))?;
            for (row, taken) in ports.iter_mut().enumerate() {
                if taken.is_none() && holds.is_valid(row) && holds.value(row) {
                    *taken = Some(port);
                    open -= 1;
                }
            }
        }
        let rest = self.rest();
        let ports = ports.into_iter().map(|port| port.unwrap_or(rest));
        Ok(vec![Arc::new(UInt16Array::from_iter_values(ports))])
    }

    /// The port of rows for which no condition holds.
    fn rest(&self) -> u16 {
        u16::try_from(self.conditions.len()).expect("conditions are limited")
    }
}

impl Operator for Split {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let evaluated = evaluate(&batch.rows, emit, |columns| self.ports(columns));
        let Some((rows, values)) = evaluated else {
            return;
        };
        let ports = values[0].as_primitive::<UInt16Type>().values();
        for port in 0..=self.rest() {
            let here: BooleanArray = ports.iter().map(|of_row| Some(*of_row == port)).collect();
            emit.rows(port, rows.filter(&here));
        }
    }
}

/// What a batch and a row cost, until they are measured.
///
/// Source: guess: a tenth of what a build without optimization takes for a batch of 1 and of 1,024 rows and
/// two conditions, 14 µs and 430 µs on one core of the development machine.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 1.5e-6,
    row_seconds: 4e-8,
};
