//! What a host has promised: transient reservations of probes, and allocations of graphs.
//!
//! A reservation is the most that any one probe of a request asks of this host, since one graph will come of them; what the
//! graph asks for exactly is checked when it is confirmed. Reservations lapse. They yield to a request that has failed more
//! often, then to the one with the lower id, so that of two requests that each hold what the other needs one goes on.
//! Allocations never yield.

use std::collections::BTreeMap;

use model::{CompositionId, Instant, NodeId, NodeView, Resources, convert};

use crate::effect::Check;
use crate::measure::{Lack, Spare};

/// The most compositions for which a host holds something.
///
/// Unit: compositions, some 100 bytes each. When there are more, the reservation that would lapse first goes; where
/// all are allocated, no more is taken. Source: guess; hosts run out of processors before.
pub(crate) const HOLDINGS_MAX: usize = 1024;

/// Who asks, and with what right to what others have only reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) id: CompositionId,
    /// How many graphs of the request have failed to be confirmed.
    pub(crate) failed: u8,
}

impl Claim {
    fn beats(self, other: Self) -> bool {
        self.failed > other.failed || (self.failed == other.failed && self.id < other.id)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Reserved { failed: u8, until: Instant },
    Allocated,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Holding {
    resources: Resources,
    state: State,
}

/// What a host has promised, and to which compositions.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    holdings: BTreeMap<CompositionId, Holding>,
}

impl Ledger {
    /// What this host could give: what the claim holds itself, and what would yield to it, does not count as taken.
    pub(crate) fn spare(&self, view: &NodeView, claim: Claim) -> Spare {
        let others = self.holdings.iter().filter(|(id, _)| **id != claim.id);
        let firm = others.filter(|(id, holding)| match holding.state {
            State::Reserved { failed, .. } => !claim.beats(Claim { id: **id, failed }),
            State::Allocated => true,
        });
        let held = firm.fold(Resources::default(), |sum, (_, it)| sum + it.resources);
        Spare::new(view, held)
    }

    /// Holds at least `asked` for a claim until `until`; says whether it does. Whoever has to yield loses what it holds.
    ///
    /// # Panics
    /// When the claim was not told that there is as much.
    pub(crate) fn reserve(
        &mut self,
        view: &NodeView,
        claim: Claim,
        asked: Resources,
        until: Instant,
    ) -> bool {
        assert_eq!(Lack::of(&asked, &self.spare(view, claim).available), None);
        let known = self.holdings.get(&claim.id);
        if known.is_some_and(|known| known.state == State::Allocated) {
            return true;
        }
        let resources = known.map_or(asked, |known| greatest(known.resources, asked));
        self.yield_to(view, claim, resources);
        let state = State::Reserved {
            failed: claim.failed,
            until,
        };
        self.put(claim.id, Holding { resources, state })
    }

    /// Turns what is held for a claim into exactly `takes`, for good.
    ///
    /// # Errors
    /// What this host lacks; nothing was changed then.
    pub(crate) fn allocate(
        &mut self,
        view: &NodeView,
        claim: Claim,
        takes: Resources,
    ) -> Result<(), Lack> {
        if let Some(lack) = Lack::of(&takes, &self.spare(view, claim).available) {
            return Err(lack);
        }
        self.yield_to(view, claim, takes);
        let state = State::Allocated;
        let is_put = self.put(
            claim.id,
            Holding {
                resources: takes,
                state,
            },
        );
        if is_put {
            Ok(())
        } else {
            // Everything is allocated: as many applications as a host counts.
            Err(Lack {
                check: Check::Memory,
                needed: 1.0,
                had: 0.0,
                suffers: None,
            })
        }
    }

    /// What is allocated to a composition, where anything is.
    pub(crate) fn held(&self, id: CompositionId) -> Option<Resources> {
        let holding = self.holdings.get(&id)?;
        (holding.state == State::Allocated).then_some(holding.resources)
    }

    /// Holds less for a composition than before.
    pub(crate) fn hold(&mut self, id: CompositionId, resources: Resources) {
        if let Some(holding) = self.holdings.get_mut(&id) {
            holding.resources = resources;
        }
    }

    /// Holds so much for a composition, whether or not there is room: it runs here in any case.
    pub(crate) fn hold_anyway(&mut self, id: CompositionId, resources: Resources) {
        let state = State::Allocated;
        self.holdings.insert(id, Holding { resources, state });
    }

    /// Lets go of everything that is held for a composition; says whether there was anything.
    pub(crate) fn release(&mut self, id: CompositionId) -> bool {
        self.holdings.remove(&id).is_some()
    }

    /// Lets go of the reservations of a composing node.
    pub(crate) fn release_reserved_by(&mut self, node: NodeId) {
        self.holdings
            .retain(|id, holding| id.node != node || holding.state == State::Allocated);
    }

    /// Lets go of the reservations that have lapsed, and says how many did.
    pub(crate) fn lapse(&mut self, now: Instant) -> u64 {
        let before = self.holdings.len();
        self.holdings.retain(|_, holding| match holding.state {
            State::Reserved { until, .. } => until > now,
            State::Allocated => true,
        });
        convert::size(before - self.holdings.len())
    }

    /// When the next reservation lapses.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lapses = self.holdings.values().filter_map(|it| match it.state {
            State::Reserved { until, .. } => Some(until),
            State::Allocated => None,
        });
        lapses.min()
    }

    /// Everything that is held: reserved, and allocated.
    pub(crate) fn taken(&self) -> (Resources, Resources) {
        let mut sums = (Resources::default(), Resources::default());
        for holding in self.holdings.values() {
            let sum = match holding.state {
                State::Reserved { .. } => &mut sums.0,
                State::Allocated => &mut sums.1,
            };
            *sum = *sum + holding.resources;
        }
        sums
    }

    /// What probes of others have reserved.
    pub(crate) fn reserved_by_others(&self, id: CompositionId) -> Resources {
        let others = self
            .holdings
            .iter()
            .filter(|(it, holding)| **it != id && matches!(holding.state, State::Reserved { .. }));
        others.fold(Resources::default(), |sum, (_, it)| sum + it.resources)
    }

    /// Removes reservations that yield to a claim, the weakest first, until `asked` is there beside the others.
    fn yield_to(&mut self, view: &NodeView, claim: Claim, asked: Resources) {
        while Lack::of(&asked, &self.left_beside(view, claim.id)).is_some() {
            let yielding = self.holdings.iter().filter_map(|(id, it)| match it.state {
                State::Reserved { failed, .. } => Some(Claim { id: *id, failed }),
                State::Allocated => None,
            });
            let weakest = yielding
                .filter(|it| it.id != claim.id && claim.beats(*it))
                .min_by_key(|it| (it.failed, std::cmp::Reverse(it.id)));
            match weakest {
                Some(weakest) => self.holdings.remove(&weakest.id),
                // Only an own holding that is larger than what was just asked for can be left short, when
                // background load grew since.
                None => return,
            };
        }
    }

    /// What is left beside all other holdings, also those that would yield.
    fn left_beside(&self, view: &NodeView, id: CompositionId) -> Resources {
        let others = self.holdings.iter().filter(|(it, _)| **it != id);
        let held = others.fold(Resources::default(), |sum, (_, it)| sum + it.resources);
        Spare::new(view, held).available
    }

    /// Keeps a holding, if the bound allows.
    fn put(&mut self, id: CompositionId, holding: Holding) -> bool {
        if !self.holdings.contains_key(&id) && self.holdings.len() >= HOLDINGS_MAX {
            let lapses = self.holdings.iter().filter_map(|(id, it)| match it.state {
                State::Reserved { until, .. } => Some((until, *id)),
                State::Allocated => None,
            });
            let Some((_, first)) = lapses.min() else {
                return false;
            };
            self.holdings.remove(&first);
        }
        self.holdings.insert(id, holding);
        true
    }
}

/// The most of each of two amounts.
fn greatest(a: Resources, b: Resources) -> Resources {
    Resources {
        cpu_cores: a.cpu_cores.max(b.cpu_cores),
        memory_bytes: a.memory_bytes.max(b.memory_bytes),
        uplink_bytes_per_second: a.uplink_bytes_per_second.max(b.uplink_bytes_per_second),
    }
}

#[cfg(test)]
mod tests;
