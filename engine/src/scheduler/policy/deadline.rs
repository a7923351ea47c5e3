//! Ours: the earliest deadline that can still be met first.
//!
//! Deadlines are start deadlines (Cameo's least laxity) along budgets, with all [`Rules`](super::Rules). What cannot be on time waits behind
//! what can. An application beyond its share is late, whatever its targets.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Kind, Order, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "deadline",
    doc: "The earliest deadline that can still be met first; what is late keeps a floor.",
    mailbox: Order::Urgency,
    queue: Queue::Ranked,
    quantum: Duration::ZERO,
    rank,
};

fn rank(runnable: &Runnable) -> Rank {
    let Some(grid) = runnable.tie_nanos else {
        return Rank {
            is_late: runnable.is_late,
            ..Rank::by(runnable.start_by, runnable.application, runnable.sequence)
        };
    };
    Rank {
        is_late: runnable.is_late,
        urgency: runnable.start_by.div_euclid(grid).saturating_mul(grid),
        application: runnable.application,
        window: runnable.window,
        depth: Reverse(runnable.depth),
        sequence: runnable.sequence,
    }
}
