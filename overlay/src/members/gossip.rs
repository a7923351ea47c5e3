//! What is told of others.

use std::collections::BTreeSet;

use model::{HostSummary, Instant, NodeId, convert};

use super::Members;
use super::bounds::KNOWN_MAX;
use crate::message::{Bounded, Gossip, RUMORS_MAX, Rumor};

/// How many hosts a ping and its answer tell of where both know the same ones, or too many to tell of all. Unit: hosts.
/// Source: measured with 88 hosts, of which eight let some be forgotten for a while.
const RUMORS: usize = 16;

const _: () = assert!(KNOWN_MAX <= RUMORS_MAX, "a message has room for all");

impl Members {
    /// What this node says, with these rumors.
    pub(super) fn gossip(&self, rumors: Vec<Rumor>) -> Gossip {
        Gossip {
            summary: self.host.clone(),
            known: self.digest(),
            rumors: Bounded::first_of(rumors),
        }
    }

    /// What is told to somebody who knows these.
    pub(super) fn answer_for(&mut self, now: Instant, to: NodeId, known: u64) -> Gossip {
        let rumors = if self.tells_all() && known != self.digest() {
            self.rumors_of(now, |node| node != to)
        } else {
            self.rumors(now, to)
        };
        self.gossip(rumors)
    }

    /// What a peer that told all it knows does not know yet; nothing where both know the same.
    pub(super) fn missing(
        &self,
        now: Instant,
        to: NodeId,
        theirs: u64,
        told: &BTreeSet<NodeId>,
    ) -> Option<Vec<Rumor>> {
        if theirs == self.digest() || !self.tells_all() {
            return None;
        }
        let rumors = self.rumors_of(now, |node| node != to && !told.contains(&node));
        (!rumors.is_empty()).then_some(rumors)
    }

    /// Whether so few are known that all are told of: in a network that is larger than what a node knows, any two differ.
    pub(super) fn tells_all(&self) -> bool {
        self.known.len() < KNOWN_MAX
    }

    /// A few hosts: those that came last and were heard of last, and some at random.
    pub(super) fn rumors(&mut self, now: Instant, to: NodeId) -> Vec<Rumor> {
        let mut others: Vec<_> = self
            .known
            .iter()
            .filter(|(node, _)| **node != to)
            .map(|(node, member)| (member.came, member.heard, *node))
            .collect();
        let mut chosen = BTreeSet::new();
        others.sort_unstable();
        chosen.extend(others.iter().rev().take(RUMORS / 4).map(|other| other.2));
        others.sort_unstable_by_key(|(_, heard, node)| (*heard, *node));
        chosen.extend(others.iter().rev().take(RUMORS / 4).map(|other| other.2));
        while chosen.len() < RUMORS.min(others.len()) {
            let pick = self.rng.below(convert::size(others.len()));
            chosen.insert(others[convert::index(pick)].2);
        }
        self.rumors_of(now, |node| chosen.contains(&node))
    }

    fn rumors_of(&self, now: Instant, is_told: impl Fn(NodeId) -> bool) -> Vec<Rumor> {
        self.known
            .iter()
            .filter(|(node, _)| is_told(**node))
            .map(|(_, member)| Rumor {
                summary: member.summary.clone(),
                age: super::stamp(now) - member.heard,
            })
            .collect()
    }

    /// The exclusive or of the first bytes of all that are known, this node among them: those are keys, and random. Of who has said where it is they are
    /// turned, so that this is told as it is told who came.
    pub(super) fn digest(&self) -> u64 {
        let others = self.known.values().map(|member| head(&member.summary));
        others.fold(head(&self.host), |digest, head| digest ^ head)
    }
}

fn head(host: &HostSummary) -> u64 {
    let mut head = [0; 8];
    head.copy_from_slice(&host.node.0[..8]);
    let head = u64::from_le_bytes(head);
    match host.coordinate.is_known() {
        true => head.rotate_left(1),
        false => head,
    }
}
