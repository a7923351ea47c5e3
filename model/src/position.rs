//! Position: where a row stands in its stream. One of the two quantities that run the system.
//!
//! Every row has a position `(origin, index)`: who numbered it, and its number. Positions are a function of
//! the data, never of a host, of how batches were cut, or of when a component was started. All that the
//! system promises about data is arithmetic on the intervals here: one seen before is a duplicate, one that
//! does not join the last is a gap.

use std::collections::BTreeMap;
use std::fmt;

use crate::name::{Digest, StreamName};

/// Who numbered a row: a source in one of its incarnations, or a stateful component.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Origin(pub u128);

impl Origin {
    /// The origin that `incarnation` of the source with this canonical name is.
    pub fn of_source(stream: StreamName, incarnation: u64) -> Self {
        Self::hash("source", &[&stream.0.0, &incarnation.to_le_bytes()])
    }

    /// The origin that a stateful component computing the stream with this canonical name is.
    ///
    /// Every host that computes the same stream is the same origin: that is what lets one replace another.
    pub fn of_component(stream: StreamName) -> Self {
        Self::hash("component", &[&stream.0.0])
    }

    /// What a union calls this origin when it comes in at `port`.
    ///
    /// One origin that reaches a union on two ways is two origins behind it.
    pub fn through_port(self, port: u16) -> Self {
        Self::hash("port", &[&self.0.to_le_bytes(), &port.to_le_bytes()])
    }

    fn hash(kind: &str, parts: &[&[u8]]) -> Self {
        let digest = Digest::of(kind, parts);
        let (half, _) = digest.0.split_at(16);
        Self(u128::from_le_bytes(
            half.try_into().expect("half of 32 bytes is 16 bytes"),
        ))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({:08x})", self.0 >> 96)
    }
}

/// Where one row stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Position {
    /// Who numbered it.
    pub origin: Origin,
    /// Its number, from 1.
    pub index: u64,
}

/// The indices `after + 1 ..= through` of one origin. Empty where both are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode)]
pub struct Interval {
    after: u64,
    through: u64,
}

/// What a consumer that has everything up to some index makes of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It joins what is there.
    Next,
    /// All of it is there already.
    Duplicate,
    /// The part up to this index is there already: cut it off.
    Cut(u64),
    /// What lies between is missing.
    Gap,
}

impl Interval {
    /// The indices in `(after, through]`.
    ///
    /// # Panics
    /// When `after > through`.
    pub fn new(after: u64, through: u64) -> Self {
        assert!(
            after <= through,
            "an interval runs forward, not from {after} to {through}"
        );
        Self { after, through }
    }

    /// The interval without an index that stands at `index`.
    pub const fn empty(index: u64) -> Self {
        Self {
            after: index,
            through: index,
        }
    }

    /// The last index before it.
    pub const fn after(self) -> u64 {
        self.after
    }

    /// Its last index.
    pub const fn through(self) -> u64 {
        self.through
    }

    /// How many indices it has.
    pub const fn len(self) -> u64 {
        self.through - self.after
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.after == self.through
    }

    /// What a consumer that has everything up to `last` makes of this.
    pub const fn judge(self, last: u64) -> Judgement {
        if self.after > last {
            Judgement::Gap
        } else if self.after == last {
            Judgement::Next
        } else if self.through <= last {
            Judgement::Duplicate
        } else {
            Judgement::Cut(last)
        }
    }

    /// This interval and the one that follows it as one, where `next` joins it.
    pub const fn join(self, next: Self) -> Option<Self> {
        if self.through == next.after {
            Some(Self {
                after: self.after,
                through: next.through,
            })
        } else {
            None
        }
    }
}

impl<Context> bincode::Decode<Context> for Interval {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let (after, through) = <(u64, u64)>::decode(decoder)?;
        if after > through {
            return Err(bincode::error::DecodeError::Other(
                "an interval runs backward",
            ));
        }
        Ok(Self { after, through })
    }
}
bincode::impl_borrow_decode!(Interval);

/// The map from origin to index: how far somebody stands in each origin.
#[derive(Debug, Clone, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub struct Positions {
    through: BTreeMap<Origin, u64>,
}

impl Positions {
    /// Nowhere: no origin is known.
    pub const fn new() -> Self {
        Self {
            through: BTreeMap::new(),
        }
    }

    /// The index up to which `origin` is known, if it is.
    pub fn through(&self, origin: Origin) -> Option<u64> {
        self.through.get(&origin).copied()
    }

    /// Moves `origin` to `index`; never back. Says whether it moved.
    pub fn advance(&mut self, origin: Origin, index: u64) -> bool {
        match self.through.get_mut(&origin) {
            Some(through) if *through >= index => false,
            Some(through) => {
                *through = index;
                true
            }
            None => {
                self.through.insert(origin, index);
                true
            }
        }
    }

    /// The origins with their indices, in order of origin.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, u64)> + '_ {
        self.through.iter().map(|(origin, index)| (*origin, *index))
    }

    /// How many origins are known.
    pub fn len(&self) -> usize {
        self.through.len()
    }

    /// Whether no origin is known.
    pub fn is_empty(&self) -> bool {
        self.through.is_empty()
    }
}

impl FromIterator<(Origin, u64)> for Positions {
    fn from_iter<I: IntoIterator<Item = (Origin, u64)>>(pairs: I) -> Self {
        let mut positions = Self::new();
        for (origin, index) in pairs {
            positions.advance(origin, index);
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn judgement_by_table() {
        let cases = [
            (0, 5, 0, Judgement::Next),
            (5, 5, 5, Judgement::Next),
            (0, 5, 5, Judgement::Duplicate),
            (3, 5, 9, Judgement::Duplicate),
            (0, 5, 2, Judgement::Cut(2)),
            (6, 9, 5, Judgement::Gap),
        ];
        for (after, through, last, expected) in cases {
            assert_eq!(
                Interval::new(after, through).judge(last),
                expected,
                "({after}, {through}] at {last}"
            );
        }
    }

    #[test]
    fn a_union_tells_its_ports_apart() {
        let origin = Origin(1);
        assert_ne!(origin.through_port(0), origin.through_port(1));
        assert_ne!(origin.through_port(0), origin);
    }

    proptest! {
        /// Whatever is sent how often and in which cuts, following the judgement applies each index once.
        #[test]
        fn judgement_applies_each_index_once(cuts in prop::collection::vec((0u64..40, 0u64..40), 0..60)) {
            let mut last = 0;
            let mut applied = Vec::new();
            for (a, b) in cuts {
                let interval = Interval::new(a.min(b), a.max(b));
                let from = match interval.judge(last) {
                    Judgement::Next => interval.after(),
                    Judgement::Cut(at) => at,
                    Judgement::Duplicate | Judgement::Gap => continue,
                };
                applied.extend(from + 1..=interval.through());
                last = last.max(interval.through());
            }
            prop_assert_eq!(applied, (1..=last).collect::<Vec<_>>());
        }
    }
}
