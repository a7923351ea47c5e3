//! `bench pipe`: how many rows go from one process to another, engines and an encrypted data stream between them,
//! beside plain TCP that carries the same frames.
//!
//! In one process a generator in memory (a key of 8 bytes, text to the size of a row) and a filter that passes all;
//! in the other a consumer that counts. Both take turns with two processes that do nothing but write and read the
//! bytes of one such batch. All four report to this process, which reads their processor time.
//!
//! With a delay everything that arrives is held back for so long, and a data stream with nothing at its ends takes the place of plain TCP, which is not.

pub(crate) mod bare;
mod echo;
mod flow;
mod network;
mod plain;
mod session;
mod sink;
mod source;

use std::num::NonZeroUsize;
use std::time::Duration;

use model::convert;

use super::report::Report;
use crate::cli::note;
use session::{Measured, Session};

pub use session::{Role, Series, child};

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The size of a row. Unit: bytes. Range: from 9 to [`SIZE_MAX`].
    pub size: usize,
    /// For how long nothing is counted.
    pub warm_up: Duration,
    /// For how long rows are counted.
    pub time: Duration,
    /// How often both are measured.
    pub runs: u32,
    /// How long everything is held back that arrives at either end.
    pub delay: Duration,
    /// How many threads each process has for operators, and as many for its network.
    pub workers: NonZeroUsize,
}

impl Options {
    /// What is measured beside.
    const fn other(&self) -> Series {
        match self.delay.is_zero() {
            true => Series::Tcp,
            false => Series::Stream,
        }
    }
}

/// The largest row. Unit: bytes. Source: experiments, T2.
pub const SIZE_MAX: usize = 256 << 10;

/// Measures; see the module.
///
/// # Errors
/// When something cannot be run. That rows are missing is no error, but a claim that does not hold.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let (mut synergy, mut others) = (Vec::new(), Vec::new());
    let other = options.other();
    for run in 1..=options.runs {
        let measured = Session::run(Series::Synergy, options)?;
        let beside = Session::run(other, options)?;
        note(&format!(
            "run {run} of {}: {:.0} rows/s, {} {:.0}",
            options.runs,
            measured.rows_per_second(),
            other.name(),
            beside.rows_per_second(),
        ));
        synergy.push(measured);
        others.push(beside);
    }
    Ok(report(options, &synergy, &others))
}

fn report(options: &Options, synergy: &[Measured], others: &[Measured]) -> Report {
    let other = options.other().name();
    let mut report = Report::new("pipe", vec![flow::SEED]);
    report.count("row_bytes", convert::size(options.size));
    report.count("batch_rows", convert::size(flow::batch_rows(options.size)));
    report.count("workers", convert::size(options.workers.get()));
    report.number("seconds", options.time.as_secs_f64());
    if !options.delay.is_zero() {
        report.simulated("network: each connection is held back in user space");
        report.number("delay_ms", options.delay.as_secs_f64() * 1e3);
    }
    for (prefix, runs) in [(String::new(), synergy), (format!("{other}."), others)] {
        let mut spread = |figure: &str, of: &dyn Fn(&Measured) -> f64| {
            let numbers: Vec<f64> = runs.iter().map(of).collect();
            report.spread(&format!("{prefix}{figure}"), &numbers);
        };
        spread("rows_per_second", &Measured::rows_per_second);
        spread("bytes_per_second", &|run| {
            run.bytes_per_second(options.size)
        });
        spread("cpu_s_per_gib", &|run| run.cpu_s_per_gib(options.size));
        spread("round_trip_us_p50", &|run| run.idle.p50_us);
        spread("round_trip_us_p99", &|run| run.idle.p99_us);
        spread("round_trip_loaded_us_p50", &|run| run.loaded.p50_us);
        spread("round_trip_loaded_us_p99", &|run| run.loaded.p99_us);
    }
    let ratios: Vec<f64> = synergy
        .iter()
        .zip(others)
        .map(|(synergy, other)| synergy.rows_per_second() / other.rows_per_second())
        .collect();
    report.spread(&format!("{other}_ratio"), &ratios);
    let are_whole = |runs: &[Measured]| runs.iter().all(|run| run.is_whole && run.rows > 0);
    report.claim("every_row_once", are_whole(synergy) && are_whole(others));
    report
}
