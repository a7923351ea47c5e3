//! A host of a simulation.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Coordinate, HostSummary, Instant, NodeId, Resources, Rng};
use node::node::{Config, Node};
use overlay::Identity;

use super::clock::HostClock;
use super::outcome::Ticket;
use super::setup::HostSetup;

/// How far the numbers of a node's starts are apart: it gives fewer numbers than this before it is started anew.
const NUMBERS_PER_START: u64 = 1 << 40;

/// A host: its node, its clock, and what the simulation keeps of it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) node: Node,
    pub(super) id: NodeId,
    pub(super) clock: HostClock,
    pub(super) is_up: bool,
    /// How often its node was started.
    pub(super) start: u32,
    /// What it last said of itself.
    pub(super) summary: Arc<HostSummary>,
    /// In use by others than Synergy. Unit: cores.
    pub(super) background: f64,
    /// When it is to be called, if it is.
    pub(super) wake: Option<Instant>,
    /// The last time that its node was handed.
    pub(super) last_local: Instant,
    /// Whether it will look at its load.
    pub(super) is_load_due: bool,
    /// To whom the round trip is known.
    pub(super) measured: BTreeSet<usize>,
    /// Whether it was bound to something that it was not asked for, so that it may hold more than it has room for.
    pub(super) has_adopted: bool,
    /// Requests that were made here and are not answered.
    pub(super) open: Vec<Ticket>,
}

/// The key of a host, which is its name.
pub(super) fn identity(rng: &Rng, number: usize) -> Identity {
    let mut rng = rng.keyed(&format!("identity {number}"));
    let mut secret = [0; 32];
    for part in secret.chunks_mut(8) {
        part.copy_from_slice(&rng.bits().to_le_bytes());
    }
    Identity::from_secret(secret)
}

/// What a host says of itself at first.
pub(super) fn summary(
    id: NodeId,
    number: usize,
    setup: &HostSetup,
    coordinate: Coordinate,
) -> HostSummary {
    HostSummary {
        node: id,
        name: format!("h{number}"),
        addresses: vec![format!(
            "/ip4/10.{}.{}.{}/tcp/4000",
            number >> 16,
            (number >> 8) & 255,
            number & 255
        )],
        coordinate,
        load: model::LoadInterval::default(),
        capacity: Resources {
            cpu_cores: setup.cores,
            memory_bytes: setup.memory_bytes,
            uplink_bytes_per_second: setup.uplink_bytes_per_second,
        },
        labels: setup.labels.clone(),
        operators: setup.operators.clone(),
        version: 1,
    }
}

/// A node that knows nobody, as it is at its start.
pub(super) fn node(
    rng: &Rng,
    number: usize,
    start: u32,
    host: HostSummary,
    composition: composition::Config,
    repairs: bool,
) -> Node {
    let config = Config {
        identity: identity(rng, number),
        host,
        network: "simulation".to_owned(),
        composition,
        first_number: 1 + u64::from(start) * NUMBERS_PER_START,
        is_new: start == 0,
        migrates: true,
        repairs,
    };
    Node::new(config, rng.keyed(&format!("node {number} {start}")))
}
