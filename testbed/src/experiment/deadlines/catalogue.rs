//! All experiments on deadlines: their scenarios, what is on their axes, and what they compare.

use model::convert;

use super::scenario::{Overheads, Role, Scenario};

/// An experiment on deadlines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experiment {
    /// Its name, with which figures begin.
    pub name: &'static str,
    /// Its scenarios by name.
    pub(super) scenarios: &'static [(&'static str, &'static str)],
    /// What is on the axis.
    pub axis: Axis,
    /// What it compares, as far as there are such policies.
    pub(super) series: &'static [&'static str],
    /// Which figures are shown as tables and plots, the first first. All are in the report.
    pub(super) shown: &'static [&'static str],
}

/// What is on the axis, and its places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Axis {
    /// Loads.
    Load(&'static [f64]),
    /// Loads; and every run is repeated on virtual cores.
    Agreement(&'static [f64]),
    /// How many workers share what is this load for as many as the scenario has.
    Workers(f64, &'static [f64]),
    /// How many bulk applications there are, where the greatest number makes this load.
    Count(f64, &'static [f64]),
    /// How many times the cost of its scenario a bulk batch has, at this load.
    BatchCost(f64, &'static [f64]),
    /// How much more or less than usual a batch costs at most, at this load.
    CostNoise(f64, &'static [f64]),
}

macro_rules! scenario {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../scenarios/deadlines/", $name, ".toml")),
        )
    };
}

/// What all are compared with, and what published systems do.
const POLICIES: &[&str] = &["fifo", "bag", "slot", "llf", "ours"];

/// What experiments over loads show.
const SHOWN: &[&str] = &[
    "tight_p50_ms",
    "tight_p99_ms",
    "bulk_p50_ms",
    "tight_on_time_fraction",
    "tight_unfinished_fraction",
    "bulk_unfinished_fraction",
    "fifo_over_ours_p50",
    "fifo_over_ours_p99",
    "llf_over_ours_p50",
    "ours_over_least_p50",
    "bulk_fifo_over_ours_p50",
    "rows_fraction_of_fifo",
    "cpu_per_row_over_fifo",
    "measured_load",
];

/// What experiments about targets show.
const ON_TIME: &[&str] = &[
    "tight_on_time_fraction",
    "bulk_on_time_fraction",
    "tight_p50_ms",
    "tight_p99_ms",
    "bulk_p50_ms",
    "tight_unfinished_fraction",
    "bulk_unfinished_fraction",
    "measured_load",
];

/// All experiments on deadlines.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: "D1",
        scenarios: &[
            scenario!("sum"),
            scenario!("sliding"),
            scenario!("many_keys"),
            scenario!("long_batches"),
        ],
        axis: Axis::Load(&[0.5, 0.7, 0.85, 0.95]),
        series: POLICIES,
        shown: SHOWN,
    },
    Experiment {
        name: "D2",
        scenarios: &[scenario!("tenants")],
        axis: Axis::Load(&[0.64, 0.8, 0.95]),
        series: POLICIES,
        shown: SHOWN,
    },
    Experiment {
        name: "D2-count",
        scenarios: &[scenario!("tenants")],
        axis: Axis::Count(0.95, &[4.0, 8.0, 12.0, 16.0]),
        series: POLICIES,
        shown: SHOWN,
    },
    Experiment {
        name: "D2-workers",
        scenarios: &[scenario!("tenants")],
        axis: Axis::Workers(0.45, &[1.0, 2.0]),
        series: POLICIES,
        shown: SHOWN,
    },
    Experiment {
        name: "D3",
        scenarios: &[scenario!("pareto"), scenario!("spike")],
        axis: Axis::Load(&[0.4]),
        series: POLICIES,
        shown: &[
            "tight_p50_ms",
            "tight_p99_ms",
            "tight_deviation_ms",
            "bulk_p50_ms",
            "tight_on_time_fraction",
            "tight_windows_until_on_time",
            "tight_unfinished_fraction",
            "fifo_over_ours_p50",
            "fifo_over_ours_p99",
            "measured_load",
        ],
    },
    Experiment {
        name: "D4",
        scenarios: &[
            scenario!("skewed_applications"),
            scenario!("skewed_sources"),
        ],
        axis: Axis::Load(&[0.89, 1.05]),
        series: POLICIES,
        shown: ON_TIME,
    },
    Experiment {
        name: "D5",
        scenarios: &[scenario!("tight")],
        axis: Axis::Load(&[0.76]),
        series: &["fifo", "sjf", "edf", "llf", "ours"],
        shown: ON_TIME,
    },
    Experiment {
        name: "D7",
        scenarios: &[scenario!("tenants"), scenario!("tight")],
        axis: Axis::Load(&[0.88]),
        series: &[
            "ours",
            "without_frontier",
            "without_closing",
            "without_foremost",
            "without_late",
            "without_ahead",
            "without_ties",
            "without_units",
            "quantum_1",
            "quantum_10",
            "quantum_100",
            "llf",
        ],
        shown: ON_TIME,
    },
    Experiment {
        name: "D7-batch",
        scenarios: &[scenario!("tenants")],
        axis: Axis::BatchCost(0.8, &[1.0, 5.0, 20.0, 40.0]),
        series: &["fifo", "ours"],
        shown: SHOWN,
    },
    Experiment {
        name: "D7-noise",
        scenarios: &[scenario!("tenants"), scenario!("tight")],
        axis: Axis::CostNoise(0.88, &[0.0, 0.25, 0.5, 1.0]),
        series: &["fifo", "llf", "ours"],
        shown: ON_TIME,
    },
    Experiment {
        name: "D8",
        scenarios: &[scenario!("shares")],
        axis: Axis::Load(&[3.0]),
        series: &["tokens"],
        shown: &[
            "share_error_fraction",
            "phase_2_share_1_fraction",
            "phase_2_share_2_fraction",
            "phase_3_share_1_fraction",
            "phase_3_share_2_fraction",
            "phase_3_share_3_fraction",
            "alone_over_all_rows_per_second",
            "measured_load",
        ],
    },
    Experiment {
        name: "D9",
        scenarios: &[scenario!("tight")],
        axis: Axis::Load(&[1.13]),
        series: &["fifo", "llf", "edf", "ours"],
        shown: ON_TIME,
    },
    Experiment {
        name: "D11",
        scenarios: &[scenario!("delayed")],
        axis: Axis::Load(&[0.05]),
        series: &["fifo", "llf", "ours"],
        shown: &[
            "tight_windows_until_on_time",
            "tight_on_time_fraction",
            "tight_p50_ms",
            "tight_p99_ms",
            "measured_load",
        ],
    },
    Experiment {
        name: "agreement",
        scenarios: &[scenario!("agreement")],
        axis: Axis::Agreement(&[0.5, 0.85]),
        series: &["fifo", "llf", "ours"],
        shown: &[
            "tight_threads_over_virtual_p50",
            "bulk_threads_over_virtual_p50",
            "tight_p50_ms",
            "tight_virtual_p50_ms",
            "bulk_p50_ms",
            "dispatch_us",
            "measured_load",
        ],
    },
];

impl Axis {
    /// What the axis shows.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Load(_) | Self::Agreement(_) => "load",
            Self::Workers(..) => "workers",
            Self::Count(..) => "bulk applications",
            Self::BatchCost(..) => "times the cost of a bulk batch",
            Self::CostNoise(..) => "noise of costs",
        }
    }

    /// Where figures are taken.
    pub const fn places(&self) -> &'static [f64] {
        match self {
            Self::Load(places)
            | Self::Agreement(places)
            | Self::Workers(_, places)
            | Self::Count(_, places)
            | Self::BatchCost(_, places)
            | Self::CostNoise(_, places) => places,
        }
    }

    /// Whether every run is repeated on virtual cores.
    pub const fn is_agreement(&self) -> bool {
        matches!(self, Self::Agreement(_))
    }

    /// The scenario at a place.
    pub(super) fn at(
        &self,
        scenario: &Scenario,
        place: f64,
        overheads: Overheads,
    ) -> anyhow::Result<Scenario> {
        let whole = usize::try_from(convert::round(place)).unwrap_or(1);
        match self {
            Self::Load(_) | Self::Agreement(_) => scenario.loaded(place, overheads),
            Self::Workers(load, _) => {
                let loaded = scenario.loaded(*load, overheads)?;
                Ok(Scenario {
                    workers: whole,
                    ..loaded
                })
            }
            Self::Count(load, places) => {
                let most = places.iter().copied().fold(1.0, f64::max);
                let most = usize::try_from(convert::round(most)).unwrap_or(1);
                let loaded = with_bulk(scenario, |count| *count = most).loaded(*load, overheads)?;
                Ok(with_bulk(&loaded, |count| *count = whole))
            }
            Self::CostNoise(load, _) => {
                let loaded = scenario.loaded(*load, overheads)?;
                Ok(Scenario {
                    cost_noise: place,
                    ..loaded
                })
            }
            Self::BatchCost(load, _) => {
                let mut long = scenario.clone();
                for group in long.group.iter_mut().filter(|it| it.role == Role::Bulk) {
                    for stage in &mut group.stages {
                        stage.batch_us *= place;
                    }
                }
                long.loaded(*load, overheads)
            }
        }
    }
}

/// A scenario with another number of bulk applications.
fn with_bulk(scenario: &Scenario, change: impl Fn(&mut usize)) -> Scenario {
    let mut changed = scenario.clone();
    for group in changed.group.iter_mut().filter(|it| it.role == Role::Bulk) {
        change(&mut group.count);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_run_at_every_place() {
        for experiment in ALL {
            for (name, text) in experiment.scenarios {
                let scenario = Scenario::parse(text).unwrap();
                let overheads = Overheads::none(scenario.workers);
                for place in experiment.axis.places() {
                    let at = experiment.axis.at(&scenario, *place, overheads);
                    assert!(at.is_ok(), "{} {name} {place}: {at:?}", experiment.name);
                }
            }
        }
    }
}
