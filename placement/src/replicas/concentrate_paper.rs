//! The closest candidate that is used already, ranks aligned (papers, section 9.4).
//!
//! Where all components of one rank are on one host, that host has a copy of the whole application.

use model::Rng;

use super::greedy::{self, Placing, least};
use super::{Placement, Policy, Request, Unplaced};

/// As published: a host that has another component at the same rank, else at any, else any; of these the nearest.
#[derive(Debug, Clone, Copy)]
pub struct ConcentratePaper;

impl Policy for ConcentratePaper {
    fn name(&self) -> &'static str {
        "concentrate_paper"
    }

    fn place(&self, request: &Request, _: &mut Rng) -> Result<Placement, Unplaced> {
        greedy::place(request, |placing, component, rank, hosts| {
            let hosts = preferred(placing, rank, hosts);
            least(&hosts, |host| placing.farness(component, rank, host))
        })
    }
}

/// Those that are used at a rank; where there are none, those that are used at any; else all.
fn preferred(placing: &Placing<'_>, rank: usize, hosts: &[usize]) -> Vec<usize> {
    let at_rank = |host: &usize| {
        let mut ranked = placing.ranked.iter();
        ranked.any(|it| it.get(rank) == Some(host))
    };
    let at_any = |host: &usize| placing.ranked.iter().any(|it| it.contains(host));
    let only = |is_used: &dyn Fn(&usize) -> bool| -> Vec<usize> {
        hosts.iter().copied().filter(|host| is_used(host)).collect()
    };
    for used in [only(&at_rank), only(&at_any)] {
        if !used.is_empty() {
            return used;
        }
    }
    hosts.to_vec()
}
