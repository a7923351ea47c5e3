//! The commands of experiments.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use composition::policy;
use composition::queue::Discipline;

use super::note;
use crate::bench::report::Report;
use crate::experiment::workload::Settings;
use crate::experiment::{Experiment, Options};

#[derive(Debug, Subcommand)]
pub(super) enum Name {
    /// Probes per request over requests, in the simulator.
    #[command(name = "C3")]
    C3(Simulated),
    /// Delay over requests, in the simulator.
    #[command(name = "C5")]
    C5(Simulated),
    /// Success over requests, in the simulator.
    #[command(name = "C6")]
    C6(Simulated),
    /// Success over the strictness of targets, in the simulator.
    #[command(name = "C7")]
    C7(Simulated),
    /// Success over the popularity of queries, in the simulator.
    #[command(name = "C8")]
    C8(Simulated),
    /// The distance from exhaustive search in small cases, in the simulator.
    #[command(name = "C10")]
    C10(Simulated),
    /// What composition costs over the number of hosts, in the simulator.
    #[command(name = "C11")]
    C11(Simulated),
}

/// How an experiment in the simulator is run.
#[derive(Debug, Args)]
pub(super) struct Simulated {
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "3")]
    seeds: u64,
    /// After how many requests figures are taken.
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    requests: Vec<NonZeroUsize>,
    /// How many hosts there are; of C11, over how many it goes.
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    hosts: Vec<NonZeroUsize>,
    /// The ways of composing, by their names.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    policies: Vec<String>,
    /// Which part of the pipelines fork and join.
    #[arg(long, value_name = "FRACTION", default_value = "0.3")]
    forks: f64,
    /// How hosts share their processors among components.
    #[arg(long, value_enum, default_value = "rank")]
    execution: Execution,
    /// How many runs go on at a time.
    #[arg(long, default_value = "1")]
    jobs: NonZeroUsize,
    /// Into which folder the figures and plots are written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// How hosts share their processors among components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Execution {
    /// The strictest first, as production does.
    Rank,
    /// All at once, as the reference model has it.
    Sharing,
}

impl Name {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        let (name, simulated) = match self {
            Self::C3(it) => ("C3", it),
            Self::C5(it) => ("C5", it),
            Self::C6(it) => ("C6", it),
            Self::C7(it) => ("C7", it),
            Self::C8(it) => ("C8", it),
            Self::C10(it) => ("C10", it),
            Self::C11(it) => ("C11", it),
        };
        let experiment = Experiment::find(name).ok_or_else(|| anyhow!("no experiment {name}"))?;
        let options = simulated.options(experiment)?;
        let (grid, report) = experiment.run(&options, &note);
        if let Some(folder) = &simulated.out {
            experiment.write(folder, &grid, &report)?;
        }
        Ok(report)
    }
}

impl Simulated {
    fn options(&self, experiment: &Experiment) -> anyhow::Result<Options> {
        let mut requests: Vec<usize> = self.requests.iter().map(|it| it.get()).collect();
        if requests.is_empty() {
            requests = experiment.requests().to_vec();
        }
        requests.sort_unstable();
        requests.dedup();
        let policies = self.policies.iter().map(|name| {
            policy::find(name).ok_or_else(|| anyhow!("there is no policy called {name}"))
        });
        let mut policies = policies.collect::<anyhow::Result<Vec<_>>>()?;
        if policies.is_empty() {
            policies = experiment.policies();
        }
        let mut hosts: Vec<usize> = self.hosts.iter().map(|it| it.get()).collect();
        let mut settings = Settings {
            fork_fraction: self.forks.clamp(0.0, 1.0),
            ..Settings::default()
        };
        if hosts.is_empty() {
            hosts = experiment.hosts().to_vec();
        } else if !experiment.goes_over_hosts() {
            settings = settings.scaled_to(hosts[0]);
        }
        Ok(Options {
            seeds: (1..=self.seeds).collect(),
            requests,
            policies,
            hosts,
            settings,
            execution: match self.execution {
                Execution::Rank => Discipline::Rank,
                Execution::Sharing => Discipline::ProcessorSharing,
            },
            jobs: self.jobs.get(),
        })
    }
}
