//! Predictions of real series, and components that move where hosts and networks change all the time: fewer targets are missed, and nothing
//! moves to and fro.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use model::{Rng, convert};
use testbed::experiment::prediction::fluid::backdrop::Backdrop;
use testbed::experiment::prediction::fluid::{Outcome, Setup, run};
use testbed::experiment::prediction::{self, Options};

const SETUP: Setup = Setup {
    hosts: 8,
    components: 24,
    seconds: 1500,
    swing: 0.4,
    is_watched: true,
};

/// With what is watched, and without.
fn both(setup: Setup, backdrop: &Backdrop, seed: u64) -> (Outcome, Outcome) {
    let without = Setup {
        is_watched: false,
        ..setup
    };
    (run(setup, backdrop, seed), run(without, backdrop, seed))
}

/// What holds however loads and ways change.
fn nothing_flaps(outcome: &Outcome, seed: u64) {
    assert!(
        outcome.moves_per_host_minute_max <= 2,
        "seed {seed}: {outcome:?}"
    );
    let minutes = f64::from(SETUP.seconds) / 60.0;
    let moved = convert::count_to_f64(outcome.moved());
    let components = convert::count_to_f64(convert::size(SETUP.components));
    assert!(
        moved / components / minutes <= 0.2,
        "one component moves once in five minutes at most, seed {seed}: {outcome:?}"
    );
    let returned = convert::count_to_f64(outcome.returns);
    assert!(returned <= 0.1 * moved, "seed {seed}: {outcome:?}");
}

#[test]
fn where_nothing_changes_everything_comes_to_rest() {
    for seed in 1..=3 {
        let mut rng = Rng::from_seed(seed).keyed("backdrop");
        let setup = Setup {
            swing: 0.0,
            ..SETUP
        };
        let backdrop = Backdrop::generated(setup.hosts, setup.seconds, &mut rng);
        let still = backdrop.with_still_loads().with_mean(0.35);
        let (with, without) = both(setup, &still, seed);
        assert!(with.overloaded_fraction <= without.overloaded_fraction);
        assert!(
            with.last_move_s < setup.seconds / 2,
            "seed {seed}: {with:?}"
        );
        assert_eq!(with.returns, 0, "seed {seed}: {with:?}");
    }
}

#[test]
fn of_generated_loads_fewer_targets_are_missed_and_nothing_flaps() {
    let (mut with, mut without) = (0.0, 0.0);
    for seed in 1..=3 {
        let mut rng = Rng::from_seed(seed).keyed("backdrop");
        let backdrop = Backdrop::generated(SETUP.hosts, SETUP.seconds, &mut rng).with_mean(0.35);
        let found = both(SETUP, &backdrop, seed);
        nothing_flaps(&found.0, seed);
        assert_eq!(found.1.moved(), 0);
        with += found.0.violated_fraction;
        without += found.1.violated_fraction;
    }
    assert!(without > 0.0, "nobody suffered, which shows nothing");
    assert!(with <= without / 2.0, "{with} {without}");
}

#[test]
fn of_recorded_loads_and_ways_that_change_nothing_flaps() {
    let Some(data) = data() else {
        return;
    };
    for seed in 1..=2 {
        let mut rng = Rng::from_seed(seed).keyed("backdrop");
        let recorded = Backdrop::recorded(&data, SETUP.hosts, &mut rng).expect("files of data");
        let backdrop = recorded.expect("both folders are there").with_mean(0.3);
        let (with, without) = both(SETUP, &backdrop, seed);
        nothing_flaps(&with, seed);
        assert!(with.moved() > 0, "seed {seed}: {with:?}");
        assert!(
            with.violated_fraction < without.violated_fraction,
            "seed {seed}: {with:?} {without:?}"
        );
    }
}

#[test]
fn on_real_series_the_mixture_is_at_least_as_good_as_naive() {
    let Some(data) = data() else {
        return;
    };
    let options = Options {
        data,
        samples: 2000,
        seeds: vec![1],
        jobs: 2,
        out: None,
    };
    let report = prediction::errors(&options).expect("files of data");
    assert!(report.holds(), "{}", report.table());
}

/// The folder of data. Where what is needed is absent, that is said, and nothing is tested.
fn data() -> Option<PathBuf> {
    let data = match std::env::var_os("SYNERGY_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let is_there = |name| data.join(name).is_dir();
    if is_there("planetlab_cpu_2011") && is_there("seattle99_rtt_time") {
        return Some(data);
    }
    // Not by a macro: the test runner would keep what a test that passes prints.
    writeln!(
        std::io::stderr(),
        "skipped: {} has no loads and round trips; SYNERGY_DATA names the folder that has",
        data.display()
    )
    .expect("standard error is open");
    None
}
