//! What was refused or dropped, by reason.

use std::collections::BTreeMap;

/// Counts by reason. Reasons are words of this program, so that no remote makes the map grow.
#[derive(Debug, Default)]
pub(super) struct Counts {
    counts: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// One more.
    pub(super) fn add(&mut self, reason: &'static str) {
        *self.counts.entry(reason).or_default() += 1;
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(reason, count)| (*reason, *count))
    }
}
