//! How many hosts are known, and which of them.

use model::{HostSummary, Instant, NodeId, convert};

use super::{FRESH, Members, stamp};
use crate::machine::Effect;

/// The most hosts that are known. Unit: hosts. Source: design.
pub const KNOWN_MAX: usize = 128;

/// How many of them are kept because they are near and idle; the others are a random rest. Unit: hosts. Source: guess.
const GOOD_MAX: usize = 64;

/// How many hosts are remembered that could not be reached. Unit: hosts. Source: guess.
const GONE_MAX: usize = 256;

impl Members {
    /// Whether somebody who was only heard of gets a place: where there is one, where it is better than the worst of the good
    /// ones, and else one in eight, so that the random rest changes slowly.
    pub(super) fn is_welcome(&mut self, summary: &HostSummary) -> bool {
        if self.known.len() < KNOWN_MAX {
            return true;
        }
        let mut costs: Vec<f64> = self
            .known
            .values()
            .map(|member| self.cost(&member.summary))
            .collect();
        costs.sort_by(f64::total_cmp);
        self.cost(summary) < costs[GOOD_MAX - 1] || self.rng.below(8) == 0
    }

    /// Forgets one of the random rest, where all places are taken.
    pub(super) fn make_room(&mut self, out: &mut Vec<Effect>) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        let mut by_cost: Vec<(f64, NodeId)> = self
            .known
            .values()
            .map(|member| (self.cost(&member.summary), member.summary.node))
            .collect();
        by_cost.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let rest: Vec<NodeId> = by_cost[GOOD_MAX..]
            .iter()
            .map(|(_, node)| *node)
            .filter(|node| !self.drawn.contains(node))
            .collect();
        let pick = self.rng.below(convert::size(rest.len()));
        self.forget(rest[convert::index(pick)], out);
        assert!(self.known.len() < KNOWN_MAX, "there is room now");
    }

    /// How far and how loaded a host is: the round trip in seconds, and a tenth of a second for each processor's worth of load.
    fn cost(&self, summary: &HostSummary) -> f64 {
        let way = self.coordinate.round_trip(&summary.coordinate);
        way.as_secs_f64() + 0.1 * summary.load.middle()
    }

    /// Forgets those that nobody heard of for too long.
    pub(super) fn forget_stale(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let is_stale = |heard: Instant| stamp(now) - heard >= FRESH;
        let stale: Vec<NodeId> = self
            .known
            .iter()
            .filter(|(_, member)| is_stale(member.heard))
            .map(|(node, _)| *node)
            .collect();
        for node in stale {
            self.forget(node, out);
        }
        self.gone.retain(|_, gone| !is_stale(*gone));
    }

    /// Remembers that a host could not be reached, and when, as [`stamp`] counts.
    pub(super) fn note_gone(&mut self, stamped: Instant, node: NodeId) {
        if self.gone.len() >= GONE_MAX {
            let oldest = self.gone.iter().min_by_key(|(node, gone)| (**gone, **node));
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                self.gone.remove(&oldest);
            }
        }
        self.gone.insert(node, stamped);
    }

    /// Forgets a host.
    pub(super) fn forget(&mut self, node: NodeId, out: &mut Vec<Effect>) {
        if self.known.remove(&node).is_some() {
            self.drawn.remove(&node);
            out.push(Effect::Lost(node));
        }
    }
}
