//! Who a peer is: a node's id is the Ed25519 key that the routing library makes its peer id of.

use libp2p::PeerId;
use libp2p::identity::Keypair;
use model::NodeId;

use crate::identity::Identity;

/// What stands before the key in the bytes of a peer id: a multihash that hashes nothing (code 0) of 36 bytes,
/// which are a message with the key's type (1, Ed25519) and its 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The key pair with which the transport proves who this node is.
pub(super) fn keypair(identity: &Identity) -> Keypair {
    Keypair::ed25519_from_bytes(identity.secret())
        .expect("every 32 bytes are the secret of an Ed25519 key")
}

/// The peer id of a node.
pub(super) fn peer_id(node: NodeId) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&PREFIX);
    bytes[6..].copy_from_slice(&node.0);
    PeerId::from_bytes(&bytes).expect("a hash of code 0 and 36 bytes is a peer id")
}

/// The node of a peer id; nothing where it is not made of an Ed25519 key.
pub(super) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&PREFIX)?;
    key.try_into().ok().map(NodeId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_peer_id_are_the_same_key() {
        let identity = Identity::from_secret([7; 32]);
        let keypair = keypair(&identity);
        let peer = keypair.public().to_peer_id();
        assert_eq!(peer_id(identity.node()), peer);
        assert_eq!(node_id(&peer), Some(identity.node()));
    }

    #[test]
    fn a_hashed_key_is_no_node() {
        let hashed = [&[0x12, 0x20], [9; 32].as_slice()].concat();
        let peer = PeerId::from_bytes(&hashed).expect("a peer id by SHA-256");
        assert_eq!(node_id(&peer), None);
    }
}
