//! Experiments on deadlines: what order of work makes of delays where applications share cores.
//!
//! A [`scenario`] file says who shares them. [`schedule`] draws what arrives, once for all policies; [`mod@reference`] computes every window
//! that must come out of it; [`threads`] runs it on the production runtime, [`cores`] on the same engine with virtual cores and
//! virtual time; [`figures`] are of all windows that should have closed. Every window of every run is held against the reference. Runs
//! of different policies take turns, so that what disturbs the machine hits all alike. Loads are parts of what [`calibrate`] finds
//! that the machine gives.
//!
//! Scenarios say times as they are published. Runs take [`Options::scale`] of them, costs and targets included, which leaves loads and
//! ratios of delays as they are; only what the engine itself takes weighs more.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use model::convert;

use super::grid::Grid;
use super::written;
use crate::bench::report::Report;
use reference::Reference;
use run::Run;
use scenario::{Overheads, Scenario};
use schedule::Schedule;
use series::Series;

mod accumulate;
pub mod bound;
pub mod calibrate;
mod catalogue;
mod claims;
pub mod cores;
pub mod figures;
mod plan;
pub mod reference;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod series;
pub mod threads;

pub use catalogue::{ALL, Axis, Experiment};

/// How an experiment is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What runs are drawn from.
    pub seeds: Vec<u64>,
    /// How long everything takes, as a part of what scenarios say.
    pub scale: f64,
    /// How long windows count, where it is not as scenarios say. Unit: seconds, before they are scaled.
    pub measured_s: Option<f64>,
    /// The places on the axis, where they are not those of the experiment.
    pub places: Vec<f64>,
    /// What is compared.
    pub series: Vec<Series>,
    /// Whether cores and time are virtual.
    pub is_virtual: bool,
}

/// One place on the axis of one scenario, ready to be run.
struct Point {
    /// What series are called, before their own names.
    prefix: String,
    place: f64,
    scenario: Scenario,
    overheads: Overheads,
}

impl Experiment {
    /// The experiment of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|it| it.name == name)
    }

    /// What it compares where nobody says otherwise: those its own, without those that virtual cores cannot run where they have to.
    pub fn series(&self, is_virtual: bool) -> Vec<Series> {
        let own = self.series.iter().filter_map(|name| series::find(name));
        own.filter(|it| it.is_modelled() || !is_virtual && !self.axis.is_agreement())
            .collect()
    }

    /// Runs it. `told` hears of every run that has ended.
    ///
    /// # Errors
    /// When a scenario cannot be run, or a result is not what the reference says.
    pub fn run(&self, options: &Options, told: &dyn Fn(&str)) -> anyhow::Result<(Grid, Report)> {
        let mut grid = Grid::new(self.name, self.axis.name());
        let points = self.points(options, told)?;
        told(&self.announced(options, &points));
        for point in points {
            for (turn, seed) in (0..).zip(&options.seeds) {
                self.compare(&point, turn, *seed, options, &mut grid, told)?;
            }
        }
        let report = self.report(options, &grid);
        Ok((grid, report))
    }

    /// How much there is to run, and how long that takes at least.
    fn announced(&self, options: &Options, points: &[Point]) -> String {
        let each = options.seeds.len() * options.series.len();
        let once: f64 = points
            .iter()
            .map(|it| it.scenario.end().as_secs_f64())
            .sum();
        let seconds = once * convert::count_to_f64(convert::size(each));
        let runs = each * points.len();
        match (options.is_virtual, self.axis.is_agreement()) {
            (true, _) => format!("{}: {runs} runs of {seconds:.0} virtual s", self.name),
            (false, false) => format!("{}: {runs} runs, {seconds:.0} s together", self.name),
            (false, true) => {
                format!(
                    "{}: {runs} runs, {seconds:.0} s together, and as many virtual s",
                    self.name
                )
            }
        }
    }

    /// Runs all policies at one place with one seed, one after the other, each seed beginning with another one.
    fn compare(
        &self,
        point: &Point,
        turn: usize,
        seed: u64,
        options: &Options,
        grid: &mut Grid,
        told: &dyn Fn(&str),
    ) -> anyhow::Result<()> {
        let schedule = Schedule::draw(&point.scenario, seed);
        let reference = Reference::of(&point.scenario, &schedule);
        let mut of_series: BTreeMap<&'static str, BTreeMap<&'static str, f64>> = BTreeMap::new();
        let least = Run {
            left: bound::least(&point.scenario, &schedule, &reference),
            ..Run::default()
        };
        let delays = figures::delays(&point.scenario, &reference, &least);
        for (figure, number) in &delays {
            let name = format!("{}{}", point.prefix, series::LEAST);
            grid.add(&name, point.place, figure, *number);
        }
        of_series.insert(series::LEAST, delays.into_iter().collect());
        let count = options.series.len();
        for index in 0..count {
            let series = options.series[(index + turn) % count];
            let what = format!(
                "{} {}{} at {}, seed {seed}",
                self.name, point.prefix, series.name, point.place
            );
            let run_on = |is_virtual, schedule: &Schedule, overheads| {
                let run = run_once(point, schedule, &reference, series, is_virtual, overheads);
                run.with_context(|| what.clone())
            };
            let run = run_on(options.is_virtual, &schedule, point.overheads)?;
            let mut found = figures::figures(&point.scenario, &reference, &run, point.overheads);
            if self.axis.is_agreement() {
                let overheads = Overheads {
                    dispatch: run.dispatch(),
                    ..point.overheads
                };
                // Who offers is late at times, which is no matter of the scheduler: virtual cores get each batch when threads got it.
                let modelled = run_on(true, &schedule.offered_at(&run.offered), overheads)?;
                let modelled = figures::figures(&point.scenario, &reference, &modelled, overheads);
                found.extend(agreement(&found, &modelled));
            }
            for (figure, number) in &found {
                let name = format!("{}{}", point.prefix, series.name);
                grid.add(&name, point.place, figure, *number);
            }
            let shown = |figure: &str| found.get(figure).copied().unwrap_or(f64::NAN);
            told(&format!(
                "{what}: tight {:.2} / {:.2} ms, bulk {:.1} ms, load {:.2}",
                shown("tight_p50_ms"),
                shown("tight_p99_ms"),
                shown("bulk_p50_ms"),
                shown("measured_load"),
            ));
            of_series.insert(series.name, found);
        }
        for (figure, number) in ratios(&of_series) {
            grid.add(
                &format!("{}ratio", point.prefix),
                point.place,
                figure,
                number,
            );
        }
        Ok(())
    }

    /// All places of all scenarios, at what this machine gives.
    fn points(&self, options: &Options, told: &dyn Fn(&str)) -> anyhow::Result<Vec<Point>> {
        let mut points = Vec::new();
        for (name, text) in self.scenarios {
            let mut scenario = Scenario::parse(text).with_context(|| format!("scenario {name}"))?;
            if let Some(measured_s) = options.measured_s {
                scenario.measured_ms = measured_s * 1e3;
            }
            let scenario = scenario.scaled(options.scale);
            let overheads = |scenario: &Scenario| match options.is_virtual {
                true => Ok(Overheads::none(scenario.workers)),
                false => calibrate::overheads(scenario),
            };
            let given = overheads(&scenario)?;
            told(&format!(
                "{name}: {:.2} cores for {} workers, {:.1} us for a dispatch, {:.2} ms for a delivery",
                given.capacity,
                scenario.workers,
                given.dispatch.as_secs_f64() * 1e6,
                given.delivery.as_secs_f64() * 1e3,
            ));
            let prefix = match self.scenarios.len() {
                1 => String::new(),
                _ => format!("{name}."),
            };
            let places = match options.places.is_empty() {
                true => self.axis.places(),
                false => &options.places,
            };
            for place in places {
                let at = self.axis.at(&scenario, *place, given)?;
                let overheads = match at.workers == scenario.workers {
                    true => given,
                    false => overheads(&at)?,
                };
                points.push(Point {
                    prefix: prefix.clone(),
                    place: *place,
                    scenario: at,
                    overheads,
                });
            }
        }
        Ok(points)
    }

    /// What is told of figures.
    fn report(&self, options: &Options, grid: &Grid) -> Report {
        let mut report = Report::new(self.name, options.seeds.clone());
        report.simulated("work: operators burn the processor time that the scenario says, and count and sum rows beside it");
        if options.is_virtual {
            report.simulated("processors and time: virtual cores, on which an operator takes what the scenario says and the engine nothing");
        }
        report.simulated(&format!(
            "pace: everything takes {} of the time that scenarios say, windows, targets and costs alike",
            options.scale
        ));
        report.number("scale", options.scale);
        report.claim("results_equal_reference", true);
        claims::claims(self, grid, &mut report);
        report.tables(&grid.tables(self.shown));
        grid.report(&mut report);
        report
    }

    /// Writes the report, its tables and a plot of each figure that is shown into a folder, which is made.
    ///
    /// # Errors
    /// When a file cannot be written; others may have been.
    pub fn write(&self, folder: &Path, options: &Options, grid: &Grid) -> anyhow::Result<()> {
        written::write(folder, grid, &self.report(options, grid), self.shown)
    }
}

/// Runs a point once, and holds every window against the reference.
fn run_once(
    point: &Point,
    schedule: &Schedule,
    reference: &Reference,
    series: Series,
    is_virtual: bool,
    overheads: Overheads,
) -> anyhow::Result<Run> {
    let mut run = match is_virtual {
        true => cores::run(&point.scenario, schedule, series.config, overheads)?,
        false => threads::run(&point.scenario, schedule, series.config)?,
    };
    let wrong = reference.check(&mut run.left);
    ensure!(
        wrong.is_empty(),
        "{} windows are wrong, the first: {}",
        wrong.len(),
        wrong[0]
    );
    Ok(run)
}

/// How the policies of one seed compare, as those of each other over ours: by ratio and figure.
fn ratios(
    of_series: &BTreeMap<&'static str, BTreeMap<&'static str, f64>>,
) -> Vec<(&'static str, f64)> {
    let at = |series: &str, figure: &str| of_series.get(series)?.get(figure).copied();
    RATIOS
        .iter()
        .filter_map(|(name, above, below, figure)| {
            let ratio = at(above, figure)? / at(below, figure)?;
            ratio.is_finite().then_some((*name, ratio))
        })
        .collect()
}

/// Ratios: their names, the series above and below, and of which figure.
const RATIOS: &[(&str, &str, &str, &str)] = &[
    ("fifo_over_ours_p50", "fifo", "ours", "tight_p50_ms"),
    ("fifo_over_ours_p99", "fifo", "ours", "tight_p99_ms"),
    ("llf_over_ours_p50", "llf", "ours", "tight_p50_ms"),
    ("llf_over_ours_p99", "llf", "ours", "tight_p99_ms"),
    ("bag_over_ours_p50", "bag", "ours", "tight_p50_ms"),
    ("slot_over_ours_p50", "slot", "ours", "tight_p50_ms"),
    ("ours_over_least_p50", "ours", "least", "tight_p50_ms"),
    ("bulk_fifo_over_ours_p50", "fifo", "ours", "bulk_p50_ms"),
    ("bulk_llf_over_ours_p50", "llf", "ours", "bulk_p50_ms"),
    ("rows_fraction_of_fifo", "ours", "fifo", "rows_per_second"),
    ("cpu_per_row_over_fifo", "ours", "fifo", "cpu_ns_per_row"),
];

/// How the medians of a run with threads lie to those of the same run on virtual cores.
fn agreement(
    threads: &BTreeMap<&'static str, f64>,
    modelled: &BTreeMap<&'static str, f64>,
) -> Vec<(&'static str, f64)> {
    let figures = [
        ("tight_threads_over_virtual_p50", "tight_p50_ms"),
        ("bulk_threads_over_virtual_p50", "bulk_p50_ms"),
    ];
    let of = |(name, figure): (&'static str, &str)| {
        Some((name, threads.get(figure)? / modelled.get(figure)?))
    };
    let virtual_p50 = modelled.get("tight_p50_ms");
    figures
        .into_iter()
        .filter_map(of)
        .chain(virtual_p50.map(|it| ("tight_virtual_p50_ms", *it)))
        .collect()
}

impl Overheads {
    /// None at all: whole cores.
    pub fn none(workers: usize) -> Self {
        Self {
            capacity: convert::count_to_f64(convert::size(workers)),
            ..Self::default()
        }
    }
}
