//! Joining and leaving.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::NodeId;
use overlay::net::{Event, StartError};

use crate::support::{Node, PATIENCE, TestClock, config, identity, pair};

#[tokio::test]
async fn whoever_joins_is_known_at_once() {
    let mut first = Node::start(config(1, vec![])).await;
    let start = tokio::time::Instant::now();
    let mut second = Node::start(config(2, first.network.addresses())).await;
    first.wait_for_host(second.id()).await;
    second.wait_for_host(first.id()).await;
    // In a debug build beside seven other tests; alone and optimized it takes a tenth of that.
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_address_without_a_peer_suffices_and_dead_ones_do_no_harm() {
    let mut first = Node::start(config(1, vec![])).await;
    let full = first.network.addresses().remove(0);
    let bare = full.split("/p2p/").next().expect("an address").to_owned();
    let dead = "/ip4/127.0.0.1/tcp/1".to_owned();
    let mut second = Node::start(config(2, vec![dead, bare])).await;
    second.wait_for_host(first.id()).await;
    first.wait_for_host(second.id()).await;
}

#[tokio::test]
async fn a_joiner_waits_for_whoever_comes_later() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let mut early = Node::start(config(1, vec![address.clone()])).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut late = config(2, vec![]);
    late.listen = vec![address];
    let late = Node::start(late).await;
    early.wait_for_host(late.id()).await;
}

#[tokio::test]
async fn a_node_that_is_left_alone_joins_again() {
    let first = Node::start(config(1, vec![])).await;
    let listen = first.network.addresses();
    let bare = listen[0]
        .split("/p2p/")
        .next()
        .expect("an address")
        .to_owned();
    let mut second = Node::start(config(2, listen)).await;
    let id = first.id();
    second.wait_for_host(id).await;
    drop(first);
    second.wait_for_unreachable(id).await;
    let mut again = config(1, vec![]);
    again.first_version = 100;
    again.listen = vec![bare];
    let mut again = Node::start(again).await;
    again.wait_for_host(second.id()).await;
}

#[tokio::test]
async fn networks_do_not_mix() {
    let first = Node::start(config(1, vec![])).await;
    let mut other = config(2, first.network.addresses());
    other.network = "other".to_owned();
    let other = Node::start(other).await;
    first.wait_for_refusal("handshake failed").await;
    assert_eq!(first.network.stats().await.connections, 0);
    assert_eq!(other.network.stats().await.connections, 0);
    assert_eq!(other.network.stats().await.routing_peers, 0);
}

#[tokio::test]
async fn what_cannot_be_started_is_told_with_its_reason() {
    let start = async |change: fn(&mut overlay::net::Config)| {
        let mut config = config(1, vec![]);
        change(&mut config);
        let rng = model::Rng::from_seed(1);
        overlay::net::start(config, TestClock::start(), rng).await
    };
    let result = start(|config| config.join = vec!["nonsense".to_owned()]).await;
    assert!(matches!(result, Err(StartError::Address(text, _)) if text == "nonsense"));
    let result = start(|config| config.listen = vec!["/ip4/192.0.2.1/tcp/0".to_owned()]).await;
    assert!(matches!(result, Err(StartError::Listen(..))));
    let result = start(|config| config.network = "a/b".to_owned()).await;
    assert!(matches!(result, Err(StartError::Network(_))));
}

#[tokio::test]
async fn whoever_leaves_is_gone_within_its_time() {
    let (mut first, second) = pair().await;
    let gone = second.id();
    let start = tokio::time::Instant::now();
    second.network.leave().await;
    assert!(start.elapsed() < Duration::from_millis(1_500));
    first
        .wait_for("the loss of a host", |event| match event {
            Event::Lost(node) | Event::Unreachable(node) => (node == gone).then_some(()),
            _ => None,
        })
        .await;
    // To leave twice, or to ask a node that has left, waits for nobody.
    second.network.leave().await;
    assert_eq!(second.network.stats().await.connections, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_nodes_join_within_ten_seconds() {
    const COUNT: u64 = 30;
    let start = tokio::time::Instant::now();
    let first = Node::start(config(0, vec![])).await;
    let join = first.network.addresses();
    let mut nodes = vec![first];
    for number in 1..COUNT {
        nodes.push(Node::start(config(number, join.clone())).await);
    }
    let mut tasks = Vec::new();
    let mut networks = Vec::new();
    for mut node in nodes {
        networks.push(node.network.clone());
        tasks.push(tokio::spawn(async move {
            let mut known = BTreeSet::<NodeId>::new();
            while known.len() < 20 {
                let event = node.events.recv().await.expect("the node runs");
                if let Event::Seen { summary, .. } = event
                    && summary.node != node.id()
                {
                    known.insert(summary.node);
                }
            }
            node
        }));
    }
    let mut nodes = BTreeMap::new();
    for task in tasks {
        let left = PATIENCE.saturating_sub(start.elapsed());
        let node = tokio::time::timeout(left, task).await;
        let node = node.expect("all know 20 hosts in time").expect("no panic");
        nodes.insert(node.id(), node);
    }
    assert!(nodes.contains_key(&identity(7).node()));
    for network in networks {
        let stats = network.stats().await;
        assert!(stats.routing_peers >= 10, "{stats:?}");
    }
}
