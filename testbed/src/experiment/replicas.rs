//! Experiments on replicas: how likely applications are up, and what that costs in delays.
//!
//! R1 has placements that are given, and compares the ways in which their availability is found. R2 and R3 show the same runs:
//! applications are placed by each policy on drawn hosts, by the coordinates that these would have, and hosts fail and come back
//! over virtual time. R2-small has so few hosts that every placement is looked at, and R2-tolerance says what delays are worth.
//! No processes run and nothing is timed: the same seeds give the same figures on any machine.

use std::path::Path;

use model::Rng;

use super::grid::Grid;
use super::written;
use crate::bench::report::Report;

mod aligned;
mod case;
mod failures;
mod placed;

/// An experiment on replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experiment {
    /// Its name, with which figures begin.
    pub name: &'static str,
    axis: &'static str,
    /// Which figures are shown as tables and plots. All are in the report.
    shown: &'static [&'static str],
    kind: Kind,
}

/// What is on the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Aligned,
    Policies,
    Small,
    Tolerances,
}

/// How an experiment is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What runs are drawn from.
    pub seeds: Vec<u64>,
    /// How many runs go on at a time.
    pub jobs: usize,
}

/// All experiments on replicas.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: "R1",
        axis: "operators",
        shown: &[
            "availability_a90_k2",
            "availability_a95_k2",
            "availability_a90_k3",
            "measured_a90_k2",
        ],
        kind: Kind::Aligned,
    },
    Experiment {
        name: "R2",
        axis: "operators",
        shown: &["measured_availability", "availability", "hosts_used"],
        kind: Kind::Policies,
    },
    Experiment {
        name: "R3",
        axis: "operators",
        shown: &["delay_ms", "within_ms", "estimated_over_true"],
        kind: Kind::Policies,
    },
    Experiment {
        name: "R2-small",
        axis: "operators",
        shown: &["unavailability_over_exhaustive", "cost_over_exhaustive"],
        kind: Kind::Small,
    },
    Experiment {
        name: "R2-tolerance",
        axis: "unavailability beyond the least, as a fraction of it",
        shown: &["availability", "delay_ms", "within_ms"],
        kind: Kind::Tolerances,
    },
];

impl Experiment {
    /// The experiment of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|it| it.name == name)
    }

    /// Runs it. `told` hears of every run that has ended.
    pub fn run(&self, options: &Options, told: &(dyn Fn(&str) + Sync)) -> (Grid, Report) {
        let mut grid = Grid::new(self.name, self.axis);
        match self.kind {
            Kind::Aligned => aligned::run(options, &mut grid, told),
            Kind::Policies => placed::policies(options, &mut grid, told),
            Kind::Small => placed::small(options, &mut grid, told),
            Kind::Tolerances => placed::tolerances(options, &mut grid, told),
        }
        let report = self.report(options, &grid);
        (grid, report)
    }

    /// What is told of figures.
    fn report(&self, options: &Options, grid: &Grid) -> Report {
        let mut report = Report::new(self.name, options.seeds.clone());
        report.simulated(
            "hosts: each is up and down for exponentially long times, whatever others are",
        );
        if self.kind != Kind::Aligned {
            report.simulated(
                "network: delays of shortest paths in a transit-stub graph; coordinates are production's Vivaldi over them",
            );
        }
        match self.kind {
            Kind::Aligned => aligned::claims(grid, &mut report),
            Kind::Policies => placed::claims(grid, &mut report),
            Kind::Small => placed::claims_small(grid, &mut report),
            Kind::Tolerances => {}
        }
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
        for of_the_same in ALL.iter().filter(|it| it.kind == self.kind) {
            let grid = grid.named(of_the_same.name);
            let report = of_the_same.report(options, &grid);
            written::write(folder, &grid, &report, of_the_same.shown)?;
        }
        Ok(())
    }
}

/// The randomness of a seed for a part of a case.
fn drawn(seed: u64, part: &str) -> Rng {
    Rng::from_seed(seed).keyed("replicas").keyed(part)
}

/// What placements are computed and measured with is the same in all experiments; what they find may differ by this where it is
/// computed in two ways. Source: the definition of R1.
const EXACT: f64 = 1e-9;
