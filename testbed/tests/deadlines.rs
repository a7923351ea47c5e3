//! Applications with targets on virtual cores: the same results whoever goes first, and those in a hurry in time.

use std::collections::BTreeMap;

use testbed::experiment::deadlines::figures::{delays, figures};
use testbed::experiment::deadlines::reference::Reference;
use testbed::experiment::deadlines::run::Run;
use testbed::experiment::deadlines::scenario::{Overheads, Scenario};
use testbed::experiment::deadlines::schedule::Schedule;
use testbed::experiment::deadlines::series::{self, FIFO, OURS, Series};
use testbed::experiment::deadlines::{bound, cores, threads};

/// Two applications in a hurry beside three that have time.
const MIX: &str = r#"
    workers = 1
    warm_up_ms = 1000
    measured_ms = 4000
    tail_ms = 500
    rows_per_batch = 600

    [[group]]
    name = "tight"
    role = "tight"
    count = 2
    target_ms = 800
    sources = 8
    batches_per_second = 1
    arrivals = { burst = { every_ms = 1000, within_ms = 50 } }
    window_ms = 1000
    stages = [
        { operators = 4, batch_us = 2000 },
        { operators = 2, batch_us = 1000 },
        { operators = 1, batch_us = 400, closing_us = 100 },
    ]

    [[group]]
    name = "bulk"
    role = "bulk"
    count = 3
    target_ms = 3600000
    sources = 8
    batches_per_second = 16
    follows_load = "rate"
    arrivals = { burst = { every_ms = 1000, within_ms = 50 } }
    window_ms = 4000
    slide_ms = 2000
    stages = [
        { operators = 4, batch_us = 2000 },
        { operators = 1, batch_us = 400 },
    ]
"#;

fn mix(text: &str, load: f64) -> (Scenario, Overheads) {
    let scenario = Scenario::parse(text).expect("a scenario");
    let overheads = Overheads::none(scenario.workers);
    (scenario.loaded(load, overheads).expect("a load"), overheads)
}

/// Runs a mix on virtual cores, and checks all that left.
fn run(text: &str, load: f64, seed: u64, series: Series) -> (Run, BTreeMap<&'static str, f64>) {
    let (scenario, overheads) = mix(text, load);
    let schedule = Schedule::draw(&scenario, seed);
    let reference = Reference::of(&scenario, &schedule);
    let mut run = cores::run(&scenario, &schedule, series.config, overheads).expect("a run");
    assert_eq!(
        reference.check(&mut run.left),
        Vec::<String>::new(),
        "{}, seed {seed}",
        series.name
    );
    let figures = figures(&scenario, &reference, &run, overheads);
    (run, figures)
}

#[test]
fn who_is_in_a_hurry_does_not_wait_for_who_has_time() {
    let found = |name: &str| series::find(name).unwrap();
    for seed in [1, 2] {
        let (_, ours) = run(MIX, 0.8, seed, found(OURS));
        let (_, fifo) = run(MIX, 0.8, seed, found(FIFO));
        let ratio = fifo["tight_p50_ms"] / ours["tight_p50_ms"];
        assert!(ratio > 3.0, "seed {seed}: {ratio}: {ours:?} {fifo:?}");
        for (figures, name) in [(&ours, OURS), (&fifo, FIFO)] {
            assert!(figures["tight_windows"] >= 7.0, "{name}: {figures:?}");
            assert!(figures["tight_unfinished_fraction"] <= 0.0, "{name}");
            assert!(figures["bulk_unfinished_fraction"] <= 0.0, "{name}");
        }
        let bulk = fifo["bulk_p50_ms"] / ours["bulk_p50_ms"];
        assert!(
            bulk > 0.5,
            "seed {seed}: {bulk}: who has time is not starved"
        );
    }
}

/// One application that does little: what delays it is its own work alone.
const ALONE: &str = r#"
    workers = 4
    warm_up_ms = 2000
    measured_ms = 10000
    tail_ms = 500
    rows_per_batch = 600

    [[group]]
    name = "tight"
    role = "tight"
    count = 1
    target_ms = 800
    sources = 8
    batches_per_second = 6
    follows_load = "cost"
    arrivals = "poisson"
    window_ms = 1000
    stages = [
        { operators = 4, batch_us = 2000, closing_us = 500 },
        { operators = 2, batch_us = 1000, closing_us = 100 },
        { operators = 1, batch_us = 400, closing_us = 100 },
    ]
"#;

#[test]
fn nothing_undercuts_the_least_delays_and_ours_comes_near_them() {
    let least = |text: &str, load, seed| {
        let (scenario, _) = mix(text, load);
        let schedule = Schedule::draw(&scenario, seed);
        let reference = Reference::of(&scenario, &schedule);
        let left = bound::least(&scenario, &schedule, &reference);
        let run = Run {
            left,
            ..Run::default()
        };
        let delays = delays(&scenario, &reference, &run);
        (run.left, delays)
    };
    for (text, load, seed) in [(MIX, 0.8, 1), (ALONE, 0.2, 2), (ALONE, 0.9, 3)] {
        let (all, _) = least(text, load, seed);
        let all: BTreeMap<_, _> = all.iter().map(|it| (it.window, it.at)).collect();
        for name in [OURS, FIFO, "llf", "bag"] {
            let (run, _) = run(text, load, seed, series::find(name).unwrap());
            let mut compared = 0;
            for left in &run.left {
                if let Some(least) = all.get(&left.window) {
                    compared += 1;
                    // Virtual time is counted in nanoseconds, costs of rows in fractions of them.
                    let at = left.at + std::time::Duration::from_micros(1);
                    assert!(at >= *least, "{name} at {load}: {left:?} {least:?}");
                }
            }
            assert!(compared > 6, "{name} at {load}: {compared}");
        }
    }
    // With two cores for each operator that works, nothing waits but for itself, and rows of the next window wait behind the last one.
    let (_, least) = least(ALONE, 0.2, 2);
    let (_, ours) = run(ALONE, 0.2, 2, series::find(OURS).unwrap());
    let (_, published) = run(ALONE, 0.2, 2, series::find("llf").unwrap());
    let over_least = ours["tight_p50_ms"] / least["tight_p50_ms"];
    assert!(over_least < 1.1, "{over_least}");
    let spared = published["tight_p50_ms"] / ours["tight_p50_ms"];
    assert!(spared > 1.3, "{spared}");
}

#[test]
fn results_are_those_of_the_reference_whoever_goes_first_and_whatever_progress_follows_from() {
    let event = "rows_per_batch = 600\nprogress = { event = { lag_ms = 100, disorder_ms = 30 } }";
    let by_event_time = MIX.replace("rows_per_batch = 600", event);
    assert_ne!(by_event_time, MIX);
    let check = |text: &str, series: Series| {
        let (run, figures) = run(text, 0.9, 4, series);
        assert!(run.left.len() > 6, "{}: {figures:?}", series.name);
    };
    for series in series::all().into_iter().filter(Series::is_modelled) {
        check(MIX, series);
        // The other time makes a difference to those alone who look at windows.
        if [OURS, "llf"].contains(&series.name) {
            check(&by_event_time, series);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    for name in [OURS, FIFO, "bag"] {
        let series = series::find(name).unwrap();
        let (first, _) = run(MIX, 0.8, 7, series);
        assert_eq!(first, run(MIX, 0.8, 7, series).0, "{}", series.name);
        assert_ne!(first, run(MIX, 0.8, 8, series).0, "{}", series.name);
    }
}

#[test]
fn what_cannot_be_done_is_unfinished_and_late() {
    let (_, figures) = run(MIX, 3.0, 1, series::find(FIFO).unwrap());
    assert!(figures["bulk_unfinished_fraction"] > 0.5, "{figures:?}");
    assert!(figures["bulk_on_time_fraction"] < 0.5, "{figures:?}");
    assert!(figures["measured_load"] > 0.95, "{figures:?}");
}

#[test]
fn threads_give_the_results_of_the_reference() {
    // Times say nothing where others use the machine: results do.
    let (scenario, _) = mix(
        &MIX.replace("measured_ms = 4000", "measured_ms = 2000"),
        0.1,
    );
    let scenario = scenario.scaled(0.5);
    let schedule = Schedule::draw(&scenario, 1);
    let reference = Reference::of(&scenario, &schedule);
    for series in series::all() {
        let mut run = threads::run(&scenario, &schedule, series.config).unwrap();
        assert_eq!(reference.check(&mut run.left), Vec::<String>::new());
        assert!(!run.left.is_empty(), "{}", series.name);
        assert!(run.worker_cpu >= run.told, "{}: {run:?}", series.name);
    }
}
