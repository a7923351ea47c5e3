//! Identities: an Ed25519 key, whose public half is the node's id.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use model::{Entry, NodeId};

/// The secret key of a node.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// The identity that a secret of 32 random bytes is.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(&secret),
        }
    }

    /// The secret, to be kept in a file that its owner alone can read.
    pub fn secret(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Who this is.
    pub fn node(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    /// Signs bytes.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }
}

impl std::fmt::Debug for Identity {
    /// Never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.node())
    }
}

/// Whether `node` signed these bytes.
pub fn is_signed_by(node: NodeId, bytes: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&node.0) else {
        return false;
    };
    key.verify_strict(bytes, &Signature::from_bytes(signature))
        .is_ok()
}

/// Whether an entry was signed by its owner.
pub fn is_genuine(entry: &Entry) -> bool {
    is_signed_by(entry.owner, &entry.signed_bytes(), &entry.signature)
}
