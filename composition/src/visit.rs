//! What a host remembers of the probes of a request while they are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{CompositionId, Instant, NodeId};

use crate::message::{Ended, Ending, Probe};
use crate::request::{HostIndex, Part};
use crate::share::Share;

/// The most requests of which a host remembers probes at once; of more, the one that would be forgotten first is.
///
/// Unit: requests, each of at most 2,000 probes of some 100 bytes: 26 MB if all were as large. Source: guess; twice what one
/// node composes.
const VISITS_MAX: usize = 128;

/// What is remembered of a round of a request.
#[derive(Debug)]
pub(crate) struct Visit {
    round: u8,
    until: Instant,
    /// The probes that came.
    pub(crate) seen: BTreeSet<(Share, Part)>,
    /// For each part, how early the earliest came that went on.
    earliest: BTreeMap<Part, Duration>,
    /// How many were sent for each part.
    sent_counts: BTreeMap<Part, usize>,
    /// What was sent to whom.
    sent: BTreeMap<NodeId, Vec<Sent>>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    share: Share,
    sent: u32,
    part: Part,
    host: HostIndex,
}

/// The requests whose probes came here lately.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    visits: BTreeMap<CompositionId, Visit>,
}

impl Visits {
    /// What is remembered of a probe's round, unless a later round is under way.
    pub(crate) fn enter(&mut self, probe: &Probe, until: Instant) -> Option<&mut Visit> {
        let known = self.visits.get(&probe.id);
        if known.is_some_and(|visit| visit.round > probe.round) {
            return None;
        }
        if known.is_none_or(|visit| visit.round < probe.round) {
            if known.is_none() && self.visits.len() >= VISITS_MAX {
                let first = self.visits.iter().min_by_key(|(id, it)| (it.until, **id));
                if let Some((first, _)) = first.map(|(id, it)| (*id, it.until)) {
                    self.visits.remove(&first);
                }
            }
            let visit = Visit {
                round: probe.round,
                until,
                seen: BTreeSet::new(),
                earliest: BTreeMap::new(),
                sent_counts: BTreeMap::new(),
                sent: BTreeMap::new(),
            };
            self.visits.insert(probe.id, visit);
        }
        self.visits.get_mut(&probe.id)
    }

    /// Whether a probe that passed its checks goes on: unless one that went before it came as early.
    ///
    /// What is behind this host is the same for both, and what was found on the way to it is told when a probe ends: graphs are merged of hops,
    /// not of paths. The first to come is mostly the earliest, since probes travel the ways that they are about.
    pub(crate) fn may_go_on(&mut self, probe: &Probe, delay: Duration) -> bool {
        let Some(visit) = self.visits.get_mut(&probe.id) else {
            return false;
        };
        if !probe.request.body().prunes {
            return true;
        }
        let earliest = visit.earliest.entry(probe.part).or_insert(Duration::MAX);
        if *earliest <= delay {
            return false;
        }
        *earliest = delay;
        true
    }

    /// How many more probes may be sent from here for the part of a probe.
    pub(crate) fn quota_left(&self, probe: &Probe) -> usize {
        let sent = self.visits.get(&probe.id).map_or(0, |visit| {
            visit.sent_counts.get(&probe.part).copied().unwrap_or(0)
        });
        probe.request.quota(probe.part).saturating_sub(sent)
    }

    /// Remembers that a probe was sent from a hop of `part`.
    pub(crate) fn note_sent(&mut self, child: &Probe, part: Part) {
        let Some(visit) = self.visits.get_mut(&child.id) else {
            return;
        };
        *visit.sent_counts.entry(part).or_default() += 1;
        let to = child.request.node(child.host);
        visit.sent.entry(to).or_default().push(Sent {
            share: child.share,
            sent: child.sent,
            part: child.part,
            host: child.host,
        });
    }

    /// The ends of all probes that were sent to a node that cannot be reached.
    pub(crate) fn lost(&mut self, node: NodeId) -> Vec<Ended> {
        let mut ends = Vec::new();
        for (id, visit) in &mut self.visits {
            for lost in visit.sent.remove(&node).into_iter().flatten() {
                ends.push(Ended {
                    id: *id,
                    round: visit.round,
                    share: lost.share,
                    sent: lost.sent,
                    path: Vec::new(),
                    ending: Ending::Lost {
                        part: lost.part,
                        host: lost.host,
                    },
                });
            }
        }
        ends
    }

    pub(crate) fn forget(&mut self, id: CompositionId) {
        self.visits.remove(&id);
    }

    pub(crate) fn lapse(&mut self, now: Instant) {
        self.visits.retain(|_, visit| visit.until > now);
    }

    /// Gives back the room of visits that are over.
    pub(crate) fn trim(&mut self) {
        if self.visits.is_empty() {
            self.visits = BTreeMap::new();
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.visits.values().map(|visit| visit.until).min()
    }
}

/// The compositions that ended here lately: what still comes of them is late.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// Up to which attempt, and until when that is remembered.
    closed: BTreeMap<CompositionId, (u8, Instant)>,
}

/// The most compositions whose end a host remembers; of more, the one that would be forgotten first is.
///
/// Unit: compositions of 50 bytes. Source: guess; a hundred a second for as long as messages may be late.
const CLOSED_MAX: usize = 1024;

impl Closed {
    /// Whether a composition has ended here for good, or an attempt after so many had failed: no probe counts any more that was sent then.
    pub(crate) fn has_since(&self, id: CompositionId, failed: u8) -> bool {
        let closed = self.closed.get(&id);
        closed.is_some_and(|(attempt, _)| *attempt > failed || *attempt == 0)
    }

    /// Whether anything of a composition has ended here.
    pub(crate) fn has(&self, id: CompositionId) -> bool {
        self.closed.contains_key(&id)
    }

    /// Whether an attempt of a composition has ended here.
    pub(crate) fn has_attempt(&self, id: CompositionId, attempt: u8) -> bool {
        self.closed
            .get(&id)
            .is_some_and(|(last, _)| attempt <= *last)
    }

    /// Remembers that a composition has ended up to an attempt.
    pub(crate) fn close(&mut self, id: CompositionId, attempt: u8, until: Instant) {
        let known = self.closed.entry(id).or_insert((attempt, until));
        *known = (known.0.max(attempt), known.1.max(until));
        if self.closed.len() > CLOSED_MAX {
            let first = self.closed.iter().min_by_key(|(id, (_, it))| (*it, **id));
            if let Some(first) = first.map(|(id, _)| *id) {
                self.closed.remove(&first);
            }
        }
    }

    pub(crate) fn lapse(&mut self, now: Instant) {
        self.closed.retain(|_, (_, until)| *until > now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.closed.values().map(|(_, until)| *until).min()
    }
}
