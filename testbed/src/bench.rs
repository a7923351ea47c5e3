//! Benchmarks: each measures processes of its own on input that it makes from a seed, and checks that what
//! came out is right.
//!
//! The parts: [`input`] makes rows, [`child`] is what runs in processes of its own, [`watch`] follows such a
//! process, [`machine`] reads what the system says, [`report`] holds figures. A benchmark is a file with
//! `measure(options) -> Report`. All of it reads `/proc`, and so needs Linux.

pub mod applications;
pub mod chaos;
pub mod child;
pub mod engine;
pub mod idle;
pub mod input;
pub mod machine;
pub mod moves;
pub mod nexmark;
pub mod path;
pub mod pipe;
pub mod plain;
pub mod report;
pub mod stalled_sink;
pub mod watch;
