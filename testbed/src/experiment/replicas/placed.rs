//! R2 and R3: what each policy makes of the same hosts.

use model::{Rng, convert};
use placement::availability::availability;
use placement::replicas::{self, Closest, Concentrate, Placement, Policy};

use super::case::{Case, Size};
use super::{Options, drawn, failures};
use crate::bench::report::Report;
use crate::experiment::at_once::at_once;
use crate::experiment::grid::Grid;

/// How many operators there are. Source: papers, section 9.5, and what is between.
const OPERATORS: [usize; 5] = [2, 4, 6, 8, 10];

/// How many operators there are where every placement is looked at.
const OPERATORS_SMALL: [usize; 3] = [2, 3, 4];

/// The number of operators at which claims are made.
const CLAIMED: f64 = 10.0;

/// By how much unavailability may exceed the least.
const TOLERANCES: [f64; 8] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The figure of requests that a policy found no hosts for.
const UNPLACED: &str = "unplaced_fraction";

/// The series of backups that are placed by ours where primaries are where delays alone had them, as composition does.
const GIVEN: &str = "concentrate_given";

/// The hosts of [`OPERATORS`]. Source: papers, section 9.5.
const fn size(operators: usize) -> Size {
    Size {
        hosts: 30,
        operators,
        candidates: 10,
    }
}

/// So few hosts that every placement can be looked at. Source: papers, section 9.5, and half of the hosts for each operator.
const fn size_small(operators: usize) -> Size {
    Size {
        hosts: 8,
        operators,
        candidates: 4,
    }
}

pub(super) fn policies(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    let policies = replicas::ALL.into_iter();
    let policies: Vec<_> = policies.filter(|it| it.name() != "exhaustive").collect();
    let found = for_each(&OPERATORS, options, told, |operators, seed| {
        let case = Case::draw(seed, size(operators));
        let of = |policy: &&'static dyn Policy| (policy.name(), figures(&case, *policy, seed));
        let mut of_policies: Vec<_> = policies.iter().map(of).collect();
        if let Some(given) = case.with_primaries(&Closest, &mut drawn(seed, GIVEN)) {
            of_policies.push((GIVEN, figures(&given, &Concentrate::default(), seed)));
        }
        of_policies
    });
    for (operators, of_policies) in found {
        let place = convert::count_to_f64(convert::size(operators));
        for (series, figures) in of_policies {
            for (figure, number) in figures {
                grid.add(series, place, figure, number);
            }
        }
    }
}

pub(super) fn small(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    let strict = Concentrate { tolerance: 0.0 };
    let found = for_each(&OPERATORS_SMALL, options, told, |operators, seed| {
        let case = Case::draw(seed, size_small(operators));
        let judged = |policy: &dyn Policy| {
            let mut rng = drawn(seed, policy.name());
            let placement = policy.place(&case.request, &mut rng).ok()?;
            let cost = case.request.cost(&placement);
            let available = computed(&case, &placement, &mut rng);
            Some((1.0 - available, cost.between + cost.within))
        };
        let named = replicas::ALL.iter().map(|it| (it.name(), judged(*it)));
        let named = named.chain([("concentrate_strict", judged(&strict))]);
        (judged(&replicas::Exhaustive), named.collect::<Vec<_>>())
    });
    for (operators, (best, of_policies)) in found {
        let place = convert::count_to_f64(convert::size(operators));
        for (series, it) in of_policies {
            grid.add(series, place, UNPLACED, unplaced(it.is_some()));
            if let (Some((unavailable, cost)), Some((least, least_cost))) = (it, best) {
                let over = unavailable / least.max(f64::MIN_POSITIVE);
                grid.add(series, place, "unavailability_over_exhaustive", over);
                let over = cost / least_cost.max(f64::MIN_POSITIVE);
                grid.add(series, place, "cost_over_exhaustive", over);
            }
        }
    }
}

pub(super) fn tolerances(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    const SERIES: [(&str, usize); 2] = [("4 operators", 4), ("10 operators", 10)];
    for (series, operators) in SERIES {
        let found = for_each(&[operators], options, told, |operators, seed| {
            let case = Case::draw(seed, size(operators));
            let of = |tolerance: &f64| {
                let policy = Concentrate {
                    tolerance: *tolerance,
                };
                (*tolerance, figures(&case, &policy, seed))
            };
            TOLERANCES.iter().map(of).collect::<Vec<_>>()
        });
        for (tolerance, figures) in found.into_iter().flat_map(|(_, found)| found) {
            for (figure, number) in figures {
                grid.add(series, tolerance, figure, number);
            }
        }
    }
}

/// What comes of each number of operators and each seed.
fn for_each<T: Send>(
    operators: &[usize],
    options: &Options,
    told: &(dyn Fn(&str) + Sync),
    run: impl Fn(usize, u64) -> T + Sync,
) -> Vec<(usize, T)> {
    let cases = operators.iter();
    let cases: Vec<(usize, u64)> = cases
        .flat_map(|operators| options.seeds.iter().map(|seed| (*operators, *seed)))
        .collect();
    let found = at_once(options.jobs, 0..cases.len(), |number| {
        let (operators, seed) = cases[number];
        let found = run(operators, seed);
        told(&format!("{operators} operators, seed {seed}"));
        found
    });
    let operators = cases.iter().map(|(operators, _)| *operators);
    operators.zip(found).collect()
}

/// What a policy makes of a case.
fn figures(case: &Case, policy: &dyn Policy, seed: u64) -> Vec<(&'static str, f64)> {
    let mut rng = drawn(seed, policy.name());
    let Ok(placement) = policy.place(&case.request, &mut rng) else {
        return vec![(UNPLACED, unplaced(false))];
    };
    let available = case.request.available();
    let (between, within) = case.delays_ms(&placement);
    let estimated = case.request.cost(&placement);
    let estimated = (estimated.between + estimated.within) * 1e3;
    let mut hosts: Vec<usize> = placement.ranked.iter().flatten().copied().collect();
    hosts.sort_unstable();
    hosts.dedup();
    vec![
        (UNPLACED, unplaced(true)),
        ("availability", computed(case, &placement, &mut rng)),
        (
            "measured_availability",
            failures::measured(&placement.ranked, &available, &mut rng),
        ),
        // The chain is the application: what it takes is all that a row waits for.
        ("delay_ms", between),
        ("within_ms", within),
        ("estimated_over_true", estimated / (between + within)),
        (
            "hosts_used",
            convert::count_to_f64(convert::size(hosts.len())),
        ),
    ]
}

fn computed(case: &Case, placement: &Placement, rng: &mut Rng) -> f64 {
    availability(&placement.ranked, &case.request.available(), rng).value
}

fn unplaced(is_placed: bool) -> f64 {
    if is_placed { 0.0 } else { 1.0 }
}

/// That ours is the most available and clearly faster than what does not look at delays. Source: the definition of R2 and R3.
pub(super) fn claims(grid: &Grid, report: &mut Report) {
    let mean = |series: &str, figure| grid.find(series, CLAIMED, figure).map(|it| it.mean);
    let ours = |figure| mean("concentrate", figure);
    for other in ["random", "least_loaded", "closest", "concentrate_paper"] {
        let is_above = mean(other, "measured_availability") < ours("measured_availability");
        report.claim(&format!("more_available_than_{other}"), is_above);
    }
    for other in ["random", "least_loaded"] {
        let is_below = ours("delay_ms") < mean(other, "delay_ms");
        report.claim(&format!("faster_than_{other}"), is_below);
    }
    let is_above = mean("concentrate_paper", "availability") > mean("closest", "availability");
    report.claim("published_more_available_than_closest", is_above);
    let unplaced = grid.curves(UNPLACED).into_iter();
    let unplaced = unplaced.flat_map(|it| it.points).map(|(_, it)| it.high);
    report.claim("all_are_placed", unplaced.fold(0.0, f64::max) <= 0.0);
}

/// How far ours may be from the best there is, on average. Unit: fraction. Source: guess; nobody would see it.
const OVER_EXHAUSTIVE_MAX: f64 = 1.05;

pub(super) fn claims_small(grid: &Grid, report: &mut Report) {
    let figure = "unavailability_over_exhaustive";
    let curves = grid.curves(figure).into_iter();
    let strict = curves.filter(|it| it.name == "concentrate_strict");
    let over = strict.flat_map(|it| it.points).map(|(_, it)| it.mean);
    let over: Vec<f64> = over.collect();
    let is_near = !over.is_empty() && over.iter().all(|it| *it <= OVER_EXHAUSTIVE_MAX);
    report.claim("close_to_exhaustive", is_near);
}
