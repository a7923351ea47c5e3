//! A question that is asked of the closest nodes to a key, from the walk to the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Coordinate, Entry, Instant, Key, NodeId};

use super::merge::Merged;
use super::registry::Name;
use super::routes::ROUTE_LEN;
use crate::holder::REPLICAS;
use crate::machine::QueryId;
use crate::message::{NearBy, Request};

/// How many of the closest nodes are asked for entries: more than hold them, for routes that differ. Unit: nodes.
/// Source: design.
pub const ASKED: usize = 5;

/// The least time that the others are waited for when two of the closest three have answered; else half the time that
/// these took, of a listing, which is to be complete, and of what is to be kept twice the time. Unit: time. Source: guess; a dead node must not cost every look-up a second.
const GRACE_MIN: Duration = Duration::from_millis(50);

/// The most pages that one holder may answer with. Unit: pages. Range: what a key may hold, of the small entries
/// that indices are made of. Source: guess.
const PAGES_MAX: u32 = 64;

/// What a task is for.
#[derive(Debug)]
pub(super) enum Goal {
    /// A sample of the entries under a key.
    Find {
        query: QueryId,
        near: Option<Coordinate>,
        count: usize,
        merged: Merged,
    },
    /// All entries of one shard of a listing.
    Shard { listing: QueryId, merged: Merged },
    /// An entry of this node is kept by the closest nodes.
    Keep {
        /// The queries to be answered; none where it is renewed.
        queries: Vec<QueryId>,
        name: Name,
        entry: Arc<Entry>,
    },
    /// Only who is closest.
    Closest { query: QueryId, count: usize },
}

/// How a node that may be asked stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    /// It gave what was asked.
    Answered,
    /// It said no.
    Refused,
    /// It is silent, or cannot be reached.
    Failed,
}

/// Nodes that are asked.
#[derive(Debug)]
pub(super) struct Round {
    /// How many are to answer.
    wanted: usize,
    /// Whom to ask, the closest first.
    candidates: Vec<NodeId>,
    /// How each of the first of them stands: these were asked.
    asked: Vec<Standing>,
    pages: BTreeMap<NodeId, u32>,
    began: Instant,
    /// When enough had answered that the others are waited for only for a while.
    settles: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The closest nodes are looked for.
    Walking,
    /// They are asked.
    Asking(Round),
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) key: Key,
    pub(super) goal: Goal,
    pub(super) phase: Phase,
    /// When it ends at the latest.
    pub(super) deadline: Instant,
    /// When it is looked at again, whatever happens until then.
    pub(super) wake: Instant,
}

impl Task {
    /// What a node is asked.
    pub(super) fn request(&self) -> Request {
        match &self.goal {
            Goal::Find { near, count, .. } => Request::Find {
                key: self.key,
                near: near.map(NearBy),
                count: u32::try_from(*count).unwrap_or(u32::MAX),
            },
            Goal::Keep { entry, .. } => Request::Keep {
                entry: Arc::clone(entry),
            },
            Goal::Shard { .. } | Goal::Closest { .. } => Request::Page {
                key: self.key,
                after: None,
            },
        }
    }

    /// How many of the closest nodes are looked for.
    pub(super) fn node_count(&self) -> usize {
        match self.goal {
            Goal::Closest { count, .. } => count.max(ROUTE_LEN),
            Goal::Find { .. } | Goal::Shard { .. } | Goal::Keep { .. } => ROUTE_LEN,
        }
    }

    /// Begins to ask these, the closest first. Of an entry, those are asked as well that hold an earlier version: it is
    /// changed, or withdrawn, where it is.
    pub(super) fn begin(&mut self, now: Instant, closest: Vec<NodeId>, holders: &BTreeSet<NodeId>) {
        let (candidates, wanted) = match self.goal {
            Goal::Find { .. } | Goal::Shard { .. } => (closest, ASKED),
            Goal::Closest { .. } => (closest, 0),
            Goal::Keep { .. } => {
                let (front, back) = closest.split_at(closest.len().min(REPLICAS));
                let mut candidates = front.to_vec();
                candidates.extend(holders.iter().filter(|node| !front.contains(node)));
                let wanted = candidates.len();
                candidates.extend(back.iter().filter(|node| !holders.contains(node)));
                (candidates, wanted)
            }
        };
        self.phase = Phase::Asking(Round {
            wanted,
            candidates,
            asked: Vec::new(),
            pages: BTreeMap::new(),
            began: now,
            settles: None,
        });
    }

    pub(super) const fn round(&self) -> Option<&Round> {
        match &self.phase {
            Phase::Asking(round) => Some(round),
            Phase::Walking => None,
        }
    }

    const fn round_mut(&mut self) -> Option<&mut Round> {
        match &mut self.phase {
            Phase::Asking(round) => Some(round),
            Phase::Walking => None,
        }
    }

    /// Whom to ask next, where more answers are wanted than may still come.
    pub(super) fn next_to_ask(&mut self) -> Option<NodeId> {
        let round = self.round_mut()?;
        let is_hopeful =
            |asked: &&Standing| matches!(asked, Standing::Waiting | Standing::Answered);
        if round.asked.iter().filter(is_hopeful).count() >= round.wanted {
            return None;
        }
        let next = round.candidates.get(round.asked.len()).copied()?;
        round.asked.push(Standing::Waiting);
        Some(next)
    }

    /// A node answered, or failed to.
    pub(super) fn on_standing(&mut self, now: Instant, node: NodeId, standing: Standing) {
        let is_find = matches!(self.goal, Goal::Find { .. });
        let Some(round) = self.round_mut() else {
            return;
        };
        let index = round.candidates.iter().position(|other| *other == node);
        if let Some(asked) = index.and_then(|index| round.asked.get_mut(index)) {
            *asked = standing;
        }
        let closest = round.asked.iter().take(REPLICAS);
        let answered = closest.filter(|asked| **asked == Standing::Answered);
        if answered.count() >= REPLICAS - 1 && round.settles.is_none() {
            let took = now - round.began;
            let grace = if is_find { took / 2 } else { took * 2 };
            round.settles = Some(now + grace.max(GRACE_MIN));
        }
    }

    /// Whether a node may give another page.
    pub(super) fn takes_page(&mut self, node: NodeId) -> bool {
        self.round_mut().is_some_and(|round| {
            let pages = round.pages.entry(node).or_default();
            *pages += 1;
            *pages < PAGES_MAX
        })
    }

    /// When enough has answered that the rest is not waited for.
    pub(super) fn settles(&self) -> Option<Instant> {
        self.round().and_then(|round| round.settles)
    }
}

impl Round {
    /// Whether nobody who was asked may still answer.
    pub(super) fn is_over(&self) -> bool {
        !self.asked.contains(&Standing::Waiting)
    }

    /// Those who answered.
    pub(super) fn answered(&self) -> impl Iterator<Item = NodeId> {
        let asked = self.candidates.iter().zip(&self.asked);
        asked
            .filter(|(_, standing)| **standing == Standing::Answered)
            .map(|(node, _)| *node)
    }

    /// Whether as many answered as could.
    pub(super) fn is_complete(&self) -> bool {
        let all = self.asked.iter().all(|asked| *asked == Standing::Answered);
        self.answered().count() >= REPLICAS || (all && !self.asked.is_empty())
    }

    /// Whether somebody said no.
    pub(super) fn is_refused(&self) -> bool {
        self.asked.contains(&Standing::Refused)
    }

    /// Those who may be asked, the closest first.
    pub(super) fn candidates(&self) -> &[NodeId] {
        &self.candidates
    }
}
