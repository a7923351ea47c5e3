//! Some composers in memory, with virtual time.

mod faults;
mod placing;
mod refusing;
mod support;
