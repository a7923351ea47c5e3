//! Edges: one consumer pulling one stream, as two machines and two frames.
//!
//! A [`Producer`] keeps the batches of a stream and sends them to whoever pulls; a [`Consumer`] judges what
//! arrives and says in a [`Pull`] where it stands. Downstream go batches, upstream pulls, and nothing else.
//!
//! Every field of a pull is a state and not a change, so that lost, repeated and reordered frames do no
//! harm. The same two machines serve edges inside a process, where frames are handed over by reference, and
//! edges between hosts.

mod consumer;
mod cursor;
mod log;
mod producer;
mod reader;
mod retained;
pub mod storage;
#[cfg(test)]
mod tests;

use std::time::Duration;

use model::{Origin, Positions};

use crate::budget::Budget;

pub use consumer::{Arrival, Consumer, ORIGINS_MAX};
pub use log::Mark;
pub use producer::{Asked, Heard, Producer, Retention};
pub use retained::{Held, Retained, Stretch};

/// How long a consumer may be silent before it no longer gets batches, counts in no budget and holds back
/// no pace.
///
/// Unit: time. Range: above the suspicion of a host and three pull intervals. Source: guess.
pub const LAPSE: Duration = Duration::from_secs(5);

/// How an edge is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Which application's consumer pulls: its edges go at one pace.
    pub application: u64,
    /// Whether the consumer lapses when it is not heard: it does across hosts, and not inside one process.
    pub lapses: bool,
    /// Where it begins.
    pub begin: Begin,
}

/// Where an edge begins, for a consumer that asks for the latest, and what it may ask of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Where the stream stands when the edge is opened: nothing that comes is released, and nobody goes on,
    /// before the first pull.
    Held,
    /// Where the stream stands at the first pull.
    Latest,
    /// At all that is retained of a stream that goes on here from somewhere else: nothing of that is released before the
    /// first pull, which says where the consumer is.
    Retained,
    /// As [`Begin::Latest`]; and it keeps nothing, holds back nobody, and loses what is beyond its credit.
    Tap,
}

/// What a consumer says of itself. After the first, it carries only the origins that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Where to send from: given when an edge opens or rewinds.
    pub from: Option<From>,
    /// What the consumer has worked off: it frees credit.
    pub taken: Positions,
    /// What the consumer will not ask for again; absent where it asks for nothing again, as a tap.
    pub keep: Option<Positions>,
    /// How many bytes of each origin may lie between what was taken and what was sent.
    ///
    /// A batch that is larger is sent where nothing else is under way; nothing is sent for zero.
    pub credit: u64,
    /// The greatest age at which a batch may arrive and still meet every target behind this edge.
    pub budget: Option<Budget>,
}

impl Pull {
    /// The last pull of an edge: it keeps nothing and grants nothing.
    pub const fn goodbye() -> Self {
        Self {
            from: None,
            taken: Positions::new(),
            keep: None,
            credit: 0,
            budget: None,
        }
    }

    /// Takes what a later one says: of each origin the furthest, of all else the latest.
    pub(crate) fn add(&mut self, later: &Self) {
        if later.from.is_some() {
            self.from.clone_from(&later.from);
        }
        let add = |to: &mut Positions, later: &Positions| {
            for (origin, index) in later.iter() {
                if to.len() < ORIGINS_MAX || to.through(origin).is_some() {
                    to.advance(origin, index);
                }
            }
        };
        add(&mut self.taken, &later.taken);
        match (&mut self.keep, &later.keep) {
            (Some(keep), Some(later)) => add(keep, later),
            (_, None) => self.keep = None,
            (None, Some(_)) => {}
        }
        self.credit = later.credit;
        self.budget.clone_from(&later.budget);
    }

    /// Whether the consumer ends the edge.
    pub const fn is_goodbye(&self) -> bool {
        self.keep.is_none() && self.credit == 0
    }
}

impl From {
    /// Behind which index of an origin to send; nothing where that is for the producer to say.
    pub(crate) fn behind(&self, origin: Origin) -> Option<u64> {
        match self {
            Self::Latest => None,
            Self::Positions(positions) => Some(positions.through(origin).unwrap_or(0)),
            Self::LatestBut(positions) => positions.through(origin),
        }
    }
}

/// How far a consumer has come in an origin: what a pull says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Whose rows.
    pub origin: Origin,
    /// Up to where they were worked off.
    pub taken: u64,
    /// Up to where they will not be asked for again.
    pub kept: u64,
}

/// Where to send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// From whatever comes next, of every origin that there is; later origins from their beginning.
    Latest,
    /// Behind these positions; origins that are not named from their beginning.
    Positions(Positions),
    /// Behind these positions; of origins that are not named from whatever comes next, as [`From::Latest`].
    LatestBut(Positions),
}
