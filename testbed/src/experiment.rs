//! Experiments: one command each, with figures, a table and plots.
//!
//! Those of [`prototype`] and [`migration`] run real processes, those of [`deadlines`] the data plane of one host, those of [`replicas`] place hosts and let them fail; all others run in the simulator. An [`Experiment`] says over which axis figures are taken; [`workload`] draws what is asked for,
//! [`build_up`] is one run, [`sweep`] runs all policies and seeds, [`grid`] holds what came of it, as means over seeds with their
//! intervals. What was run, on what machine and of which seeds stands in the report, beside what is modelled.

use std::path::Path;
use std::time::Duration;

use composition::policy::{self, Policy};
use composition::queue::Discipline;

use crate::bench::report::Report;
use grid::Grid;
use sweep::Point;
use workload::Settings;

mod at_once;
pub mod build_up;
pub mod clocks;
pub mod deadlines;
mod exhaustive;
pub mod failover;
pub mod grid;
pub mod interval;
pub mod migration;
pub mod plot;
pub mod prediction;
mod projection;
pub mod prototype;
pub mod replicas;
mod scale;
pub mod sweep;
pub mod workload;
pub(crate) mod written;

/// An experiment in the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experiment {
    /// Its name, with which figures begin.
    pub name: &'static str,
    /// What is on the axis, with its unit.
    axis: &'static str,
    /// Which figures are shown as tables and plots, the first first. All are in the report.
    shown: &'static [&'static str],
    kind: Kind,
}

/// What is on the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Requests,
    Strictness,
    Popularity,
    Time,
    Plans,
    Hosts,
}

/// How an experiment is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What runs are drawn from.
    pub seeds: Vec<u64>,
    /// After how many requests figures are taken, ascending.
    pub requests: Vec<usize>,
    /// The ways of composing.
    pub policies: Vec<&'static dyn Policy>,
    /// Over how many hosts an experiment goes whose axis they are.
    pub hosts: Vec<usize>,
    /// What is asked for, where the axis does not say it.
    pub settings: Settings,
    /// How hosts share their processors among components.
    pub execution: Discipline,
    /// How many runs go on at a time.
    pub jobs: usize,
}

/// All experiments in the simulator.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: "C3",
        axis: "requests",
        shown: &[
            "probes_per_request",
            "messages_per_request",
            "success_fraction",
        ],
        kind: Kind::Requests,
    },
    Experiment {
        name: "C5",
        axis: "requests",
        shown: &["delay_ms", "new_delay_ms", "success_fraction"],
        kind: Kind::Requests,
    },
    Experiment {
        name: "C6",
        axis: "requests",
        shown: &[
            "success_fraction",
            "admitted_fraction",
            "violated_fraction",
            "delay_ms",
            "new_delay_ms",
            "probes_per_request",
            "load_mean",
        ],
        kind: Kind::Requests,
    },
    Experiment {
        name: "C7",
        axis: "least target in ms",
        shown: SUCCESS,
        kind: Kind::Strictness,
    },
    Experiment {
        name: "C8",
        axis: "exponent of Zipf's law",
        shown: SUCCESS,
        kind: Kind::Popularity,
    },
    Experiment {
        name: "C9",
        axis: "s since the first newcomer",
        shown: &[
            "execution_ms",
            "measured_over_projected",
            "measured_p95_ms",
            "covered_fraction",
            "violated_fraction",
            "late_fraction",
            "admitted_fraction",
            "components",
        ],
        kind: Kind::Time,
    },
    Experiment {
        name: "C10",
        axis: "operators, of which 6 fork and join",
        shown: &[
            "phi_over_exhaustive",
            "delay_over_exhaustive",
            "admitted_fraction",
        ],
        kind: Kind::Plans,
    },
    Experiment {
        name: "C11",
        axis: "hosts",
        shown: &[
            "success_fraction",
            "probes_per_request",
            "messages_per_request",
            "lookup_messages_per_request",
            "elapsed_s",
            "resident_bytes",
        ],
        kind: Kind::Hosts,
    },
];

/// What experiments show of success: it is never shown without what was admitted and what was violated.
const SUCCESS: &[&str] = &[
    "success_fraction",
    "admitted_fraction",
    "violated_fraction",
    "delay_ms",
];

impl Experiment {
    /// The experiment of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|it| it.name == name)
    }

    /// The requests after which figures are taken, where nobody says otherwise. Source: papers, section 13; of small cases, what takes a
    /// moment.
    pub const fn requests(&self) -> &'static [usize] {
        match self.kind {
            Kind::Requests => &[200, 500, 1000, 1500, 2000],
            Kind::Strictness | Kind::Popularity => &[800],
            Kind::Time => &[40],
            Kind::Plans => &[20],
            Kind::Hosts => &[],
        }
    }

    /// The ways of composing that it compares, where nobody says otherwise: all but exhaustive search, which is what others are
    /// measured by.
    pub fn policies(&self) -> Vec<&'static dyn Policy> {
        let policies = policy::ALL.into_iter();
        match self.kind {
            Kind::Hosts => policies.filter(|it| it.name() == "synergy").collect(),
            Kind::Time => {
                let projecting = ["synergy", "synergy_paper"];
                policies
                    .filter(|it| projecting.contains(&it.name()))
                    .collect()
            }
            _ => policies.filter(|it| it.name() != "exhaustive").collect(),
        }
    }

    /// Over how many hosts it goes, or how many it has, where nobody says otherwise; nothing where that is as the workload has it.
    pub const fn hosts(&self) -> &'static [usize] {
        match self.kind {
            Kind::Hosts => &[100, 300, 1000, 3000, 10_000],
            Kind::Time => &[10],
            _ => &[],
        }
    }

    /// Whether the axis shows hosts.
    pub fn goes_over_hosts(&self) -> bool {
        self.kind == Kind::Hosts
    }

    /// Runs it. `told` hears of every run that has ended.
    pub fn run(&self, options: &Options, told: &(dyn Fn(&str) + Sync)) -> (Grid, Report) {
        let mut grid = Grid::new(self.name, self.axis);
        match self.kind {
            Kind::Requests | Kind::Strictness | Kind::Popularity => {
                sweep::run(&self.points(options), options, &mut grid, told);
            }
            Kind::Time => projection::run(options, &mut grid, told),
            Kind::Plans => exhaustive::run(options, &mut grid, told),
            Kind::Hosts => scale::run(options, &mut grid, told),
        }
        let report = self.report(options, &grid);
        (grid, report)
    }

    /// What is told of figures.
    fn report(&self, options: &Options, grid: &Grid) -> Report {
        let mut report = Report::new(self.name, options.seeds.clone());
        for part in self.simulated() {
            report.simulated(part);
        }
        report.tables(&grid.tables(self.shown));
        grid.report(&mut report);
        self.claims(options, grid, &mut report);
        report
    }

    /// The places on the axis, and what is asked for there.
    fn points(&self, options: &Options) -> Vec<Point> {
        let point = |place, settings| Point {
            place,
            settings,
            background: 0.0,
            checkpoints: options.requests.clone(),
        };
        let given = &options.settings;
        match self.kind {
            Kind::Strictness => TARGETS
                .iter()
                .map(|(low, high)| {
                    let target = (Duration::from_millis(*low), Duration::from_millis(*high));
                    let settings = Settings {
                        target,
                        ..given.clone()
                    };
                    point(Some(target.0.as_secs_f64() * 1e3), settings)
                })
                .collect(),
            Kind::Popularity => POPULARITIES
                .iter()
                .map(|popularity| {
                    let settings = Settings {
                        popularity: *popularity,
                        ..given.clone()
                    };
                    point(Some(*popularity), settings)
                })
                .collect(),
            Kind::Requests | Kind::Time | Kind::Plans | Kind::Hosts => {
                vec![point(None, given.clone())]
            }
        }
    }

    /// What must hold of the figures.
    fn claims(&self, options: &Options, grid: &Grid, report: &mut Report) {
        let complaints = grid.curves("checker_complaints");
        let complaints = complaints.iter().flat_map(|it| &it.points);
        let is_silent = complaints.map(|(_, it)| it.high).fold(0.0, f64::max) <= 0.0;
        report.claim("checkers_silent", is_silent);
        if self.kind == Kind::Time {
            projection::claims(grid, report);
        }
        if self.kind != Kind::Requests || !options.requests.contains(&REQUESTS) {
            return;
        }
        let place = model::convert::count_to_f64(model::convert::size(REQUESTS));
        let at = |series: &str, figure| grid.find(series, place, figure);
        if let Some(success) = at("synergy", "success_fraction") {
            report.claim("synergy_succeeds", success.mean >= SUCCESS_MIN);
            for other in ["composition", "greedy", "random"] {
                if let Some(it) = at(other, "success_fraction") {
                    report.claim(&format!("synergy_above_{other}"), success.low > it.high);
                }
            }
        }
        if let Some(violated) = at("synergy", "violated_fraction") {
            report.claim("synergy_violates_none", violated.high <= 0.0);
        }
        if let Some(probes) = at("synergy", "probes_per_request") {
            report.claim("synergy_probes_few", probes.mean <= PROBES_MAX);
        }
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

    /// What is modelled and not run.
    const fn simulated(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Time => SIMULATED_PROCESSORS,
            _ => SIMULATED,
        }
    }
}

/// The latency targets over which strictness goes, the strictest first. Unit: milliseconds. Source: papers, section 13, table S4.
const TARGETS: [(u64, u64); 4] = [(350, 500), (450, 650), (600, 900), (900, 1300)];

/// The exponents over which popularity goes. Source: papers, section 13, table S3.
const POPULARITIES: [f64; 4] = [0.0, 0.5, 1.0, 1.6];

/// What is modelled and not run.
const SIMULATED: &[&str] = &[
    "network: delays of shortest paths in a transit-stub graph",
    "overlay: hops and who knows whom; its stores are production's",
    "execution: fluid, components are demands and delays come from production's queueing formulas",
];

/// The same where engines run.
const SIMULATED_PROCESSORS: &[&str] = &[
    "network: delays of shortest paths in a transit-stub graph",
    "overlay: hops and who knows whom; its stores are production's",
    "processors: production's engines run rows, which take drawn times on virtual cores",
];

/// At how many requests claims are made. Source: papers, section 13.
const REQUESTS: usize = 1000;

/// Which part of [`REQUESTS`] must be admitted within their targets. Source: papers, section 13: 99 % with the fallback.
const SUCCESS_MIN: f64 = 0.98;

/// How many probes a request may take on average. Source: design; the reference model took 77.
const PROBES_MAX: f64 = 60.0;
