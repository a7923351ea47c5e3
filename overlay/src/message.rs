//! What the machines of two nodes say to each other.
//!
//! All limits are checked where bytes become messages: what is handed to a machine keeps them.

use std::sync::Arc;
use std::time::Duration;

use bincode::de::Decoder;
use bincode::error::DecodeError;
use model::{Coordinate, Entry, HostSummary, Key, NodeId};

/// The most hosts that a ping or its answer tells of.
///
/// Unit: hosts. Source: as many as are known; a summary is about 200 bytes, so 128 of them are 25 KiB.
pub const RUMORS_MAX: usize = 128;

/// The most entries in one message.
///
/// Unit: entries. Source: what a key may hold; how many bytes they may be is bounded where they are put in.
pub const ENTRIES_MAX: usize = 1024;

/// How many bytes of entries go into one message.
///
/// Unit: bytes. Range: above one entry of the largest payload, well below [`model::wire::MESSAGE_BYTES_MAX`].
/// Source: guess; a message of this size takes 2 ms at a gigabit.
pub const ENTRIES_BYTES_MAX: usize = 192 << 10;

const _: () = assert!(ENTRIES_BYTES_MAX > 2 * model::entry::PAYLOAD_BYTES_MAX);
const _: () = assert!(ENTRIES_BYTES_MAX < model::wire::MESSAGE_BYTES_MAX / 4);

/// What one overlay says to another. One that was decoded keeps the limits of all of its parts.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Message {
    /// Are you there? And: what I know of hosts.
    Ping {
        /// What the answer repeats.
        number: u64,
        /// Who asks.
        gossip: Gossip,
    },
    /// The answer to a ping.
    Pong {
        /// Of the ping.
        number: u64,
        /// Who answers.
        gossip: Gossip,
    },
    /// A question about entries, or one to be kept.
    Request {
        /// What the answer repeats.
        number: u64,
        /// What is asked.
        request: Request,
    },
    /// The answer to a request.
    Answer {
        /// Of the request.
        number: u64,
        /// What is answered.
        answer: Answer,
    },
    /// Entries that belong to the receiver more than to the sender: another holder hands them over.
    HandOver {
        /// The entries.
        entries: Bounded<Held, ENTRIES_MAX>,
    },
    /// A reader could not reach the owner of entries that the receiver served.
    Suspect {
        /// Whom it could not reach.
        owner: NodeId,
    },
    /// The sender leaves the network.
    Farewell,
}

impl Message {
    /// The order to keep an entry.
    pub fn keep(number: u64, entry: impl Into<Arc<Entry>>) -> Self {
        let entry = entry.into();
        let request = Request::Keep { entry };
        Self::Request { number, request }
    }

    /// The hand-over of entries, of at most [`ENTRIES_MAX`].
    pub fn hand_over(entries: impl IntoIterator<Item = Held>) -> Self {
        Self::HandOver {
            entries: Bounded::first_of(entries),
        }
    }
}

/// What travels on a ping and on its answer.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Gossip {
    /// What the sender says of itself.
    pub summary: HostSummary,
    /// The exclusive or of a hash of each host that the sender knows, itself among them, and of whether it has said where it is: equal where
    /// two know the same.
    pub known: u64,
    /// What it heard of others.
    pub rumors: Bounded<Rumor, RUMORS_MAX>,
}

/// What somebody heard of a host.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Rumor {
    /// What the host said of itself.
    pub summary: HostSummary,
    /// How long ago anybody heard of it from the host itself.
    pub age: Duration,
}

/// What a node asks a holder.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Request {
    /// A sample of the entries under a key.
    Find {
        /// Under which key.
        key: Key,
        /// From where ways are measured.
        near: Option<NearBy>,
        /// How many are wanted at most.
        count: u32,
    },
    /// All entries under a key, in order of their owners and slots, as many as fit an answer.
    Page {
        /// Under which key.
        key: Key,
        /// Those after this one; from the first on where nothing is named.
        after: Option<(NodeId, u64)>,
    },
    /// Keep this entry of the sender.
    Keep {
        /// The entry.
        entry: Arc<Entry>,
    },
}

impl Request {
    /// The key that it is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Find { key, .. } | Self::Page { key, .. } => *key,
            Self::Keep { entry } => entry.key,
        }
    }
}

/// A place in the network that was checked to be one.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode)]
pub struct NearBy(pub Coordinate);

impl<Context> bincode::Decode<Context> for NearBy {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let coordinate = Coordinate::decode(decoder)?;
        if !coordinate.is_valid() {
            return Err(DecodeError::Other("ways are measured from nowhere"));
        }
        Ok(Self(coordinate))
    }
}
bincode::impl_borrow_decode!(NearBy);

/// What a holder answers.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Answer {
    /// Entries; withdrawn ones are among them, so that others that missed it are corrected.
    Entries {
        /// The entries.
        entries: Bounded<Held, ENTRIES_MAX>,
        /// Whether a page has others behind it.
        has_more: bool,
    },
    /// The entry is kept.
    Kept,
    /// The entry is not kept.
    Refused,
}

/// An entry, and for how long it has been held in all.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Held {
    /// The entry: all who hold it or tell of it in one process have the same one.
    pub entry: Arc<Entry>,
    /// The time since its owner brought it to a holder. It lives for `ttl` less this.
    pub age: Duration,
}

/// A list of at most `MAX` elements; a longer one is not decoded.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub struct Bounded<T: bincode::Encode, const MAX: usize>(Vec<T>);

impl<T: bincode::Encode, const MAX: usize> Bounded<T, MAX> {
    /// The first `MAX` of these.
    pub fn first_of(elements: impl IntoIterator<Item = T>) -> Self {
        Self(elements.into_iter().take(MAX).collect())
    }

    /// The elements.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// The elements, to be looked at.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<Context, T: bincode::Encode + bincode::Decode<Context>, const MAX: usize>
    bincode::Decode<Context> for Bounded<T, MAX>
{
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = u64::decode(decoder)?;
        if count > model::convert::size(MAX) {
            return Err(DecodeError::Other("a list of too many elements"));
        }
        // Nothing is allocated for elements that are only announced.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(T::decode(decoder)?);
        }
        Ok(Self(elements))
    }
}

impl<'de, Context, T, const MAX: usize> bincode::BorrowDecode<'de, Context> for Bounded<T, MAX>
where
    T: bincode::Encode + bincode::Decode<Context>,
{
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        bincode::Decode::decode(decoder)
    }
}
