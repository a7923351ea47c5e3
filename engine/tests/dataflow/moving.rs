//! Components that move in mid-stream: what leaves is what leaves without, each position once.

mod bed;
mod exact;
mod flows;
mod named;

use bed::Bed;
