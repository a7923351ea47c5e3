use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use model::{Arguments, DataType, Field, Instant, Interval, Scalar, Schema, Value};

use super::*;
use crate::batch::{Header, ROWS_MAX, Token};
use crate::columns;
use crate::operator::{ArgumentError, Compiled, bad_schema};

mod parameters;
mod reference;
mod semantics;
mod transfer;

/// `key`, `value` and `number`.
fn input() -> Schema {
    Schema::new(vec![
        Field::new("key", DataType::Utf8),
        Field::new("value", DataType::Int64),
        Field::new("number", DataType::Int64),
    ])
    .unwrap()
}

/// A row to be: its event time, when it is due, its key, its value and what it is told apart by.
#[derive(Debug, Clone, PartialEq)]
struct Given {
    time: i64,
    due: i64,
    key: Option<&'static str>,
    value: Option<i64>,
    number: i64,
}

/// A row that is due at its event time, and called by that.
fn row(time: i64, key: &'static str) -> Given {
    late_row(time, time, key)
}

fn late_row(time: i64, due: i64, key: &'static str) -> Given {
    Given {
        time,
        due,
        key: Some(key),
        value: Some(time),
        number: time,
    }
}

fn batch(origin: u128, rows: &[Given]) -> Batch {
    let keys: StringArray = rows.iter().map(|row| row.key).collect();
    let values: Int64Array = rows.iter().map(|row| row.value).collect();
    let numbers: Int64Array = rows.iter().map(|row| Some(row.number)).collect();
    let arrays: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(numbers)];
    let columns = RecordBatch::try_new(columns::to_arrow(&input()), arrays).unwrap();
    let times = rows.iter().map(|row| row.time).collect();
    let dues = rows.iter().map(|row| row.due).collect();
    Batch {
        header: Header {
            origin: Origin(origin),
            interval: Interval::new(0, model::convert::size(rows.len())),
            arrival: Instant::ZERO,
            progress: EventTime::MIN,
            token: Token::Unmetered,
            missing: 0,
            note: None,
        },
        rows: batch::Rows::dense(columns, times, Some(dues)),
    }
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
    let inputs = [input(), input()];
    let compiled = (KIND.compile)(arguments, &inputs)?;
    let again = (KIND.compile)(&compiled.parameters, &inputs)?;
    assert_eq!(
        again.parameters, compiled.parameters,
        "normal parameters stay as they are"
    );
    assert_eq!(again.outputs, compiled.outputs);
    Ok(compiled)
}

/// An operator at work, and all that it has emitted.
#[derive(Debug)]
struct Run {
    operator: Box<dyn Operator>,
    /// Each result row as text: its tick, event time and columns.
    results: Vec<String>,
    late: Vec<String>,
    bad: Vec<String>,
    progress: Option<EventTime>,
    bytes: usize,
    /// How many times an operator said that there is more.
    parts: usize,
}

impl Run {
    fn new(arguments: &Arguments) -> Self {
        Self {
            operator: compile(arguments).unwrap().operator,
            results: Vec::new(),
            late: Vec::new(),
            bad: Vec::new(),
            progress: None,
            bytes: 0,
            parts: 0,
        }
    }

    fn rows(&mut self, port: u16, origin: u128, rows: &[Given]) {
        if rows.is_empty() {
            return;
        }
        let mut emit = Emitter::default();
        self.operator.process(port, &batch(origin, rows), &mut emit);
        assert!(emit.ticks.is_empty(), "only progress closes ticks");
        self.take(emit);
    }

    fn left(&mut self, rows: &[Given]) {
        self.rows(0, 1, rows);
    }

    fn right(&mut self, rows: &[Given]) {
        self.rows(1, 2, rows);
    }

    fn progress(&mut self, progress: i64) {
        while self.advance(progress) == operator::Closing::More {
            self.parts += 1;
        }
    }

    fn advance(&mut self, progress: i64) -> operator::Closing {
        let mut emit = Emitter::default();
        let closing = self.operator.on_progress(EventTime(progress), &mut emit);
        self.take(emit);
        closing
    }

    /// Goes on with a new operator that has the state of this one.
    fn transfer(&mut self, arguments: &Arguments) {
        let mut heir = compile(arguments).unwrap().operator;
        for chunk in self.operator.export(None) {
            heir.import(chunk).unwrap();
        }
        self.operator = heir;
    }

    fn end(&mut self) {
        self.progress(i64::MAX);
        assert_eq!(self.progress, Some(EventTime::MAX));
        assert_eq!(self.bytes, 0, "nothing is held when all ticks are closed");
    }

    fn take(&mut self, emit: Emitter) {
        let mut last: Option<(EventTime, usize)> = None;
        for done in emit.ticks {
            let (tick, time) = (done.tick, done.time);
            assert!(
                self.progress.is_none_or(|progress| time >= progress),
                "progress was kept to"
            );
            assert!(done.began <= time);
            let follows = |(last, rows): (EventTime, usize)| {
                time > last || time == last && rows.is_multiple_of(ROWS_MAX)
            };
            assert!(last.is_none_or(follows), "ticks come in order, in chunks");
            last = Some((time, done.columns.num_rows()));
            self.results.extend(
                texts(&done.columns)
                    .iter()
                    .map(|text| format!("{} @{} {text}", tick.0, time.0)),
            );
        }
        if let Some(progress) = emit.progress {
            assert!(self.progress.is_none_or(|before| before <= progress));
            assert!(last.is_none_or(|(last, _)| last < progress));
            self.progress = Some(progress);
        }
        self.late
            .extend(emit.late.iter().flat_map(|rows| texts(rows.columns())));
        for (rows, message) in &emit.bad {
            let texts = texts(rows.columns());
            self.bad
                .extend(texts.iter().map(|text| format!("{text}: {message}")));
        }
        self.bytes = emit.state_bytes.unwrap_or(self.bytes);
    }
}

/// The rows of some columns as text; times as microseconds.
fn texts(columns: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("-");
    let plain = |column: &ArrayRef| match column.data_type() {
        arrow_schema::DataType::Timestamp(..) => {
            arrow_cast::cast(column, &arrow_schema::DataType::Int64).unwrap()
        }
        _ => Arc::clone(column),
    };
    let plain: Vec<ArrayRef> = columns.columns().iter().map(plain).collect();
    let formatters: Vec<ArrayFormatter<'_>> = plain
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let text = |index: usize| {
        let values = formatters.iter();
        let values = values.map(|formatter| formatter.value(index).to_string());
        values.collect::<Vec<_>>().join(" ")
    };
    (0..columns.num_rows()).map(text).collect()
}
