//! What a node does: sharing with fallback, projection by rank, increases granted by sinks.

use super::Policy;

/// What a node does: sharing with fallback, projection by rank, increases granted by sinks.
#[derive(Debug, Clone, Copy)]
pub struct Synergy;

impl Policy for Synergy {
    fn name(&self) -> &'static str {
        "synergy"
    }
}
