//! How far nodes are from keys: the exclusive or of their SHA-256 hashes, as Kademlia has it.
//!
//! The routing library hashes the bytes of a record's key and the bytes of a peer's id, and leaves the local
//! node out of what it finds. To put it in at its own place, and to order nodes that were heard of elsewhere,
//! the same distance is computed here without the library.

use model::{Key, NodeId};
use sha2::{Digest, Sha256};

/// Where a node or a key lies in the space of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place([u8; 32]);

/// How far two places are from one another; compared as a number, highest byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance([u8; 32]);

/// The bytes of an Ed25519 peer id before its key: an identity multihash of 36 bytes, which are a protobuf of
/// the key's type (1: Ed25519) and its 32 bytes.
const PEER_ID_HEAD: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl Place {
    /// Where a key lies.
    pub fn of_key(key: Key) -> Self {
        Self(Sha256::digest(key.0.0).into())
    }

    /// Where a node lies.
    pub fn of_node(node: NodeId) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(PEER_ID_HEAD);
        hasher.update(node.0);
        Self(hasher.finalize().into())
    }

    /// How far another place is.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        let mut distance = self.0;
        for (byte, with) in distance.iter_mut().zip(other.0) {
            *byte ^= with;
        }
        Distance(distance)
    }

    /// How many bits a place has.
    pub const BITS: usize = 256;

    /// A bit of it, the highest first.
    ///
    /// # Panics
    /// When it has no such bit.
    pub const fn bit(&self, number: usize) -> bool {
        self.0[number / 8] & (0x80 >> (number % 8)) != 0
    }

    /// How far a node is from this place.
    pub fn distance_to(&self, node: NodeId) -> Distance {
        self.distance(&Self::of_node(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn a_place_is_nearest_to_itself_and_distances_are_mutual() {
        let nodes: Vec<_> = (0..5).map(|n| Place::of_node(NodeId([n; 32]))).collect();
        for one in &nodes {
            for other in &nodes {
                assert_eq!(one.distance(other), other.distance(one));
                assert_eq!(one == other, one.distance(other) == Distance([0; 32]));
            }
        }
    }

    #[test]
    fn distances_are_those_of_the_routing_library() {
        let mut secrets = [[1; 32], [2; 32], [3; 32], [250; 32]].into_iter();
        let key = Key::published("flows");
        let theirs = libp2p::kad::KBucketKey::new(key.0.0.to_vec());
        let ours = Place::of_key(key);
        let mut nodes = Vec::new();
        for secret in &mut secrets {
            let pair = libp2p::identity::Keypair::ed25519_from_bytes(secret).unwrap();
            let peer = libp2p::kad::KBucketKey::from(pair.public().to_peer_id());
            let node = Identity::from_secret(secret).node();
            assert_eq!(Place::of_node(node).0, peer.hashed_bytes());
            nodes.push((ours.distance_to(node), theirs.distance(&peer)));
        }
        assert_eq!(ours.0, theirs.hashed_bytes());
        nodes.sort();
        assert!(nodes.is_sorted_by_key(|(_, theirs)| *theirs));
    }
}
