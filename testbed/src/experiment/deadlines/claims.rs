//! What must hold of figures: gates, in medians over seeds.

use super::Axis;
use super::Experiment;
use crate::bench::report::Report;
use crate::experiment::grid::Grid;

/// Which series over which figure at all places must lie between which bounds.
struct Gate {
    experiment: &'static str,
    claim: &'static str,
    series: &'static str,
    figure: &'static str,
    at_least: f64,
    at_most: f64,
}

const fn gate(
    experiment: &'static str,
    claim: &'static str,
    (series, figure): (&'static str, &'static str),
    at_least: f64,
    at_most: f64,
) -> Gate {
    Gate {
        experiment,
        claim,
        series,
        figure,
        at_least,
        at_most,
    }
}

/// What is claimed. Source: design, experiments; the published headline where there is one.
const GATES: &[Gate] = &[
    gate(
        "D2",
        "fifo_p50_at_least_10_times_ours",
        ("ratio", "fifo_over_ours_p50"),
        10.0,
        f64::INFINITY,
    ),
    gate(
        "D2",
        "fifo_p99_at_least_15_times_ours",
        ("ratio", "fifo_over_ours_p99"),
        15.0,
        f64::INFINITY,
    ),
    gate(
        "D2",
        "published_llf_p50_not_better",
        ("ratio", "llf_over_ours_p50"),
        1.0,
        f64::INFINITY,
    ),
    gate(
        "D2",
        "published_llf_p99_not_better",
        ("ratio", "llf_over_ours_p99"),
        1.0,
        f64::INFINITY,
    ),
    gate(
        "D2",
        "bulk_no_worse_than_fifo",
        ("ratio", "bulk_fifo_over_ours_p50"),
        1.0,
        f64::INFINITY,
    ),
    gate(
        "D2",
        "cpu_per_row_within_2_percent",
        ("ratio", "cpu_per_row_over_fifo"),
        0.0,
        1.02,
    ),
    gate(
        "D9",
        "tight_on_time",
        ("ours", "tight_on_time_fraction"),
        0.99,
        1.0,
    ),
    gate(
        "D11",
        "on_time_within_two_windows",
        ("ours", "tight_windows_until_on_time"),
        0.0,
        2.0,
    ),
    gate(
        "D8",
        "shares_followed",
        ("tokens", "share_error_fraction"),
        0.0,
        0.05,
    ),
    gate(
        "D8",
        "all_is_used_while_one_is_alone",
        ("tokens", "alone_over_all_rows_per_second"),
        0.95,
        f64::INFINITY,
    ),
];

/// By how much medians of threads and of virtual cores may differ. Unit: fraction. Source: design, experiments.
const AGREEMENT: f64 = 0.2;

/// Adds what must hold of an experiment's figures; nothing of series that were not run.
pub(super) fn claims(experiment: &Experiment, grid: &Grid, report: &mut Report) {
    for gate in GATES.iter().filter(|it| it.experiment == experiment.name) {
        let curves = grid.curves(gate.figure);
        let Some(curve) = curves.iter().find(|it| it.name == gate.series) else {
            continue;
        };
        let is_within = |median: f64| (gate.at_least..=gate.at_most).contains(&median);
        let holds = curve.points.iter().all(|(_, it)| is_within(it.median));
        report.claim(gate.claim, holds);
    }
    if experiment.name == "D1" {
        // At the greatest load alone, where batches wait.
        if let Some(ratio) = grid.find("sum.ratio", 0.95, "fifo_over_ours_p50") {
            report.claim("p50_at_least_3_times_better_than_fifo", ratio.median >= 3.0);
        }
    }
    if matches!(experiment.axis, Axis::Agreement(_)) {
        for figure in [
            "tight_threads_over_virtual_p50",
            "bulk_threads_over_virtual_p50",
        ] {
            let curves = grid.curves(figure);
            let points = curves.iter().flat_map(|it| &it.points);
            let agrees = |median: f64| (median - 1.0).abs() <= AGREEMENT;
            let holds = points.clone().all(|(_, it)| agrees(it.median));
            report.claim(figure, holds && !curves.is_empty());
        }
    }
}
