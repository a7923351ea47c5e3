//! Single components that end, and readers whose producer has gone.

use std::collections::BTreeSet;

use engine::Event;
use model::Rng;
use model::plan::{Reader, Stream};

use super::Bed;
use crate::hosts::{Faults, Places};
use crate::moving::exact::{alone, assert_equal};
use crate::moving::flows::windows;
use crate::support::{Record, has_retired, records};

fn bed(places: &Places, seed: u64) -> (Bed, [Vec<Record>; 1]) {
    let rng = Rng::from_seed(seed);
    let feeds = [records(&mut rng.keyed("rows"), 1500)];
    let faults = Faults { one_in: 0 };
    let bed = Bed::new(windows, places.clone(), 5, &feeds, faults, &rng);
    (bed, feeds)
}

/// The last operator, which the first sink reads.
const FILTER: usize = 2;
const OF_FILTER: (Stream, Reader) = (Stream::Operator(FILTER, 0), Reader::Sink(0));

#[test]
fn who_hears_that_its_producer_is_gone_reads_on_from_another_one() {
    // On another host, on the same one, and from there to another one on the same.
    for (was, to) in [(2, 3), (1, 3), (3, 1)] {
        let places = Places {
            sources: vec![0],
            operators: vec![0, 2, was],
            sinks: vec![1, 1],
        };
        let (mut bed, feeds) = bed(&places, 3);
        bed.steps(2000);
        let old = bed.component(FILTER);
        let part = bed.rebuilt(FILTER);
        bed.make_anew(FILTER, to, part, &BTreeSet::new(), false);
        let now = bed.hosts.now_at(was);
        bed.hosts.engines[was].end(now, old);
        let (stream, reader) = OF_FILTER;
        let application = bed.deployed[1][0].application;
        let gone = Event::Gone {
            application,
            stream,
            reader,
        };
        for step in 0.. {
            assert!(step < 20_000, "nobody says that it is gone");
            bed.step();
            if bed.hosts.events[1].contains(&gone) {
                break;
            }
        }
        let edge = bed.reading(1, stream, reader);
        assert!(bed.hosts.engines[1].is_reading(edge), "it can be turned");
        bed.steps(500);
        let replaced = Event::Replaced {
            application,
            stream,
            reader,
        };
        assert!(!bed.hosts.events[1].contains(&replaced));
        bed.turn(stream, reader);
        bed.finish();
        let count = bed.hosts.events[1].iter().filter(|it| **it == replaced);
        assert_eq!(count.count(), 1, "from {was} to {to}");
        assert_eq!(bed.missing, 0, "from {was} to {to}");
        let expected = alone(windows, &places, &feeds);
        assert_equal(&bed.left, &expected, &format!("from {was} to {to}"));
    }
}

#[test]
fn a_sink_that_ends_is_missed_by_nobody_and_the_last_one_takes_all_with_it() {
    let places = Places {
        sources: vec![0],
        operators: vec![0, 2, 1],
        sinks: vec![1, 1],
    };
    let (mut bed, feeds) = bed(&places, 5);
    bed.steps(2000);
    let filter = bed.component(FILTER);
    let (application, first) = bed.sink(0);
    let now = bed.hosts.now_at(1);
    bed.hosts.engines[1].end(now, first);
    assert!(!bed.hosts.engines[1].is_here(first));
    assert!(
        !bed.hosts.engines[1].is_here(filter),
        "only this sink has read it"
    );
    assert!(
        bed.hosts.engines[1].is_deployed(application),
        "the other sink goes on"
    );
    bed.hosts.engines[1].end(now, first);
    // Half of what comes is written at the other sink.
    let (_, second) = bed.sink(1);
    let half = alone(windows, &places, &feeds)[1].len() / 2;
    for step in 0.. {
        assert!(step < 200_000, "the other sink stands still");
        bed.hosts.step();
        if step % 12 == 0 {
            bed.feeds[0].offer(&mut bed.hosts, 12);
            let left = &mut bed.left[1];
            crate::hosts::drain(&mut bed.hosts, 1, second, left);
        }
        if bed.left[1].len() > half {
            break;
        }
    }
    assert!(!has_retired(&bed.hosts.events[1], application));
    let now = bed.hosts.now_at(1);
    bed.hosts.engines[1].end(now, second);
    bed.hosts.tick();
    assert!(has_retired(&bed.hosts.events[1], application));
    // What it read on other hosts goes by its goodbye.
    let window = bed.component(1);
    for step in 0.. {
        assert!(step < 20_000, "the windows stay");
        bed.hosts.step();
        if !bed.hosts.engines[2].is_here(window) {
            break;
        }
    }
}
