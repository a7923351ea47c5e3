//! The commands of experiments.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use composition::policy::{self, Policy};
use composition::queue::Discipline;
use node::application::units;

use super::chaos::Failover;
use super::local::duration;
use super::note;
use crate::bench::report::Report;
use crate::experiment::workload::Settings;
use crate::experiment::{Experiment, Options, clocks, deadlines, prediction, prototype};
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::up::NODES_MAX;
use hosts::Hosts;
use migration::Migration;
use replicas::Replicas;

mod hosts;
mod migration;
mod replicas;

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
    /// Projected and measured execution times over time, in the simulator with engines.
    #[command(name = "C9")]
    C9(Simulated),
    /// The distance from exhaustive search in small cases, in the simulator.
    #[command(name = "C10")]
    C10(Simulated),
    /// What composition costs over the number of hosts, in the simulator.
    #[command(name = "C11")]
    C11(Simulated),
    /// Delay over requests, of real processes.
    #[command(name = "C1")]
    C1(Prototype),
    /// Success over requests, of real processes.
    #[command(name = "C2")]
    C2(Prototype),
    /// How long it takes to compose and to get a first result over requests, of real processes.
    #[command(name = "C4")]
    C4(Prototype),
    /// How long it takes to join, to look up, to compose and to get a first result over nodes, of real processes.
    #[command(name = "T4")]
    T4(Prototype),
    /// Delays of one application over load, of four shapes.
    #[command(name = "D1")]
    D1(Deadlines),
    /// Delays of applications in a hurry and of others beside them over load.
    #[command(name = "D2")]
    D2(Deadlines),
    /// The same over the number of the others.
    #[command(name = "D2-count")]
    D2Count(Deadlines),
    /// The same over the number of workers.
    #[command(name = "D2-workers")]
    D2Workers(Deadlines),
    /// Delays where the others' rates change and spike.
    #[command(name = "D3")]
    D3(Deadlines),
    /// Who is on time where rates are skewed.
    #[command(name = "D4")]
    D4(Deadlines),
    /// Who is on time by which order of work.
    #[command(name = "D5")]
    D5(Deadlines),
    /// What each rule of our order is worth.
    #[command(name = "D7")]
    D7(Deadlines),
    /// Delays over the cost of the others' batches.
    #[command(name = "D7-batch")]
    D7Batch(Deadlines),
    /// Who is on time where batches do not cost what they usually do.
    #[command(name = "D7-noise")]
    D7Noise(Deadlines),
    /// Throughput by shares.
    #[command(name = "D8")]
    D8(Deadlines),
    /// Who is on time where there is more work than can be done.
    #[command(name = "D9")]
    D9(Deadlines),
    /// How long it takes until an application is on time again that was delayed once.
    #[command(name = "D11")]
    D11(Deadlines),
    /// Whether threads and virtual cores tell the same of one scenario.
    #[command(name = "agreement")]
    Agreement(Deadlines),
    /// Three hosts whose clocks are apart, of real processes.
    #[command(name = "D10")]
    D10(Clocks),
    /// Availability over the size of an application and how many of its operators are on the same hosts.
    #[command(name = "R1")]
    R1(Replicas),
    /// Availability by how hosts are ranked.
    #[command(name = "R2")]
    R2(Replicas),
    /// The distance from the best there is in small cases.
    #[command(name = "R2-small")]
    R2Small(Replicas),
    /// What availability costs in delays.
    #[command(name = "R2-tolerance")]
    R2Tolerance(Replicas),
    /// Delays by how hosts are ranked.
    #[command(name = "R3")]
    R3(Replicas),
    /// How long after joining the delays of all hosts are known, of real processes.
    #[command(name = "R4")]
    R4(Prototype),
    /// How long results are away and what is lost when hosts fail, of real processes.
    #[command(name = "R5")]
    R5(Failover),
    /// How far predicted rates and execution times are off, by predictor, on real series.
    #[command(name = "H1")]
    H1(Prediction),
    /// How long a prediction takes.
    #[command(name = "H2")]
    H2(Prediction),
    /// How long an operator with much state takes to another host, and how long its results pause, of real processes.
    #[command(name = "H4")]
    H4(Migration),
    /// How often targets are missed over what others take of the hosts, with components that move and without.
    #[command(name = "H5")]
    H5(Prediction),
    /// The same of real processes with parts of a core each.
    #[command(name = "H5-hosts")]
    H5Hosts(Hosts),
    /// How often hosts tell their load over the overlap of intervals.
    #[command(name = "H6")]
    H6(Prediction),
}

/// How predictions are measured.
#[derive(Debug, Args)]
pub(super) struct Prediction {
    /// The folder of public data, with a folder for each family of series.
    #[arg(
        long,
        value_name = "FOLDER",
        env = "SYNERGY_DATA",
        default_value = "../shared/data"
    )]
    data: PathBuf,
    /// How many samples of each series count, from its beginning.
    #[arg(long, value_name = "N", default_value = "100000")]
    samples: NonZeroUsize,
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "5")]
    seeds: u64,
    /// How many series are gone through at a time.
    #[arg(long, default_value = "1")]
    jobs: NonZeroUsize,
    /// Into which folder figures, tables and plots are written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Prediction {
    fn run(
        self,
        experiment: fn(&prediction::Options) -> anyhow::Result<Report>,
    ) -> anyhow::Result<Report> {
        experiment(&prediction::Options {
            data: self.data,
            samples: self.samples.get(),
            seeds: (1..=self.seeds).collect(),
            jobs: self.jobs.get(),
            out: self.out,
        })
    }
}

/// How hosts with clocks that are apart are compared.
#[derive(Debug, Args)]
pub(super) struct Clocks {
    /// How far the clocks of neighbors are apart; the least is what others are compared with.
    #[arg(long, value_delimiter = ',', value_name = "DURATION,...", default_value = "0s,100ms,1h",
        value_parser = units::duration)]
    apart: Vec<Duration>,
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "3")]
    seeds: u64,
    /// For how long rows flow, such as 20s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "20s")]
    for_: Duration,
    /// The folder of the testbeds, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/clocks")]
    dir: PathBuf,
    /// Into which folder figures, tables and plots are written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Clocks {
    fn run(mut self) -> anyhow::Result<Report> {
        self.apart.sort_unstable();
        self.apart.dedup();
        let options = clocks::Options {
            folder: Folder::at(&self.dir)?,
            apart: self.apart,
            seeds: (1..=self.seeds).collect(),
            duration: self.for_,
        };
        let interrupt = Interrupt::by_signals()?;
        let (grid, report) = clocks::run(&options, &interrupt, &note)?;
        if let Some(folder) = &self.out {
            clocks::write(folder, &options, &grid)?;
        }
        Ok(report)
    }
}

/// How an experiment with real processes is run.
#[derive(Debug, Args)]
pub(super) struct Prototype {
    /// How many nodes there are, or over how many it goes.
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "8,32,88",
        value_parser = clap::value_parser!(u32).range(2..=i64::from(NODES_MAX)))]
    nodes: Vec<u32>,
    /// Delay everything between nodes as between hosts of a file of round trips.
    #[arg(long, value_name = "FILE")]
    latency: Option<PathBuf>,
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "1")]
    seeds: u64,
    /// After how many requests figures are taken; T4 and R4 do not go over them.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,...",
        default_value = "20,60,100,200,300"
    )]
    requests: Vec<NonZeroUsize>,
    /// The ways of composing, by their names; T4 and R4 have one.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,...",
        default_value = "random,greedy,composition,synergy_paper,synergy"
    )]
    policies: Vec<String>,
    /// How many processors each node offers: of declared costs, which make nodes scarce that do next to nothing.
    #[arg(long, value_name = "N", default_value = "0.25")]
    cores: f64,
    /// The folder of the testbeds, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/experiment")]
    dir: PathBuf,
    /// Into which folder figures, tables and plots are written: of C1, C2 and C4 together, which show the same runs.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Prototype {
    fn run(self, name: &str) -> anyhow::Result<Report> {
        let experiment =
            prototype::Experiment::find(name).ok_or_else(|| anyhow!("no experiment {name}"))?;
        let mut requests: Vec<usize> = self.requests.iter().map(|it| it.get()).collect();
        requests.sort_unstable();
        requests.dedup();
        let options = prototype::Options {
            folder: Folder::at(&self.dir)?,
            nodes: self.nodes,
            latency: self.latency,
            seeds: (1..=self.seeds).collect(),
            requests,
            policies: policies(&self.policies)?,
            cores: self.cores,
        };
        let interrupt = Interrupt::by_signals()?;
        let (grid, report) = experiment.run(&options, &interrupt, &note)?;
        if let Some(folder) = &self.out {
            experiment.write(folder, &options, &grid)?;
        }
        Ok(report)
    }
}

/// The ways of composing of these names.
fn policies(names: &[String]) -> anyhow::Result<Vec<&'static dyn Policy>> {
    let found = names
        .iter()
        .map(|name| policy::find(name).ok_or_else(|| anyhow!("there is no policy called {name}")));
    found.collect()
}

/// How an experiment on deadlines is run.
#[derive(Debug, Args)]
pub(super) struct Deadlines {
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "5")]
    seeds: u64,
    /// How long everything takes, as a part of what scenarios say: windows, targets and costs.
    #[arg(long, value_name = "FRACTION", default_value = "0.25", value_parser = positive)]
    scale: f64,
    /// For how long windows count, before it is scaled; as scenarios say, if not given.
    #[arg(long = "for", value_name = "SECONDS", value_parser = positive)]
    measured_s: Option<f64>,
    /// The places on the axis: loads, where the experiment goes over loads.
    #[arg(long, value_delimiter = ',', value_name = "PLACE,...", value_parser = positive)]
    at: Vec<f64>,
    /// The orders of work, by their names.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    policies: Vec<String>,
    /// On virtual cores and in virtual time, which needs no quiet machine.
    #[arg(long = "virtual")]
    is_virtual: bool,
    /// Into which folder figures, tables and plots are written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Deadlines {
    fn run(self, name: &str) -> anyhow::Result<Report> {
        let experiment =
            deadlines::Experiment::find(name).ok_or_else(|| anyhow!("no experiment {name}"))?;
        let find = |name: &String| {
            let found = deadlines::series::find(name);
            found.ok_or_else(|| anyhow!("there is no order of work called {name}"))
        };
        let given: anyhow::Result<Vec<_>> = self.policies.iter().map(find).collect();
        let options = deadlines::Options {
            seeds: (1..=self.seeds).collect(),
            scale: self.scale,
            measured_s: self.measured_s,
            places: self.at,
            series: match given? {
                none if none.is_empty() => experiment.series(self.is_virtual),
                some => some,
            },
            is_virtual: self.is_virtual,
        };
        let (grid, report) = experiment.run(&options, &note)?;
        if let Some(folder) = &self.out {
            experiment.write(folder, &options, &grid)?;
        }
        Ok(report)
    }
}

/// A number above zero.
fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    match number > 0.0 && number.is_finite() {
        true => Ok(number),
        false => Err("not above zero".to_owned()),
    }
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
    /// Into which folder figures, tables and plots are written: of C3, C5 and C6 together, which show the same runs.
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
            Self::C9(it) => ("C9", it),
            Self::C10(it) => ("C10", it),
            Self::C11(it) => ("C11", it),
            Self::C1(it) => return it.run("C1"),
            Self::C2(it) => return it.run("C2"),
            Self::C4(it) => return it.run("C4"),
            Self::T4(it) => return it.run("T4"),
            Self::D1(it) => return it.run("D1"),
            Self::D2(it) => return it.run("D2"),
            Self::D2Count(it) => return it.run("D2-count"),
            Self::D2Workers(it) => return it.run("D2-workers"),
            Self::D3(it) => return it.run("D3"),
            Self::D4(it) => return it.run("D4"),
            Self::D5(it) => return it.run("D5"),
            Self::D7(it) => return it.run("D7"),
            Self::D7Batch(it) => return it.run("D7-batch"),
            Self::D7Noise(it) => return it.run("D7-noise"),
            Self::D8(it) => return it.run("D8"),
            Self::D9(it) => return it.run("D9"),
            Self::D11(it) => return it.run("D11"),
            Self::Agreement(it) => return it.run("agreement"),
            Self::D10(it) => return it.run(),
            Self::R4(it) => return it.run("R4"),
            Self::R5(it) => return it.run(),
            Self::R1(it) => return it.run("R1"),
            Self::R2(it) => return it.run("R2"),
            Self::R2Small(it) => return it.run("R2-small"),
            Self::R2Tolerance(it) => return it.run("R2-tolerance"),
            Self::R3(it) => return it.run("R3"),
            Self::H1(it) => return it.run(prediction::errors),
            Self::H2(it) => return it.run(prediction::cost),
            Self::H4(it) => return it.run(),
            Self::H5(it) => return it.run(prediction::background),
            Self::H5Hosts(it) => return it.run(),
            Self::H6(it) => return it.run(prediction::updates),
        };
        let experiment = Experiment::find(name).ok_or_else(|| anyhow!("no experiment {name}"))?;
        let options = simulated.options(experiment)?;
        let (grid, report) = experiment.run(&options, &note);
        if let Some(folder) = &simulated.out {
            experiment.write(folder, &options, &grid)?;
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
        let mut policies = policies(&self.policies)?;
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
