use std::sync::Arc;

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use model::{
    Arguments, DataType, EventTime, Field, Instant, Interval, Origin, Scalar, Schema, Value,
};

use super::*;
use crate::batch::{Header, Token};
use crate::columns;
use crate::operator::{ArgumentError, Compiled, CompleteTick, Kind};

mod parameters;
mod reference;
mod semantics;
mod sessions;
mod transfer;

/// `key`, `value` and `weight`.
pub(in crate::operator) fn input() -> Schema {
    Schema::new(vec![
        Field::new("key", DataType::Utf8),
        Field::new("value", DataType::Int64),
        Field::new("weight", DataType::Float64),
    ])
    .unwrap()
}

/// A row to be: its event time, when it is due, its key and its value. The weight is half the value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::operator) struct Row {
    pub(in crate::operator) time: i64,
    pub(in crate::operator) due: i64,
    pub(in crate::operator) key: Option<&'static str>,
    pub(in crate::operator) value: Option<i64>,
}

/// A row that is due at its event time.
pub(in crate::operator) fn row(time: i64, key: &'static str, value: i64) -> Row {
    late_row(time, time, key, value)
}

pub(in crate::operator) fn late_row(time: i64, due: i64, key: &'static str, value: i64) -> Row {
    Row {
        time,
        due,
        key: Some(key),
        value: Some(value),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the tests use small numbers")]
pub(in crate::operator) fn batch(origin: u128, rows: &[Row]) -> Batch {
    let keys: StringArray = rows.iter().map(|row| row.key).collect();
    let values: Int64Array = rows.iter().map(|row| row.value).collect();
    let weights: Float64Array = rows
        .iter()
        .map(|row| row.value.map(|value| value as f64 / 2.0))
        .collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(weights)];
    let columns = RecordBatch::try_new(columns::to_arrow(&input()), columns).unwrap();
    let times = rows.iter().map(|row| row.time).collect();
    let dues: Vec<i64> = rows.iter().map(|row| row.due).collect();
    let any_due = rows.iter().any(|row| row.due != row.time);
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
        rows: Rows::dense(columns, times, any_due.then_some(dues)),
    }
}

/// The arguments of a window; spans in microseconds.
fn arguments(
    window: &[(&str, i64)],
    by: &[&str],
    select: &[(&str, &str)],
    lateness: i64,
) -> Arguments {
    let table = |entries: Vec<(String, Scalar)>| Value::Table(entries);
    let spans = window
        .iter()
        .map(|(name, micros)| ((*name).to_owned(), Scalar::Micros(*micros)));
    let texts = select
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Scalar::from(*text)));
    Arguments::from_iter([
        ("window", table(spans.collect())),
        (
            "by",
            Value::List(by.iter().map(|name| Scalar::from(*name)).collect()),
        ),
        ("select", table(texts.collect())),
        ("lateness", Value::Scalar(Scalar::Micros(lateness))),
    ])
}

fn compile(arguments: &Arguments) -> Result<Compiled, Vec<ArgumentError>> {
    (KIND.compile)(arguments, &[input()])
}

/// An operator at work, and all that it has emitted.
#[derive(Debug)]
pub(in crate::operator) struct Run {
    kind: &'static Kind,
    pub(in crate::operator) operator: Box<dyn Operator>,
    /// Each result row as text: its tick, event time and columns.
    pub(in crate::operator) results: Vec<String>,
    /// The values of late rows and bad ones.
    pub(in crate::operator) late: Vec<String>,
    pub(in crate::operator) bad: Vec<String>,
    pub(in crate::operator) progress: Option<EventTime>,
    pub(in crate::operator) bytes: usize,
}

impl Run {
    fn new(arguments: &Arguments) -> Self {
        Self::of(&KIND, arguments)
    }

    /// An operator of any kind, at the beginning.
    pub(in crate::operator) fn of(kind: &'static Kind, arguments: &Arguments) -> Self {
        let compiled = (kind.compile)(arguments, &[input()]).unwrap();
        Self {
            kind,
            operator: compiled.operator,
            results: Vec::new(),
            late: Vec::new(),
            bad: Vec::new(),
            progress: None,
            bytes: 0,
        }
    }

    pub(in crate::operator) fn rows(&mut self, origin: u128, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        let mut emit = Emitter::default();
        self.operator.process(0, &batch(origin, rows), &mut emit);
        assert!(emit.ticks.is_empty(), "only progress closes windows");
        self.take(emit);
    }

    pub(in crate::operator) fn progress(&mut self, progress: i64) {
        let mut emit = Emitter::default();
        self.operator.on_progress(EventTime(progress), &mut emit);
        self.take(emit);
    }

    /// Goes on with a new operator that has the state of this one.
    pub(in crate::operator) fn transfer(&mut self, arguments: &Arguments) {
        let compiled = (self.kind.compile)(arguments, &[input()]).unwrap();
        let mut heir = compiled.operator;
        for chunk in self.operator.export(None) {
            heir.import(chunk).unwrap();
        }
        self.operator = heir;
    }

    pub(in crate::operator) fn end(&mut self) {
        self.progress(i64::MAX);
        assert_eq!(self.progress, Some(EventTime::MAX));
        assert_eq!(self.bytes, 0, "nothing is held when all windows are closed");
    }

    fn take(&mut self, emit: Emitter) {
        let mut last: Option<EventTime> = None;
        for done in emit.ticks {
            let CompleteTick {
                tick,
                time,
                columns,
                ..
            } = done;
            assert!(
                self.progress.is_none_or(|progress| time >= progress),
                "progress was kept to"
            );
            assert!(last.is_none_or(|last| time > last), "ticks come in order");
            last = Some(time);
            let texts = texts(&columns);
            self.results.extend(
                texts
                    .iter()
                    .map(|text| format!("{} @{} {text}", tick.0, time.0)),
            );
        }
        if let Some(progress) = emit.progress {
            assert!(self.progress.is_none_or(|before| before <= progress));
            assert!(last.is_none_or(|last| last < progress));
            self.progress = Some(progress);
        }
        self.late
            .extend(emit.late.iter().flat_map(|rows| texts(rows.columns())));
        for (rows, message) in &emit.bad {
            self.bad.extend(
                texts(rows.columns())
                    .iter()
                    .map(|text| format!("{text}: {message}")),
            );
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
        let values: Vec<String> = formatters
            .iter()
            .map(|formatter| formatter.value(index).to_string())
            .collect();
        values.join(" ")
    };
    (0..columns.num_rows()).map(text).collect()
}
