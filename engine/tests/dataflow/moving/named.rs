//! The interleavings that lose data where components are switched naively, each by name; and moves that are given up.

use std::time::Duration;

use engine::state::{Arrived, StatePull};
use engine::{
    Config, Deployment, EdgeKind, Event, OperatorPart, Provider, SinkDeployment, SourcePart,
};
use model::plan::{Reader, Stream};
use model::{NodeId, Rng};

use super::Bed;
use super::exact::{alone, assert_equal};
use super::flows::windows;
use crate::hosts::{Faults, Places, drain};
use crate::support::{Left, Record, records};

const FAULTLESS: Faults = Faults { one_in: 0 };

/// Windows on host 1, which sinks on hosts 2 and 0 read, the first of them by a filter.
fn places() -> Places {
    Places {
        sources: vec![0],
        operators: vec![0, 1, 2],
        sinks: vec![2, 0],
    }
}

/// The operator that holds state.
const WINDOW: usize = 1;

fn feeds(rng: &Rng) -> [Vec<Record>; 1] {
    [records(&mut rng.keyed("rows"), 3000)]
}

fn bed(seed: u64, faults: Faults) -> (Bed, [Vec<Record>; 1]) {
    let rng = Rng::from_seed(seed);
    let feeds = feeds(&rng);
    let bed = Bed::new(windows, places(), 4, &feeds, faults, &rng);
    (bed, feeds)
}

fn assert_exact(mut bed: Bed, feeds: &[Vec<Record>]) {
    bed.finish();
    assert_eq!(bed.missing, 0, "nothing was lost on the way");
    assert_equal(&bed.left, &alone(windows, &places(), feeds), "moved");
}

#[test]
fn the_old_one_acknowledges_on_while_the_state_travels() {
    for seed in 0..5 {
        let (mut bed, feeds) = bed(seed, FAULTLESS);
        bed.steps(500);
        let mut link = bed.shadow(WINDOW, 3);
        bed.pull_state(&mut link, 1);
        let held = link.shadow.standing().unwrap().inputs.clone();
        // The shadow is heard, and told nothing new; what lies before goes on.
        for _ in 0..2000 {
            bed.step();
            bed.carry(&mut link);
        }
        let taken = bed.taken(WINDOW);
        let before = held[0].iter().next().unwrap();
        assert!(
            taken[0].through(before.0).unwrap() > before.1 + 100,
            "the old one went on"
        );
        bed.switch(link);
        assert_exact(bed, &feeds);
    }
}

#[test]
fn a_consumer_dies_between_the_old_and_the_new_one() {
    for seed in 0..5 {
        let (mut bed, feeds) = bed(seed, FAULTLESS);
        bed.steps(300);
        // The window has a backup; the filter that it reads moves.
        let mut backup = bed.shadow(WINDOW, 3);
        bed.pull_state(&mut backup, 1);
        let mut link = bed.shadow(0, 2);
        bed.pull_state(&mut link, 1);
        bed.steps(100 * seed);
        let moved = bed.activate(link);
        bed.cut_off(1);
        bed.steps(200);
        bed.leave(moved);
        // What it had taken in since its backup heard of it is lost with it, and at the new place all the same.
        let state = bed.activate(backup);
        bed.turn_readers(state.0);
        assert_exact(bed, &feeds);
    }
}

#[test]
fn a_consumer_far_behind_finds_at_the_new_place_what_it_lacks() {
    for seed in 0..5 {
        let (mut bed, feeds) = bed(seed, FAULTLESS);
        bed.steps(300);
        // The second sink hears nothing any more. It lapses, and the other goes on.
        bed.set_down(Stream::Operator(WINDOW, 0), Reader::Sink(1));
        bed.hosts.pass(Duration::from_secs(6));
        bed.steps(2000);
        let behind = bed.left[1].len();
        assert!(
            bed.left[0].len() > behind + 20,
            "{behind} rows left at the one that is behind"
        );
        let mut link = bed.shadow(WINDOW, 3);
        bed.pull_state(&mut link, 1);
        bed.switch(link);
        assert_exact(bed, &feeds);
    }
}

#[test]
fn a_newcomer_with_a_stale_address_is_told_where_the_stream_is() {
    let host = NodeId([3; 32]);
    let (mut bed, feeds) = bed(4, FAULTLESS);
    bed.steps(300);
    let old = bed.component(WINDOW);
    let mut link = bed.shadow(WINDOW, 3);
    bed.pull_state(&mut link, 1);
    let state = bed.activate(link);
    bed.hosts.engines[1].set_moved(old, host);
    // Somebody elsewhere, who has looked it up before, reads it where it was.
    let now = bed.hosts.now;
    let stale = bed.hosts.engines[1]
        .open_edge(now, old, 0, None, EdgeKind::Consumer)
        .unwrap();
    let newcomer = bed.hosts.engines[0].deploy(now, reading_alone()).unwrap();
    let [end] = newcomer.upstream.as_slice() else {
        panic!("one edge from elsewhere, not {:?}", newcomer.upstream);
    };
    bed.hosts.link((1, stale), (0, end.edge));
    bed.hosts.engines[0].start(now, newcomer.application);
    let told = Event::Moved {
        application: newcomer.application,
        stream: end.stream,
        reader: end.reader,
        host,
    };
    for step in 0.. {
        assert!(step < 20_000, "nobody says where it is");
        bed.step();
        if bed.hosts.events[0].contains(&told) {
            break;
        }
    }
    // It goes there; and so do all others.
    let (now, new) = (bed.hosts.now, bed.component(WINDOW));
    let there = bed.hosts.engines[3]
        .open_edge(now, new, 0, None, EdgeKind::Consumer)
        .unwrap();
    let here = bed.hosts.engines[0]
        .rebind(now, end.edge, Provider::Elsewhere)
        .unwrap();
    bed.hosts.link((3, there), (0, here));
    bed.turn_readers(state.0);
    bed.leave(state);
    bed.finish();
    let mut left = Left::new();
    let sink = newcomer.sinks[1].unwrap();
    bed.hosts.pass(Duration::from_secs(5));
    let missing = drain(&mut bed.hosts, 0, sink, &mut left);
    assert_eq!(missing, 0);
    // From where it came in it got all there was.
    let all = &alone(windows, &places(), &feeds)[1];
    let first = left.keys().next().unwrap();
    let expected: Left = all
        .range(first..)
        .map(|(at, row)| (*at, row.clone()))
        .collect();
    assert_equal(&[left], &[expected], "the newcomer");
}

/// A sink that reads the window's stream, which runs elsewhere for others.
fn reading_alone() -> Deployment {
    let mut deployment = windows().deployment();
    deployment.sources = vec![SourcePart::Elsewhere];
    deployment.operators = vec![
        OperatorPart::RunningElsewhere,
        OperatorPart::RunningElsewhere,
        OperatorPart::Elsewhere,
    ];
    let target = Duration::from_secs(1);
    deployment.sinks = vec![None, Some(SinkDeployment { target })];
    deployment
}

#[test]
fn a_move_that_is_given_up_at_whichever_step_changes_nothing_and_leaves_nothing_behind() {
    for given_up_after in 0..5 {
        let (mut bed, feeds) = bed(given_up_after, Faults { one_in: 9 });
        bed.steps(400);
        let mut link = bed.shadow(WINDOW, 3);
        // Applications, components and edges.
        let of_host = |bed: &Bed, host: usize| bed.hosts.engines[host].sizes()[..3].to_vec();
        let of_hosts = |bed: &Bed| [0, 1, 2, 3].map(|host| of_host(bed, host));
        match given_up_after {
            0 => {}
            // Part of an increment is there.
            1 => {
                link.shadow.want();
                (0..20).for_each(|_| bed.carry(&mut link));
            }
            2..=4 => bed.pull_state(&mut link, given_up_after),
            _ => unreachable!(),
        }
        let from = link.from;
        if given_up_after == 4 {
            // It runs there already, and nobody has turned to it yet.
            let state = bed.activate(link);
            bed.steps(100);
            bed.give_up(state.0, 1);
        }
        bed.leave((WINDOW, 1, from));
        let (undisturbed, _) = self::bed(given_up_after, FAULTLESS);
        let sizes = of_hosts(&undisturbed);
        for step in 0.. {
            assert!(
                step < 20_000,
                "after step {given_up_after} {:?} stays",
                of_hosts(&bed)
            );
            bed.step();
            if of_hosts(&bed) == sizes {
                break;
            }
        }
        assert_exact(bed, &feeds);
    }
}

#[test]
fn the_first_increment_needs_no_pull() {
    let (mut bed, feeds) = bed(3, FAULTLESS);
    bed.steps(400);
    let mut link = bed.shadow(WINDOW, 3);
    let (host, edge) = link.from;
    let mut arrived = Arrived::Part;
    for step in 0.. {
        assert!(step < 20_000, "no state comes");
        bed.step();
        let now = bed.hosts.now_at(link.to);
        let mut pieces = Vec::new();
        bed.hosts.engines[host].take_pieces(edge, 4096, &mut pieces);
        for piece in pieces {
            arrived = link.shadow.handle_piece(now, piece).unwrap();
        }
        if arrived == Arrived::Whole {
            break;
        }
    }
    bed.leave((WINDOW, 1, link.from));
    assert_exact(bed, &feeds);
}

#[test]
fn who_asks_for_state_again_and_again_stops_nothing() {
    let (mut bed, feeds) = bed(2, FAULTLESS);
    let link = bed.shadow(WINDOW, 3);
    let (host, edge) = link.from;
    for request in 1.. {
        let greedy = StatePull {
            holds: 0,
            request,
            is_goodbye: false,
        };
        let now = bed.hosts.now_at(host);
        bed.hosts.engines[host].handle_state_pull(now, edge, greedy);
        bed.step();
        if bed.has_finished() {
            break;
        }
        // Nothing is let go for who holds nothing: that it asks so often is no reason to stop either.
        assert!(request < 200_000, "the dataflow does not come to its end");
    }
    assert_exact(bed, &feeds);
}

#[test]
fn a_shadow_that_is_not_heard_holds_nothing_back_for_long() {
    let (mut bed, feeds) = bed(1, FAULTLESS);
    bed.steps(500);
    let mut link = bed.shadow(WINDOW, 3);
    bed.pull_state(&mut link, 1);
    let (host, edge) = link.from;
    bed.hosts.pass(Duration::from_secs(31));
    assert!(
        !bed.hosts.engines[host].is_state_open(edge),
        "it has lapsed"
    );
    assert_exact(bed, &feeds);
}

#[test]
fn what_a_shadow_lacks_fills_no_more_than_may_be_retained() {
    let rng = Rng::from_seed(3);
    let feeds = [(0..20_000)
        .map(|n| Some((n % 3, n, n * 100)))
        .collect::<Vec<Record>>()];
    let config = Config {
        memory_bytes: engine::MEMORY_MIN,
        ..Config::default()
    };
    let mut bed = Bed::with(windows, places(), 4, &feeds, FAULTLESS, &rng, config);
    bed.rows_max = 1000;
    bed.steps(500);
    let mut link = bed.shadow(WINDOW, 3);
    bed.pull_state(&mut link, 1);
    // It pulls on, and never asks for more: what it lacks fills what may be retained, and everybody waits.
    for _ in 0..10_000 {
        bed.step();
        bed.carry(&mut link);
    }
    let peak = bed.hosts.engines[0].memory().peak_bytes();
    assert!(peak <= engine::MEMORY_MIN, "{peak} bytes were held");
    bed.pull_state(&mut link, 1);
    bed.switch(link);
    assert_exact_of(bed, &feeds);
}

fn assert_exact_of(mut bed: Bed, feeds: &[Vec<Record>]) {
    bed.finish();
    assert_eq!(bed.missing, 0);
    assert_equal(
        &bed.left,
        &alone(windows, &places(), feeds),
        "short of memory",
    );
}
