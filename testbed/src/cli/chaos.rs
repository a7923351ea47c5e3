//! What `bench chaos` and `experiment R5` are told.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use model::convert;
use node::application::units;

use super::local::duration;
use crate::bench::chaos::{self, Fault};
use crate::bench::report::Report;
use crate::experiment::failover;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::up::NODES_MAX;

#[derive(Debug, Args)]
pub(super) struct Chaos {
    #[command(flatten)]
    run: Run,
    /// What happens to them.
    #[arg(long, value_enum, default_value = "kill")]
    fault: Word,
    /// How many fail before it is waited for.
    #[arg(long, value_name = "N", default_value = "1")]
    together: NonZeroUsize,
    /// The time between those.
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "0s")]
    apart: Duration,
    /// For how long they are away.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    away: Duration,
    /// What rows and the order in which hosts fail are drawn from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// The folder of the nodes, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/chaos")]
    dir: PathBuf,
}

/// Hosts fail in several ways, each in a testbed of its own.
#[derive(Debug, Args)]
pub(super) struct Failover {
    #[command(flatten)]
    run: Run,
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "1")]
    seeds: u64,
    /// The folder of the testbeds, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/failover")]
    dir: PathBuf,
}

/// What runs while hosts fail.
#[derive(Debug, Args)]
struct Run {
    /// How many nodes there are.
    #[arg(short, long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(2..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// How many applications run over them.
    #[arg(short, long, value_name = "N", default_value = "20")]
    applications: NonZeroUsize,
    /// How often one of them fails; each once if not given.
    #[arg(short, long, value_name = "N")]
    kills: Option<NonZeroUsize>,
    /// How many backups each application asks for.
    #[arg(short, long, value_name = "N", default_value = "1")]
    replicas: u32,
    /// Backups run, and do not only hold the state.
    #[arg(long)]
    active: bool,
    /// How many rows a second each source has.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// For how long applications may say that they are degraded before the next host fails all the same.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    settle: Duration,
    /// In which time results have to be back, for 99 of 100 failures and applications.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    recovery: Duration,
    /// Into which folder figures and tables are written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    /// Its process is killed, and started again.
    Kill,
    /// Its process is stopped where it stands, and goes on.
    Silence,
    /// It is cut off from all others, and is not any more.
    CutOff,
}

impl Run {
    /// Each host is killed once.
    fn into_options(self, folder: Folder) -> chaos::Options {
        let kills = self.kills.map(NonZeroUsize::get);
        chaos::Options {
            folder,
            nodes: self.nodes,
            applications: self.applications.get(),
            kills: kills.unwrap_or_else(|| convert::index(u64::from(self.nodes))),
            fault: Fault::Kill,
            together: 1,
            apart: Duration::ZERO,
            away: AWAY,
            replicas: self.replicas,
            is_active: self.active,
            rate: self.rate,
            settle: self.settle,
            recovery: self.recovery,
            seed: 1,
            out: self.out,
        }
    }
}

/// For how long a host is away that is killed. Unit: time. Source: of the definition of the benchmark.
const AWAY: Duration = Duration::from_secs(5);

impl Chaos {
    pub(super) fn into_options(self) -> anyhow::Result<chaos::Options> {
        let together = self.together.get();
        anyhow::ensure!(
            together < convert::index(u64::from(self.run.nodes)),
            "of {} nodes {together} cannot fail together: one has to be left",
            self.run.nodes
        );
        Ok(chaos::Options {
            fault: match self.fault {
                Word::Kill => Fault::Kill,
                Word::Silence => Fault::Silence,
                Word::CutOff => Fault::CutOff,
            },
            together,
            apart: self.apart,
            away: self.away,
            seed: self.seed,
            ..self.run.into_options(Folder::at(&self.dir)?)
        })
    }
}

impl Failover {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        let options = failover::Options {
            run: self.run.into_options(Folder::at(&self.dir)?),
            seeds: (1..=self.seeds).collect(),
        };
        failover::run(&options, &Interrupt::by_signals()?)
    }
}
