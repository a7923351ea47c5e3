//! A target that is named as one that would be accepted is accepted when it is asked for.

use std::time::Duration;

use composition::policy::CompositionProjected;
use composition::{Config, Order, Place};
use model::Rng;

use crate::support::{CHAIN, Network, host, id, node, order};

/// A host that runs an application of 6 ms a row, of which nothing may be shared.
fn loaded(target_ms: u64) -> Network {
    let hosts: Vec<_> = (1..=3).map(|number| host(number, 0.1, 2.0)).collect();
    let config = Config {
        policy: &CompositionProjected,
        ..Config::default()
    };
    let mut network = Network::with(1, &hosts, &config);
    let mut first = order("first", target_ms, &[&["s0"]], &["o0"], (1, 1), 0.6);
    first.places[0] = Place::Node(node(3));
    network.compose(1, id(1), first);
    network.run(30);
    network.outcome(id(1)).expect("nothing runs");
    network
}

/// Three milliseconds a row, as many rows a second.
fn newcomer(target_ms: u64, rows_per_second: f64) -> Order {
    let mut wanted = order("second", target_ms, &[&["s0"]], &["o0"], (1, 1), 0.3);
    wanted.places[0] = Place::Node(node(3));
    wanted.demands[0].rows_per_second = rows_per_second;
    wanted
}

#[test]
fn what_is_named_is_accepted_and_what_is_accepted_is_not_missed() {
    for first_ms in [8, 9, 10, 12, 20] {
        for rows_per_second in [50.0, 200.0, 400.0] {
            let mut accepted = Vec::new();
            let mut named = Vec::new();
            for target_ms in 1..=40 {
                let mut network = loaded(first_ms);
                network.compose(1, id(2), newcomer(target_ms, rows_per_second));
                network.run(30);
                let Err(refusal) = network.outcome(id(2)) else {
                    accepted.push(target_ms);
                    continue;
                };
                let refusal = refusal.clone();
                let case = format!("{target_ms} ms beside {first_ms} ms: {refusal:?}");
                let Some(feasible) = refusal.feasible_target else {
                    named.push((target_ms, None));
                    continue;
                };
                let feasible_ms = u64::try_from(feasible.as_millis()).unwrap();
                assert!(feasible > Duration::from_millis(target_ms), "{case}");
                named.push((target_ms, Some(feasible_ms)));
                network.compose(1, id(3), newcomer(feasible_ms, rows_per_second));
                network.run(30);
                let then = network.outcome(id(3));
                assert!(then.is_ok(), "{case}, then {:?}", then.err());
            }
            for (target_ms, feasible_ms) in named {
                let is_any = accepted.iter().any(|it| *it > target_ms);
                let case =
                    format!("{target_ms} ms beside {first_ms} ms: {accepted:?} are accepted");
                assert_eq!(feasible_ms.is_some(), is_any, "{case}");
            }
        }
    }
}

#[test]
fn the_same_request_is_refused_for_the_same_reason() {
    let mut network = loaded(8);
    let mut bindings = Vec::new();
    for number in 2..8 {
        network.compose(1, id(number), newcomer(4, 400.0));
        network.run(30);
        let refusal = network.outcome(id(number)).expect_err("it is too tight");
        bindings.push(refusal.binding.clone().expect("something stood in the way"));
    }
    bindings.dedup();
    assert_eq!(bindings.len(), 1, "{bindings:?}");
}

/// Six hosts that run some applications, and ways between them.
fn busy(seed: u64) -> (Network, Rng) {
    let mut rng = Rng::from_seed(seed);
    let hosts: Vec<_> = (1..=6)
        .map(|number| host(number, rng.fraction() * 4.0, 2.0))
        .collect();
    let config = Config {
        policy: &CompositionProjected,
        ..Config::default()
    };
    let mut network = Network::with(seed, &hosts, &config);
    for number in 1..=8 {
        let target_ms = 20 + rng.below(60);
        let cores = 0.1 + rng.fraction() * 0.6;
        let name = format!("before{number}");
        let wanted = order(
            &name,
            target_ms,
            &[&["s0"], &["o0"]],
            &["o1"],
            (2, 1),
            cores,
        );
        network.compose(1, id(number), wanted);
        network.run(30);
    }
    (network, rng)
}

#[test]
fn what_is_named_is_accepted_on_busy_hosts() {
    let (mut named, mut refused) = (0, 0);
    for seed in 0..60 {
        let (mut network, mut rng) = busy(seed);
        let target_ms = 2 + rng.below(30);
        let cores = 0.1 + rng.fraction() * 0.8;
        let plan: &[&[&str]] = if seed % 2 == 0 { &[&["s0"]] } else { CHAIN };
        let last = if seed % 2 == 0 { "o0" } else { "o2" };
        let wanted = |target_ms| order("last", target_ms, plan, &[last], (3, 4), cores);
        network.compose(1, id(20), wanted(target_ms));
        network.run(60);
        let Err(refusal) = network.outcome(id(20)) else {
            continue;
        };
        refused += 1;
        let refusal = refusal.clone();
        let Some(feasible) = refusal.feasible_target else {
            continue;
        };
        named += 1;
        let case = format!("seed {seed}, {target_ms} ms: {refusal:?}");
        assert!(feasible > Duration::from_millis(target_ms), "{case}");
        let feasible_ms = u64::try_from(feasible.as_millis()).unwrap();
        network.compose(1, id(21), wanted(feasible_ms));
        network.run(60);
        let then = network.outcome(id(21));
        assert!(then.is_ok(), "{case}, then {:?}", then.err());
    }
    assert!(named >= 20, "{named} of {refused}");
}
