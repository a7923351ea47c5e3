//! NEXMark queries over a fixed input give the rows that another engine computed, whatever the number of
//! workers and the order in which operators run.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use engine::scheduler::Policy;
use flate2::read::MultiGzDecoder;
use node::run::{self, Ends, Options, Status};

/// What expected floats, which are written with 6 decimals, may be off.
const DECIMALS: f64 = 1e-6;

#[test]
fn q1_converts_every_bid() {
    check("q1", "q1.csv.gz", 46_000);
}

#[test]
fn q2_finds_bids_on_some_auctions() {
    check("q2", "q2.csv", 193);
}

#[test]
fn q3_joins_sellers_with_what_they_sell() {
    check_sorted("q3", "q3.csv", 443);
}

#[test]
fn q8_finds_who_came_and_sells_within_a_window() {
    check("q8", "q8.csv", 208);
}

#[test]
fn win_count_sums_up_every_second() {
    check("win_count", "win_count.csv", 50);
}

/// Runs a query with several numbers of workers and both policies; each time its result is what is expected.
fn check(query: &str, expected: &str, row_count: usize) {
    check_rows(query, expected, row_count, str::to_owned);
}

/// The same, for a query whose rows are expected in another order than they leave in.
fn check_sorted(query: &str, expected: &str, row_count: usize) {
    check_rows(query, expected, row_count, |text| {
        let mut lines: Vec<&str> = text.lines().collect();
        // The names of the columns stay in front.
        lines[1..].sort_unstable();
        lines.join("\n")
    });
}

fn check_rows(query: &str, expected: &str, row_count: usize, ordered: fn(&str) -> String) {
    let Some(data) = data() else { return };
    let expected = read(&data.join("expected").join(expected));
    assert_eq!(expected.lines().count(), 1 + row_count, "a header and rows");
    for workers in [1, 2, 5] {
        for policy in Policy::ALL {
            let result = result(query, &data, workers, policy);
            let case = format!("{query} with {workers} workers, {policy:?}");
            assert_same_rows(&case, &ordered(&result), &ordered(&expected));
        }
    }
}

/// The folder of the input and of what is expected. Where it is absent, that is said, and nothing is tested.
fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = match std::env::var_os("SYNERGY_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => root.join("../shared/data"),
    };
    let folder = data.join("nexmark/reference_dev");
    if folder.is_dir() {
        return Some(folder.canonicalize().expect("the folder is there"));
    }
    // Not by a macro: the test runner would keep what a test that passes prints.
    writeln!(
        std::io::stderr(),
        "skipped: {} is not there; SYNERGY_DATA names the folder that holds it",
        folder.display()
    )
    .expect("standard error is open");
    None
}

/// Runs a query in a folder of its own, where the input and the application stand side by side.
fn result(query: &str, data: &Path, workers: usize, policy: Policy) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let applications = Path::new(env!("CARGO_MANIFEST_DIR")).join("applications/nexmark");
    let file = folder.path().join("app.toml");
    std::fs::copy(applications.join(format!("{query}.toml")), &file).expect("the application");
    for input in ["person.csv.gz", "auction.csv.gz", "bid.csv.gz"] {
        symlink(data.join(input), folder.path().join(input)).expect("a link");
    }
    let options = Options {
        file,
        duration: None,
        limit: None,
        memory_bytes: 64 << 20,
        workers,
        policy,
    };
    let report = run::run(&options, Ends::default(), &mut Silence).expect("the query runs");
    let unheard = |component: &engine::report::ComponentReport| component.bad + component.late;
    assert_eq!(report.components.iter().map(unheard).sum::<u64>(), 0);
    read(&folder.path().join("result.csv"))
}

/// Nobody reads how a run of a test goes.
struct Silence;

impl Status for Silence {
    fn say(&mut self, _: &str) {}
}

/// The text of a file, unpacked if its name says that it is packed.
fn read(path: &Path) -> String {
    let mut file = File::open(path).expect("the file is there");
    let mut text = String::new();
    let read = match path.extension().is_some_and(|extension| extension == "gz") {
        true => MultiGzDecoder::new(file).read_to_string(&mut text),
        false => file.read_to_string(&mut text),
    };
    read.expect("text");
    text
}

fn assert_same_rows(case: &str, result: &str, expected: &str) {
    for (index, (result, expected)) in result.lines().zip(expected.lines()).enumerate() {
        let mut cells = result.split(',').zip(expected.split(','));
        assert!(
            result.split(',').count() == expected.split(',').count()
                && cells.all(|(result, expected)| is_same_cell(result, expected)),
            "{case}, row {index}: {result:?} is not {expected:?}"
        );
    }
    let count = |text: &str| text.lines().count();
    assert_eq!(count(result), count(expected), "{case}: rows");
}

/// Whether two cells hold the same; only numbers with a decimal point may be off, by what it leaves out.
fn is_same_cell(result: &str, expected: &str) -> bool {
    match (result.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(result), Ok(number)) if expected.contains('.') => (result - number).abs() <= DECIMALS,
        _ => result == expected,
    }
}

#[test]
fn cells_differ_where_they_should() {
    assert!(is_same_cell("1.50000000001", "1.500000"));
    assert!(!is_same_cell("1.500002", "1.500000"));
    assert!(!is_same_cell("15", "14"));
    assert!(!is_same_cell("", "0.000000"));
}
