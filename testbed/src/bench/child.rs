//! What runs in a process of its own, so that its processor time and its memory are nobody else's: the
//! parent's side, which starts it, and the child's, which does the work and leaves an [`Account`].

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use engine::report::RoleReport;
use engine::scheduler::Policy;
use model::{Clock, Instant};
use node::clock::MachineClock;
use node::run::{self, Ends, Status};
use serde::{Deserialize, Serialize};

use super::machine::{self, Sample};
use super::plain;

/// How an application is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What the rows are made from.
    pub seed: u64,
    /// The memory for data. Unit: bytes. Range: from [`engine::MEMORY_MIN`].
    pub memory_bytes: u64,
    /// How many worker threads there are.
    pub workers: NonZeroUsize,
    /// How components are ordered.
    pub policy: Policy,
}

/// What a child says of itself when its work is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Rows that it read.
    pub rows: u64,
    /// How long it took.
    pub wall_s: f64,
    /// The processor time that it used, from its start.
    pub cpu_s: f64,
    /// The most memory that it ever occupied.
    pub resident_peak_bytes: u64,
    /// Of an application, the most that was ever in the memory ledger.
    pub ledger_peak_bytes: Option<u64>,
}

impl Account {
    /// The account that a child left.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).context("a child left no account")?;
        serde_json::from_str(&text).context("a child's account")
    }

    /// With the most memory that its parent saw, where that is more: the system counts the two a little
    /// differently.
    #[must_use]
    pub fn with_resident(mut self, seen_bytes: u64) -> Self {
        self.resident_peak_bytes = self.resident_peak_bytes.max(seen_bytes);
        self
    }
}

/// The command that runs an application in a process of its own.
///
/// # Errors
/// When the system does not say which program this is.
pub fn application_command(
    file: &Path,
    account: &Path,
    options: &Options,
) -> Result<Command, std::io::Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["child", "application"])
        .arg(file)
        .arg("--account")
        .arg(account)
        .args(["--memory", &format!("{}B", options.memory_bytes)])
        .args(["--workers", &options.workers.to_string()])
        .args(["--policy", options.policy.kind().name])
        .stdin(Stdio::null());
    Ok(command)
}

/// The command that runs the plain loop in a process of its own.
///
/// # Errors
/// When the system does not say which program this is.
pub fn plain_command(
    input: &Path,
    output: &Path,
    account: &Path,
) -> Result<Command, std::io::Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["child", "plain"])
        .args([input, output])
        .arg("--account")
        .arg(account)
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs an application to its end, in this process.
///
/// # Errors
/// When it fails, or the account cannot be written.
pub fn application(file: &Path, account: &Path, options: &Options) -> anyhow::Result<()> {
    let clock = MachineClock::start();
    let options = run::Options {
        file: file.to_owned(),
        duration: None,
        limit: None,
        memory_bytes: options.memory_bytes,
        workers: options.workers.get(),
        policy: options.policy,
    };
    let report = run::run(&options, Ends::default(), &mut Silence)?;
    let sources = report.components.iter();
    let sources = sources.filter(|component| matches!(component.role, RoleReport::Source));
    let rows = sources.map(|source| source.rows_in).sum();
    write(account, rows, Some(report.memory_peak_bytes), &clock)
}

/// Runs the plain loop to its end, in this process.
///
/// # Errors
/// When it fails, or the account cannot be written.
pub fn plain(input: &Path, output: &Path, account: &Path) -> anyhow::Result<()> {
    let clock = MachineClock::start();
    let rows = plain::run(input, output)?;
    write(account, rows, None, &clock)
}

fn write(
    path: &Path,
    rows: u64,
    ledger_peak_bytes: Option<u64>,
    clock: &MachineClock,
) -> anyhow::Result<()> {
    let sample =
        Sample::of_this_process().context("the system does not say what memory is used")?;
    let account = Account {
        rows,
        wall_s: clock.now().since(Instant::ZERO).as_secs_f64(),
        cpu_s: machine::cpu().as_secs_f64(),
        resident_peak_bytes: sample.resident_peak_bytes,
        ledger_peak_bytes,
    };
    std::fs::write(path, serde_json::to_string(&account)?).context("the account")
}

/// What a run says of how it goes is not for those who measure it.
struct Silence;

impl Status for Silence {
    fn say(&mut self, _: &str) {}
}
