//! One consumer of a producer, as its pulls describe it.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{EdgeId, EventTime, Instant, Interval, Origin, convert};

use super::log::{Log, Mark};
use super::{Begin, From, Move, Opening, Pull};
use crate::batch::{Batch, Header, Note, Rows};
use crate::budget::Budget;
use crate::few::Few;

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
    /// Rows that were dropped before they could be sent.
    pub(super) drops: u64,
}

/// How far a consumer is in one origin.
#[derive(Debug, Default)]
struct Cursor {
    /// The entry to be sent next, the last index before it, and the rows before it.
    next: u64,
    reached: u64,
    rows: u64,
    /// What was sent and not worked off yet: the last index and the bytes of each batch with rows.
    in_flight: VecDeque<(u64, u64)>,
    in_flight_bytes: u64,
    /// It began in the middle, and has not been told where.
    start: Option<Mark>,
    /// What it will not get, and has not been told of.
    lost: Option<Lost>,
}

/// Rows that a consumer will not get.
#[derive(Debug, Clone, Copy)]
struct Lost {
    /// The last index before them.
    after: u64,
    rows: u64,
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
            drops: 0,
        };
        if opening.begin == Begin::Held {
            reader.begin(logs);
        }
        reader
    }

    /// One that comes after this one elsewhere, and has said nothing yet.
    pub(super) fn fork(&self, now: Instant) -> Self {
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
            start: self.start.clone(),
            credit: 0,
            budget: None,
            keep: self.keep.clone(),
            cursors: Few::new(),
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
        let cursor = self.cursors.get(&origin);
        cursor.is_some_and(|cursor| cursor.next >= log.end())
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
        let rows = convert::size(entry.batch.rows.len());
        if !self.cursors.contains_key(&origin) {
            let place = self.place(origin, log, None);
            self.cursors.insert(origin, place);
        }
        let Some(cursor) = self.cursors.get_mut(&origin) else {
            return;
        };
        if cursor.next <= log.first() {
            cursor.next = log.first();
            cursor.lose(&entry.batch, rows);
            self.drops += rows;
        }
    }

    /// Sends what the credit allows. A consumer that will not get something is told so first.
    pub(super) fn send(&mut self, id: EdgeId, origin: Origin, log: &Log, out: &mut Sends) {
        if self.has_lapsed || self.credit == 0 || !self.has_pulled {
            return;
        }
        if !self.cursors.contains_key(&origin) {
            let place = self.place(origin, log, None);
            self.cursors.insert(origin, place);
        }
        let (is_tap, credit) = (self.is_tap(), self.credit);
        let Some(cursor) = self.cursors.get_mut(&origin) else {
            return;
        };
        if cursor.next < log.first() {
            // It was released meanwhile: nobody kept it, or not for who was silent for so long.
            let rows = log.rows_before(log.first()) - cursor.rows;
            if rows > 0 {
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
            cursor.reached = log.released();
        }
        while let Some(entry) = log.entry(cursor.next) {
            let rows = convert::size(entry.batch.rows.len());
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
            if let Some(mark) = cursor.start.take() {
                out.push((id, Arc::new(told_start(mark, &entry.batch))));
            }
            if let Some(lost) = cursor.lost.take() {
                out.push((id, Arc::new(told_lost(lost, &entry.batch))));
            }
            out.push((id, Arc::clone(&entry.batch)));
            if rows > 0 {
                let through = entry.batch.header.interval.through();
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
            rows: log.released() - index,
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

impl Cursor {
    /// What lies up to `index` was worked off.
    fn take(&mut self, index: u64) {
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
    fn inherit(&mut self, old: Self, named: Option<u64>) {
        let arrived = named.unwrap_or(0);
        self.in_flight = old.in_flight;
        self.in_flight.retain(|(through, _)| *through <= arrived);
        self.in_flight_bytes = self.in_flight.iter().map(|(_, bytes)| bytes).sum();
    }

    /// The next batch goes lost.
    fn lose(&mut self, batch: &Batch, rows: u64) {
        let after = batch.header.interval.after().max(self.reached);
        let lost = self.lost.get_or_insert(Lost { after, rows: 0 });
        lost.rows += rows + u64::from(batch.header.missing);
        self.pass(batch, rows);
    }

    fn pass(&mut self, batch: &Batch, rows: u64) {
        self.next += 1;
        self.rows += rows;
        self.reached = batch.header.interval.through();
    }
}

/// Moves what is kept of an origin to an index; never back.
fn advance(keep: &mut Few<Origin, u64>, origin: Origin, index: u64) {
    let kept = keep.get_or_insert_with(origin, || index);
    *kept = index.max(*kept);
}

/// What tells a consumer where the latest was: nothing before it is missing.
fn told_start(mark: Mark, next: &Batch) -> Batch {
    told(Interval::empty(mark.index), mark.progress, 0, next)
}

/// What tells a consumer that it will not get some rows before `next`.
fn told_lost(lost: Lost, next: &Batch) -> Batch {
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
