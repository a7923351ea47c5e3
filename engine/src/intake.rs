//! Intake: where the records of a source get their positions, their due times and their progress.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use model::{DataType, EventTime, Field, Instant, Interval, Origin, Schema};

use crate::batch::{Batch, Header, Rows, Token};
use crate::columns;
use crate::edge::Mark;

/// What a connector read: some records in order, good and bad.
#[derive(Debug)]
pub struct Records {
    /// How many records these are, good and bad.
    pub count: u32,
    /// The good ones.
    pub columns: RecordBatch,
    /// The event time of each good one, in microseconds since the epoch.
    pub times: Vec<i64>,
    /// Which of the `count` records each good one is, ascending.
    pub places: Vec<u32>,
    /// The others, ascending.
    pub bad: Vec<BadRecord>,
}

impl Records {
    /// Several readings, one after the other, as one.
    ///
    /// # Panics
    /// When there is none, or their columns differ.
    #[must_use]
    pub fn join(mut several: Vec<Self>) -> Self {
        if several.len() == 1 {
            return several.remove(0);
        }
        let schema = several
            .first()
            .expect("at least one reading")
            .columns
            .schema();
        let columns = several.iter().map(|records| &records.columns);
        let columns = arrow_select::concat::concat_batches(&schema, columns)
            .expect("readings of one source have the same columns");
        let mut whole = Self {
            count: 0,
            columns,
            times: Vec::new(),
            places: Vec::new(),
            bad: Vec::new(),
        };
        for mut records in several {
            let before = whole.count;
            records.bad.iter_mut().for_each(|bad| bad.place += before);
            whole.count += records.count;
            whole.times.append(&mut records.times);
            whole.bad.append(&mut records.bad);
            whole
                .places
                .extend(records.places.iter().map(|place| place + before));
        }
        whole
    }

    /// Takes away the rows from `row` on, with the bad records among and behind them.
    ///
    /// # Panics
    /// When there are not so many rows.
    #[must_use]
    pub fn split_off(&mut self, row: usize) -> Self {
        let first = self.places.get(row).copied().unwrap_or(self.count);
        let bad_before = self.bad.partition_point(|bad| bad.place < first);
        let mut bad = self.bad.split_off(bad_before);
        let mut places = self.places.split_off(row);
        places.iter_mut().for_each(|place| *place -= first);
        bad.iter_mut().for_each(|bad| bad.place -= first);
        let rest = Self {
            count: self.count - first,
            columns: self.columns.slice(row, places.len()),
            times: self.times.split_off(row),
            places,
            bad,
        };
        self.count = first;
        self.columns = self.columns.slice(0, row);
        rest
    }
}

/// A record that could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Which of the records it is.
    pub place: u32,
    /// What it says, at most [`BAD_BYTES_MAX`] of it.
    pub record: String,
    /// What is wrong with it.
    pub message: String,
}

/// How much of a bad record is kept.
///
/// Unit: bytes. Source: guess; enough to find it in its file.
pub const BAD_BYTES_MAX: usize = 1024;

/// The columns of a source's port `bad`.
pub fn bad_schema() -> Schema {
    let fields = ["record", "error"].map(|name| Field::new(name, DataType::Utf8));
    Schema::new(fields.to_vec()).expect("two names that differ")
}

/// Numbers the records of one source.
///
/// An index is the record's own number, from 1, whether the record is good or bad. A row is due at its event
/// time, or at the progress before it where that is later; progress is the greatest event time so far, less
/// what the source allows rows to be out of order. All of it is a function of the records alone.
#[derive(Debug)]
pub struct Intake {
    origin: Origin,
    out_of_order_micros: i64,
    through: u64,
    progress: EventTime,
    /// Records that were dropped since the last batch: the next covers their indices and says so.
    dropped: u32,
    /// What leaves at `bad` where nothing is: made once, since every batch has it.
    no_bad: Rows,
}

/// What the records of one reading become: a batch for the rows and one for the bad ones.
///
/// Both cover the same interval, so that who reads either knows how far the source is.
#[derive(Debug)]
pub struct Taken {
    /// The good records.
    pub rows: Batch,
    /// The bad records.
    pub bad: Batch,
    /// What is wrong with the first of them, and what it says.
    pub bad_reason: Option<String>,
}

impl Intake {
    /// The intake of a source that numbers rows as `origin` and lets them be this much out of order.
    pub fn new(origin: Origin, out_of_order_micros: i64) -> Self {
        Self {
            origin,
            out_of_order_micros,
            through: 0,
            progress: EventTime::MIN,
            dropped: 0,
            no_bad: Rows::empty(columns::to_arrow(&bad_schema())),
        }
    }

    /// The same where records were numbered up to a mark before.
    #[must_use]
    pub const fn behind(mut self, mark: Mark) -> Self {
        self.through = mark.index;
        self.progress = mark.progress;
        self
    }

    /// How far records are numbered, and up to when they may be due. What was dropped and not said yet counts as to come.
    pub const fn mark(&self) -> Mark {
        Mark {
            index: self.through,
            progress: self.progress,
            due: match self.progress {
                EventTime::MIN => EventTime::MIN,
                progress => progress.plus(self.out_of_order_micros),
            },
        }
    }

    /// Who numbers the records.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// How far the source is.
    pub const fn progress(&self) -> EventTime {
        self.progress
    }

    /// Numbers records that arrived at `arrival`.
    ///
    /// # Panics
    /// When times and places are not one for each row, or places do not ascend below the count.
    pub fn take(&mut self, arrival: Instant, records: Records) -> Taken {
        let Records {
            count,
            columns,
            times,
            places,
            bad,
        } = records;
        assert_eq!(
            times.len(),
            places.len(),
            "each row has an event time and a place"
        );
        assert!(places.is_sorted(), "records are numbered in order");
        assert!(
            places.last().is_none_or(|last| *last < count),
            "a row is one of the records"
        );

        let mut any_due = false;
        let mut dues = Vec::with_capacity(times.len());
        let mut bad_times = Vec::with_capacity(bad.len());
        for (time, place) in times.iter().zip(&places) {
            while bad
                .get(bad_times.len())
                .is_some_and(|bad| bad.place < *place)
            {
                bad_times.push(self.progress.0);
            }
            let due = (*time).max(self.progress.0);
            any_due |= due != *time;
            dues.push(due);
            // Only the end of a source ends its origin, however late a row claims to be.
            let reached = EventTime(*time).min(EventTime::MAX.minus(1));
            self.progress = self.progress.max(reached.minus(self.out_of_order_micros));
        }
        bad_times.resize(bad.len(), self.progress.0);
        let header = self.header(arrival, u64::from(count));
        let is_dense = places.len() == model::convert::index(u64::from(count));
        let dues = any_due.then_some(dues);
        let rows = if is_dense {
            Rows::dense(columns, times, dues)
        } else {
            let backs = places.iter().map(|place| count - 1 - place).collect();
            Rows::sparse(columns, times, dues, backs)
        };
        let bad_reason = bad
            .first()
            .map(|bad| format!("{} in {:?}", bad.message, bad.record));
        let bad = self.bad_rows(count, &bad, bad_times);
        Taken {
            rows: Batch {
                header: header.clone(),
                rows,
            },
            bad: Batch { header, rows: bad },
            bad_reason,
        }
    }

    /// The batches that say that no row before `progress` is to come, without any row: of a source that is
    /// idle, and, with [`EventTime::MAX`], of one that has ended.
    pub fn advance(&mut self, arrival: Instant, progress: EventTime, schema: &SchemaRef) -> Taken {
        self.progress = self.progress.max(progress);
        let header = self.header(arrival, 0);
        let bad = Batch {
            header: header.clone(),
            rows: self.no_bad.clone(),
        };
        Taken {
            rows: Batch {
                header,
                rows: Rows::empty(Arc::clone(schema)),
            },
            bad,
            bad_reason: None,
        }
    }

    /// Drops records that nobody can take in: they keep their numbers, and the next batch says that they
    /// are missing.
    pub fn drop(&mut self, records: &Records) {
        self.dropped = self.dropped.saturating_add(records.count);
    }

    fn header(&mut self, arrival: Instant, count: u64) -> Header {
        let missing = std::mem::take(&mut self.dropped);
        let through = self.through + u64::from(missing) + count;
        let interval = Interval::new(self.through, through);
        self.through = through;
        Header {
            origin: self.origin,
            interval,
            arrival,
            progress: self.progress,
            token: Token::Unmetered,
            missing,
            note: None,
        }
    }

    /// A bad record has no time of its own: its time is the progress before it.
    fn bad_rows(&self, count: u32, bad: &[BadRecord], times: Vec<i64>) -> Rows {
        if bad.is_empty() {
            return self.no_bad.clone();
        }
        let records = StringArray::from_iter_values(bad.iter().map(|bad| &bad.record));
        let messages = StringArray::from_iter_values(bad.iter().map(|bad| &bad.message));
        let columns: Vec<ArrayRef> = vec![Arc::new(records), Arc::new(messages)];
        let columns = RecordBatch::try_new(self.no_bad.columns().schema(), columns)
            .expect("two columns of text, as the schema says");
        let backs = bad.iter().map(|bad| count - 1 - bad.place).collect();
        Rows::sparse(columns, times, None, backs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u32, rows: &[(u32, i64)]) -> Records {
        let schema =
            columns::to_arrow(&Schema::new(vec![Field::new("x", DataType::Int64)]).expect("one"));
        let values: Vec<i64> = rows.iter().map(|(place, _)| i64::from(*place)).collect();
        let column: ArrayRef = Arc::new(arrow_array::Int64Array::from(values));
        let bad = (0..count).filter(|place| !rows.iter().any(|(good, _)| good == place));
        Records {
            count,
            columns: RecordBatch::try_new(schema, vec![column]).expect("one column"),
            times: rows.iter().map(|(_, time)| *time).collect(),
            places: rows.iter().map(|(place, _)| *place).collect(),
            bad: bad
                .map(|place| BadRecord {
                    place,
                    record: "?".into(),
                    message: "no number".into(),
                })
                .collect(),
        }
    }

    #[test]
    fn rows_are_due_at_their_time_or_at_the_progress_before_them() {
        let mut intake = Intake::new(Origin(1), 5);
        let taken = intake.take(
            Instant::ZERO,
            records(4, &[(0, 100), (1, 90), (2, 97), (3, 103)]),
        );
        // After the first row progress is 95: the second is due there, the third at its own time.
        assert_eq!(taken.rows.rows.dues(), [100, 95, 97, 103]);
        assert_eq!(taken.rows.header.progress, EventTime(98));
    }

    #[test]
    fn cuts_do_not_change_what_rows_are() {
        let all: Vec<(u32, i64)> = (0..20).map(|n| (n, i64::from(n * 37 % 11))).collect();
        let mut whole = Intake::new(Origin(1), 3);
        let whole = whole.take(Instant::ZERO, records(20, &all)).rows;
        for cut in 0..20 {
            let mut intake = Intake::new(Origin(1), 3);
            let (left, right) = all.split_at(cut);
            let right: Vec<_> = right
                .iter()
                .map(|(n, t)| (n - u32::try_from(cut).unwrap(), *t))
                .collect();
            let cut = u32::try_from(cut).unwrap();
            let left = intake.take(Instant::ZERO, records(cut, left)).rows;
            let right = intake.take(Instant::ZERO, records(20 - cut, &right)).rows;
            let dues = [left.rows.dues(), right.rows.dues()].concat();
            assert_eq!(dues, whole.rows.dues());
            assert_eq!(
                left.indices().chain(right.indices()).collect::<Vec<_>>(),
                (1..=20).collect::<Vec<_>>()
            );
            assert_eq!(right.header.progress, whole.header.progress);
        }
    }

    #[test]
    fn split_records_are_the_same_records() {
        let rows = [(1, 10), (2, 20), (4, 30)];
        for at in 0..=3 {
            let mut intake = Intake::new(Origin(1), 0);
            let mut head = records(6, &rows);
            let tail = head.split_off(at);
            let (head, tail) = (
                intake.take(Instant::ZERO, head),
                intake.take(Instant::ZERO, tail),
            );
            assert_eq!(
                head.rows
                    .indices()
                    .chain(tail.rows.indices())
                    .collect::<Vec<_>>(),
                [2, 3, 5]
            );
            assert_eq!(
                head.bad
                    .indices()
                    .chain(tail.bad.indices())
                    .collect::<Vec<_>>(),
                [1, 4, 6]
            );
        }
    }

    #[test]
    fn a_bad_record_keeps_its_number_and_spoils_no_other() {
        let mut intake = Intake::new(Origin(1), 0);
        let dropped = records(3, &[]);
        intake.drop(&dropped);
        let taken = intake.take(Instant::ZERO, records(4, &[(0, 10), (2, 20)]));
        assert_eq!(taken.rows.header.missing, 3, "what was dropped is said");
        assert_eq!(taken.rows.indices().collect::<Vec<_>>(), [4, 6]);
        assert_eq!(taken.bad.indices().collect::<Vec<_>>(), [5, 7]);
        assert_eq!(taken.rows.header.interval, taken.bad.header.interval);
        assert_eq!(taken.bad.rows.times(), [10, 20]);
    }
}
