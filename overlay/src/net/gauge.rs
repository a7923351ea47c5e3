//! Counts that tasks share: what was refused, how many streams a peer has, and how much was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What peers sent and was refused, by reason. The reasons are constants of this program.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Refused {
    pub(super) fn count(&self, reason: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reason).or_default() += 1;
        tracing::debug!(reason, "refused");
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// How many bytes of data streams were sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<AtomicU64>);

impl Sent {
    pub(super) fn add(&self, bytes: usize) {
        self.0
            .fetch_add(model::convert::size(bytes), Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are of something that has a bound.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<AtomicUsize>);

impl Places {
    /// Takes a place, where fewer than `bound` are taken.
    pub(super) fn hold(&self, bound: usize) -> Option<Held> {
        let more = |count| (count < bound).then_some(count + 1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Held(self.clone()))
    }

    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A place that is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Held(Places);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::default();
        let first = places.hold(2).expect("a place");
        let second = places.hold(2).expect("a place");
        assert!(places.hold(2).is_none());
        drop(first);
        assert_eq!(places.taken(), 1);
        assert!(places.hold(2).is_some());
        drop(second);
        assert_eq!(places.taken(), 0);
    }
}
