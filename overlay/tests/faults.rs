//! Whole overlays in memory under faults, and what they cost.

use std::time::Duration;

use model::{Instant, Key, NodeId, Outcome, Query};
use overlay::memory::{Conditions, Memory};

const SECOND: Duration = Duration::from_secs(1);

fn joined(seed: u64, count: usize) -> (Memory, Vec<NodeId>) {
    let mut network = Memory::new(seed, Conditions::default());
    let nodes = network.start_joined(count);
    network.pass(SECOND * 4);
    (network, nodes)
}

fn register(key: Key) -> Query {
    Query::Register {
        key,
        slot: 0,
        payload: b"flows".to_vec(),
    }
}

fn find(network: &mut Memory, node: NodeId, key: Key) -> usize {
    let lookup = Query::Lookup {
        key,
        near: None,
        count: 10,
    };
    match network.ask(node, lookup) {
        Outcome::Entries(entries) => entries.len(),
        other => panic!("{other:?}"),
    }
}

fn closest(network: &mut Memory, node: NodeId, key: Key) -> Vec<NodeId> {
    match network.ask(node, Query::Closest { key, count: 3 }) {
        Outcome::Nodes(nodes) => nodes,
        other => panic!("{other:?}"),
    }
}

fn known(network: &Memory, node: NodeId) -> usize {
    network.overlay(node).hosts().count()
}

#[test]
fn thirty_hosts_know_one_another_within_three_seconds_at_bounded_cost() {
    for seed in 1..4 {
        let mut network = Memory::new(seed, Conditions::default());
        let nodes = network.start_joined(30);
        network.pass(SECOND * 3);
        for node in &nodes {
            assert_eq!(known(&network, *node), 29, "seed {seed}");
        }
        let (joining, joining_bytes) = network.traffic();
        assert!(joining <= 30 * 24 * 5, "{joining} messages to join");
        assert!(
            joining_bytes <= 30 * (1 << 20),
            "{joining_bytes} bytes to join"
        );
        // Idle: nine pings and nine answers of each node in ten seconds.
        network.pass(SECOND * 20);
        let before = network.traffic();
        network.pass(SECOND * 100);
        let after = network.traffic();
        let (messages, bytes) = (after.0 - before.0, after.1 - before.1);
        assert!(messages <= 30 * 19 * 10, "{messages} messages in 100 s");
        assert!(bytes <= 30 * 19 * 10 * 3000, "{bytes} bytes in 100 s");
        for node in &nodes {
            assert_eq!(known(&network, *node), 29, "seed {seed}, later");
        }
    }
}

#[test]
fn a_newcomer_is_known_to_all_within_three_seconds() {
    let (mut network, nodes) = joined(5, 29);
    let before = network.traffic().0;
    let newcomer = network.start();
    network.join(newcomer, nodes[17]);
    network.pass(SECOND * 3);
    for node in network.nodes() {
        assert_eq!(known(&network, node), 29);
    }
    let cost = network.traffic().0 - before;
    assert!(cost <= 30 * 24 * 2, "{cost} messages");
}

#[test]
fn a_large_network_keeps_a_bounded_sample() {
    let (mut network, nodes) = joined(6, 140);
    network.pass(SECOND * 30);
    for node in &nodes {
        let known = known(&network, *node);
        assert!((60..=128).contains(&known), "{known} hosts");
    }
    let key = Key::published("flows");
    assert_eq!(network.ask(nodes[3], register(key)), Outcome::Done);
    assert_eq!(find(&mut network, nodes[130], key), 1);
}

#[test]
fn a_cached_lookup_costs_no_walk() {
    let (mut network, nodes) = joined(7, 10);
    let key = Key::published("flows");
    assert_eq!(network.ask(nodes[0], register(key)), Outcome::Done);
    assert_eq!(find(&mut network, nodes[1], key), 1);
    let before = network.stats(nodes[1]);
    assert_eq!(find(&mut network, nodes[1], key), 1);
    let after = network.stats(nodes[1]);
    assert_eq!(after.walks, before.walks);
    assert_eq!(after.queries_remote, before.queries_remote + 1);
}

#[test]
fn a_holder_that_vanished_silently_does_not_hold_up_a_lookup() {
    let (mut network, nodes) = joined(8, 10);
    let key = Key::published("flows");
    let holders = closest(&mut network, nodes[0], key);
    let outside: Vec<NodeId> = nodes
        .into_iter()
        .filter(|node| !holders.contains(node))
        .collect();
    assert_eq!(network.ask(outside[0], register(key)), Outcome::Done);
    network.vanish(holders[1]);
    let before = network.now();
    assert_eq!(find(&mut network, outside[1], key), 1);
    assert!(network.now() - before < Duration::from_millis(100));
    // Two of three: the others are waited for, and asked.
    network.vanish(holders[0]);
    let before = network.now();
    assert_eq!(find(&mut network, outside[2], key), 1);
    assert!(network.now() - before < SECOND * 2);
    // Nobody of all is there any more.
    for node in network.nodes() {
        if node != outside[1] {
            network.vanish(node);
        }
    }
    let before = network.now();
    let key = Key::published("others");
    let lookup = Query::Lookup {
        key,
        near: None,
        count: 1,
    };
    network.ask(outside[1], lookup);
    assert!(network.now() - before <= SECOND * 3);
}

#[test]
fn an_entry_is_registered_again_within_seconds_where_a_holder_is_lost() {
    let (mut network, nodes) = joined(9, 12);
    let key = Key::published("flows");
    let holders = closest(&mut network, nodes[0], key);
    let owner = nodes
        .iter()
        .find(|node| !holders.contains(node))
        .copied()
        .unwrap();
    assert_eq!(network.ask(owner, register(key)), Outcome::Done);
    network.crash(holders[0]);
    network.pass(SECOND * 2);
    let holders = closest(&mut network, owner, key);
    for holder in holders {
        assert_eq!(network.stats(holder).entries_held, 1);
    }
}

#[test]
fn what_a_crashed_owner_registered_is_no_longer_served_once_a_reader_noticed() {
    let (mut network, nodes) = joined(10, 8);
    let key = Key::published("flows");
    let (owner, reader) = (nodes[2], nodes[5]);
    assert_eq!(network.ask(owner, register(key)), Outcome::Done);
    assert_eq!(find(&mut network, reader, key), 1);
    network.vanish(owner);
    network.send(reader, owner, b"are you there".to_vec());
    network.pass(SECOND);
    for node in nodes.iter().filter(|node| **node != owner) {
        assert_eq!(find(&mut network, *node, key), 0);
    }
}

#[test]
fn lost_messages_are_made_up_for() {
    for seed in 11..15 {
        let conditions = Conditions {
            loss_fraction: 0.05,
            ..Conditions::default()
        };
        let mut network = Memory::new(seed, conditions);
        let nodes = network.start_joined(10);
        network.pass(SECOND * 60);
        for (number, owner) in nodes.iter().enumerate() {
            let key = Key::published(&number.to_string());
            let begun = network.now();
            assert_eq!(
                network.ask(*owner, register(key)),
                Outcome::Done,
                "seed {seed}"
            );
            assert!(network.now() - begun <= SECOND * 3);
        }
        network.pass(SECOND * 120);
        let mut found = 0;
        for number in 0..nodes.len() {
            let key = Key::published(&number.to_string());
            for reader in &nodes {
                found += find(&mut network, *reader, key);
            }
        }
        assert!(found >= 97, "{found} of 100, seed {seed}");
    }
}

#[test]
fn a_divided_network_goes_on_in_parts_and_is_one_again_when_healed() {
    let (mut network, nodes) = joined(16, 12);
    let key = Key::published("flows");
    assert_eq!(network.ask(nodes[0], register(key)), Outcome::Done);
    network.divide(&[&nodes[..6], &nodes[6..]]);
    network.pass(SECOND * 120);
    for node in &nodes {
        assert_eq!(known(&network, *node), 5, "of its own part");
    }
    assert_eq!(find(&mut network, nodes[3], key), 1);
    network.pass(SECOND * 120);
    assert_eq!(find(&mut network, nodes[9], key), 0, "it ended there");
    network.heal();
    network.pass(SECOND * 5);
    for node in &nodes {
        assert_eq!(known(&network, *node), 11);
        assert_eq!(find(&mut network, *node, key), 1);
    }
}

#[test]
fn a_node_that_is_started_again_replaces_what_it_registered_before() {
    let (mut network, nodes) = joined(17, 6);
    let key = Key::published("flows");
    assert_eq!(network.ask(nodes[2], register(key)), Outcome::Done);
    let identity = network.identity(nodes[2]).clone();
    let host = network.overlay(nodes[2]).host().clone();
    network.crash(nodes[2]);
    network.pass(SECOND);
    network.start_as(identity, host);
    network.join(nodes[2], nodes[0]);
    network.pass(SECOND * 2);
    let again = Query::Register {
        key,
        slot: 0,
        payload: b"again".to_vec(),
    };
    assert_eq!(network.ask(nodes[2], again), Outcome::Done);
    let lookup = Query::Lookup {
        key,
        near: None,
        count: 9,
    };
    for reader in &nodes {
        let Outcome::Entries(entries) = network.ask(*reader, lookup.clone()) else {
            panic!("entries");
        };
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].payload.as_deref(), Some(&b"again"[..]));
    }
}

#[test]
fn one_seed_is_one_history() {
    let run = |seed| {
        let conditions = Conditions {
            loss_fraction: 0.1,
            duplicate_fraction: 0.1,
            is_reordering: true,
            jitter: Duration::from_millis(30),
            ..Conditions::default()
        };
        let mut network = Memory::new(seed, conditions);
        let nodes = network.start_joined(8);
        network.ask(nodes[1], register(Key::published("flows")));
        network.advance_to(Instant::ZERO + SECOND * 60);
        let events: Vec<_> = nodes
            .iter()
            .map(|node| network.take_events(*node))
            .collect();
        (network.traffic(), events)
    };
    let first = run(21);
    assert_eq!(first, run(21));
    assert_ne!(first.0, run(22).0);
}
