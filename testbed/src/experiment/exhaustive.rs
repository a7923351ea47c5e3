//! How far what is composed is from the best that there is, in cases small enough to look at every graph.
//!
//! Each request is tried alone on hosts that others use in part, and reserves nothing: all policies compose in the same state.

use std::collections::BTreeMap;

use composition::Policy;
use composition::policy::Exhaustive;
use model::{Rng, convert};

use super::Options;
use super::at_once::at_once;
use super::build_up::Case;
use super::grid::Grid;
use super::workload::{Settings, Workload};

/// The plans: how many operators, and whether they fork and join.
const PLANS: [(usize, bool); 4] = [(2, false), (3, false), (4, false), (6, true)];

/// The most that others take of a host's processor. Source: guess; enough that hosts differ.
const BACKGROUND: f64 = 0.6;

/// What is found for requests, by number.
type Trials = BTreeMap<usize, Found>;

/// What is found for a request.
struct Found {
    phi: f64,
    delay: f64,
}

/// Adds, for each plan and policy, the means over requests that both it and exhaustive search admit.
pub(super) fn run(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    let plans = PLANS.iter();
    let cases: Vec<((usize, bool), u64)> = plans
        .flat_map(|plan| options.seeds.iter().map(|seed| (*plan, *seed)))
        .collect();
    let found = at_once(options.jobs, 0..cases.len(), |number| {
        let (plan, seed) = cases[number];
        let settings = settings(plan, options);
        let best = trials(&Exhaustive, seed, &settings, options);
        let policies = options.policies.iter();
        let found: Vec<Trials> = policies
            .map(|policy| trials(*policy, seed, &settings, options))
            .collect();
        told(&format!("{} operators, seed {seed}", plan.0));
        (best, found)
    });
    for (((operators, _), _), (best, found)) in cases.iter().zip(found) {
        let place = convert::count_to_f64(convert::size(*operators));
        for (policy, found) in options.policies.iter().zip(found) {
            add(policy.name(), place, &found, &best, options, grid);
        }
    }
}

fn settings((operators, forks): (usize, bool), options: &Options) -> Settings {
    Settings {
        hosts: 24,
        kinds: 12,
        replicas: 5,
        pipelines: 40,
        fork_fraction: if forks { 1.0 } else { 0.0 },
        chain: (operators.min(4), operators.min(4)),
        popularity: 0.0,
        ..options.settings.clone()
    }
}

/// What a policy would compose for each request; nothing where it refuses.
fn trials(
    policy: &'static dyn Policy,
    seed: u64,
    settings: &Settings,
    options: &Options,
) -> Trials {
    let requests = options.requests.last().copied().unwrap_or(0);
    let settings = Settings {
        requests,
        ..settings.clone()
    };
    let case = Case {
        policy,
        seed,
        settings: settings.clone(),
        execution: options.execution,
        background: BACKGROUND,
        every: None,
        checkpoints: Vec::new(),
    };
    let workload = Workload::draw(&settings, &Rng::from_seed(seed));
    let mut world = case.world(&workload);
    let mut found = BTreeMap::new();
    for number in 0..requests {
        let host = workload.requests()[number].host;
        let mut order = workload.order(number, |host| world.node(host));
        order.is_trial = true;
        let ticket = world.apply(host, order);
        world.run_until_answered();
        let outcome = world.outcome(ticket);
        if let Some(admitted) = outcome.and_then(|it| it.admitted.as_ref()) {
            let phi = admitted.congestion;
            let delay = admitted.predicted_delay.as_secs_f64();
            found.insert(number, Found { phi, delay });
        }
    }
    found
}

fn add(
    series: &str,
    place: f64,
    found: &Trials,
    best: &Trials,
    options: &Options,
    grid: &mut Grid,
) {
    let requests = options.requests.last().copied().unwrap_or(0);
    let count = |count: usize| convert::count_to_f64(convert::size(count));
    let admitted = count(found.len()) / count(requests.max(1));
    grid.add(series, place, "admitted_fraction", admitted);
    let both: Vec<(&Found, &Found)> = found
        .iter()
        .filter_map(|(number, it)| Some((it, best.get(number)?)))
        .collect();
    if both.is_empty() {
        return;
    }
    let over = |figure: fn(&Found) -> f64| {
        let ours: f64 = both.iter().map(|(it, _)| figure(it)).sum();
        let theirs: f64 = both.iter().map(|(_, it)| figure(it)).sum();
        ours / theirs.max(f64::MIN_POSITIVE)
    };
    grid.add(series, place, "phi_over_exhaustive", over(|it| it.phi));
    grid.add(series, place, "delay_over_exhaustive", over(|it| it.delay));
}
