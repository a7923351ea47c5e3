//! Placement: what keeps applications within their targets while they run.
//!
//! - [`monitor`]: what a host measures of itself once a second, and the outlook that follows;
//! - [`predict`]: rates and execution times a few seconds from now;
//! - [`hotspot`]: where a target or a host is in danger, and which component should go where.
//!
//! What will stand here, each part a machine or a pure function without I/O (`ARCHITECTURE.md`, section 5): *migration*, a component's
//! state pulled from a position by another host, which then goes on with it; *replicas* and *repair*, backups that pull a component's state,
//! and what activates them.
//!
//! It imports [`model`] and none of its siblings.

pub mod hotspot;
pub mod monitor;
pub mod predict;
