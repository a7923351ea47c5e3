//! Copies that run beside operators and are read by nobody, until the hosts of these have vanished.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::OperatorPart;
use model::Rng;

use super::Bed;
use crate::hosts::{Faults, Places};
use crate::moving::exact::{alone, assert_equal};
use crate::moving::flows::windows;
use crate::support::records;

/// The windows, whose state a copy goes on with.
const WINDOWS: usize = 1;

/// Where they run, and where their copy does.
const PRIMARY: usize = 2;
/// See [`PRIMARY`].
const COPY: usize = 3;

#[test]
fn a_copy_is_read_on_from_where_its_primary_was() {
    for seed in 0..6 {
        let places = Places {
            sources: vec![0],
            operators: vec![0, PRIMARY, 1],
            sinks: vec![1, 1],
        };
        let rng = Rng::from_seed(seed);
        let feeds = [records(&mut rng.keyed("rows"), 3000)];
        let faults = Faults {
            one_in: [0, 9][usize::try_from(seed % 2).unwrap()],
        };
        let mut bed = Bed::new(windows, places.clone(), 5, &feeds, faults, &rng);
        bed.steps(300 + 100 * seed);
        let mut link = bed.shadow(WINDOWS, COPY);
        bed.pull_state(&mut link, 1);
        let resumed = link.shadow.activate().expect("the shadow holds a state");
        let part = OperatorPart::Resumed(Box::new(resumed));
        bed.make_anew(WINDOWS, COPY, part, &BTreeSet::new(), false);
        let copy = bed.component(WINDOWS);
        bed.hosts.engines[COPY].stand_by(copy);

        bed.steps(1500 + 300 * seed);
        if seed == 5 {
            // Longer than what nobody reads stays else.
            bed.hosts.pass(Duration::from_secs(70));
            bed.steps(500);
        }
        let stands = bed.hosts.engines[COPY].standing_by(copy).unwrap();
        assert!(stands.is_fed, "seed {seed}");
        assert_eq!(stands.missing, 0, "seed {seed}");
        let now = bed.hosts.now_at(COPY);
        let worked = bed.hosts.engines[COPY].report_of(now, copy).unwrap();
        assert!(worked.rows_in > 50, "seed {seed}: {}", worked.rows_in);

        bed.cut_off(PRIMARY);
        bed.steps(100 * seed);
        let now = bed.hosts.now_at(COPY);
        bed.hosts.engines[COPY].step_in(now, copy, None);
        bed.turn_readers(WINDOWS);
        bed.finish();
        assert_eq!(bed.missing, 0, "seed {seed}");
        let expected = alone(windows, &places, &feeds);
        assert_equal(&bed.left, &expected, &format!("seed {seed}"));
    }
}

#[test]
fn who_does_not_run_does_not_stand_by() {
    let places = Places {
        sources: vec![0],
        operators: vec![0, PRIMARY, 1],
        sinks: vec![1, 1],
    };
    let rng = Rng::from_seed(1);
    let feeds = [records(&mut rng.keyed("rows"), 100)];
    let mut bed = Bed::new(windows, places, 5, &feeds, Faults { one_in: 0 }, &rng);
    let windows = bed.component(WINDOWS);
    // Neither the one nor the other is there: nothing happens.
    let engine = &mut bed.hosts.engines[COPY];
    engine.stand_by(windows);
    assert_eq!(engine.standing_by(windows), None);
}
