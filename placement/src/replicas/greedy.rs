//! Placing one host after the other, never going back: what most policies do.
//!
//! Rank by rank, and within a rank the components in their order, which is that of the streams from the sources on. Who
//! finds no room goes first when all begins anew; that ends when the same component finds none again.

use std::collections::BTreeSet;

use super::room::Room;
use super::{Component, End, Placement, Request, Unplaced};

/// What is placed so far, as a policy sees it that chooses the next host.
#[derive(Debug)]
pub(super) struct Placing<'a> {
    pub(super) request: &'a Request,
    /// The hosts of each component up to now, by rank.
    pub(super) ranked: Vec<Vec<usize>>,
    pub(super) room: Room,
}

/// Places everything; `choose` says which of the hosts that could be next, of which there is one at least, and which
/// are ascending, a component gets at a rank. Complexity: for each of n components on k ranks, what `choose` takes for V hosts.
pub(super) fn place(
    request: &Request,
    mut choose: impl FnMut(&Placing<'_>, usize, usize, &[usize]) -> usize,
) -> Result<Placement, Unplaced> {
    let mut order: Vec<usize> = (0..request.components.len()).collect();
    let mut failed = BTreeSet::new();
    for (component, it) in request.components.iter().enumerate() {
        it.check(component)?;
    }
    loop {
        match in_order(request, &order, &mut choose) {
            Ok(placement) => return Ok(placement),
            Err((component, rank)) if !failed.insert(component) => {
                return Err(Unplaced::Room { component, rank });
            }
            Err((component, _)) => {
                order.retain(|it| *it != component);
                order.insert(0, component);
            }
        }
    }
}

fn in_order(
    request: &Request,
    order: &[usize],
    choose: &mut impl FnMut(&Placing<'_>, usize, usize, &[usize]) -> usize,
) -> Result<Placement, (usize, usize)> {
    let ranks = request.components.iter().map(|it| it.ranks).max();
    let mut placing = Placing {
        request,
        ranked: vec![Vec::new(); request.components.len()],
        room: Room::all(request),
    };
    for rank in 0..ranks.unwrap_or(0) {
        for index in order {
            let component = &request.components[*index];
            if rank >= component.ranks {
                continue;
            }
            let host = match component.primary.filter(|_| rank == 0) {
                Some(primary) => primary,
                None => {
                    let hosts = placing.possible(component, *index, rank);
                    if hosts.is_empty() {
                        return Err((*index, rank));
                    }
                    choose(&placing, *index, rank, &hosts)
                }
            };
            let is_taken = placing.room.take(component, rank, host);
            assert!(is_taken, "host {host} was offered without room");
            placing.ranked[*index].push(host);
        }
    }
    Ok(Placement {
        ranked: placing.ranked,
    })
}

impl Placing<'_> {
    /// The hosts that a component can have next.
    fn possible(&self, component: &Component, index: usize, rank: usize) -> Vec<usize> {
        let candidates = component.candidates.iter().copied();
        let is_possible = |host: &usize| {
            component.can_be(*host, rank)
                && !self.ranked[index].contains(host)
                && self.room.fits(component, rank, *host)
        };
        candidates.filter(is_possible).collect()
    }

    /// How far a host is from those that a component exchanges streams with, as far as they are placed. Unit: seconds,
    /// weighted.
    pub(super) fn distance(&self, component: usize, host: usize) -> f64 {
        let place = |end: End| match end {
            End::Component(other) => self.ranked[other].first().copied(),
            End::Host(host) => Some(host),
        };
        let own = End::Component(component);
        let links = self.request.links.iter();
        let other = links.filter_map(|link| match (link.from == own, link.to == own) {
            (true, false) => Some((place(link.to)?, link.weight)),
            (false, true) => Some((place(link.from)?, link.weight)),
            _ => None,
        });
        other
            .map(|(other, weight)| weight * self.request.delay(host, other))
            .sum()
    }

    /// How far a host is from what it is to be near to: a primary from those it exchanges streams with, a backup from
    /// its primary. Unit: seconds, weighted.
    pub(super) fn farness(&self, component: usize, rank: usize, host: usize) -> f64 {
        match self.ranked[component].first() {
            Some(primary) if rank > 0 => self.request.delay(*primary, host),
            _ => self.distance(component, host),
        }
    }
}

impl Component {
    /// Whether it can have as many hosts as it is to have.
    pub(super) fn check(&self, component: usize) -> Result<(), Unplaced> {
        let others = |host: &&usize| Some(**host) != self.primary;
        let candidates = self.candidates.iter().filter(others).count();
        let candidates = candidates + usize::from(self.primary.is_some());
        match candidates < self.ranks {
            true => Err(Unplaced::Candidates {
                component,
                ranks: self.ranks,
                candidates,
            }),
            false => Ok(()),
        }
    }
}

/// The host of which a key is least, the first of several; there is one at least.
pub(super) fn least(hosts: &[usize], key: impl Fn(usize) -> f64) -> usize {
    let mut best = (hosts[0], key(hosts[0]));
    for host in &hosts[1..] {
        let key = key(*host);
        if key < best.1 {
            best = (*host, key);
        }
    }
    best.0
}
