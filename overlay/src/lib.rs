//! The overlay: what a distributed hash table of streams, components and hosts promises. Nothing of it is
//! built yet.
//!
//! What will stand here:
//!
//! - the *port*: look-ups, listings, registrations that the rest of the system makes;
//! - the *store*: one machine that holds entries, their limits, versions and expiry, without I/O;
//! - `net`: the port over libp2p, the only module that names it.
//!
//! It imports [`model`] and none of its siblings, and carries bytes: it knows no protocol of theirs.
