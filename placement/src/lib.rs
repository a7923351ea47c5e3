//! Placement: what keeps applications within their targets while they run. Nothing of it is built yet.
//!
//! What will stand here, each part a machine or a pure function without I/O (`ARCHITECTURE.md`, section 5):
//!
//! - *monitoring*: loads, published as intervals when they leave one;
//! - *prediction*: of rates and execution times, and of the slack that they leave;
//! - *migration*: a component's state pulled from a position by another host, which then goes on with it;
//! - *replicas* and *repair*: backups that pull a component's state, and what activates them.
//!
//! It imports [`model`] and none of its siblings.
