//! Whichever host vanishes whenever, the same leaves as without: what has state goes on from a shadow, all else from positions.

use std::time::Duration;

use model::Rng;
use proptest::prelude::*;

use super::{Bed, StateLink};
use crate::hosts::{Faults, Places};
use crate::moving::exact::{alone, assert_equal};
use crate::moving::flows::{CASES, Case};
use crate::support::{Record, records};

/// Hosts of sources, of sinks, two of operators, and one to spare.
const HOSTS: usize = 5;

/// Runs a case in which a host vanishes, sooner or later noticed, and compares.
fn check(case: &Case, seed: u64) {
    let rng = Rng::from_seed(seed);
    let what = format!("{}, seed {seed}", case.name);
    let feeds: Vec<Vec<Record>> = (0..case.sources)
        .map(|source| records(&mut rng.keyed(&format!("rows{source}")), 400))
        .collect();
    let mut when = rng.keyed("when");
    let before = (case.places)();
    let operators: Vec<usize> = before
        .operators
        .iter()
        .map(|_| [2, 3][usize::try_from(when.below(2)).unwrap()])
        .collect();
    let places = Places {
        sources: vec![0; case.sources],
        sinks: vec![1; before.sinks.len()],
        operators,
    };
    let faults = Faults {
        one_in: [0, 9][usize::try_from(when.below(2)).unwrap()],
    };
    let mut bed = Bed::new(case.flow, places.clone(), HOSTS, &feeds, faults, &rng);
    let gone = *places.operators.last().unwrap();
    let spares = [0, 1, 4, 5 - gone];
    let mut backups: Vec<StateLink> = Vec::new();
    for operator in 0..places.operators.len() {
        if places.operators[operator] == gone && !bed.is_stateless(operator) {
            let to = spares[usize::try_from(when.below(4)).unwrap()];
            let mut link = bed.shadow(operator, to);
            bed.pull_state(&mut link, 1);
            backups.push(link);
        }
    }
    for _ in 0..when.below(2500) {
        bed.step();
        for link in &mut backups {
            if when.below(200) == 0 {
                link.shadow.want();
            }
            bed.carry(link);
        }
    }
    bed.cut_off(gone);
    if when.below(3) == 0 {
        // Nobody notices for long: those that it read have given up on it.
        bed.hosts.pass(Duration::from_secs(7));
    }
    bed.fail_over(gone, backups, &spares);
    bed.finish();
    assert_eq!(bed.missing, 0, "{what}");
    assert_equal(&bed.left, &alone(case.flow, &before, &feeds), &what);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn whatever_ran_on_a_host_goes_on_elsewhere(seed in any::<u64>()) {
        for case in CASES {
            check(case, seed);
        }
    }
}
