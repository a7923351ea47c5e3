//! The cases that every overlay is held to, over real nodes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{NodeId, Outcome, Query};
use overlay::net::{Event, Network};
use overlay::suite::{Bed, CASES};
use overlay::{Identity, Message};
use tokio::runtime::Runtime;

use crate::support::{Node, PATIENCE, config, identity};

/// Nodes in this process, joined over loopback.
struct NetBed {
    runtime: Runtime,
    /// Those that crashed or left are nothing.
    nodes: Vec<Option<Network>>,
    hosts: Vec<Arc<Mutex<BTreeSet<NodeId>>>>,
}

impl NetBed {
    /// Nodes that have joined one network.
    fn new(node_count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut bed = Self {
            runtime,
            nodes: Vec::new(),
            hosts: Vec::new(),
        };
        for number in 0..node_count {
            let join = match number {
                0 => Vec::new(),
                _ => bed.network(0).addresses(),
            };
            bed.add(join);
        }
        bed.wait_until_known();
        bed
    }

    fn add(&mut self, join: Vec<String>) {
        let number = model::convert::size(self.nodes.len());
        let node = self.runtime.block_on(Node::start(config(number, join)));
        let hosts = Arc::new(Mutex::new(BTreeSet::new()));
        let known = Arc::clone(&hosts);
        let own = node.network.node();
        let mut events = node.events;
        self.runtime.spawn(async move {
            // A node that learns where it is says so of itself, too.
            while let Some(event) = events.recv().await {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    Event::Seen { summary, .. } if summary.node != own => {
                        known.insert(summary.node);
                    }
                    Event::Lost(node) => {
                        known.remove(&node);
                    }
                    _ => {}
                }
            }
        });
        self.nodes.push(Some(node.network));
        self.hosts.push(hosts);
    }

    fn network(&self, node: usize) -> &Network {
        self.nodes[node].as_ref().expect("it runs")
    }

    /// Waits until everybody knows everybody.
    fn wait_until_known(&mut self) {
        let others = self.nodes.len() - 1;
        let start = tokio::time::Instant::now();
        while (0..self.nodes.len()).any(|node| self.hosts(node).len() < others) {
            assert!(start.elapsed() < PATIENCE, "they do not find each other");
            self.pass(Duration::from_millis(20));
        }
    }
}

impl Bed for NetBed {
    fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn identity(&self, node: usize) -> Identity {
        identity(model::convert::size(node))
    }

    fn start(&mut self, via: usize) -> usize {
        let join = self.network(via).addresses();
        self.add(join);
        self.nodes.len() - 1
    }

    fn query(&mut self, node: usize, query: Query) -> Outcome {
        let network = self.network(node);
        self.runtime.block_on(network.query(query))
    }

    fn crash(&mut self, node: usize) {
        self.nodes[node] = None;
        self.pass(Duration::from_millis(50));
    }

    fn leave(&mut self, node: usize) {
        let network = self.nodes[node].take().expect("it runs");
        self.runtime.block_on(network.leave());
    }

    fn hosts(&mut self, node: usize) -> Vec<NodeId> {
        let hosts = self.hosts[node].lock();
        let hosts = hosts.unwrap_or_else(PoisonError::into_inner);
        hosts.iter().copied().collect()
    }

    fn pass(&mut self, time: Duration) {
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }

    fn say(&mut self, from: usize, to: usize, message: Message) -> bool {
        let to = self.network(to).node();
        self.network(from).say(to, message);
        true
    }

    fn refused(&mut self, node: usize) -> u64 {
        let network = self.network(node);
        let stats = self.runtime.block_on(network.stats());
        stats.overlay.refused.values().sum()
    }
}

fn run(name: &str) {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.expect("a case of the suite");
    (case.run)(&mut NetBed::new(case.node_count));
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    a_node_alone_is_its_own_holder
    what_one_registers_another_finds
    the_higher_version_stands
    what_was_withdrawn_is_gone
    a_key_holds_entries_of_many_owners
    a_lookup_is_as_large_as_was_asked
    a_listing_is_complete
    all_nodes_agree_who_is_closest
    hosts_know_one_another
    a_newcomer_finds_what_was_there
    what_was_registered_alone_is_found_after_joining
    entries_survive_the_crash_of_holders
    the_crash_of_an_owner_stops_nobody
    who_leaves_takes_along_what_is_its_own_alone
    what_others_forge_is_refused
}

#[test]
fn no_case_is_left_out() {
    let all = CASES.iter().filter(|case| !case.needs_virtual_time);
    let all: BTreeSet<&str> = all.map(|case| case.name).collect();
    assert_eq!(all, TESTED.iter().copied().collect());
}
