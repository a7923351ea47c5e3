//! The command of the NEXMark benchmark.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::Args;
use engine::scheduler::Policy;
use node::cli::{memory, policies};

use crate::bench::{child, nexmark};

#[derive(Debug, Args)]
pub(super) struct Nexmark {
    /// Which query, such as q5; all of them if not given.
    #[arg(long)]
    query: Option<String>,
    /// How many events there are at least: the input is repeated.
    #[arg(long, default_value = "2000000")]
    events: NonZeroU64,
    /// How often each query is measured.
    #[arg(long, default_value = "3")]
    repeat: NonZeroU32,
    /// The folder with the input and the folder `expected`.
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "../shared/data/nexmark/reference_dev"
    )]
    data: PathBuf,
    /// How many threads run operators: each of these is measured.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,2")]
    workers: Vec<NonZeroUsize>,
    /// The memory that waiting rows and state may take.
    #[arg(long, value_name = "SIZE", value_parser = memory, default_value = "256MiB")]
    memory: u64,
    /// In which order operators run.
    #[arg(long, default_value = "deadline", value_parser = policies())]
    policy: Policy,
}

impl Nexmark {
    pub(super) fn into_options(self) -> nexmark::Options {
        nexmark::Options {
            query: self.query,
            events: self.events.get(),
            repeat: self.repeat.get(),
            data: self.data,
            run: child::Options {
                seed: 0,
                memory_bytes: self.memory,
                workers: NonZeroUsize::MIN,
                policy: self.policy,
            },
            workers: self.workers,
        }
    }
}
