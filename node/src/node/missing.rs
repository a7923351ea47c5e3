//! What is gone from this host, while its record says that the application runs.
//!
//! A host loses its part when it is started anew, when nobody has pulled from it for a minute, or when the record of it
//! came too late. It is the only one to know that for sure: from elsewhere it looks as if it were cut off. One rule says what
//! follows: **an application lives as long as one of its sinks does.** Who lacks its part tells the others, and learns from
//! them, or from the overlay, whether the application has ended in the meantime. Where all hosts of sinks say that
//! theirs are gone, it has failed, and whatever else runs of it ends but for what others read. As long as one does not say so it goes on: that
//! host may be cut off with its sinks running, and comes back.
//!
//! So ends also what was stopped by a host that went down before it had told anybody.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ApplicationId, ComponentGraph, CompositionId, Instant, Key, NodeId, Outcome, Query};

use super::asking::RECORD_ENTRIES;
use super::message::Message;
use super::part::{PRESENT_EVERY, PRESENT_FIRST};
use super::record::{Listing, State};
use super::{Decision, Effect, Node};

/// For how long others may say that an application has ended before it counts as failed.
///
/// Unit: time. Range: above a look-up, and a few sendings of a record that was lost on its way: goodbyes travel on their own,
/// and may come before it. Source: guess.
const MISSING_WAIT: Duration = Duration::from_secs(30);

/// The most look-ups of records that are open; of more, the oldest is not waited for. Source: guess.
const LOOKUPS_MAX: usize = 1024;

/// What is gone from here of an application. There is one at most for each record that is kept.
#[derive(Debug)]
pub(super) struct Missing {
    composition: CompositionId,
    since: Instant,
    /// When the others are told next.
    next: Instant,
    /// Hosts that say the same: of those that the record names.
    also: BTreeSet<NodeId>,
}

impl Missing {
    /// When it wants something.
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.next
    }
}

/// The first sink of a graph, where no sink is left: all their hosts are among those from which it is gone.
fn lost_sink<'a>(
    graph: &'a ComponentGraph,
    gone_from: &BTreeSet<NodeId>,
) -> Option<(&'a str, NodeId)> {
    let mut hosts = graph.sinks().iter().map(|sink| sink.host);
    let is_over = hosts.all(|host| gone_from.contains(&host));
    let first = graph.plan().sinks().iter().zip(graph.sinks()).next();
    first
        .filter(|_| is_over)
        .map(|(sink, binding)| (sink.name.as_str(), binding.host))
}

impl Node {
    /// Whether what a record binds to this host is gone, though the application runs as far as the record says.
    pub(super) fn lacks_part(&self, listing: &Listing) -> bool {
        let head = &listing.head;
        listing.is_running()
            && listing.is_host(self.id())
            && !self.parts.contains_key(&head.composition)
            // The record may come before the word to go over.
            && !self.composer.is_making_ready(head.composition)
    }

    /// Whether all runs here that a record binds to this host.
    pub(super) fn is_whole(&self, listing: &Listing) -> bool {
        let part = self.parts.get(&listing.head.composition);
        let is_sound = part.is_none_or(|part| part.is_sound());
        is_sound && !self.lacks_part(listing)
    }

    /// Notes whether the part of an application that should be here is gone.
    pub(super) fn look_for_part(
        &mut self,
        now: Instant,
        id: &ApplicationId,
        out: &mut Vec<Effect>,
    ) {
        let listing = self.records.listing(id);
        let lacking = listing.filter(|listing| self.lacks_part(listing));
        let Some(composition) = lacking.map(|listing| listing.head.composition) else {
            self.missing.remove(id);
            return;
        };
        let known = self.missing.get(id);
        if known.is_some_and(|missing| missing.composition == composition) {
            return;
        }
        self.counts.add("parts_missing");
        let missing = Missing {
            composition,
            since: now,
            next: now + PRESENT_FIRST,
            also: BTreeSet::new(),
        };
        self.missing.insert(id.clone(), missing);
        self.decided(now, id, Decision::Missing);
        self.look_up_record(id, out);
        self.tell_missing(id, composition, out);
    }

    /// Tells of what is gone from here what is due to be told, and ends what has no sinks any more.
    pub(super) fn tend_missing(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let due = self.missing.iter().filter(|(_, it)| it.next <= now);
        let due: Vec<ApplicationId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            self.compare_graphs(now, &id, out);
            self.look_for_part(now, &id, out);
            let Some(missing) = self.missing.get_mut(&id) else {
                continue;
            };
            let is_fresh = now.since(missing.since) < MISSING_WAIT;
            let every = if is_fresh {
                PRESENT_FIRST
            } else {
                PRESENT_EVERY
            };
            missing.next = now + every.mul_f64(0.75 + 0.5 * self.rng.fraction());
            let composition = missing.composition;
            if !is_fresh && self.end_without_sinks(now, &id, out) {
                continue;
            }
            self.tell_missing(&id, composition, out);
            self.look_up_if_unheard(&id, out);
        }
    }

    /// A host says that its part of a composition is gone.
    pub(super) fn on_missing_elsewhere(
        &mut self,
        from: NodeId,
        application: &ApplicationId,
        composition: CompositionId,
    ) {
        let listing = self.records.listing(application);
        let is_host = listing.is_some_and(|listing| listing.is_host(from));
        if let Some(missing) = self.missing.get_mut(application)
            && is_host
            && missing.composition == composition
        {
            missing.also.insert(from);
        }
    }

    /// Ends an application none of whose sinks is left. Gives whether that is so.
    fn end_without_sinks(
        &mut self,
        now: Instant,
        id: &ApplicationId,
        out: &mut Vec<Effect>,
    ) -> bool {
        let (Some(missing), Some(record)) = (self.missing.get(id), self.records.find(id)) else {
            return false;
        };
        let mut gone_from = missing.also.clone();
        gone_from.insert(self.id());
        let graph = record.body.as_ref().map(|body| &body.graph);
        let Some((sink, host)) = graph.and_then(|graph| lost_sink(graph, &gone_from)) else {
            return false;
        };
        let host = self.view.name(host);
        let reason = format!(
            "it is gone from {host}, which was started anew or cut off, and no sink is left"
        );
        let changed = record
            .listing
            .changed(State::lost(sink, &reason), &self.config.identity);
        self.change(now, changed, out);
        true
    }

    fn tell_missing(&self, id: &ApplicationId, composition: CompositionId, out: &mut Vec<Effect>) {
        let Some(listing) = self.records.listing(id) else {
            return;
        };
        let message = Message::Present {
            application: id.clone(),
            standing: self.standing_said(id),
            finished: None,
            gone: Some(composition),
        };
        let here = self.id();
        for host in listing.keepers().into_iter().filter(|host| *host != here) {
            self.send(host, &message, out);
        }
    }

    /// Looks up the record of an application some of whose hosts are not heard of: one of them may have said there
    /// that it has ended, and gone down before it said so here.
    pub(super) fn look_up_if_unheard(&mut self, id: &ApplicationId, out: &mut Vec<Effect>) {
        let listing = self.records.listing(id);
        let mut keepers = listing
            .map(Listing::keepers)
            .unwrap_or_default()
            .into_iter();
        if keepers.any(|host| self.view.is_absent(host)) {
            self.look_up_record(id, out);
        }
    }

    /// Asks the overlay for the record of an application that is kept here.
    pub(super) fn look_up_record(&mut self, id: &ApplicationId, out: &mut Vec<Effect>) {
        if self.record_lookups.len() >= LOOKUPS_MAX {
            self.record_lookups.pop_first();
            self.counts.add("record_lookups_over_limit");
        }
        let query = self.take_number();
        self.record_lookups.insert(query, id.clone());
        let ask = Query::Lookup {
            key: Key::application(id),
            near: None,
            count: RECORD_ENTRIES,
        };
        out.push(Effect::Query { query, ask });
    }

    /// The overlay says what it has of an application; gives whether it was asked for that.
    pub(super) fn on_record_found(
        &mut self,
        now: Instant,
        query: u64,
        outcome: &Outcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(id) = self.record_lookups.remove(&query) else {
            return false;
        };
        let Outcome::Entries(entries) = outcome else {
            self.counts.add("records_unread");
            return true;
        };
        self.adopt_found(now, &id, entries, out);
        true
    }
}
