//! Records that somebody has not confirmed yet: they are sent again, ever less often, until everybody has.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ApplicationId, Instant, NodeId, Rng};

use super::message::Message;
use super::record::{Listing, Record, State};
use super::records::ENDED_KEPT;
use super::{Effect, Node};

/// The first and the longest pause between two sendings. Source: design, protocols 2.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The most applications of which something is being sent again; the one that ends first is given up then.
const SPREADS_MAX: usize = 1024;

/// A record on its way to those who keep it.
#[derive(Debug)]
pub(super) struct Spread {
    /// What is said.
    listing: Listing,
    /// Whether it is to be stopped, whatever the listing says so far: who sends this may be nobody who may
    /// change it.
    stops: bool,
    /// Whose task waits for confirmations; 0 where none does.
    ticket: u64,
    /// Who has not confirmed.
    left: BTreeSet<NodeId>,
    pause: Duration,
    next: Instant,
    until: Instant,
}

impl Spread {
    /// When it is sent again, or given up.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.next.min(self.until)
    }

    /// Whether a host that holds this listing has heard enough.
    fn is_met_by(&self, listing: &Listing) -> bool {
        let is_later = listing.standing().composition > self.listing.standing().composition;
        if self.stops {
            is_later || *listing.state() == State::Stopped
        } else {
            listing.standing().covers(self.listing.standing())
        }
    }

    fn pause(&mut self, now: Instant, rng: &mut Rng) {
        self.next = now + self.pause.mul_f64(0.75 + 0.5 * rng.fraction());
        self.pause = (2 * self.pause).min(PAUSE_MAX);
    }
}

impl Node {
    /// Sends a listing, and what belongs to it, to everybody else who keeps it, until all have confirmed.
    ///
    /// `ticket` is of the task that waits for confirmations; 0 where none does.
    pub(super) fn spread(
        &mut self,
        now: Instant,
        listing: Listing,
        stops: bool,
        ticket: u64,
        out: &mut Vec<Effect>,
    ) {
        let mut left = listing.keepers();
        left.remove(&self.id());
        let application = listing.head.application.clone();
        if left.is_empty() {
            self.spreads.remove(&application);
            return;
        }
        if self.spreads.len() >= SPREADS_MAX && !self.spreads.contains_key(&application) {
            let first = self.spreads.iter().min_by_key(|(_, spread)| spread.until);
            let first = first.map(|(id, _)| id.clone()).expect("there are many");
            self.spreads.remove(&first);
            self.counts.add("records_given_up");
        }
        let mut spread = Spread {
            listing,
            stops,
            ticket,
            left,
            pause: PAUSE_MIN,
            next: now,
            until: now + ENDED_KEPT,
        };
        self.send_spread(&spread, out);
        spread.pause(now, &mut self.rng);
        self.spreads.insert(application, spread);
    }

    fn send_spread(&self, spread: &Spread, out: &mut Vec<Effect>) {
        let message = if spread.stops {
            Message::Stop {
                ticket: spread.ticket,
                listing: Box::new(spread.listing.clone()),
            }
        } else {
            let held = self.records.find(&spread.listing.head.application);
            let held = held.filter(|record| record.listing == spread.listing);
            // What it takes to describe a change is with everybody who had the record before.
            let body = held.filter(|record| record.listing.is_running());
            Message::Record(Box::new(Record {
                listing: spread.listing.clone(),
                body: body.and_then(|record| record.body.clone()),
            }))
        };
        for host in &spread.left {
            self.send(*host, &message, out);
        }
    }

    /// Sends again what is due, and gives up what was said for long enough.
    pub(super) fn repeat_spreads(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let due: Vec<ApplicationId> = self
            .spreads
            .iter()
            .filter(|(_, spread)| spread.poll_timeout() <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let mut spread = self.spreads.remove(&id).expect("it was just found");
            if spread.until <= now {
                self.counts.add("records_given_up");
                continue;
            }
            self.send_spread(&spread, out);
            spread.pause(now, &mut self.rng);
            self.spreads.insert(id, spread);
        }
    }

    /// A host that could not be reached is there again: what it has not confirmed is sent at once.
    pub(super) fn hurry_spreads(&mut self, now: Instant, node: NodeId) {
        let for_it = self.spreads.values_mut();
        for spread in for_it.filter(|spread| spread.left.contains(&node)) {
            spread.next = now;
            spread.pause = PAUSE_MIN;
        }
    }

    /// A greater record stands: what was said of a lesser one is over, unless it was that it must stop, or only the owner has
    /// signed what is said. Who keeps the greater one hears of it too, at once.
    pub(super) fn on_spread_overtaken(&mut self, now: Instant, listing: &Listing) {
        let here = self.id();
        let application = &listing.head.application;
        let Some(spread) = self.spreads.get_mut(application) else {
            return;
        };
        if listing.standing() <= spread.listing.standing() {
            return;
        }
        let is_same = listing.head.composition == spread.listing.head.composition;
        let says_it = spread.stops || spread.listing.standing().covers(listing.standing());
        if is_same && says_it {
            let before = spread.listing.keepers();
            let keepers = listing.keepers();
            let new = keepers.difference(&before).filter(|node| **node != here);
            let left_count = spread.left.len();
            spread.left.extend(new);
            if spread.left.len() > left_count {
                spread.next = now;
                spread.pause = PAUSE_MIN;
            }
            spread.listing = listing.clone();
        } else {
            self.spreads.remove(application);
        }
    }

    /// A peer says what it holds of an application.
    pub(super) fn on_confirm(
        &mut self,
        now: Instant,
        from: NodeId,
        ticket: u64,
        listing: Listing,
        out: &mut Vec<Effect>,
    ) {
        let record = Record {
            listing,
            body: None,
        };
        let application = record.listing.head.application.clone();
        let is_awaited =
            self.spreads.contains_key(&application) || self.tasks.contains_key(&ticket);
        if !is_awaited {
            // A confirmation that came twice, or late.
            return;
        }
        if !self.is_genuine(&record) {
            return;
        }
        let listing = record.listing.clone();
        if self.concerns(&listing) {
            self.adopt(now, record, out);
        } else {
            self.on_spread_overtaken(now, &listing);
            self.records.remember(now, &listing);
        }
        if let Some(spread) = self.spreads.get_mut(&application)
            && spread.is_met_by(&listing)
        {
            spread.left.remove(&from);
            if spread.left.is_empty() {
                self.spreads.remove(&application);
            }
        }
        self.on_stop_confirmed(from, ticket, &listing, out);
    }
}
