//! Any host that has room (papers, section 9.5).

use model::{Rng, convert};

use super::greedy;
use super::{Placement, Policy, Request, Unplaced};

/// Any host that has room, for each component and rank.
#[derive(Debug, Clone, Copy)]
pub struct Random;

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn place(&self, request: &Request, rng: &mut Rng) -> Result<Placement, Unplaced> {
        greedy::place(request, |_, _, _, hosts| {
            hosts[convert::index(rng.below(convert::size(hosts.len())))]
        })
    }
}
