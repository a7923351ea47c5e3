//! The command line: `synergy`. Results go to standard output, everything else to standard error.
//!
//! `run` and `validate` work by themselves. All others speak to a node over its HTTP interface, each verb by one call;
//! which node, `target` finds out.

mod app;
mod apply;
mod composition;
mod dht;
mod events;
mod graph;
mod moving;
mod node;
mod output;
mod run;
mod start;
mod stream;
mod tap;
mod target;
mod top;
mod validate;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use engine::scheduler::Policy;

use crate::application::problem::printable;
use crate::application::units;
use crate::driver::Hooks;
use crate::node::{Failure, FailureKind};
use output::Verbosity;
use target::Target;

/// How a command ended: what `synergy` returns to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok = 0,
    Failed = 1,
    /// Wrong usage, which clap reports by itself with the same number, or an invalid file.
    Invalid = 2,
    /// Admission refused it.
    Refused = 3,
    NotFound = 4,
    /// Somebody who must answer did not, or not in time.
    Unreachable = 5,
    NotAllowed = 6,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

impl From<FailureKind> for Status {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Failed => Self::Failed,
            FailureKind::Invalid => Self::Invalid,
            FailureKind::Refused => Self::Refused,
            FailureKind::NotFound => Self::NotFound,
            FailureKind::Unreachable => Self::Unreachable,
            FailureKind::NotAllowed => Self::NotAllowed,
        }
    }
}

/// Decentralized peer-to-peer stream middleware.
#[derive(Debug, Parser)]
#[command(
    name = "synergy",
    version,
    infer_subcommands = true,
    max_term_width = 100,
    after_help = "Exit status: 0 ok, 1 failed, 2 wrong usage or file, 3 refused by admission, 4 not found, \
                  5 unreachable or timed out, 6 not allowed."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
struct Globals {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    verbosity: Verbosity,
    /// No words set them.
    #[arg(skip)]
    hooks: Hooks,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an application in this process; results leave at its sinks.
    Run(run::Run),
    /// The node of this host, and others.
    #[command(subcommand)]
    Node(node::Node),
    /// Check an application file and show what it computes.
    Validate(validate::Validate),
    /// Say how an application would be composed; nothing is reserved.
    Plan(apply::Apply),
    /// Compose an application and let it run.
    Apply(apply::Apply),
    /// Applications.
    #[command(subcommand)]
    App(app::App),
    /// Published streams.
    #[command(subcommand)]
    Stream(stream::Stream),
    /// Show the rows of any stream or edge, as JSON lines.
    Tap(tap::Tap),
    /// Stop an application, whichever node accepted it.
    Stop(app::Named),
    /// Move an operator of an application to another host, whoever runs it.
    Move(moving::Move),
    /// Let a host give away all that it can.
    Drain(moving::Drain),
    /// Tell what a host decided of late, and by which numbers.
    Events(events::Events),
    /// Watch hosts, applications and what is decided.
    Top(top::Top),
    /// Draw the component graph of an application.
    Graph(graph::Graph),
    /// What the overlay has.
    #[command(subcommand)]
    Dht(dht::Dht),
    /// Print the version.
    Version,
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    main_with(Hooks::default())
}

/// The same for a testbed's program, which tells a node more than the command line has words for.
pub fn main_with(hooks: Hooks) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(mut cli) => {
            cli.globals.hooks = hooks;
            cli
        }
        Err(error) => {
            // Help and version come this way too. Nothing is left to tell when even this cannot be printed.
            let _ = error.print();
            return match error.use_stderr() {
                true => Status::Invalid.into(),
                false => Status::Ok.into(),
            };
        }
    };
    output::log(
        &cli.globals.verbosity,
        matches!(cli.command, Command::Node(node::Node::Start(_))),
    );
    let ended = cli.command.execute(&cli.globals);
    ended.unwrap_or_else(|failure| failed(&failure)).into()
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
    fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        match self {
            Self::Run(run) => Ok(run.execute(&globals.verbosity)),
            Self::Node(node) => node.execute(globals),
            Self::Validate(validate) => Ok(validate.execute()),
            Self::Plan(plan) => plan.execute(globals, true),
            Self::Apply(apply) => apply.execute(globals, false),
            Self::App(app) => app.execute(globals),
            Self::Stream(stream) => stream.execute(globals),
            Self::Tap(tap) => tap.execute(globals),
            Self::Stop(named) => app::stop(&named, globals),
            Self::Move(it) => it.execute(globals),
            Self::Drain(drain) => drain.execute(globals),
            Self::Events(events) => events.execute(globals),
            Self::Top(top) => top.execute(globals),
            Self::Graph(graph) => graph.execute(globals),
            Self::Dht(dht) => dht.execute(globals),
            Self::Version => Ok(output::results(concat!(
                "synergy ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ))),
            Self::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "synergy", &mut script);
                Ok(output::results(&String::from_utf8_lossy(&script)))
            }
        }
    }
}

/// Says why a command failed.
fn failed(failure: &Failure) -> Status {
    // What a node says may come from anybody: a terminal must obey none of it.
    let lines: Vec<String> = failure.message.lines().map(printable).collect();
    output::note(&format!("synergy: {}", lines.join("\n")));
    failure.kind.into()
}

/// How many cores this process may use; one where the system does not say.
pub fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|error| format!("{error}; expected {}", units::DURATION_FORM))
}

/// Parses the name of a policy, and lists all.
pub fn policies() -> impl TypedValueParser<Value = Policy> {
    let names = Policy::ALL.map(|policy| {
        let kind = policy.kind();
        PossibleValue::new(kind.name).help(kind.doc)
    });
    PossibleValuesParser::new(names)
        .try_map(|name| Policy::find(&name).ok_or_else(|| format!("no policy is called {name}")))
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
