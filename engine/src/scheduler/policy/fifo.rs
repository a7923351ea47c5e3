//! First in, first out: components in the order in which they became runnable. A baseline.

use super::{Kind, Order, QUANTUM, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "fifo",
    doc: "Components in the order in which they became runnable.",
    mailbox: Order::Arrival,
    queue: Queue::Turns,
    quantum: QUANTUM,
    rank,
};

const fn rank(_: &Runnable) -> Rank {
    // The queue gives turns.
    Rank::turn(0)
}
