//! What happens to what is on its way.

use std::collections::{BTreeMap, BTreeSet};

use model::{Instant, NodeId, Rng, convert};

use super::Conditions;

/// Something that is sent, as bytes.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    /// Whether it is of those above the overlay, and not of the overlay itself.
    pub(super) is_payload: bool,
    pub(super) bytes: Vec<u8>,
}

/// The wires between all nodes.
#[derive(Debug)]
pub(super) struct Wires {
    pub(super) conditions: Conditions,
    rng: Rng,
    connected: BTreeSet<(NodeId, NodeId)>,
    /// The group of each node; empty where the network is not divided.
    groups: BTreeMap<NodeId, usize>,
    /// When the latest arrives that is on its way from one node to another.
    latest: BTreeMap<(NodeId, NodeId), Instant>,
}

impl Wires {
    pub(super) const fn new(conditions: Conditions, rng: Rng) -> Self {
        Self {
            conditions,
            rng,
            connected: BTreeSet::new(),
            groups: BTreeMap::new(),
            latest: BTreeMap::new(),
        }
    }

    pub(super) fn divide(&mut self, groups: &[&[NodeId]]) {
        let numbered = groups.iter().enumerate();
        self.groups = numbered
            .flat_map(|(number, group)| group.iter().map(move |node| (*node, number)))
            .collect();
        let connected = std::mem::take(&mut self.connected).into_iter();
        let is_whole = |(one, other): &(NodeId, NodeId)| self.reaches(*one, *other);
        self.connected = connected.filter(is_whole).collect();
    }

    /// Whether the network between two nodes is whole.
    pub(super) fn reaches(&self, one: NodeId, other: NodeId) -> bool {
        self.groups.is_empty()
            || one == other
            || matches!(
                (self.groups.get(&one), self.groups.get(&other)),
                (Some(a), Some(b)) if a == b
            )
    }

    /// Connects two nodes; false where they are already.
    pub(super) fn connect(&mut self, one: NodeId, other: NodeId) -> bool {
        self.connected.insert((one.min(other), one.max(other)))
    }

    /// Ends all connections of a node. Returns with whom they were.
    pub(super) fn disconnect_all(&mut self, node: NodeId) -> Vec<NodeId> {
        let (gone, kept): (BTreeSet<_>, BTreeSet<_>) = std::mem::take(&mut self.connected)
            .into_iter()
            .partition(|(one, other)| *one == node || *other == node);
        self.connected = kept;
        let peer = |(one, other): (NodeId, NodeId)| if one == node { other } else { one };
        gone.into_iter().map(peer).collect()
    }

    /// When something that is sent now arrives: never, once, or twice.
    pub(super) fn arrivals(&mut self, now: Instant, from: NodeId, to: NodeId) -> Vec<Instant> {
        let Conditions {
            delay,
            jitter,
            loss_fraction,
            duplicate_fraction,
            is_reordering,
            ..
        } = self.conditions;
        if self.rng.fraction() < loss_fraction {
            return Vec::new();
        }
        let is_doubled = self.rng.fraction() < duplicate_fraction;
        let mut arrivals = Vec::new();
        for _ in 0..1 + usize::from(is_doubled) {
            let extra = convert::seconds(jitter.as_secs_f64() * self.rng.fraction());
            let mut at = now + delay + extra;
            if !is_reordering {
                let latest = self.latest.entry((from, to)).or_insert(at);
                at = at.max(*latest);
                *latest = at;
            }
            arrivals.push(at);
        }
        arrivals
    }
}
