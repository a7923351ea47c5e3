//! What a consumer has, where its source is read again from before it.

use model::{EventTime, Origin};

use super::{Cursor, Mark, Reader};
use crate::batch::Batch;
use crate::edge::From;
use crate::edge::log::Log;

impl Reader {
    /// Places it in an origin that it was sent nothing of.
    pub(super) fn enter(&mut self, origin: Origin, log: &Log) {
        let named = self.named.get(&origin).copied();
        let cursor = self.place(origin, log, named);
        self.cursors.insert(origin, cursor);
    }

    /// Who asks for something keeps it, whatever he said before.
    pub(super) fn keep_from(&mut self, from: &From) {
        let (From::Positions(positions) | From::LatestBut(positions), Some(keep)) =
            (from, &mut self.keep)
        else {
            return;
        };
        for (origin, index) in positions.iter() {
            if let Some(kept) = keep.get_mut(&origin) {
                *kept = index.min(*kept);
            }
        }
    }

    /// The least index behind which it asks for what is no longer to be had.
    pub(in crate::edge) fn lacks_from(&self) -> Option<u64> {
        let cursors = self.cursors.values();
        let lost = cursors.filter_map(|cursor| cursor.lost);
        lost.map(|lost| lost.after).min()
    }

    /// Where it asks to go on in an origin; nothing where it takes whatever comes next.
    pub(in crate::edge) fn asks(&self, origin: Origin) -> Option<u64> {
        let reached = self.cursors.get(&origin).map(|cursor| cursor.reached);
        let named = reached.or_else(|| self.named.get(&origin).copied());
        named.or(if self.is_latest { None } else { Some(0) })
    }

    /// An origin is read again from where this log begins. What it has of that it is not sent again; who takes whatever comes next
    /// begins at `latest`.
    pub(in crate::edge) fn read_again(&mut self, origin: Origin, log: &Log, latest: Mark) {
        if let Some(cursor) = self.cursors.get_mut(&origin) {
            *cursor = Cursor {
                next: log.end(),
                rows: 0,
                lost: None,
                ..std::mem::take(cursor)
            };
        } else if !self.named.contains_key(&origin) && !self.start.contains_key(&origin) {
            self.start.insert(origin, latest);
        }
    }
}

impl Cursor {
    /// Whether nothing of a batch is new to the consumer. One without rows that ends where it is may have grown; and the end of an
    /// origin is news also where it is told before.
    pub(super) fn has(&self, batch: &Batch) -> bool {
        let through = batch.header.interval.through();
        let is_before = through < self.reached && batch.header.progress < EventTime::MAX;
        is_before || through == self.reached && !batch.rows.is_empty()
    }

    /// The next batch is not for it.
    pub(super) const fn skip(&mut self, rows: u64) {
        self.next += 1;
        self.rows += rows;
    }
}
