//! The simulator, by what it claims.

#[path = "simulator/conformance.rs"]
mod conformance;
#[path = "simulator/discrete.rs"]
mod discrete;
#[path = "simulator/exact.rs"]
mod exact;
#[path = "simulator/network.rs"]
mod network;
#[path = "simulator/swarm.rs"]
mod swarm;
