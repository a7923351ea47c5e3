//! What a producer wants of a storage. It does no I/O itself: whoever drives it takes orders, carries them out in order, and says what came of it.

use std::sync::Arc;

use crate::batch::Batch;

/// What the storage is to do. Numbers are the producer's own, and never used twice.
#[derive(Debug, Clone)]
pub enum Order {
    /// Keep a batch.
    Write(u64, Arc<Batch>),
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
