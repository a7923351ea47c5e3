//! Whatever moves whenever, the same leaves as without.

use model::Rng;
use proptest::prelude::*;

use super::Bed;
use crate::hosts::{Faults, Places};
use crate::support::{Flow, Left, Record, records};

/// What leaves at each sink when nothing moves.
fn alone(flow: fn() -> Flow, places: &Places, feeds: &[Vec<Record>]) -> Vec<Left> {
    let faults = Faults { one_in: 0 };
    let mut bed = Bed::new(flow, places.clone(), 4, feeds, faults, &Rng::from_seed(1));
    bed.finish();
    bed.left
}

fn windows() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v % 7 <> 3", source);
    let counted = flow.window(10, passed);
    let coarse = flow.filter("n > 0", counted);
    flow.sink(coarse);
    flow.sink(counted);
    flow
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_window_moves_in_mid_stream(seed in any::<u64>()) {
        let rng = Rng::from_seed(seed);
        let feeds = [records(&mut rng.keyed("rows"), 600)];
        let places = Places { sources: vec![0], operators: vec![0, 1, 2], sinks: vec![2, 0] };
        let faults = Faults { one_in: [0, 9][usize::try_from(seed % 2).unwrap()] };
        let mut bed = Bed::new(windows, places.clone(), 4, &feeds, faults, &rng);
        bed.steps(rng.keyed("when").below(900));
        let mut link = bed.shadow(1, 3);
        bed.pull_state(&mut link, 1 + seed % 3);
        bed.steps(seed % 200);
        bed.switch(link);
        bed.finish();
        prop_assert_eq!(bed.missing, 0);
        prop_assert_eq!(&bed.left, &alone(windows, &places, &feeds));
    }
}
