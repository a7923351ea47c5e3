//! Which nodes are the closest to a key, as walks found them: a bounded cache that members correct.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Instant, Key, NodeId};

use crate::distance::{Distance, Place};
use crate::machine::Peer;

/// How many nodes of a walk are kept: those that are asked, and some to ask where these are silent. Unit: nodes.
/// Source: guess.
pub(super) const ROUTE_LEN: usize = 8;

/// The most keys whose closest nodes are remembered. Unit: keys. Source: guess; a route is about 2 KiB.
const ROUTES_MAX: usize = 512;

/// For how long a route is used.
///
/// Unit: time. Range: in a network of more hosts than are known, below the time in which its holders change.
/// Source: guess; who is known corrects it as nodes come and go.
const LIFE: Duration = Duration::from_secs(300);

/// For how long a route is used that has fewer nodes than an entry has holders: the walk came too early. Unit: time.
/// Source: guess.
const LIFE_SHORT: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Route {
    place: Place,
    /// The closest first.
    peers: Vec<(Distance, Peer)>,
    found: Instant,
}

impl Route {
    fn insert(&mut self, peer: Peer) {
        let distance = self.place.distance_to(peer.node);
        match self
            .peers
            .binary_search_by(|(other, _)| other.cmp(&distance))
        {
            Ok(there) => self.peers[there].1 = peer,
            Err(at) => self.peers.insert(at, (distance, peer)),
        }
        self.peers.truncate(ROUTE_LEN);
    }

    fn is_fresh(&self, now: Instant) -> bool {
        let is_short = self.peers.len() < crate::holder::REPLICAS;
        now - self.found < if is_short { LIFE_SHORT } else { LIFE }
    }
}

/// The closest nodes to some keys, this node left out.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: BTreeMap<Key, Route>,
}

impl Routes {
    /// The closest nodes to a key, where they are known.
    pub(super) fn find(&self, now: Instant, key: Key) -> Option<Vec<Peer>> {
        let route = self.routes.get(&key).filter(|route| route.is_fresh(now))?;
        Some(route.peers.iter().map(|(_, peer)| peer.clone()).collect())
    }

    /// Remembers what a walk found.
    pub(super) fn insert(&mut self, now: Instant, key: Key, peers: impl IntoIterator<Item = Peer>) {
        let mut route = Route {
            place: Place::of_key(key),
            peers: Vec::new(),
            found: now,
        };
        for peer in peers {
            route.insert(peer);
        }
        if self.routes.len() >= ROUTES_MAX && !self.routes.contains_key(&key) {
            let oldest = self
                .routes
                .iter()
                .min_by_key(|(key, route)| (route.found, **key));
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.routes.remove(&oldest);
            }
        }
        self.routes.insert(key, route);
    }

    /// A node came to be known: it is put in where it is one of the closest.
    pub(super) fn on_came(&mut self, peer: &Peer) {
        let node = Place::of_node(peer.node);
        for route in self.routes.values_mut() {
            let distance = route.place.distance(&node);
            let is_close = route.peers.last().is_none_or(|(last, _)| distance <= *last);
            if is_close || route.peers.len() < ROUTE_LEN {
                route.insert(peer.clone());
            }
        }
    }

    /// A node cannot be reached.
    pub(super) fn on_gone(&mut self, node: NodeId) {
        for route in self.routes.values_mut() {
            route.peers.retain(|(_, peer)| peer.node != node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> Peer {
        Peer {
            node: NodeId([n; 32]),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn a_route_has_the_closest_in_order_and_follows_who_comes_and_goes() {
        let mut routes = Routes::default();
        let key = Key::published("a");
        let place = Place::of_key(key);
        let now = Instant::ZERO;
        let mut expected: Vec<_> = (0..40).map(peer).collect();
        expected.sort_by_key(|peer| place.distance_to(peer.node));
        routes.insert(now, key, (0..20).map(peer));
        (20..40).for_each(|n| routes.on_came(&peer(n)));
        assert_eq!(routes.find(now, key).unwrap(), expected[..ROUTE_LEN]);
        routes.on_gone(expected[0].node);
        assert_eq!(routes.find(now, key).unwrap(), expected[1..ROUTE_LEN]);
        assert_eq!(routes.find(now + LIFE, key), None);
    }

    #[test]
    fn routes_are_bounded_and_short_ones_are_soon_looked_for_again() {
        let mut routes = Routes::default();
        let key_of = |n: usize| Key::published(&n.to_string());
        for n in 0..ROUTES_MAX + 5 {
            let now = Instant::from_nanos(model::convert::size(n));
            routes.insert(now, key_of(n), [peer(1)]);
        }
        assert_eq!(routes.routes.len(), ROUTES_MAX);
        assert_eq!(routes.find(Instant::ZERO, key_of(0)), None);
        assert!(routes.find(Instant::ZERO, key_of(5)).is_some());
        assert_eq!(routes.find(Instant::ZERO + LIFE_SHORT * 2, key_of(5)), None);
    }
}
