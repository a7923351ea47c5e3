//! What `bench chaos` is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use model::convert;

use super::local::duration;
use crate::bench::chaos;
use crate::local::folder::Folder;
use crate::local::up::NODES_MAX;

#[derive(Debug, Args)]
pub(super) struct Chaos {
    /// How many nodes there are.
    #[arg(short, long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(2..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// How many applications run over them.
    #[arg(short, long, value_name = "N", default_value = "20")]
    applications: NonZeroUsize,
    /// How many are killed, one after the other; each once if not given.
    #[arg(short, long, value_name = "N")]
    kills: Option<NonZeroUsize>,
    /// How many backups each application asks for.
    #[arg(short, long, value_name = "N", default_value = "1")]
    replicas: u32,
    /// How many rows a second each source has.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// For how long applications may say that they are degraded before the next one is killed all the same.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    settle: Duration,
    /// In which time results have to be back, for 99 of 100 kills and applications.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    recovery: Duration,
    /// What rows and the order of kills are drawn from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// The folder of the nodes, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/chaos")]
    dir: PathBuf,
}

impl Chaos {
    pub(super) fn into_options(self) -> anyhow::Result<chaos::Options> {
        let kills = self.kills.map(NonZeroUsize::get);
        Ok(chaos::Options {
            folder: Folder::at(&self.dir)?,
            nodes: self.nodes,
            applications: self.applications.get(),
            kills: kills.unwrap_or_else(|| convert::index(u64::from(self.nodes))),
            replicas: self.replicas,
            rate: self.rate,
            settle: self.settle,
            recovery: self.recovery,
            seed: self.seed,
        })
    }
}
