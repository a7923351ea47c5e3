//! A source that can be read again: who asks for what lies before what is retained makes it go back.

use std::sync::Arc;

use model::{EdgeId, Origin};

use super::Producer;
use crate::batch::Batch;
use crate::edge::log::{Log, Mark};

/// What is asked of a source that can be read again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The least index behind which somebody asks for what is no longer here.
    wanted: Option<u64>,
}

impl Again {
    /// Somebody asks for what lies behind this index.
    pub(super) fn want(&mut self, after: Option<u64>) {
        self.wanted = least(self.wanted, after);
    }
}

/// From where those who read a stream want an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The least index behind which somebody goes on.
    pub after: Option<u64>,
    /// Whether somebody takes whatever comes next.
    pub latest: bool,
}

impl Asked {
    /// What two streams of one origin are asked for.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            after: least(self.after, other.after),
            latest: self.latest || other.latest,
        }
    }
}

impl Producer {
    /// From now on who asks for what was released gets it, since the source can go back.
    pub fn set_again(&mut self) {
        self.again.get_or_insert_default();
    }

    /// The source cannot go back after all: who asked for it is told of the gap.
    pub fn end_again(&mut self, out: &mut Vec<(EdgeId, Arc<Batch>)>) {
        self.again = None;
        let readers: Vec<EdgeId> = self.readers.iter().map(|(id, _)| *id).collect();
        for id in readers {
            self.send_again(id, out);
        }
    }

    /// The index behind which the source is to be read again, where it is.
    pub fn goes_back(&self) -> Option<u64> {
        self.again.as_ref()?.wanted
    }

    /// From where those who have pulled want an origin; who only looks on asks for nothing.
    pub fn asked(&self, origin: Origin) -> Asked {
        let readers = self.readers.values();
        let mut asked = Asked::default();
        for reader in readers.filter(|reader| reader.has_pulled && !reader.is_tap()) {
            let after = reader.asks(origin);
            asked = asked.with(Asked {
                after,
                latest: after.is_none(),
            });
        }
        asked
    }

    /// The last index of an origin that nobody will ask for again; nothing where nobody can say so.
    pub fn kept(&self, origin: Origin) -> Option<u64> {
        let log = self.logs.get(&origin)?;
        let readers = self.readers.values();
        let keeps = readers.filter_map(|reader| reader.kept(origin, log));
        keeps.min()
    }

    /// The source goes on behind `mark`, which may lie before what was sent. Nobody is sent again what he was sent; who takes
    /// whatever comes next begins behind `latest`.
    pub fn read_again(&mut self, origin: Origin, mark: Mark, latest: u64) {
        let log = Log::released_to(mark);
        let latest = match latest > mark.index {
            // What lies between is read first, and tells how far the origin is there.
            true => Mark {
                index: latest,
                ..Mark::BEGINNING
            },
            false => mark,
        };
        let mut lacking: Option<u64> = None;
        for reader in self.readers.values_mut() {
            reader.read_again(origin, &log, latest);
            if reader.has_pulled && !reader.is_tap() {
                let before = reader.asks(origin).filter(|after| *after < mark.index);
                lacking = least(lacking, before);
            }
        }
        if let Some(before) = self.logs.insert(origin, log) {
            self.retained_bytes -= before.bytes_through(u64::MAX);
            self.drop_stored(before);
        }
        if let Some(again) = &mut self.again {
            again.wanted = lacking;
        }
    }

    pub(super) fn send_again(&mut self, id: EdgeId, out: &mut Vec<(EdgeId, Arc<Batch>)>) {
        let Some(reader) = self.readers.get_mut(&id) else {
            return;
        };
        for (origin, log) in self.logs.iter() {
            reader.send(id, *origin, log, out);
        }
    }
}

/// The lesser of two indices, or the one that there is.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
