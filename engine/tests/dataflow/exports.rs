//! What a dispatch exports, of every operator that has state, with a hundred thousand keys of which others come in all the time.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use engine::operator::{self, Cursor, Emitter, Operator, StateChunk};
use engine::{Batch, Config, Header, Rows, Token, columns};
use model::{
    Arguments, DataType, EventTime, Field, Instant, Interval, Origin, Scalar, Schema, Value,
};

const KEYS: usize = 100_000;

/// How many rows come between two parts of an export.
const BATCH: usize = engine::batch::ROWS_MAX;

const HOUR: i64 = 3_600_000_000;

fn schema() -> Schema {
    let key = Field::new("key", DataType::Utf8);
    let value = Field::new("value", DataType::Int64);
    Schema::new(vec![key, value]).unwrap()
}

fn table(entries: &[(&str, Scalar)]) -> Value {
    let entries = entries.iter();
    Value::Table(
        entries
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

fn window(window: &str, select: &[(&str, Scalar)]) -> Arguments {
    Arguments::from_iter([
        ("window", table(&[(window, Scalar::Micros(HOUR))])),
        ("by", Value::List(vec!["key".into()])),
        ("select", table(select)),
    ])
}

fn make(kind: &str, arguments: &Arguments) -> Box<dyn Operator> {
    let kind = operator::find(kind).unwrap();
    let inputs = match kind.inputs {
        operator::Inputs::Two => vec![schema(), schema()],
        operator::Inputs::One | operator::Inputs::AnyOrder => vec![schema()],
    };
    (kind.compile)(arguments, &inputs).unwrap().operator
}

/// Rows at a time, with the keys of these numbers.
fn batch(time: i64, numbers: impl Iterator<Item = usize>) -> Batch {
    let numbers: Vec<usize> = numbers.collect();
    let keys = numbers.iter().map(|number| format!("key {number}"));
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(keys));
    let values = numbers.iter().map(|number| i64::try_from(number % 1_000));
    let values = Int64Array::from_iter_values(values.map(Result::unwrap));
    let rows = vec![keys, Arc::new(values)];
    let rows = RecordBatch::try_new(columns::to_arrow(&schema()), rows).unwrap();
    let times = vec![time; numbers.len()];
    Batch {
        header: Header {
            origin: Origin(1),
            interval: Interval::new(0, model::convert::size(numbers.len())),
            arrival: Instant::ZERO,
            progress: EventTime::MIN,
            token: Token::Unmetered,
            missing: 0,
            note: None,
        },
        rows: Rows::dense(rows, times, None),
    }
}

fn bytes(chunks: &[StateChunk]) -> usize {
    let columns = chunks.iter().flat_map(|chunk| chunk.columns.columns());
    columns.map(columns::bytes).sum()
}

fn rows(chunks: &[StateChunk]) -> usize {
    chunks.iter().map(|chunk| chunk.columns.num_rows()).sum()
}

/// Exports a state of all keys while rows of many of them come, and gives how many rows of state who imported it has.
fn check(kind: &str, arguments: &Arguments, progress: Option<EventTime>) -> usize {
    let bytes_max = Config::default().export_bytes;
    let (mut operator, mut heir) = (make(kind, arguments), make(kind, arguments));
    for first in (0..KEYS).step_by(BATCH) {
        let batch = batch(1, first..KEYS.min(first + BATCH));
        operator.process(0, &batch, &mut Emitter::default());
    }
    if let Some(progress) = progress {
        let mut emit = Emitter::default();
        let closing = operator.on_progress(progress, &mut emit);
        assert_eq!(closing, operator::Closing::Done);
    }
    let (mut at, mut parts, mut all) = (Cursor::default(), 0, 0);
    loop {
        let part = operator.export(&mut at, bytes_max);
        let told = bytes(&part.chunks);
        assert!(
            told <= bytes_max + bytes_max / 4,
            "{kind}: {told} bytes in part {parts}"
        );
        (parts, all) = (parts + 1, all + told);
        for chunk in part.chunks {
            heir.import(chunk).unwrap();
        }
        if part.is_last {
            break;
        }
        // Numbers that are far from one another, so that every page has some of them.
        let numbers = (0..BATCH).map(|n| (parts * BATCH + n) * 7_919 % KEYS);
        let time = progress.map_or(1, |progress| progress.0);
        operator.process(0, &batch(time, numbers), &mut Emitter::default());
    }
    assert!(all > bytes_max, "{kind}: {all} bytes are no large state");
    // What it holds is no less than what its columns are.
    let twice = 2 * all.max(operator.bytes()).div_ceil(bytes_max) + 2;
    assert!(parts <= twice, "{kind}: {all} bytes in {parts} parts");
    let (mut at, mut held) = (Cursor::default(), 0);
    loop {
        let part = heir.export(&mut at, usize::MAX);
        held += rows(&part.chunks);
        if part.is_last {
            return held;
        }
    }
}

#[test]
fn a_part_of_a_window_is_small() {
    let native = [
        ("n", "count(*)".into()),
        ("s", "sum(value)".into()),
        ("m", "avg(value)".into()),
        ("last", "last_value(value)".into()),
    ];
    let apart = [("m", "median(value)".into())];
    for select in [&native[..], &apart] {
        assert_eq!(check("window", &window("tumbling", select), None), KEYS);
        assert_eq!(check("window", &window("session", select), None), KEYS);
    }
}

#[test]
fn a_part_of_the_greatest_rows_is_small() {
    let arguments = Arguments::from_iter([
        ("window", table(&[("tumbling", Scalar::Micros(HOUR))])),
        ("rows", Value::Scalar("1".into())),
        ("of", Value::Scalar("value".into())),
        ("by", Value::List(vec!["key".into()])),
    ]);
    assert_eq!(check("top", &arguments, None), KEYS);
}

#[test]
fn a_part_of_distinct_rows_and_keys_is_small() {
    let arguments = Arguments::from_iter([("by", Value::List(vec!["key".into()]))]);
    assert_eq!(check("distinct", &arguments, None), KEYS);
    let closed = Some(EventTime(HOUR));
    let with_rows = check("distinct", &arguments, closed);
    assert!(with_rows > KEYS, "keys that were seen, and rows to come");
}

#[test]
fn a_part_of_the_rows_of_a_join_is_small() {
    let arguments = Arguments::from_iter([
        ("on", table(&[("key", "key".into())])),
        ("window", table(&[("tumbling", Scalar::Micros(HOUR))])),
        ("select", table(&[("value", "left_value".into())])),
    ]);
    let with_rows = check("join", &arguments, None);
    assert!(with_rows > KEYS, "those before the export, and others");
}
