//! Whom a round of pings goes to.

use std::collections::BTreeSet;

use model::{Instant, NodeId};

use super::{MEETING, MEETINGS, Member, Members, NEIGHBORS_MAX, ROUND, TURNS};
use crate::machine::Effect;

impl Members {
    /// Whom to ping in a round.
    pub(super) fn round(&mut self) -> BTreeSet<NodeId> {
        let mut asked = self.neighbors();
        if self.tells_all() {
            let mut others: Vec<_> = self.known.iter().collect();
            others.retain(|(node, _)| !asked.contains(*node));
            others.sort_by_key(|(_, member)| member.pinged);
            let turns: Vec<NodeId> = others.iter().take(TURNS).map(|(node, _)| **node).collect();
            asked.extend(turns);
        }
        asked
    }

    /// Pings a few of those that this node never met. Of two the lower begins: the other measures the way as soon as they are connected.
    pub(super) fn meet_when_due(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.next_meeting.is_none_or(|due| now < due) {
            return;
        }
        let is_stranger = |(node, member): &(&NodeId, &Member)| {
            let was_asked = member.pinged.is_some_and(|pinged| now - pinged < ROUND);
            self.host.node < **node && member.samples.is_empty() && !was_asked
        };
        let strangers = self.known.iter().filter(is_stranger).map(|(node, _)| *node);
        let strangers: Vec<NodeId> = match self.tells_all() {
            true => strangers.take(MEETINGS).collect(),
            false => Vec::new(),
        };
        self.next_meeting = (!strangers.is_empty()).then(|| now + MEETING);
        for node in strangers {
            let addresses = self.addresses(node);
            self.ping(now, node, addresses, out);
        }
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
