//! The overlay: a distributed hash table of what hosts, streams and applications say of themselves.
//!
//! [`Overlay`] is one node's part of it, as one machine without I/O: [`store`] holds the entries for which
//! this node is one of the closest, [`directory`] answers queries by asking those that are, [`members`] pings
//! some neighbors and keeps a bounded, fresh sample of hosts with [`coordinate`]s. [`memory`] joins machines
//! in one process with virtual time; [`net`] joins them over libp2p, and is the only module that names it.
//!
//! It imports [`model`] and none of its siblings, and carries bytes: it knows no protocol of theirs.

pub mod coordinate;
mod directory;
pub mod distance;
mod holder;
pub mod identity;
mod machine;
mod members;
pub mod memory;
pub mod message;
pub mod net;
mod sample;
mod store;
pub mod suite;

pub use directory::{ASKED, Merged, QUERY_TIMEOUT, RENEWAL, REQUEST_TIMEOUT};
pub use holder::{Holder, REPLICAS};
pub use identity::Identity;
pub use machine::{Config, Effect, Input, Overlay, Peer, QueryId, Stats, WalkId};
pub use members::{KNOWN_MAX, NEIGHBORS_MAX, ROUND};
pub use message::Message;
pub use store::Refusal;
