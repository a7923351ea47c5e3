//! Files as they are found: gzipped, halved, missing, and real ones.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use model::{DataType, Value};

use super::*;
use crate::clock::MachineClock;
use crate::connector::{Reading, SourceError};

fn open_in(folder: &Path, arguments: &[(&str, &str)]) -> Opened<dyn Source> {
    let clock = MachineClock::start();
    let context = Context {
        folder,
        epoch: clock.epoch(),
        clock: Arc::new(clock),
    };
    let arguments = arguments.iter();
    let arguments = arguments.map(|(name, value)| (*name, Value::from(*value)));
    open(&Arguments::from_iter(arguments), &context)
}

/// How many good and bad records a source has, and why it ends.
fn count(source: &mut dyn Source) -> (usize, usize, Option<SourceError>) {
    let (mut good, mut bad) = (0, 0);
    loop {
        match source.read(Duration::ZERO) {
            Ok(Reading::Records(records)) => {
                good += records.columns.num_rows();
                bad += records.bad.len();
            }
            Ok(Reading::Idle) => panic!("a file is never idle"),
            Ok(Reading::End) => return (good, bad, None),
            Err(error) => return (good, bad, Some(error)),
        }
    }
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn numbers(len: usize) -> String {
    let mut csv = String::from("n,square\n");
    for n in 0..len {
        csv.push_str(&format!("{n},{}\n", n * n));
    }
    csv
}

#[test]
fn gzipped_files_are_known_by_their_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let members = [gzipped(&numbers(3_000)), gzipped("7,49\n")].concat();
    // The name does not say that it is gzipped, and need not.
    std::fs::write(folder.path().join("numbers.csv"), members).unwrap();
    let mut source = open_in(folder.path(), &[("path", "numbers.csv")]).unwrap();
    assert_eq!(source.schema().to_string(), "n int64, square int64");
    let (good, bad, error) = count(&mut *source);
    assert_eq!((good, bad), (3_001, 0));
    assert!(error.is_none());
}

#[test]
fn the_rows_before_the_torn_end_of_a_gzipped_file_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = gzipped(&numbers(50_000));
    bytes.truncate(bytes.len() / 2);
    std::fs::write(folder.path().join("half.csv.gz"), &bytes).unwrap();
    let mut source = open_in(folder.path(), &[("path", "half.csv.gz")]).unwrap();
    let (good, bad, error) = count(&mut *source);
    assert!(good > 10_000, "{good} rows");
    assert_eq!(bad, 0, "the torn record is none");
    let error = error.expect("the file is torn");
    assert_eq!(error.place, format!("half.csv.gz, record {}", good + 1));

    // So little is left that no header is there.
    std::fs::write(folder.path().join("rest.csv.gz"), &bytes[..12]).unwrap();
    let errors = open_in(folder.path(), &[("path", "rest.csv.gz")]).unwrap_err();
    assert_eq!(errors[0].parameter, "path");
    assert!(errors[0].message.contains("cannot be read"), "{errors:?}");
}

#[test]
fn corrupt_bytes_end_a_gzipped_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = gzipped(&numbers(50_000));
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xAA);
    std::fs::write(folder.path().join("corrupt.csv.gz"), &bytes).unwrap();
    let mut source = open_in(folder.path(), &[("path", "corrupt.csv.gz")]).unwrap();
    let (good, _, error) = count(&mut *source);
    assert!(good > 10_000, "{good} rows");
    assert!(error.is_some());
}

#[test]
fn files_that_cannot_be_read_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.csv"), "").unwrap();
    std::fs::write(folder.path().join("data.txt"), "a\n1\n").unwrap();
    for (arguments, parameter, reason) in [
        (&[("path", "none.csv")][..], "path", "no such file"),
        (&[("path", ".")], "path", "a folder"),
        (&[("path", "empty.csv")], "path", "the file is empty"),
        (&[("path", "data.txt")], "format", "does not tell"),
        (&[], "path", "is missing"),
        (
            &[("path", "data.txt"), ("format", "xml")],
            "format",
            "no format",
        ),
        (
            &[("path", "data.txt"), ("speed", "-1")],
            "speed",
            "no speed",
        ),
    ] {
        let errors = open_in(folder.path(), arguments).unwrap_err();
        assert_eq!(errors[0].parameter, parameter, "{errors:?}");
        assert!(errors[0].message.contains(reason), "{errors:?}");
    }
    let both = [("path", "none.csv"), ("format", "xml"), ("speed", "0")];
    assert_eq!(open_in(folder.path(), &both).unwrap_err().len(), 3);
}

#[test]
fn a_name_tells_the_format() {
    for (name, format) in [
        ("a.csv", Some(Format::Csv)),
        ("a.CSV.gz", Some(Format::Csv)),
        ("a.ndjson", Some(Format::Jsonl)),
        ("conn.log.gz", Some(Format::Zeek)),
        ("conn.log.labeled", Some(Format::Zeek)),
        ("a.gz", None),
        ("csv", None),
    ] {
        assert_eq!(Format::of_path(Path::new(name)), format, "{name}");
    }
}

/// The folder of public data sets, if it is here: `SYNERGY_DATA`, or `shared/data` beside the project.
fn data() -> Option<PathBuf> {
    let folder = match std::env::var_os("SYNERGY_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    folder.is_dir().then_some(folder)
}

/// Skips, and says so, where the data sets are not at hand.
#[test]
fn recorded_logs_of_zeek_are_read_to_the_last_record() {
    let Some(folder) = data().map(|folder| folder.join("zeek_stratosphere")) else {
        let mut out = std::io::stderr();
        writeln!(out, "skipped: the data sets are not here; set SYNERGY_DATA").unwrap();
        return;
    };
    for (name, columns, has_label, rows) in [
        (
            "001-zeek-scenario-malicious_labeled-conn.log.gz",
            23,
            true,
            992,
        ),
        (
            "002-zeek-scenario-port-scanning_conn.log.gz",
            20,
            false,
            4_504,
        ),
        ("008-zeek-mixed_conn.log.labeled.gz", 23, true, 5_663),
        ("008-zeek-mixed_ssl.log.labeled.gz", 27, true, 545),
    ] {
        let mut source = open_in(&folder, &[("path", name)]).unwrap();
        let schema = source.schema().clone();
        assert_eq!(schema.fields().len(), columns, "{name}: {schema}");
        assert_eq!(schema.find("label").is_some(), has_label, "{name}");
        assert_eq!(schema.find("detailedlabel").is_some(), has_label, "{name}");
        for (column, data_type) in [("ts", DataType::Timestamp), ("id_orig_p", DataType::Int64)] {
            let (_, field) = schema.find(column).expect("every log has it");
            assert_eq!(field.data_type, data_type, "{name}");
        }
        let (good, bad, error) = count(&mut *source);
        assert_eq!((good, bad), (rows, 0), "{name}: {schema}");
        assert!(error.is_none());
    }
}
