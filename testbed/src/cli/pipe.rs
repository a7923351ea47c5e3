//! The command of the pipe benchmark, and those of its two processes.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::{Args, ValueEnum};
use node::cli::cores;

use super::local::duration;
use crate::bench::pipe::{self, Options, Role, SIZE_MAX};

#[derive(Debug, Args)]
pub(super) struct Pipe {
    /// The size of a row in bytes.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(9..=i64::try_from(SIZE_MAX).expect("a small number")))]
    size: u32,
    /// For how long rows are counted, such as 10s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "10s")]
    for_: Duration,
    /// For how long they are not, before.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    warm_up: Duration,
    /// How often both are measured, in turns.
    #[arg(long, default_value = "3")]
    runs: NonZeroU32,
    /// How long everything is held back that arrives, such as 40ms: then beside a data stream with nothing at its ends.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0ms")]
    delay: Duration,
    /// How many threads each process has for operators, and as many for its network; one for each core if not given.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
}

/// One of the two processes.
#[derive(Debug, Args)]
pub(super) struct End {
    #[arg(long, value_enum)]
    series: Series,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    workers: NonZeroUsize,
    #[arg(long, value_parser = duration)]
    delay: Duration,
}

/// The one that counts.
#[derive(Debug, Args)]
pub(super) struct Sink {
    #[command(flatten)]
    end: End,
    #[arg(long)]
    at: String,
    #[arg(long, value_parser = duration)]
    warm_up: Duration,
    #[arg(long = "for", value_parser = duration)]
    for_: Duration,
}

/// What is between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Series {
    Synergy,
    Tcp,
    Stream,
}

impl Pipe {
    pub(super) fn into_options(self) -> Options {
        Options {
            size: usize::try_from(self.size).expect("the size is in its range"),
            warm_up: self.warm_up,
            time: self.for_,
            runs: self.runs.get(),
            delay: self.delay,
            workers: self.workers.unwrap_or_else(cores),
        }
    }
}

impl End {
    pub(super) fn execute(self, role: Role) -> anyhow::Result<()> {
        let series = match self.series {
            Series::Synergy => pipe::Series::Synergy,
            Series::Tcp => pipe::Series::Tcp,
            Series::Stream => pipe::Series::Stream,
        };
        pipe::child(role, series, self.size, self.workers, self.delay)
    }
}

impl Sink {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let role = Role::Sink {
            at: self.at,
            times: (self.warm_up, self.for_),
        };
        self.end.execute(role)
    }
}
