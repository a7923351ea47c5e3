//! Nodes over libp2p, on loopback: joining, control messages, data streams, and what hostile peers can do.

mod hostile;
mod joining;
mod messages;
mod streams;
mod suite;
mod support;
