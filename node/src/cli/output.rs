//! What the command line prints.

use std::io::{ErrorKind, Write};

use super::Status;

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
