//! `bench nexmark`: how many events a core-second is good for, query by query.
//!
//! Each query runs first on the input as it is, where its rows must be those that another engine computed; then on
//! as many copies of it as make the events that are asked for, into nothing. An event is a row that a source of
//! the query reads. What reading and parsing takes is measured by the same sources without operators: what a query
//! takes beyond that is what its operators take, and the edges between them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use model::convert;

use super::child::{self, Account};
use super::report::Report;
use crate::cli::note;

mod input;
pub mod rows;

/// A query, and what it gives.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// Its application file.
    pub application: &'static str,
    /// The file of the expected rows, from the folder of the data.
    pub expected: &'static str,
    /// In which order these stand.
    pub order: Order,
}

/// In which order the rows of a result stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As in what is expected.
    Kept,
    /// In that of event time, where what is expected is sorted by something else.
    Other,
}

macro_rules! query {
    ($name:literal, $expected:literal, $order:ident) => {
        Query {
            name: $name,
            application: include_str!(concat!("../../applications/nexmark/", $name, ".toml")),
            expected: $expected,
            order: Order::$order,
        }
    };
}

/// All queries.
pub const QUERIES: &[Query] = &[
    query!("q0", "bid.csv.gz", Kept),
    query!("q1", "expected/q1.csv.gz", Kept),
    query!("q2", "expected/q2.csv", Kept),
    query!("q3", "expected/q3.csv", Other),
    query!("q4", "expected/q4.csv", Kept),
    query!("q5", "expected/q5.csv", Kept),
    query!("q7", "expected/q7.csv", Kept),
    query!("q8", "expected/q8.csv", Kept),
    query!("q11", "expected/q11.csv", Other),
    query!("win_count", "expected/win_count.csv", Kept),
];

/// The tables of the input.
const TABLES: [&str; 3] = ["person", "auction", "bid"];

/// How many events the input has, of all tables. Source: its description.
const INPUT_EVENTS: u64 = 50_000;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which query; all where it is not given.
    pub query: Option<String>,
    /// How many events there are at least, of all tables.
    pub events: u64,
    /// How often each query is measured.
    pub repeat: u32,
    /// The folder of the input and of what is expected.
    pub data: PathBuf,
    /// With how many workers each is measured.
    pub workers: Vec<NonZeroUsize>,
    /// How applications are run.
    pub run: child::Options,
}

/// Measures; see the module.
///
/// # Errors
/// When the data is not there or something cannot be run. That rows differ is no error, but a claim that does not
/// hold.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let is_asked = |query: &&Query| options.query.as_ref().is_none_or(|name| name == query.name);
    let queries: Vec<&Query> = QUERIES.iter().filter(is_asked).collect();
    let names: Vec<&str> = QUERIES.iter().map(|query| query.name).collect();
    ensure!(
        !queries.is_empty(),
        "no such query; there are {}",
        names.join(", ")
    );
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let bench = Bench {
        options,
        folder: folder.path(),
    };
    let copies = options.events.div_ceil(INPUT_EVENTS);
    note(&format!("making {} events", copies * INPUT_EVENTS));
    for table in TABLES {
        bench.make_input(table, copies)?;
    }
    let mut report = Report::new("nexmark", Vec::new());
    report.count("events", copies * INPUT_EVENTS);
    report.count("turns", u64::from(options.repeat));
    report.count("memory_bytes", options.run.memory_bytes);
    let mut reading: BTreeMap<(String, NonZeroUsize), Vec<Account>> = BTreeMap::new();
    for query in queries {
        for workers in &options.workers {
            let sources = sources(query.application)?;
            let reading = match reading.entry((sources.clone(), *workers)) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(bench.turns(&reading_only(&sources), *workers)?)
                }
            };
            let turns = bench.turns(&into_nothing(query.application), *workers)?;
            put(&mut report, query, *workers, &turns, reading);
            let difference = bench.difference(query, *workers)?;
            if let Some(difference) = &difference {
                note(&format!(
                    "{} with {workers} workers: {difference}",
                    query.name
                ));
            }
            report.claim(&named(query, *workers, "rows_equal"), difference.is_none());
        }
    }
    Ok(report)
}

/// What all runs share.
#[derive(Debug, Clone, Copy)]
struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Puts a table into the folder: as it is, for its rows, and many times, for measuring.
    fn make_input(self, table: &str, copies: u64) -> anyhow::Result<()> {
        let packed = self.options.data.join(format!("{table}.csv.gz"));
        let text = rows::read(&packed).with_context(|| packed.display().to_string())?;
        std::fs::write(self.folder.join(format!("{table}.once.csv")), &text)?;
        let file = File::create(self.folder.join(format!("{table}.csv")))?;
        let mut file = BufWriter::new(file);
        input::repeat(table, &text, copies, &mut file)?;
        file.flush().context("the input")
    }

    /// Runs an application as often as is asked, each time in a process of its own.
    fn turns(self, application: &str, workers: NonZeroUsize) -> anyhow::Result<Vec<Account>> {
        let application = application.replace(".csv.gz\"", ".csv\"");
        (0..self.options.repeat)
            .map(|_| self.run(&application, workers))
            .collect()
    }

    fn run(self, application: &str, workers: NonZeroUsize) -> anyhow::Result<Account> {
        let (file, account) = (
            self.folder.join("app.toml"),
            self.folder.join("account.json"),
        );
        std::fs::write(&file, application)?;
        let options = child::Options {
            workers,
            ..self.options.run
        };
        let mut command = child::application_command(&file, &account, &options)?;
        let status = command.status().context("a process")?;
        ensure!(status.success(), "an application failed: {status}");
        let read = Account::read(&account)?;
        // The next turn must not be taken for this one.
        std::fs::remove_file(&account)?;
        Ok(read)
    }

    /// Where the rows of a query over the input as it is differ from what is expected.
    fn difference(self, query: &Query, workers: NonZeroUsize) -> anyhow::Result<Option<String>> {
        let application = query.application.replace(".csv.gz\"", ".once.csv\"");
        self.run(&application, workers)?;
        let result = rows::read(&self.folder.join("result.csv")).context("the result")?;
        let expected = self.options.data.join(query.expected);
        let expected = rows::read(&expected).with_context(|| expected.display().to_string())?;
        Ok(rows::difference(&result, &expected, query.order))
    }
}

/// The beginning of an application file: all that stands before its operators.
fn sources(application: &str) -> anyhow::Result<String> {
    let begins = application
        .find("[source.")
        .context("an application without sources")?;
    let ends = application
        .find("[operator.")
        .context("an application without operators")?;
    Ok(application[begins..ends].to_owned())
}

/// An application that reads the same and computes nothing.
fn reading_only(sources: &str) -> String {
    let mut application =
        format!("name = \"nexmark-reading\"\n\n[qos]\nlatency = \"1s\"\n\n{sources}");
    for line in sources.lines() {
        let name = line
            .strip_prefix("[source.")
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(name) = name {
            application.push_str(&format!(
                "[sink.{name}_sink]\nfrom = \"{name}\"\nconnector = \"discard\"\n\n"
            ));
        }
    }
    application
}

/// The same application with a sink that takes everything and keeps nothing.
fn into_nothing(application: &str) -> String {
    application.replace(
        "connector = \"file\"\npath = \"result.csv\"",
        "connector = \"discard\"",
    )
}

/// How a figure is called: with one worker by the query alone.
fn named(query: &Query, workers: NonZeroUsize, figure: &str) -> String {
    match workers.get() {
        1 => format!("{}.{figure}", query.name),
        workers => format!("{}.workers_{workers}.{figure}", query.name),
    }
}

/// Puts what some turns took into the report, with and without what reading took.
fn put(
    report: &mut Report,
    query: &Query,
    workers: NonZeroUsize,
    turns: &[Account],
    reading: &[Account],
) {
    let mut spread = |figure: &str, numbers: Vec<f64>| {
        report.spread(&named(query, workers, figure), &numbers);
    };
    let events = |turn: &Account| convert::count_to_f64(turn.rows);
    let each = |of: &dyn Fn(&Account) -> f64| turns.iter().map(of).collect::<Vec<f64>>();
    spread(
        "events_per_core_second",
        each(&|turn| events(turn) / turn.cpu_s),
    );
    spread(
        "events_per_second",
        each(&|turn| events(turn) / turn.wall_s),
    );
    let pairs = turns.iter().zip(reading);
    // Where operators take next to nothing, the difference says nothing but that.
    let beyond = pairs.filter(|(turn, reading)| turn.cpu_s > reading.cpu_s);
    let beyond = beyond.map(|(turn, reading)| events(turn) / (turn.cpu_s - reading.cpu_s));
    spread("operators.events_per_core_second", beyond.collect());
    let reading = reading.iter().map(|turn| events(turn) / turn.cpu_s);
    spread("reading.events_per_core_second", reading.collect());
    spread(
        "ledger_bytes_peak",
        turns
            .iter()
            .filter_map(|turn| turn.ledger_peak_bytes)
            .map(convert::count_to_f64)
            .collect(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_can_be_read_alone_and_into_nothing() {
        for query in QUERIES {
            let sources = sources(query.application).unwrap();
            let reading = reading_only(&sources);
            let count = |text: &str, word: &str| text.matches(word).count();
            assert_eq!(count(&reading, "[operator."), 0, "{}", query.name);
            assert_eq!(
                count(&reading, "[sink."),
                count(query.application, "[source.")
            );
            assert_eq!(count(&into_nothing(query.application), "result.csv"), 0);
            assert_eq!(count(&into_nothing(query.application), "\"discard\""), 1);
        }
    }
}
