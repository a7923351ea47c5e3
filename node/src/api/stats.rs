//! What was counted of the network, as JSON.

use std::collections::BTreeMap;

use overlay::net::NetworkStats;
use serde::{Deserialize, Serialize};

/// What was counted of the network since the node's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRow {
    /// Peers with an open connection.
    pub connections: u64,
    /// Peers in the routing table.
    pub routing_peers: u64,
    /// Hosts that this node knows.
    pub hosts_known: u64,
    /// Entries that this node holds for others and itself.
    pub entries_held: u64,
    /// The keys that they lie under.
    pub keys_held: u64,
    /// Entries that this node keeps registered.
    pub entries_registered: u64,
    /// Queries that were answered without asking anybody.
    pub queries_local: u64,
    /// Queries for which others were asked, without a walk.
    pub queries_remote: u64,
    /// Walks.
    pub walks: u64,
    /// What peers sent and was refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl From<&NetworkStats> for NetworkRow {
    fn from(stats: &NetworkStats) -> Self {
        let overlay = &stats.overlay;
        let mut refused = BTreeMap::new();
        for (reason, count) in stats.refused.iter().chain(&overlay.refused) {
            *refused.entry((*reason).to_owned()).or_default() += count;
        }
        Self {
            connections: stats.connections,
            routing_peers: stats.routing_peers,
            hosts_known: overlay.hosts_known,
            entries_held: overlay.entries_held,
            keys_held: overlay.keys_held,
            entries_registered: overlay.entries_registered,
            queries_local: overlay.queries_local,
            queries_remote: overlay.queries_remote,
            walks: overlay.walks,
            refused,
        }
    }
}
