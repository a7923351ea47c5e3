//! What every overlay must do, over nodes in memory.

use std::time::Duration;

use model::{NodeId, Outcome, Query};
use overlay::memory::{Conditions, Memory};
use overlay::suite::{Bed, CASES};
use overlay::{Identity, Message};

struct InMemory {
    network: Memory,
    nodes: Vec<NodeId>,
}

impl InMemory {
    fn new(seed: u64, node_count: usize, conditions: Conditions) -> Self {
        let mut network = Memory::new(seed, conditions);
        let nodes = network.start_joined(node_count);
        network.pass(Duration::from_secs(3));
        Self { network, nodes }
    }
}

impl Bed for InMemory {
    fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn identity(&self, node: usize) -> Identity {
        self.network.identity(self.nodes[node]).clone()
    }

    fn start(&mut self, via: usize) -> usize {
        let node = self.network.start();
        self.network.join(node, self.nodes[via]);
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn query(&mut self, node: usize, query: Query) -> Outcome {
        self.network.ask(self.nodes[node], query)
    }

    fn crash(&mut self, node: usize) {
        self.network.crash(self.nodes[node]);
    }

    fn leave(&mut self, node: usize) {
        self.network.leave(self.nodes[node]);
        self.network.pass(Duration::from_secs(1));
        assert!(!self.network.is_alive(self.nodes[node]), "it has gone");
    }

    fn hosts(&mut self, node: usize) -> Vec<NodeId> {
        self.network.overlay(self.nodes[node]).hosts().collect()
    }

    fn pass(&mut self, time: Duration) {
        self.network.pass(time);
    }

    fn say(&mut self, from: usize, to: usize, message: Message) -> bool {
        self.network.say(self.nodes[from], self.nodes[to], message);
        true
    }

    fn refused(&mut self, node: usize) -> u64 {
        self.network.stats(self.nodes[node]).refused.values().sum()
    }
}

#[expect(
    clippy::print_stdout,
    reason = "shown where a case fails: which one it was"
)]
fn run(seed: u64, conditions: &Conditions) {
    for case in CASES {
        println!("{} (seed {seed})", case.name);
        let mut bed = InMemory::new(seed, case.node_count, conditions.clone());
        (case.run)(&mut bed);
    }
}

#[test]
fn nodes_on_a_local_network_pass_all_cases() {
    (1..4).for_each(|seed| run(seed, &Conditions::default()));
}

#[test]
fn nodes_far_apart_pass_all_cases() {
    let conditions = Conditions {
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
        ..Conditions::default()
    };
    run(4, &conditions);
}

#[test]
fn nodes_that_hear_everything_out_of_order_and_twice_pass_all_cases() {
    let conditions = Conditions {
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(20),
        duplicate_fraction: 0.3,
        is_reordering: true,
        ..Conditions::default()
    };
    run(5, &conditions);
}
