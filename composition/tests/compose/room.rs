//! Requests that find no room at the first hosts that are asked.

use std::collections::BTreeSet;

use composition::policy::CompositionProjected;
use composition::{Check, Config};
use model::{CompositionId, NodeId};

use crate::support::{Network, host, id, node, order};

/// Hosts of two cores each in one place: all of them equal but for what they run. Nothing is shared, so that all must find room.
fn equal(count: u8) -> Network {
    let hosts: Vec<_> = (1..=count).map(|number| host(number, 0.25, 2.0)).collect();
    let config = Config {
        policy: &CompositionProjected,
        ..Config::default()
    };
    Network::with(1, &hosts, &config)
}

#[test]
fn nothing_is_refused_while_a_known_host_has_room() {
    for count in [6, 8, 20] {
        let mut network = equal(count);
        let most = u64::from(count) * 2;
        for number in 1..=most {
            let name = format!("one{number}");
            let wanted = order(&name, 100, &[&["s0"]], &["o0"], (1, 1), 0.7);
            network.compose(1, id(number), wanted);
            network.run(30);
            network
                .outcome(id(number))
                .unwrap_or_else(|refusal| panic!("{number} of {most}: {refusal:?}"));
        }
        let wanted = order("more", 100, &[&["s0"]], &["o0"], (1, 1), 0.7);
        network.compose(1, id(most + 1), wanted);
        network.run(30);
        let refusal = network.outcome(id(most + 1)).expect_err("all are full");
        let binding = refusal.binding.as_ref().unwrap();
        assert_eq!(binding.check, Check::Cpu);
        assert_eq!(binding.hosts_asked, usize::from(count));
        assert_eq!(binding.had, "0.50 cores");
        let all: Vec<_> = (1..=most).map(id).collect();
        network.assert_nothing_is_left(&all);
    }
}

#[test]
fn who_knows_nothing_of_the_load_finds_the_one_host_that_has_room() {
    // Everything was asked of the first node; the second has heard of none of it.
    let mut network = equal(8);
    for number in 1..=14 {
        let name = format!("one{number}");
        let wanted = order(&name, 100, &[&["s0"]], &["o0"], (1, 1), 0.7);
        network.compose(1, id(number), wanted);
        network.run(30);
    }
    let last = CompositionId {
        node: node(2),
        number: 1,
    };
    let wanted = order("last", 100, &[&["s0"], &["o0"]], &["o1"], (2, 2), 0.7);
    network.compose(2, last, wanted);
    network.run(30);
    network.outcome(last).expect("one host is empty");
    network.assert_whole_or_nowhere(last);
}

#[test]
fn a_host_that_had_too_little_a_moment_ago_is_asked_after_the_others() {
    let mut network = equal(8);
    let mut probes = Vec::new();
    for number in 1..=16 {
        let name = format!("one{number}");
        let wanted = order(&name, 100, &[&["s0"]], &["o0"], (1, 1), 0.7);
        network.compose(1, id(number), wanted);
        network.run(1);
        let composed = network.outcome(id(number)).expect("there is room");
        probes.push(composed.probe_count);
    }
    // A round that finds nothing is as many probes again.
    let first = probes[0];
    let again = probes.iter().filter(|count| **count > first).count();
    assert!(again <= 2, "{probes:?}");
}

#[test]
fn a_plan_that_needs_all_hosts_finds_them() {
    let mut network = equal(12);
    // Two fit on each host, and all of them have the same hosts that come first.
    let operators: Vec<&[&str]> = vec![&["s0"]; 22];
    let sinks: Vec<String> = (0..22).map(|it| format!("o{it}")).collect();
    let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let wanted = order("wide", 1000, &operators, &sinks, (1, 1), 0.7);
    network.compose(1, id(1), wanted);
    network.run(60);
    let composed = network.outcome(id(1)).expect("there is room for 24");
    let hosts: BTreeSet<NodeId> = composed
        .graph
        .operators()
        .iter()
        .map(|it| it.host)
        .collect();
    assert!(hosts.len() >= 11, "{hosts:?}");
    network.assert_nothing_is_left(&[id(1)]);
}

#[test]
fn where_all_that_were_asked_decline_others_are() {
    // All hosts compose two at the same time, and each knows only of its own.
    let mut network = equal(8);
    let ids: Vec<CompositionId> = (0..16)
        .map(|number| CompositionId {
            node: node(u8::try_from(number % 8 + 1).unwrap()),
            number,
        })
        .collect();
    for id in &ids {
        let name = format!("one{}", id.number);
        let wanted = order(
            &name,
            100,
            &[&["s0"]],
            &["o0"],
            (id.node.0[0], id.node.0[0]),
            0.9,
        );
        network.compose(id.node.0[0], *id, wanted);
    }
    network.run(60);
    for id in &ids {
        network.outcome(*id).expect("there is room for all");
    }
    network.assert_nothing_is_left(&ids);
}
