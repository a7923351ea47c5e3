//! Hosts that vanish in mid-stream: their components are made anew elsewhere, and what leaves is what leaves without.

mod anew;
mod bed;
mod ends;
mod exact;
mod standby;

use crate::moving::bed::{Bed, StateLink};
