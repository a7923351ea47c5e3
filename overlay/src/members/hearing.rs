//! What is made of what hosts say of themselves and of others.

use std::time::Duration;

use model::{Coordinate, HostSummary, Instant, NodeId};

use super::{Change, EARLY, FRESH, MEETING, Member, Members, RUMOR_FRESH, SAMPLES, seen, stamp};
use crate::coordinate;
use crate::machine::Effect;
use crate::message::{Gossip, Rumor};

impl Members {
    pub(super) fn on_gossip(
        &mut self,
        now: Instant,
        from: NodeId,
        gossip: Gossip,
        round_trip: Option<Duration>,
        out: &mut Vec<Effect>,
    ) -> bool {
        if gossip.summary.node != from || from == self.host.node {
            return false;
        }
        self.on_summary(now, gossip.summary, round_trip, out);
        for rumor in gossip.rumors.into_vec() {
            self.on_rumor(now, rumor, out);
        }
        true
    }

    /// Takes what a host says of itself.
    pub(super) fn on_summary(
        &mut self,
        now: Instant,
        summary: HostSummary,
        round_trip: Option<Duration>,
        out: &mut Vec<Effect>,
    ) {
        let node = summary.node;
        self.gone.remove(&node);
        if let Some(round_trip) = round_trip {
            self.learn_place(now, &summary.coordinate, round_trip, out);
        }
        let Some(member) = self.known.get_mut(&node) else {
            self.make_room(out);
            self.come(now, stamp(now), summary, round_trip, out);
            return;
        };
        member.heard = stamp(now);
        member.missed = 0;
        let is_news = member.summary != summary;
        let is_placed = has_found(&member.summary, &summary);
        member.summary = summary;
        if let Some(round_trip) = round_trip {
            if member.samples.len() == SAMPLES {
                member.samples.remove(0);
            }
            member.samples.push(round_trip);
        }
        if is_news || round_trip.is_some() {
            out.push(seen(member));
        }
        if is_placed {
            self.spread_soon(now);
        }
    }

    /// Takes what somebody says of another host.
    pub(super) fn on_rumor(&mut self, now: Instant, rumor: Rumor, out: &mut Vec<Effect>) {
        let node = rumor.summary.node;
        if node == self.host.node {
            // From before a restart, or a lie: what this node says now must be newer.
            if rumor.summary.version > self.host.version {
                self.host.version = rumor.summary.version.saturating_add(1);
            }
            return;
        }
        let heard = stamp(now).before(rumor.age);
        if rumor.age >= FRESH || self.gone.get(&node).is_some_and(|gone| heard <= *gone) {
            return;
        }
        let Some(member) = self.known.get_mut(&node) else {
            if rumor.age < RUMOR_FRESH && self.is_welcome(&rumor.summary) {
                self.make_room(out);
                self.come(now, heard, rumor.summary, None, out);
            }
            return;
        };
        if rumor.summary.version < member.summary.version {
            return;
        }
        member.heard = member.heard.max(heard);
        if rumor.summary.version > member.summary.version {
            let is_placed = has_found(&member.summary, &rumor.summary);
            member.summary = rumor.summary;
            out.push(seen(member));
            if is_placed {
                self.spread_soon(now);
            }
        }
    }

    pub(super) fn come(
        &mut self,
        now: Instant,
        heard: Instant,
        summary: HostSummary,
        round_trip: Option<Duration>,
        out: &mut Vec<Effect>,
    ) {
        let node = summary.node;
        let member = Member {
            summary,
            distance: self.place.distance_to(node),
            heard,
            came: now,
            samples: round_trip.into_iter().collect(),
            pinged: None,
            missed: 0,
        };
        out.push(seen(&member));
        self.known.insert(node, member);
        self.changes.push(Change::Came(node));
        if self.tells_all() {
            self.next_meeting.get_or_insert(now + MEETING);
        }
        self.spread_soon(now);
    }

    /// There is news that all should hear: a host that came, or that has found where it is.
    fn spread_soon(&mut self, now: Instant) {
        if self.tells_all() {
            let soon = now + EARLY.mul_f64(1.0 + self.rng.fraction());
            self.next_round = self.next_round.min(soon);
        }
    }

    pub(super) fn learn_place(
        &mut self,
        now: Instant,
        there: &Coordinate,
        round_trip: Duration,
        out: &mut Vec<Effect>,
    ) {
        self.coordinate = coordinate::update(&self.coordinate, there, round_trip, &mut self.rng);
        if coordinate::is_news(&self.host.coordinate, &self.coordinate) {
            let was_known = self.host.coordinate.is_known();
            self.host.coordinate = self.coordinate;
            self.host.version += 1;
            if !was_known && self.coordinate.is_known() {
                self.spread_soon(now);
            }
            // Whoever asks for what is near has to know where this node is itself.
            out.push(Effect::Seen {
                summary: self.host.clone(),
                round_trip: None,
            });
        }
    }
}

/// Whether a host that did not know where it is has found out.
const fn has_found(before: &HostSummary, now: &HostSummary) -> bool {
    !before.coordinate.is_known() && now.coordinate.is_known()
}
