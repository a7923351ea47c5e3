//! The producing end of edges: what is retained of a stream, and who pulls it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{EdgeId, EventTime, Instant, Interval, Origin, Positions, Slack, convert};

use super::{From, LAPSE, Pull};
use crate::batch::{Batch, Header, Note, Rows};

/// Retains a stream and sends it to those who pull it.
///
/// What anyone keeps is retained; what nobody keeps is released. Nothing is sent beyond a consumer's credit,
/// nor after it has lapsed. Sending is pushing onto `out`: batches for an edge, in order.
#[derive(Debug)]
pub struct Producer {
    retention: Retention,
    logs: BTreeMap<Origin, Log>,
    edges: BTreeMap<EdgeId, Edge>,
    retained_bytes: u64,
}

/// How much a producer may retain and whether its consumers can lapse.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// From how many bytes on the producer takes nothing more, until something was released.
    pub bytes_max: u64,
    /// Whether consumers that are not heard lapse: they do across hosts, and not inside one process.
    pub lapses: bool,
}

/// The retained batches of one origin, and how far it is.
#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    /// The number of the first entry; entries are numbered as they are appended.
    first: u64,
    /// The last index that was released.
    released: u64,
    /// The bytes of all entries that were ever appended.
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    batch: Arc<Batch>,
    /// The bytes of all entries before this one.
    before: u64,
}

/// One consumer, as its pulls describe it.
#[derive(Debug)]
struct Edge {
    application: u64,
    heard: Instant,
    has_lapsed: bool,
    credit: u64,
    budget: Option<Slack>,
    keep: Option<Positions>,
    cursors: BTreeMap<Origin, Cursor>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    /// The entry to be sent next.
    next: u64,
    /// The first entry that the consumer has not wholly taken.
    taken: u64,
    /// The consumer asked for what was released, and has not been told.
    is_behind: bool,
}

impl Producer {
    /// A producer that has nothing and is pulled by nobody.
    pub const fn new(retention: Retention) -> Self {
        Self {
            retention,
            logs: BTreeMap::new(),
            edges: BTreeMap::new(),
            retained_bytes: 0,
        }
    }

    /// Retains at most so much from now on.
    pub fn set_retention(&mut self, bytes_max: u64) {
        self.retention.bytes_max = bytes_max;
    }

    /// Opens an edge for an application. Nothing is sent on it before its first pull.
    pub fn open(&mut self, now: Instant, edge: EdgeId, application: u64) {
        let state = Edge {
            application,
            heard: now,
            has_lapsed: false,
            credit: 0,
            budget: None,
            keep: Some(Positions::new()),
            cursors: BTreeMap::new(),
        };
        self.edges.insert(edge, state);
    }

    /// Ends an edge: what only it kept is released.
    pub fn close(&mut self, edge: EdgeId) {
        self.edges.remove(&edge);
        self.release();
    }

    /// Takes the next batch of the stream and sends it to those who may have it.
    ///
    /// # Panics
    /// When the batch does not join what came before of its origin: who numbers rows leaves nothing out.
    pub fn append(&mut self, batch: Batch, out: &mut Vec<(EdgeId, Arc<Batch>)>) {
        let origin = batch.header.origin;
        let log = self.logs.entry(origin).or_default();
        let end = log.end();
        let is_sent = self.edges.values().all(|edge| {
            edge.cursors
                .get(&origin)
                .is_some_and(|cursor| cursor.next >= end)
        });
        self.retained_bytes += log.append(batch, is_sent);
        for (id, edge) in &mut self.edges {
            if log.end() == end {
                // The last entry has grown: those who have it are sent it again, and cut off what they have.
                edge.step_back(origin, end - 1);
            }
            edge.send(*id, origin, log, out);
        }
        let kept = self.kept_by_all(origin);
        let log = self.logs.get_mut(&origin).expect("just appended to");
        self.retained_bytes -= log.release(kept);
    }

    /// Takes what a consumer says and sends what it may have now.
    ///
    /// A pull for an edge that is not open is ignored: it was overtaken by the end of the edge.
    pub fn handle_pull(
        &mut self,
        now: Instant,
        id: EdgeId,
        pull: &Pull,
        out: &mut Vec<(EdgeId, Arc<Batch>)>,
    ) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        edge.heard = now;
        edge.has_lapsed = false;
        edge.credit = pull.credit;
        edge.budget = pull.budget;
        if let Some(from) = &pull.from {
            edge.rewind(from, &self.logs);
        }
        for (origin, index) in pull.taken.iter() {
            if let Some(log) = self.logs.get(&origin) {
                let cursor = edge.cursors.entry(origin).or_default();
                cursor.taken = cursor.taken.max(log.entry_after(index)).min(cursor.next);
            }
        }
        match (&mut edge.keep, &pull.keep) {
            (Some(keep), Some(moved)) => {
                for (origin, index) in moved.iter() {
                    keep.advance(origin, index);
                }
            }
            (keep, None) => *keep = None,
            (keep @ None, Some(moved)) => *keep = Some(moved.clone()),
        }
        for (origin, log) in &self.logs {
            edge.send(id, *origin, log, out);
        }
        self.release();
    }

    /// When [`Producer::handle_timeout`] wants to be called: when the next consumer lapses.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.retention.lapses {
            return None;
        }
        let live = self.edges.values().filter(|edge| !edge.has_lapsed);
        live.map(|edge| edge.heard + LAPSE).min()
    }

    /// Lets consumers lapse that were not heard.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.retention.lapses {
            for edge in self.edges.values_mut() {
                edge.has_lapsed |= now.since(edge.heard) >= LAPSE;
            }
        }
    }

    /// Whether more of `origin` may be appended.
    ///
    /// An application goes at the speed of the slowest of its own edges, the stream at that of its fastest
    /// application; nobody goes on beyond what may be retained.
    pub fn has_room(&self, origin: Origin) -> bool {
        if self.edges.is_empty() {
            return true;
        }
        if self.retained_bytes >= self.retention.bytes_max {
            return false;
        }
        let Some(log) = self.logs.get(&origin) else {
            return true;
        };
        let live = || self.edges.values().filter(|edge| !edge.has_lapsed);
        let has_all = |edge: &Edge| {
            let cursor = edge.cursors.get(&origin);
            cursor.is_some_and(|cursor| cursor.next >= log.end())
        };
        let all_have = |application: u64| {
            live()
                .filter(|edge| edge.application == application)
                .all(has_all)
        };
        live().next().is_none() || live().any(|edge| has_all(edge) && all_have(edge.application))
    }

    /// The last index of `origin` that no consumer will ask for again; nothing without consumers.
    pub fn released(&self, origin: Origin) -> Option<u64> {
        if self.edges.is_empty() {
            return None;
        }
        Some(self.kept_by_all(origin))
    }

    /// How many bytes are retained.
    pub const fn retained_bytes(&self) -> u64 {
        self.retained_bytes
    }

    /// The strictest budget of those who pull and have not lapsed.
    pub fn budget(&self) -> Option<Slack> {
        let live = self.edges.values().filter(|edge| !edge.has_lapsed);
        live.filter_map(|edge| edge.budget).min()
    }

    fn kept_by_all(&self, origin: Origin) -> u64 {
        let keeps = self.edges.values().filter_map(|edge| edge.keep.as_ref());
        keeps
            .map(|keep| keep.through(origin).unwrap_or(0))
            .min()
            .unwrap_or(u64::MAX)
    }

    fn release(&mut self) {
        let kept: Vec<u64> = self
            .logs
            .keys()
            .map(|origin| self.kept_by_all(*origin))
            .collect();
        for (log, kept) in self.logs.values_mut().zip(kept) {
            self.retained_bytes -= log.release(kept);
        }
    }
}

impl Log {
    /// The number that the next entry will have.
    fn end(&self) -> u64 {
        self.first + convert::size(self.entries.len())
    }

    fn through(&self) -> u64 {
        self.entries
            .back()
            .map_or(self.released, |entry| entry.batch.header.interval.through())
    }

    /// Appends a batch and says how many bytes more are retained.
    ///
    /// A rowless batch grows a rowless last entry, so that a stream without rows piles nothing up. Where
    /// everybody was sent that entry, what is new is as old as the batch; else as what still waits in it.
    fn append(&mut self, batch: Batch, is_sent: bool) -> u64 {
        let is_first = self.entries.is_empty() && self.end() == 0;
        if is_first {
            // An origin that is taken up in its middle: what lies before is not to be had here.
            self.released = batch.header.interval.after();
        }
        assert!(
            is_first || self.through() == batch.header.interval.after(),
            "origin {:?} leaves out indices between {} and {}",
            batch.header.origin,
            self.through(),
            batch.header.interval.after(),
        );
        let bytes = if batch.rows.is_empty() {
            0
        } else {
            convert::size(batch.rows.bytes())
        };
        if bytes == 0
            && let Some(tail) = self.entries.back_mut()
            && tail.batch.rows.is_empty()
            && tail.batch.is_joined_by(&batch)
        {
            let arrival = batch.header.arrival;
            let pair = [Arc::clone(&tail.batch), Arc::new(batch)];
            let mut joined =
                Batch::join(&pair).expect("rowless batches have no columns to differ in");
            if is_sent {
                joined.header.arrival = arrival;
            }
            tail.batch = Arc::new(joined);
            return 0;
        }
        self.entries.push_back(Entry {
            batch: Arc::new(batch),
            before: self.bytes,
        });
        self.bytes += bytes;
        bytes
    }

    /// The number of the first entry that is not wholly at or before `index`.
    fn entry_after(&self, index: u64) -> u64 {
        let is_before = |entry: &Entry| {
            let interval = entry.batch.header.interval;
            interval.through() <= index && interval.after() < index
        };
        self.first + convert::size(self.entries.partition_point(is_before))
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries
            .get(convert::index(number.checked_sub(self.first)?))
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

    /// Releases what lies at or before `kept`; says how many bytes that were.
    ///
    /// A last entry without rows stays: it tells whoever opens an edge later how far the origin is.
    fn release(&mut self, kept: u64) -> u64 {
        let before = self.bytes_before(self.first);
        while let Some(entry) = self.entries.front()
            && entry.batch.header.interval.through() <= kept
            && (self.entries.len() > 1 || !entry.batch.rows.is_empty())
        {
            self.released = entry.batch.header.interval.through();
            self.entries.pop_front();
            self.first += 1;
        }
        self.bytes_before(self.first) - before
    }

    /// What tells a consumer that it cannot have anything up to `released`; nothing where all is here.
    fn gap(&self, origin: Origin) -> Option<Batch> {
        let like = self.entries.front()?;
        let header = Header {
            origin,
            interval: Interval::empty(self.released),
            arrival: like.batch.header.arrival,
            progress: EventTime::MIN,
            missing: 0,
            note: Some(Note::Gap),
        };
        Some(Batch {
            header,
            rows: Rows::empty(like.batch.rows.columns().schema()),
        })
    }
}

impl Edge {
    /// Sends from where a pull says. What the consumer has not worked off goes on counting against its
    /// credit: it waits there, whether or not it is sent again.
    fn rewind(&mut self, from: &From, logs: &BTreeMap<Origin, Log>) {
        let before = std::mem::take(&mut self.cursors);
        for (origin, log) in logs {
            let index = match from {
                From::Latest => log.through(),
                // From its beginning, also where that is no longer to be had.
                From::Positions(positions) => positions.through(*origin).unwrap_or(0),
            };
            let next = match from {
                From::Latest => log.end(),
                From::Positions(_) => log.entry_after(index),
            };
            let taken = before
                .get(origin)
                .map_or(next, |cursor| cursor.taken.min(next));
            let is_behind = index < log.released;
            self.cursors.insert(
                *origin,
                Cursor {
                    next,
                    taken,
                    is_behind,
                },
            );
        }
    }

    /// Sends an entry again to a consumer that has it.
    fn step_back(&mut self, origin: Origin, number: u64) {
        if let Some(cursor) = self.cursors.get_mut(&origin) {
            cursor.next = cursor.next.min(number);
            cursor.taken = cursor.taken.min(number);
        }
    }

    /// Sends what the credit allows. A consumer that asks for what was released is told of the gap first.
    fn send(&mut self, id: EdgeId, origin: Origin, log: &Log, out: &mut Vec<(EdgeId, Arc<Batch>)>) {
        if self.has_lapsed || self.credit == 0 {
            return;
        }
        let cursor = self.cursors.entry(origin).or_default();
        if cursor.is_behind || cursor.next < log.first {
            let Some(gap) = log.gap(origin) else { return };
            out.push((id, Arc::new(gap)));
            cursor.next = cursor.next.max(log.first);
            cursor.is_behind = false;
        }
        cursor.taken = cursor.taken.max(log.first);
        while let Some(entry) = log.entry(cursor.next) {
            let under_way = log.bytes_before(cursor.next) - log.bytes_before(cursor.taken);
            let after = log.bytes_before(cursor.next + 1) - log.bytes_before(cursor.taken);
            if under_way > 0 && after > self.credit && !entry.batch.rows.is_empty() {
                return;
            }
            out.push((id, Arc::clone(&entry.batch)));
            cursor.next += 1;
        }
    }
}
