//! Real nodes in processes of their own, as people bring them up, ask them, hurt them and take them down.
//!
//! The node's program is this package's, called by the name `synergy`. Whatever happens in a test, no process of it is
//! left: each is found by the folder of the test and killed.

mod support;

mod chaos;
mod faults;
mod kept;
mod lost;
mod moves;
mod network;
mod retained;
mod testbed;
