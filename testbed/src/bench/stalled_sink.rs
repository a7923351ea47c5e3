//! `bench stalled-sink`: what happens while nobody reads the results of a fast source.
//!
//! The application writes most rows of a file to a pipe. The other end is read up to the first row, then not
//! at all for a time, then to the end. All the while memory has to stay within what was given, the source has
//! to wait, and in the end every row must have arrived, once and in order.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use model::convert;
use serde::Deserialize;

use super::child::{self, Account};
use super::input::{self, Row};
use super::machine::Sample;
use super::report::Report;
use super::watch::Watch;
use crate::cli::note;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many rows the file has.
    pub rows: u64,
    /// For how long nobody reads.
    pub stall: Duration,
    /// How the application is run.
    pub run: child::Options,
}

/// How often the process is looked at. Unit: time. Source: guess; often enough to see a row pile up.
const INTERVAL: Duration = Duration::from_millis(100);

/// What a process may occupy beyond the memory for data: the program, its threads, what is being worked on.
///
/// Unit: bytes. Source: guess; what is promised.
const RESIDENT_EXTRA_BYTES: u64 = 40 << 20;

/// Measures; see the module.
///
/// # Errors
/// When something cannot be run, or the application ends while nobody reads. A bound that was passed or a row
/// that is missing is no error, but a claim that does not hold.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let path = |name: &str| folder.path().join(name);
    let (application, rows, account) = (path("app.toml"), path("rows.csv"), path("account.json"));
    std::fs::write(
        &application,
        include_str!("../../applications/bench/stalled_sink.toml"),
    )?;
    note(&format!("making {} rows", options.rows));
    let generated = input::rows(options.run.seed).take(convert::index(options.rows));
    let mut expected = Arrived::default();
    input::write(&rows, generated, |row| {
        if row.value % 10 != 0 {
            expected.add(&ResultRow::from(row));
        }
    })
    .context("the rows")?;
    let input_bytes = std::fs::metadata(&rows)?.len();

    let mut child = child::application_command(&application, &account, &options.run)?
        .stdout(Stdio::piped())
        .spawn()
        .context("a process")?;
    let stdout = child.stdout.take().context("a pipe was asked for")?;
    let watch = Watch::start(child, INTERVAL)?;
    let (first, has_come) = mpsc::sync_channel(1);
    let (go_on, may_go_on) = mpsc::sync_channel(1);
    let reader = thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || read(stdout, &first, &may_go_on))?;
    if has_come.recv().is_err() {
        join(reader)?;
        anyhow::bail!("no row has arrived");
    }
    note(&format!(
        "rows arrive; nobody reads for {:?}",
        options.stall
    ));

    let (mut stalled, mut afterwards) = (Watched::default(), Watched::default());
    watch.during(options.stall, |sample| stalled.add(sample))?;
    note("reading on");
    // A reader that has failed says so below.
    let _ = go_on.send(());
    watch.until_end(|sample| afterwards.add(sample))?;
    let arrived = join(reader)?;
    let seen = stalled
        .resident_bytes_max
        .max(afterwards.resident_bytes_max);
    let account = Account::read(&account)?.with_resident(seen);

    let memory = options.run.memory_bytes;
    let resident_limit = memory.saturating_add(RESIDENT_EXTRA_BYTES);
    let ledger_peak = account.ledger_peak_bytes.unwrap_or(u64::MAX);
    let first = stalled.first.context("the process was never looked at")?;
    let last = stalled.last.context("the process was never looked at")?;
    let mut report = Report::new("stalled-sink", vec![options.run.seed]);
    report.count("rows", options.rows);
    report.number("stall_s", options.stall.as_secs_f64());
    report.count("samples", stalled.count + afterwards.count);
    report.count("memory_bytes", memory);
    report.count("ledger_bytes_peak", ledger_peak);
    report.count("resident_bytes_limit", resident_limit);
    report.count("resident_bytes_peak", account.resident_peak_bytes);
    report.count("resident_bytes_stall_begin", first.resident_bytes);
    report.count("resident_bytes_stall_peak", stalled.resident_bytes_max);
    report.count("resident_bytes_stall_end", last.resident_bytes);
    report.number(
        "read_fraction_stall_end",
        convert::count_to_f64(last.read_bytes) / convert::count_to_f64(input_bytes),
    );
    report.count("rows_expected", expected.count);
    report.count("rows_arrived", arrived.count);
    report.claim("ledger_within_memory", ledger_peak <= memory);
    report.claim(
        "resident_within_limit",
        account.resident_peak_bytes <= resident_limit,
    );
    report.claim("source_waited", last.read_bytes < input_bytes);
    report.claim("rows_equal", arrived == expected);
    Ok(report)
}

/// What a thread came to; its panic is the caller's.
fn join(thread: JoinHandle<anyhow::Result<Arrived>>) -> anyhow::Result<Arrived> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// What was seen of a process over some time.
#[derive(Debug, Default)]
struct Watched {
    count: u64,
    first: Option<Sample>,
    last: Option<Sample>,
    resident_bytes_max: u64,
}

impl Watched {
    fn add(&mut self, sample: Sample) {
        self.count += 1;
        self.first.get_or_insert(sample);
        self.last = Some(sample);
        self.resident_bytes_max = self.resident_bytes_max.max(sample.resident_bytes);
    }
}

/// A row as it leaves the application; its price is left out, being no whole number.
#[derive(Debug, Deserialize)]
struct ResultRow {
    key: u64,
    value: u64,
}

impl From<&Row> for ResultRow {
    fn from(row: &Row) -> Self {
        Self {
            key: row.key,
            value: row.value,
        }
    }
}

/// How many rows there were, and a hash of them in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Arrived {
    count: u64,
    hash: u64,
}

impl Arrived {
    /// Hashes a row behind the others, as FNV-1a does bytes: rows in another order come to another hash.
    fn add(&mut self, row: &ResultRow) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        for number in [self.count, row.key, row.value] {
            self.hash = (self.hash ^ number).wrapping_mul(PRIME);
        }
        self.count += 1;
    }
}

/// Reads a row, says so, waits for the word to go on, and reads the rest.
fn read(
    stdout: ChildStdout,
    first: &SyncSender<()>,
    may_go_on: &Receiver<()>,
) -> anyhow::Result<Arrived> {
    let mut arrived = Arrived::default();
    let mut lines = BufReader::new(stdout);
    let mut line = String::new();
    while lines.read_line(&mut line).context("the results")? > 0 {
        arrived.add(&serde_json::from_str(&line).context("a row of the results")?);
        line.clear();
        if arrived.count == 1 {
            first.send(()).context("nobody waits for rows")?;
            may_go_on.recv().context("nobody wants more rows")?;
        }
    }
    Ok(arrived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(rows: &[(u64, u64)]) -> Arrived {
        let mut arrived = Arrived::default();
        for (key, value) in rows {
            arrived.add(&ResultRow {
                key: *key,
                value: *value,
            });
        }
        arrived
    }

    #[test]
    fn rows_that_are_lost_doubled_or_in_another_order_are_seen() {
        let rows = [(0, 0), (1, 2), (3, 4)];
        let all = arrived(&rows);
        assert_eq!(all, arrived(&rows));
        for others in [
            &[(0, 0), (1, 2)][..],
            &[(0, 0), (0, 0), (1, 2), (3, 4)],
            &[(1, 2), (0, 0), (3, 4)],
            &[(0, 0), (1, 2), (4, 3)],
        ] {
            assert_ne!(all, arrived(others));
        }
    }
}
