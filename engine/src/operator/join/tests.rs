use model::{Arguments, DataType, EventTime, Field, Scalar, Schema, Value};

use super::*;
use crate::batch::ROWS_MAX;
use crate::operator::harness::{self, Row, Run, numbered};
use crate::operator::{ArgumentError, Compiled, bad_schema};

mod parameters;
mod reference;
mod semantics;
mod transfer;

/// A row that is due at its event time, and has that as its value.
fn row(time: i64, key: &'static str) -> Row {
    harness::row(time, key, time)
}

fn late_row(time: i64, due: i64, key: &'static str) -> Row {
    harness::late_row(time, due, key, time)
}

fn table(entries: &[(&str, Scalar)]) -> Value {
    let entries = entries.iter();
    Value::Table(
        entries
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

/// The arguments of a join on `key`, which gives the keys and numbers of what has met, with some more.
fn arguments(more: &[(&'static str, Value)]) -> Arguments {
    let select = [
        ("key", "left_key".into()),
        ("left", "left_number".into()),
        ("right", "right_number".into()),
    ];
    let mut arguments = Arguments::new();
    arguments.push("on", table(&[("key", "key".into())]));
    if !more.iter().any(|(name, _)| *name == "select") {
        arguments.push("select", table(&select));
    }
    for (name, value) in more {
        arguments.push(*name, value.clone());
    }
    arguments
}

/// Bounds in microseconds, and ticks of a millisecond.
fn interval(lower: i64, upper: i64, more: &[(&'static str, Value)]) -> Arguments {
    let bounds = [
        ("lower", Scalar::Micros(lower)),
        ("upper", Scalar::Micros(upper)),
    ];
    let mut all = vec![
        ("interval", table(&bounds)),
        ("granularity", Value::Scalar(Scalar::Micros(1_000))),
    ];
    all.extend_from_slice(more);
    arguments(&all)
}

fn sliding(size: i64, slide: i64, more: &[(&'static str, Value)]) -> Arguments {
    let spans = [
        ("sliding", Scalar::Micros(size)),
        ("slide", Scalar::Micros(slide)),
    ];
    let mut all = vec![("window", table(&spans))];
    all.extend_from_slice(more);
    arguments(&all)
}

fn compile(arguments: &Arguments) -> Result<Compiled, Vec<ArgumentError>> {
    harness::compile(&KIND, &numbered(), arguments)
}

/// An operator at the beginning.
fn begin(arguments: &Arguments) -> Run {
    Run::new(&KIND, numbered(), arguments)
}

impl Run {
    fn left(&mut self, rows: &[Row]) {
        self.rows_at(0, 1, rows);
    }

    fn right(&mut self, rows: &[Row]) {
        self.rows_at(1, 2, rows);
    }
}
