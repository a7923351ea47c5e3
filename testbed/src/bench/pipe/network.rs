//! A node of the overlay that is nothing but that.

use std::sync::Arc;

use anyhow::Context;
use model::{Clock, Rng};
use overlay::Identity;
use overlay::net::{self, Config, Event, Network};
use tokio::sync::mpsc;

/// What a data stream is for.
pub(super) const ECHO: &[u8] = b"echo";
/// See [`ECHO`].
pub(super) const EDGE: &[u8] = b"edge";

/// Starts a node, the one with this number.
pub(super) async fn start(
    number: u8,
    join: Vec<String>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Network, mpsc::Receiver<Event>)> {
    let identity = Identity::from_secret([number; 32]);
    let config = Config::on_loopback("pipe", &format!("pipe-{number}"), identity, join);
    net::start(config, clock, Rng::from_seed(number.into()))
        .await
        .context("a node of the overlay")
}
