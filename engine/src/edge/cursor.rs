//! How far one consumer is in one origin, and what it is told beside rows.

use std::collections::VecDeque;

use model::{EventTime, Interval};

use super::log::Mark;
use crate::batch::{Batch, Header, Note, Rows};

/// How far a consumer is in one origin.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The entry to be sent next, the last index before it, and the rows before it.
    pub(super) next: u64,
    pub(super) reached: u64,
    pub(super) rows: u64,
    /// What was sent and not worked off yet: the last index and the bytes of each batch with rows.
    pub(super) in_flight: VecDeque<(u64, u64)>,
    pub(super) in_flight_bytes: u64,
    /// It began in the middle, and has not been told where.
    pub(super) start: Option<Mark>,
    /// What it will not get, and has not been told of.
    pub(super) lost: Option<Lost>,
    /// What it waits for out of the storage.
    pub(super) awaited: Option<u64>,
}

/// Rows that a consumer will not get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    /// The last index before them.
    pub(super) after: u64,
    pub(super) rows: u64,
}

impl Cursor {
    /// What lies up to `index` was worked off.
    pub(super) fn take(&mut self, index: u64) {
        while let Some((through, bytes)) = self.in_flight.front()
            && *through <= index
        {
            self.in_flight_bytes -= bytes;
            self.in_flight.pop_front();
        }
        if self.in_flight.is_empty() {
            // The next one takes the same place in memory.
            self.in_flight.clear();
        }
    }

    /// What of an earlier cursor's batches has arrived, up to the index that was named, is still there.
    pub(super) fn inherit(&mut self, old: Self, named: Option<u64>) {
        let arrived = named.unwrap_or(0);
        self.in_flight = old.in_flight;
        self.in_flight.retain(|(through, _)| *through <= arrived);
        self.in_flight_bytes = self.in_flight.iter().map(|(_, bytes)| bytes).sum();
    }

    /// The next batch goes lost.
    pub(super) fn lose(&mut self, batch: &Batch, rows: u64) {
        let after = batch.header.interval.after().max(self.reached);
        let lost = self.lost.get_or_insert(Lost { after, rows: 0 });
        lost.rows += rows + u64::from(batch.header.missing);
        self.pass(batch, rows);
    }

    pub(super) fn pass(&mut self, batch: &Batch, rows: u64) {
        self.next += 1;
        self.rows += rows;
        self.reached = self.reached.max(batch.header.interval.through());
    }
}

/// What tells a consumer where the latest was: nothing before it is missing.
pub(super) fn told_start(mark: Mark, next: &Batch) -> Batch {
    let told = told(Interval::empty(mark.index), mark.progress, 0, next);
    Batch {
        header: Header {
            note: Some(Note::Begin(mark.due)),
            ..told.header
        },
        ..told
    }
}

/// What tells a consumer that it will not get some rows before `next`.
pub(super) fn told_lost(lost: Lost, next: &Batch) -> Batch {
    let through = next.header.interval.after().max(lost.after);
    let missing = u32::try_from(lost.rows).unwrap_or(u32::MAX);
    told(
        Interval::new(lost.after, through),
        EventTime::MIN,
        missing,
        next,
    )
}

fn told(interval: Interval, progress: EventTime, missing: u32, next: &Batch) -> Batch {
    Batch {
        header: Header {
            origin: next.header.origin,
            interval,
            arrival: next.header.arrival,
            progress,
            token: next.header.token,
            missing,
            note: Some(Note::Gap),
        },
        rows: Rows::empty(next.rows.columns().schema()),
    }
}
