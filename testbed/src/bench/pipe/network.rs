//! A node of the overlay that is nothing but that.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use model::{Clock, Coordinate, HostSummary, LoadInterval, Resources, Rng};
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
    let config = Config {
        network: "pipe".to_owned(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        join,
        host: HostSummary {
            node: identity.node(),
            name: format!("pipe-{number}"),
            addresses: Vec::new(),
            coordinate: Coordinate::default(),
            load: LoadInterval::default(),
            capacity: Resources::default(),
            labels: BTreeMap::new(),
            operators: None,
            version: 1,
        },
        identity,
        first_version: 1,
        ways: None,
    };
    net::start(config, clock, Rng::from_seed(number.into()))
        .await
        .context("a node of the overlay")
}
