//! `synergy run`: an application in this process.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use engine::scheduler::Policy;

use super::output::{self, Notes, Verbosity};
use super::{Status, cores, duration, memory, policies};
use crate::run::network::Nodes;
use crate::run::{self, Ends, RunError};
use crate::signals;

#[derive(Debug, Args)]
pub(super) struct Run {
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
    #[arg(long, default_value = "deadline", value_parser = policies())]
    policy: Policy,
    /// Compose the application over this many nodes, all of them in this process.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=NODES_MAX))]
    nodes: Option<u16>,
    /// Put no two operators on one node where there are enough.
    #[arg(long, requires = "nodes")]
    spread: bool,
}

/// The most worker threads that a run may be given. Source: guess; far above any host's cores.
const WORKERS_MAX: i64 = 1024;

/// The most nodes in one process. Source: guess; each has sockets and a routing table of its own.
const NODES_MAX: i64 = 64;

impl Run {
    pub(super) fn execute(self, verbosity: &Verbosity) -> Status {
        let mut notes = Notes {
            is_quiet: verbosity.quiet,
        };
        let ends = Ends::default();
        let stopper = ends.stopper();
        let ran = signals::stop(move || stopper.stop())
            .map_err(RunError::from)
            .and_then(|()| match self.nodes() {
                None => run::run(&self.into_options(), ends, &mut notes).map(drop),
                Some(nodes) => run::network::run(&self.into_options(), nodes, ends, &mut notes),
            });
        match ran {
            Ok(()) => Status::Ok,
            Err(error) => failed(&error),
        }
    }

    fn into_options(self) -> run::Options {
        run::Options {
            file: self.file,
            duration: self.for_,
            limit: self.limit.map(NonZeroU64::get),
            memory_bytes: self.memory,
            workers: self.workers.map_or_else(|| cores().get(), usize::from),
            policy: self.policy,
        }
    }

    fn nodes(&self) -> Option<Nodes> {
        self.nodes.map(|count| Nodes {
            count: count.into(),
            spread: self.spread,
        })
    }
}

/// Says why a run failed. An invalid file has a status of its own.
fn failed(error: &RunError) -> Status {
    match error {
        RunError::Invalid(problems) => {
            output::note(&problems.to_string());
            Status::Invalid
        }
        RunError::Refused(failure) => {
            output::note(&format!("synergy: {}", failure.message));
            failure.kind.into()
        }
        RunError::Sink { .. }
        | RunError::System(_)
        | RunError::Deploy(_)
        | RunError::Node(_)
        | RunError::Failed { .. } => {
            output::note(&format!("synergy: {error}"));
            Status::Failed
        }
    }
}
