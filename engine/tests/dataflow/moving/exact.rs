//! Whatever moves whenever, the same leaves as without.

use model::Rng;
use proptest::prelude::*;

use super::Bed;
use super::flows::{CASES, Case};
use crate::hosts::{Faults, Places};
use crate::support::{Flow, Left, Record, records};

/// What leaves at each sink when nothing moves.
pub(crate) fn alone(flow: fn() -> Flow, places: &Places, feeds: &[Vec<Record>]) -> Vec<Left> {
    unmoved(flow, places, feeds).left
}

/// A run in which nothing moves.
fn unmoved(flow: fn() -> Flow, places: &Places, feeds: &[Vec<Record>]) -> Bed {
    let faults = Faults { one_in: 0 };
    let mut bed = Bed::new(flow, places.clone(), 4, feeds, faults, &Rng::from_seed(1));
    bed.rows_max = 100;
    bed.finish();
    bed
}

/// Runs a case, moving operators about in mid-stream, and compares.
fn check(case: &Case, seed: u64, moves: u64) {
    let rng = Rng::from_seed(seed);
    let feeds: Vec<Vec<Record>> = (0..case.sources)
        .map(|source| records(&mut rng.keyed(&format!("rows{source}")), 500))
        .collect();
    let places = (case.places)();
    let faults = Faults {
        one_in: [0, 9][usize::try_from(seed % 2).unwrap()],
    };
    let mut bed = Bed::new(case.flow, places.clone(), 4, &feeds, faults, &rng);
    let mut when = rng.keyed("when");
    for _ in 0..moves {
        bed.steps(when.below(900));
        let operator = when.below(places.operators.len() as u64);
        let operator = usize::try_from(operator).unwrap();
        let to = usize::try_from(when.below(4)).unwrap();
        if bed.places.operators[operator] != to && !bed.has_finished() {
            bed.relocate(operator, to);
        }
    }
    bed.finish();
    assert_eq!(bed.missing, 0, "{}, seed {seed}", case.name);
    let unmoved = unmoved(case.flow, &places, &feeds);
    let alone = &unmoved.left;
    assert!(alone.iter().all(|left| left.len() > 2), "{}", case.name);
    assert_equal(&bed.left, alone, &format!("{}, seed {seed}", case.name));
    assert_eq!(
        bed.left_out(),
        unmoved.left_out(),
        "{}, seed {seed}",
        case.name
    );
}

/// At each sink the same has left, each position once: twice is noticed when it leaves.
pub(crate) fn assert_equal(left: &[Left], expected: &[Left], what: &str) {
    for (sink, (left, expected)) in left.iter().zip(expected).enumerate() {
        let of = |(position, row): &(&_, &_), other: &Left| other.get(position) != Some(*row);
        let lacks = expected.iter().find(|row| of(row, left));
        let more = left.iter().find(|row| of(row, expected));
        assert_eq!((lacks, more), (None, None), "{what}, sink {sink}");
    }
}

/// Runs a case in which two operators move at once, their states pulled side by side.
fn check_neighbors(case: &Case, seed: u64) {
    let rng = Rng::from_seed(seed);
    let feeds: Vec<Vec<Record>> = (0..case.sources)
        .map(|source| records(&mut rng.keyed(&format!("rows{source}")), 500))
        .collect();
    let places = (case.places)();
    let faults = Faults { one_in: 9 };
    let mut bed = Bed::new(case.flow, places.clone(), 4, &feeds, faults, &rng);
    let mut when = rng.keyed("when");
    bed.steps(when.below(900));
    let last = places.operators.len() - 1;
    let to = |operator: usize| (places.operators[operator] + 1) % 4;
    let (mut upper, mut lower) = (
        bed.shadow(last - 1, to(last - 1)),
        bed.shadow(last, to(last)),
    );
    // The one pulls on while the other does.
    while upper.increments < 2 || lower.increments < 3 {
        for link in [&mut upper, &mut lower] {
            link.shadow.want();
            bed.step();
            bed.carry(link);
            bed.carry(link);
        }
    }
    let both = match when.below(2) {
        0 => [upper, lower],
        _ => [lower, upper],
    };
    for link in both {
        bed.switch(link);
        bed.steps(when.below(50));
    }
    bed.finish();
    assert_eq!(bed.missing, 0, "{}, seed {seed}", case.name);
    let alone = alone(case.flow, &places, &feeds);
    assert_equal(&bed.left, &alone, &format!("{}, seed {seed}", case.name));
}

/// Seeds at which neighbors that moved at once once lost a row.
#[test]
fn neighbors_that_moved_at_once_lose_nothing() {
    let seeds = [
        1_196_024_084_205_849_527,
        11_395_039_820_859_531_675,
        10_682_849_832_055_810_946,
        10_593_826_083_455_345_855,
        10_549_314_209_155_113_310,
    ];
    for seed in seeds {
        for case in CASES
            .iter()
            .filter(|case| (case.places)().operators.len() > 1)
        {
            check_neighbors(case, seed);
        }
    }
}

#[test]
fn every_kind_of_operator_moves_again_and_again() {
    for seed in 0..6 {
        for case in CASES {
            check(case, seed, 6);
        }
    }
}

/// Seeds at which sessions that moved again and again once lacked rows, and said so.
#[test]
fn sessions_that_move_again_and_again_lack_nothing() {
    for seed in [13_894_900_761_238_871_550, 13_894_688_741_879_111_436] {
        check(&CASES[2], seed, 6);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn every_kind_of_operator_moves_once(seed in any::<u64>()) {
        for case in CASES {
            check(case, seed, 1);
        }
    }

    #[test]
    fn neighbors_move_at_once(seed in any::<u64>()) {
        for case in CASES.iter().filter(|case| (case.places)().operators.len() > 1) {
            check_neighbors(case, seed);
        }
    }

}
