//! Composition: how a query plan becomes a component graph on hosts. Nothing of it is built yet.
//!
//! What will stand here, each part a machine or a pure function without I/O (`ARCHITECTURE.md`, section 5):
//!
//! - *maximum sharing discovery*: which streams of a plan exist already;
//! - *probes*: from sharing points and sources through candidate hosts, each hop checking resources, delay
//!   and the impact on applications that run there, and reserving transiently;
//! - *selection*: returned probes merged into component graphs, of which the least congested is taken;
//! - *session*: confirming one graph and releasing the rest.
//!
//! It imports [`model`] and none of its siblings.
