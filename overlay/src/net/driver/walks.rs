//! Walks of the routing library to the nodes that are closest to a key.

use std::num::NonZeroUsize;

use libp2p::kad::{self, KBucketKey};
use libp2p::{Multiaddr, PeerId};
use model::Key;
use model::entry::ADDRESSES_MAX;

use super::{Driver, Input, Peer, WalkId};
use crate::net::address::{is_believed, without_peer};
use crate::net::identity::node_id;

/// How many walks may be under way; others are answered from the routing table. Source: guess.
const WALKS_MAX: usize = 64;

impl Driver {
    /// Looks for the closest nodes: those that answered, found within 2 s.
    pub(super) fn on_walk(&mut self, walk: WalkId, key: Key, count: usize) {
        let known = self.closest_known(key, count);
        let Some(wanted) = NonZeroUsize::new(count).filter(|_| !known.is_empty()) else {
            // Alone: there is nobody to ask.
            return self.tell(Input::Walked {
                walk,
                peers: Vec::new(),
            });
        };
        if self.walks.len() >= WALKS_MAX {
            self.refused.count("own walk beyond the bound");
            return self.tell(Input::Walked { walk, peers: known });
        }
        let kad = &mut self.swarm.behaviour_mut().kad;
        let id = kad.get_n_closest_peers(key.0.0.to_vec(), wanted);
        self.walks.push((id, walk, key, count));
    }

    /// A walk has come to its end.
    pub(super) fn on_walked(&mut self, id: kad::QueryId, found: kad::GetClosestPeersResult) {
        let Some(index) = self.walks.iter().position(|(it, ..)| *it == id) else {
            return;
        };
        let (_, walk, key, count) = self.walks.swap_remove(index);
        let (peers, is_whole) = match found {
            Ok(found) => (found.peers, true),
            Err(kad::GetClosestPeersError::Timeout { peers, .. }) => (peers, false),
        };
        let mut peers: Vec<Peer> = peers
            .into_iter()
            .filter_map(|peer| self.peer(&peer.peer_id, &peer.addrs))
            .collect();
        if !is_whole && peers.len() < count {
            // Those that did not answer in time may still do so later.
            for peer in self.closest_known(key, count) {
                if peers.len() < count && peers.iter().all(|it| it.node != peer.node) {
                    peers.push(peer);
                }
            }
        }
        self.tell(Input::Walked { walk, peers });
    }

    /// The closest nodes in the routing table.
    fn closest_known(&mut self, key: Key, count: usize) -> Vec<Peer> {
        let here = *self.swarm.local_peer_id();
        let key = KBucketKey::new(key.0.0.to_vec());
        let kad = &mut self.swarm.behaviour_mut().kad;
        let closest: Vec<(PeerId, Vec<Multiaddr>)> = kad
            .find_closest_local_peers(&key, &here)
            .take(count)
            .map(|peer| (peer.node_id, peer.multiaddrs))
            .collect();
        closest
            .iter()
            .filter_map(|(peer, addresses)| self.peer(peer, addresses))
            .collect()
    }

    fn peer(&self, peer: &PeerId, addresses: &[Multiaddr]) -> Option<Peer> {
        let node = node_id(peer)?;
        let believed = addresses
            .iter()
            .filter(|address| is_believed(address, self.is_loopback));
        Some(Peer {
            node,
            addresses: believed
                .take(ADDRESSES_MAX)
                .map(|address| without_peer(address).to_string())
                .collect(),
        })
    }
}
