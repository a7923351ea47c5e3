//! What the command line prints.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::Status;
use crate::application::problem::printable;
use crate::node::{Failure, FailureKind};

/// How much is said beside the results.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How much is said")]
pub(super) struct Verbosity {
    /// Say nothing but results and errors.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// Say more, such as the calls that are made; twice for still more.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Output {
    /// How to print results; a table on a terminal, else JSON.
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// Names only, one a line.
    Name,
}

impl Output {
    pub(super) fn format(self) -> Format {
        let default = || match std::io::stdout().is_terminal() {
            true => Format::Table,
            false => Format::Json,
        };
        self.output.unwrap_or_else(default)
    }

    /// Prints what a node answered: as it is, or by what these make of it.
    pub(super) fn print<T: DeserializeOwned>(
        self,
        answer: Value,
        table: impl FnOnce(&T) -> String,
        names: impl FnOnce(&T) -> Vec<String>,
    ) -> Result<Status, Failure> {
        Ok(match self.format() {
            Format::Json => results(&format!("{answer:#}\n")),
            Format::Table => results(&table(&read(answer)?)),
            Format::Name => {
                let names = names(&read(answer)?);
                results(
                    &names
                        .iter()
                        .map(|name| format!("{}\n", printable(name)))
                        .collect::<String>(),
                )
            }
        })
    }
}

/// What a node answered, as what it is.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        let message = format!(
            "the node's answer is not understood: {error}; it may be of another version, and -o json shows what it says"
        );
        Failure::new(FailureKind::Failed, message)
    })
}

/// Prints results. A reader who has gone away, as `head` does, wants no more and is no failure.
pub(super) fn results(text: &str) -> Status {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Status::Ok,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Status::Ok,
        Err(error) => {
            note(&format!("synergy: standard output: {error}"));
            Status::Failed
        }
    }
}

/// Prints a line that is no result. Where it cannot be printed there is nobody to tell.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// How a run goes, on standard error.
#[derive(Debug)]
pub(super) struct Notes {
    /// Whether to say nothing.
    pub(super) is_quiet: bool,
}

impl crate::run::Status for Notes {
    fn say(&mut self, text: &str) {
        if !self.is_quiet {
            note(text);
        }
    }
}

/// Shows that something takes its time, on a terminal, until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn start(verbosity: &Verbosity, text: String) -> Self {
        let is_shown = !verbosity.quiet && std::io::stderr().is_terminal();
        let bar = is_shown.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let style = style.expect("the template is well formed");
            let bar = ProgressBar::new_spinner()
                .with_style(style)
                .with_message(text);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Starts the log, on standard error. `SYNERGY_LOG` says what is told, as in `debug` or `node=debug,overlay=info`.
pub(super) fn log(verbosity: &Verbosity, is_daemon: bool) {
    let level = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => "error",
        (false, 0) if is_daemon => "info",
        (false, 0) => "warn",
        (false, 1) if is_daemon => "debug",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    // What others' packages tell at these levels is of no use to people; least of all that a node without peers, which
    // is every first one, finds none.
    let default = format!("warn,libp2p_kad=error,node={level},overlay={level},synergy={level}");
    let said = std::env::var("SYNERGY_LOG").unwrap_or(default);
    let filter = EnvFilter::builder().parse_lossy(said);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // It is started once, by the process: nobody has started one before.
    let _ = match is_daemon {
        true => log.try_init(),
        false => log.with_target(false).without_time().try_init(),
    };
}

/// Rows of cells under headings, columns aligned.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|heading| (*heading).to_owned());
        Self {
            rows: vec![headings.collect()],
        }
    }

    /// Puts a row behind the others. What a terminal would obey is escaped: cells come from other hosts.
    pub(super) fn row(&mut self, cells: &[&str]) {
        let cells = cells.iter().map(|cell| printable(cell));
        self.rows.push(cells.collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let column_count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..column_count).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A size, in the unit that people would choose.
pub(super) fn bytes(value: u64) -> String {
    let mebibytes = model::convert::count_to_f64(value) / f64::from(1 << 20);
    match mebibytes {
        size if size >= 1024.0 => format!("{:.1} GiB", size / 1024.0),
        size if size >= 1.0 => format!("{size:.0} MiB"),
        size => format!("{:.0} KiB", size * 1024.0),
    }
}

/// The beginning of an id, which tells the hosts of a network apart.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_obeyed() {
        let mut table = Table::new(&["NAME", "HOST"]);
        table.row(&["intrusion", "n1"]);
        table.row(&["x", "\u{1b}[31mred"]);
        table.row(&["é", ""]);
        let expected = "NAME       HOST\nintrusion  n1\nx          \\u{1b}[31mred\né\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn figures_have_units() {
        assert_eq!(bytes(256 << 20), "256 MiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(bytes(1024), "1 KiB");
    }
}
