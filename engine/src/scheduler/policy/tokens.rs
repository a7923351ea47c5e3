//! Token shares (Cameo, section 5.4): by the time of the token that a batch's source took.
//!
//! What is not metered goes last, by when it came to this host's mailboxes.

use super::{Kind, Order, QUANTUM, Queue, Rank, Runnable};
use crate::batch::Token;

pub(super) const KIND: Kind = Kind {
    name: "tokens",
    doc: "By the time of the token that a batch took of its application's share.",
    mailbox: Order::Token,
    queue: Queue::Ranked,
    quantum: QUANTUM,
    rank,
};

fn rank(runnable: &Runnable) -> Rank {
    let urgency = match runnable.token {
        Token::At(time) => i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
        Token::Unmetered => i64::MAX,
    };
    Rank::by(urgency, 0, runnable.sequence)
}
