//! Some composers in memory, with virtual time.

mod faults;
mod hostile;
mod moving;
mod placing;
mod refusing;
mod room;
mod sharing;
mod support;
mod targets;
mod wide;
