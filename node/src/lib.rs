//! Synergy's node: what runs on a host, what reads and writes there, and the command line.

pub mod application;
pub mod clock;
pub mod connector;
