//! Running an application in this process.

use std::path::PathBuf;
use std::time::Duration;

/// What to run, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The application file.
    pub file: PathBuf,
    /// Stop after this time, counted from when the application runs; else when its sources end.
    pub for_: Option<Duration>,
    /// Stop after this many rows of results.
    pub limit: Option<u64>,
    /// The memory that mailboxes and state may take, in bytes.
    pub memory: Option<u64>,
    /// How many threads run operators.
    pub workers: Option<usize>,
    /// In which order operators run.
    pub policy: Policy,
    /// Whether to say nothing but results and errors.
    pub quiet: bool,
}

/// In which order operators run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Policy {
    /// The most urgent first.
    #[default]
    Deadline,
    /// The longest waiting first.
    Fifo,
}

/// Runs an application until its sources end, or as long as the options say.
///
/// # Errors
/// When the file is not valid ([`crate::application::Problems`]), or the application fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::bail!("{} cannot be run: not there yet", options.file.display())
}
