//! Owners that somebody could not reach: what they registered is not served before they are heard of again.

use std::collections::BTreeMap;
use std::time::Duration;

use model::entry::TTL_MAX;
use model::{Instant, NodeId};

/// The most owners that are suspected, and the most that were heard of and are trusted for a while. Unit: nodes.
/// Source: guess; who is suspected beyond it is served.
const SUSPECTS_MAX: usize = 1024;

/// For how long an owner that was heard of is not suspected again.
///
/// Unit: time. Range: above a round trip. It bounds how often reports, true or not, hide an entry and cost a ping.
/// Source: guess.
const TRUST: Duration = Duration::from_secs(5);

/// Who is suspected.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// Since when.
    suspected: BTreeMap<NodeId, Instant>,
    /// Until when.
    trusted: BTreeMap<NodeId, Instant>,
}

impl Suspects {
    /// Whether what this owner registered is held back.
    pub(crate) fn contains(&self, owner: NodeId) -> bool {
        self.suspected.contains_key(&owner)
    }

    /// Somebody could not reach an owner. True where it should be asked whether it is there.
    pub(crate) fn suspect(&mut self, now: Instant, owner: NodeId) -> bool {
        self.expire(now);
        let is_known = self.contains(owner) || self.trusted.contains_key(&owner);
        if is_known || self.suspected.len() >= SUSPECTS_MAX {
            return false;
        }
        self.suspected.insert(owner, now);
        true
    }

    /// An owner was heard of.
    pub(crate) fn heard(&mut self, now: Instant, owner: NodeId) {
        if self.suspected.remove(&owner).is_some() && self.trusted.len() < SUSPECTS_MAX {
            self.trusted.insert(owner, now + TRUST);
        }
    }

    fn expire(&mut self, now: Instant) {
        // By then nothing is left of what it had registered before.
        self.suspected.retain(|_, since| now - *since < TTL_MAX);
        self.trusted.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_answers_is_served_again_and_trusted_for_a_while() {
        let mut suspects = Suspects::default();
        let owner = NodeId([1; 32]);
        let now = Instant::ZERO;
        assert!(suspects.suspect(now, owner));
        assert!(!suspects.suspect(now, owner), "it is asked once");
        assert!(suspects.contains(owner));
        suspects.heard(now, owner);
        assert!(!suspects.contains(owner));
        assert!(!suspects.suspect(now, owner), "it was just there");
        assert!(suspects.suspect(now + TRUST, owner));
    }

    #[test]
    fn more_than_can_be_kept_are_not_suspected() {
        let mut suspects = Suspects::default();
        for n in 0..2000u16 {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&n.to_le_bytes());
            suspects.suspect(Instant::ZERO, NodeId(id));
        }
        assert_eq!(suspects.suspected.len(), SUSPECTS_MAX);
    }
}
