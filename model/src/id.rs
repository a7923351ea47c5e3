//! Ids: who somebody is, and which answer belongs to which question.

use std::fmt;

/// A peer: the 32 bytes of its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct NodeId(pub [u8; 32]);

impl fmt::Display for NodeId {
    /// The first eight hexadecimal digits: enough to tell the hosts of a network apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// An application: its owner's key and the name in its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct ApplicationId {
    /// Whose application it is: until there is membership, the host that accepted it.
    pub owner: NodeId,
    /// The name in the application's file.
    pub name: String,
}

/// One composition of an application: the request that a composing node made of it.
///
/// Whatever is reserved, deployed and opened for an application carries it, so that nothing of an earlier
/// attempt is taken for the present one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct CompositionId {
    /// The composing node.
    pub node: NodeId,
    /// Its number for it; larger than that of any composition it made before, also before a restart.
    pub number: u64,
}

macro_rules! counted_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bincode::Encode, bincode::Decode,
        )]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counted_id! {
    /// A component of one host: a running instance of an operator, of a source or of a sink.
    ComponentId
}
counted_id! {
    /// An edge of one host: one consumer pulling one stream.
    EdgeId
}
counted_id! {
    /// A request of one composing node.
    RequestId
}
