//! `bench engine`: how many rows a core-second is good for, beside a plain loop that does the same.
//!
//! A file goes through a filter, a map and a window of one second by key, into a file. The application and
//! the loop take turns, each in a process of its own, and must write the same rows each time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use model::convert;

use super::child::{self, Account};
use super::input;
use super::report::Report;
use super::watch::Watch;
use crate::cli::note;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many rows the file has.
    pub rows: u64,
    /// How often both are measured.
    pub repeat: u32,
    /// How the application is run.
    pub run: child::Options,
}

/// How often a process is looked at.
///
/// Unit: time. Source: guess; a look takes some 50 us, so that it costs a four-hundredth of a core.
const INTERVAL: Duration = Duration::from_millis(20);

/// By which fraction sums may differ: the engine may add in another order than the loop.
///
/// Unit: fraction. Source: a thousand additions of an error of 2^-53 each, with room for a thousand more.
const SUM_TOLERANCE: f64 = 1e-9;

/// Measures; see the module.
///
/// # Errors
/// When something cannot be run. That results differ is no error, but a claim that does not hold.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let path = |name: &str| folder.path().join(name);
    let (application, rows) = (path("app.toml"), path("rows.csv"));
    let (results, plain_results) = (path("results.csv"), path("plain.csv"));
    let account = path("account.json");
    std::fs::write(
        &application,
        include_str!("../../applications/bench/engine.toml"),
    )?;
    note(&format!("making {} rows", options.rows));
    let generated = input::rows(options.run.seed).take(convert::index(options.rows));
    input::write(&rows, generated, |_| {}).context("the rows")?;
    let input_bytes = std::fs::metadata(&rows)?.len();

    let (mut engine, mut plain) = (Vec::new(), Vec::new());
    let mut are_equal = true;
    for turn in 1..=options.repeat {
        let command = child::application_command(&application, &account, &options.run)?;
        let measured = Turn::measure(command, &account, input_bytes)?;
        let command = child::plain_command(&rows, &plain_results, &account)?;
        let beside = Turn::measure(command, &account, input_bytes)?;
        let is_equal = same_rows(&results, &plain_results)?;
        note(&format!(
            "turn {turn} of {}: {:.0} rows a core-second, plain loop {:.0}, results {}",
            options.repeat,
            measured.per_core_second(),
            beside.per_core_second(),
            if is_equal { "equal" } else { "DIFFERENT" },
        ));
        are_equal &= is_equal;
        engine.push(measured);
        plain.push(beside);
    }
    Ok(report(options, &engine, &plain, are_equal))
}

/// One run of the application or the loop.
#[derive(Debug)]
struct Turn {
    account: Account,
    /// The memory that the process occupied when it had read a tenth of the input, if it was looked at.
    resident_bytes_at_tenth: Option<u64>,
    /// The memory that the process occupied when it was last looked at.
    resident_bytes_at_end: Option<u64>,
}

impl Turn {
    fn measure(mut command: Command, account: &Path, input_bytes: u64) -> anyhow::Result<Self> {
        let watch = Watch::start(command.spawn().context("a process")?, INTERVAL)?;
        let (mut at_tenth, mut at_end, mut peak) = (None, None, 0);
        watch.until_end(|sample| {
            peak = peak.max(sample.resident_bytes);
            if sample.read_bytes >= input_bytes / 10 {
                at_tenth.get_or_insert(sample.resident_bytes);
                at_end = Some(sample.resident_bytes);
            }
        })?;
        let turn = Self {
            account: Account::read(account)?.with_resident(peak),
            resident_bytes_at_tenth: at_tenth,
            resident_bytes_at_end: at_end,
        };
        // The next turn must not be taken for this one.
        std::fs::remove_file(account)?;
        Ok(turn)
    }

    fn per_core_second(&self) -> f64 {
        convert::count_to_f64(self.account.rows) / self.account.cpu_s
    }

    fn per_second(&self) -> f64 {
        convert::count_to_f64(self.account.rows) / self.account.wall_s
    }

    /// By which factor the memory grew from a tenth of the input to its end: 1 where it is flat.
    fn growth(&self) -> Option<f64> {
        let begin = convert::count_to_f64(self.resident_bytes_at_tenth?);
        Some(convert::count_to_f64(self.resident_bytes_at_end?) / begin)
    }
}

fn report(options: &Options, engine: &[Turn], plain: &[Turn], are_equal: bool) -> Report {
    let mut report = Report::new("engine", vec![options.run.seed]);
    report.count("rows", options.rows);
    report.count("turns", u64::from(options.repeat));
    report.count("workers", convert::size(options.run.workers.get()));
    report.count("memory_bytes", options.run.memory_bytes);
    for (series, turns) in [("engine", engine), ("plain", plain)] {
        let mut spread = |figure: &str, of: &dyn Fn(&Turn) -> Option<f64>| {
            let numbers: Vec<f64> = turns.iter().filter_map(of).collect();
            report.spread(&format!("{series}.{figure}"), &numbers);
        };
        let bytes = |bytes: Option<u64>| bytes.map(convert::count_to_f64);
        spread("rows_per_core_second", &|turn| Some(turn.per_core_second()));
        spread("rows_per_second", &|turn| Some(turn.per_second()));
        spread("cpu_s", &|turn| Some(turn.account.cpu_s));
        spread("wall_s", &|turn| Some(turn.account.wall_s));
        spread("ledger_bytes_peak", &|turn| {
            bytes(turn.account.ledger_peak_bytes)
        });
        spread("resident_bytes_peak", &|turn| {
            bytes(Some(turn.account.resident_peak_bytes))
        });
        spread("resident_bytes_at_tenth", &|turn| {
            bytes(turn.resident_bytes_at_tenth)
        });
        spread("resident_bytes_at_end", &|turn| {
            bytes(turn.resident_bytes_at_end)
        });
    }
    let growths: Vec<f64> = engine.iter().filter_map(Turn::growth).collect();
    report.spread("engine.resident_end_over_tenth", &growths);
    let ratios: Vec<f64> = engine
        .iter()
        .zip(plain)
        .map(|(engine, plain)| engine.per_core_second() / plain.per_core_second())
        .collect();
    report.spread("engine_over_plain_rows_per_core_second", &ratios);
    let read_all = |turn: &Turn| turn.account.rows == options.rows;
    let is_within = |turn: &Turn| {
        turn.account
            .ledger_peak_bytes
            .is_some_and(|bytes| bytes <= options.run.memory_bytes)
    };
    report.claim("ledger_within_memory", engine.iter().all(is_within));
    report.claim("rows_read", engine.iter().chain(plain).all(read_all));
    report.claim("results_equal", are_equal);
    report
}

/// Whether two files of results hold the same rows, in the same order.
fn same_rows(engine: &Path, plain: &Path) -> Result<bool, std::io::Error> {
    let lines = |path: &Path| File::open(path).map(|file| BufReader::new(file).lines());
    let (mut engine, mut plain) = (lines(engine)?, lines(plain)?);
    let mut count = 0_u64;
    loop {
        match (engine.next().transpose()?, plain.next().transpose()?) {
            (None, None) => return Ok(count > 1),
            (Some(engine), Some(plain)) if same_row(&engine, &plain) => count += 1,
            _ => return Ok(false),
        }
    }
}

/// Whether two rows of results are the same: all but sums to the letter.
fn same_row(engine: &str, plain: &str) -> bool {
    let (engine, plain): (Vec<&str>, Vec<&str>) =
        (engine.split(',').collect(), plain.split(',').collect());
    engine.len() == plain.len()
        && engine
            .iter()
            .zip(&plain)
            .enumerate()
            .all(|(index, (engine, plain))| {
                engine == plain || index == SUM_COLUMN && is_close(engine, plain)
            })
}

/// Where the sum stands in a row of results. Unit: columns, from 0.
const SUM_COLUMN: usize = 4;

fn is_close(left: &str, right: &str) -> bool {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => (left - right).abs() <= SUM_TOLERANCE * right.abs(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sums_may_differ_and_only_in_their_last_digits() {
        let row = "7,1970-01-01T00:00:00Z,1970-01-01T00:00:01Z,2,136.2,90.8";
        assert!(same_row(row, row));
        assert!(same_row(&row.replace("136.2", "136.20000000000002"), row));
        assert!(!same_row(&row.replace("136.2", "136.2001"), row));
        assert!(!same_row(&row.replace("90.8", "90.80000000000001"), row));
        assert!(!same_row(&row.replace(",2,", ",3,"), row));
        assert!(!same_row("7,1970-01-01T00:00:00Z", row));
    }

    #[test]
    fn files_of_results_differ_in_length_and_must_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let header = file("header", "key,sum\n");
        let one = file("one", "key,sum\n1,2\n");
        let two = file("two", "key,sum\n1,2\n2,3\n");
        assert!(same_rows(&two, &two).unwrap());
        assert!(!same_rows(&one, &two).unwrap());
        assert!(!same_rows(&two, &one).unwrap());
        assert!(!same_rows(&header, &header).unwrap());
    }
}
