//! The keys that are remembered, each with the tick that it was last seen in.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::{IndexMap, IndexSet};

/// Keys of one tick, in the order in which they came.
type Keys = IndexSet<Arc<[u8]>, FixedState>;

/// The keys of closed ticks.
#[derive(Debug)]
pub(super) struct Memory {
    /// The tick that each was last seen in.
    seen: IndexMap<Arc<[u8]>, i64, FixedState>,
    /// The same by tick: what is forgotten together and exported together.
    ticks: BTreeMap<i64, Keys>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            seen: IndexMap::with_hasher(FixedState::with_seed(0)),
            ticks: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl Memory {
    /// The memory that all keys hold, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A row of a key counts in a tick: whether the key was not known.
    pub(super) fn remember(&mut self, key: &[u8], tick: i64) -> bool {
        let (key, before) = match self.seen.get_key_value(key) {
            // What is known of later ticks stays: state of several ticks comes in any order.
            Some((_, before)) if *before >= tick => return false,
            Some((key, before)) => (Arc::clone(key), Some(*before)),
            None => {
                self.bytes += key.len() + ENTRY_BYTES;
                (Arc::from(key), None)
            }
        };
        if let Some(before) = before {
            self.leave(&key, before);
        }
        self.ticks
            .entry(tick)
            .or_insert_with(|| IndexSet::with_hasher(FixedState::with_seed(0)))
            .insert(Arc::clone(&key));
        self.seen.insert(key, tick);
        before.is_none()
    }

    /// Forgets the keys that were last seen in a tick up to this one.
    pub(super) fn forget_through(&mut self, tick: i64) {
        while let Some(entry) = self.ticks.first_entry()
            && *entry.key() <= tick
        {
            for key in entry.remove() {
                self.bytes -= key.len() + ENTRY_BYTES;
                self.seen.swap_remove(&key);
            }
        }
    }

    /// The keys that were last seen after a tick, by the tick they were seen in.
    pub(super) fn since(&self, tick: i64) -> impl Iterator<Item = (i64, Vec<&[u8]>)> + '_ {
        let later = self.ticks.range(tick.saturating_add(1)..);
        later.map(|(tick, keys)| (*tick, keys.iter().map(|key| &**key).collect()))
    }

    /// The first tick behind this one in which keys were last seen, and those; a key that leaves is replaced by the last.
    pub(super) fn next_behind(&self, tick: i64) -> Option<(i64, &Keys)> {
        let mut later = self.ticks.range(tick.saturating_add(1)..);
        later.next().map(|(tick, keys)| (*tick, keys))
    }

    fn leave(&mut self, key: &Arc<[u8]>, tick: i64) {
        if let Some(keys) = self.ticks.get_mut(&tick) {
            keys.swap_remove(key);
            if keys.is_empty() {
                self.ticks.remove(&tick);
            }
        }
    }
}

/// What a key costs beside its own bytes: its counts of references, and an entry of a map and of a set.
///
/// Unit: bytes. Source: the layouts of both on a 64-bit machine.
const ENTRY_BYTES: usize = 2 * size_of::<usize>()
    + size_of::<(Arc<[u8]>, i64)>()
    + size_of::<Arc<[u8]>>()
    + 4 * size_of::<usize>();
