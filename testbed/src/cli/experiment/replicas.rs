//! The commands of experiments on replicas.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use crate::bench::report::Report;
use crate::cli::note;
use crate::experiment::replicas::{Experiment, Options};

/// How an experiment on replicas is run.
#[derive(Debug, Args)]
pub(crate) struct Replicas {
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "20")]
    seeds: u64,
    /// How many runs go on at a time.
    #[arg(long, default_value = "1")]
    jobs: NonZeroUsize,
    /// Into which folder figures, tables and plots are written: of R2 and R3 together, which show the same runs.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Replicas {
    pub(super) fn run(self, name: &str) -> anyhow::Result<Report> {
        let experiment = Experiment::find(name).ok_or_else(|| anyhow!("no experiment {name}"))?;
        let options = Options {
            seeds: (1..=self.seeds).collect(),
            jobs: self.jobs.get(),
        };
        let (grid, report) = experiment.run(&options, &note);
        if let Some(folder) = &self.out {
            experiment.write(folder, &options, &grid)?;
        }
        Ok(report)
    }
}
