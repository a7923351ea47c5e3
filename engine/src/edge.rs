//! Edges: one consumer pulling one stream, as two machines and two frames.
//!
//! A [`Producer`] keeps the batches of a stream and sends them to whoever pulls; a [`Consumer`] judges what
//! arrives and says in a [`Pull`] where it stands. Downstream go batches, upstream pulls, and nothing else.
//!
//! Every field of a pull is a state and not a change, so that lost, repeated and reordered frames do no
//! harm. The same two machines serve edges inside a process, where frames are handed over by reference, and
//! edges between hosts.

mod consumer;
mod producer;
#[cfg(test)]
mod tests;

use std::time::Duration;

use model::{Positions, Slack};

pub use consumer::{Arrival, Consumer};
pub use producer::{Producer, Retention};

/// How long a consumer may be silent before it no longer gets batches, counts in no budget and holds back
/// no pace.
///
/// Unit: time. Range: above the suspicion of a host and three pull intervals. Source: guess.
pub const LAPSE: Duration = Duration::from_secs(5);

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
    pub budget: Option<Slack>,
}

/// Where to send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// From whatever comes next, of every origin that there is; later origins from their beginning.
    Latest,
    /// Behind these positions; origins that are not named from their beginning.
    Positions(Positions),
}
