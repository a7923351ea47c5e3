//! What bytes become, whatever pieces they come in.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::Sender;

use engine::intake::BAD_BYTES_MAX;
use model::{Arguments, Instant, Scalar, Value};
use proptest::prelude::*;

use super::*;
use crate::connector::render::Text;

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_nanos(5_000)
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

fn context() -> Context<'static> {
    Context {
        folder: Path::new("."),
        clock: Arc::new(Still),
        epoch: EventTime(1_000),
    }
}

/// Gives a piece for each call.
struct Pieces(VecDeque<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, std::io::Error> {
        let Some(piece) = self.0.pop_front() else {
            return Ok(0);
        };
        bytes[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// All that a source gives.
#[derive(Debug, PartialEq)]
struct Given {
    schema: String,
    /// Rows as JSON, each with its number and its time.
    rows: Vec<(u64, i64, String)>,
    /// Numbers of bad records, and what is wrong with them.
    bad: Vec<(u64, String)>,
    error: Option<String>,
}

fn arguments(schema: &[(&str, &str)], time: &[(&str, &str)]) -> Arguments {
    let table = |entries: &[(&str, &str)]| {
        let entries = entries.iter();
        Value::Table(
            entries
                .map(|(name, word)| ((*name).to_owned(), Scalar::from(*word)))
                .collect(),
        )
    };
    let mut arguments = Arguments::new();
    if !schema.is_empty() {
        arguments.push("schema", table(schema));
    }
    if !time.is_empty() {
        arguments.push("time", table(time));
    }
    arguments
}

fn open(
    format: Format,
    arguments: &Arguments,
    pieces: Vec<Vec<u8>>,
) -> Result<RecordSource, ArgumentError> {
    let options = Options::parse(arguments, false).unwrap();
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
    let input = Input::Direct(Box::new(Pieces(pieces.collect())));
    RecordSource::open("test".into(), input, format, options, &context())
}

fn drain(mut source: RecordSource) -> Given {
    let mut given = Given {
        schema: source.schema().to_string(),
        rows: Vec::new(),
        bad: Vec::new(),
        error: None,
    };
    let mut before = 0;
    loop {
        match source.read(Duration::ZERO) {
            Ok(Reading::Records(records)) => {
                let mut text = Vec::new();
                Text::Jsonl
                    .write(&records.columns, false, &mut text)
                    .unwrap();
                let text = String::from_utf8(text).unwrap();
                assert_eq!(text.lines().count(), records.times.len());
                let places = records.places.iter().zip(&records.times);
                for (line, (place, time)) in text.lines().zip(places) {
                    let number = before + u64::from(*place) + 1;
                    given.rows.push((number, *time, line.to_owned()));
                }
                for bad in records.bad {
                    assert!(bad.record.len() <= BAD_BYTES_MAX);
                    given
                        .bad
                        .push((before + u64::from(bad.place) + 1, bad.message));
                }
                before += u64::from(records.count);
            }
            Ok(Reading::Idle) => panic!("what is all there is never idle"),
            Ok(Reading::End) => return given,
            Err(error) => {
                given.error = Some(error.to_string());
                return given;
            }
        }
    }
}

/// What `input` gives, which must be the same wherever it is cut.
fn given(format: Format, arguments: &Arguments, input: &[u8]) -> Result<Given, ArgumentError> {
    let whole = open(format, arguments, vec![input.to_vec()]).map(drain);
    for at in 0..=input.len() {
        let (left, right) = input.split_at(at);
        let cut = open(format, arguments, vec![left.to_vec(), right.to_vec()]).map(drain);
        assert_eq!(cut, whole, "cut at {at}");
    }
    let bytes = input.iter().map(|byte| vec![*byte]).collect();
    assert_eq!(open(format, arguments, bytes).map(drain), whole);
    whole
}

fn check(
    format: Format,
    arguments: &Arguments,
    input: &str,
    schema: &str,
    rows: &[(u64, &str)],
    bad: &[(u64, &str)],
) {
    let given = given(format, arguments, input.as_bytes()).unwrap();
    assert_eq!(given.schema, schema, "{input}");
    let found = given.rows.iter().map(|(number, _, row)| (*number, &**row));
    assert_eq!(found.collect::<Vec<_>>(), rows, "{input}");
    let found = given.bad.iter().map(|(number, text)| (*number, &**text));
    assert_eq!(found.collect::<Vec<_>>(), bad, "{input}");
    assert_eq!(given.error, None);
}

fn check_refused(format: Format, arguments: &Arguments, input: &str, expected: (&str, &str)) {
    let error = given(format, arguments, input.as_bytes()).unwrap_err();
    assert_eq!((&*error.parameter, &*error.message), expected, "{input}");
}

#[test]
fn csv_is_typed_and_its_bad_records_are_named() {
    check(
        Format::Csv,
        &arguments(&[], &[]),
        "\u{FEFF}id.a,b,\"c\"\r\n1,x,0.5\r\n\r\n2,\"y,\n\"\"z\"\"\",\r\n,,3\r\n",
        "id_a int64, b string, c float64",
        &[
            (1, r#"{"id_a":1,"b":"x","c":0.5}"#),
            (2, r#"{"id_a":2,"b":"y,\n\"z\"","c":null}"#),
            (3, r#"{"id_a":null,"b":null,"c":3.0}"#),
        ],
        &[],
    );
    check(
        Format::Csv,
        &arguments(&[("n", "int64"), ("s", "string")], &[]),
        "s,more,n\na,1,1\nb,2\nc,3,x\nd,4,5,6\ne,5,2",
        "n int64, s string",
        &[(1, r#"{"n":1,"s":"a"}"#), (5, r#"{"n":2,"s":"e"}"#)],
        &[
            (2, "2 values for 3 columns"),
            (3, "column n: \"x\" is no int64"),
            (4, "4 values for 3 columns"),
        ],
    );
    check(
        Format::Csv,
        &arguments(&[], &[]),
        "a\n\u{FEFF}1\n2\n",
        "a string",
        &[(1, "{\"a\":\"\u{FEFF}1\"}"), (2, r#"{"a":"2"}"#)],
        &[],
    );
    check(
        Format::Csv,
        &arguments(&[], &[]),
        "a,b\n",
        "a string, b string",
        &[],
        &[],
    );
}

#[test]
fn text_that_is_not_utf8_is_bad() {
    let options = arguments(&[("s", "string")], &[]);
    let given = given(Format::Csv, &options, b"s\n\xFF\nb\n").unwrap();
    assert_eq!(given.rows, [(2, 1_005, r#"{"s":"b"}"#.to_owned())]);
    assert_eq!(
        given.bad,
        [(1, "column s: \"\u{FFFD}\" is no string".to_owned())]
    );
}

#[test]
fn records_have_times_of_their_own_or_that_of_their_reading() {
    let csv = "t,n\n2,1\n1.5,2\n,3\n-1,4\n1e30,5\n";
    let options = arguments(&[], &[("field", "t"), ("unit", "s")]);
    let timed = given(Format::Csv, &options, csv.as_bytes()).unwrap();
    let times: Vec<_> = timed.rows.iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(times, [(1, 2_000_000), (2, 1_500_000), (4, -1_000_000)]);
    assert_eq!(
        timed.bad,
        [
            (3, "column t says no time".to_owned()),
            (5, "column t: 1e30 is no time".to_owned())
        ]
    );
    let untimed = given(Format::Csv, &arguments(&[], &[]), csv.as_bytes()).unwrap();
    assert!(untimed.rows.iter().all(|row| row.1 == 1_005));
    assert_eq!(untimed.rows.len(), 5);

    let declared = arguments(&[("t", "timestamp")], &[("field", "t"), ("unit", "ms")]);
    let dates = b"t\n1970-01-01T00:00:01Z\n2000\n";
    let dated = given(Format::Csv, &declared, dates).unwrap();
    let times: Vec<_> = dated.rows.iter().map(|row| row.1).collect();
    assert_eq!(times, [1_000_000, 2_000_000]);
}

#[test]
fn csv_without_usable_columns_is_refused() {
    let none = arguments(&[], &[]);
    check_refused(Format::Csv, &none, "", ("path", "the file is empty"));
    check_refused(Format::Csv, &none, "\r\n\n", ("path", "the file is empty"));
    check_refused(
        Format::Csv,
        &none,
        "a,b.c,b_c\n",
        ("path", "two columns are called \"b_c\""),
    );
    check_refused(
        Format::Csv,
        &arguments(&[("z", "int64")], &[]),
        "a,b\n1,2\n",
        ("schema.z", "there is no column \"z\""),
    );
    check_refused(
        Format::Csv,
        &arguments(&[], &[("field", "t")]),
        "a\n1\n",
        ("time.field", "no column is called \"t\""),
    );
    check_refused(
        Format::Csv,
        &arguments(&[], &[("field", "a")]),
        "a\n1\n",
        (
            "time.unit",
            "column a holds numbers, and nothing says of what",
        ),
    );
}

#[test]
fn json_lines_are_flattened() {
    check(
        Format::Jsonl,
        &arguments(&[], &[]),
        "{\"a\":1,\"o\":{\"p.q\":true,\"r\":[1,\"x\"]}}\n{\"b\":null,\"a\":2.5}\n\n{\"a\":3,\"a\":4}",
        "a float64, o_p_q boolean, o_r string, b string",
        &[
            (1, r#"{"a":1.0,"o_p_q":true,"o_r":"[1,\"x\"]","b":null}"#),
            (2, r#"{"a":2.5,"o_p_q":null,"o_r":null,"b":null}"#),
            (3, r#"{"a":4.0,"o_p_q":null,"o_r":null,"b":null}"#),
        ],
        &[],
    );
    check(
        Format::Jsonl,
        &arguments(&[("n", "int64"), ("o", "string"), ("o_p", "uint64")], &[]),
        "{\"n\":1,\"o\":{\"p\":7}}\n{\"n\":\"1\"}\n[1]\n{\"n\":\n{\"n\":{}}\n{\"o.p\":1,\"o\":{\"p\":1}}\n{}",
        "n int64, o string, o_p uint64",
        &[
            (1, r#"{"n":1,"o":"{\"p\":7}","o_p":7}"#),
            (7, r#"{"n":null,"o":null,"o_p":null}"#),
        ],
        &[
            (2, "column n: \"\\\"1\\\"\" is no int64"),
            (3, "the line is JSON, but no object"),
            (
                4,
                "the line is not JSON: EOF while parsing a value at line 1 column 5",
            ),
            (5, "column n: \"{}\" is no int64"),
            (6, "column o_p is there twice"),
        ],
    );
    check_refused(
        Format::Jsonl,
        &arguments(&[], &[]),
        "",
        ("path", "the file is empty"),
    );
    check(
        Format::Jsonl,
        &arguments(&[("n", "int64")], &[]),
        "",
        "n int64",
        &[],
        &[],
    );
}

#[test]
fn logs_of_zeek_name_their_types() {
    let header = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n\
                  #path\tconn\n#fields\tts\tid.p\tok\tsize\ttags\n#types\ttime\tport\tbool\tinterval\tset[string]\n";
    check(
        Format::Zeek,
        &arguments(&[], &[("field", "ts")]),
        &format!(
            "{header}1.25\t80\tT\t0.5\t(empty)\n2\t-\tF\t-\ta,b\n{header}-\t1\tT\t1\tx\n3\t1\tT\n4\tx\tT\t1\ta\n#close\tnow\n5\t-\t-\t-\t-"
        ),
        "ts timestamp, id_p int64, ok boolean, size float64, tags string",
        &[
            (
                1,
                r#"{"ts":"1970-01-01T00:00:01.250Z","id_p":80,"ok":true,"size":0.5,"tags":""}"#,
            ),
            (
                2,
                r#"{"ts":"1970-01-01T00:00:02Z","id_p":null,"ok":false,"size":null,"tags":"a,b"}"#,
            ),
            (
                6,
                r#"{"ts":"1970-01-01T00:00:05Z","id_p":null,"ok":null,"size":null,"tags":null}"#,
            ),
        ],
        &[
            (3, "column ts says no time"),
            (4, "3 values for 5 columns"),
            (5, "column id_p: \"x\" is no int64"),
        ],
    );
    check(
        Format::Zeek,
        &arguments(&[], &[("field", "ts")]),
        "{\"ts\":1.25,\"id.p\":80}\n{\"ts\":2.0}\n",
        "ts timestamp, id_p int64",
        &[
            (1, r#"{"ts":"1970-01-01T00:00:01.250Z","id_p":80}"#),
            (2, r#"{"ts":"1970-01-01T00:00:02Z","id_p":null}"#),
        ],
        &[],
    );
    let none = arguments(&[], &[]);
    check_refused(Format::Zeek, &none, "", ("path", "the file is empty"));
    check_refused(
        Format::Zeek,
        &none,
        "a b c\n",
        ("path", "values come before #fields and #types"),
    );
    let changed = "#fields\ta\n#types\tint\n1\n#fields\tb\n2\n";
    let given = given(Format::Zeek, &none, changed.as_bytes()).unwrap();
    assert_eq!(given.rows.len(), 1);
    let error = "test, record 2: a header within names other columns";
    assert_eq!(given.error.as_deref(), Some(error));
}

#[test]
fn types_are_frozen_after_the_first_thousand_records() {
    let mut csv = String::from("n\n");
    for n in 0..2_500 {
        csv.push_str(&format!("{n}\n"));
    }
    csv.push_str("0.5\nlast\n");
    let source = open(Format::Csv, &arguments(&[], &[]), vec![csv.into_bytes()]);
    let given = drain(source.unwrap());
    assert_eq!(given.schema, "n int64");
    let numbers: Vec<u64> = given.rows.iter().map(|row| row.0).collect();
    assert_eq!(numbers, (1..=2_500).collect::<Vec<_>>());
    assert_eq!(given.rows[1_234].2, r#"{"n":1234}"#);
    let bad: Vec<u64> = given.bad.iter().map(|bad| bad.0).collect();
    assert_eq!(bad, [2_501, 2_502]);
}

#[test]
fn a_huge_record_is_bad_and_the_next_is_read() {
    let mut csv = b"a,b\n1,x\n2,\"".to_vec();
    csv.resize(csv.len() + 5 * RECORD_BYTES_MAX / 2, b'y');
    csv.extend_from_slice(b"\n3,z\n");
    let pieces: Vec<Vec<u8>> = csv.chunks(100_000).map(<[u8]>::to_vec).collect();
    let given = drain(open(Format::Csv, &arguments(&[], &[]), pieces).unwrap());
    let rows: Vec<_> = given.rows.iter().map(|row| (row.0, &*row.2)).collect();
    assert_eq!(rows, [(1, r#"{"a":1,"b":"x"}"#), (3, r#"{"a":3,"b":"z"}"#)]);
    let message = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
    assert_eq!(given.bad, [(2, message)]);
}

/// Gives what was sent, and waits for more.
struct Sent(Receiver<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, std::io::Error> {
        let piece = self.0.recv().unwrap_or_default();
        bytes[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

fn live(format: Format, options: &Arguments) -> (Sender<Vec<u8>>, RecordSource) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let options = Options::parse(options, true).unwrap();
    let schema = options.declared.clone().unwrap();
    let input = Input::Waiting(Box::new(Sent(receiver)));
    let source = RecordSource::declared("live".into(), input, format, options, schema, &context());
    (sender, source.unwrap())
}

#[test]
fn records_that_come_one_by_one_leave_at_once() {
    let (sender, mut source) = live(Format::Csv, &arguments(&[("n", "int64")], &[]));
    assert_eq!(source.schema().to_string(), "n int64");
    assert!(matches!(source.read(Duration::ZERO), Ok(Reading::Idle)));
    for n in 0..3 {
        let piece = if n == 0 { "n\n0\n" } else { "1\n" };
        sender.send(piece.as_bytes().to_vec()).unwrap();
        let reading = source.read(Duration::from_secs(10)).unwrap();
        assert!(matches!(reading, Reading::Records(records) if records.count == 1));
    }
    // Half a record is none yet; at the end it is whole.
    sender.send(b"4".to_vec()).unwrap();
    assert!(matches!(source.read(Duration::ZERO), Ok(Reading::Idle)));
    drop(sender);
    let reading = source.read(Duration::from_secs(10)).unwrap();
    assert!(matches!(reading, Reading::Records(records) if records.count == 1));
    let reading = source.read(Duration::from_secs(10)).unwrap();
    assert!(matches!(reading, Reading::End));
}

#[test]
fn what_a_live_source_lacks_is_an_error_when_it_shows() {
    let (sender, mut source) = live(Format::Csv, &arguments(&[("n", "int64")], &[]));
    sender.send(b"m\n1\n".to_vec()).unwrap();
    let error = source.read(Duration::from_secs(10)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "live, record 1: there is no column \"n\""
    );
}

#[test]
fn what_zeek_writes_without_a_header_must_be_declared_where_it_cannot_be_looked_at() {
    let options = Options::parse(&arguments(&[], &[]), true).unwrap();
    let lines = b"{\"ts\":1.5}\n".to_vec();
    let input = Input::Direct(Box::new(Pieces(VecDeque::from([lines]))));
    let source = RecordSource::open("live".into(), input, Format::Zeek, options, &context());
    assert_eq!(source.unwrap_err().parameter, "schema");
}

fn any_format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Csv), Just(Format::Jsonl), Just(Format::Zeek)]
}

fn any_input() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"#fields\ta\tb\n#types\ttime\tint\n".to_vec()),
        Just(b"{\"a\":1,\"b\":{\"c\":[]}}\n".to_vec()),
        Just(b"a,b\n".to_vec()),
        Just(b"1970-01-01T00:00:00Z".to_vec()),
        proptest::collection::vec(
            proptest::sample::select(b"\",\t\n\r-+.0189eE:TZ{}[]\\#".to_vec()),
            0..12
        ),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_and_never_panic(
        format in any_format(),
        input in any_input(),
        size in 1_usize..40,
        is_declared in any::<bool>(),
        is_timed in any::<bool>(),
    ) {
        let schema: &[_] = if is_declared { &[("a", "timestamp"), ("b", "float64")] } else { &[] };
        let time: &[_] = if is_timed { &[("field", "a"), ("unit", "ms")] } else { &[] };
        let options = arguments(schema, time);
        let pieces = input.chunks(size).map(<[u8]>::to_vec).collect();
        let cut = open(format, &options, pieces).map(drain);
        prop_assert_eq!(cut, open(format, &options, vec![input]).map(drain));
    }
}
