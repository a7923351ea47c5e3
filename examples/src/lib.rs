//! Applications that people run, with their data.
//!
//! Each is a folder of this package: `app.toml`, what it reads unless that is the machine itself, and a
//! `README.md` that says what is seen and how to change it.
//!
//! - `busy-pages`: the pages of a web site that fail, of a file of requests; README explains it part by part.
//! - `host-load`: the load of this machine, averaged, with an alert while it is high.
//! - `intrusion`: scanners in a log of network flows.
//!
//! ```text
//! cargo run --release -- run examples/host-load/app.toml --for 10s
//! ```
//!
//! Nothing here is needed to run them. This crate holds what made the data that comes with them, and runs
//! all of them in its tests, so that they do what they say.

pub mod intrusion_sample;
