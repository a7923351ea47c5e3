//! What a producer wants of a storage. It does no I/O itself: whoever drives it takes orders, carries them out in order, and says what came of it.

use std::sync::Arc;

use crate::batch::{Batch, Header};

/// What the storage is to do. Numbers are the producer's own, and never used twice.
#[derive(Debug, Clone)]
pub enum Order {
    /// Keep a batch by a number. Before it so many rows of its origin were there or known to be missing since the first that was kept.
    Write(u64, u64, Arc<Batch>),
    /// Give it.
    Read(u64),
    /// It is not wanted any more.
    Drop(u64),
}

/// What came of an order. Nothing is said of what was dropped.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It was written, or cannot be kept: who asks for it later is told so.
    Written(u64),
    /// It is this; nothing where it cannot be had any more.
    Read(u64, Option<Arc<Batch>>),
}

/// What a storage has had of a stream since another process, and what that said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Former {
    /// Of the batch; it counts as having arrived now.
    pub header: Header,
    /// How many rows it has.
    pub rows: u64,
    /// What they take in memory.
    pub bytes: u64,
    /// What was said of those before it: see [`Order::Write`].
    pub told: u64,
}

impl Former {
    /// The same behind it.
    pub(super) fn told_behind(&self) -> u64 {
        self.told
            .saturating_add(self.rows)
            .saturating_add(u64::from(self.header.missing))
    }
}
