//! Earliest deadline first, as published (Cameo, section 4.4): as least laxity, without the component's own cost.

use super::{Kind, Order, QUANTUM, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "edf",
    doc: "Earliest deadline first, as published: the own cost is not taken off.",
    mailbox: Order::Progress,
    queue: Queue::Ranked,
    quantum: QUANTUM,
    rank,
};

const fn rank(runnable: &Runnable) -> Rank {
    let due = runnable.start_by.saturating_add(runnable.cost_nanos);
    Rank::by(due, 0, runnable.sequence)
}
