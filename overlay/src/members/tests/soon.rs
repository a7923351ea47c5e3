//! How soon hosts that join together know how far all of them are apart, and what that costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Instant, NodeId, NodeView};

use crate::memory::{Conditions, Event, Memory};

/// What a node has heard.
struct Heard {
    view: NodeView,
    /// When it saw the first other host, and when it knew as many delays as ever.
    first: Option<Instant>,
    known: (usize, Instant),
}

/// Lets nodes join together by way of the first. Gives how long each took from the first host that it saw until it knew all delays, and how many
/// messages there were in the first half second.
fn joined(count: usize, seed: u64, delay: Duration) -> (Vec<Duration>, u64) {
    let mut memory = Memory::new(
        seed,
        Conditions {
            delay,
            jitter: delay / 4,
            ..Conditions::default()
        },
    );
    let nodes = memory.start_joined(count);
    let mut heard: BTreeMap<NodeId, Heard> = BTreeMap::new();
    for node in &nodes {
        let view = NodeView::alone(memory.overlay(*node).host().clone());
        let known = (0, Instant::ZERO);
        let first = None;
        heard.insert(*node, Heard { view, first, known });
    }
    let end = memory.now() + Duration::from_millis(500);
    while memory.next_event().is_some_and(|at| at <= end) {
        let at = memory.next_event().unwrap();
        memory.advance_to(at);
        for (node, heard) in &mut heard {
            for event in memory.take_events(*node) {
                let Event::Seen {
                    summary,
                    round_trip,
                } = event
                else {
                    continue;
                };
                if summary.node == *node {
                    heard.view.host = summary;
                } else {
                    heard.first.get_or_insert(at);
                    let of = summary.node;
                    heard.view.hosts.insert(of, Arc::new(summary));
                    heard.view.round_trips.extend(round_trip.map(|it| (of, it)));
                }
                let known = heard.view.delays_known();
                if known > heard.known.0 {
                    heard.known = (known, at);
                }
            }
        }
    }
    let took = heard.values().map(|heard| {
        assert_eq!(heard.known.0, count - 1, "it knows all of them");
        heard.known.1.since(heard.first.unwrap())
    });
    (took.collect(), memory.traffic().0)
}

#[test]
fn thirty_hosts_that_join_together_know_all_delays_within_200_ms() {
    for (seed, delay_ms) in [(1, 0), (2, 1), (3, 5), (4, 10)] {
        let (took, messages) = joined(30, seed, Duration::from_millis(delay_ms));
        let longest = took.iter().max().unwrap();
        assert!(
            *longest < Duration::from_millis(200),
            "seed {seed}, {delay_ms} ms: {took:?}"
        );
        assert!(
            messages <= 30 * MESSAGES_MAX,
            "seed {seed}, {delay_ms} ms: {messages}"
        );
    }
}

/// How many messages a node sends in the half second in which all join. Unit: messages. Source: measured; pings, answers, and what was missing.
const MESSAGES_MAX: u64 = 100;
