//! The command line: `synergy-testbed`. Figures go to standard output, everything else to standard error.

mod chaos;
mod experiment;
mod fault;
mod local;
mod nexmark;
mod pipe;
mod swarm;

use std::io::{ErrorKind, IsTerminal, Write};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use engine::scheduler::Policy;
use node::cli::{cores, memory, policies};

use crate::bench::report::Report;
use crate::bench::{
    applications as applications_bench, chaos as chaos_bench, child, engine as engine_bench,
    idle as idle_bench, moves as moves_bench, nexmark as nexmark_bench, path as path_bench,
    pipe as pipe_bench, stalled_sink,
};
use crate::local::fault::Fault;

/// Testbeds and benchmarks of Synergy.
#[derive(Debug, Parser)]
#[command(name = "synergy-testbed", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start nodes on this machine and wait until they know one another.
    Up(local::Up),
    /// Show the nodes of a testbed.
    Status(local::Status),
    /// Kill nodes: they end at once and say goodbye to nobody.
    Kill(fault::Nodes),
    /// Stop nodes where they stand, until they are resumed.
    Pause(fault::Nodes),
    /// Let nodes go on that were paused.
    Resume(fault::Nodes),
    /// Make everything take longer to and from nodes.
    Slow(fault::Slow),
    /// Cut nodes off from others: nothing that is sent arrives, and nobody is told.
    Partition(fault::Partition),
    /// Take down the links of nodes that have network namespaces.
    Unplug(fault::Unplug),
    /// Undo every `slow`, `partition` and `unplug`.
    Heal(fault::Heal),
    /// Start a node again that was killed, with the identity that it had.
    Start(local::Start),
    /// End all nodes of a testbed and remove what it made.
    Down(local::Down),
    /// Measure something, and check that what was measured is right.
    Bench(Bench),
    /// Compare ways of composing, and check what is claimed of them.
    Experiment(Experiment),
    /// Simulate small networks in which everything goes wrong, and check that they come to rest.
    Swarm(swarm::Swarm),
    /// What a benchmark runs in a process of its own.
    #[command(subcommand, hide = true)]
    Child(Child),
}

#[derive(Debug, Args)]
struct Bench {
    /// How figures are printed: as a table on a terminal, as JSON elsewhere.
    #[arg(short, long, value_enum, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    name: Name,
}

#[derive(Debug, Args)]
struct Experiment {
    /// How figures are printed: as a table on a terminal, as JSON elsewhere.
    #[arg(short, long, value_enum, global = true)]
    output: Option<Output>,
    #[command(subcommand)]
    name: experiment::Name,
}

#[derive(Debug, Subcommand)]
enum Name {
    /// A file through a filter, a map and a window, beside a plain loop that does the same.
    Engine(Engine),
    /// Memory while nobody reads the results, and all rows afterwards.
    StalledSink(StalledSink),
    /// What nodes occupy and use that have joined and have nothing to do.
    Idle(local::Idle),
    /// An application whose operators move all the time, beside a run of it without any move.
    Moves(local::Moves),
    /// Applications whose hosts are killed one after the other: nothing is lost, and results are back soon.
    Chaos(chaos::Chaos),
    /// What an application occupies on a node with many that are nearly the same, with sharing and without.
    Applications(local::Applications),
    /// What a batch costs on its way through an engine that does no work on it, by policy.
    Path(Path),
    /// How many events of the NEXMark queries a core-second is good for; their rows are those of another engine.
    Nexmark(nexmark::Nexmark),
    /// Rows from one process to another over an encrypted stream, beside plain TCP.
    Pipe(pipe::Pipe),
}

#[derive(Debug, Args)]
struct Engine {
    /// How many rows the file has.
    #[arg(long, default_value = "10000000")]
    rows: NonZeroU64,
    /// How often both are measured, in turns.
    #[arg(long, default_value = "3")]
    repeat: NonZeroU32,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Args)]
struct StalledSink {
    /// How many rows the file has.
    #[arg(long, default_value = "10000000")]
    rows: NonZeroU64,
    /// For how long nobody reads.
    #[arg(long, default_value = "60")]
    seconds: NonZeroU64,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Args)]
struct Path {
    /// How many operators there are.
    #[arg(long, default_value = "350")]
    operators: NonZeroUsize,
    /// How many rows a batch has.
    #[arg(long, value_name = "N", default_value = "1")]
    rows: NonZeroUsize,
    /// How many batches each policy takes in a turn.
    #[arg(long, value_name = "N", default_value = "200000")]
    batches: NonZeroU64,
    /// How many turns each policy takes.
    #[arg(long, default_value = "15")]
    turns: NonZeroU32,
}

/// How the application is run.
#[derive(Debug, Args)]
struct Run {
    /// What the rows are made from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// The memory that waiting rows and state may take.
    #[arg(long, value_name = "SIZE", value_parser = memory, default_value = "64MiB")]
    memory: u64,
    /// How many threads run operators; one for each core if not given.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// In which order operators run.
    #[arg(long, default_value = "deadline", value_parser = policies())]
    policy: Policy,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// An application, by the node's library.
    Application {
        /// The application file.
        file: PathBuf,
        /// Where to write what was counted.
        #[arg(long)]
        account: PathBuf,
        #[command(flatten)]
        run: Run,
    },
    /// The plain loop.
    Plain {
        /// The file to read.
        input: PathBuf,
        /// The file to write.
        output: PathBuf,
        /// Where to write what was counted.
        #[arg(long)]
        account: PathBuf,
    },
    /// The producing end of a pipe.
    PipeSource(pipe::End),
    /// The counting end of a pipe.
    PipeSink(pipe::Sink),
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One object.
    Json,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match Cli::parse().command.execute() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

/// Says why this program failed.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    note(&format!("synergy-testbed: {error:#}"));
    ExitCode::FAILURE
}

/// Whether the arguments behind the program's name are a command, so that documents can be held to the
/// commands that they show.
///
/// # Errors
/// With what is wrong, as the command line says it. Help and version, which end there too, are none.
pub fn parses(arguments: &[&str]) -> Result<(), String> {
    match Cli::try_parse_from(std::iter::once("synergy-testbed").chain(arguments.iter().copied())) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Command {
    /// Gives whether all that was claimed holds.
    fn execute(self) -> anyhow::Result<bool> {
        match self {
            Self::Up(up) => up.execute()?,
            Self::Status(status) => status.execute()?,
            Self::Kill(nodes) => nodes.execute(Fault::Kill)?,
            Self::Pause(nodes) => nodes.execute(Fault::Pause)?,
            Self::Resume(nodes) => nodes.execute(Fault::Resume)?,
            Self::Slow(slow) => slow.execute()?,
            Self::Partition(partition) => partition.execute()?,
            Self::Unplug(unplug) => unplug.execute()?,
            Self::Heal(heal) => heal.execute()?,
            Self::Start(start) => start.execute()?,
            Self::Down(down) => down.execute()?,
            Self::Bench(Bench { output, name }) => {
                let report = name.measure()?;
                print(|| report.table(), || report.json().to_string(), output)?;
                return Ok(report.holds());
            }
            Self::Experiment(Experiment { output, name }) => {
                let report = name.run()?;
                print(|| report.table(), || report.json().to_string(), output)?;
                return Ok(report.holds());
            }
            Self::Swarm(swarm) => return swarm.execute(),
            Self::Child(child) => child.execute()?,
        }
        Ok(true)
    }
}

impl Name {
    fn measure(self) -> anyhow::Result<Report> {
        match self {
            Self::Engine(engine) => engine_bench::measure(&engine_bench::Options {
                rows: engine.rows.get(),
                repeat: engine.repeat.get(),
                run: engine.run.into_options(),
            }),
            Self::StalledSink(stalled) => stalled_sink::measure(&stalled_sink::Options {
                rows: stalled.rows.get(),
                stall: std::time::Duration::from_secs(stalled.seconds.get()),
                run: stalled.run.into_options(),
            }),
            Self::Idle(idle) => idle_bench::measure(&idle.into_options()?),
            Self::Applications(it) => applications_bench::measure(&it.into_options()?),
            Self::Chaos(chaos) => chaos_bench::measure(&chaos.into_options()?),
            Self::Moves(moves) => moves_bench::measure(&moves.into_options()?),
            Self::Path(path) => path_bench::measure(&path_bench::Options {
                operators: path.operators.get(),
                rows: path.rows.get(),
                batches: path.batches.get(),
                turns: path.turns.get(),
            }),
            Self::Nexmark(nexmark) => nexmark_bench::measure(&nexmark.into_options()),
            Self::Pipe(pipe) => pipe_bench::measure(&pipe.into_options()),
        }
    }
}

impl Child {
    fn execute(self) -> anyhow::Result<()> {
        match self {
            Self::Application { file, account, run } => {
                child::application(&file, &account, &run.into_options())
            }
            Self::Plain {
                input,
                output,
                account,
            } => child::plain(&input, &output, &account),
            Self::PipeSource(end) => end.execute(pipe_bench::Role::Source),
            Self::PipeSink(sink) => sink.execute(),
        }
    }
}

impl Run {
    fn into_options(self) -> child::Options {
        child::Options {
            seed: self.seed,
            memory_bytes: self.memory,
            workers: self.workers.unwrap_or_else(cores),
            policy: self.policy,
        }
    }
}

/// Prints results, in one of two forms.
fn print(
    table: impl FnOnce() -> String,
    json: impl FnOnce() -> String,
    output: Option<Output>,
) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let is_table = match output {
        None => stdout.is_terminal(),
        Some(output) => output == Output::Table,
    };
    let text = match is_table {
        true => table(),
        false => format!("{}\n", json()),
    };
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a line that is no figure. Where it cannot be printed there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_that_there_is_not_is_refused() {
        assert_eq!(parses(&["bench", "engine", "--rows", "1000"]), Ok(()));
        assert_eq!(parses(&["--help"]), Ok(()));
        let error = parses(&["bench", "luck"]).expect_err("there is no such benchmark");
        assert!(error.contains("luck"), "{error}");
    }
}
