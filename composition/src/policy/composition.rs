//! Probes and selection, without sharing and without regard for others (papers, section 7.1).

use super::{Policy, Projection, Sharing};

/// Probes and selection, without sharing and without regard for others.
#[derive(Debug, Clone, Copy)]
pub struct Composition;

impl Policy for Composition {
    fn name(&self) -> &'static str {
        "composition"
    }

    fn sharing(&self) -> Sharing {
        Sharing::None
    }

    fn projection(&self) -> Projection {
        Projection::None
    }
}
