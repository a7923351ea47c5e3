//! Loss, repetition, reordering, hosts that vanish, and requests that meet.

use std::time::Duration;

use composition::{Check, Order, Reason};
use model::CompositionId;

use crate::placing::six;
use crate::support::{CHAIN, Network, SLIDES, host, id, node, order};

#[test]
fn loss_repetition_and_reordering_leave_nothing_behind() {
    let mut composed = 0;
    for seed in 0..40 {
        let mut network = six(seed);
        network.loss = 0.1;
        network.repetition = 0.2;
        network.jitter = Duration::from_millis(20);
        let plan = if seed % 2 == 0 { CHAIN } else { SLIDES };
        let sink = if seed % 2 == 0 { "o2" } else { "o5" };
        network.compose(1, id(1), order("faults", 900, plan, &[sink], (2, 3), 0.3));
        network.run(90);
        let is_composed = network.outcome(id(1)).is_ok();
        composed += u32::from(is_composed);
        let running: Vec<_> = is_composed.then(|| id(1)).into_iter().collect();
        network.assert_nothing_is_left(&running);
        network.assert_whole_or_nowhere(id(1));
    }
    assert!(composed >= 35, "{composed} of 40");
}

#[test]
fn repetition_and_reordering_alone_change_nothing() {
    for seed in 0..10 {
        let mut network = six(seed);
        let wanted = order("slides", 400, SLIDES, &["o5"], (2, 1), 0.5);
        network.compose(1, id(1), wanted.clone());
        network.run(60);
        let expected = network.outcome(id(1)).expect("there is room").clone();
        let mut network = six(seed);
        network.repetition = 0.5;
        network.jitter = Duration::from_millis(10);
        network.compose(1, id(1), wanted);
        network.run(60);
        let composed = network.outcome(id(1)).expect("there is room");
        assert_eq!(composed.graph, expected.graph, "seed {seed}");
        network.assert_whole_or_nowhere(id(1));
        network.assert_nothing_is_left(&[id(1)]);
    }
}

/// Kills a host at a step of a composition; says whether the composition lasted as long.
fn vanish(wanted: &Order, victim: u8, step: u64, tells: bool) -> bool {
    let hosts = [0.0, 2.0, 3.0, 4.0];
    let hosts: Vec<_> = (1..)
        .zip(hosts)
        .map(|(it, place)| host(it, place, 2.0))
        .collect();
    let mut network = Network::new(5, &hosts);
    network.tells_unreachable = tells;
    network.compose(1, id(1), wanted.clone());
    let end = network.now + Duration::from_secs(90);
    let mut is_running = true;
    while is_running && network.steps < step {
        is_running = network.step(end) && network.events.is_empty();
    }
    network.kill(victim);
    network.run(90);
    let is_composed = !network.events.is_empty() && network.outcome(id(1)).is_ok();
    if is_composed || victim == 1 {
        network.assert_nothing_is_left(&[id(1)]);
    } else {
        network.outcome(id(1)).expect_err("it ended, and not well");
        network.assert_nothing_is_left(&[]);
    }
    network.assert_whole_or_nowhere(id(1));
    is_running
}

#[test]
fn a_host_that_vanishes_at_any_step_leaves_nothing_behind() {
    let wanted = order("chain", 400, &[&["s0"], &["o0"]], &["o1"], (2, 3), 0.5);
    for victim in 1..=4 {
        for tells in [true, false] {
            let mut step = 0;
            while vanish(&wanted, victim, step, tells) {
                step += 1;
            }
            assert!(step > 30, "{step} steps");
        }
    }
}

#[test]
fn a_composing_node_that_vanishes_during_the_commit_leaves_all_or_nothing() {
    // The sinks are elsewhere; every step of the commit, with and without loss.
    let wanted = order("one", 400, &[&["s0"]], &["o0"], (2, 3), 0.5);
    for seed in 0..8 {
        for step in 0..120 {
            let mut network = six(seed);
            network.jitter = Duration::from_millis(5);
            network.compose(1, id(1), wanted.clone());
            let end = network.now + Duration::from_secs(90);
            while network.steps < step && network.step(end) {}
            network.kill(1);
            network.run(60);
            network.assert_whole_or_nowhere(id(1));
            network.assert_nothing_is_left(&[id(1)]);
        }
    }
}

/// Two requests of two nodes that both need the one host that has room for one.
fn meet(seed: u64, after: Duration) -> (Network, [CompositionId; 2]) {
    let hosts = [host(1, 0.0, 0.1), host(2, 1.0, 0.1), host(3, 2.0, 1.0)];
    let mut network = Network::new(seed, &hosts);
    network.jitter = Duration::from_millis(2);
    let ids = [1, 2].map(|number| CompositionId {
        node: node(number),
        number: 1,
    });
    let wanted = |name, number| order(name, 900, &[&["s0"]], &["o0"], (number, number), 0.6);
    network.compose(2, ids[1], wanted("second", 2));
    let end = network.now + after;
    while network.step(end) {}
    network.compose(1, ids[0], wanted("first", 1));
    network.run(60);
    (network, ids)
}

#[test]
fn of_two_requests_for_the_last_capacity_exactly_one_wins() {
    for seed in 0..20 {
        for after_micros in [0, 500, 1000, 2000, 3000, 4000, 6000, 10_000] {
            let (network, ids) = meet(seed, Duration::from_micros(after_micros));
            let winners: Vec<CompositionId> = ids
                .into_iter()
                .filter(|id| network.outcome(*id).is_ok())
                .collect();
            assert_eq!(winners.len(), 1, "seed {seed}, {after_micros} us");
            network.assert_nothing_is_left(&winners);
            let loser = ids.into_iter().find(|id| !winners.contains(id)).unwrap();
            let refusal = network.outcome(loser).unwrap_err();
            assert!(matches!(
                refusal.reason,
                Reason::Infeasible | Reason::Unconfirmed
            ));
            let binding = refusal
                .binding
                .as_ref()
                .expect("something stood in the way");
            assert_eq!(binding.check, Check::Cpu, "{refusal:?}");
        }
    }
}

#[test]
fn many_requests_at_once_never_take_more_than_there_is() {
    for seed in 0..6 {
        let mut network = six(seed);
        network.loss = 0.02;
        network.jitter = Duration::from_millis(5);
        let ids: Vec<CompositionId> = (0..24)
            .map(|number| CompositionId {
                node: node(u8::try_from(number % 6 + 1).unwrap()),
                number,
            })
            .collect();
        for id in &ids {
            let source = u8::try_from((id.number + 2) % 6 + 1).unwrap();
            let sink = id.node.0[0];
            let wanted = order("load", 900, CHAIN, &["o2"], (source, sink), 0.25);
            network.compose(sink, *id, wanted);
        }
        network.run(120);
        let running: Vec<CompositionId> = ids
            .into_iter()
            .filter(|id| network.outcome(*id).is_ok())
            .collect();
        for id in &running {
            network.assert_whole_or_nowhere(*id);
        }
        network.assert_nothing_is_left(&running);
        // There is room for 11.4 cores, 15 requests.
        assert!((8..=15).contains(&running.len()), "{} run", running.len());
    }
}
