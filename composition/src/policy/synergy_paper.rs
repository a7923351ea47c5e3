//! Synergy as published: what is shared is decided before probing, and each host projects for itself.

use super::{Policy, Projection, Sharing};

/// Synergy as published: what is shared is decided before probing, and each host projects for itself.
#[derive(Debug, Clone, Copy)]
pub struct SynergyPaper;

impl Policy for SynergyPaper {
    fn name(&self) -> &'static str {
        "synergy_paper"
    }

    fn sharing(&self) -> Sharing {
        Sharing::Fixed
    }

    fn projection(&self) -> Projection {
        Projection::Paper
    }
}
