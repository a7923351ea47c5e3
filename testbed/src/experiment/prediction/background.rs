//! H5: how often targets are missed over what others take of the hosts, with components that move and without.

use std::path::Path;

use model::Rng;

use super::fluid::backdrop::Backdrop;
use super::fluid::{Outcome, Setup, run as run_fluid};
use crate::bench::report::Report;
use crate::experiment::at_once::at_once;
use crate::experiment::grid::Grid;

/// The means of what others take of hosts. Unit: part of what a host offers. Source: components take 0.3 of it, so that
/// at the highest the mean of hosts is at the load above which none may take anything.
const LOADS: [f64; 5] = [0.05, 0.1, 0.2, 0.3, 0.4];

/// How many hosts and components there are, and for how long. Source: papers, section 12.4, on a scale that takes seconds.
const SETUP: Setup = Setup {
    hosts: 12,
    components: 36,
    seconds: 3600,
    swing: 0.4,
    is_watched: true,
};

/// Which part of the violations may be left at the three highest loads. Source: design.
const LEFT_MAX: f64 = 1.0 / 3.0;

/// The figures that are shown.
pub(super) const SHOWN: &[&str] = &[
    "violated_fraction",
    "overloaded_fraction",
    "moves",
    "returns",
    "moves_per_host_minute_max",
];

/// Runs all loads and seeds, with and without.
///
/// # Errors
/// When a file of data cannot be read.
pub(super) fn run(data: &Path, seeds: &[u64], jobs: usize) -> anyhow::Result<(Grid, Report)> {
    let mut grid = Grid::new("H5", "mean load of others, as a part of a host");
    let mut report = Report::new("H5", seeds.to_vec());
    report.simulated("execution: fluid, idle time / (1 - load); migrations take 2 s");
    let mut backdrops = Vec::new();
    for seed in seeds {
        let mut rng = Rng::from_seed(*seed).keyed("backdrop");
        let recorded = Backdrop::recorded(data, SETUP.hosts, &mut rng)?;
        if recorded.is_none() && backdrops.is_empty() {
            report.simulated(
                "loads of others and ways: generated, since recorded ones are not there",
            );
        }
        let generated = || Backdrop::generated(SETUP.hosts, SETUP.seconds, &mut rng);
        backdrops.push(recorded.unwrap_or_else(generated));
    }
    let cases: Vec<(f64, usize, bool)> = LOADS
        .into_iter()
        .flat_map(|load| (0..seeds.len()).map(move |seed| (load, seed)))
        .flat_map(|(load, seed)| [(load, seed, false), (load, seed, true)])
        .collect();
    let found: Vec<Outcome> = at_once(jobs, 0..cases.len(), |number| {
        let (load, seed, is_watched) = cases[number];
        let backdrop = backdrops[seed].clone().with_still_ways().with_mean(load);
        let setup = Setup {
            is_watched,
            ..SETUP
        };
        run_fluid(setup, &backdrop, seeds[seed])
    });
    for ((load, _, is_watched), outcome) in cases.iter().zip(&found) {
        let series = if *is_watched { "with" } else { "without" };
        let mut add = |figure, number| grid.add(series, *load, figure, number);
        add(SHOWN[0], outcome.violated_fraction);
        add(SHOWN[1], outcome.overloaded_fraction);
        if *is_watched {
            let count = model::convert::count_to_f64;
            add(SHOWN[2], count(outcome.moved()));
            add(SHOWN[3], count(outcome.returns));
            let most = model::convert::size(outcome.moves_per_host_minute_max);
            add(SHOWN[4], count(most));
        }
    }
    claims(&grid, &found, &mut report);
    report.tables(&grid.tables(SHOWN));
    grid.report(&mut report);
    Ok((grid, report))
}

fn claims(grid: &Grid, found: &[Outcome], report: &mut Report) {
    let mean = |series, load| grid.find(series, load, SHOWN[0]).map_or(0.0, |it| it.mean);
    let mut is_third = true;
    for (number, load) in LOADS.into_iter().enumerate() {
        let (with, without) = (mean("with", load), mean("without", load));
        report.number(&format!("H5.{load}.violated_fraction.with"), with);
        report.number(&format!("H5.{load}.violated_fraction.without"), without);
        is_third &= number + 3 < LOADS.len() || with <= LEFT_MAX * without;
    }
    report.claim("a_third_of_violations_at_the_three_highest_loads", is_third);
    let most = found.iter().map(|it| it.moves_per_host_minute_max).max();
    report.claim("at_most_two_moves_per_host_and_minute", most <= Some(2));
}
