//! What hosts have left while components are placed on them.

use model::Resources;

use super::{Component, Request};

/// What is left of each host.
#[derive(Debug, Clone)]
pub(super) struct Room {
    left: Vec<Resources>,
}

impl Room {
    /// All that hosts have.
    pub(super) fn all(request: &Request) -> Self {
        Self {
            left: request.hosts.iter().map(|host| host.room).collect(),
        }
    }

    /// What is left beside a placement; nothing where it does not fit.
    pub(super) fn of(request: &Request, ranked: &[Vec<usize>]) -> Option<Self> {
        let mut room = Self::all(request);
        for (component, hosts) in request.components.iter().zip(ranked) {
            for (rank, host) in hosts.iter().enumerate() {
                if !room.take(component, rank, *host) {
                    return None;
                }
            }
        }
        Some(room)
    }

    /// What is left of a host.
    pub(super) fn left(&self, host: usize) -> &Resources {
        &self.left[host]
    }

    /// Whether a host has room for a component at a rank. Where it runs already is not asked.
    pub(super) fn fits(&self, component: &Component, rank: usize, host: usize) -> bool {
        is_given(component, rank, host) || self.left[host].fits(&component.asks(rank))
    }

    /// Takes that room, if it is there.
    pub(super) fn take(&mut self, component: &Component, rank: usize, host: usize) -> bool {
        let fits = self.fits(component, rank, host);
        if fits && !is_given(component, rank, host) {
            self.left[host] = self.left[host] - component.asks(rank);
        }
        fits
    }

    /// Gives back what was taken.
    pub(super) fn give(&mut self, component: &Component, rank: usize, host: usize) {
        if !is_given(component, rank, host) {
            self.left[host] = self.left[host] + component.asks(rank);
        }
    }
}

/// Whether the component runs there already: what it takes was taken before.
fn is_given(component: &Component, rank: usize, host: usize) -> bool {
    rank == 0 && component.primary == Some(host)
}
