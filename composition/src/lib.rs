//! Composition: how a query plan becomes a component graph on hosts.
//!
//! [`Composer`] is one node's part of it, as one machine without I/O: it composes what this node was asked
//! for, and answers the probes, confirmations and releases of others. See `ARCHITECTURE.md`.

mod allocation;
mod candidates;
mod commit;
mod composer;
mod config;
mod counts;
mod effect;
mod facts;
mod ledger;
mod measure;
mod merge;
mod message;
mod order;
mod path;
mod probe;
mod refusal;
mod reminder;
mod request;
mod select;
mod session;
mod share;
mod visit;

pub use composer::{Composer, Input};
pub use config::Config;
pub use counts::{Counts, Ignored};
pub use effect::{Check, Composed, Constraint, Effect, Event, Outline, Reason, Refusal};
pub use message::Message;
pub use order::{Order, Place};
