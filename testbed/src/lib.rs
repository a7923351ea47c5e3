//! Synergy's testbed: benchmarks of what production runs, each beside something that does the same work.
//!
//! It holds no second copy of any rule: what is measured is [`node::run`], started in a process of its own,
//! so that its processor time and its memory are nobody else's. Start at [`mod@bench`].

pub mod bench;
pub mod cli;
