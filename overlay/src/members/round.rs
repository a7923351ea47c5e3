//! Whom a round of pings goes to.

use std::collections::BTreeSet;

use model::NodeId;

use super::{MEETINGS, Members, NEIGHBORS_MAX, TURNS};

impl Members {
    /// Whom to ping in a round.
    pub(super) fn round(&mut self) -> BTreeSet<NodeId> {
        let mut asked = self.neighbors();
        if self.tells_all() {
            self.meet(&mut asked);
        }
        asked
    }

    /// Adds whom this node is to meet, and whose turn it is. Of two that never met the lower begins: the other measures the way as soon as
    /// they are connected.
    fn meet(&self, asked: &mut BTreeSet<NodeId>) {
        let others = self.known.iter().filter(|(node, _)| !asked.contains(node));
        let (strangers, mut met): (Vec<_>, Vec<_>) =
            others.partition(|(_, member)| member.samples.is_empty());
        met.sort_by_key(|(_, member)| member.pinged);
        let strangers = strangers.iter().filter(|(node, _)| self.host.node < **node);
        let chosen = strangers.take(MEETINGS).chain(met.iter().take(TURNS));
        let chosen: Vec<NodeId> = chosen.map(|(node, _)| **node).collect();
        asked.extend(chosen);
    }

    /// The closest by key, and some at random that change slowly.
    fn neighbors(&mut self) -> BTreeSet<NodeId> {
        let mut by_key: Vec<_> = self.known.iter().collect();
        by_key.sort_by_key(|(_, member)| member.distance);
        let half = NEIGHBORS_MAX / 2;
        let mut neighbors: BTreeSet<NodeId> =
            by_key.iter().take(half).map(|(node, _)| **node).collect();
        let others: Vec<NodeId> = by_key.iter().skip(half).map(|(node, _)| **node).collect();
        self.drawn.retain(|node| others.contains(node));
        if self.rng.below(10) == 0 {
            self.drawn.pop_first();
        }
        while self.drawn.len() < half.min(others.len()) {
            let pick = self.rng.below(model::convert::size(others.len()));
            self.drawn.insert(others[model::convert::index(pick)]);
        }
        neighbors.extend(&self.drawn);
        neighbors
    }
}
