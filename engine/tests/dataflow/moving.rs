//! Components that move in mid-stream: what leaves is what leaves without, each position once.

pub(crate) mod bed;
pub(crate) mod exact;
pub(crate) mod flows;
mod named;

use bed::Bed;
