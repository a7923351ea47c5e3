//! The producing end of edges: what is retained of a stream, and who pulls it.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{EdgeId, Instant, Origin};

use super::log::Log;
use super::reader::Reader;
use super::{LAPSE, Move, Opening, Pull};
use crate::batch::Batch;
use crate::budget::Budget;
use crate::few::Few;

mod again;
mod storage;

pub use again::Asked;

/// Retains a stream and sends it to those who pull it.
///
/// What anyone keeps is retained; what nobody keeps is released. Nothing is sent beyond a consumer's credit,
/// nor after it has lapsed. Sending is pushing onto `out`: batches for an edge, in order.
#[derive(Debug)]
pub struct Producer {
    retention: Retention,
    pub(super) logs: Few<Origin, Log>,
    readers: Few<EdgeId, Reader>,
    pub(super) retained_bytes: u64,
    /// Until then nothing is released but for lack of room: those who read it come from somewhere else.
    pub(super) held_until: Option<Instant>,
    /// Of a source that can be read again: what is asked for that lies before what is retained. Until that was read again nothing is sent.
    again: Option<again::Again>,
    storage: storage::Storage,
}

/// What a producer knows of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When it last pulled, or else was opened.
    pub at: Instant,
    /// Whether it has pulled.
    pub has_pulled: bool,
    /// Whether other applications depend on it than the one whose it is.
    pub is_shared: bool,
}

/// How much a producer may retain, and whether it goes on when nobody reads it.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// From how many bytes on the producer takes nothing more, until something was released.
    pub bytes_max: u64,
    /// Whether rows flow also where all who read are silent, as those of a published source do.
    pub flows_unread: bool,
}

impl Producer {
    /// A producer that has nothing and is pulled by nobody.
    pub const fn new(retention: Retention) -> Self {
        Self {
            retention,
            logs: Few::new(),
            readers: Few::new(),
            retained_bytes: 0,
            held_until: None,
            again: None,
            storage: storage::Storage::new(),
        }
    }

    /// Retains at most so much from now on.
    pub fn set_retention(&mut self, bytes_max: u64) {
        self.retention.bytes_max = bytes_max;
    }

    /// Says whether rows flow also where all who read are silent: then the oldest goes where there is no room.
    pub const fn set_flows_unread(&mut self, flows_unread: bool) {
        self.retention.flows_unread = flows_unread;
    }

    /// From now on it is waited for those who read, as if they had just opened their edges.
    pub fn await_readers(&mut self, now: Instant) {
        for reader in self.readers.values_mut() {
            reader.heard = now;
        }
    }

    /// Opens an edge. Nothing is sent on it before its first pull.
    pub fn open(&mut self, now: Instant, edge: EdgeId, opening: Opening) {
        let reader = Reader::new(now, opening, &self.logs);
        self.readers.insert(edge, reader);
    }

    /// Opens an edge for who comes after the consumer of another one, elsewhere: until its first pull is heard everything is kept for
    /// it that is kept for that one, and nobody waits for it. What its first pull does not name it gets from where that begins which
    /// is kept for the other: where it does is told, and nothing is lost. Does nothing where the other is not open.
    pub fn fork(&mut self, now: Instant, edge: EdgeId, other: EdgeId) {
        let other = self.readers.get(&other);
        if let Some(forked) = other.map(|other| other.fork(now, &self.logs)) {
            self.readers.insert(edge, forked);
        }
    }

    /// The consumer of an edge is in this process now, of this application, and does not lapse.
    pub fn bring_here(&mut self, edge: EdgeId, application: u64) {
        if let Some(reader) = self.readers.get_mut(&edge) {
            reader.bring_here(application);
        }
    }

    /// Ends an edge: what only it kept is released. Says how many rows it did not get.
    pub fn close(&mut self, edge: EdgeId) -> u64 {
        let closed = self.readers.remove(&edge);
        self.release();
        closed.map_or(0, |reader| reader.drops)
    }

    /// An edge is read for one more application: its consumer is shared.
    pub fn join(&mut self, edge: EdgeId, application: u64) {
        if let Some(reader) = self.readers.get_mut(&edge) {
            reader.join(application);
        }
    }

    /// An application needs nothing of an edge any more that was not its own; see [`Producer::join`].
    pub fn leave(&mut self, edge: EdgeId, application: u64) {
        if let Some(reader) = self.readers.get_mut(&edge) {
            reader.leave(application);
        }
    }

    /// Takes the next batch of the stream and sends it to those who may have it.
    ///
    /// Where so much is retained that others would have to wait for who is behind, the oldest goes first that
    /// only those keep; they are told of the gap.
    ///
    /// # Panics
    /// When the batch does not join what came before of its origin: who numbers rows leaves nothing out.
    pub fn append(&mut self, batch: impl Into<Arc<Batch>>, out: &mut Vec<(EdgeId, Arc<Batch>)>) {
        let batch = batch.into();
        if self.is_full() {
            let leading = self.leading(batch.header.origin);
            self.make_room(&leading);
        }
        let origin = batch.header.origin;
        let log = self.logs.get_or_insert_with(origin, || Log::of(&batch));
        let end = log.end();
        let is_sent = |log: &Log| {
            let mut readers = self.readers.values();
            readers.all(|reader| reader.has_all(origin, Some(log)))
        };
        self.retained_bytes += log.append(batch, is_sent);
        for (id, reader) in self.readers.iter_mut() {
            if log.end() == end {
                // The last entry has grown: those who have it are sent it again, and cut off what they have.
                reader.step_back(origin, end - 1);
            }
            reader.send(*id, origin, log, out);
        }
        if self.held_until.is_none() {
            let kept = kept_by_all(&self.readers, origin, log);
            self.retained_bytes -= log.release(kept);
        }
    }

    /// Whether anything was ever appended.
    pub fn has_begun(&self) -> bool {
        !self.logs.is_empty()
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
        let Some(reader) = self.readers.get_mut(&id) else {
            return;
        };
        reader.hear(now, pull, &self.logs);
        if let Some(again) = &mut self.again
            && pull.from.is_some()
        {
            again.want(reader.lacks_from());
        }
        if self.goes_back().is_none() {
            self.send_again(id, out);
        }
        self.release();
    }

    /// Takes what a consumer says that has pulled before and asks for nothing else than to go on: see [`Producer::handle_pull`].
    pub fn handle_moves(
        &mut self,
        now: Instant,
        id: EdgeId,
        moves: impl Iterator<Item = Move>,
        out: &mut Vec<(EdgeId, Arc<Batch>)>,
    ) {
        let is_held = self.goes_back().is_some();
        for step in moves {
            let Some(reader) = self.readers.get_mut(&id) else {
                return;
            };
            let Some(log) = self.logs.get_mut(&step.origin) else {
                continue;
            };
            reader.go_on(now, step);
            if !is_held {
                reader.send(id, step.origin, log, out);
            }
            if self.held_until.is_none() {
                let kept = kept_by_all(&self.readers, step.origin, log);
                self.retained_bytes -= log.release(kept);
            }
        }
    }

    /// Lets consumers lapse that were not heard. Says whether one did.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.held_until.take_if(|until| now >= *until).is_some() {
            self.release();
        }
        let mut has_lapsed = false;
        for reader in self.readers.values_mut() {
            if reader.opening.lapses && !reader.has_lapsed && now.since(reader.heard) >= LAPSE {
                reader.has_lapsed = true;
                has_lapsed = true;
            }
        }
        has_lapsed
    }

    /// Whether somebody reads who is no tap.
    pub fn has_consumers(&self) -> bool {
        self.readers.values().any(|reader| !reader.is_tap())
    }

    /// Whether somebody reads who cannot lapse, and is no tap.
    pub fn has_own_consumers(&self) -> bool {
        let mut readers = self.readers.values();
        readers.any(|reader| !reader.is_tap() && !reader.opening.lapses)
    }

    /// When the last of the consumers was heard that can lapse, where there is one.
    pub fn last_heard(&self) -> Option<Instant> {
        let consumers = self
            .readers
            .values()
            .filter(|reader| !reader.is_tap() && reader.opening.lapses);
        consumers.map(|reader| reader.heard).max()
    }

    /// What is known of a consumer that is here.
    pub fn heard(&self, edge: EdgeId) -> Option<Heard> {
        let reader = self.readers.get(&edge)?;
        Some(Heard {
            at: reader.heard,
            has_pulled: reader.has_pulled,
            is_shared: reader.is_shared(),
        })
    }

    /// Whether more of `origin` may be appended.
    ///
    /// An application goes at the speed of the slowest of its own edges, the stream at that of its fastest
    /// application; nobody goes on beyond what may be retained for those who are not behind.
    pub fn has_room(&self, origin: Origin) -> bool {
        let log = self.logs.get(&origin);
        if self.pacing().next().is_none() {
            return self.has_unpaced_room();
        }
        if let Some(only) = self.readers.only() {
            let mut applications = only.applications();
            return only.has_all(origin, log) && applications.any(|it| self.has_room_of(it));
        }
        let all_have = |application: u64| {
            self.pacing()
                .filter(|reader| reader.is_of(application))
                .all(|reader| reader.has_all(origin, log))
        };
        let mut leaders = self.pacing().filter(|reader| reader.has_all(origin, log));
        leaders.any(|reader| {
            let mut applications = reader.applications();
            applications.any(|it| all_have(it) && self.has_room_of(it))
        })
    }

    /// Whether there is room without what is kept for others than this application.
    pub fn has_room_of(&self, application: u64) -> bool {
        !self.is_full() || self.retained_for(application) < self.retention.bytes_max
    }

    /// Whether so much is retained as may be.
    pub const fn is_full(&self) -> bool {
        self.retained_bytes >= self.retention.bytes_max
    }

    /// Whether a consumer that is here was not sent all there is.
    pub fn lags(&self, edge: EdgeId) -> bool {
        let lacks = |reader: &Reader| {
            let mut logs = self.logs.iter();
            logs.any(|(origin, log)| !reader.has_all(*origin, Some(log)))
        };
        self.readers.get(&edge).is_some_and(lacks)
    }

    /// The applications that set the pace of the stream.
    pub fn applications(&self) -> impl Iterator<Item = u64> + '_ {
        self.pacing().flat_map(Reader::applications)
    }

    /// Of these, the ones of which some consumer was not sent all there is: of an origin, or of any.
    pub fn behind(&self, origin: Option<Origin>) -> impl Iterator<Item = u64> + '_ {
        let lacks = move |reader: &&Reader| match origin {
            Some(origin) => !reader.has_all(origin, self.logs.get(&origin)),
            None => {
                let mut logs = self.logs.iter();
                !reader.has_pulled || logs.any(|(origin, log)| !reader.has_all(*origin, Some(log)))
            }
        };
        self.pacing().filter(lacks).flat_map(Reader::applications)
    }

    /// How many bytes are retained for an application, or came behind what is.
    fn retained_for(&self, application: u64) -> u64 {
        let bytes = |(origin, log): (&Origin, &Log)| {
            let kept = self.kept_by(application, *origin, log);
            log.bytes_through(kept.unwrap_or(u64::MAX))
        };
        let before: u64 = self.logs.iter().map(bytes).sum();
        self.retained_bytes - before
    }

    fn pacing(&self) -> impl Iterator<Item = &Reader> {
        self.readers.values().filter(|reader| reader.sets_pace())
    }

    /// Whether more may be appended where nobody sets the pace: taps wait for nothing, and who has lapsed holds
    /// nobody back, but finds what it keeps.
    fn has_unpaced_room(&self) -> bool {
        self.retention.flows_unread || !self.has_consumers() || !self.is_full()
    }

    /// The last index of `origin` that the foremost application will not ask for again; nothing without consumers.
    ///
    /// Who is behind another application gets what is retained here, and may lose it: nothing is kept for it further
    /// up, where it would stop the others.
    pub fn released(&self, origin: Origin) -> Option<u64> {
        if self.readers.is_empty() {
            return None;
        }
        let Some(log) = self.logs.get(&origin) else {
            // Whoever reads has seen nothing of it; who only looks on does not matter.
            return Some(if self.has_consumers() { 0 } else { u64::MAX });
        };
        if let Some(kept) = self.readers.only().and_then(|only| only.kept(origin, log)) {
            return Some(kept.max(log.released()));
        }
        let foremost = self
            .applications()
            .filter_map(|application| self.kept_by(application, origin, log))
            .max();
        let kept = foremost.unwrap_or_else(|| kept_by_all(&self.readers, origin, log));
        Some(kept.max(log.released()))
    }

    /// The last index of `origin` that an application will not ask for again; nothing where it reads nothing here.
    pub fn released_by(&self, application: u64, origin: Origin) -> Option<u64> {
        match self.logs.get(&origin) {
            Some(log) => {
                let kept = self.kept_by(application, origin, log)?;
                Some(kept.max(log.released()))
            }
            // It has seen nothing of it.
            None => self.applications().any(|it| it == application).then_some(0),
        }
    }

    /// How many bytes are retained.
    pub const fn retained_bytes(&self) -> u64 {
        self.retained_bytes
    }

    /// Whether all who are heard were sent all there is, and have worked it off.
    pub fn is_settled(&self) -> bool {
        let mut pacing = self.readers.values().filter(|reader| reader.sets_pace());
        pacing.all(|reader| {
            self.logs.iter().all(|(origin, log)| {
                reader.has_all(*origin, Some(log)) && reader.has_settled(*origin)
            })
        })
    }

    /// The budgets of those who pull and have not lapsed.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        let live = self.readers.values().filter(|reader| !reader.has_lapsed);
        live.filter_map(|reader| reader.budget.as_ref())
    }

    /// How many rows were dropped before they could be sent, over all who read now.
    pub fn drops(&self) -> u64 {
        self.readers.values().map(|reader| reader.drops).sum()
    }

    /// The applications all of whose consumers were sent all there is of an origin.
    fn leading(&self, origin: Origin) -> BTreeSet<u64> {
        let mut leading: BTreeSet<u64> = self.applications().collect();
        for application in self.behind(Some(origin)) {
            leading.remove(&application);
        }
        leading
    }

    /// The last index of an origin that an application will not ask for again; nothing where it reads nothing here.
    fn kept_by(&self, application: u64, origin: Origin, log: &Log) -> Option<u64> {
        let readers = self.pacing().filter(|reader| reader.is_of(application));
        readers.filter_map(|reader| reader.kept(origin, log)).min()
    }

    /// Releases the oldest of what is kept for others than the foremost of these applications, until there is room.
    ///
    /// With none of them, and nobody who sets a pace, a stream that flows unread makes room at the cost of all.
    pub fn make_room(&mut self, leading: &BTreeSet<u64>) {
        let foremost = leading.iter().min_by_key(|it| self.retained_for(**it));
        let is_unread = self.retention.flows_unread && self.pacing().next().is_none();
        if foremost.is_none() && !is_unread {
            return;
        }
        let kept_by = |origin, log| self.kept_by(*foremost?, origin, log);
        let kept: Few<Origin, u64> = self
            .logs
            .iter()
            .map(|(origin, log)| (*origin, kept_by(*origin, log).unwrap_or(u64::MAX)))
            .collect();
        while self.is_full() {
            if self.store_oldest(&kept) {
                continue;
            }
            let oldest = kept
                .iter()
                .filter(|(origin, kept)| {
                    let log = self.logs.get(origin);
                    log.is_some_and(|log| log.releasable(**kept).is_some())
                })
                .min_by_key(|(origin, _)| self.logs.get(origin).and_then(Log::oldest))
                .map(|(origin, _)| *origin);
            let Some(origin) = oldest else { return };
            let Some(log) = self.logs.get_mut(&origin) else {
                return;
            };
            for reader in self.readers.values_mut() {
                reader.lose_first(origin, log);
            }
            self.retained_bytes -= log.release_first();
        }
    }

    /// The last index of an origin that none of those who read now will ask for again; nothing where nobody reads.
    pub(super) fn kept_by_readers(&self, origin: Origin, log: &Log) -> Option<u64> {
        let kept = kept_by_all(&self.readers, origin, log);
        (kept < u64::MAX).then_some(kept)
    }

    fn release(&mut self) {
        if self.held_until.is_some() {
            return;
        }
        for (origin, log) in self.logs.iter_mut() {
            let kept = kept_by_all(&self.readers, *origin, log);
            self.retained_bytes -= log.release(kept);
        }
    }
}

/// The last index of an origin that nobody will ask for again.
fn kept_by_all(readers: &Few<EdgeId, Reader>, origin: Origin, log: &Log) -> u64 {
    let keeps = readers
        .values()
        .filter_map(|reader| reader.kept(origin, log));
    keeps.min().unwrap_or(u64::MAX)
}
