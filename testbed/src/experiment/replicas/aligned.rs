//! R1: availability over the size of the graph, by how many operators are on each set of hosts.

use model::convert;
use placement::availability::{self, SAMPLES, availability};

use super::{EXACT, Options, drawn, failures};
use crate::bench::report::Report;
use crate::experiment::grid::Grid;

/// How many operators there are. Source: papers, section 9.2.
const OPERATORS: std::ops::RangeInclusive<usize> = 1..=10;

/// How many operators are on each set of hosts, with the names of the series. Source: papers, section 9.2.
const GROUPS: [(&str, usize); 4] = [
    ("one on a set", 1),
    ("two on a set", 2),
    ("five on a set", 5),
    ("all on one set", 10),
];

/// How available hosts are and how many are in a set, with the names of figures: of what is computed, and of what is measured.
/// Source: papers, section 9.2.
const SETS: [(f64, usize, [&str; 2]); 3] = [
    (0.90, 2, ["availability_a90_k2", "measured_a90_k2"]),
    (0.95, 2, ["availability_a95_k2", "measured_a95_k2"]),
    (0.90, 3, ["availability_a90_k3", "measured_a90_k3"]),
];

/// Which part of what is computed equals the closed form.
const EQUAL: &str = "equal_fraction";
/// The same of enumeration, where that comes to an end.
const ENUMERATED_EQUAL: &str = "enumerated_equal_fraction";
/// Which part of what is sampled lies within its error of the closed form.
const SAMPLED_WITHIN: &str = "sampled_within_fraction";

/// How many standard errors a sample may lie off. Source: two in a thousand million lie beyond.
const ERRORS_MAX: f64 = 6.0;

/// How far what is measured may lie from what is computed, as means over seeds. Source: three times the standard error of one.
const MEASURED_OFF_MAX: f64 = 0.01;

pub(super) fn run(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    for seed in &options.seeds {
        for (series, group) in GROUPS {
            for operators in OPERATORS {
                for (available, ranks, names) in SETS {
                    add(
                        *seed,
                        series,
                        (operators, group, ranks),
                        available,
                        names,
                        grid,
                    );
                }
            }
        }
        told(&format!("R1 seed {seed}"));
    }
}

/// Adds figures of `n` operators, `g` on each set of `k` hosts.
fn add(
    seed: u64,
    series: &str,
    (n, g, k): (usize, usize, usize),
    available: f64,
    [computed, measured]: [&'static str; 2],
    grid: &mut Grid,
) {
    let place = convert::count_to_f64(convert::size(n));
    let sets = n.div_ceil(g);
    let hosts = |operator: usize| (operator / g * k..(operator / g + 1) * k).collect();
    let operators: Vec<Vec<usize>> = (0..n).map(hosts).collect();
    let each = vec![available; sets * k];
    let power = |base: f64, exponent: usize| (0..exponent).fold(1.0, |it, _| it * base);
    let closed = power(1.0 - power(1.0 - available, k), sets);
    let mut rng = drawn(seed, &format!("{series} {n} {k} {available}"));

    let found = availability(&operators, &each, &mut rng).value;
    grid.add(series, place, computed, found);
    let mut hold =
        |figure, holds: bool| grid.add(series, place, figure, f64::from(u8::from(holds)));
    hold(EQUAL, (found - closed).abs() <= EXACT);
    if let Some(enumerated) = availability::enumerated(&operators, &each) {
        let off = (enumerated.value - closed).abs();
        hold(ENUMERATED_EQUAL, off <= EXACT);
    }
    let sampled = availability::sampled(&operators, &each, SAMPLES / 10, &mut rng);
    // Where no state was down the error is zero; then one state decides.
    let error = sampled.error.max(10.0 / f64::from(SAMPLES));
    let off = (sampled.value - closed).abs() / error;
    hold(SAMPLED_WITHIN, off <= ERRORS_MAX);
    let up = failures::measured(&operators, &each, &mut rng);
    grid.add(series, place, measured, up);
}

pub(super) fn claims(grid: &Grid, report: &mut Report) {
    let all = |figure| {
        let curves = grid.curves(figure);
        let points = curves.iter().flat_map(|curve| &curve.points);
        points.map(|(_, it)| it.mean).fold(1.0, f64::min) >= 1.0
    };
    report.claim("equals_closed_form", all(EQUAL));
    report.claim("enumeration_equals_closed_form", all(ENUMERATED_EQUAL));
    report.claim("sampling_within_its_error", all(SAMPLED_WITHIN));
    let mut is_near = true;
    for (_, _, [computed, measured]) in SETS {
        for curve in grid.curves(measured) {
            for (place, it) in curve.points {
                let computed = grid.find(&curve.name, place, computed);
                is_near &= computed
                    .is_some_and(|computed| (computed.mean - it.mean).abs() <= MEASURED_OFF_MAX);
            }
        }
    }
    report.claim("measured_as_computed", is_near);
}
