//! What a producer retains of one origin.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{EventTime, Instant, Origin, convert};

use super::retained::Retained;
use crate::batch::{Batch, Header, Note};
use crate::step;

mod stored;

pub(super) use stored::Fetched;
use stored::Stored;

/// A place in an origin: an index, and what is known of the rows up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The last index before it.
    pub index: u64,
    /// How far the origin is there.
    pub progress: EventTime,
    /// Up to when rows before it were due: where they come out of order that is behind the progress. The least time where nobody knows.
    pub due: EventTime,
}

impl Mark {
    /// Where an origin begins.
    pub const BEGINNING: Self = Self {
        index: 0,
        progress: EventTime::MIN,
        due: EventTime::MIN,
    };
}

/// The retained batches of one origin, and how far it is.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the first entry; entries are numbered as they are appended.
    first: u64,
    /// Up to where entries were released.
    released: Mark,
    /// The bytes of all entries that were ever appended.
    bytes: u64,
    /// The rows of all entries that were ever appended.
    rows: u64,
    /// Where the origin was taken up.
    begin: Mark,
    /// How far it is.
    progress: EventTime,
    /// Up to when rows of it were due.
    due: EventTime,
    /// What of the oldest entries lies in the storage.
    stored: Stored,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// What was appended; without its rows where those are in the storage.
    pub(super) batch: Arc<Batch>,
    /// Where its rows are, if not here.
    place: Place,
    pub(super) rows: u64,
    /// The bytes of all entries before this one.
    before: u64,
    pub(super) bytes: u64,
    /// The rows of all entries before this one.
    rows_before: u64,
    /// Up to when its rows were due, and those before it.
    due: EventTime,
}

/// Where the rows of an entry are.
#[derive(Debug)]
enum Place {
    Here,
    /// On their way to the storage, where they will have this number.
    Writing(u64, Arc<Batch>),
    /// In the storage, by this number; and here for a moment where somebody is sent them.
    Stored(u64, Option<Arc<Batch>>),
    /// Nowhere: the storage could not keep them.
    Lost,
}

impl Log {
    /// The log of an origin that begins with this batch: what lies before is not to be had here.
    ///
    /// Where that says itself where the latest was, the progress is known too.
    pub(super) fn of(first: &Batch) -> Self {
        let Header {
            note,
            interval,
            progress,
            ..
        } = first.header;
        let (progress, due) = match note {
            Some(Note::Begin(due)) => (progress, due),
            _ => (EventTime::MIN, EventTime::MIN),
        };
        let begin = Mark {
            index: interval.after(),
            progress,
            due,
        };
        Self {
            entries: VecDeque::new(),
            first: 0,
            released: begin,
            bytes: 0,
            rows: 0,
            begin,
            progress: EventTime::MIN,
            due,
            stored: Stored::NOTHING,
        }
    }

    /// The log of an origin of which nothing is retained yet, and nothing up to here is to be had.
    pub(super) const fn released_to(mark: Mark) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            released: mark,
            bytes: 0,
            rows: 0,
            begin: mark,
            progress: mark.progress,
            due: mark.due,
            stored: Stored::NOTHING,
        }
    }

    /// The origin has come so far, whatever is retained of it says.
    pub(super) fn reach(&mut self, progress: EventTime) {
        self.progress = self.progress.max(progress);
    }

    /// What is retained behind `held`, or all of it.
    pub(super) fn retained(&self, origin: Origin, held: Option<u64>) -> Retained {
        let is_new = |entry: &&Entry| {
            let through = entry.batch.header.interval.through();
            held.is_none_or(|held| through > held)
        };
        let count = self.entries.len();
        let new = self.entries.iter().rev().take_while(is_new).count();
        let has_open_tail = self
            .entries
            .back()
            .is_some_and(|tail| tail.batch.rows.is_empty());
        let first = count - new.max(usize::from(has_open_tail));
        let first = first.max(self.written_count());
        let entries = self.entries.range(first..);
        let batches: Vec<Arc<Batch>> = entries.map(|entry| Arc::clone(entry.whole())).collect();
        let begins = batches.first().map(|batch| batch.header.interval.after());
        Retained {
            origin,
            // What lies in the storage of a host does not go along.
            released: self.released_from_memory(),
            progress: self.progress,
            after: begins.unwrap_or_else(|| self.through()),
            batches,
        }
    }

    /// Where the origin was taken up.
    pub(super) const fn begin(&self) -> Mark {
        self.begin
    }

    /// The origin is taken up at a place, unless it was behind that.
    pub(super) fn begin_at(&mut self, mark: Mark) {
        if mark.index > self.begin.index {
            self.begin = self.mark_again(mark);
        }
    }

    /// Where it is.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            index: self.through(),
            progress: self.progress,
            due: self.due,
        }
    }

    /// The place behind an index. In the middle of a batch nobody knows how far the origin was.
    pub(super) fn mark_at(&self, index: u64) -> Mark {
        let before = self.mark_before(index);
        if before.index == index {
            return before;
        }
        let among = self.entry(self.entry_after(index));
        Mark {
            index,
            progress: EventTime::MIN,
            due: among.map_or(before.due, |entry| entry.due),
        }
    }

    /// The last place between two batches that does not lie behind an index.
    pub(super) fn mark_before(&self, index: u64) -> Mark {
        let last = self.entry_after(index).checked_sub(1);
        let entry = last.and_then(|last| self.entry(last));
        entry.map_or(self.released, Entry::end)
    }

    /// A place where somebody begins who was told of it before, with what is known of it by now.
    pub(super) fn mark_again(&self, mark: Mark) -> Mark {
        let known = self.mark_at(mark.index);
        Mark {
            index: mark.index,
            progress: mark.progress.max(known.progress),
            due: mark.due.max(known.due),
        }
    }

    /// How many rows behind an index were released.
    ///
    /// As many as indices, where records were numbered. Who numbers ticks leaves most indices out: of its rows those are known of that
    /// were released here.
    pub(super) fn rows_released_behind(&self, index: u64) -> u64 {
        let indices = self.released.index.saturating_sub(index);
        match step::is_of_tick(self.released.index) {
            true => indices.min(self.rows_before(self.first)),
            false => indices,
        }
    }

    /// The last index that was released.
    pub(super) const fn released(&self) -> u64 {
        self.released.index
    }

    /// The number of the first entry.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.first + convert::size(self.entries.len())
    }

    fn through(&self) -> u64 {
        self.entries.back().map_or(self.released.index, |entry| {
            entry.batch.header.interval.through()
        })
    }

    /// Appends a batch and says how many bytes more are retained.
    ///
    /// A rowless batch grows a rowless last entry, so that a stream without rows piles nothing up. Where
    /// everybody was sent that entry, what is new is as old as the batch; else as what still waits in it.
    ///
    /// # Panics
    /// When the batch does not join what came before.
    pub(super) fn append(&mut self, batch: Arc<Batch>, is_sent: impl FnOnce(&Self) -> bool) -> u64 {
        assert!(
            self.through() == batch.header.interval.after(),
            "origin {:?} leaves out indices between {} and {}",
            batch.header.origin,
            self.through(),
            batch.header.interval.after(),
        );
        self.progress = self.progress.max(batch.header.progress);
        let bytes = if batch.rows.is_empty() {
            0
        } else {
            convert::size(batch.rows.bytes())
        };
        let joins = |tail: &Entry| {
            bytes == 0 && tail.batch.rows.is_empty() && tail.batch.is_joined_by(&batch)
        };
        if self.entries.back().is_some_and(joins) {
            let is_sent = is_sent(self);
            let tail = self.entries.back_mut().expect("just seen");
            let arrival = batch.header.arrival;
            let pair = [Arc::clone(&tail.batch), batch];
            let mut joined =
                Batch::join(&pair).expect("rowless batches have no columns to differ in");
            if is_sent {
                joined.header.arrival = arrival;
            }
            tail.batch = Arc::new(joined);
            return 0;
        }
        let rows = convert::size(batch.rows.len());
        let due = batch.rows.dues().iter().max().copied();
        self.due = self.due.max(due.map_or(EventTime::MIN, EventTime));
        self.entries.push_back(Entry {
            due: self.due,
            batch,
            place: Place::Here,
            rows,
            before: self.bytes,
            bytes,
            rows_before: self.rows,
        });
        self.bytes += bytes;
        self.rows += rows;
        bytes
    }

    /// The number of the first entry that is not wholly at or before `index`.
    pub(super) fn entry_after(&self, index: u64) -> u64 {
        let is_before = |entry: &Entry| {
            let interval = entry.batch.header.interval;
            interval.through() <= index && interval.after() < index
        };
        self.first + convert::size(self.entries.partition_point(is_before))
    }

    /// The number of the first entry that tells something to who has all indices up to `index`: a last one without rows may have
    /// grown and say how far the origin has come since.
    pub(super) fn entry_from(&self, index: u64) -> u64 {
        let after = self.entry_after(index);
        let tail = self
            .entries
            .back()
            .filter(|tail| tail.batch.rows.is_empty());
        let tells_more = tail.is_some_and(|tail| {
            after == self.end() && tail.batch.header.interval.through() == index
        });
        after - u64::from(tells_more)
    }

    /// The entry with this number, unless it was released or is still to come.
    pub(super) fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries
            .get(convert::index(number.checked_sub(self.first)?))
    }

    /// The rows of all entries before the one with this number, or before the first where that was released.
    pub(super) fn rows_before(&self, number: u64) -> u64 {
        let entry = self.entry(number.max(self.first));
        entry.map_or(self.rows, |entry| entry.rows_before)
    }

    /// The bytes of all entries before the one with this number.
    fn bytes_before(&self, number: u64) -> u64 {
        if number < self.first {
            return self
                .entries
                .front()
                .map_or(self.bytes, |entry| entry.before);
        }
        self.entry(number).map_or(self.bytes, |entry| entry.before)
    }

    /// How many bytes of memory would be released by releasing up to `kept`.
    pub(super) fn bytes_through(&self, kept: u64) -> u64 {
        let stored = self.bytes_before(self.first + convert::size(self.stored_count()));
        let through = self.bytes_before(self.entry_after(kept));
        through.max(stored) - stored
    }

    /// The first entry, where it may be released once nobody keeps anything up to `kept`.
    ///
    /// A last entry without rows may not: it tells whoever opens an edge later how far the origin is.
    pub(super) fn releasable(&self, kept: u64) -> Option<&Entry> {
        let entry = self.entries.front()?;
        let may_go = entry.batch.header.interval.through() <= kept
            && (self.entries.len() > 1 || !entry.batch.rows.is_empty());
        may_go.then_some(entry)
    }

    /// When the first entry arrived at its source.
    pub(super) fn oldest(&self) -> Option<Instant> {
        Some(self.entries.front()?.batch.header.arrival)
    }

    /// Whether something stays of the first entry when that is released: the last one, where it has ended the origin. It tells that to
    /// whoever opens an edge later, and holds no rows any more.
    pub(super) fn keeps_first(&self) -> bool {
        let is_end =
            |entry: &Entry| entry.batch.header.progress == EventTime::MAX && entry.rows > 0;
        self.entries.len() == 1 && self.entries.front().is_some_and(is_end)
    }

    /// Releases the first entry; says how many bytes of memory that were.
    pub(super) fn release_first(&mut self) -> u64 {
        if self.keeps_first() {
            return self.release_end();
        }
        let Some(entry) = self.entries.pop_front() else {
            return 0;
        };
        if self.entries.is_empty() {
            // The next one takes the same place in memory.
            self.entries.clear();
        }
        let end = entry.end();
        self.released = Mark {
            progress: end.progress.max(self.released.progress),
            ..end
        };
        self.first += 1;
        self.forget(&entry)
    }

    /// Releases the rows of the entry that has ended the origin.
    fn release_end(&mut self) -> u64 {
        let (bytes, rows) = (self.bytes, self.rows);
        let Some(entry) = self.entries.front_mut() else {
            return 0;
        };
        let through = entry.batch.header.interval.through();
        self.released = Mark {
            index: through,
            due: entry.due,
            ..self.released
        };
        let mut end = entry.batch.cut(through);
        // What was missing before was told to those who have taken it.
        end.header.missing = 0;
        entry.batch = Arc::new(end);
        (entry.before, entry.rows_before, entry.rows) = (bytes, rows, 0);
        std::mem::take(&mut entry.bytes)
    }

    /// Releases what lies at or before `kept`; says how many bytes that were.
    pub(super) fn release(&mut self, kept: u64) -> u64 {
        let mut bytes = 0;
        while self.releasable(kept).is_some() {
            bytes += self.release_first();
        }
        bytes
    }
}
