//! Synergy's testbed: nodes in processes of their own on this machine, and benchmarks of what production runs.
//!
//! It holds no second copy of any rule: nodes are the program `synergy`, and what is measured is [`node::run`] or
//! such nodes, in processes of their own, so that their processor time and their memory are nobody else's. Start at
//! [`mod@local`] and [`mod@bench`].

pub mod bench;
pub mod cli;
pub mod experiment;
pub mod fuzz;
pub mod local;
pub mod simulator;
pub mod topology;
