//! Deployments that are under way on threads that may block.

use std::collections::BTreeMap;

use model::CompositionId;

/// The deployments that are being prepared: of each composition the one that is wanted.
///
/// A composition may be deployed, retired and deployed again before the first of them is ready, and they may be ready
/// in any order.
#[derive(Debug, Default)]
pub(super) struct Preparing {
    next: u64,
    wanted: BTreeMap<CompositionId, u64>,
}

impl Preparing {
    /// One begins; gives its number.
    pub(super) fn begin(&mut self, id: CompositionId) -> u64 {
        self.next += 1;
        self.wanted.insert(id, self.next);
        self.next
    }

    /// Whether one is.
    pub(super) fn is_under_way(&self, id: CompositionId) -> bool {
        self.wanted.contains_key(&id)
    }

    /// Whether this one is, and is wanted.
    pub(super) fn is_wanted(&self, id: CompositionId, number: u64) -> bool {
        self.wanted.get(&id) == Some(&number)
    }

    /// The one that is under way is not wanted any more; says whether there was one.
    pub(super) fn drop(&mut self, id: CompositionId) -> bool {
        self.wanted.remove(&id).is_some()
    }

    /// One is ready; says whether it is wanted.
    pub(super) fn finish(&mut self, id: CompositionId, number: u64) -> bool {
        let is_wanted = self.is_wanted(id, number);
        if is_wanted {
            self.wanted.remove(&id);
        }
        is_wanted
    }
}

#[cfg(test)]
mod tests {
    use model::NodeId;

    use super::*;

    #[test]
    fn of_the_preparations_of_a_composition_the_last_is_wanted_in_whichever_order_they_end() {
        let id = CompositionId {
            node: NodeId([1; 32]),
            number: 1,
        };
        let mut preparing = Preparing::default();
        let first = preparing.begin(id);
        assert!(preparing.drop(id), "it is answered when it is dropped");
        assert!(!preparing.drop(id), "and once");
        let second = preparing.begin(id);
        assert!(!preparing.finish(id, first));
        assert!(preparing.finish(id, second));
        assert!(!preparing.finish(id, second));
    }
}
