//! Least laxity first, as published (Cameo, section 4): `t_MF + L - C_oM - C_path`, where the batch that closes a window counts as part of the next
//! one, and a component is as urgent as what has the least progress there.

use super::{Kind, Order, QUANTUM, Queue, Rank, Runnable};

pub(super) const KIND: Kind = Kind {
    name: "llf",
    doc: "Least laxity first, as published.",
    mailbox: Order::Progress,
    queue: Queue::Ranked,
    quantum: QUANTUM,
    rank,
};

const fn rank(runnable: &Runnable) -> Rank {
    Rank::by(runnable.start_by, 0, runnable.sequence)
}
