//! A thread for each operator, ordered by the kernel: what slot-based engines do. A baseline.

use super::{Kind, Order, QUANTUM, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "slot",
    doc: "A thread for each operator; the kernel decides.",
    mailbox: Order::Arrival,
    queue: Queue::Own,
    quantum: QUANTUM,
    rank,
};

const fn rank(_: &Runnable) -> Rank {
    // Each waits for itself alone.
    Rank::turn(0)
}
