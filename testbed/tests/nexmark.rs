//! NEXMark queries over a fixed input give the rows that another engine computed, whatever the number of
//! workers and the order in which operators run.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use engine::scheduler::Policy;
use node::run::{self, Ends, Options, Status};
use testbed::bench::nexmark::{QUERIES, Query, rows};

#[test]
fn q0_passes_every_bid() {
    check("q0", 46_000);
}

#[test]
fn q1_converts_every_bid() {
    check("q1", 46_000);
}

#[test]
fn q2_finds_bids_on_some_auctions() {
    check("q2", 193);
}

#[test]
fn q3_joins_sellers_with_what_they_sell() {
    check("q3", 443);
}

#[test]
fn q4_averages_winning_bids_by_category() {
    check("q4", 5);
}

#[test]
fn q5_finds_the_hottest_auctions() {
    check("q5", 29);
}

#[test]
fn q7_finds_the_highest_bids() {
    check("q7", 5);
}

#[test]
fn q8_finds_who_came_and_sells_within_a_window() {
    check("q8", 208);
}

#[test]
fn q11_counts_bids_of_sessions() {
    check("q11", 1_076);
}

#[test]
fn win_count_sums_up_every_second() {
    check("win_count", 50);
}

#[test]
fn every_query_is_held_to_its_rows() {
    let held = [
        "q0",
        "q1",
        "q2",
        "q3",
        "q4",
        "q5",
        "q7",
        "q8",
        "q11",
        "win_count",
    ];
    let names: Vec<&str> = QUERIES.iter().map(|query| query.name).collect();
    assert_eq!(names, held);
}

/// Runs a query with several numbers of workers and every policy; each time its result is what is expected.
fn check(query: &str, row_count: usize) {
    let Some(data) = data() else { return };
    let query = QUERIES.iter().find(|known| known.name == query);
    let query = query.expect("one of the queries");
    let expected = rows::read(&data.join(query.expected)).expect("the expected rows");
    assert_eq!(expected.lines().count(), 1 + row_count, "a header and rows");
    for workers in [1, 2, 5] {
        for policy in Policy::ALL {
            let result = result(query, &data, workers, policy);
            let difference = rows::difference(&result, &expected, query.order);
            let case = format!("{} with {workers} workers, {policy:?}", query.name);
            assert_eq!(difference, None, "{case}");
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
fn result(query: &Query, data: &Path, workers: usize, policy: Policy) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("app.toml");
    std::fs::write(&file, query.application).expect("the application");
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
    rows::read(&folder.path().join("result.csv")).expect("the result")
}

/// Nobody reads how a run of a test goes.
struct Silence;

impl Status for Silence {
    fn say(&mut self, _: &str) {}
}
