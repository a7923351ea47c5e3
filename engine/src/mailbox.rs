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
/// by [`Mailbox::first`]. How many rows may wait is bounded by the credit of the edges; batches without rows
/// do not pile up.
#[derive(Debug, Default)]
pub struct Mailbox {
    channels: BTreeMap<Channel, VecDeque<Waiting>>,
    len: usize,
}

/// A batch that waits, how many had been put into any mailbox before it, and since when it waits.
#[derive(Debug)]
struct Waiting {
    batch: Arc<Batch>,
    sequence: u64,
    since: Instant,
}

impl Mailbox {
    /// Puts a batch behind those of its channel. One without rows grows the last one, if that has none.
    pub fn push(&mut self, now: Instant, channel: Channel, batch: Arc<Batch>, sequence: u64) {
        let ring = self.channels.entry(channel).or_default();
        if let Some(last) = ring.back_mut()
            && last.batch.rows.is_empty()
            && batch.rows.is_empty()
            && last.batch.is_joined_by(&batch)
        {
            let pair = [Arc::clone(&last.batch), batch];
            let joined = Batch::join(&pair).expect("rowless batches have no columns to differ in");
            last.batch = Arc::new(joined);
            return;
        }
        ring.push_back(Waiting {
            batch,
            sequence,
            since: now,
        });
        self.len += 1;
    }

    /// The channel that goes first among those that `may_go`: the one with the least `urgency` of its first
    /// batch, given when that arrived at its source and its number. Ties go by channel.
    pub fn first(
        &self,
        urgency: impl Fn(Instant, u64) -> u64,
        mut may_go: impl FnMut(Channel) -> bool,
    ) -> Option<Channel> {
        let mut first: Option<(u64, Channel)> = None;
        for (channel, ring) in &self.channels {
            let Some(head) = ring.front() else { continue };
            let urgency = urgency(head.batch.header.arrival, head.sequence);
            if first.is_none_or(|(least, _)| urgency < least) && may_go(*channel) {
                first = Some((urgency, *channel));
            }
        }
        first.map(|(_, channel)| channel)
    }

    /// When the first batch of a channel arrived at its source, and how many batches had been put into any
    /// mailbox before it.
    pub fn head(&self, channel: Channel) -> Option<(Instant, u64)> {
        let head = self.channels.get(&channel)?.front()?;
        Some((head.batch.header.arrival, head.sequence))
    }

    /// Since when the first batch of a channel waits.
    pub fn waits_since(&self, channel: Channel) -> Option<Instant> {
        Some(self.channels.get(&channel)?.front()?.since)
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
            // Places in a batch are 32 bits wide.
            let with_rows = taken.iter().find(|batch| !batch.rows.is_empty());
            let fits = with_rows.is_none_or(|first| {
                let span = next.header.interval.through() - first.header.interval.after();
                u32::try_from(span).is_ok()
            });
            if !taken.is_empty() && (!follows || !fits || rows + next.rows.len() > ROWS_MAX) {
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
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
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

    /// A batch of so many rows, all of them at its last index.
    fn batch(channel: Channel, after: u64, through: u64, arrival: u64, rows: usize) -> Arc<Batch> {
        let header = Header {
            origin: channel.origin,
            interval: Interval::new(after, through),
            arrival: Instant::from_nanos(arrival),
            progress: EventTime::MIN,
            missing: 0,
            note: None,
        };
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
        let columns = RecordBatch::try_new(Arc::new(schema), vec![column]).expect("one column");
        Arc::new(Batch {
            header,
            rows: Rows::chunk(columns, EventTime(1)),
        })
    }

    #[test]
    fn the_channel_whose_first_batch_is_most_urgent_goes_first_unless_it_may_not() {
        let mut mailbox = Mailbox::default();
        mailbox.push(Instant::ZERO, FIRST, batch(FIRST, 0, 1, 50, 1), 1);
        mailbox.push(Instant::from_nanos(9), FIRST, batch(FIRST, 1, 2, 10, 1), 2);
        mailbox.push(Instant::ZERO, SECOND, batch(SECOND, 0, 1, 40, 1), 3);
        let oldest = |arrival: Instant, _| arrival.as_nanos();
        let by_number = |_, sequence| sequence;
        assert_eq!(mailbox.first(oldest, |_| true), Some(SECOND));
        assert_eq!(mailbox.first(by_number, |_| true), Some(FIRST));
        assert_eq!(
            mailbox.first(oldest, |channel| channel != SECOND),
            Some(FIRST)
        );
        assert_eq!(mailbox.first(oldest, |_| false), None);
        assert_eq!(mailbox.waits_since(FIRST), Some(Instant::ZERO));
        mailbox.take_one(FIRST);
        assert_eq!(mailbox.waits_since(FIRST), Some(Instant::from_nanos(9)));
    }

    #[test]
    fn consecutive_batches_leave_together_and_others_apart() {
        let mut mailbox = Mailbox::default();
        for (sequence, index) in [(1, 0), (2, 1), (3, 5)] {
            mailbox.push(
                Instant::ZERO,
                FIRST,
                batch(FIRST, index, index + 1, index, 1),
                sequence,
            );
        }
        assert_eq!(mailbox.head(FIRST), Some((Instant::from_nanos(0), 1)));
        assert_eq!(
            mailbox.take(FIRST).len(),
            2,
            "the third does not join the second"
        );
        assert_eq!(
            (mailbox.head(FIRST), mailbox.len()),
            (Some((Instant::from_nanos(5), 3)), 1)
        );
        assert_eq!(mailbox.take(FIRST).len(), 1);
        assert!(mailbox.is_drained(FIRST) && mailbox.is_empty());
        assert!(mailbox.take(FIRST).is_empty());
    }

    #[test]
    fn no_more_rows_leave_together_than_a_full_batch_has() {
        let mut mailbox = Mailbox::default();
        for index in 0..3 {
            mailbox.push(
                Instant::ZERO,
                FIRST,
                batch(FIRST, index, index + 1, 0, ROWS_MAX / 2),
                index,
            );
        }
        assert_eq!(
            (mailbox.take(FIRST).len(), mailbox.take(FIRST).len()),
            (2, 1)
        );
    }

    #[test]
    fn what_spans_more_than_places_can_tell_leaves_apart() {
        // As of a window whose results are far apart: each interval is narrow enough, all together are not.
        let mut mailbox = Mailbox::default();
        let tick = 1 << 30;
        for n in 0..6 {
            mailbox.push(
                Instant::ZERO,
                FIRST,
                batch(FIRST, n * tick, (n + 1) * tick, 0, 1),
                n,
            );
        }
        let taken: Vec<usize> = std::iter::from_fn(|| {
            let batches = mailbox.take(FIRST);
            Batch::join(&batches).expect("equal columns");
            (!mailbox.is_empty()).then_some(batches.len())
        })
        .collect();
        assert_eq!(taken, [3], "the rest is the last");
    }

    #[test]
    fn batches_without_rows_do_not_pile_up() {
        let mut mailbox = Mailbox::default();
        for index in 0..1000 {
            mailbox.push(
                Instant::ZERO,
                FIRST,
                batch(FIRST, index, index + 1, 0, 0),
                index,
            );
        }
        assert_eq!(mailbox.len(), 1);
        assert_eq!(
            mailbox.take(FIRST)[0].header.interval,
            Interval::new(0, 1000)
        );
    }
}
