//! The command line: `synergy`. Results go to standard output, everything else to standard error.

mod output;
mod validate;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use engine::scheduler;

use crate::application::units;
use crate::run::{self, Ends, RunError, Stopper};

/// How a command ended: what `synergy` returns to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok = 0,
    Failed = 1,
    /// Wrong usage, which clap reports by itself with the same number, or an invalid file.
    Invalid = 2,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Decentralized peer-to-peer stream middleware.
#[derive(Debug, Parser)]
#[command(
    name = "synergy",
    version,
    infer_subcommands = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an application in this process; results leave at its sinks.
    Run(Run),
    /// Check an application file and show what it computes.
    Validate(validate::Validate),
    /// Print the version.
    Version,
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// The application file.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Stop after this time, such as 10s, counted from when the application runs.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    for_: Option<Duration>,
    /// Stop after this many rows on standard output, or over all sinks where none writes there.
    #[arg(long, value_name = "ROWS")]
    limit: Option<NonZeroU64>,
    /// The memory that waiting rows and state may take.
    #[arg(long, value_name = "SIZE", value_parser = memory, default_value = "256MiB")]
    memory: u64,
    /// How many threads run operators; one for each core if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=WORKERS_MAX))]
    workers: Option<u16>,
    /// In which order operators run.
    #[arg(long, value_enum, default_value_t)]
    policy: Policy,
    /// Say nothing but results and errors.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. Nothing is left to tell when even this cannot be printed.
            let _ = error.print();
            return match error.use_stderr() {
                true => Status::Invalid.into(),
                false => Status::Ok.into(),
            };
        }
    };
    cli.command.execute().into()
}

/// Whether the arguments behind the program's name are a command, so that documents can be held to the
/// commands that they show.
///
/// # Errors
/// With what is wrong, as the command line says it. Help and version, which end there too, are none.
pub fn parses(arguments: &[&str]) -> Result<(), String> {
    match Cli::try_parse_from(std::iter::once("synergy").chain(arguments.iter().copied())) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Command {
    fn execute(self) -> Status {
        match self {
            Self::Run(run) => {
                let mut notes = output::Notes {
                    is_quiet: run.quiet,
                };
                let ends = Ends::default();
                let ran = stop_at_signals(ends.stopper())
                    .map_err(RunError::from)
                    .and_then(|()| run::run(&run.into_options(), ends, &mut notes));
                match ran {
                    Ok(_) => Status::Ok,
                    Err(error) => failed(&error),
                }
            }
            Self::Validate(validate) => validate.execute(),
            Self::Version => output::results(concat!("synergy ", env!("CARGO_PKG_VERSION"), "\n")),
            Self::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "synergy", &mut script);
                output::results(&String::from_utf8_lossy(&script))
            }
        }
    }
}

impl Run {
    fn into_options(self) -> run::Options {
        run::Options {
            file: self.file,
            duration: self.for_,
            limit: self.limit.map(NonZeroU64::get),
            memory_bytes: self.memory,
            workers: self.workers.map_or_else(|| cores().get(), usize::from),
            policy: match self.policy {
                Policy::Deadline => scheduler::Policy::Deadline,
                Policy::Fifo => scheduler::Policy::Fifo,
            },
        }
    }
}

/// In which order operators run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Policy {
    /// The most urgent first.
    #[default]
    Deadline,
    /// The longest waiting first.
    Fifo,
}

/// Says why a command failed. An invalid file has a status of its own.
fn failed(error: &RunError) -> Status {
    match error {
        RunError::Invalid(problems) => {
            output::note(&problems.to_string());
            Status::Invalid
        }
        RunError::Sink { .. }
        | RunError::System(_)
        | RunError::Deploy(_)
        | RunError::Node(_)
        | RunError::Refused(_)
        | RunError::Failed { .. } => {
            output::note(&format!("synergy: {error}"));
            Status::Failed
        }
    }
}

/// Ends the run in order at the first signal to stop, and the process at the second.
fn stop_at_signals(stopper: Stopper) -> Result<(), std::io::Error> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for (seen, _) in signals.forever().enumerate() {
                if seen > 0 || !stopper.stop() {
                    // As a shell reports a process that a signal ended.
                    std::process::exit(130);
                }
            }
        })?;
    Ok(())
}

/// The most worker threads that a run may be given. Source: guess; far above any host's cores.
const WORKERS_MAX: i64 = 1024;

/// How many cores this process may use; one where the system does not say.
pub fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|error| format!("{error}; expected {}", units::DURATION_FORM))
}

/// The memory for data that a text such as `64MiB` says, in bytes.
///
/// # Errors
/// When it is no size, or less than an engine can work with: what was expected.
pub fn memory(text: &str) -> Result<u64, String> {
    let size =
        units::size(text).map_err(|error| format!("{error}; expected {}", units::SIZE_FORM))?;
    if size < engine::MEMORY_MIN {
        return Err(format!(
            "at least {}MiB are needed",
            engine::MEMORY_MIN >> 20
        ));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}
