//! What a producer retains, as data: so that another producer of the same stream goes on where this one is.

use std::sync::Arc;

use model::{EventTime, Instant, Origin};

use super::LAPSE;
use super::log::{Log, Mark};
use super::producer::Producer;
use crate::batch::Batch;
use crate::few::Few;

/// What is retained of one origin, or what of that is new.
#[derive(Debug, Clone, PartialEq)]
pub struct Retained {
    /// Whose rows.
    pub origin: Origin,
    /// Up to where nothing is to be had any more.
    pub released: Mark,
    /// How far the origin is.
    pub progress: EventTime,
    /// The last index before what follows; what was known to lie behind it is replaced.
    pub after: u64,
    /// What is retained behind that, in order.
    pub batches: Vec<Arc<Batch>>,
}

/// What somebody has of what a producer retains, of each origin.
pub type Held = std::collections::BTreeMap<Origin, Stretch>;

/// The indices of an origin that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The last index before the first.
    pub after: u64,
    /// The last one.
    pub through: u64,
}

impl Producer {
    /// What is retained that lies behind what somebody holds, and what was released. What all who read have acknowledged counts as released,
    /// also where it is held for those who are yet to come: who comes after a reader with nothing would else get it again. Where somebody reads
    /// again by now what counted as released before, all is new: who holds the rest lacks what lies before it.
    ///
    /// A last batch without rows is told each time: it grows without an index more.
    pub fn retained(&self, held: &Held) -> Vec<Retained> {
        let log = |(origin, log): (&Origin, &Log)| {
            let kept = self.kept_by_readers(*origin, log);
            let retained = |through| {
                let retained = log.retained(*origin, through);
                match kept {
                    Some(kept) => retained.behind(log.mark_before(kept)),
                    None => retained,
                }
            };
            let Some(held) = held.get(origin) else {
                return retained(None);
            };
            let new = retained(Some(held.through));
            match new.released.index < held.after {
                true => retained(None),
                false => new,
            }
        };
        self.logs.iter().map(log).collect()
    }

    /// Goes on where another producer of the stream was. For as long as a consumer may be silent nothing is released, but for lack of
    /// room: those who read it there are yet to come.
    ///
    /// # Panics
    /// When something was appended before, or batches leave out indices: who decodes them has seen to that.
    pub fn restore(&mut self, now: Instant, retained: Vec<Retained>) {
        assert!(!self.has_begun(), "only a new producer goes on for another");
        let mut logs = Few::new();
        let mut bytes = 0;
        for retained in retained {
            let mut log = Log::released_to(retained.released);
            for batch in retained.batches {
                bytes += log.append(batch, |_| true);
            }
            log.reach(retained.progress);
            logs.insert(retained.origin, log);
        }
        self.logs = logs;
        self.retained_bytes = bytes;
        self.held_until = Some(now + LAPSE);
    }

    /// Releases what another producer of the stream had released, whose place this one takes: who has nothing begins behind that, also in the
    /// middle of a batch.
    pub fn release_before(&mut self, retained: &[Retained]) {
        for Retained {
            origin, released, ..
        } in retained
        {
            if let Some(log) = self.logs.get_mut(origin) {
                log.begin_at(*released);
                self.retained_bytes -= log.release(released.index);
            }
        }
    }

    /// Begins behind these indices, in the place of another producer of the stream that is lost. For as long as a consumer may be silent
    /// nothing is released, but for lack of room; see [`Producer::restore`].
    ///
    /// # Panics
    /// When something was appended before.
    pub(crate) fn begin_at(&mut self, now: Instant, places: Vec<(Origin, u64)>) {
        assert!(!self.has_begun(), "only a new producer begins for another");
        let begin = |(origin, index)| {
            let mark = Mark {
                index,
                ..Mark::BEGINNING
            };
            (origin, Log::released_to(mark))
        };
        self.logs = places.into_iter().map(begin).collect();
        self.held_until = Some(now + LAPSE);
    }
}

impl Retained {
    /// The same without what lies before a place.
    fn behind(mut self, place: Mark) -> Self {
        if place.index > self.released.index {
            self.released = place;
            self.batches
                .retain(|batch| batch.header.interval.through() > place.index);
            self.after = self.after.max(place.index);
        }
        self
    }

    /// Puts what is new of an origin to what is known of it. Says whether they join.
    pub(crate) fn advance(&mut self, new: Self) -> bool {
        let released = new.released.index;
        self.released = new.released;
        self.progress = new.progress;
        self.batches.retain(|batch| {
            let interval = batch.header.interval;
            interval.through() > released
                && interval.through() <= new.after
                && interval.after() < new.after
        });
        let mut joins = self.through() == new.after;
        for batch in new.batches {
            joins &= self.through() == batch.header.interval.after();
            self.batches.push(batch);
        }
        let first = self.batches.first();
        joins && first.is_none_or(|first| first.header.interval.after() == released)
    }

    /// What whoever knows this has, and what came before it.
    pub(crate) fn stretch(&self) -> Stretch {
        let last = self.batches.last();
        Stretch {
            after: self.released.index,
            through: last.map_or(self.after, |last| last.header.interval.through()),
        }
    }

    /// The last index that is known of.
    pub(crate) fn through(&self) -> u64 {
        let last = self.batches.last();
        last.map_or(self.released.index, |last| last.header.interval.through())
    }

    /// The memory that is held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows.bytes()).sum()
    }
}
