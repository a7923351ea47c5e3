//! Synergy without regard for those that run already (papers, section 7.1: an ablation).

use super::{Policy, Projection};

/// Synergy without regard for those that run already.
#[derive(Debug, Clone, Copy)]
pub struct SynergyUnprojected;

impl Policy for SynergyUnprojected {
    fn name(&self) -> &'static str {
        "synergy_unprojected"
    }

    fn projection(&self) -> Projection {
        Projection::None
    }
}
