//! Application files: good ones become plans, bad ones say what is wrong where.

mod kinds;
mod mistakes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::plan::Stream;
use model::{
    Clock, DataType, EventTime, Field, Instant, NodeId, OnInfeasible, Origin, Scalar, Schema,
    SourceName, StreamName, Value,
};
use node::application::{self, Application, Host, Problems, Source};
use node::node::Publication;
use proptest::prelude::*;

use kinds::KINDS;

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

fn host(streams: Option<BTreeMap<String, Publication>>) -> Host {
    Host {
        owner: NodeId([1; 32]),
        node: NodeId([2; 32]),
        streams,
        clock: Arc::new(Stopped),
        epoch: EventTime(0),
    }
}

fn load_path(path: &Path) -> Result<Application, Problems> {
    application::load(path, &KINDS, &host(None))
}

fn load_with(
    text: &str,
    streams: Option<BTreeMap<String, Publication>>,
) -> Result<Application, Problems> {
    application::load_text(text, Path::new("app.toml"), &KINDS, &host(streams))
}

fn load(bytes: impl AsRef<[u8]>) -> Result<Application, Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.toml");
    std::fs::write(&path, bytes).expect("a file");
    std::fs::write(folder.path().join("key"), "s3cret\n").expect("a file");
    load_path(&path).map_err(|mut problems| {
        for problem in &mut problems.problems {
            problem.file = "app.toml".to_owned();
        }
        problems
    })
}

/// What is said of a file that is not good.
#[track_caller]
fn said(text: impl AsRef<[u8]>) -> String {
    match load(text) {
        Ok(application) => panic!("this is no good file, and yet: {:?}", application.plan),
        Err(problems) => problems.to_string(),
    }
}

const GOOD: &str = r#"
name = "intrusion"

[qos]
latency = "250ms"
quantile = 0.95
replicas = 1
on_infeasible = "wait"

[source.flows]
connector = "rows"
path = "a-${file:key}"
schema = { state = "string", src = "string", bytes = "int64" }
time = { out_of_order = "2s", field = "ts" }
speed = 2
overflow = "drop-oldest"
rate = 1e3

[operator.both]
use = "union"
from = ["syn", "flows"]

[operator.syn]
use = "filter"
from = "flows"
where = "state"
cost = "80ns"
selectivity = 0.25
place = { label = { site = "a" } }

[sink.out]
from = "both"
connector = "void"
token = "${env:CARGO_PKG_NAME}"

[sink.bad]
from = "flows.bad"
connector = "void"
"#;

const PUBLISHED: &str = r#"
name = "reader"
[source.flows]
stream = "lab/flows"
[sink.out]
from = "flows"
connector = "void"
"#;

#[test]
fn a_published_stream_is_bound_to_who_publishes_it_or_refused() {
    assert_eq!(
        application::published_names(PUBLISHED),
        ["lab/flows".to_owned()]
    );
    assert!(application::published_names("source = 3 = [").is_empty());
    assert!(!application::names_hosts(PUBLISHED));
    assert!(application::names_hosts(
        "operator.by_page = { place = { node = \"n3\" } }"
    ));
    let refused = load(PUBLISHED).expect_err("there is no overlay");
    assert!(refused.to_string().contains("need an overlay"), "{refused}");

    let schema = Schema::new(vec![Field::new("src", DataType::Utf8)]).expect("one column");
    let publisher = NodeId([7; 32]);
    let publication = Publication {
        name: "lab/flows".to_owned(),
        stream: StreamName::of_source(&SourceName::Published {
            publisher,
            name: "lab/flows".to_owned(),
        }),
        origin: Origin(5),
        outputs: vec![("out".to_owned(), schema.clone())],
        publisher,
        rate_hz: Some(20.0),
        row_bytes: None,
        live: None,
    };
    let streams = BTreeMap::from([("lab/flows".to_owned(), publication.clone())]);
    let loaded =
        load_with(PUBLISHED, Some(streams)).unwrap_or_else(|problems| panic!("{problems}"));
    let stream = Stream::Source(0, 0);
    assert_eq!(loaded.plan.stream_name(stream), publication.stream);
    assert_eq!(loaded.plan.schema(stream), &schema);
    assert_eq!(loaded.sources[0].rate_hz(), Some(20.0));
    let unknown = load_with(PUBLISHED, Some(BTreeMap::new())).expect_err("nobody publishes it");
    assert!(
        unknown.to_string().contains("nobody publishes"),
        "{unknown}"
    );
}

#[test]
fn a_good_file_is_a_plan_with_all_that_belongs_to_it() {
    let application = load(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    let plan = &application.plan;
    assert_eq!(plan.application(), "intrusion");
    assert_eq!(plan.qos().latency, Duration::from_millis(250));
    assert_eq!(plan.qos().quantile.to_string(), "0.95");
    assert_eq!(plan.qos().replicas, 1);
    assert_eq!(plan.qos().on_infeasible, OnInfeasible::Wait);
    assert_eq!(plan.qos().rows_per_second, None);
    let metered = GOOD.replace("on_infeasible = \"wait\"", "rows_per_second = 5e3");
    let metered = load(metered).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(metered.plan.qos().rows_per_second, Some(5000.0));

    let Source::Inline(source) = &application.sources[0] else {
        panic!("the source has a connector");
    };
    let text = |text: &str| Some(Value::from(text));
    assert_eq!(source.arguments.find("path").cloned(), text("a-s3cret"));
    assert_eq!(source.arguments.find("speed").cloned(), text("2"));
    assert_eq!(
        source.arguments.find("overflow").cloned(),
        text("drop-oldest")
    );
    let time = vec![
        ("field".to_owned(), Scalar::from("ts")),
        ("out_of_order".to_owned(), Scalar::Micros(2_000_000)),
    ];
    assert_eq!(source.arguments.find("time"), Some(&Value::Table(time)));
    assert_eq!(source.arguments.find("connector"), None);
    assert_eq!(source.rate_hz, Some(1_000.0));

    // An operator stands behind what it reads, whatever the order of the file.
    let names: Vec<&str> = plan.operators().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["syn", "both"]);
    let (syn, both) = (&application.operators[0], &application.operators[1]);
    assert_eq!((syn.kind.name, both.kind.name), ("filter", "union"));
    assert_eq!(syn.cost, Some(Duration::from_nanos(80)));
    assert_eq!(syn.selectivity, Some(0.25));
    assert_eq!(both.cost, None);
    assert!(plan.operators()[1].commutative);

    let sinks: Vec<(&str, Stream)> = plan
        .sinks()
        .iter()
        .map(|sink| (sink.name.as_str(), sink.input))
        .collect();
    let expected = [
        ("out", Stream::Operator(1, 0)),
        ("bad", Stream::Source(0, 1)),
    ];
    assert_eq!(sinks, expected);
    assert_eq!(application.sinks[1].schema, engine::intake::bad_schema());
    let package = std::env::var("CARGO_PKG_NAME").expect("cargo says which package it tests");
    assert_eq!(
        application.sinks[0].arguments.find("token").cloned(),
        text(&package)
    );
    assert_eq!(application.remarks.len(), 3, "{:?}", application.remarks);
}

#[test]
fn an_operator_of_two_streams_reads_them_in_their_order() {
    let meet = |from: &str| {
        let given = "where = \"state\"\n";
        let one = format!("use = \"filter\"\nfrom = \"flows\"\n{given}");
        let two = format!(
            "use = \"meet\"\nfrom = {from}\ninterval = {{ upper = \"1s\", lower = \"-1.5s\" }}\n"
        );
        let text = GOOD.replace(&one, &two);
        assert_ne!(text, GOOD);
        load(text)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .plan
    };
    let plan = meet("[\"flows\", \"flows\"]");
    let operator = &plan.operators()[0];
    assert_eq!(operator.inputs, [Stream::Source(0, 0); 2]);
    assert!(!operator.commutative);
    let interval = vec![
        ("lower".to_owned(), Scalar::Micros(-1_500_000)),
        ("upper".to_owned(), Scalar::Micros(1_000_000)),
    ];
    assert_eq!(
        operator.parameters.find("interval"),
        Some(&Value::Table(interval))
    );
}

#[test]
fn the_order_of_keys_line_ends_and_a_mark_do_not_matter() {
    let name = |text: &str| {
        let plan = load(text)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .plan;
        plan.stream_name(Stream::Operator(1, 0))
    };
    let shuffled = GOOD.replace(
        "use = \"filter\"\nfrom = \"flows\"\nwhere = \"state\"",
        "where = \"state\"\nfrom = \"flows\"\nuse = \"filter\"",
    );
    assert_ne!(shuffled, GOOD);
    assert_eq!(name(&shuffled), name(GOOD));
    let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(name(&windows), name(GOOD));
}

/// A file that is good but for what is replaced in it.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old:?} stands in the good file");
    GOOD.replacen(old, new, 1)
}

/// All that is wrong with a file, at once and in its order.
#[test]
fn all_mistakes_are_shown_at_once() {
    let text = r#"name = "intrusion"
colour = "red"

[qos]
latency = "fast"
replicas = 10s

[source.flows]
connector = "rows"
schema = { state = "string" }
speed = -1

[source.unread]
connector = "rows"
schema = { a = "string" }

[operator.syn]
use = "filter"
from = "elsewhere"
where = "state"

[operator.a]
use = "filter"
from = "b"
where = "x"

[operator.b]
use = "filter"
from = "a"
whre = "x"

[operator.tail]
use = "pick"
from = "unread.out"
select = { x = "a", y = "b" }

[sink.out]
from = "tail.late"
connector = "nowhere"
"#;
    let problems = load(text).expect_err("nearly all of it is wrong");
    let shown: Vec<(usize, &str)> = problems
        .problems
        .iter()
        .map(|problem| {
            let line = problem.place.as_ref().map_or(0, |place| place.line);
            (line, problem.message.as_str())
        })
        .collect();
    let expected = [
        (2, "unknown key \"colour\""),
        (5, "\"fast\" is no time span: there is no number"),
        (6, "string values must be quoted"),
        (11, "\"speed\" cannot be the number -1"),
        (19, "unknown stream \"elsewhere\""),
        (24, "these operators read one another: a -> b -> a"),
        (30, "unknown key \"whre\""),
        (35, "unknown column \"b\""),
        (39, "unknown sink connector \"nowhere\""),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_is_no_application_file_is_told_plainly() {
    let large = "#".repeat(application::FILE_BYTES_MAX + 1);
    let cases: [(&[u8], &str); 8] = [
        (
            b"",
            "app.toml: the file is empty\n  expected an application: name = \"…\" and tables",
        ),
        (
            b"\xef\xbb\xbf \r\n\t\n",
            "app.toml: the file is empty\n  expected an application: name = \"…\" and tables",
        ),
        (
            large.as_bytes(),
            "app.toml: the file is larger than 1048576 bytes\n  expected an application file",
        ),
        (
            b"name = 'x'\nb = 'a\xffb'\n",
            "app.toml:2:7: byte 0xff is not UTF-8\n  2 | b = 'a\u{fffd}b'\n    |       ^\n  expected text in UTF-8",
        ),
        (
            b"\xef\xbb\xbf\xff",
            "app.toml:1:1: byte 0xff is not UTF-8\n  1 | \u{fffd}\n    | ^\n  expected text in UTF-8",
        ),
        (
            b"\xff\xfea\0b\0",
            "app.toml:1:1: the file is UTF-16, not UTF-8\n  1 | \u{fffd}\u{fffd}a\\0b\\0\n    | ^\n  expected text in UTF-8",
        ),
        (
            b"\xef\xbb\xbfname = 7\r\n[source.a]\r\n[sink.b]\r\n",
            "app.toml:1:8: the name is not text\n  1 | name = 7\n    |        ^\n  expected text in quotes: a letter, then letters, digits, \"_\" or \"-\", at most 64 in all",
        ),
        (
            b"name = 'x'",
            "app.toml: nothing enters the application: it has no source\n  expected a table [source.NAME]\napp.toml: nothing leaves the application: it has no sink\n  expected a table [sink.NAME]",
        ),
    ];
    for (bytes, expected) in cases {
        let said = said(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        assert!(said.starts_with(expected), "{shown:?}:\n{said}");
    }
}

#[test]
fn what_cannot_be_read_is_told_plainly() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = |path: &Path| {
        let problems = load_path(path).expect_err("it cannot be read");
        let problem = problems.problems[0].clone();
        assert_eq!(problem.file, path.display().to_string());
        problem.message
    };
    assert_eq!(said(folder.path()), "this is a directory");
    assert_eq!(said(&folder.path().join("none")), "there is no such file");
    assert_eq!(said(Path::new("")), "there is no such file");
}

#[test]
fn hostile_files_are_refused_in_few_words() {
    let size = application::FILE_BYTES_MAX - 64;
    let repeated = |piece: &str| piece.repeat(size / piece.len());
    let many = |head: &str, piece: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for number in 0.. {
            let next = piece(number);
            if text.len() + next.len() > size {
                break;
            }
            text += &next;
        }
        text
    };
    for text in [
        repeated("a\n"),
        repeated("\u{1}"),
        repeated("["),
        format!("a={}", repeated("{a=")),
        format!("{}a=1", repeated("a.")),
        format!("a = '{}'", repeated("é")),
        many("", &|number| format!("k{number}=1\n")),
        many("", &|number| format!("[operator.o{number}]\n")),
        many("", &|number| {
            format!("[sink.o{number}]\nfrom='x{number}'\n")
        }),
        many("[sink.o]\nfrom=[", &|number| format!("'x{number}',")),
        many("[operator.o]\nuse='pick'\nselect={", &|number| {
            format!("x{number}='',")
        }),
    ] {
        let problems = load(&text).expect_err("no application");
        assert!(problems.problems.len() <= application::PROBLEMS_MAX);
        assert!(
            problems.to_string().len() < 1 << 20,
            "what is said stays short"
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        if let Err(problems) = load(&text) {
            prop_assert!(!problems.to_string().is_empty());
        }
        let _ = load(bytes);
    }

    /// Something cut out of a good file, put in elsewhere, or replaced.
    #[test]
    fn no_mutation_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\[\\]{}=\"'.,#\n\r\ta-f0-9é$-]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (index, gone, put) in edits {
            let start = index.index(text.len());
            let end = (start + gone).min(text.len());
            text.splice(start..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = load(&text) {
            for problem in &problems.problems {
                if let Some(place) = &problem.place {
                    let line = text.split('\n').nth(place.line - 1).expect("the line is there");
                    prop_assert!(place.column <= line.chars().count() + 1, "{}", problem);
                }
            }
        }
    }
}
