//! Entries of the overlay: what it is asked, what it answers, and what it holds.
//!
//! The overlay maps keys to sets of entries, one of each owner. It carries an entry's payload as bytes: what
//! they mean is known to who registered it and to who asks.

use std::time::Duration;

use crate::host::{Coordinate, LoadInterval};
use crate::id::{ApplicationId, NodeId};
use crate::name::{Digest, StreamName};
use crate::wire;

/// The largest payload of an entry.
///
/// Unit: bytes. Source: guess; a component graph of 256 parts with its names is below it.
pub const PAYLOAD_BYTES_MAX: usize = 48 << 10;

/// The most addresses an entry may name, and how long one may be. Units: addresses, bytes.
pub const ADDRESSES_MAX: usize = 4;
/// See [`ADDRESSES_MAX`].
pub const ADDRESS_BYTES_MAX: usize = 256;

/// The longest that an entry lives without being registered anew.
///
/// Unit: time. Source: design; three times the period of registering.
pub const TTL_MAX: Duration = Duration::from_secs(180);

/// Into how many keys an index is split, so that no host holds all of it.
pub const INDEX_SHARDS: u8 = 16;

/// Under what entries are found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Key(pub Digest);

/// What can be listed completely.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Index {
    /// Applications: their records.
    Applications,
    /// Published streams.
    Streams,
    /// Hosts.
    Hosts,
}

impl Key {
    /// Who has the stream of this canonical name: `s:`.
    pub fn stream(name: StreamName) -> Self {
        Self(Digest::of("synergy 2026 key stream", &[&name.0.0]))
    }

    /// Who publishes a stream under this name: `n:`.
    pub fn published(name: &str) -> Self {
        Self(Digest::of("synergy 2026 key published", &[name.as_bytes()]))
    }

    /// Who offers a kind of operators that few hosts offer: `c:`.
    pub fn operator(kind: &str) -> Self {
        Self(Digest::of("synergy 2026 key operator", &[kind.as_bytes()]))
    }

    /// What a host says of itself: `h:`.
    pub fn host(node: NodeId) -> Self {
        Self(Digest::of("synergy 2026 key host", &[&node.0]))
    }

    /// The record of an application: `a:`.
    pub fn application(id: &ApplicationId) -> Self {
        Self(Digest::of(
            "synergy 2026 key application",
            &[&wire::encode(id)],
        ))
    }

    /// A shard of an index: `i:`.
    pub fn index(index: Index, shard: u8) -> Self {
        Self(Digest::of(
            "synergy 2026 key index",
            &[&wire::encode(&(index, shard))],
        ))
    }

    /// The shard of an index to which something of this key belongs.
    pub const fn shard(self) -> u8 {
        self.0.0[0] % INDEX_SHARDS
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.0)
    }
}

/// What one owner says under a key. Signed by the owner; of two, the one with the higher version stands.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub struct Entry {
    /// Whose it is.
    pub owner: NodeId,
    /// Under which key.
    pub key: Key,
    /// What tells two entries of one owner apart under one key: an application's number, a stream's.
    ///
    /// An owner has at most 64 under a key.
    pub slot: u64,
    /// Grows with each change, per owner, key and slot.
    pub version: u64,
    /// How long it lives from when its holder got it. Unit: time. Range: at most 180 s.
    pub ttl: Duration,
    /// Where the owner is reached, at most [`ADDRESSES_MAX`] multiaddresses.
    pub addresses: Vec<String>,
    /// How loaded the owner said it was.
    pub load: LoadInterval,
    /// Where the owner was in the network.
    pub coordinate: Coordinate,
    /// What it says; nothing where it was withdrawn.
    pub payload: Option<Vec<u8>>,
    /// The owner's Ed25519 signature of all of the above.
    pub signature: [u8; 64],
}

impl Entry {
    /// What is signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        wire::encode(&(
            self.owner,
            self.key,
            self.slot,
            self.version,
            self.ttl,
            &self.addresses,
            self.load,
            self.coordinate,
            &self.payload,
        ))
    }

    /// Whether it keeps the limits of an entry. One that was decoded does.
    ///
    /// # Errors
    /// The limit that it breaks.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_long = |address: &String| address.len() > ADDRESS_BYTES_MAX;
        if self.ttl > TTL_MAX {
            return Err("an entry that lives too long");
        }
        if self.addresses.len() > ADDRESSES_MAX || self.addresses.iter().any(is_long) {
            return Err("an entry of too many or too long addresses");
        }
        if !self.coordinate.is_valid() {
            return Err("an entry from nowhere");
        }
        match &self.payload {
            Some(payload) if payload.len() > PAYLOAD_BYTES_MAX => Err("an entry that is too large"),
            _ => Ok(()),
        }
    }
}

impl<Context> bincode::Decode<Context> for Entry {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let entry = Self {
            owner: bincode::Decode::decode(decoder)?,
            key: bincode::Decode::decode(decoder)?,
            slot: bincode::Decode::decode(decoder)?,
            version: bincode::Decode::decode(decoder)?,
            ttl: bincode::Decode::decode(decoder)?,
            addresses: bincode::Decode::decode(decoder)?,
            load: bincode::Decode::decode(decoder)?,
            coordinate: bincode::Decode::decode(decoder)?,
            payload: bincode::Decode::decode(decoder)?,
            signature: bincode::Decode::decode(decoder)?,
        };
        entry.check().map_err(bincode::error::DecodeError::Other)?;
        Ok(entry)
    }
}
bincode::impl_borrow_decode!(Entry);

/// What the overlay is asked.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Query {
    /// Entries under a key; where there are more than `count`, a random sample weighted to low load and,
    /// where `near` is given, to short ways from there.
    Lookup {
        /// Under which key.
        key: Key,
        /// From where ways are measured.
        near: Option<Coordinate>,
        /// How many are wanted at most.
        count: usize,
    },
    /// All entries of an index: a complete listing.
    List {
        /// Which one.
        index: Index,
    },
    /// Registers an entry of this node and keeps it registered until it is withdrawn.
    Register {
        /// Under which key.
        key: Key,
        /// See [`Entry::slot`].
        slot: u64,
        /// What to say.
        payload: Vec<u8>,
    },
    /// Withdraws an entry of this node.
    Withdraw {
        /// Under which key.
        key: Key,
        /// See [`Entry::slot`].
        slot: u64,
    },
    /// The nodes that are closest to a key by its digest, this one among them.
    Closest {
        /// Which key.
        key: Key,
        /// How many are wanted.
        count: usize,
    },
}

/// What the overlay answers.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Outcome {
    /// What was found, each owner and slot once; nothing is an answer too.
    Entries(Vec<Entry>),
    /// Nodes, the closest first.
    Nodes(Vec<NodeId>),
    /// It was registered or withdrawn at the closest nodes that could be reached: at one of them at least.
    Done,
    /// It could not be answered.
    Failed(QueryError),
}

/// Why the overlay has no answer. Nothing was changed that would not expire by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, bincode::Encode, bincode::Decode)]
pub enum QueryError {
    /// None of those who might know answered in time.
    #[error("no holder of the key answered in time")]
    Timeout,
    /// All of those who should hold it have no room for it.
    #[error("no holder of the key has room for it")]
    Refused,
    /// It is larger than an entry may be.
    #[error("an entry of {0} bytes; at most {PAYLOAD_BYTES_MAX} are possible")]
    TooLarge(usize),
    /// This node has registered as much as it may.
    #[error("this node has {0} entries registered, and no more are possible")]
    TooMany(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_beyond_a_limit_is_not_decoded() {
        let good = Entry {
            owner: NodeId([1; 32]),
            key: Key::published("a"),
            slot: 3,
            version: 4,
            ttl: TTL_MAX,
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            load: LoadInterval(2),
            coordinate: Coordinate::default(),
            payload: Some(vec![7; 10]),
            signature: [9; 64],
        };
        let decoded: Entry = wire::decode(&wire::encode(&good)).expect("within the limits");
        assert_eq!(decoded, good);
        let bad: [fn(&mut Entry); 5] = [
            |entry| entry.ttl += Duration::from_nanos(1),
            |entry| entry.addresses = vec![String::new(); ADDRESSES_MAX + 1],
            |entry| entry.addresses = vec!["x".repeat(ADDRESS_BYTES_MAX + 1)],
            |entry| entry.coordinate.place[1] = f64::NAN,
            |entry| entry.payload = Some(vec![0; PAYLOAD_BYTES_MAX + 1]),
        ];
        for spoil in bad {
            let mut entry = good.clone();
            spoil(&mut entry);
            assert!(wire::decode::<Entry>(&wire::encode(&entry)).is_err());
        }
    }
}
