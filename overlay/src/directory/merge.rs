//! What several holders answered, made one.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Coordinate, Entry, Key, NodeId, Rng};

use crate::identity;
use crate::message::Held;
use crate::sample;
use crate::store::{ENTRIES_PER_KEY_MAX, Refusal};

/// The most owners and slots that are merged: what honest holders that differ may hold. Unit: entries.
const MERGED_MAX: usize = 2 * ENTRIES_PER_KEY_MAX;

/// Entries under one key: of each owner and slot the one of the highest version, each genuine.
#[derive(Debug)]
pub struct Merged {
    key: Key,
    entries: BTreeMap<(NodeId, u64), Arc<Entry>>,
}

impl Merged {
    /// Nothing yet, under this key.
    pub const fn new(key: Key) -> Self {
        Self {
            key,
            entries: BTreeMap::new(),
        }
    }

    /// Takes in what a holder answered. A signature is checked only where an entry is new, so once in general.
    ///
    /// # Errors
    /// Why it was not taken; nothing was changed then.
    pub fn add(&mut self, held: Held) -> Result<(), Refusal> {
        let entry = held.entry;
        if held.age >= entry.ttl {
            return Err(Refusal::Expired);
        }
        let name = (entry.owner, entry.slot);
        let there = self.entries.get(&name);
        if there.is_some_and(|there| there.version >= entry.version) {
            return Ok(());
        }
        if there.is_none() && self.entries.len() >= MERGED_MAX {
            return Err(Refusal::KeyFull);
        }
        if entry.key != self.key || !identity::is_genuine(&entry) {
            return Err(Refusal::Forged);
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    /// What is there, withdrawn entries left out, in order of owners and slots.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.into_shared().map(Arc::unwrap_or_clone)
    }

    fn into_shared(self) -> impl Iterator<Item = Arc<Entry>> {
        let is_there = |entry: &Arc<Entry>| entry.payload.is_some();
        self.entries.into_values().filter(is_there)
    }

    /// At most `count` of what is there.
    pub fn into_sample(self, near: Option<&Coordinate>, count: usize, rng: &mut Rng) -> Vec<Entry> {
        let mut entries: Vec<Arc<Entry>> = self.into_shared().collect();
        if entries.len() > count {
            entries = sample::sample(entries, count, |entry| sample::weight(entry, near), rng);
        }
        entries.into_iter().map(Arc::unwrap_or_clone).collect()
    }
}
