//! What is refused, why, and what would be accepted.

use std::time::Duration;

use composition::{Check, Config, Place, Reason};

use crate::placing::six;
use crate::support::{CHAIN, Network, SLIDES, host, id, node, order};

#[test]
fn an_impossible_target_is_refused_with_one_that_is_accepted() {
    for (plan, sinks, cores) in [(CHAIN, ["o2"], 0.5), (SLIDES, ["o5"], 0.3)] {
        let mut network = six(2);
        network.compose(1, id(1), order("tight", 12, plan, &sinks, (6, 1), cores));
        network.run(60);
        let refusal = network.outcome(id(1)).expect_err("8 ms of way alone");
        assert_eq!(refusal.reason, Reason::Infeasible);
        let binding = refusal.binding.clone().expect("something stood in the way");
        assert_eq!(binding.check, Check::Delay);
        assert_eq!(binding.needed, "12.0 ms");
        assert!(binding.had.ends_with(" ms"), "{binding:?}");
        assert!(binding.hosts_asked > 0, "{binding:?}");
        let target = refusal.feasible_target.expect("there are resources");
        network.assert_nothing_is_left(&[]);

        let target_ms = u64::try_from(target.as_millis()).unwrap();
        let accepted = order("tight", target_ms, plan, &sinks, (6, 1), cores);
        network.compose(1, id(2), accepted);
        network.run(60);
        let composed = network.outcome(id(2)).expect("it was offered");
        assert!(composed.predicted_delay <= target);
        network.assert_nothing_is_left(&[id(2)]);
    }
}

#[test]
fn a_shortage_names_the_operator_and_the_best_that_was_found() {
    let mut network = six(1);
    let wanted = order("large", 400, CHAIN, &["o2"], (2, 1), 2.5);
    network.compose(1, id(1), wanted);
    network.run(60);
    let refusal = network.outcome(id(1)).expect_err("no host has as much");
    assert_eq!(refusal.reason, Reason::Infeasible);
    assert_eq!(refusal.feasible_target, None);
    let binding = refusal
        .binding
        .as_ref()
        .expect("something stood in the way");
    assert_eq!(
        (binding.operator.as_str(), binding.check),
        ("o1", Check::Cpu)
    );
    assert_eq!(
        (binding.needed.as_str(), binding.had.as_str()),
        ("2.50 cores", "1.90 cores")
    );
    assert_eq!(binding.hosts_asked, 6);
    network.assert_nothing_is_left(&[]);
}

#[test]
fn the_whole_is_refused_when_its_parts_fit_but_not_together() {
    // Each operator fits on either host; three do not.
    let hosts = [host(1, 0.0, 1.0), host(2, 0.0, 1.0)];
    let mut network = Network::new(1, &hosts);
    network.compose(1, id(1), order("chain", 4000, CHAIN, &["o2"], (1, 1), 0.6));
    network.run(60);
    let refusal = network.outcome(id(1)).expect_err("two of three fit");
    let binding = refusal
        .binding
        .as_ref()
        .expect("something stood in the way");
    assert_eq!(
        (binding.operator.as_str(), binding.check),
        ("o3", Check::Cpu)
    );
    network.assert_nothing_is_left(&[]);
}

#[test]
fn a_narrow_uplink_is_named() {
    let mut network = six(1);
    network
        .members
        .get_mut(&node(2))
        .unwrap()
        .view
        .host
        .capacity
        .uplink_bytes_per_second = 10.0;
    let mut wanted = order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5);
    wanted.places[0] = Place::Node(node(3));
    network.compose(1, id(1), wanted);
    network.run(60);
    let refusal = network
        .outcome(id(1))
        .expect_err("5,000 bytes a second leave the source");
    let binding = refusal
        .binding
        .as_ref()
        .expect("something stood in the way");
    assert_eq!(
        (binding.operator.as_str(), binding.check),
        ("o1", Check::Bandwidth)
    );
    assert_eq!(
        (binding.needed.as_str(), binding.had.as_str()),
        ("4.9 KiB/s", "10 bytes/s")
    );
}

#[test]
fn what_nobody_offers_is_refused_before_anybody_is_asked() {
    let mut hosts: Vec<_> = (1..=3).map(|number| host(number, 0.0, 2.0)).collect();
    for host in &mut hosts {
        host.operators = Some(vec!["join".to_owned()]);
    }
    let mut network = Network::new(1, &hosts);
    network.compose(1, id(1), order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5));
    network.run(1);
    let refusal = network.outcome(id(1)).expect_err("nobody filters");
    let binding = refusal
        .binding
        .as_ref()
        .expect("something stood in the way");
    assert_eq!(
        (binding.operator.as_str(), binding.check),
        ("o1", Check::Offer)
    );
    assert_eq!(binding.hosts_asked, 0);
    network.assert_nothing_is_left(&[]);
}

#[test]
fn a_source_or_a_pinned_host_that_nobody_knows_is_refused() {
    let mut network = six(1);
    network.compose(1, id(1), order("chain", 400, CHAIN, &["o2"], (9, 1), 0.5));
    network.run(10);
    let refusal = network.outcome(id(1)).expect_err("there is no ninth host");
    assert_eq!(refusal.binding.as_ref().unwrap().operator, "source0");
    let mut wanted = order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5);
    wanted.places[1] = Place::Node(node(9));
    network.compose(1, id(2), wanted);
    network.run(10);
    let refusal = network.outcome(id(2)).expect_err("there is no ninth host");
    assert_eq!(refusal.binding.as_ref().unwrap().operator, "o2");
}

#[test]
fn a_source_that_cannot_be_reached_is_refused_as_soon_as_that_is_known() {
    let mut network = six(1);
    network.kill(2);
    network.compose(1, id(1), order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5));
    let end = network.now + Duration::from_millis(10);
    while network.step(end) {}
    let refusal = network.outcome(id(1)).expect_err("the source is gone");
    let binding = refusal.binding.as_ref().unwrap();
    assert_eq!(
        (binding.operator.as_str(), binding.check),
        ("source0", Check::Offer)
    );
    network.run(30);
    network.assert_nothing_is_left(&[]);
}

#[test]
fn silence_is_answered_in_bounded_time() {
    let mut network = six(1);
    network.tells_unreachable = false;
    network.kill(2);
    network.compose(1, id(1), order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5));
    network.run(3);
    let refusal = network.outcome(id(1)).expect_err("the source is gone");
    assert_eq!(refusal.reason, Reason::Timeout);
    network.run(30);
    network.assert_nothing_is_left(&[]);
}

#[test]
fn a_node_composes_a_bounded_number_of_requests_at_once() {
    let mut network = six(1);
    let most = u64::try_from(Config::default().sessions_max).unwrap();
    for number in 0..=most {
        network.compose(
            1,
            id(number),
            order("one", 400, &[&["s0"]], &["o0"], (2, 1), 0.001),
        );
    }
    assert_eq!(network.events.len(), 1);
    let refusal = network.outcome(id(most)).expect_err("one too many");
    assert_eq!(refusal.reason, Reason::Busy);
    network.run(60);
    for number in 0..most {
        network.outcome(id(number)).expect("there is room");
    }
}

#[test]
fn where_nothing_can_be_deployed_the_next_best_is_taken() {
    let mut network = six(1);
    let mut wanted = order("one", 400, &[&["s0"]], &["o0"], (2, 1), 0.5);
    // Away from the source's host, without which there is no other graph.
    wanted.spread = true;
    let mut trial = wanted.clone();
    trial.is_trial = true;
    network.compose(1, id(1), trial);
    network.run(10);
    let best = network.outcome(id(1)).unwrap().graph.operators()[0].host;
    network.broken = [best].into();
    network.compose(1, id(2), wanted.clone());
    network.run(30);
    let composed = network.outcome(id(2)).expect("others can");
    assert_ne!(composed.graph.operators()[0].host, best);
    network.assert_nothing_is_left(&[id(2)]);

    // Two more are tried, and no others.
    let mut network = six(1);
    network.broken = (3..=6).map(node).collect();
    let mut pinned = wanted;
    pinned.places[0] = Place::Node(node(3));
    network.compose(1, id(1), pinned);
    network.run(30);
    let refusal = network
        .outcome(id(1))
        .expect_err("it cannot be deployed where it must be");
    assert_eq!(refusal.reason, Reason::Unconfirmed);
    let binding = refusal.binding.as_ref().unwrap();
    assert_eq!(
        (binding.operator.as_str(), binding.had.as_str()),
        ("o1", "a test wants it so")
    );
    network.assert_nothing_is_left(&[]);
}
