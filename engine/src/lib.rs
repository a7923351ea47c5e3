//! Synergy's data plane: rows with positions, edges, operators and the scheduler.
//!
//! Everything but the runtime is plain data: an engine is driven by worker threads there, and by virtual
//! processors in the simulator. No clock is read and no thread started anywhere else.

pub mod aggregate;
pub mod batch;
pub mod columns;
pub mod expression;
pub mod intake;
pub mod operator;

pub use batch::{Batch, Header, Note, Rows};
