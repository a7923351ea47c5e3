//! Components that move in mid-stream: what leaves is what leaves without, each position once.

mod bed;
mod exact;

use bed::Bed;
