//! `synergy tap`: the rows of a stream, as JSON lines.

use std::io::{ErrorKind, Write};
use std::num::NonZeroU64;
use std::time::Duration;

use clap::Args;

use super::output::{self, Progress};
use super::{Globals, Status, duration};
use crate::application::problem::printable;
use crate::client::{Event, Events};
use crate::node::{Failure, FailureKind};

#[derive(Debug, Args)]
pub(super) struct Tap {
    /// The stream: a published one, or APP/OPERATOR[.PORT]; stream: and app: before it decide.
    name: String,
    /// Stop after this time, such as 10s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    for_: Option<Duration>,
    /// Stop after this many rows.
    #[arg(long, value_name = "ROWS")]
    limit: Option<NonZeroU64>,
}

impl Tap {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let client = globals.client()?;
        let progress = Progress::start(&globals.verbosity, format!("tapping {}", self.name));
        let events = client.tap(&self.name, self.for_);
        drop(progress);
        let mut events = events?;
        end_at_signals().map_err(|error| {
            let message = format!("the system lets nobody wait for signals: {error}");
            Failure::new(FailureKind::Failed, message)
        })?;
        match show(&mut events, self.limit, globals) {
            Ok(()) => Ok(Status::Ok),
            // Whoever read the rows wants no more.
            Err(Ended::Written(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Status::Ok),
            Err(Ended::Written(error)) => {
                let message = format!("standard output: {error}");
                Err(Failure::new(FailureKind::Failed, message))
            }
            Err(Ended::Heard(failure)) => Err(failure),
        }
    }
}

/// Why rows are no longer shown.
enum Ended {
    Written(std::io::Error),
    Heard(Failure),
}

fn show(events: &mut Events, limit: Option<NonZeroU64>, globals: &Globals) -> Result<(), Ended> {
    let mut left = limit.map(NonZeroU64::get);
    // Rows are joined as long as more are there, and shown at once where none is.
    let mut rows = Vec::new();
    loop {
        let event = events.next_event().map_err(Ended::Heard);
        match event {
            Ok(Some(Event::Row(row))) => {
                rows.extend_from_slice(row.as_bytes());
                rows.push(b'\n');
                left = left.map(|left| left - 1);
            }
            Ok(Some(Event::Missing(count))) => {
                write(&mut rows)?;
                globals.note(&format!(
                    "tap: {count} rows are not shown: they came faster than they were read"
                ));
            }
            Ok(Some(Event::Ended(reason))) => {
                write(&mut rows)?;
                let reason = printable(&reason);
                globals.note(&format!("tap: the stream has ended: {reason}"));
                return Ok(());
            }
            Ok(None) => return write(&mut rows),
            Err(ended) => {
                write(&mut rows)?;
                return Err(ended);
            }
        }
        if left == Some(0) {
            return write(&mut rows);
        }
        if events.is_empty() || rows.len() >= ROWS_BYTES_MAX {
            write(&mut rows)?;
        }
    }
}

/// How many bytes of rows are joined. Unit: bytes. Source: what a pipe holds.
const ROWS_BYTES_MAX: usize = 1 << 16;

fn write(rows: &mut Vec<u8>) -> Result<(), Ended> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(rows).and_then(|()| stdout.flush());
    rows.clear();
    written.map_err(Ended::Written)
}

/// Ends the process in order at the first signal to stop: behind a row. The second does not wait for that.
fn end_at_signals() -> Result<(), std::io::Error> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let wait = move || {
        for (seen, _) in signals.forever().enumerate() {
            if seen > 0 {
                std::process::exit(130);
            }
            // Whoever is at writing rows holds the lock.
            let finish = || {
                let _lock = std::io::stdout().lock();
                std::process::exit(Status::Ok as i32);
            };
            if let Err(error) = std::thread::Builder::new().spawn(finish) {
                output::note(&format!("synergy: the system gives no thread: {error}"));
                std::process::exit(Status::Failed as i32);
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)?;
    Ok(())
}
