//! Shares: how a composing node knows that all of its probes have come to their ends.
//!
//! The whole is the numbers from 0 to 2^127. Each probe carries an interval of them and splits it exactly among
//! its children; whoever sees a probe end reports its interval. When the reported ones cover the whole, nothing
//! is under way. A union of intervals is the same however often and in whatever order they are reported, so
//! that repeated probes and reports count once.

use std::collections::BTreeMap;

/// What all probes of a round carry together.
///
/// Source: a plan of 256 operators forks at most 2^102 times over on one way (64 times three ways that meet again), and begins at most 2^11 times.
pub(crate) const WHOLE: u128 = 1 << 127;

/// What one probe carries: the numbers from `start` on, `len` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share {
    start: u128,
    len: u128,
}

impl Share {
    /// All of it.
    pub(crate) const WHOLE: Self = Self {
        start: 0,
        len: WHOLE,
    };

    /// How many children it can be split among that need so many numbers each: behind a long way few, but always one for each of the `readers`.
    pub(crate) fn children_max(self, needed: u128, readers: usize) -> usize {
        let count = |numbers: u128| usize::try_from(numbers).unwrap_or(usize::MAX);
        count(self.len / needed.max(1)).max(readers.min(count(self.len)))
    }

    /// Splits it among `count` children as evenly as can be: the first take what is left over.
    ///
    /// # Panics
    /// When there is no child, or not a number for each.
    pub(crate) fn split(self, count: usize) -> impl Iterator<Item = Self> {
        let count = u128::from(model::convert::size(count));
        assert!(count > 0, "a share goes to somebody");
        assert!(count <= self.len, "{count} children of {self:?}");
        let (each, left_over) = (self.len / count, self.len % count);
        (0..count).scan(self.start, move |start, child| {
            let len = each + u128::from(child < left_over);
            let share = Self { start: *start, len };
            *start += len;
            Some(share)
        })
    }

    const fn end(self) -> u128 {
        self.start + self.len
    }
}

impl bincode::Encode for Share {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        (self.start, self.len).encode(encoder)
    }
}

impl<Context> bincode::Decode<Context> for Share {
    /// Takes only what lies in the whole and is not empty.
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let (start, len) = <(u128, u128)>::decode(decoder)?;
        match start.checked_add(len) {
            Some(end) if len > 0 && end <= WHOLE => Ok(Self { start, len }),
            _ => Err(bincode::error::DecodeError::Other("no share of the whole")),
        }
    }
}
bincode::impl_borrow_decode!(Share);

/// The shares that were reported: disjoint intervals, those that touch joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// From the start of each interval to its end.
    intervals: BTreeMap<u128, u128>,
}

impl Coverage {
    /// Adds a share, and says whether any of it is new.
    ///
    /// Kept are at most as many intervals as probes are under way, and one.
    pub(crate) fn add(&mut self, share: Share) -> bool {
        let (mut start, mut end) = (share.start, share.end());
        if let Some((_, known)) = self.intervals.range(..=start).next_back()
            && *known >= end
        {
            return false;
        }
        while let Some((first, last)) = self.intervals.range(..=end).next_back()
            && *last >= start
        {
            let first = *first;
            start = start.min(first);
            end = end.max(*last);
            self.intervals.remove(&first);
        }
        self.intervals.insert(start, end);
        true
    }

    /// Whether all probes have ended.
    pub(crate) fn is_whole(&self) -> bool {
        self.intervals.get(&0) == Some(&WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Splits and splits again as `counts` say, and gives the ends.
    fn ends(counts: &[usize]) -> Vec<Share> {
        let mut shares = vec![Share::WHOLE];
        for count in counts {
            let place = (*count * 7) % shares.len();
            let share = shares.swap_remove(place);
            let count = (*count).min(share.children_max(1, 1));
            shares.extend(share.split(count));
        }
        shares
    }

    proptest! {
        #[test]
        fn children_have_exactly_what_their_parent_had(counts in prop::collection::vec(1usize..9, 0..200)) {
            let shares = ends(&counts);
            let sum: u128 = shares.iter().map(|share| share.len).sum();
            prop_assert_eq!(sum, WHOLE);
        }

        #[test]
        fn all_ends_cover_the_whole_in_any_order_and_all_but_one_do_not(
            counts in prop::collection::vec(2usize..9, 1..60),
            keys in prop::collection::vec(any::<u32>(), 600),
            missing in any::<prop::sample::Index>(),
        ) {
            let mut order: Vec<(u32, Share)> = keys.into_iter().zip(ends(&counts)).collect();
            order.sort();
            let missing = missing.index(order.len());
            let mut coverage = Coverage::default();
            for (index, (_, share)) in order.iter().enumerate() {
                if index != missing {
                    prop_assert!(coverage.add(*share));
                    prop_assert!(!coverage.add(*share), "repeated");
                }
            }
            prop_assert!(!coverage.is_whole());
            prop_assert!(coverage.add(order[missing].1));
            prop_assert!(coverage.is_whole());
            prop_assert_eq!(coverage.intervals.len(), 1);
        }
    }

    #[test]
    fn a_parent_covers_what_its_children_did_not() {
        let children: Vec<Share> = Share::WHOLE.split(3).collect();
        let mut coverage = Coverage::default();
        assert!(coverage.add(children[1]));
        assert!(coverage.add(Share::WHOLE));
        assert!(coverage.is_whole());
        assert!(!coverage.add(children[2]));
    }
}
