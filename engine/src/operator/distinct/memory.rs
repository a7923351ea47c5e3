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
    /// The last tick of which all keys were told in the export that is under way, and a later one with how many of its first keys were not.
    told: i64,
    left: Option<(i64, usize)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            seen: IndexMap::with_hasher(FixedState::with_seed(0)),
            ticks: BTreeMap::new(),
            bytes: 0,
            told: i64::MIN,
            left: None,
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

    /// Begins an export of the keys that were last seen behind a tick.
    pub(super) const fn begin_export(&mut self, tick: i64) {
        (self.told, self.left) = (tick, None);
    }

    /// Some keys that were last seen in one tick, of about so many bytes, and which tick that is; nothing where all were told.
    ///
    /// Those of a tick leave from the last to the first: a key that is seen anew, and so leaves its tick, lets the last one take its place, which went then.
    pub(super) fn tell(&mut self, bytes_max: usize) -> Option<(i64, impl Iterator<Item = &[u8]>)> {
        let (tick, keys) = self.ticks.range(self.told.saturating_add(1)..).next()?;
        let left = self.left.take().filter(|(known, _)| known == tick);
        let left = left.map_or(keys.len(), |(_, left)| left.min(keys.len()));
        let (mut from, mut bytes) = (left, 0);
        while from > 0 && bytes < bytes_max {
            from -= 1;
            bytes += keys[from].len() + size_of::<i32>();
        }
        match from {
            0 => self.told = *tick,
            left => self.left = Some((*tick, left)),
        }
        Some((*tick, (from..left).map(|place| &*keys[place])))
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
