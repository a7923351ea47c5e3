//! Experiments on the prototype: real processes on this machine, as far apart as measured hosts.
//!
//! T4 says how long it takes to join, to look up, to compose and to get a first result, over the number of nodes; R4, until delays are known. C1, C2 and C4 ask for
//! more and more applications, as [`super::workload`] draws them, of nodes that compose by different policies. Streams are files of rows
//! that are replayed as fast as time passes; results go to files, where the first row is looked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use composition::policy::Policy;
use model::convert;
use node::node::Composition;

use super::grid::Grid;
use super::workload::Settings;
use super::written;
use crate::bench::report::Report;
use crate::cli::note;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use bed::Asked;

mod bed;
mod build_up;
mod known;
mod start_up;

/// An experiment on the prototype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experiment {
    /// Its name, with which figures begin.
    pub name: &'static str,
    axis: &'static str,
    /// Which figures are shown as tables and plots. All are in the report.
    shown: &'static [&'static str],
    kind: Kind,
}

/// What is done with the nodes. Those of one kind show the same runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They are asked for more and more.
    BuildUp,
    /// They and some applications are started.
    StartUp,
    /// They join.
    Known,
}

/// How an experiment is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its testbeds are, one after the other.
    pub folder: Folder,
    /// How many nodes they have.
    pub nodes: Vec<u32>,
    /// The round trips between them; without it, they are as near as this machine makes them.
    pub latency: Option<PathBuf>,
    /// What runs are drawn from.
    pub seeds: Vec<u64>,
    /// After how many requests figures are taken, ascending.
    pub requests: Vec<usize>,
    /// The ways of composing.
    pub policies: Vec<&'static dyn Policy>,
    /// What each node offers. Unit: processors.
    pub cores: f64,
}

/// All experiments on the prototype.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: "T4",
        axis: "nodes",
        shown: &[
            "join_s",
            "lookup_round_trips_p50",
            "compose_ms_p50",
            "discovery_ms_p50",
            "probing_ms_p50",
            "commit_ms_p50",
            "other_ms_p50",
            "first_result_ms_p50",
            "first_result_ms_p95",
            "failed",
            "resident_bytes",
        ],
        kind: Kind::StartUp,
    },
    Experiment {
        name: "R4",
        axis: "hosts",
        shown: &[
            "known_after_join_ms",
            "known_after_join_ms_p50",
            "delay_off_fraction_p50",
        ],
        kind: Kind::Known,
    },
    Experiment {
        name: "C1",
        axis: "requests",
        shown: &["delay_ms", "way_ms", "new_way_ms", "success_fraction"],
        kind: Kind::BuildUp,
    },
    Experiment {
        name: "C2",
        axis: "requests",
        shown: &[
            "successful",
            "success_fraction",
            "admitted_fraction",
            "violated_fraction",
            "refused_fraction",
            "failed_fraction",
            "cores_used",
        ],
        kind: Kind::BuildUp,
    },
    Experiment {
        name: "C4",
        axis: "requests",
        shown: &[
            "compose_ms_p50",
            "compose_ms_p95",
            "discovery_ms_p50",
            "discovery_ms_p95",
            "probing_ms_p50",
            "probing_ms_p95",
            "commit_ms_p50",
            "commit_ms_p95",
            "other_ms_p50",
            "other_ms_p95",
            "start_ms_p50",
            "start_ms_p95",
            "first_result_ms_p50",
            "first_result_ms_p95",
            "probes_per_request",
            "success_fraction",
        ],
        kind: Kind::BuildUp,
    },
];

impl Experiment {
    /// The experiment of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|it| it.name == name)
    }

    /// Runs it. `told` hears how far it is. Nothing of its testbeds is left.
    ///
    /// # Errors
    /// When nodes do not come up, or what runs need is refused.
    pub fn run(
        &self,
        options: &Options,
        interrupt: &Interrupt,
        told: &dyn Fn(&str),
    ) -> anyhow::Result<(Grid, Report)> {
        let mut grid = Grid::new(self.name, self.axis);
        match self.kind {
            Kind::BuildUp => build_up::run(options, interrupt, told, &mut grid)?,
            Kind::StartUp => start_up::run(options, interrupt, told, &mut grid)?,
            Kind::Known => known::run(options, interrupt, told, &mut grid)?,
        }
        let report = self.report(options, &grid);
        Ok((grid, report))
    }

    /// What is told of figures.
    fn report(&self, options: &Options, grid: &Grid) -> Report {
        let mut report = Report::new(self.name, options.seeds.clone());
        if options.latency.is_some() {
            report.simulated("network: each connection is held back by half of a measured round trip in user space");
        }
        match self.kind {
            Kind::BuildUp => build_up::claims(options, grid, &mut report),
            Kind::StartUp => start_up::claims(grid, &mut report),
            Kind::Known => known::claims(grid, &mut report),
        }
        let lost = grid.curves(LOST).into_iter().flat_map(|it| it.points);
        let lost = lost.map(|(_, it)| it.high).fold(0.0, f64::max);
        report.claim("every_run_ended", lost <= 0.0);
        report.tables(&grid.tables(self.shown));
        grid.report(&mut report);
        report
    }

    /// Writes the report, its tables and a plot of each figure that is shown into a folder, which is made; and those of the experiments that
    /// show other figures of the same runs.
    ///
    /// # Errors
    /// When a file cannot be written; others may have been.
    pub fn write(&self, folder: &Path, options: &Options, grid: &Grid) -> anyhow::Result<()> {
        let is_the_same = |it: &&Self| it.kind == self.kind;
        for of_the_same in ALL.iter().filter(is_the_same) {
            let grid = grid.named(of_the_same.name);
            let report = of_the_same.report(options, &grid);
            written::write(folder, &grid, &report, of_the_same.shown)?;
        }
        Ok(())
    }
}

/// The figure of runs that did not come to their end: 1 of such a one.
const LOST: &str = "run_lost";

/// How a run ended, as [`LOST`] has it: others go on where one could not, for what they found would be lost with it.
///
/// # Errors
/// When this process was told to stop.
fn lost(what: &str, ended: anyhow::Result<()>, interrupt: &Interrupt) -> anyhow::Result<f64> {
    let Err(error) = ended else {
        return Ok(0.0);
    };
    interrupt.check()?;
    note(&format!("{what} did not come to its end: {error:#}"));
    Ok(1.0)
}

/// What is drawn for so many nodes: kinds and pipelines in proportion to them, and streams that are slow enough for all nodes to
/// share one machine. Chains only: a plan that forks waits for both of its branches, and would tell of rows more than of ways.
fn settings(nodes: u32, requests: usize) -> Settings {
    let hosts = convert::index(u64::from(nodes));
    Settings {
        fork_fraction: 0.0,
        rows_per_second: 2.0,
        pipelines: (hosts / 2).clamp(4, 30),
        kinds: (2 * hosts).max(16),
        requests,
        ..Settings::default().scaled_to(hosts)
    }
}

/// How long the parts of starting took, in milliseconds: of each its median and what 95 % do not exceed. `other` is what the answer took
/// beside what the composer did: finding the streams that a file names, before it, and telling, behind it. `start` is from the answer
/// to the first row at the sink, where one came.
fn stages(admitted: &[&Asked]) -> Vec<(&'static str, f64)> {
    let millis = |time: fn(&Composition) -> Option<f64>| {
        let times = admitted.iter().filter_map(|it| time(&it.composition));
        times.map(|it| convert::seconds(it / 1e3)).collect()
    };
    let composed: Vec<Duration> = admitted.iter().map(|it| it.composed).collect();
    let first = admitted.iter().filter_map(|it| it.first_result);
    let other = admitted.iter().filter_map(|it| {
        let told = &it.composition;
        let spent_ms = told.discovery_ms? + told.probing_ms? + told.commit_ms?;
        Some(it.composed.saturating_sub(convert::seconds(spent_ms / 1e3)))
    });
    let started = admitted
        .iter()
        .filter_map(|it| Some(it.first_result?.saturating_sub(it.composed)));
    let figures: [((&'static str, &'static str), Vec<Duration>); 7] = [
        (("compose_ms_p50", "compose_ms_p95"), composed),
        (
            ("discovery_ms_p50", "discovery_ms_p95"),
            millis(|it| it.discovery_ms),
        ),
        (
            ("probing_ms_p50", "probing_ms_p95"),
            millis(|it| it.probing_ms),
        ),
        (
            ("commit_ms_p50", "commit_ms_p95"),
            millis(|it| it.commit_ms),
        ),
        (("other_ms_p50", "other_ms_p95"), other.collect()),
        (("start_ms_p50", "start_ms_p95"), started.collect()),
        (
            ("first_result_ms_p50", "first_result_ms_p95"),
            first.collect(),
        ),
    ];
    let figures = figures.iter().flat_map(|((median, high), times)| {
        [
            (*median, quantile_ms(times, 0.5)),
            (*high, quantile_ms(times, 0.95)),
        ]
    });
    figures
        .filter_map(|(figure, it)| Some((figure, it?)))
        .collect()
}

/// The p-quantile of some times, in milliseconds: the least that so many of them do not exceed. Nothing where there are none.
fn quantile_ms(times: &[Duration], p: f64) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (convert::count_to_f64(convert::size(sorted.len())) * p).ceil();
    let rank = usize::try_from(convert::round(rank)).unwrap_or(0);
    sorted
        .get(rank.saturating_sub(1))
        .map(|time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_measured() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(quantile_ms(&times, 0.5), Some(10.0));
        assert_eq!(quantile_ms(&times, 0.95), Some(19.0));
        assert_eq!(quantile_ms(&times[..1], 0.95), Some(1.0));
        assert_eq!(quantile_ms(&[], 0.5), None);
    }
}
