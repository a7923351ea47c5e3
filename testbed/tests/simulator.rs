//! The simulator, by what it claims.

#[path = "simulator/network.rs"]
mod network;
