//! What is held on this host, and whether there is room for more.
//!
//! What is allocated is the sum over what is here: each component by itself, from when it is ordered until it runs no more, whoever made it
//! and whoever reads it; and of each graph what leaves this host by it. So it cannot differ from what is here, and nobody need give anything back.

use model::{ComponentGraph, Instant, NodeId, NodeView, Replication, Resources};

use super::{ALLOCATIONS_MAX, Allocation, State};
use crate::composer::Composer;
use crate::effect::Check;
use crate::ledger::Claim;
use crate::measure::{Lack, Spare};
use crate::queue::Job;
use crate::serving::{self, Newcomer};

impl Composer {
    /// What confirmed graphs take here, and what they left here for others.
    pub fn allocated(&self) -> Resources {
        let leaves = self.allocations.values().map(|it| it.leaves()).sum();
        let copies = self.allocations.values().map(|it| it.copies);
        copies.fold(self.serving.takes() + uplink(leaves), |sum, it| sum + it)
    }

    /// What this host could give a claim.
    pub(crate) fn spare(&self, view: &NodeView, claim: Claim) -> Spare {
        self.ledger.spare(view, claim, self.allocated())
    }

    /// Makes room for who comes with a graph, of which so much leaves this host.
    ///
    /// # Errors
    /// What this host lacks; nothing was changed then.
    pub(crate) fn make_room(
        &mut self,
        view: &NodeView,
        claim: Claim,
        newcomer: &Newcomer,
        leaves: f64,
    ) -> Result<(), Lack> {
        let known = self.allocations.get(&claim.id);
        if known.is_none() && self.allocations.len() >= ALLOCATIONS_MAX {
            // As many applications as a host counts.
            return Err(Lack {
                check: Check::Memory,
                needed: 1.0,
                had: 0.0,
                suffers: None,
            });
        }
        let left = known.map_or(0.0, |it| it.leaves());
        let asked = self.serving.takes_more(claim.id, newcomer) + uplink((leaves - left).max(0.0));
        let allocated = self.allocated();
        self.ledger.make_room(view, claim, asked, allocated)
    }
}

impl Allocation {
    /// When it lapses, or what it makes ready for.
    pub(crate) fn until(&self) -> Option<Instant> {
        let lapses = self.lapses_at();
        let pending = self.pending.as_ref().map(|it| it.until);
        lapses.into_iter().chain(pending).min()
    }

    /// When it lapses, unless it has started.
    pub(crate) const fn lapses_at(&self) -> Option<Instant> {
        match self.state {
            State::Deploying { until } | State::Deployed { until, .. } => Some(until),
            State::Started | State::Ended => None,
        }
    }

    /// What leaves this host by its graph; while it makes ready for another, the most of both. Unit: bytes per second.
    fn leaves(&self) -> f64 {
        let after = self.pending.as_ref().map_or(0.0, |it| it.leaves);
        self.leaves.max(after)
    }
}

/// What runs on a host of a graph as backups, where these are active: each as much as the operator that it is a copy of.
pub(crate) fn copies(graph: &ComponentGraph, here: NodeId, jobs: &[Job]) -> Resources {
    if graph.plan().qos().replication == Replication::Passive {
        return Resources::default();
    }
    let operators = graph.operators().iter().zip(graph.backups()).zip(jobs);
    let copied =
        operators.filter(|((binding, backups), _)| binding.host != here && backups.contains(&here));
    copied.fold(Resources::default(), |sum, (_, job)| {
        sum + serving::takes(job)
    })
}

/// So much of the uplink and nothing else.
fn uplink(bytes_per_second: f64) -> Resources {
    Resources {
        uplink_bytes_per_second: bytes_per_second,
        ..Resources::default()
    }
}
