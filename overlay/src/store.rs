//! The holder's side: the entries for which this node is one of the closest.
//!
//! A key holds a set of entries, told apart by owner and slot. An entry comes in over its owner's own connection, or
//! by another holder's hand-over; either way its signature is checked, and of two the one with the higher version
//! stands. It lives for its `ttl` by the clock of the holder, less the time that other holders had it. What was
//! withdrawn is an entry too, without a payload: it lives as long, so that an older version does not come back
//! from a holder that missed it.
//!
//! When an entry ends, its version is remembered for a while in a *grave*, so that nobody revives what its owner
//! no longer renews by handing over what it kept of it.
//!
//! Everything is bounded, and what is there is never pushed out by what comes: a flood of newcomers is refused,
//! while owners that are there go on renewing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Coordinate, Entry, Instant, Key, NodeId, Rng};

use crate::distance::Place;
use crate::identity;
use crate::message::{ENTRIES_BYTES_MAX, ENTRIES_MAX, Held};
use crate::sample;

mod suspects;
#[cfg(test)]
mod tests;

pub(crate) use suspects::Suspects;

/// The most entries under one key. Unit: entries. Source: design.
pub(crate) const ENTRIES_PER_KEY_MAX: usize = 1024;

/// The most entries of one owner under one key. Unit: entries. Source: design.
pub(crate) const ENTRIES_PER_OWNER_AND_KEY_MAX: usize = 64;

/// What all entries may take. Unit: bytes. Range: a small part of the 30 MiB that an idle node may take.
/// Source: guess.
pub(crate) const BYTES_MAX: usize = 8 << 20;

/// What the entries of one owner may take. Unit: bytes. Range: below [`BYTES_MAX`]. Source: guess.
pub(crate) const OWNER_BYTES_MAX: usize = 2 << 20;

/// What an entry takes besides its payload and its addresses. Unit: bytes. Source: the size of its parts, and of the maps
/// that it is in.
const ENTRY_BYTES: usize = 512;

/// How long the version of an entry that ended is remembered, and of how many. Units: time, entries.
/// Source: guess; whoever kept an entry for longer than this can bring it back once.
const GRAVE_TTL: Duration = Duration::from_secs(600);
/// See [`GRAVE_TTL`].
const GRAVES_MAX: usize = 4096;

/// How many withdrawn entries go along with a sample. Unit: entries. Source: guess.
const WITHDRAWN_PER_ANSWER_MAX: usize = 64;

const _: () = assert!(OWNER_BYTES_MAX < BYTES_MAX);
const _: () = assert!(ENTRIES_PER_OWNER_AND_KEY_MAX < ENTRIES_PER_KEY_MAX);

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It came over the connection of somebody else.
    NotTheOwner,
    /// Its owner did not sign it.
    Forged,
    /// The same or a higher version is known.
    Old,
    /// It had ended when it came.
    Expired,
    /// There are too many under its key.
    KeyFull,
    /// There are too many of its owner.
    OwnerFull,
    /// There are too many.
    StoreFull,
}

impl Refusal {
    /// What it is counted as.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotTheOwner => "entry not from its owner",
            Self::Forged => "entry forged",
            Self::Old => "entry old",
            Self::Expired => "entry expired",
            Self::KeyFull => "entries of a key too many",
            Self::OwnerFull => "entries of an owner too many",
            Self::StoreFull => "entries too many",
        }
    }
}

/// Whose entry, under which key.
type Name = (Key, NodeId, u64);

#[derive(Debug)]
struct Record {
    /// Never changed, so that an answer that tells of it copies nothing.
    entry: Arc<Entry>,
    /// When it came, and how old it was then.
    kept: Instant,
    age: Duration,
    ends: Instant,
}

impl Record {
    fn held(&self, now: Instant) -> Held {
        Held {
            entry: Arc::clone(&self.entry),
            age: self.age + (now - self.kept),
        }
    }
}

/// What lies under a key: a few entries as a rule, so that a list is smaller and faster than a map.
#[derive(Debug)]
struct Shelf {
    place: Place,
    /// In order of owners and slots.
    records: Vec<Record>,
    /// When the first of them ends.
    ends: Instant,
}

impl Shelf {
    /// Where the entry of an owner and a slot is, or would be.
    fn search(&self, owner: NodeId, slot: u64) -> Result<usize, usize> {
        self.records
            .binary_search_by_key(&(owner, slot), |it| (it.entry.owner, it.entry.slot))
    }

    fn insert(&mut self, at: usize, record: Record) {
        if self.records.len() == self.records.capacity() {
            // Room for a quarter more, not for as many again: most keys gain no entry after the first few.
            self.records.reserve_exact(1 + self.records.len() / 4);
        }
        self.records.insert(at, record);
    }
}

/// The entries that this node holds.
#[derive(Debug, Default)]
pub(crate) struct Store {
    shelves: BTreeMap<Key, Shelf>,
    entry_count: usize,
    /// What the entries of each owner take.
    owners: BTreeMap<NodeId, usize>,
    bytes: usize,
    /// The versions of what ended.
    graves: BTreeMap<Name, (u64, Instant)>,
    /// When the first record of each key ends, and when each grave does.
    ends: BTreeSet<(Instant, Key)>,
    grave_ends: BTreeSet<(Instant, Name)>,
}

impl Store {
    /// Keeps an entry that came over the connection of `from`.
    ///
    /// The version that is there already is kept where it is the same entry: its owner did not hear that it is.
    pub(crate) fn keep(
        &mut self,
        now: Instant,
        from: NodeId,
        entry: Arc<Entry>,
    ) -> Result<(), Refusal> {
        if from != entry.owner {
            return Err(Refusal::NotTheOwner);
        }
        let name = (entry.key, entry.owner, entry.slot);
        if let Some(there) = self.record(&name)
            && there.entry == entry
            && there.ends > now
        {
            return Ok(());
        }
        self.take(now, Duration::ZERO, entry)
    }

    /// Takes an entry that another holder hands over.
    pub(crate) fn take_over(&mut self, now: Instant, held: Held) -> Result<(), Refusal> {
        let name = (held.entry.key, held.entry.owner, held.entry.slot);
        if let Some(there) = self.record(&name)
            && there.entry == held.entry
        {
            // What this node saw counts: nobody makes it shorter or longer.
            return Ok(());
        }
        self.take(now, held.age, held.entry)
    }

    fn take(&mut self, now: Instant, age: Duration, entry: Arc<Entry>) -> Result<(), Refusal> {
        self.expire(now);
        let name = (entry.key, entry.owner, entry.slot);
        let life = entry.ttl.checked_sub(age).unwrap_or_default();
        if life.is_zero() {
            return Err(Refusal::Expired);
        }
        let there = self.record(&name).map(|record| &*record.entry);
        let grave = self.graves.get(&name).map(|(version, _)| *version);
        if grave.max(there.map(|entry| entry.version)) >= Some(entry.version) {
            return Err(Refusal::Old);
        }
        self.check_room(&entry, there)?;
        if !identity::is_genuine(&entry) {
            return Err(Refusal::Forged);
        }
        self.remove(&name);
        self.put(Record {
            entry,
            kept: now,
            age,
            ends: now + life,
        });
        Ok(())
    }

    fn check_room(&self, entry: &Entry, there: Option<&Entry>) -> Result<(), Refusal> {
        if there.is_none() {
            if self.records_of(entry.key).len() >= ENTRIES_PER_KEY_MAX {
                return Err(Refusal::KeyFull);
            }
            let of_key = self.records_of(entry.key).iter();
            let of_owner = of_key.filter(|record| record.entry.owner == entry.owner);
            if of_owner.count() >= ENTRIES_PER_OWNER_AND_KEY_MAX {
                return Err(Refusal::OwnerFull);
            }
        }
        let more = bytes(entry).saturating_sub(there.map_or(0, bytes));
        if self.owners.get(&entry.owner).unwrap_or(&0) + more > OWNER_BYTES_MAX {
            return Err(Refusal::OwnerFull);
        }
        if self.bytes + more > BYTES_MAX {
            return Err(Refusal::StoreFull);
        }
        Ok(())
    }

    fn put(&mut self, record: Record) {
        let entry = &record.entry;
        let name = (entry.key, entry.owner, entry.slot);
        let size = bytes(entry);
        self.bytes += size;
        *self.owners.entry(entry.owner).or_default() += size;
        if let Some((_, ends)) = self.graves.remove(&name) {
            self.grave_ends.remove(&(ends, name));
        }
        let empty = || Shelf {
            place: Place::of_key(name.0),
            records: Vec::new(),
            ends: record.ends,
        };
        let shelf = self.shelves.entry(name.0).or_insert_with(empty);
        let (Ok(at) | Err(at)) = shelf.search(name.1, name.2);
        shelf.insert(at, record);
        self.entry_count += 1;
        self.follow_ends(name.0);
        assert!(self.bytes <= BYTES_MAX, "room was checked");
    }

    /// Some entry came to lie under a key, or went.
    fn follow_ends(&mut self, key: Key) {
        let Some(shelf) = self.shelves.get_mut(&key) else {
            return;
        };
        self.ends.remove(&(shelf.ends, key));
        match shelf.records.iter().map(|record| record.ends).min() {
            Some(first) => {
                shelf.ends = first;
                self.ends.insert((first, key));
            }
            None => {
                self.shelves.remove(&key);
            }
        }
    }

    fn remove(&mut self, name: &Name) -> Option<Record> {
        let shelf = self.shelves.get_mut(&name.0)?;
        let at = shelf.search(name.1, name.2).ok()?;
        let record = shelf.records.remove(at);
        self.entry_count -= 1;
        self.follow_ends(name.0);
        let size = bytes(&record.entry);
        self.bytes -= size;
        if let Some(of_owner) = self.owners.get_mut(&name.1) {
            *of_owner -= size;
            if *of_owner == 0 {
                self.owners.remove(&name.1);
            }
        }
        Some(record)
    }

    /// Lets go of what has ended.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((ends, key)) = self.ends.first().copied()
            && ends <= now
        {
            let ended = self.records_of(key).iter().find(|it| it.ends <= now);
            let ended = ended.expect("what ends is there");
            let name = (key, ended.entry.owner, ended.entry.slot);
            let record = self.remove(&name).expect("it was just found");
            let ends = now + GRAVE_TTL;
            self.graves.insert(name, (record.entry.version, ends));
            self.grave_ends.insert((ends, name));
        }
        while let Some((ends, name)) = self.grave_ends.first().copied()
            && (ends <= now || self.graves.len() > GRAVES_MAX)
        {
            self.grave_ends.remove(&(ends, name));
            self.graves.remove(&name);
        }
    }

    /// When something ends next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// A sample of what lies under a key, the withdrawn entries of owners that are trusted along with it.
    pub(crate) fn find(
        &self,
        now: Instant,
        key: Key,
        near: Option<&Coordinate>,
        count: usize,
        suspects: &Suspects,
        rng: &mut Rng,
    ) -> Vec<Held> {
        let live = |record: &&Record| record.ends > now && !suspects.contains(record.entry.owner);
        let (there, withdrawn): (Vec<_>, Vec<_>) = self
            .records_of(key)
            .iter()
            .filter(live)
            .partition(|record| record.entry.payload.is_some());
        let weight = |record: &&Record| sample::weight(&record.entry, near);
        let count = count.min(ENTRIES_MAX - WITHDRAWN_PER_ANSWER_MAX);
        let mut room = ENTRIES_BYTES_MAX;
        sample::sample(there, count, weight, rng)
            .into_iter()
            .chain(withdrawn.into_iter().take(WITHDRAWN_PER_ANSWER_MAX))
            .take_while(|record| take_room(&mut room, &record.entry))
            .map(|record| record.held(now))
            .collect()
    }

    /// What lies under a key after this owner and slot, as much as fits a message, and whether there is more.
    pub(crate) fn page(
        &self,
        now: Instant,
        key: Key,
        after: Option<(NodeId, u64)>,
        suspects: &Suspects,
    ) -> (Vec<Held>, bool) {
        let mut room = ENTRIES_BYTES_MAX;
        let mut page = Vec::new();
        let is_wanted = |record: &&Record| {
            record.ends > now
                && !suspects.contains(record.entry.owner)
                && after < Some((record.entry.owner, record.entry.slot))
        };
        for record in self.records_of(key).iter().filter(is_wanted) {
            if page.len() == ENTRIES_MAX || !take_room(&mut room, &record.entry) {
                return (page, true);
            }
            page.push(record.held(now));
        }
        (page, false)
    }

    /// Everything under a key, in parts that fit a message.
    pub(crate) fn all(&self, now: Instant, key: Key) -> Vec<Vec<Held>> {
        let mut parts = Vec::new();
        let mut after = None;
        loop {
            let (page, has_more) = self.page(now, key, after, &Suspects::default());
            after = page.last().map(|held| (held.entry.owner, held.entry.slot));
            if !page.is_empty() {
                parts.push(page);
            }
            if !has_more {
                return parts;
            }
        }
    }

    fn record(&self, (key, owner, slot): &Name) -> Option<&Record> {
        let shelf = self.shelves.get(key)?;
        let at = shelf.search(*owner, *slot).ok()?;
        Some(&shelf.records[at])
    }

    fn records_of(&self, key: Key) -> &[Record] {
        self.shelves.get(&key).map_or(&[], |shelf| &shelf.records)
    }

    /// The keys under which something lies, and where they are.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (Key, Place)> {
        self.shelves.iter().map(|(key, shelf)| (*key, shelf.place))
    }

    /// Whether something of this owner lies here.
    pub(crate) fn has_owner(&self, owner: NodeId) -> bool {
        self.owners.contains_key(&owner)
    }

    /// Where an owner is reached, as its latest entry here says.
    pub(crate) fn addresses(&self, owner: NodeId) -> Vec<String> {
        let of_owner = |record: &&Record| record.entry.owner == owner;
        let records = self.shelves.values().flat_map(|shelf| &shelf.records);
        let latest = records
            .filter(of_owner)
            .max_by_key(|record| record.entry.version);
        latest.map_or_else(Vec::new, |record| record.entry.addresses.clone())
    }

    /// How many entries there are.
    pub(crate) fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// How many keys there are.
    pub(crate) fn key_count(&self) -> usize {
        self.shelves.len()
    }
}

/// What an entry takes, here and on the wire: at least as much as either.
fn bytes(entry: &Entry) -> usize {
    let addresses: usize = entry.addresses.iter().map(String::len).sum();
    ENTRY_BYTES + addresses + entry.payload.as_ref().map_or(0, Vec::len)
}

fn take_room(room: &mut usize, entry: &Entry) -> bool {
    let rest = room.checked_sub(bytes(entry));
    if let Some(rest) = rest {
        *room = rest;
    }
    rest.is_some()
}
