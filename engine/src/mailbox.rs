//! Mailboxes: the batches that wait at a component, one ring for each channel.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::{Instant, Origin};

use crate::batch::{Batch, ROWS_MAX};

/// One way into a component: the rows of one origin at one input port, which stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// The input port.
    pub port: u16,
    /// Who numbered the rows.
    pub origin: Origin,
}

/// The batches that wait at a component.
///
/// Within a channel they leave in order; among channels the one whose first batch is to go first is found
/// by [`Mailbox::first`]. How much may wait is bounded by the credit of the edges.
#[derive(Debug, Default)]
pub struct Mailbox {
    channels: BTreeMap<Channel, VecDeque<Waiting>>,
    len: usize,
}

/// A batch that waits, and how many had been put into any mailbox before it.
#[derive(Debug)]
struct Waiting {
    batch: Arc<Batch>,
    sequence: u64,
}

impl Mailbox {
    /// Puts a batch behind those of its channel.
    pub fn push(&mut self, channel: Channel, batch: Arc<Batch>, sequence: u64) {
        self.channels
            .entry(channel)
            .or_default()
            .push_back(Waiting { batch, sequence });
        self.len += 1;
    }

    /// The channel that goes first among those that `may_go`: the one whose first batch arrived earliest at
    /// its source, which at one component is the one with the earliest deadline. Ties go by channel.
    pub fn first(&self, mut may_go: impl FnMut(Channel) -> bool) -> Option<(Channel, Instant)> {
        let heads = self.channels.iter().filter_map(|(channel, ring)| {
            ring.front()
                .map(|first| (*channel, first.batch.header.arrival))
        });
        heads
            .filter(|(channel, _)| may_go(*channel))
            .min_by_key(|(channel, arrival)| (*arrival, *channel))
    }

    /// Takes the first batches of a channel: as many as follow one another and have no more rows together
    /// than a full batch. Small neighbors are so worked off as one; none is held back for it.
    pub fn take(&mut self, channel: Channel) -> Vec<Arc<Batch>> {
        let Some(ring) = self.channels.get_mut(&channel) else {
            return Vec::new();
        };
        let mut taken: Vec<Arc<Batch>> = Vec::new();
        let mut rows = 0;
        while let Some(next) = ring.front() {
            let next = &next.batch;
            let follows = taken.last().is_none_or(|last| last.is_joined_by(next));
            if !taken.is_empty() && (!follows || rows + next.rows.len() > ROWS_MAX) {
                break;
            }
            rows += next.rows.len();
            taken.extend(ring.pop_front().map(|first| first.batch));
        }
        self.len -= taken.len();
        taken
    }

    /// Takes the first batch of a channel as it came.
    pub fn take_one(&mut self, channel: Channel) -> Option<Arc<Batch>> {
        let first = self.channels.get_mut(&channel)?.pop_front()?;
        self.len -= 1;
        Some(first.batch)
    }

    /// How many batches had been put into any mailbox before the first of a channel.
    pub fn sequence(&self, channel: Channel) -> u64 {
        let first = self.channels.get(&channel).and_then(VecDeque::front);
        first.map_or(u64::MAX, |first| first.sequence)
    }

    /// Whether nothing waits in a channel.
    pub fn is_drained(&self, channel: Channel) -> bool {
        self.channels.get(&channel).is_none_or(VecDeque::is_empty)
    }

    /// How many batches wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops all that waits: nobody will work it off any more.
    pub fn clear(&mut self) {
        self.channels.clear();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;
    use model::{EventTime, Interval};

    use super::*;
    use crate::batch::{Header, Rows};

    const FIRST: Channel = Channel {
        port: 0,
        origin: Origin(1),
    };
    const SECOND: Channel = Channel {
        port: 0,
        origin: Origin(2),
    };

    fn batch(channel: Channel, index: u64, arrival: u64) -> Arc<Batch> {
        let header = Header {
            origin: channel.origin,
            interval: Interval::new(index, index + 1),
            arrival: Instant::from_nanos(arrival),
            progress: EventTime::MIN,
            missing: 0,
            note: None,
        };
        Arc::new(Batch {
            header,
            rows: Rows::empty(Arc::new(Schema::empty())),
        })
    }

    #[test]
    fn the_channel_whose_first_batch_is_oldest_goes_first_unless_it_may_not() {
        let mut mailbox = Mailbox::default();
        mailbox.push(FIRST, batch(FIRST, 0, 50), 1);
        mailbox.push(FIRST, batch(FIRST, 1, 10), 2);
        mailbox.push(SECOND, batch(SECOND, 0, 40), 3);
        assert_eq!(
            mailbox.first(|_| true).map(|(channel, _)| channel),
            Some(SECOND)
        );
        assert_eq!(
            mailbox
                .first(|channel| channel != SECOND)
                .map(|(channel, _)| channel),
            Some(FIRST)
        );
        assert_eq!(mailbox.first(|_| false), None);
    }

    #[test]
    fn consecutive_batches_leave_together_and_others_apart() {
        let mut mailbox = Mailbox::default();
        for (sequence, index) in [(1, 0), (2, 1), (3, 5)] {
            mailbox.push(FIRST, batch(FIRST, index, index), sequence);
        }
        assert_eq!(mailbox.sequence(FIRST), 1);
        assert_eq!(
            mailbox.take(FIRST).len(),
            2,
            "the third does not join the second"
        );
        assert_eq!((mailbox.sequence(FIRST), mailbox.len()), (3, 1));
        assert_eq!(mailbox.take(FIRST).len(), 1);
        assert!(mailbox.is_drained(FIRST) && mailbox.is_empty());
        assert!(mailbox.take(FIRST).is_empty());
    }
}
