//! Experiments on watching and predicting: how far off predictions are (H1), what they cost (H2), what moving components is worth (H5), and
//! how often loads are told (H6). What moving is worth to real processes is in [`hosts`].
//!
//! Rates and loads are those of real systems where data is there ([`series`]); what hosts and networks do with them is modelled by
//! [`fluid`], in which production's monitors and detectors run.

use std::path::{Path, PathBuf};

use crate::bench::report::Report;

use super::written;

mod background;
mod cost;
pub mod fluid;
pub mod hosts;
mod rates;
pub mod series;
mod updates;

/// How such an experiment is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of data.
    pub data: PathBuf,
    /// How many samples of each series count, or are measured.
    pub samples: usize,
    /// What runs are drawn from.
    pub seeds: Vec<u64>,
    /// How much is done at a time.
    pub jobs: usize,
    /// Into which folder figures and tables are written.
    pub out: Option<PathBuf>,
}

/// Runs H1.
///
/// # Errors
/// When the data is not there, or a file cannot be read or written.
pub fn errors(options: &Options) -> anyhow::Result<Report> {
    let report = rates::run(&options.data, options.samples, options.jobs)?;
    write(options.out.as_deref(), "H1", &report)?;
    Ok(report)
}

/// Runs H2.
///
/// # Errors
/// When a file cannot be written.
pub fn cost(options: &Options) -> anyhow::Result<Report> {
    let report = cost::run(options.samples);
    write(options.out.as_deref(), "H2", &report)?;
    Ok(report)
}

/// Runs H5.
///
/// # Errors
/// When a file cannot be read or written.
pub fn background(options: &Options) -> anyhow::Result<Report> {
    let (grid, report) = background::run(&options.data, &options.seeds, options.jobs)?;
    if let Some(folder) = &options.out {
        written::write(folder, &grid, &report, background::SHOWN)?;
    }
    Ok(report)
}

/// Runs H6.
///
/// # Errors
/// When a file cannot be written.
pub fn updates(options: &Options) -> anyhow::Result<Report> {
    let (grid, report) = updates::run(&options.seeds);
    if let Some(folder) = &options.out {
        written::write(folder, &grid, &report, updates::SHOWN)?;
    }
    Ok(report)
}

/// Writes a report that goes over no axis.
fn write(folder: Option<&Path>, name: &str, report: &Report) -> anyhow::Result<()> {
    match folder {
        Some(folder) => written::report(folder, name, report),
        None => Ok(()),
    }
}
