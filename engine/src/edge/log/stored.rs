//! What of the retained batches lies in a storage, for who is too far behind for the memory.
//!
//! These are always the oldest entries: who is behind reads them in order.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use model::{EventTime, Instant, convert};

use super::{Entry, Log, Place};
use crate::batch::{Batch, Rows};

/// What lies in the storage.
#[derive(Debug)]
pub(super) struct Stored {
    /// The number behind the last entry that does.
    end: u64,
    bytes: u64,
    /// What the storage need not keep any more.
    dropped: Vec<u64>,
}

/// The rows of an entry.
#[derive(Debug)]
pub(in crate::edge) enum Fetched<'a> {
    Here(&'a Arc<Batch>),
    /// To be had of the storage by this number.
    Stored(u64),
    Lost,
}

impl Stored {
    pub(super) const NOTHING: Self = Self {
        end: 0,
        bytes: 0,
        dropped: Vec::new(),
    };
}

impl Entry {
    /// Its rows, or where they are.
    pub(in crate::edge) const fn fetch(&self) -> Fetched<'_> {
        match &self.place {
            Place::Here => Fetched::Here(&self.batch),
            Place::Stored(_, Some(batch)) => Fetched::Here(batch),
            Place::Stored(number, None) => Fetched::Stored(*number),
            Place::Lost => Fetched::Lost,
        }
    }
}

impl Log {
    /// How many of the oldest entries lie in the storage.
    pub(super) fn stored_count(&self) -> usize {
        convert::index(self.stored.end.saturating_sub(self.first))
    }

    /// How many bytes lie in the storage.
    pub(in crate::edge) const fn stored_bytes(&self) -> u64 {
        self.stored.bytes
    }

    /// Up to where nothing is to be had from memory, and the progress there.
    pub(super) fn released_from_memory(&self) -> (u64, EventTime) {
        let released = (self.released.index, self.released.progress);
        let stored = self.entries.range(..self.stored_count());
        stored.fold(released, |(_, progress), entry| {
            let header = &entry.batch.header;
            (header.interval.through(), header.progress.max(progress))
        })
    }

    /// When the oldest entry that is in memory arrived at its source, where it may go to the storage: where somebody has all up to
    /// `kept`, and it is not the last.
    pub(in crate::edge) fn storable(&self, kept: u64) -> Option<Instant> {
        let place = self.stored_count();
        let header = &self.entries.get(place)?.batch.header;
        let may_go = header.interval.through() <= kept && place + 1 < self.entries.len();
        may_go.then_some(header.arrival)
    }

    /// Lets the oldest entry that is in memory go to the storage by a number; gives it, and how many bytes that frees. One without rows
    /// stays as it is.
    pub(in crate::edge) fn store(&mut self, number: u64) -> Option<(Arc<Batch>, u64)> {
        let place = self.stored_count();
        let entry = self.entries.get_mut(place)?;
        self.stored.end = self.first + convert::size(place) + 1;
        if entry.rows == 0 {
            return None;
        }
        let schema: SchemaRef = entry.batch.rows.columns().schema();
        let without_rows = Batch {
            header: entry.batch.header.clone(),
            rows: Rows::empty(schema),
        };
        let batch = std::mem::replace(&mut entry.batch, Arc::new(without_rows));
        entry.place = Place::Stored(number, None);
        self.stored.bytes += entry.bytes;
        Some((batch, entry.bytes))
    }

    /// The storage gives what it has by a number, or says that it has it no more; and for a moment it is here. Says whether the number is
    /// of this log.
    pub(in crate::edge) fn fetched(&mut self, number: u64, batch: Option<Arc<Batch>>) -> bool {
        let stored = self.stored_count();
        let mut entries = self.entries.range_mut(..stored);
        let entry = entries.find(|it| matches!(it.place, Place::Stored(of, _) if of == number));
        let Some(entry) = entry else {
            return false;
        };
        entry.place = match batch {
            Some(batch) => Place::Stored(number, Some(batch)),
            None => {
                self.stored.bytes -= entry.bytes;
                Place::Lost
            }
        };
        true
    }

    /// What was fetched is here no more.
    pub(in crate::edge) fn put_back(&mut self, number: u64) {
        let stored = self.stored_count();
        for entry in self.entries.range_mut(..stored) {
            if let Place::Stored(of, batch) = &mut entry.place
                && *of == number
            {
                *batch = None;
            }
        }
    }

    /// Takes the numbers of what the storage need not keep any more.
    pub(in crate::edge) fn take_dropped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stored.dropped)
    }

    /// An entry has been released; says how many bytes of memory that were.
    pub(super) fn forget(&mut self, entry: &Entry) -> u64 {
        match entry.place {
            Place::Here => entry.bytes,
            Place::Stored(number, _) => {
                self.stored.bytes -= entry.bytes;
                self.stored.dropped.push(number);
                0
            }
            Place::Lost => 0,
        }
    }

    /// Nothing of it is wanted any more: the numbers of all that lies in the storage.
    pub(in crate::edge) fn all_stored(&mut self) -> Vec<u64> {
        let mut numbers = self.take_dropped();
        let stored = self.entries.range(..self.stored_count());
        numbers.extend(stored.filter_map(|entry| match entry.place {
            Place::Stored(number, _) => Some(number),
            Place::Here | Place::Lost => None,
        }));
        numbers
    }
}
