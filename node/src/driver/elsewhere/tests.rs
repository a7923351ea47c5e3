//! Where sinks of others write, and how much.

use super::super::open::tests::{ELSEWHERE, opener};
use super::*;
use crate::connector::{DISCARD, SINKS};

fn file_kind() -> &'static SinkKind {
    SINKS.iter().find(|kind| kind.name == "file").unwrap()
}

fn place_of(opener: &Opener, sink: &str, path: &str) -> Result<PathBuf, String> {
    let arguments = Arguments::from_iter([("path", Value::from(path))]);
    place(opener, file_kind(), sink, &arguments)
}

#[test]
fn no_name_of_a_file_is_more_than_a_name() {
    let long = "x".repeat(200) + ".csv";
    let cases = [
        ("out.csv", "out.csv"),
        ("/etc/passwd", "passwd"),
        ("../../out.jsonl", "out.jsonl"),
        ("a/..", "rows"),
        ("..", "rows"),
        ("", "rows"),
        ("/", "rows"),
        (".ssh", "ssh"),
        ("-rf.csv", "rf.csv"),
        ("c:\\out.csv", "out.csv"),
        ("zähler n\n\0.csv", "z_hler_n__.csv"),
        (&long, &long[long.len() - NAME_BYTES_MAX..]),
    ];
    for (wanted, expected) in cases {
        assert_eq!(harmless(wanted), expected, "{wanted:?}");
    }
}

#[test]
fn nothing_of_a_plan_leads_out_of_the_folder_for_results() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut opener = opener(ELSEWHERE, Some(data_dir.path()));
    let place = place_of(&opener, "out", "/../../etc/passwd").unwrap();
    let folder = place.parent().unwrap();
    assert!(folder.is_dir());
    let sink = data_dir.path().join(RESULTS);
    assert_eq!(folder.parent().unwrap().parent(), Some(sink.as_path()));
    opener.application.name = "../../../etc".to_owned();
    let refusal = place_of(&opener, "out", "out.csv").unwrap_err();
    assert!(refusal.contains("without a name"), "{refusal}");
}

#[test]
fn a_kind_says_whether_it_goes_elsewhere() {
    static FIXED: SinkKind = SinkKind {
        name: "fixed",
        elsewhere: Elsewhere::Never,
        ..DISCARD
    };
    let data_dir = tempfile::tempdir().unwrap();
    let opener = opener(ELSEWHERE, Some(data_dir.path()));
    let refusal = place(&opener, &FIXED, "out", &Arguments::new()).unwrap_err();
    assert!(refusal.contains("nobody but"), "{refusal}");
    assert!(!data_dir.path().join(RESULTS).exists());
}

#[test]
fn results_of_a_composition_replace_those_before_and_no_others() {
    let data_dir = tempfile::tempdir().unwrap();
    let of = |name: &str, number: u64| {
        let mut opener = opener(ELSEWHERE, Some(data_dir.path()));
        opener.application.name = name.to_owned();
        opener.composition.number = number;
        let place = place_of(&opener, "out", "out.csv").unwrap();
        fs::write(&place, "n\n").unwrap();
        place
    };
    let (first, other) = (of("counts", 7), of("counts-2", 1));
    assert_eq!(of("counts", 7), first, "it is opened again");
    let next = of("counts", 8);
    assert!(!first.exists() && next.exists() && other.exists());
    of("counts", 7);
    assert!(
        next.exists(),
        "who comes late takes nothing from who follows"
    );
}

#[test]
fn what_others_write_here_is_bounded() {
    let data_dir = tempfile::tempdir().unwrap();
    let opener = opener(ELSEWHERE, Some(data_dir.path()));
    for index in 0..FILES_MAX {
        place_of(&opener, &format!("out{index}"), "out.csv").unwrap();
    }
    let refusal = place_of(&opener, "one-more", "out.csv").unwrap_err();
    assert!(refusal.contains("finds no room"), "{refusal}");
    let again = place_of(&opener, "out3", "out.csv").unwrap();

    fs::write(&again, "1234").unwrap();
    let schema = model::Schema::new(vec![model::Field::new("n", model::DataType::Int64)]);
    let rows = RecordBatch::new_empty(engine::columns::to_arrow(&schema.unwrap()));
    let write = |bytes_max: u64| {
        let (sink, place) = (Box::new(Nothing), again.clone());
        Bounded {
            sink,
            place,
            bytes_max,
        }
        .write(&rows)
    };
    write(5).unwrap();
    assert_eq!(write(4).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[derive(Debug)]
struct Nothing;

impl Sink for Nothing {
    fn write(&mut self, _: &RecordBatch) -> Result<(), Error> {
        Ok(())
    }
}
