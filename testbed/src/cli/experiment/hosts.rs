//! The command of H5 on real processes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::super::local::duration;
use super::super::note;
use crate::bench::report::Report;
use crate::experiment::prediction::hosts;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;

/// How hosts of real processes are loaded.
#[derive(Debug, Args)]
pub(in crate::cli) struct Hosts {
    /// The folder of public data, with a folder for each family of series.
    #[arg(
        long,
        value_name = "FOLDER",
        env = "SYNERGY_DATA",
        default_value = "../shared/data"
    )]
    data: PathBuf,
    /// What others take of hosts on average, as parts of a host.
    #[arg(long, value_delimiter = ',', value_name = "LOAD,...", default_value = "0.2,0.3,0.4", value_parser = load)]
    loads: Vec<f64>,
    /// How many applications there are.
    #[arg(long, default_value = "8")]
    applications: usize,
    /// For how long results count, such as 60s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "60s")]
    time: Duration,
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "3")]
    seeds: u64,
    /// The folder of the testbeds, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/hosts")]
    dir: PathBuf,
    /// Into which folder figures, tables and plots are written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Hosts {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        let options = hosts::Options {
            folder: Folder::at(&self.dir)?,
            data: self.data,
            loads: self.loads,
            applications: self.applications.max(1),
            duration: self.time,
            seeds: (1..=self.seeds).collect(),
            out: self.out,
        };
        hosts::run(&options, &Interrupt::by_signals()?, &note)
    }
}

fn load(text: &str) -> Result<f64, String> {
    let load = text.parse().ok().filter(|load| (0.0..=1.0).contains(load));
    load.ok_or_else(|| format!("{text:?} is no part of a host; expected 0 to 1"))
}
