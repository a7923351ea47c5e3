//! One consumer of a producer, as its pulls describe it.

use std::sync::Arc;

use model::{EdgeId, Instant, Origin};

use super::cursor::{Cursor, Lost, told_lost, told_start};
use super::log::{Fetched, Log, Mark};
use super::{Begin, From, Move, Opening, Pull};
use crate::batch::Batch;
use crate::budget::Budget;
use crate::few::Few;

mod again;

/// What is to be sent: batches for an edge, in order.
pub(super) type Sends = Vec<(EdgeId, Arc<Batch>)>;

/// One consumer.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) opening: Opening,
    /// The applications for which it reads beside the one whose it is: they share what it feeds.
    sharing: Vec<u64>,
    pub(super) heard: Instant,
    pub(super) has_pulled: bool,
    pub(super) has_lapsed: bool,
    /// What is kept for it was said by who came before it.
    is_fork: bool,
    /// It asked for the latest: origins that it does not name are sent from where it began.
    is_latest: bool,
    /// Where it began, of the origins that there were then.
    start: Few<Origin, Mark>,
    credit: u64,
    pub(super) budget: Option<Budget>,
    keep: Option<Few<Origin, u64>>,
    cursors: Few<Origin, Cursor>,
    /// Where it last asked to go on in origins of which nothing was there then.
    named: Few<Origin, u64>,
    /// Rows that were dropped before they could be sent.
    pub(super) drops: u64,
}

impl Reader {
    pub(super) fn new(now: Instant, opening: Opening, logs: &Few<Origin, Log>) -> Self {
        let mut reader = Self {
            opening,
            sharing: Vec::new(),
            heard: now,
            has_pulled: false,
            has_lapsed: false,
            is_fork: false,
            is_latest: false,
            start: Few::new(),
            credit: 0,
            budget: None,
            keep: match opening.begin {
                Begin::Held | Begin::Latest | Begin::Retained => Some(Few::new()),
                Begin::Tap => None,
            },
            cursors: Few::new(),
            named: Few::new(),
            drops: 0,
        };
        if opening.begin == Begin::Held {
            reader.begin(logs);
        }
        reader
    }

    /// One that comes after this one elsewhere, and has said nothing yet. Of what it does not name it begins where that begins
    /// which is kept for this one: so that who has nothing reads on from what this one will not ask for again.
    pub(super) fn fork(&self, now: Instant, logs: &Few<Origin, Log>) -> Self {
        let kept = |origin, log: &Log| {
            let kept = self.kept(origin, log);
            kept.unwrap_or_else(|| log.mark().index)
        };
        let keep: Few<Origin, u64> = logs
            .iter()
            .map(|(origin, log)| (*origin, kept(*origin, log)))
            .collect();
        let start = logs
            .iter()
            .map(|(origin, log)| (*origin, log.mark_at(kept(*origin, log))))
            .collect();
        Self {
            opening: Opening {
                lapses: true,
                begin: Begin::Retained,
                ..self.opening
            },
            sharing: self.sharing.clone(),
            heard: now,
            has_pulled: false,
            has_lapsed: false,
            is_fork: true,
            is_latest: self.is_latest,
            start,
            credit: 0,
            budget: None,
            keep: self.keep.is_some().then_some(keep),
            cursors: Few::new(),
            named: Few::new(),
            drops: 0,
        }
    }

    /// Its consumer is in this process now, and so is its application.
    pub(super) fn bring_here(&mut self, application: u64) {
        self.opening.application = application;
        self.opening.lapses = false;
        self.has_lapsed = false;
        self.leave(application);
    }

    /// It reads for one more application.
    pub(super) fn join(&mut self, application: u64) {
        if !self.is_of(application) {
            self.sharing.push(application);
        }
    }

    /// It no longer reads for an application whose it is not.
    pub(super) fn leave(&mut self, application: u64) {
        self.sharing.retain(|other| *other != application);
    }

    /// Whether it reads for others than the application whose it is.
    pub(super) fn is_shared(&self) -> bool {
        !self.sharing.is_empty()
    }

    /// Whether it reads for an application.
    pub(super) fn is_of(&self, application: u64) -> bool {
        self.opening.application == application || self.sharing.contains(&application)
    }

    /// The applications for which it reads: whose it is, and those that share what it feeds.
    pub(super) fn applications(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::once(self.opening.application).chain(self.sharing.iter().copied())
    }

    /// Whether nothing is kept for it and nobody waits for it.
    pub(super) const fn is_tap(&self) -> bool {
        self.keep.is_none()
    }

    /// Whether others of its application wait for it.
    pub(super) fn sets_pace(&self) -> bool {
        let was_asked = self.has_pulled || self.opening.begin == Begin::Held;
        !self.is_tap() && !self.has_lapsed && was_asked
    }

    /// The last index of an origin that it will not ask for again; nothing where it asks for none again.
    pub(super) fn kept(&self, origin: Origin, log: &Log) -> Option<u64> {
        let keep = self.keep.as_ref()?;
        if self.has_pulled || self.is_fork {
            let start = || {
                if self.is_latest {
                    self.mark(origin, log).index
                } else {
                    0
                }
            };
            return Some(keep.get(&origin).copied().unwrap_or_else(start));
        }
        match self.opening.begin {
            Begin::Held | Begin::Retained => Some(self.mark(origin, log).index),
            Begin::Latest | Begin::Tap => None,
        }
    }

    /// Whether it was sent all that there is of an origin.
    pub(super) fn has_all(&self, origin: Origin, log: Option<&Log>) -> bool {
        let Some(log) = log else {
            return self.has_pulled;
        };
        // Where nothing is retained, who has pulled lacks nothing that waiting would bring.
        self.cursors.get(&origin).map_or_else(
            || self.has_pulled && log.first() == log.end(),
            |cursor| cursor.next >= log.end(),
        )
    }

    /// Whether it has worked off all that it was sent of an origin.
    pub(super) fn has_settled(&self, origin: Origin) -> bool {
        self.cursors
            .get(&origin)
            .is_none_or(|cursor| cursor.in_flight.is_empty())
    }

    /// Takes what a pull says.
    pub(super) fn hear(&mut self, now: Instant, pull: &Pull, logs: &Few<Origin, Log>) {
        self.heard = now;
        self.has_lapsed = false;
        self.credit = pull.credit;
        if !self.has_pulled {
            self.has_pulled = true;
            if matches!(self.opening.begin, Begin::Latest | Begin::Tap) {
                self.begin(logs);
            }
        }
        if let Some(from) = &pull.from {
            self.rewind(from, logs);
            self.keep_from(from);
        }
        for (origin, index) in pull.taken.iter() {
            if let Some(cursor) = self.cursors.get_mut(&origin) {
                cursor.take(index);
            }
        }
        let known = |(origin, _): &(Origin, u64)| logs.contains_key(origin);
        self.keep = match (self.keep.take(), &pull.keep) {
            // A tap stays one, whatever it says.
            (_, None) => None,
            (None, Some(_)) if self.opening.begin == Begin::Tap => None,
            (keep, Some(moved)) => {
                let mut keep = keep.unwrap_or_default();
                for (origin, index) in moved.iter().filter(known) {
                    advance(&mut keep, origin, index);
                }
                Some(keep)
            }
        };
        self.budget = pull.budget.clone().filter(|_| !self.is_tap());
    }

    /// Takes what it says of an origin, where it has pulled before.
    pub(super) fn go_on(&mut self, now: Instant, step: Move) {
        self.heard = now;
        self.has_lapsed = false;
        if let Some(cursor) = self.cursors.get_mut(&step.origin) {
            cursor.take(step.taken);
        }
        if let Some(keep) = &mut self.keep {
            advance(keep, step.origin, step.kept);
        }
    }

    /// Sends an entry again that has grown.
    pub(super) fn step_back(&mut self, origin: Origin, number: u64) {
        if let Some(cursor) = self.cursors.get_mut(&origin) {
            cursor.next = cursor.next.min(number);
        }
    }

    /// The first entry of an origin is released before everybody who keeps it has taken it.
    pub(super) fn lose_first(&mut self, origin: Origin, log: &Log) {
        if !self.has_pulled {
            // It will be told how far it is behind when it asks.
            return;
        }
        let Some(entry) = log.entry(log.first()) else {
            return;
        };
        let rows = entry.rows;
        if !self.cursors.contains_key(&origin) {
            self.enter(origin, log);
        }
        let Some(cursor) = self.cursors.get_mut(&origin) else {
            return;
        };
        if cursor.next <= log.first() {
            cursor.next = log.first();
            cursor.lose(&entry.batch, rows);
            self.drops += rows;
            if log.keeps_first() {
                // What stays of it tells that the origin has ended.
                cursor.next = log.first();
            }
        }
    }

    /// Sends what the credit allows. A consumer that will not get something is told so first.
    pub(super) fn send(&mut self, id: EdgeId, origin: Origin, log: &Log, out: &mut Sends) {
        if self.has_lapsed || self.credit == 0 || !self.has_pulled {
            return;
        }
        if !self.cursors.contains_key(&origin) {
            self.enter(origin, log);
        }
        let (is_tap, credit) = (self.is_tap(), self.credit);
        let Some(cursor) = self.cursors.get_mut(&origin) else {
            return;
        };
        if cursor.next < log.first() {
            // It was released meanwhile: nobody kept it, or not for who was silent for so long.
            let rows = log.rows_before(log.first()) - cursor.rows;
            if rows > 0 && cursor.reached < log.released() {
                cursor
                    .lost
                    .get_or_insert(Lost {
                        after: cursor.reached,
                        rows: 0,
                    })
                    .rows += rows;
                self.drops += rows;
            }
            cursor.next = log.first();
            cursor.rows += rows;
            cursor.reached = cursor.reached.max(log.released());
        }
        while let Some(entry) = log.entry(cursor.next) {
            let rows = entry.rows;
            let through = entry.batch.header.interval.through();
            if cursor.has(&entry.batch, rows) {
                // It has come further elsewhere, and asked for what lies behind that.
                if through == cursor.reached {
                    if let Some(mark) = cursor.start.take() {
                        let mark = log.mark_again(mark);
                        out.push((id, Arc::new(told_start(mark, &entry.batch))));
                    }
                    out.push((id, Arc::new(entry.batch.cut(through))));
                }
                cursor.skip(rows);
                continue;
            }
            let in_flight = cursor.in_flight_bytes;
            let mut may_go = rows == 0 || in_flight == 0 || in_flight + entry.bytes <= credit;
            if is_tap && cursor.lost.is_some() {
                // So that it is not told of every other batch that it does not get.
                may_go &= in_flight <= credit / 2;
            }
            if !may_go {
                if !is_tap {
                    return;
                }
                cursor.lose(&entry.batch, rows);
                self.drops += rows;
                continue;
            }
            let batch = match entry.fetch() {
                Fetched::Here(batch) => batch,
                Fetched::Stored(number) => return cursor.awaited = Some(number),
                Fetched::Lost => {
                    cursor.lose(&entry.batch, rows);
                    self.drops += rows;
                    continue;
                }
            };
            if let Some(mark) = cursor.start.take() {
                let mark = log.mark_again(mark);
                out.push((id, Arc::new(told_start(mark, &entry.batch))));
            }
            if let Some(lost) = cursor.lost.take() {
                out.push((id, Arc::new(told_lost(lost, &entry.batch))));
            }
            out.push((id, Arc::clone(batch)));
            if rows > 0 {
                cursor.in_flight.push_back((through, entry.bytes));
                cursor.in_flight_bytes += entry.bytes;
            }
            cursor.pass(&entry.batch, rows);
        }
    }

    /// It begins where the origins stand.
    fn begin(&mut self, logs: &Few<Origin, Log>) {
        self.start = logs
            .iter()
            .map(|(origin, log)| (*origin, log.mark()))
            .collect();
    }

    /// Where it began in an origin: of one that came later, where that begins.
    fn mark(&self, origin: Origin, log: &Log) -> Mark {
        self.start
            .get(&origin)
            .copied()
            .unwrap_or_else(|| log.begin())
    }

    /// Sends from where a pull says. What arrived and was not worked off goes on counting against its credit:
    /// it waits there.
    fn rewind(&mut self, from: &From, logs: &Few<Origin, Log>) {
        let positions = match from {
            From::Latest => {
                self.is_latest = true;
                None
            }
            From::LatestBut(positions) => {
                self.is_latest = true;
                Some(positions)
            }
            From::Positions(positions) => Some(positions),
        };
        let mut before = std::mem::take(&mut self.cursors);
        for (origin, log) in logs.iter() {
            let named = positions.and_then(|positions| positions.through(*origin));
            let mut cursor = self.place(*origin, log, named);
            if let Some(old) = before.remove(origin) {
                cursor.inherit(old, named);
            }
            self.cursors.insert(*origin, cursor);
        }
        let is_unknown = |(origin, _): &(Origin, u64)| !logs.contains_key(origin);
        let named = positions.into_iter().flat_map(|positions| positions.iter());
        self.named = named.filter(is_unknown).collect();
    }

    /// How to go on in an origin behind the index that was named, or from where the consumer begins.
    fn place(&self, origin: Origin, log: &Log, named: Option<u64>) -> Cursor {
        let mark = match named {
            None if self.is_latest => self.mark(origin, log),
            None | Some(_) => Mark::BEGINNING,
        };
        let index = named.unwrap_or(mark.index);
        let lost = (index < log.released()).then(|| Lost {
            after: index,
            rows: log.rows_released_behind(index),
        });
        let next = log.entry_from(index);
        Cursor {
            next,
            reached: index,
            rows: log.rows_before(next),
            start: (mark.index > 0).then_some(mark),
            lost,
            ..Cursor::default()
        }
    }
}

/// Moves what is kept of an origin to an index; never back.
fn advance(keep: &mut Few<Origin, u64>, origin: Origin, index: u64) {
    let kept = keep.get_or_insert_with(origin, || index);
    *kept = index.max(*kept);
}
