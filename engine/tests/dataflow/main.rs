//! Whole dataflows on the engine: whatever is cut, interleaved, delayed or run by however many threads,
//! the same rows leave.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod absent;
mod again;
mod budgets;
mod clocks;
mod exports;
mod failover;
mod failures;
mod hostile;
mod hosts;
mod interleaving;
mod links;
mod measured;
mod memory;
mod moving;
mod overload;
mod published;
mod shared;
mod sharing;
mod spread;
mod storage;
mod support;
mod threads;
