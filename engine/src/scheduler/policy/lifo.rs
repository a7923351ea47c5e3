//! Last in, first out by worker, the rest in order: a bag of tasks for each thread, as Orleans has it. A baseline.
//!
//! A worker goes on with what it made runnable last, then takes what came from outside, then from others. A component keeps its worker for 100 ms, as there.

use std::time::Duration;

use super::{Kind, Order, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "lifo",
    doc: "What a worker made runnable last first: one stack for each worker.",
    mailbox: Order::Arrival,
    queue: Queue::Local,
    quantum: Duration::from_millis(100),
    rank,
};

const fn rank(_: &Runnable) -> Rank {
    // The queue gives turns.
    Rank::turn(0)
}
