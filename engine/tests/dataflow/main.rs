//! Whole dataflows on the engine: whatever is cut, interleaved, delayed or run by however many threads,
//! the same rows leave.

mod failures;
mod interleaving;
mod memory;
mod support;
mod threads;
