//! Probes and selection with projection, without sharing (papers, section 7.1: an ablation).

use super::{Policy, Sharing};

/// Probes and selection with projection, without sharing.
#[derive(Debug, Clone, Copy)]
pub struct CompositionProjected;

impl Policy for CompositionProjected {
    fn name(&self) -> &'static str {
        "composition_projected"
    }

    fn sharing(&self) -> Sharing {
        Sharing::None
    }
}
