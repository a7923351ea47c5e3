//! The host with the most processor time left: load is spread, and so is the application (papers, section 9.5).

use model::Rng;

use super::greedy::{self, least};
use super::{Placement, Policy, Request, Unplaced};

/// The host with the most processor time left, for each component and rank.
#[derive(Debug, Clone, Copy)]
pub struct LeastLoaded;

impl Policy for LeastLoaded {
    fn name(&self) -> &'static str {
        "least_loaded"
    }

    fn place(&self, request: &Request, _: &mut Rng) -> Result<Placement, Unplaced> {
        greedy::place(request, |placing, _, _, hosts| {
            least(hosts, |host| -placing.room.left(host).cpu_cores)
        })
    }
}
