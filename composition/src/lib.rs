//! Composition: how a query plan becomes a component graph on hosts.
//!
//! [`Composer`] is one node's part of it, as one machine without I/O: it composes what this node was asked
//! for, and answers the probes, confirmations and releases of others. See `ARCHITECTURE.md`.

mod composer;
mod effect;
mod order;

pub use composer::{Composer, Config, Input, Message};
pub use effect::{Check, Composed, Constraint, Effect, Event, Outline, Reason, Refusal};
pub use order::{Order, Place};
