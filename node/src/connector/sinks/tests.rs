//! What sinks leave behind.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use model::{DataType, EventTime, Field, Value};

use super::*;
use crate::clock::MachineClock;
use crate::connector::SINKS;

fn check(arguments: &[(&str, &str)], expected: Result<&str, &str>) {
    let folder = tempfile::tempdir().unwrap();
    let context = Context {
        folder: folder.path(),
        clock: Arc::new(MachineClock::start()),
        epoch: EventTime(0),
    };
    let arguments = Arguments::from_iter(
        arguments
            .iter()
            .map(|(name, value)| (*name, Value::from(*value))),
    );
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).unwrap();
    std::fs::write(folder.path().join("out.csv"), "what was there before").unwrap();
    let mut sink = match (
        open_file(&arguments, &schema, &context, Opening::Anew),
        expected,
    ) {
        (Ok(sink), _) => sink,
        (Err(errors), Err(parameter)) => {
            assert_eq!(errors[0].parameter, parameter);
            return;
        }
        (Err(errors), Ok(_)) => panic!("{errors:?}"),
    };
    for value in [1, 2] {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        let rows = RecordBatch::try_new(columns::to_arrow(&schema), vec![column]).unwrap();
        sink.write(&rows).unwrap();
    }
    // The sink is still open: what was written has left the process.
    let name = text(&arguments, "path").unwrap();
    let written = std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(Ok(written.as_str()), expected);
}

#[test]
fn files_are_written_anew_in_the_format_that_is_asked_for() {
    check(&[("path", "out.csv")], Ok("n\n1\n2\n"));
    check(&[("path", "out.jsonl")], Ok("{\"n\":1}\n{\"n\":2}\n"));
    check(&[("path", "out.txt"), ("format", "csv")], Ok("n\n1\n2\n"));
    check(&[("path", "out.txt")], Err("format"));
    check(&[("path", "no/such/folder.csv")], Err("path"));
    check(&[], Err("path"));
}

/// Writes a row behind what a file has, as after a restart, and compares.
fn check_again(name: &str, before: Option<&str>, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let context = Context {
        folder: folder.path(),
        clock: Arc::new(MachineClock::start()),
        epoch: EventTime(0),
    };
    let path = folder.path().join(name);
    if let Some(before) = before {
        std::fs::write(&path, before).unwrap();
    }
    let arguments = Arguments::from_iter([("path", Value::from(name))]);
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).unwrap();
    let mut sink = open_file(&arguments, &schema, &context, Opening::Again).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let rows = RecordBatch::try_new(columns::to_arrow(&schema), vec![column]).unwrap();
    sink.write(&rows).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, expected, "behind {before:?}");
}

#[test]
fn a_file_that_is_opened_again_goes_on_behind_its_last_whole_row() {
    check_again("out.csv", None, "n\n7\n");
    check_again("out.csv", Some(""), "n\n7\n");
    check_again("out.csv", Some("n"), "n\n7\n");
    check_again("out.csv", Some("n\n"), "n\n7\n");
    check_again("out.csv", Some("n\n1\n2"), "n\n1\n7\n");
    // A line end in quotes ends no row.
    check_again("out.csv", Some("n\n\"a\nb"), "n\n7\n");
    check_again("out.csv", Some("n\n\"a\nb\"\n\"\"\"\n"), "n\n\"a\nb\"\n7\n");
    check_again("out.jsonl", None, "{\"n\":7}\n");
    // In a line of JSON a quote may stand alone, escaped.
    let (whole, torn) = ("{\"n\":\"\\\"\"}\n", "{\"n\":");
    let before = [whole, torn].concat();
    check_again("out.jsonl", Some(&before), &[whole, "{\"n\":7}\n"].concat());
    // Longer than what is read at once.
    let long = "1\n".repeat(READ_BYTES);
    let before = ["n\n", &long, "2"].concat();
    check_again("out.csv", Some(&before), &["n\n", &long, "7\n"].concat());
}

#[test]
fn a_file_that_a_sink_writes_is_not_taken_by_another_until_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context {
        folder: folder.path(),
        clock: Arc::new(MachineClock::start()),
        epoch: EventTime(0),
    };
    let arguments = Arguments::from_iter([("path", Value::from("out.jsonl"))]);
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).unwrap();
    let open = |opening| open_file(&arguments, &schema, &context, opening);
    let mut first = open(Opening::Anew).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let rows = RecordBatch::try_new(columns::to_arrow(&schema), vec![column]).unwrap();
    first.write(&rows).unwrap();
    for opening in [Opening::Anew, Opening::Again] {
        let errors = open(opening).unwrap_err();
        assert!(
            errors[0].message.contains("another application"),
            "{errors:?}"
        );
    }
    let written = || std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    assert_eq!(written(), "{\"n\":7}\n");
    drop(first);
    open(Opening::Anew).unwrap();
    assert_eq!(written(), "");
}

#[test]
fn every_word_names_one_sink() {
    let names: Vec<&str> = SINKS.iter().map(|kind| kind.name).collect();
    assert_eq!(names, ["requester", "stdout", "file", "discard"]);
}

#[test]
fn a_file_goes_on_where_its_writer_says_and_a_shorter_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context {
        folder: folder.path(),
        clock: Arc::new(MachineClock::start()),
        epoch: EventTime(0),
    };
    let arguments = Arguments::from_iter([("path", Value::from("out.jsonl"))]);
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).unwrap();
    let row = |value: i64| {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        RecordBatch::try_new(columns::to_arrow(&schema), vec![column]).unwrap()
    };
    let path = folder.path().join("out.jsonl");
    let open = |opening| open_file(&arguments, &schema, &context, opening).unwrap();
    let mut sink = open(Opening::Anew);
    let bytes = [1, 2, 3].map(|value| {
        sink.write(&row(value)).unwrap();
        sink.bytes().unwrap()
    });
    assert_eq!(bytes, [8, 16, 24]);
    drop(sink);
    let mut sink = open(Opening::Again);
    assert!(!sink.go_on_behind(25).unwrap());
    assert_eq!(sink.bytes(), Some(24));
    assert!(sink.go_on_behind(16).unwrap());
    sink.write(&row(7)).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, "{\"n\":1}\n{\"n\":2}\n{\"n\":7}\n");
    assert_eq!(sink.bytes(), Some(24));
}
