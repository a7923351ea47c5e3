//! The records that a node keeps: of applications that it takes part in or accepted, and listings of others
//! that it has read.

use std::collections::BTreeMap;
use std::time::Duration;

use model::entry::PAYLOAD_BYTES_MAX;
use model::{ApplicationId, CompositionId, Entry, Index, Instant, Key, NodeId, Query, wire};

use super::message::Message;
use super::record::{Listing, Record, State};
use super::{Effect, Node, journal};

/// The most records that a node keeps; of those above, the one that ended first goes. Source: guess.
pub(super) const RECORDS_MAX: usize = 1024;

/// The most listings of other people's applications that a node remembers. Source: guess.
const HINTS_MAX: usize = 1024;

/// How long a listing is remembered that was read. It is only used to find an application by its name.
const HINT_LIFE: Duration = Duration::from_secs(600);

/// How long the record of an application that ended is kept: until then a host that comes back is told.
///
/// Source: design, protocols 2.
pub(super) const ENDED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long the listing of an application that was stopped stays in the index: longer than entries live that
/// a dead host registered while it ran, so that those do not come up again. Relation: above an entry's 180 s.
const STOPPED_LISTED: Duration = Duration::from_secs(200);

/// A record that this node keeps.
#[derive(Debug)]
struct Held {
    record: Record,
    /// Since when it stands here.
    since: Instant,
    /// When it is withdrawn from the index, where it is in it.
    withdraw_at: Option<Instant>,
    /// When it is forgotten.
    forget_at: Option<Instant>,
}

/// What a host registers of an application in the index.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct Listed {
    pub(super) listing: Listing,
    /// Whether all runs that the record binds to who registers. A host that was started anew is there like any other: it is
    /// the only one that can say in a list what is gone from it.
    pub(super) is_whole: bool,
}

/// What came of a record that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adopted {
    /// It stands from now on.
    Newer,
    /// It was there.
    Same,
    /// A greater one stands.
    Older,
    /// There is no room for it.
    NoRoom,
}

/// All records and listings that a node has.
#[derive(Debug, Default)]
pub(super) struct Records {
    held: BTreeMap<ApplicationId, Box<Held>>,
    hints: BTreeMap<ApplicationId, (Instant, Listing)>,
    /// Those from before a restart, and until when others are waited for that know better.
    pub(super) recalled: Vec<(Instant, Record)>,
}

impl Records {
    /// The record of an application that this node keeps.
    pub(super) fn find(&self, id: &ApplicationId) -> Option<&Record> {
        self.held.get(id).map(|held| &held.record)
    }

    /// The listing of a record that this node keeps.
    pub(super) fn listing(&self, id: &ApplicationId) -> Option<&Listing> {
        self.find(id).map(|record| &record.listing)
    }

    /// How long ago this node heard that an application had ended, where it keeps the record that says so. Unit: seconds.
    pub(super) fn ended_for(&self, now: Instant, listing: &Listing) -> Option<f64> {
        let held = self.held.get(&listing.head.application)?;
        let is_it = !listing.is_running() && held.record.listing == *listing;
        is_it.then(|| now.since(held.since).as_secs_f64())
    }

    /// All listings that this node has, kept or read.
    pub(super) fn known(&self) -> BTreeMap<ApplicationId, Listing> {
        let mut known = BTreeMap::new();
        let hints = self.hints.values().map(|(_, listing)| listing);
        let held = self.held.values().map(|held| &held.record.listing);
        for listing in hints.chain(held) {
            merge(&mut known, listing);
        }
        known
    }

    /// Puts what this node keeps among listings that were read, and what it read before of the same applications.
    pub(super) fn improve(&self, listings: &mut BTreeMap<ApplicationId, Listing>) {
        let ids: Vec<ApplicationId> = listings.keys().cloned().collect();
        for (_, hint) in ids.iter().filter_map(|id| self.hints.get(id)) {
            merge(listings, hint);
        }
        for held in self.held.values() {
            merge(listings, &held.record.listing);
        }
    }

    /// Remembers a listing that was read and checked.
    pub(super) fn remember(&mut self, now: Instant, listing: &Listing) {
        let id = &listing.head.application;
        if self.held.contains_key(id) {
            return;
        }
        self.hints
            .retain(|_, (since, _)| now.since(*since) < HINT_LIFE);
        let before = self.hints.get(id);
        if before.is_some_and(|(_, known)| known.standing() > listing.standing()) {
            return;
        }
        if self.hints.len() >= HINTS_MAX && !self.hints.contains_key(id) {
            let oldest = self.hints.iter().min_by_key(|(_, (since, _))| *since);
            let oldest = oldest.map(|(id, _)| id.clone());
            self.hints.remove(&oldest.expect("there are many"));
        }
        self.hints.insert(id.clone(), (now, listing.clone()));
    }

    /// Whether this very listing was checked before.
    fn was_checked(&self, listing: &Listing) -> bool {
        let id = &listing.head.application;
        self.listing(id) == Some(listing)
            || self
                .hints
                .get(id)
                .is_some_and(|(_, known)| known == listing)
    }

    /// When something of it is over.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let times = self.held.values();
        let times = times.flat_map(|held| held.withdraw_at.into_iter().chain(held.forget_at));
        times.chain(self.recalled.iter().map(|(at, _)| *at)).min()
    }

    /// The record that goes when there is no room for another: the one that ended first.
    fn first_ended(&self) -> Option<ApplicationId> {
        let held = self.held.iter();
        let ended = held.filter_map(|(id, held)| Some((held.forget_at?, id)));
        ended.min().map(|(_, id)| id.clone())
    }
}

/// Puts a listing among others, where it stands before what is there.
pub(super) fn merge(listings: &mut BTreeMap<ApplicationId, Listing>, listing: &Listing) {
    let id = &listing.head.application;
    match listings.get_mut(id) {
        Some(known) if known.standing() >= listing.standing() => {}
        Some(known) => *known = listing.clone(),
        None => {
            listings.insert(id.clone(), listing.clone());
        }
    }
}

/// What tells the entries of one owner apart under a key that many share.
pub(super) fn slot(key: Key) -> u64 {
    let (first, _) = key.0.0.split_at(8);
    u64::from_le_bytes(first.try_into().expect("eight bytes were split off"))
}

impl Node {
    /// A peer sent a record for this node to keep.
    pub(super) fn on_record(
        &mut self,
        now: Instant,
        from: NodeId,
        record: Record,
        out: &mut Vec<Effect>,
    ) {
        let id = record.listing.head.application.clone();
        if !self.concerns(&record.listing) {
            self.counts.add("records_of_others");
            return;
        }
        if !self.is_genuine(&record) {
            return;
        }
        if self.adopt(now, record, out) == Adopted::Older {
            self.counts.add("older_records");
        }
        self.confirm(from, 0, &id, out);
    }

    /// Tells a peer which record of an application this node holds.
    pub(super) fn confirm(
        &self,
        to: NodeId,
        ticket: u64,
        id: &ApplicationId,
        out: &mut Vec<Effect>,
    ) {
        if let Some(listing) = self.records.listing(id) {
            let listing = Box::new(listing.clone());
            self.send(to, &Message::Confirm { ticket, listing }, out);
        }
    }

    /// Whether a record is what it claims to be; one that is not is counted.
    pub(super) fn is_genuine(&mut self, record: &Record) -> bool {
        let checked = if self.records.was_checked(&record.listing) {
            record.check_body()
        } else {
            record.check()
        };
        if checked.is_err() {
            self.counts.add("forged_records");
        }
        checked.is_ok()
    }

    /// The record in an overlay's entry, where it is genuine.
    pub(super) fn read_record(&mut self, entry: &Entry) -> Option<Record> {
        let payload = entry.payload.as_deref()?;
        let Ok(record) = wire::decode::<Record>(payload) else {
            self.counts.add("garbage_entries");
            return None;
        };
        self.is_genuine(&record).then_some(record)
    }

    /// Takes the records that the overlay has of an application, as far as this node has to hear of them.
    pub(super) fn adopt_found(
        &mut self,
        now: Instant,
        id: &ApplicationId,
        entries: &[Entry],
        out: &mut Vec<Effect>,
    ) {
        for entry in entries {
            let record = self.read_record(entry);
            let is_meant =
                |listing: &Listing| listing.head.application == *id && self.concerns(listing);
            if let Some(record) = record.filter(|record| is_meant(&record.listing)) {
                self.adopt(now, record, out);
            }
        }
    }

    /// What an overlay's entry in the index says, where it is genuine.
    pub(super) fn read_listed(&mut self, entry: &Entry) -> Option<Listed> {
        let payload = entry.payload.as_deref()?;
        let Ok(listed) = wire::decode::<Listed>(payload) else {
            self.counts.add("garbage_entries");
            return None;
        };
        let record = Record {
            listing: listed.listing.clone(),
            body: None,
        };
        self.is_genuine(&record).then_some(listed)
    }

    /// Takes a record that is genuine, if it is greater than what is held; ends and registers what follows.
    pub(super) fn adopt(
        &mut self,
        now: Instant,
        mut record: Record,
        out: &mut Vec<Effect>,
    ) -> Adopted {
        let id = record.listing.head.application.clone();
        if let Some(held) = self.records.held.get_mut(&id) {
            let before = &mut held.record;
            let (ours, theirs) = (before.listing.standing(), record.listing.standing());
            let is_same_graph = ours.composition == theirs.composition
                && before.listing.body() == record.listing.body();
            if theirs <= ours {
                if is_same_graph && before.lacks_body() && record.body.is_some() {
                    before.body = record.body;
                    self.keep(&id, out);
                    self.register(&id, out);
                    self.compare_graphs(now, &id, out);
                    return Adopted::Same;
                }
                return if theirs.covers(ours) {
                    Adopted::Same
                } else {
                    Adopted::Older
                };
            }
            if is_same_graph && record.body.is_none() {
                record.body = before.body.take();
            }
        } else if self.records.held.len() >= RECORDS_MAX {
            let Some(first) = self.records.first_ended() else {
                self.counts.add("records_over_limit");
                return Adopted::NoRoom;
            };
            self.records.held.remove(&first);
            self.missing.remove(&first);
            self.withdraw_record(&first, out);
        }
        self.seal(&mut record.listing);
        let listing = record.listing.clone();
        if *listing.state() == State::Stopped {
            record.body = None;
        }
        let lacks_body = record.lacks_body();
        if let Some(body) = &mut record.body
            && let Some(part) = self.parts.get(&listing.head.composition)
            && part.graph == body.graph
        {
            // What runs here has the same plan: it is kept once.
            body.graph = part.graph.clone();
        }
        let before = self.records.listing(&id);
        let news = journal::news(before, &record, &self.view);
        self.records.hints.remove(&id);
        let (listed, kept) = match listing.state() {
            State::Running if listing.may_change(self.id()) => (None, None),
            // Its graph has left this host: what is listed from before must not come up again.
            State::Running => (Some(STOPPED_LISTED), Some(STOPPED_LISTED)),
            State::Stopped => (Some(STOPPED_LISTED), Some(ENDED_KEPT)),
            State::Finished | State::Failed { .. } | State::Lost { .. } => {
                (Some(ENDED_KEPT), Some(ENDED_KEPT))
            }
        };
        let held = Held {
            record,
            since: now,
            withdraw_at: listed.map(|after| now + after),
            forget_at: kept.map(|after| now + after),
        };
        self.records.held.insert(id.clone(), Box::new(held));
        if let Some(news) = news {
            self.decided(now, &id, news);
        }
        self.keep(&id, out);
        self.end_parts_before(now, &listing, out);
        self.register(&id, out);
        self.on_spread_overtaken(now, &listing);
        if listing.is_running() {
            self.on_record_of_part(now, listing.head.composition, out);
        }
        // What is bound to this host and is not here may be made.
        self.compare_graphs(now, &id, out);
        self.look_for_part(now, &id, out);
        if lacks_body {
            self.ask_for_body(&listing, out);
        }
        Adopted::Newer
    }

    /// Says a change of a record that this node made, here and to everybody who keeps it.
    pub(super) fn change(&mut self, now: Instant, changed: Listing, out: &mut Vec<Effect>) {
        let record = Record {
            listing: changed.clone(),
            body: None,
        };
        self.adopt(now, record, out);
        self.spread(now, changed, false, 0, out);
    }

    /// Ends what a record ends: its own composition where it is over, and earlier ones.
    fn end_parts_before(&mut self, now: Instant, listing: &Listing, out: &mut Vec<Effect>) {
        let head = &listing.head;
        let is_over = |id: &CompositionId| {
            id.number < head.composition.number
                || (*id == head.composition && !listing.is_running())
        };
        let over: Vec<CompositionId> = self
            .parts
            .iter()
            .filter(|(id, part)| part.application == head.application && is_over(id))
            .map(|(id, _)| *id)
            .collect();
        let has_failed = matches!(listing.state(), State::Failed { .. });
        for id in over {
            let has_failed = has_failed && id == head.composition;
            self.end_part(now, id, has_failed, out);
        }
    }

    /// Registers what this node has to say of an application: its record, and in the index.
    fn register(&mut self, id: &ApplicationId, out: &mut Vec<Effect>) {
        let held = &self.records.held[id];
        let mut payload = wire::encode(&held.record);
        if payload.len() > PAYLOAD_BYTES_MAX {
            // The graph is too large for an entry; its hosts hand it out themselves.
            payload = wire::encode(&Record {
                listing: held.record.listing.clone(),
                body: None,
            });
        }
        let key = Key::application(id);
        let slot = slot(key);
        let ask = Query::Register { key, slot, payload };
        self.tell_overlay(ask, out);
        self.list_application(id, out);
    }

    /// Registers in the index what this node has to say of an application whose record it keeps.
    pub(super) fn list_application(&mut self, id: &ApplicationId, out: &mut Vec<Effect>) {
        let Some(listing) = self.records.listing(id) else {
            return;
        };
        let listed = Listed {
            listing: listing.clone(),
            is_whole: self.is_whole(listing),
        };
        let key = Key::application(id);
        let ask = Query::Register {
            key: Key::index(Index::Applications, key.shard()),
            slot: slot(key),
            payload: wire::encode(&listed),
        };
        self.tell_overlay(ask, out);
    }

    /// Withdraws and forgets what ended long ago.
    pub(super) fn expire_records(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut withdrawn = Vec::new();
        for (id, held) in &mut self.records.held {
            if held.withdraw_at.is_some_and(|at| at <= now) {
                held.withdraw_at = None;
                withdrawn.push(id.clone());
            }
        }
        self.records
            .held
            .retain(|_, held| held.forget_at.is_none_or(|at| at > now));
        for id in withdrawn {
            self.withdraw_record(&id, out);
        }
    }

    /// Takes a record out of the overlay.
    fn withdraw_record(&mut self, id: &ApplicationId, out: &mut Vec<Effect>) {
        let key = Key::application(id);
        let slot = slot(key);
        for key in [key, Key::index(Index::Applications, key.shard())] {
            self.tell_overlay(Query::Withdraw { key, slot }, out);
        }
    }
}
