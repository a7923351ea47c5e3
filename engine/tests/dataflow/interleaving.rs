//! Cuts and interleavings do not change what leaves.

use std::collections::BTreeMap;

use engine::Config;
use model::{Rng, Scalar, Value};
use proptest::prelude::*;

use crate::support::{Flow, Left, Record, origin, records, run, table};

/// One origin split, filtered differently, and united.
fn diamond() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let split = flow.operator(
        "split",
        [("when", table([("even", "v % 2 = 0")]))],
        &[source],
    );
    let even = flow.filter("v % 3 <> 1", split.port(0).unwrap());
    let odd = flow.filter("v % 5 <> 1", split.port(1).unwrap());
    let both = flow.operator("union", [], &[even, odd]);
    flow.sink(both.port(0).unwrap());
    flow
}

fn good(feed: &[Record]) -> impl Iterator<Item = (u64, (i64, i64, i64))> + '_ {
    (1..)
        .zip(feed)
        .filter_map(|(index, record)| record.map(|record| (index, record)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn the_diamond_loses_nothing_and_doubles_nothing(seed in any::<u64>()) {
        let mut rng = Rng::from_seed(seed);
        let feed = records(&mut rng, 500);
        let (left, engine) = run(diamond(), std::slice::from_ref(&feed), Config::default(), &mut rng);
        let mut rows: Vec<Vec<i64>> = left.values().cloned().collect();
        rows.sort();
        let passes = |v: i64| if v % 2 == 0 { v % 3 != 1 } else { v % 5 != 1 };
        let mut expected: Vec<Vec<i64>> =
            good(&feed).filter(|(_, (_, v, _))| passes(*v)).map(|(_, (k, v, _))| vec![k, v]).collect();
        expected.sort();
        prop_assert_eq!(rows, expected);
        prop_assert_eq!(engine.memory().used_bytes(), 0, "what has left is retained by nobody");
        let indices: Vec<u64> = left.keys().map(|(_, index, _)| *index).collect();
        for (index, (_, v, _)) in good(&feed) {
            prop_assert_eq!(indices.contains(&index), passes(v), "positions are those of the source");
        }
    }

    #[test]
    fn windows_over_two_sources_are_the_same_however_they_are_fed(seed in any::<u64>()) {
        let mut rng = Rng::from_seed(seed);
        let feeds = [records(&mut rng, 400), records(&mut rng, 300)];
        let flow = || {
            let mut flow = Flow::new();
            let sources = [flow.source(), flow.source()];
            let both = flow.operator("union", [], &sources);
            let windows = flow.window(10, both.port(0).unwrap());
            let coarse = flow.filter("n > 0", windows);
            flow.sink(coarse);
            flow
        };
        let all: Vec<Left> = (0..3).map(|_| run(flow(), &feeds, Config::default(), &mut rng).0).collect();
        prop_assert_eq!(&all[0], &all[1]);
        prop_assert_eq!(&all[0], &all[2]);
        // Beside the late rows, whose fate the reference of the window's own tests covers, counts are those
        // of the records.
        let mut counts: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        for row in all[0].values() {
            *counts.entry((row[0], row[1])).or_default() += row[3];
        }
        let counted: i64 = counts.values().sum();
        let rows = i64::try_from(feeds.iter().flat_map(|feed| good(feed)).count()).unwrap();
        prop_assert!(counted <= rows && counted > rows * 9 / 10, "{} of {} rows counted", counted, rows);
    }

    #[test]
    fn joins_over_two_sources_are_the_same_however_they_are_fed(seed in any::<u64>()) {
        let mut rng = Rng::from_seed(seed);
        let feeds = [records(&mut rng, 300), records(&mut rng, 200)];
        let micros = |entries: [(&str, i64); 2]| {
            let entries = entries.map(|(name, micros)| (name.to_owned(), Scalar::Micros(micros)));
            Value::Table(entries.to_vec())
        };
        let meeting = [
            ("interval", micros([("lower", -20_000), ("upper", 5_000)])),
            ("window", micros([("sliding", 40_000), ("slide", 20_000)])),
        ];
        for meeting in meeting {
            let flow = || {
                let mut flow = Flow::new();
                let sources = [flow.source(), flow.source()];
                let select = table([("k", "left_k"), ("v", "left_v"), ("other", "coalesce(right_k, -1)"), ("w", "right_v")]);
                let given = [("on", table([("k", "k")])), ("type", "left".into()), ("select", select), meeting.clone()];
                let joined = flow.operator("join", given, &sources);
                flow.sink(joined.port(0).unwrap());
                flow
            };
            let all: Vec<Left> = (0..3).map(|_| run(flow(), &feeds, Config::default(), &mut rng).0).collect();
            prop_assert_eq!(&all[0], &all[1]);
            prop_assert_eq!(&all[0], &all[2]);
            prop_assert!(all[0].len() > 100, "{} rows", all[0].len());
            // Keys agree, or there is no right row.
            prop_assert!(all[0].values().all(|row| row[0] == row[2] || row[2] == -1));
        }
    }
}

#[test]
fn a_stream_that_is_joined_with_itself_has_late_rows_of_both_sides() {
    let mut rng = Rng::from_seed(5);
    let feed = records(&mut rng, 500);
    let mut flow = Flow::new();
    let source = flow.source();
    let bounds = [("lower", 0), ("upper", 0)];
    let bounds = bounds.map(|(name, micros)| (name.to_owned(), Scalar::Micros(micros)));
    let given = [
        ("on", table([("k", "k"), ("v", "v")])),
        ("interval", Value::Table(bounds.to_vec())),
    ];
    let joined = flow.operator("join", given, &[source, source]);
    flow.sink(joined.port(0).unwrap());
    flow.sink(joined.port(1).unwrap());
    let (left, _) = run(
        flow,
        std::slice::from_ref(&feed),
        Config::default(),
        &mut rng,
    );
    let mut by_origin: BTreeMap<_, usize> = BTreeMap::new();
    for (origin, ..) in left.keys() {
        *by_origin.entry(*origin).or_default() += 1;
    }
    // What the component numbers, what the source did, and the same by the other way in.
    assert_eq!(by_origin.len(), 3, "{:?}", by_origin.keys());
    let mut counts: Vec<usize> = by_origin.into_values().collect();
    counts.sort_unstable();
    assert!(counts[0] > 0 && counts[0] == counts[1], "{counts:?}");
    assert_eq!(
        counts[1] + counts[2],
        good(&feed).count(),
        "a row meets itself or is late"
    );
}

#[test]
fn a_source_alone_reaches_its_sink_with_its_own_positions() {
    let mut flow = Flow::new();
    let source = flow.source();
    flow.sink(source);
    let feed = vec![Some((1, 10, 5)), None, Some((2, 20, 6))];
    let (left, _) = run(flow, &[feed], Config::default(), &mut Rng::from_seed(3));
    let expected = [
        ((origin(0), 1, 0), vec![1, 10]),
        ((origin(0), 3, 0), vec![2, 20]),
    ];
    assert_eq!(left, Left::from(expected));
}
