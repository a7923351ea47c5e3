//! What probes have reserved on a host, for as long as their leases last.
//!
//! A reservation is the most that any one probe of a request asks of this host, since one graph will come of them; what the
//! graph asks for exactly is checked when it is confirmed. Reservations lapse. They yield to a request that has failed more
//! often, then to the one with the lower id, so that of two requests that each hold what the other needs one goes on.
//!
//! What runs has no entry of its own that could differ from it: what is allocated is the sum over it (`allocation/room.rs`), is handed in
//! here, and never yields.

use std::collections::BTreeMap;

use model::{CompositionId, Instant, NodeId, NodeView, Resources, convert};

use crate::measure::{Lack, Spare};

/// The most compositions for which a host has reserved something.
///
/// Unit: compositions, some 100 bytes each. When there are more, the reservation that would lapse first goes.
/// Source: guess; hosts run out of processors before.
pub(crate) const RESERVATIONS_MAX: usize = 1024;

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
struct Reservation {
    resources: Resources,
    failed: u8,
    until: Instant,
}

/// What a host has reserved, and for which compositions.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    reservations: BTreeMap<CompositionId, Reservation>,
}

impl Ledger {
    /// What this host could give beside what is allocated: what is reserved for the claim itself, and what would yield to it, does not
    /// count as taken.
    pub(crate) fn spare(&self, view: &NodeView, claim: Claim, allocated: Resources) -> Spare {
        let others = self.others(claim.id);
        let firm = others.filter(|(id, it)| {
            let failed = it.failed;
            !claim.beats(Claim { id: **id, failed })
        });
        Spare::new(
            view,
            firm.fold(allocated, |sum, (_, it)| sum + it.resources),
        )
    }

    /// Reserves at least `asked` for a claim until `until`. Whoever has to yield loses what was reserved.
    ///
    /// # Panics
    /// When the claim was not told that there is as much.
    pub(crate) fn reserve(
        &mut self,
        view: &NodeView,
        claim: Claim,
        asked: Resources,
        until: Instant,
        allocated: Resources,
    ) {
        let spare = self.spare(view, claim, allocated);
        assert_eq!(Lack::of(&asked, &spare.available), None);
        let known = self.reservations.get(&claim.id);
        let resources = known.map_or(asked, |known| greatest(known.resources, asked));
        self.yield_to(view, claim, resources, allocated);
        let is_new = !self.reservations.contains_key(&claim.id);
        if is_new && self.reservations.len() >= RESERVATIONS_MAX {
            let lapses = self.reservations.iter().map(|(id, it)| (it.until, *id));
            if let Some((_, first)) = lapses.min() {
                self.reservations.remove(&first);
            }
        }
        let reservation = Reservation {
            resources,
            failed: claim.failed,
            until,
        };
        self.reservations.insert(claim.id, reservation);
    }

    /// Makes room for what comes to run: what was reserved for the claim is no more, and whoever has to yield loses what was reserved.
    ///
    /// # Errors
    /// What this host lacks; nothing was changed then.
    pub(crate) fn make_room(
        &mut self,
        view: &NodeView,
        claim: Claim,
        asked: Resources,
        allocated: Resources,
    ) -> Result<(), Lack> {
        let spare = self.spare(view, claim, allocated);
        if let Some(lack) = Lack::of(&asked, &spare.available) {
            return Err(lack);
        }
        self.yield_to(view, claim, asked, allocated);
        self.reservations.remove(&claim.id);
        Ok(())
    }

    /// Lets go of what is reserved for a composition.
    pub(crate) fn release(&mut self, id: CompositionId) {
        self.reservations.remove(&id);
    }

    /// Lets go of what is reserved for a composing node.
    pub(crate) fn release_all_of(&mut self, node: NodeId) {
        self.reservations.retain(|id, _| id.node != node);
    }

    /// Lets go of the reservations that have lapsed, and says how many did.
    pub(crate) fn lapse(&mut self, now: Instant) -> u64 {
        let before = self.reservations.len();
        self.reservations.retain(|_, it| it.until > now);
        convert::size(before - self.reservations.len())
    }

    /// When the next reservation lapses.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.reservations.values().map(|it| it.until).min()
    }

    /// Everything that is reserved.
    pub(crate) fn reserved(&self) -> Resources {
        let all = self.reservations.values();
        all.fold(Resources::default(), |sum, it| sum + it.resources)
    }

    /// What probes of others have reserved.
    pub(crate) fn reserved_by_others(&self, id: CompositionId) -> Resources {
        let others = self.others(id);
        others.fold(Resources::default(), |sum, (_, it)| sum + it.resources)
    }

    fn others(&self, id: CompositionId) -> impl Iterator<Item = (&CompositionId, &Reservation)> {
        self.reservations.iter().filter(move |(it, _)| **it != id)
    }

    /// Removes reservations that yield to a claim, the weakest first, until `asked` is there beside the others.
    fn yield_to(&mut self, view: &NodeView, claim: Claim, asked: Resources, allocated: Resources) {
        loop {
            let left = Spare::new(view, allocated + self.reserved_by_others(claim.id)).available;
            if Lack::of(&asked, &left).is_none() {
                return;
            }
            let others = self.others(claim.id).map(|(id, it)| Claim {
                id: *id,
                failed: it.failed,
            });
            let weakest = others
                .filter(|it| claim.beats(*it))
                .min_by_key(|it| (it.failed, std::cmp::Reverse(it.id)));
            match weakest {
                Some(weakest) => self.release(weakest.id),
                // Only an own reservation that is larger than what was just asked for can be left short, when
                // background load grew since.
                None => return,
            }
        }
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
