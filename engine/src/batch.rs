//! Batches: the unit of scheduling and of transport, and the rows in them.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use model::{EventTime, Instant, Interval, NodeId, Origin, convert};

use crate::columns;

#[cfg(test)]
mod tests;

pub use crate::share::Token;

/// The most rows that a source or a stateful component puts into one batch.
///
/// Unit: rows. Range: 1 to 65,536. Source: measured: what a batch costs beyond its rows is below 1 % at this size.
pub const ROWS_MAX: usize = 1024;

/// What a batch says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Who numbered these rows.
    pub origin: Origin,
    /// The indices that are covered: rows may be missing in it, none lies outside of it.
    pub interval: Interval,
    /// When the batch that completed this one arrived at its source, by this host's clock.
    ///
    /// Across hosts the age travels instead; see [`Header::age`].
    pub arrival: Instant,
    /// No later row of this origin is due before it; [`EventTime::MAX`] ends the origin.
    pub progress: EventTime,
    /// Its place among what its application may have in a second, where that is metered; what is made of it inherits that.
    pub token: Token,
    /// Rows that are known to be absent: dropped by policy, lost, or of an origin that was left out.
    pub missing: u32,
    /// What else a consumer should know.
    pub note: Option<Note>,
}

/// What a batch may tell beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The stream is to be had from this host.
    Moved(NodeId),
    /// The stream is not here.
    Gone,
    /// What was asked for is no longer to be had; the interval says from where it is.
    Gap,
    /// Whoever takes whatever comes next begins behind this interval, which is empty; rows before it were due up to here.
    Begin(EventTime),
    /// The application has ended.
    Finished,
}

impl Header {
    /// How long ago the batch that completed this one arrived at its source.
    pub const fn age(&self, now: Instant) -> Duration {
        now.since(self.arrival)
    }
}

/// Rows: their columns, and for each row its event time, its due time and its place in the interval.
///
/// Rows stand in the order of their indices. Several rows may share an index: those that a flat map made of
/// one row, and those of one chunk of a stateful component.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    columns: RecordBatch,
    times: ScalarBuffer<i64>,
    /// Absent where every row is due at its event time.
    dues: Option<ScalarBuffer<i64>>,
    /// How far each row's index lies before the last index of the interval; absent where rows are dense,
    /// one for each of the last indices.
    ///
    /// Counted from the end, so that cutting off the front changes nothing here.
    backs: Option<ScalarBuffer<u32>>,
    /// The memory of all of that: asked for at each end of an edge, and counted once.
    bytes: usize,
}

impl Rows {
    fn new(
        columns: RecordBatch,
        times: ScalarBuffer<i64>,
        dues: Option<ScalarBuffer<i64>>,
        backs: Option<ScalarBuffer<u32>>,
    ) -> Self {
        let of_columns: usize = columns.columns().iter().map(columns::bytes).sum();
        let of_times = size_of_val::<[i64]>(&times);
        let of_dues = dues.as_ref().map_or(0, |dues| size_of_val::<[i64]>(dues));
        let of_backs = backs
            .as_ref()
            .map_or(0, |backs| size_of_val::<[u32]>(backs));
        Self {
            columns,
            times,
            dues,
            backs,
            bytes: of_columns + of_times + of_dues + of_backs,
        }
    }

    /// No rows of this schema.
    pub fn empty(schema: SchemaRef) -> Self {
        let columns = RecordBatch::new_empty(schema);
        Self::new(columns, ScalarBuffer::default(), None, None)
    }

    /// Rows that stand at consecutive indices, the last of them at the last index of the interval.
    ///
    /// # Panics
    /// When `times` or `dues` are not one for each row.
    pub fn dense(columns: RecordBatch, times: Vec<i64>, dues: Option<Vec<i64>>) -> Self {
        assert_eq!(
            columns.num_rows(),
            times.len(),
            "each row has one event time"
        );
        if let Some(dues) = &dues {
            assert_eq!(columns.num_rows(), dues.len(), "each row has one due time");
        }
        Self::new(columns, times.into(), dues.map(ScalarBuffer::from), None)
    }

    /// Rows that stand at indices this far before the last one of the interval, not increasing.
    ///
    /// # Panics
    /// When `times`, `dues` or `backs` are not one for each row.
    pub fn sparse(
        columns: RecordBatch,
        times: Vec<i64>,
        dues: Option<Vec<i64>>,
        backs: Vec<u32>,
    ) -> Self {
        assert_eq!(columns.num_rows(), backs.len(), "each row has one place");
        let dense = Self::dense(columns, times, dues);
        Self::new(dense.columns, dense.times, dense.dues, Some(backs.into()))
    }

    /// Rows that all stand at the last index of the interval, with one event time, at which they are due.
    pub fn chunk(columns: RecordBatch, time: EventTime) -> Self {
        let len = columns.num_rows();
        let (times, backs) = (vec![time.0; len], vec![0; len]);
        Self::new(columns, times.into(), None, Some(backs.into()))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The columns.
    pub const fn columns(&self) -> &RecordBatch {
        &self.columns
    }

    /// The event time of each row, in microseconds since the epoch.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// When each row is due: its event time, or the source's progress before it where that is later.
    pub fn dues(&self) -> &[i64] {
        self.dues.as_deref().unwrap_or(&self.times)
    }

    /// When each row is due, where that is not everywhere its event time.
    pub fn own_dues(&self) -> Option<&[i64]> {
        self.dues.as_deref()
    }

    /// How far each row's index lies before the last of the interval; nothing where rows are dense.
    pub fn backs(&self) -> Option<&[u32]> {
        self.backs.as_deref()
    }

    /// How far the row's index lies before the last of the interval.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn back(&self, row: usize) -> u32 {
        match &self.backs {
            Some(backs) => backs[row],
            None => u32::try_from(self.len() - 1 - row).expect("a batch has fewer rows than 2^32"),
        }
    }

    /// The memory that these rows hold, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same rows with what is made of their columns.
    ///
    /// # Panics
    /// When the number of rows differs.
    #[must_use]
    pub fn map_columns(self, make: impl FnOnce(RecordBatch) -> RecordBatch) -> Self {
        let columns = make(self.columns);
        let (made, len) = (columns.num_rows(), self.times.len());
        assert_eq!(made, len, "new columns are of the same rows");
        Self::new(columns, self.times, self.dues, self.backs)
    }

    /// The same rows with other columns; see [`Rows::map_columns`].
    #[must_use]
    pub fn with_columns(&self, columns: RecordBatch) -> Self {
        self.clone().map_columns(|_| columns)
    }

    /// The rows for which `keep` is true; null counts as false.
    #[must_use]
    pub fn filter(&self, keep: &BooleanArray) -> Self {
        assert_eq!(keep.len(), self.len(), "one answer for each row");
        if keep.null_count() == 0 && keep.true_count() == keep.len() {
            return self.clone();
        }
        let indices: UInt32Array = (0..keep.len())
            .filter(|row| keep.is_valid(*row) && keep.value(*row))
            .map(|row| u32::try_from(row).expect("a batch has fewer rows than 2^32"))
            .collect();
        self.take(&indices)
    }

    /// The rows at these places, which must not decrease; a place may repeat.
    ///
    /// # Panics
    /// When a place lies outside.
    #[must_use]
    pub fn take(&self, places: &UInt32Array) -> Self {
        let columns = arrow_select::take::take_record_batch(&self.columns, places)
            .expect("places lie within the batch");
        self.place(columns, places)
    }

    /// `columns`, whose n-th row was made of this batch's row at `places[n]`.
    ///
    /// # Panics
    /// When there is not one place for each row of `columns`, or a place lies outside.
    #[must_use]
    pub fn place(&self, columns: RecordBatch, places: &UInt32Array) -> Self {
        assert_eq!(
            columns.num_rows(),
            places.len(),
            "each row was made of one row"
        );
        let at = |place: &u32| usize::try_from(*place).expect("32 bits fit a pointer");
        let places = || places.values().iter().map(at);
        let times = places().map(|place| self.times[place]).collect();
        let dues = self
            .dues
            .as_ref()
            .map(|dues| places().map(|place| dues[place]).collect());
        let backs = places().map(|place| self.back(place)).collect();
        Self::new(columns, times, dues, Some(backs))
    }

    /// The rows from `offset` on, `len` of them, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        let end = offset + len;
        let backs = match &self.backs {
            Some(backs) => Some(backs.slice(offset, len)),
            None if end == self.len() => None,
            None => Some((offset..end).map(|row| self.back(row)).collect()),
        };
        Self::new(
            self.columns.slice(offset, len),
            self.times.slice(offset, len),
            self.dues.as_ref().map(|dues| dues.slice(offset, len)),
            backs,
        )
    }

    /// Rows of one batch that were picked apart, in order again.
    ///
    /// # Panics
    /// When there are none, or their columns differ.
    #[must_use]
    pub fn merge(parts: &[Self]) -> Self {
        let schema = parts.first().expect("at least one part").columns.schema();
        let columns =
            arrow_select::concat::concat_batches(&schema, parts.iter().map(Self::columns))
                .expect("parts of one batch have the same columns");
        let times = parts.iter().flat_map(|part| part.times().iter().copied());
        let dues = parts.iter().flat_map(|part| part.dues().iter().copied());
        let backs = parts
            .iter()
            .flat_map(|part| (0..part.len()).map(|row| part.back(row)));
        let all = Self::new(
            columns,
            times.collect(),
            Some(dues.collect()),
            Some(backs.collect()),
        );
        let mut places: Vec<u32> = (0..all.len())
            .map(|row| u32::try_from(row).expect("a batch has fewer rows than 2^32"))
            .collect();
        places.sort_by_key(|place| std::cmp::Reverse(all.back(convert::index((*place).into()))));
        all.take(&UInt32Array::from(places))
    }
}

/// A header and its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// What it says of itself.
    pub header: Header,
    /// The rows, at indices within the header's interval.
    pub rows: Rows,
}

impl Batch {
    /// What remains without the indices up to `through`.
    ///
    /// # Panics
    /// When `through` lies outside of the interval.
    #[must_use]
    pub fn cut(&self, through: u64) -> Self {
        let interval = Interval::new(through, self.header.interval.through());
        assert!(
            through >= self.header.interval.after(),
            "a cut lies within the interval"
        );
        let gone = (0..self.rows.len())
            .take_while(|row| u64::from(self.rows.back(*row)) >= interval.len())
            .count();
        Self {
            header: Header {
                interval,
                ..self.header.clone()
            },
            rows: self.rows.slice(gone, self.rows.len() - gone),
        }
    }

    /// What remains without the indices behind `through`. How far the origin is, what is missing and what there is to tell is said by
    /// the rest alone: see [`Batch::cut`].
    ///
    /// # Panics
    /// When `through` lies outside of the interval.
    #[must_use]
    pub fn head(&self, through: u64) -> Self {
        let header = Header {
            interval: Interval::new(self.header.interval.after(), through),
            progress: EventTime::MIN,
            missing: 0,
            note: None,
            ..self.header.clone()
        };
        let backs: Vec<u32> = self
            .indices()
            .map_while(|index| through.checked_sub(index))
            .map(|back| {
                u32::try_from(back).expect("a row lies less than 2^32 before its batch's end")
            })
            .collect();
        let Rows {
            columns,
            times,
            dues,
            ..
        } = self.rows.slice(0, backs.len());
        let rows = Rows::new(columns, times, dues, Some(backs.into()));
        Self { header, rows }
    }

    /// The first rows, `rows_max` where that can be, and the rest: nothing where there are no more rows, or none can be parted
    /// since they share an index.
    pub fn split(&self, rows_max: usize) -> Option<(Self, Self)> {
        if self.rows.len() <= rows_max {
            return None;
        }
        let parts_rows = |row: &usize| self.rows.back(row - 1) != self.rows.back(*row);
        let before = (1..=rows_max).rev().find(parts_rows);
        let row = before.or_else(|| (rows_max.max(1)..self.rows.len()).find(parts_rows))?;
        Some(self.part(row))
    }

    /// The rows up to the last that is due before `from`, and the rest, which begins at `from` or later: so far is the origin with the
    /// first part. Nothing where no rest can be parted off.
    pub fn split_due(&self, from: EventTime) -> Option<(Self, Self)> {
        let dues = self.rows.dues();
        let before = dues.iter().rposition(|due| *due < from.0);
        let parts_rows = |row: &usize| *row == 0 || self.rows.back(row - 1) != self.rows.back(*row);
        let row = (before.map_or(0, |last| last + 1)..dues.len()).find(parts_rows)?;
        Some(self.part(row))
    }

    /// The rows before a place, and the rest: as far as that begins is the origin with the first of them.
    fn part(&self, row: usize) -> (Self, Self) {
        let middle = match row.checked_sub(1) {
            Some(last) => self.header.interval.through() - u64::from(self.rows.back(last)),
            None => self.header.interval.after(),
        };
        let mut front = self.head(middle);
        let least = self.rows.dues()[row..].iter().copied().min();
        let least = least.map_or(EventTime::MAX, EventTime);
        front.header.progress = self.header.progress.min(least);
        (front, self.cut(middle))
    }

    /// The index of each row, in order.
    pub fn indices(&self) -> impl Iterator<Item = u64> + '_ {
        let through = self.header.interval.through();
        (0..self.rows.len()).map(move |row| through - u64::from(self.rows.back(row)))
    }

    /// Whether `next` can be joined to this: the same origin, the next interval, nothing to tell apart.
    pub fn is_joined_by(&self, next: &Self) -> bool {
        let Some(interval) = self.header.interval.join(next.header.interval) else {
            return false;
        };
        self.header.origin == next.header.origin
            && self.header.note.is_none()
            && next.header.note.is_none()
            && (self.rows.is_empty() || u32::try_from(interval.len()).is_ok())
    }

    /// Consecutive batches as one, as old as the oldest of them.
    ///
    /// # Errors
    /// When the columns cannot be put together, which only a change of schema within a stream could cause.
    ///
    /// # Panics
    /// When there is no batch, or one does not join the one before.
    pub fn join(batches: &[Arc<Self>]) -> Result<Self, ArrowError> {
        let (first, rest) = batches.split_first().expect("at least one batch");
        let mut header = first.header.clone();
        for (batch, next) in batches.iter().zip(rest) {
            assert!(
                batch.is_joined_by(next),
                "batches to be joined follow one another"
            );
            header.interval = header
                .interval
                .join(next.header.interval)
                .expect("just asserted");
            header.arrival = header.arrival.min(next.header.arrival);
            header.progress = header.progress.max(next.header.progress);
            header.token = header.token.min(next.header.token);
            header.missing = header.missing.saturating_add(next.header.missing);
        }
        let with_rows: Vec<&Arc<Self>> = batches
            .iter()
            .filter(|batch| !batch.rows.is_empty())
            .collect();
        let through = header.interval.through();
        let is_whole = |batch: &Self| batch.header.interval.through() == through;
        let rows = match with_rows.as_slice() {
            [] => first.rows.clone(),
            [only] if is_whole(only) => only.rows.clone(),
            several => {
                let columns = several.iter().map(|batch| &batch.rows.columns);
                let backs = several.iter().flat_map(|batch| {
                    let behind = through - batch.header.interval.through();
                    let behind =
                        u32::try_from(behind).expect("joined batches span fewer than 2^32 indices");
                    (0..batch.rows.len()).map(move |row| batch.rows.back(row) + behind)
                });
                let any_due = several.iter().any(|batch| batch.rows.dues.is_some());
                let dues = || {
                    several
                        .iter()
                        .flat_map(|batch| batch.rows.dues().iter().copied())
                        .collect()
                };
                let schema = first.rows.columns.schema();
                let times = several
                    .iter()
                    .flat_map(|batch| batch.rows.times().iter().copied());
                Rows::new(
                    arrow_select::concat::concat_batches(&schema, columns)?,
                    times.collect(),
                    any_due.then(dues),
                    Some(backs.collect()),
                )
            }
        };
        Ok(Self { header, rows })
    }
}
