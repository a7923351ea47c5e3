//! What is made anew without any state: where it begins, and what is said of what is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::OperatorPart;
use model::Rng;

use super::Bed;
use crate::hosts::{Faults, Places, drain};
use crate::moving::exact::{alone, assert_equal};
use crate::moving::flows::{filtered, windows};
use crate::support::{Flow, Left, Record, records};

const FAULTLESS: Faults = Faults { one_in: 0 };

fn bed(flow: fn() -> Flow, places: Places, seed: u64) -> (Bed, [Vec<Record>; 1]) {
    let rng = Rng::from_seed(seed);
    let feeds = [records(&mut rng.keyed("rows"), 1500)];
    let bed = Bed::new(flow, places, 5, &feeds, FAULTLESS, &rng);
    (bed, feeds)
}

/// Lets everybody hear of what has happened, while nothing new comes in.
fn settle(bed: &mut Bed, sinks: &[usize]) {
    for step in 0..12_000 {
        bed.hosts.step();
        for sink in sinks {
            if step % 4 == 0 {
                let (host, id) = (bed.places.sinks[*sink], bed.sink(*sink).1);
                bed.missing += drain(&mut bed.hosts, host, id, &mut bed.left[*sink]);
            }
        }
    }
}

/// Two filters and a map behind one another on hosts 2 and 3; a sink on host 1 and, behind windows, another.
fn chain(hosts: [usize; 3]) -> Places {
    Places {
        sources: vec![0],
        operators: vec![hosts[0], hosts[1], hosts[2], 1],
        sinks: vec![1, 1],
    }
}

#[test]
fn a_chain_begins_where_those_who_read_its_end_are() {
    for seed in 0..6 {
        for hosts in [[2, 2, 2], [2, 3, 2], [3, 2, 2], [2, 2, 3]] {
            let places = chain(hosts);
            let (mut bed, feeds) = bed(filtered, places.clone(), seed);
            bed.steps(400 + 300 * seed);
            bed.cut_off(2);
            // One sink reads on while the other does not.
            bed.steps(seed * 100);
            bed.fail_over(2, Vec::new(), &[3, 4, 0, 1]);
            bed.finish();
            assert_eq!(bed.missing, 0, "seed {seed}, {hosts:?}");
            let expected = alone(filtered, &chain([0, 1, 2]), &feeds);
            assert_equal(&bed.left, &expected, &format!("seed {seed}, {hosts:?}"));
        }
    }
}

#[test]
fn who_reads_it_and_is_never_heard_holds_nobody_up_for_long() {
    let (mut bed, feeds) = bed(filtered, chain([2, 3, 3]), 1);
    bed.steps(500);
    bed.cut_off(2);
    let part = bed.rebuilt(0);
    bed.make_anew(0, 4, part, &BTreeSet::new(), true);
    let component = bed.component(0);
    // Somebody who will never come is waited for as well.
    let now = bed.hosts.now_at(4);
    bed.hosts.engines[4]
        .open_edge(now, component, 0, None, engine::EdgeKind::Consumer)
        .unwrap();
    for (stream, reader) in bed.readers(0) {
        bed.turn(stream, reader);
    }
    bed.hosts.pass(Duration::from_secs(4));
    let held = bed.hosts.engines[4].report_of(now, component).unwrap();
    assert_eq!(held.rows_in, 0, "it waits");
    bed.hosts.pass(Duration::from_secs(2));
    let went_on = bed.hosts.engines[4].report_of(now, component).unwrap();
    assert!(went_on.rows_in > 0, "it goes on");
    bed.finish();
    assert_eq!(bed.missing, 0);
    assert_equal(
        &bed.left,
        &alone(filtered, &chain([0, 1, 2]), &feeds),
        "one is absent",
    );
}

#[test]
fn a_sink_that_is_made_anew_reads_on_from_what_the_one_before_had_acknowledged() {
    for (seed, lose_filter) in [(0, false), (1, false), (2, true), (3, true)] {
        let places = Places {
            sources: vec![0],
            operators: vec![2, 2, if lose_filter { 3 } else { 2 }],
            sinks: vec![3, 1],
        };
        let (mut bed, feeds) = bed(windows, places.clone(), seed);
        bed.steps(3000 + 500 * seed);
        settle(&mut bed, &[0, 1]);
        let acknowledged = std::mem::take(&mut bed.left[0]);
        assert!(acknowledged.len() > 3);
        bed.cut_off(3);
        if seed % 2 == 1 {
            bed.hosts.pass(Duration::from_secs(7));
        }
        let mut anew = BTreeSet::new();
        if lose_filter {
            let part = bed.rebuilt(2);
            bed.make_anew(2, 4, part, &anew, true);
            anew.insert(2);
        }
        bed.sink_anew(0, 4, &anew);
        bed.finish();
        assert_eq!(bed.missing, 0, "seed {seed}");
        let is_doubled = |(position, _): &(&_, &_)| acknowledged.contains_key(position);
        assert_eq!(bed.left[0].iter().find(is_doubled), None, "seed {seed}");
        bed.left[0].extend(acknowledged);
        let expected = alone(windows, &places, &feeds);
        assert_equal(&bed.left, &expected, &format!("seed {seed}"));
    }
}

#[test]
fn windows_without_their_state_are_given_from_the_first_whole_one_on() {
    let mut told = 0;
    let mut lacking_at_all = 0;
    for seed in 0..6 {
        let places = Places {
            sources: vec![0],
            operators: vec![0, 2, 1],
            sinks: vec![1, 1],
        };
        let (mut bed, feeds) = bed(windows, places.clone(), seed);
        bed.steps(800 + 250 * seed);
        bed.cut_off(2);
        bed.steps(100 * seed);
        let part = bed.rebuilt(1);
        assert!(matches!(part, OperatorPart::Rebuilt(_)));
        bed.make_anew(1, 3, part, &BTreeSet::new(), true);
        bed.turn_readers(1);
        bed.finish();
        let expected = alone(windows, &places, &feeds);
        let mut lacking = 0;
        for (left, expected) in bed.left.iter().zip(&expected) {
            for (position, row) in left {
                assert_eq!(
                    expected.get(position),
                    Some(row),
                    "seed {seed}: nothing is in parts"
                );
            }
            assert!(
                left.last_key_value() == expected.last_key_value(),
                "seed {seed}"
            );
            let lacks = expected
                .keys()
                .filter(|position| !left.contains_key(position));
            let lacks: Left = lacks.map(|position| (*position, Vec::new())).collect();
            lacking += lacks.len() as u64;
        }
        let all: usize = expected.iter().map(Left::len).sum();
        assert!(
            4 * lacking < all as u64,
            "seed {seed}: {lacking} of {all} rows are lacking"
        );
        assert!(
            bed.missing <= lacking,
            "seed {seed}: {} of {lacking}",
            bed.missing
        );
        told += bed.missing;
        lacking_at_all += lacking;
    }
    // What those who feed it had not heard of as worked off comes again: none may be lacking, but not each time.
    assert!(lacking_at_all > 0 && told > 0, "{told} of {lacking_at_all}");
}

#[test]
fn who_goes_before_its_feeder_hears_who_comes_after_it_takes_nothing_with_it() {
    for seed in 0..4 {
        let places = chain([2, 3, 4]);
        let (mut bed, feeds) = bed(filtered, places.clone(), seed);
        bed.steps(400 + 300 * seed);
        for deployed in &bed.deployed[2] {
            bed.hosts.engines[2].follow_record(deployed.application);
        }
        let (now, gone) = (bed.hosts.now_at(3), bed.component(1));
        bed.hosts.engines[3].end(now, gone);
        // Its goodbye comes; and the host of what it read hears only later that another is to read.
        settle(&mut bed, &[0, 1]);
        let feeder = bed.component(0);
        assert!(bed.hosts.engines[2].is_running(feeder), "seed {seed}");
        let part = bed.rebuilt(1);
        bed.make_anew(1, 1, part, &BTreeSet::new(), false);
        bed.turn_readers(1);
        bed.finish();
        assert_eq!(bed.missing, 0, "seed {seed}");
        let expected = alone(filtered, &chain([0, 1, 2]), &feeds);
        assert_equal(&bed.left, &expected, &format!("seed {seed}"));
    }
}
