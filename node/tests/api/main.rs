//! The HTTP interface, its client and the command line, before a node that answers as each test says.

mod commands;
mod http;
mod sample;
mod support;
mod taps;
