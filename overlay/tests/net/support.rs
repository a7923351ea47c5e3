//! Nodes for tests.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, Instant, NodeId, Rng};
use overlay::Identity;
use overlay::net::{Config, Event, Network, Way, Ways};
use tokio::sync::{mpsc, watch};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The time since it was made.
#[derive(Debug)]
pub(crate) struct TestClock(tokio::time::Instant);

impl TestClock {
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(model::convert::nanos(self.0.elapsed()))
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

pub(crate) fn identity(number: u64) -> Identity {
    let mut secret = [3; 32];
    secret[..8].copy_from_slice(&number.to_le_bytes());
    Identity::from_secret(secret)
}

pub(crate) fn config(number: u64, join: Vec<String>) -> Config {
    Config::on_loopback("test", &format!("host-{number}"), identity(number), join)
}

/// All that arrives takes so long.
pub(crate) fn late(delay: Duration) -> Ways {
    let way = Way {
        delay,
        is_cut: false,
    };
    Arc::new(move |_| watch::channel(way).1)
}

/// A node, and what it told.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) network: Network,
    pub(crate) events: mpsc::Receiver<Event>,
}

impl Node {
    pub(crate) async fn start(config: Config) -> Self {
        let rng = Rng::from_seed(u64::from(config.identity.node().0[0]));
        let (network, events) = overlay::net::start(config, TestClock::start(), rng)
            .await
            .expect("it starts");
        Self { network, events }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.network.node()
    }

    /// The first event that a test looks for; those before it are dropped.
    pub(crate) async fn wait_for<T>(
        &mut self,
        what: &str,
        mut is_it: impl FnMut(Event) -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the node runs");
                if let Some(found) = is_it(event) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("in vain: {what}"))
    }

    /// Waits until another node's host was seen.
    pub(crate) async fn wait_for_host(&mut self, node: NodeId) {
        self.wait_for("a host", |event| match event {
            Event::Seen { summary, .. } if summary.node == node => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until it has a connection with anybody.
    pub(crate) async fn wait_for_connection(&self) {
        let connected = async {
            while self.network.stats().await.connections == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let connected = tokio::time::timeout(PATIENCE, connected).await;
        connected.expect("it connects");
    }

    pub(crate) async fn wait_for_message(&mut self) -> (NodeId, Vec<u8>) {
        self.wait_for("a message", |event| match event {
            Event::Message { from, bytes } => Some((from, bytes)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn wait_for_unreachable(&mut self, node: NodeId) {
        self.wait_for("the end of a peer", |event| match event {
            Event::Unreachable(it) if it == node => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until something was refused for a reason.
    pub(crate) async fn wait_for_refusal(&self, reason: &str) {
        let refused = async {
            while !self.network.stats().await.refused.contains_key(reason) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let refused = tokio::time::timeout(PATIENCE, refused).await;
        if refused.is_err() {
            let stats = self.network.stats().await;
            panic!("nothing was refused by {reason:?} but {:?}", stats.refused);
        }
    }
}

/// Two nodes with a connection.
pub(crate) async fn pair() -> (Node, Node) {
    let first = Node::start(config(1, vec![])).await;
    let second = Node::start(config(2, first.network.addresses())).await;
    first.wait_for_connection().await;
    second.wait_for_connection().await;
    (first, second)
}
