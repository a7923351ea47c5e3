//! What runs already is shared: found, depended on, and never disturbed.

use std::collections::BTreeSet;
use std::time::Duration;

use composition::{Check, Config, Input, Place, Usage, policy};
use model::{CompositionId, NodeId};

use crate::placing::six;
use crate::support::{CHAIN, Network, SLIDES, host, id, node, order};

/// A request of another node than the first.
fn by(number: u8) -> CompositionId {
    CompositionId {
        node: node(number),
        number: 1,
    }
}

fn binding_hosts(network: &Network, id: CompositionId) -> Vec<(NodeId, bool)> {
    let composed = network.outcome(id).expect("it was composed");
    let bindings = composed.graph.operators().iter();
    bindings.map(|it| (it.host, it.shared)).collect()
}

#[test]
fn the_same_application_twice_is_one_set_of_components_and_needs_no_probe() {
    let mut network = six(1);
    network.compose(1, id(1), order("first", 400, CHAIN, &["o2"], (2, 1), 0.5));
    network.run(30);
    let first = binding_hosts(&network, id(1));
    let taken: f64 = network
        .members
        .values()
        .map(|it| it.composer.allocated().cpu_cores)
        .sum();

    network.compose(5, by(5), order("second", 400, CHAIN, &["o2"], (2, 5), 0.5));
    network.run(30);
    let second = binding_hosts(&network, by(5));
    let expected: Vec<_> = first.iter().map(|(host, _)| (*host, true)).collect();
    assert_eq!(second, expected, "all of it runs already, where it is");
    let composed = network.outcome(by(5)).unwrap();
    assert_eq!(composed.probe_count, 0);
    assert_eq!(composed.spent.probing, Duration::ZERO, "nobody was probed");
    assert!(composed.spent.commit > Duration::ZERO, "hosts confirmed");
    let spent = network.outcome(id(1)).unwrap().spent;
    assert!(spent.probing > Duration::ZERO && spent.commit > Duration::ZERO);
    assert!(composed.delay_from_sharing < composed.predicted_delay);
    assert!(composed.reasons[2].contains("runs there already for first"));
    let after: f64 = network
        .members
        .values()
        .map(|it| it.composer.allocated().cpu_cores)
        .sum();
    assert!((after - taken).abs() < 1e-9, "no operator runs twice");
    // Everything that it depends on has confirmed it.
    for (node, member) in &network.members {
        let depends = composed.graph.hosts().contains(node);
        assert_eq!(member.deployed.contains_key(&by(5)), depends, "{node}");
    }
    network.assert_nothing_is_left(&[id(1), by(5)]);
}

#[test]
fn a_longer_plan_is_shared_as_far_as_it_is_the_same() {
    let mut network = six(3);
    let short = order("short", 400, &CHAIN[..2], &["o1"], (2, 1), 0.3);
    network.compose(1, id(1), short);
    network.run(30);
    let long = order("long", 400, CHAIN, &["o2"], (2, 4), 0.3);
    network.compose(4, by(4), long);
    network.run(30);
    let shared: Vec<bool> = binding_hosts(&network, by(4))
        .into_iter()
        .map(|(_, shared)| shared)
        .collect();
    assert_eq!(shared, [true, true, false]);
    let composed = network.outcome(by(4)).unwrap();
    let alone = {
        let mut network = six(3);
        network.compose(4, by(4), order("long", 400, CHAIN, &["o2"], (2, 4), 0.3));
        network.run(30);
        network.outcome(by(4)).unwrap().probe_count
    };
    assert!(composed.probe_count * 4 < alone, "{}", composed.probe_count);
}

#[test]
fn several_hosts_that_have_it_are_several_places_to_begin_at() {
    let mut network = six(1);
    // Two applications that were composed at once do not know of one another.
    for number in [1, 6] {
        let wanted = order("same", 400, &CHAIN[..1], &["o0"], (2, number), 0.1);
        network.compose(number, by(number), wanted);
    }
    network.run(30);
    let providers: BTreeSet<NodeId> = [by(1), by(6)]
        .iter()
        .map(|id| binding_hosts(&network, *id)[0].0)
        .collect();
    network.compose(
        5,
        by(5),
        order("third", 400, &CHAIN[..2], &["o1"], (2, 5), 0.1),
    );
    network.run(30);
    let third = binding_hosts(&network, by(5));
    assert!(third[0].1 && providers.contains(&third[0].0));
    assert!(!third[1].1);
}

#[test]
fn where_what_runs_is_too_old_less_of_it_is_shared() {
    // The one that runs has its operator far away, by its own will.
    let places = [0.0, 1.0, 30.0];
    let hosts: Vec<_> = (1..)
        .zip(places)
        .map(|(number, place)| host(number, place, 4.0))
        .collect();
    for (target_ms, expected) in [(200, true), (40, false)] {
        let mut network = Network::new(1, &hosts);
        let mut far = order("far", 400, &CHAIN[..1], &["o0"], (2, 3), 0.1);
        far.places[0] = Place::Node(node(3));
        network.compose(3, by(3), far);
        network.run(30);
        let near = order("near", target_ms, &CHAIN[..1], &["o0"], (2, 1), 0.1);
        network.compose(1, id(1), near);
        network.run(30);
        let shared = binding_hosts(&network, id(1))[0].1;
        assert_eq!(shared, expected, "{target_ms} ms");
    }
}

#[test]
fn where_what_is_shared_leads_to_nothing_shorter_prefixes_follow() {
    // The operator behind what runs must go aside: by the third host that is 4 + 8 + 9.4 ms of ways, from the source 8.9 + 9.4.
    let mut hosts: Vec<_> = (1..)
        .zip([0.0, 1.0, 5.0, 5.0])
        .map(|(number, place)| host(number, place, 4.0))
        .collect();
    hosts[3].coordinate.place[1] = 16e-3;
    for (name, succeeds) in [("synergy", true), ("synergy_paper", false)] {
        let config = Config {
            policy: policy::find(name).expect("a policy"),
            ..Config::default()
        };
        let mut network = Network::with(1, &hosts, &config);
        let mut far = order("far", 400, &CHAIN[..1], &["o0"], (2, 4), 0.1);
        far.places[0] = Place::Node(node(3));
        network.compose(4, by(4), far);
        network.run(30);
        let mut near = order("near", 22, &CHAIN[..2], &["o1"], (2, 1), 0.1);
        near.places[1] = Place::Node(node(4));
        network.compose(1, id(1), near);
        network.run(60);
        let outcome = network.outcome(id(1));
        assert_eq!(outcome.is_ok(), succeeds, "{name}: {outcome:?}");
        if succeeds {
            let shared = binding_hosts(&network, id(1)).into_iter();
            assert!(shared.into_iter().all(|(_, shared)| !shared));
        }
    }
}

#[test]
fn a_provider_that_is_gone_is_not_waited_for() {
    let mut network = six(1);
    network.compose(
        3,
        by(3),
        order("first", 400, &CHAIN[..2], &["o1"], (2, 3), 0.2),
    );
    network.run(30);
    let provider = binding_hosts(&network, by(3))[1].0;
    let victim = (1..=6).find(|it| node(*it) == provider).unwrap();
    if [1, 2].contains(&victim) {
        return;
    }
    network.kill(victim);
    network.compose(1, id(1), order("second", 400, CHAIN, &["o2"], (2, 1), 0.2));
    network.run(60);
    let hosts = binding_hosts(&network, id(1));
    assert!(hosts.iter().all(|(host, _)| *host != provider), "{hosts:?}");
    network.assert_whole_or_nowhere(id(1));
}

#[test]
fn what_has_ended_is_registered_no_more() {
    let mut network = six(1);
    network.compose(1, id(1), order("first", 400, CHAIN, &["o2"], (2, 1), 0.2));
    network.run(30);
    assert_eq!(network.entries.len(), 3);
    for node in network.members.keys().copied().collect::<Vec<_>>() {
        network.input(node, Input::Ended(id(1)));
        network.input(node, Input::Retired(id(1)));
    }
    assert!(network.entries.is_empty());
    let serving = network.members.values().map(|it| it.composer.serving());
    assert!(serving.into_iter().all(|counts| counts == (0, 0)));
}

/// One host that has room for several, and a first application there with little slack.
fn tight(policy_name: &str) -> Network {
    let hosts = [host(1, 0.0, 0.0), host(2, 0.0, 0.0), host(3, 1.0, 1.0)];
    let config = Config {
        policy: policy::find(policy_name).expect("a policy"),
        ..Config::default()
    };
    let mut network = Network::with(1, &hosts, &config);
    // 5 ms of work at a load of a half, and 2 ms of ways: 12 ms where nobody else is.
    let first = order("first", 13, &[&["s0"]], &["o0"], (2, 1), 0.5);
    network.compose(1, id(1), first);
    network.run(30);
    network.outcome(id(1)).expect("there is room");
    network
}

#[test]
fn whoever_would_make_somebody_late_is_refused_and_it_is_said_who() {
    let mut network = tight("synergy");
    // It is lax, and waits for the first; its batches in execution are waited for all the same: 0.4 x 4 ms / (1 - 0.5).
    let second = order("second", 400, &[&["s0"]], &["o0"], (3, 2), 0.4);
    network.compose(2, by(2), second);
    network.run(60);
    let refusal = network.outcome(by(2)).expect_err("the first would be late");
    let binding = refusal
        .binding
        .as_ref()
        .expect("something stood in the way");
    assert_eq!(binding.check, Check::Impact, "{binding:?}");
    let suffers = binding.suffers.as_ref().expect("somebody would suffer");
    assert_eq!(suffers.name, "first");
    assert!(binding.needed.ends_with("more for first"), "{binding:?}");
    network.assert_nothing_is_left(&[id(1)]);
    // Who does not look at others takes what there is.
    let mut network = tight("synergy_unprojected");
    let second = order("second", 400, &[&["s0"]], &["o0"], (3, 2), 0.4);
    network.compose(2, by(2), second);
    network.run(60);
    network.outcome(by(2)).expect("there is room");
}

#[test]
fn what_was_measured_is_projected_and_not_what_was_declared() {
    let mut network = tight("synergy");
    // It takes much less than was said.
    for _ in 0..10 {
        let usage = vec![Usage {
            operator: 0,
            cores: 0.01,
            execution: Duration::from_micros(100),
        }];
        let measured = Input::Measured {
            id: id(1),
            usage,
            kept: Vec::new(),
            delay: Some(Duration::from_millis(3)),
        };
        let host = binding_hosts(&network, id(1))[0].0;
        network.input(host, measured.clone());
        let Input::Measured { id, delay, .. } = measured else {
            unreachable!("it was made above");
        };
        let (usage, kept) = (Vec::new(), Vec::new());
        let measured = Input::Measured {
            id,
            usage,
            kept,
            delay,
        };
        network.input(node(1), measured);
        network.run(1);
    }
    let second = order("second", 400, &[&["s0"]], &["o0"], (3, 2), 0.4);
    network.compose(2, by(2), second);
    network.run(60);
    network.outcome(by(2)).expect("nobody suffers");
}

#[test]
fn several_hosts_cannot_spend_the_slack_of_one_application_twice() {
    // Six hosts, each with an operator of one application that has some slack in all; requests at each of them at once.
    for seed in 0..10 {
        let places = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5];
        let hosts: Vec<_> = (1..)
            .zip(places)
            .map(|(number, place)| host(number, place, 1.0))
            .collect();
        let mut network = Network::new(seed, &hosts);
        network.jitter = Duration::from_millis(1);
        let mut first = order("first", 60, CHAIN, &["o2"], (2, 1), 0.4);
        for (place, number) in first.places.iter_mut().zip([3, 4, 5]) {
            *place = Place::Node(node(number));
        }
        network.compose(1, id(1), first);
        network.run(30);
        let delay = network.outcome(id(1)).unwrap().predicted_delay;
        for number in 2..=6 {
            let mut wanted = order("other", 4000, &CHAIN[..1], &["o0"], (number, number), 0.3);
            if number == 2 {
                // Not what the first reads.
                wanted.sources[0] = node(6);
            }
            wanted.places[0] = Place::Node(node(3 + number % 3));
            network.compose(number, by(number), wanted);
        }
        network.run(60);
        let slower: Vec<CompositionId> = (2..=6)
            .map(by)
            .filter(|id| network.outcome(*id).is_ok())
            .collect();
        assert!(!slower.is_empty(), "seed {seed}: some fit");
        assert!(delay < Duration::from_millis(60));
        let mut running = slower;
        running.push(id(1));
        network.assert_nothing_is_left(&running);
    }
}

#[test]
fn a_composing_node_that_vanishes_at_any_step_of_sharing_leaves_nothing() {
    for step in (0..160).step_by(3) {
        let mut network = six(2);
        network.compose(
            2,
            by(2),
            order("first", 400, &CHAIN[..2], &["o1"], (3, 4), 0.3),
        );
        network.run(30);
        let before = network.steps;
        let second = order("second", 400, CHAIN, &["o2"], (3, 5), 0.3);
        network.compose(1, id(1), second);
        let end = network.now + Duration::from_secs(90);
        while network.steps < before + step && network.step(end) {}
        network.kill(1);
        network.run(90);
        network.assert_whole_or_nowhere(id(1));
        network.assert_nothing_is_left(&[id(1), by(2)]);
    }
}

#[test]
fn every_policy_composes_what_there_is_room_for() {
    for policy in policy::ALL {
        let config = Config {
            policy,
            ..Config::default()
        };
        let places = [0.0, 2.0, 3.0, 4.0, 5.0];
        let hosts: Vec<_> = (1..)
            .zip(places)
            .map(|(number, place)| host(number, place, 4.0))
            .collect();
        for (plan, sink) in [(CHAIN, "o2"), (SLIDES, "o5")] {
            let mut network = Network::with(1, &hosts, &config);
            network.compose(1, id(1), order("any", 900, plan, &[sink], (2, 1), 0.1));
            network.run(30);
            let composed = network.outcome(id(1)).unwrap_or_else(|refusal| {
                panic!("{}: {refusal:?}", policy.name());
            });
            assert!(composed.probe_count > 0, "{}", policy.name());
            network.assert_whole_or_nowhere(id(1));
            network.assert_nothing_is_left(&[id(1)]);
        }
    }
}

#[test]
fn who_would_make_what_is_shared_stricter_answers_for_those_beside_it() {
    for (target_ms, is_shared) in [(400, true), (13, false)] {
        let hosts = [host(1, 0.0, 0.0), host(2, 0.0, 0.0), host(3, 1.0, 1.0)];
        let mut network = Network::new(1, &hosts);
        // The first can wait, the one beside it cannot: 3 + 2.5 / 0.7 ms of execution, 16.9 were the first the stricter one.
        let lax = order("lax", 4000, &CHAIN[..1], &["o0"], (2, 1), 0.4);
        network.compose(1, id(1), lax);
        network.run(30);
        let beside = order("beside", 12, &CHAIN[..1], &["o0"], (3, 2), 0.3);
        network.compose(2, by(2), beside);
        network.run(30);
        network.outcome(by(2)).expect("it is stricter");
        let wanted = order("wanted", target_ms, &CHAIN[..1], &["o0"], (2, 3), 0.4);
        network.compose(3, by(3), wanted);
        network.run(60);
        let outcome = network.outcome(by(3));
        assert_eq!(outcome.is_ok(), is_shared, "{target_ms} ms: {outcome:?}");
    }
}

#[test]
fn who_slows_nobody_counts_all_the_same_what_its_sink_granted_before_it_knew_its_delay() {
    let mut outcomes = [0; 2];
    for after_ms in (0..400).step_by(20) {
        let hosts = [
            host(1, 0.0, 0.0),
            host(2, 0.0, 0.0),
            host(3, 1.0, 1.0),
            host(4, 40.0, 1.0),
        ];
        let mut network = Network::new(1, &hosts);
        // Twice 10 ms of execution, where nobody else is, and 80 ms of ways: the far host answers late.
        let mut tight = order("tight", 102, &CHAIN[..2], &["o1"], (2, 2), 0.5);
        tight.places = vec![Place::Node(node(3)), Place::Node(node(4))];
        network.compose(2, by(2), tight);
        let end = network.now + Duration::from_millis(after_ms);
        while network.step(end) {}
        // It can wait, has the lower id, and takes 3.2 ms of the first where it gets there.
        let mut slowing = order("slowing", 4000, &CHAIN[..1], &["o0"], (1, 1), 0.4);
        slowing.places = vec![Place::Node(node(3))];
        network.compose(1, id(1), slowing);
        network.run(60);
        let both = [network.outcome(by(2)), network.outcome(id(1))];
        let is_there = both.map(|outcome| outcome.is_ok());
        assert_eq!(
            is_there.iter().filter(|it| **it).count(),
            1,
            "one of them, {after_ms} ms after the other: {both:?}"
        );
        outcomes[usize::from(is_there[1])] += 1;
    }
    assert!(outcomes.iter().all(|it| *it > 0), "{outcomes:?}");
}
