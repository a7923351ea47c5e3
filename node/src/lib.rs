//! Synergy's node: what runs on a host, what reads and writes there, and the command line.

pub mod api;
pub mod application;
pub mod cli;
pub mod client;
pub mod clock;
pub mod connector;
pub mod data_dir;
pub mod driver;
pub mod node;
mod note;
pub mod priority;
pub mod run;
pub mod segments;
pub mod settings;
pub mod signals;
pub mod store;
