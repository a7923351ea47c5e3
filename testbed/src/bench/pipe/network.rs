//! A node of the overlay that is nothing but that.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::{Clock, NodeId, Rng};
use overlay::Identity;
use overlay::net::{self, Config, Event, Network, Way};
use tokio::sync::{mpsc, watch};

use super::flow::PATIENCE;

/// What a data stream is for.
pub(super) const ECHO: &[u8] = b"echo";
/// See [`ECHO`].
pub(super) const EDGE: &[u8] = b"edge";
/// See [`ECHO`].
pub(super) const BARE: &[u8] = b"bare";

/// Starts a node, the one with this number, at which everything arrives so much later.
pub(super) async fn start(
    number: u8,
    join: Vec<String>,
    clock: Arc<dyn Clock>,
    delay: Duration,
) -> anyhow::Result<(Network, mpsc::Receiver<Event>)> {
    let identity = Identity::from_secret([number; 32]);
    let mut config = Config::on_loopback("pipe", &format!("pipe-{number}"), identity, join);
    if !delay.is_zero() {
        let is_cut = false;
        config.ways = Some(Arc::new(move |_| watch::channel(Way { delay, is_cut }).1));
    }
    net::start(config, clock, Rng::from_seed(number.into()))
        .await
        .context("a node of the overlay")
}

/// The first node that another one sees.
pub(super) async fn first_seen(events: &mut mpsc::Receiver<Event>) -> anyhow::Result<NodeId> {
    let joined = async {
        loop {
            if let Event::Seen { summary, .. } = events.recv().await? {
                return Some(summary.node);
            }
        }
    };
    let host = tokio::time::timeout(PATIENCE, joined).await?;
    host.context("the network has ended")
}
