//! Hot-spots: where a host has too much to do, or an application will miss its target, and which component goes where.
//!
//! [`Detector`] is a machine. Once a second it is told the load and the [`Outlook`] of its host; it says where a hot-spot is ([`HotSpot`]).
//! Only then does anybody look at the loads of others: [`Detector::decide`] takes the hosts that could run the component and yields a
//! [`Decision`] with all its numbers, or why there is none. Who carries it out says when it begins and ends.
//!
//! - A *system* hot-spot is a load above 0.80 for three samples, or more than 0.20 above the mean of the hosts that could share it and above
//!   0.5. The component moves whose removal brings the load below 0.7 with the least that is moved; of an uneven host, at least half of
//!   what is too much.
//! - An *application* hot-spot is a component whose age is predicted to exceed its budget, three samples long. Of those on this host the one
//!   moves that exceeds its *promise* by most, which is the execution time that was projected when it was admitted; one that keeps its
//!   promise stays, whoever suffers: what has changed is elsewhere.
//!
//! **No flapping.** A hot-spot lasts until the load is below 0.7 again, so that a load at the border is one and not many; for 30 s after a
//! migration its hosts begin none and take part in none, also where it came to nothing; a host moves one component at a time, out or in; a
//! target must stay below 0.7 with what it gets and have less to do than this host has now, and the component must meet its target there:
//! both sides gain, so that what moved has no reason to move back.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ComponentId, Instant, LoadInterval, Slack, convert};

use crate::monitor::Outlook;
use crate::predict::HORIZON;

pub use candidate::{Candidate, Ranked};

mod candidate;
mod select;

/// The load above which a host is overloaded. Unit: part of what it offers. Range: above [`LOAD_CALM`]. Source: design, papers section 8.2.
pub const LOAD_HOT: f64 = 0.80;

/// The load below which a hot-spot has ended, and below which a target stays. Range: below [`LOAD_HOT`]. Source: design, papers section 8.6.
pub const LOAD_CALM: f64 = 0.70;

/// The load below which nobody is asked whether others have less. Source: design, papers section 8.2.
const LOAD_UNEVEN: f64 = 0.50;

/// How far above the mean of hosts one is uneven. Source: design, papers section 8.2.
const UNEVEN: f64 = 0.20;

/// How many samples in a row a hot-spot is one. Source: design, papers section 8.2.
const SAMPLES: u32 = 3;

/// How long the hosts of a migration rest after it. Range: several times [`HORIZON`], so that what is seen then is of the new place.
/// Source: design, papers section 8.6.
pub const COOL_DOWN: Duration = Duration::from_secs(30);

/// How long a component stays that came or went: what it does on a host is known only when it was there for a while. Range: at least
/// [`COOL_DOWN`]. Source: see `testbed/results/prediction.md`.
const SETTLE: Duration = Duration::from_secs(120);

/// How long nobody asks again who looked whether others have less. Range: at least 1 s, up to [`COOL_DOWN`]. Source: guess; loads of others
/// come with the overlay's pings, every 10 s.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// [`HORIZON`], of samples that are taken once a second.
const HORIZON_TIME: Duration = Duration::from_secs(convert::size(HORIZON));

const _: () = assert!(LOAD_UNEVEN < LOAD_CALM && LOAD_CALM < LOAD_HOT);
const _: () = assert!(COOL_DOWN.as_secs() >= 2 * HORIZON_TIME.as_secs());

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The host has more to do than it should.
    Overload,
    /// It has clearly more to do than others who could do it.
    Imbalance,
    /// A target will be missed.
    Application,
}

/// A hot-spot on this host: something should move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HotSpot {
    /// What is wrong. Of [`Kind::Imbalance`] it is known only when the loads of others are.
    pub kind: Kind,
    /// Which component should move.
    pub component: Outlook,
    /// The load of the host, smoothed. Unit: part of what it offers.
    pub load: f64,
}

/// A component moves: where to, and everything by which that was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is wrong, and with which component.
    pub hot_spot: HotSpot,
    /// How far ahead was looked.
    pub horizon: Duration,
    /// The load of this host when the component has gone.
    pub load_after: f64,
    /// Whom to ask, the best first: at most three.
    pub targets: Vec<Ranked>,
}

/// Why nothing moves although there is a hot-spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stay {
    /// A migration is under way here, or was until a moment ago.
    Resting,
    /// Others have as much to do.
    Even,
    /// On no host would the component be better off, or that host would have too much to do.
    NoPlace,
}

/// Says where hot-spots are and what moves where, and sees to it that nothing moves to and fro.
#[derive(Debug, Clone, Default)]
pub struct Detector {
    /// For how many samples the load was above the limit.
    hot: u32,
    /// Whether it has not been calm since.
    is_hot: bool,
    /// The components whose slack was predicted negative, and for how many samples.
    suffering: BTreeMap<ComponentId, u32>,
    /// Those for which there was no place, and until when they stay.
    staying: BTreeMap<ComponentId, Instant>,
    /// What moves out or in.
    moving: Option<ComponentId>,
    /// Until when nothing moves.
    rests_until: Instant,
    /// From when on it is asked again whether others have less.
    compares_at: Instant,
}

impl Detector {
    /// Notes the load and the outlook of a second. Yields the hot-spot that there is, if something may move.
    pub fn note(&mut self, now: Instant, load: f64, outlook: &[Outlook]) -> Option<HotSpot> {
        self.hot = match load > LOAD_HOT {
            true => self.hot.saturating_add(1),
            false => 0,
        };
        self.is_hot = self.hot >= SAMPLES || (self.is_hot && load >= LOAD_CALM);
        let late = outlook
            .iter()
            .filter(|it| it.predicted_slack < Slack::default());
        let count = |id| self.suffering.get(id).map_or(1, |it| it.saturating_add(1));
        self.suffering = late.map(|it| (it.id, count(&it.id))).collect();
        self.staying.retain(|_, until| *until > now);
        if !self.is_free(now) {
            return None;
        }
        let (kind, component) = self.find(now, load, outlook)?;
        Some(HotSpot {
            kind,
            component: *component,
            load,
        })
    }

    /// What is wrong, and what should move.
    fn find<'a>(
        &self,
        now: Instant,
        load: f64,
        outlook: &'a [Outlook],
    ) -> Option<(Kind, &'a Outlook)> {
        let may_move = |it: &&Outlook| it.is_movable && !self.staying.contains_key(&it.id);
        let movable = || outlook.iter().filter(may_move);
        let is_late = |it: &&Outlook| self.suffering.get(&it.id) >= Some(&SAMPLES);
        let overload = self
            .is_hot
            .then(|| select::by_load(movable(), load, LOAD_CALM));
        let application = || select::by_promise(movable().filter(is_late));
        let is_asked = load > LOAD_UNEVEN && now >= self.compares_at;
        let imbalance = || select::by_load(movable(), load, load - UNEVEN / 2.0);
        let overload = overload.flatten().map(|it| (Kind::Overload, it));
        overload
            .or_else(|| Some((Kind::Application, application()?)))
            .or_else(|| is_asked.then(|| Some((Kind::Imbalance, imbalance()?)))?)
    }

    /// Decides where the component of a hot-spot goes, among the hosts that could run it, this one left out. One that has no place stays for
    /// a while, and others are told of instead.
    ///
    /// # Errors
    /// Why it stays.
    pub fn decide(
        &mut self,
        now: Instant,
        hot_spot: &HotSpot,
        candidates: &[Candidate],
    ) -> Result<Decision, Stay> {
        if !self.is_free(now) {
            return Err(Stay::Resting);
        }
        if hot_spot.kind == Kind::Imbalance && !is_uneven(hot_spot.load, candidates) {
            self.compares_at = now + ASK_AGAIN;
            return Err(Stay::Even);
        }
        let targets = candidate::rank(hot_spot, candidates);
        if targets.is_empty() {
            self.refused(now, hot_spot.component.id);
            return Err(Stay::NoPlace);
        }
        Ok(Decision {
            hot_spot: *hot_spot,
            horizon: HORIZON_TIME,
            load_after: candidate::load_without(hot_spot),
            targets,
        })
    }

    /// No host that was asked takes this component: it stays for a while, and others may move at once.
    pub fn refused(&mut self, now: Instant, component: ComponentId) {
        self.staying.insert(component, now + COOL_DOWN);
        if self.moving == Some(component) {
            self.moving = None;
        }
    }

    /// A migration begins, out or in, if none is under way and the last was long enough ago; else this says `false`.
    pub fn begin(&mut self, now: Instant, component: ComponentId) -> bool {
        let is_free = self.is_free(now);
        if is_free {
            self.moving = Some(component);
        }
        is_free
    }

    /// The migration of this component has ended, whatever came of it. Of one that is not under way nothing is known.
    pub fn end(&mut self, now: Instant, component: ComponentId) {
        if self.moving == Some(component) {
            self.moving = None;
            self.rests_until = now + COOL_DOWN;
            self.staying.insert(component, now + SETTLE);
            self.hot = 0;
            self.suffering.clear();
        }
    }

    /// Whether a migration may begin.
    pub fn is_free(&self, now: Instant) -> bool {
        self.moving.is_none() && now >= self.rests_until
    }
}

/// Whether a host has clearly more to do than the mean of all that could run a component, itself included.
fn is_uneven(load: f64, candidates: &[Candidate]) -> bool {
    let others: f64 = candidates
        .iter()
        .map(|it| LoadInterval::middle(it.load))
        .sum();
    let count = convert::count_to_f64(convert::size(candidates.len() + 1));
    load - (load + others) / count > UNEVEN
}

#[cfg(test)]
mod tests;
