//! Shortest job first (Cameo, section 4.4): by expected cost alone.

use super::{Kind, Order, QUANTUM, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "sjf",
    doc: "What is expected to cost least first.",
    mailbox: Order::Arrival,
    queue: Queue::Ranked,
    quantum: QUANTUM,
    rank,
};

const fn rank(runnable: &Runnable) -> Rank {
    Rank::by(runnable.cost_nanos, 0, runnable.sequence)
}
