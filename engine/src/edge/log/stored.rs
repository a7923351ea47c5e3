//! What of the retained batches lies in a storage, for who is too far behind for the memory.
//!
//! These are always the oldest entries: who is behind reads them in order.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use model::{EventTime, Instant, Interval, convert};

use super::{Entry, Log, Mark, Place};
use crate::batch::{Batch, Header, Rows};
use crate::edge::storage::{Former, Order};

/// What lies in the storage.
#[derive(Debug)]
pub(super) struct Stored {
    /// The number behind the last entry that does.
    end: u64,
    bytes: u64,
    /// How many rows of the entries before that were there, or known to be missing, since the first that was stored.
    told: u64,
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
        told: 0,
        dropped: Vec::new(),
    };
}

impl Entry {
    /// The place behind it.
    pub(super) fn end(&self) -> Mark {
        Mark {
            index: self.batch.header.interval.through(),
            progress: self.batch.header.progress,
            due: self.due,
        }
    }

    /// Its rows, or where they are.
    pub(in crate::edge) const fn fetch(&self) -> Fetched<'_> {
        match &self.place {
            Place::Here => Fetched::Here(&self.batch),
            Place::Writing(_, batch) | Place::Stored(_, Some(batch)) => Fetched::Here(batch),
            Place::Stored(number, None) => Fetched::Stored(*number),
            Place::Lost => Fetched::Lost,
        }
    }

    /// What was appended, with its rows as long as they are not in the storage alone.
    pub(super) const fn whole(&self) -> &Arc<Batch> {
        match &self.place {
            Place::Writing(_, batch) => batch,
            Place::Here | Place::Stored(..) | Place::Lost => &self.batch,
        }
    }
}

impl Log {
    /// How many of the oldest entries lie in the storage.
    pub(super) fn stored_count(&self) -> usize {
        convert::index(self.stored.end.saturating_sub(self.first))
    }

    /// How many of the oldest entries are in the storage and nowhere else: what is being written is here as well.
    pub(super) fn written_count(&self) -> usize {
        let stored = self.stored_count();
        let entries = self.entries.range(..stored).rev();
        let is_here = |entry: &&Entry| matches!(entry.place, Place::Here | Place::Writing(..));
        stored - entries.take_while(is_here).count()
    }

    /// How many bytes lie in the storage.
    pub(in crate::edge) const fn stored_bytes(&self) -> u64 {
        self.stored.bytes
    }

    /// Up to where nothing is to be had from memory.
    pub(super) fn released_from_memory(&self) -> Mark {
        let stored = self.entries.range(..self.written_count());
        stored.fold(self.released, |before, entry| {
            let end = entry.end();
            let progress = end.progress.max(before.progress);
            Mark { progress, ..end }
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

    /// Lets the oldest entry that is in memory go to the storage by a number; gives the order, and how many bytes that frees once it is
    /// written. One without rows stays as it is.
    pub(in crate::edge) fn store(&mut self, number: u64) -> Option<(Order, u64)> {
        let place = self.stored_count();
        let entry = self.entries.get_mut(place)?;
        self.stored.end = self.first + convert::size(place) + 1;
        let told = self.stored.told;
        let missing = u64::from(entry.batch.header.missing);
        self.stored.told = told.saturating_add(entry.rows).saturating_add(missing);
        if entry.rows == 0 {
            return None;
        }
        let schema: SchemaRef = entry.batch.rows.columns().schema();
        let without_rows = Batch {
            header: entry.batch.header.clone(),
            rows: Rows::empty(schema),
        };
        let batch = std::mem::replace(&mut entry.batch, Arc::new(without_rows));
        entry.place = Place::Writing(number, Arc::clone(&batch));
        self.stored.bytes += entry.bytes;
        Some((Order::Write(number, told, batch), entry.bytes))
    }

    /// What was stored by a number is on the disk, and here no more.
    pub(in crate::edge) fn written(&mut self, number: u64) {
        let stored = self.stored_count();
        let mut latest = self.entries.range_mut(..stored).rev();
        let entry = latest.find(|it| matches!(it.place, Place::Writing(of, _) if of == number));
        if let Some(entry) = entry {
            entry.place = Place::Stored(number, None);
        }
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
            Place::Writing(number, _) | Place::Stored(number, _) => {
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
            Place::Writing(number, _) | Place::Stored(number, _) => Some(number),
            Place::Here | Place::Lost => None,
        }));
        numbers
    }

    /// Puts before all that is here, which nobody has read yet, what the storage has of it since another process, by rising numbers: what
    /// lies behind its beginning here is known, and dropped. What lacks in between is told as missing, as many rows as are known of.
    #[must_use]
    pub(in crate::edge) fn behind_former(
        mut self,
        former: Vec<(u64, Former)>,
        schema: &SchemaRef,
    ) -> Self {
        let begin = self.released.index;
        let is_wanted = |(_, former): &(u64, Former)| former.header.interval.through() <= begin;
        let (wanted, known): (Vec<_>, Vec<_>) = former.into_iter().partition(is_wanted);
        let dropped = known.into_iter().map(|(number, _)| number);
        let Some((_, first)) = wanted.first() else {
            self.stored.dropped.extend(dropped);
            return self;
        };
        let mut log = Self::released_to(Mark {
            index: first.header.interval.after(),
            progress: EventTime::MIN,
            due: self.released.due,
        });
        log.stored.dropped.extend(dropped);
        log.stored.told = first.told;
        let last = wanted.last().map(|(_, last)| last.header.clone());
        for (number, former) in wanted {
            let interval = former.header.interval;
            if interval.after() < log.through() {
                // Written twice, by processes after one another.
                log.stored.dropped.push(number);
                continue;
            }
            let lost = former.told.saturating_sub(log.stored.told);
            log.push_lost(interval.after(), lost, &former.header, schema);
            log.stored.told = former.told_behind();
            log.stored.bytes += former.bytes;
            log.push(
                Place::Stored(number, None),
                former.header,
                (former.rows, former.bytes),
                schema,
            );
        }
        if let Some(last) = last.filter(|_| log.through() < begin) {
            // Nobody knows how many.
            log.push_lost(begin, 1, &last, schema);
            log.stored.told += 1;
        }
        log.stored.end = log.end();
        (log.progress, log.due) = (self.progress, self.due);
        for entry in std::mem::take(&mut self.entries) {
            let (before, rows_before) = (log.bytes, log.rows);
            log.bytes += entry.bytes;
            log.rows += entry.rows;
            log.entries.push_back(Entry {
                before,
                rows_before,
                ..entry
            });
        }
        log
    }

    /// Up to an index lie so many rows that are nowhere.
    fn push_lost(&mut self, through: u64, rows: u64, like: &Header, schema: &SchemaRef) {
        if self.through() < through || rows > 0 {
            let header = Header {
                interval: Interval::new(self.through(), through),
                missing: 0,
                note: None,
                // Nothing is known of it.
                progress: EventTime::MIN,
                ..like.clone()
            };
            let place = if rows > 0 { Place::Lost } else { Place::Here };
            self.push(place, header, (rows, 0), schema);
        }
    }

    fn push(
        &mut self,
        place: Place,
        header: Header,
        (rows, bytes): (u64, u64),
        schema: &SchemaRef,
    ) {
        self.entries.push_back(Entry {
            batch: Arc::new(Batch {
                header,
                rows: Rows::empty(schema.clone()),
            }),
            place,
            rows,
            before: self.bytes,
            bytes,
            rows_before: self.rows,
            // No less than what rows up to here were due at.
            due: self.due,
        });
        self.bytes += bytes;
        self.rows += rows;
    }
}
