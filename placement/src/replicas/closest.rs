//! The nearest host: delays alone (papers, section 9.5).

use model::Rng;

use super::greedy::{self, least};
use super::{Placement, Policy, Request, Unplaced};

/// The host nearest to what a component reads, for primaries; nearest to the primary, for backups.
#[derive(Debug, Clone, Copy)]
pub struct Closest;

impl Policy for Closest {
    fn name(&self) -> &'static str {
        "closest"
    }

    fn place(&self, request: &Request, _: &mut Rng) -> Result<Placement, Unplaced> {
        greedy::place(request, |placing, component, rank, hosts| {
            least(hosts, |host| placing.farness(component, rank, host))
        })
    }
}
