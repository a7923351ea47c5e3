//! Mailboxes: the batches that wait at a component, one ring for each channel.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use model::{EventTime, Instant, Origin, Slack, convert};

use crate::batch::{Batch, ROWS_MAX, Token};

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
/// Within a channel they leave in order; among channels the one goes first that [`Mailbox::first`] or
/// [`Mailbox::most_urgent`] finds. How many rows may wait is bounded by the credit of the edges; batches without rows
/// do not pile up.
#[derive(Debug, Default)]
pub struct Mailbox {
    channels: BTreeMap<Channel, Ring>,
    len: usize,
    /// How many of those that wait belong to each window, where they belong to one.
    windows: BTreeMap<EventTime, u64>,
}

/// A batch that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The batch.
    pub batch: Arc<Batch>,
    /// How many had been put into any mailbox before it.
    pub sequence: u64,
    /// When it was put here.
    pub entered: Instant,
    /// When it must start, in nanoseconds of this host's clock; [`NO_DEADLINE`] where nothing depends on it.
    pub deadline: i64,
    /// The frontier progress of the window that it is part of: the least where it acts at once.
    pub window: EventTime,
}

/// The deadline of what no target depends on.
pub const NO_DEADLINE: i64 = Slack::MAX.as_nanos();

/// What goes first in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Whose batch.
    pub channel: Channel,
    /// When the first batch of that channel must start, for the most urgent one to be met.
    pub start_by: i64,
    /// The window of the most urgent one; the least where it is part of none.
    pub window: EventTime,
    /// Whether no batch of those that may go can be on time any more.
    pub is_late: bool,
}

/// How batches that must be run before another are taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// What each of them is expected to cost, in nanoseconds; none where they are not to count.
    pub cost_nanos: i64,
    /// Whether what cannot be met any more is left out.
    pub leaves_out_late: bool,
}

#[derive(Debug)]
struct Ring {
    waiting: VecDeque<Waiting>,
    /// The number of the first that waits; it grows by one with each that is taken.
    taken: u64,
    /// The deadlines of those that wait and can still be met, by number; some may have gone since.
    urgent: BinaryHeap<Reverse<(i64, u64)>>,
    /// How far the origin was with what was taken last.
    progress: EventTime,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            // What is split off the front of the first is numbered before it.
            taken: 1,
            urgent: BinaryHeap::new(),
            progress: EventTime::MIN,
        }
    }
}

impl Mailbox {
    /// Puts a batch behind those of its channel. One without rows grows the last one, if that has none.
    pub fn push(&mut self, channel: Channel, waiting: Waiting) {
        let ring = self.channels.entry(channel).or_default();
        let number = ring.taken + convert::size(ring.waiting.len());
        if let Some(last) = ring.waiting.back_mut()
            && last.batch.rows.is_empty()
            && waiting.batch.rows.is_empty()
            && last.batch.is_joined_by(&waiting.batch)
        {
            let pair = [Arc::clone(&last.batch), waiting.batch];
            let joined = Batch::join(&pair).expect("rowless batches have no columns to differ in");
            last.batch = Arc::new(joined);
            if waiting.deadline < last.deadline {
                last.deadline = waiting.deadline;
                ring.note(waiting.deadline, number - 1);
            }
            return;
        }
        if waiting.window != EventTime::MIN {
            *self.windows.entry(waiting.window).or_default() += 1;
        }
        // What is beyond its application's share is late whenever it must start.
        if waiting.batch.header.token != Token::Spent {
            ring.note(waiting.deadline, number);
        }
        ring.waiting.push_back(waiting);
        self.len += 1;
    }

    /// The channel that goes first among those that `may_go`: the one with the least `urgency` of its first
    /// batch. Ties go by channel.
    pub fn first<T: Ord>(
        &self,
        urgency: impl Fn(&Waiting) -> T,
        mut may_go: impl FnMut(Channel) -> bool,
    ) -> Option<Channel> {
        let mut first: Option<(T, Channel)> = None;
        for (channel, ring) in &self.channels {
            let Some(head) = ring.waiting.front() else {
                continue;
            };
            let urgency = urgency(head);
            if first.as_ref().is_none_or(|(least, _)| urgency < *least) && may_go(*channel) {
                first = Some((urgency, *channel));
            }
        }
        first.map(|(_, channel)| channel)
    }

    /// The channel that goes first among those that `may_go`: the one in which the batch waits that must start earliest
    /// of all that can still be met after those ahead of them. Where none can, the one whose first batch is due earliest.
    pub fn most_urgent(
        &mut self,
        now: Instant,
        ahead: Ahead,
        mut may_go: impl FnMut(Channel) -> bool,
    ) -> Option<First> {
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let mut best: Option<First> = None;
        for (channel, ring) in &mut self.channels {
            let Some(first) = ring.first(*channel, now, ahead, &self.windows) else {
                continue;
            };
            let place = |first: &First| (first.is_late, first.start_by, first.window);
            if best.as_ref().is_none_or(|best| place(&first) < place(best)) && may_go(*channel) {
                best = Some(first);
            }
        }
        best
    }

    /// The first batch of a channel.
    pub fn head(&self, channel: Channel) -> Option<&Waiting> {
        self.channels.get(&channel)?.waiting.front()
    }

    /// Takes the first batches of a channel: as many as follow one another and have no more than `rows_max` rows together, or
    /// than a full batch. Small neighbors are so worked off as one; none is held back for it, and one that is larger is split where
    /// that can be.
    pub fn take(&mut self, channel: Channel, rows_max: usize) -> Vec<Arc<Batch>> {
        let Some(ring) = self.channels.get_mut(&channel) else {
            return Vec::new();
        };
        if ring.split_first(rows_max, &mut self.windows) {
            self.len += 1;
        }
        let rows_max = rows_max.min(ROWS_MAX);
        let mut taken: Vec<Arc<Batch>> = Vec::new();
        let mut rows = 0;
        while let Some(next) = ring.waiting.front() {
            let next = &next.batch;
            let follows = taken.last().is_none_or(|last| last.is_joined_by(next));
            // Places in a batch are 32 bits wide.
            let with_rows = taken.iter().find(|batch| !batch.rows.is_empty());
            let fits = with_rows.is_none_or(|first| {
                let span = next.header.interval.through() - first.header.interval.after();
                u32::try_from(span).is_ok()
            });
            if !taken.is_empty() && (!follows || !fits || rows + next.rows.len() > rows_max) {
                break;
            }
            rows += next.rows.len();
            taken.extend(ring.pop(&mut self.windows).map(|first| first.batch));
        }
        self.len -= taken.len();
        taken
    }

    /// Takes the first batch of a channel as it came.
    pub fn take_one(&mut self, channel: Channel) -> Option<Arc<Batch>> {
        let first = self.channels.get_mut(&channel)?.pop(&mut self.windows)?;
        self.len -= 1;
        Some(first.batch)
    }

    /// Gives every batch that waits another deadline.
    pub fn set_deadlines(&mut self, deadline: impl Fn(&Waiting) -> i64) {
        for ring in self.channels.values_mut() {
            ring.urgent.clear();
            let mut numbered = ring.taken;
            for place in 0..ring.waiting.len() {
                let waiting = &mut ring.waiting[place];
                waiting.deadline = deadline(waiting);
                let deadline = waiting.deadline;
                ring.note(deadline, numbered);
                numbered += 1;
            }
        }
    }

    /// Whether nothing waits in a channel.
    pub fn is_drained(&self, channel: Channel) -> bool {
        let ring = self.channels.get(&channel);
        ring.is_none_or(|ring| ring.waiting.is_empty())
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
        *self = Self::default();
    }
}

impl Ring {
    /// Notes the deadline of a batch; where there is none, it is the head's turn.
    fn note(&mut self, deadline: i64, number: u64) {
        if deadline != NO_DEADLINE {
            self.urgent.push(Reverse((deadline, number)));
        }
    }

    /// See [`Mailbox::most_urgent`].
    fn first(
        &mut self,
        channel: Channel,
        now: i64,
        ahead: Ahead,
        windows: &BTreeMap<EventTime, u64>,
    ) -> Option<First> {
        let head = self.waiting.front()?;
        while let Some(Reverse((deadline, number))) = self.urgent.peek().copied() {
            let place = number.checked_sub(self.taken).map(convert::index);
            let Some(waiting) = place.and_then(|place| self.waiting.get(place)) else {
                self.urgent.pop();
                continue;
            };
            let before = match waiting.window {
                EventTime::MIN => number - self.taken,
                // All of its own window has to be run before the window's result can leave.
                window => {
                    windows
                        .range(..=window)
                        .map(|(_, count)| count)
                        .sum::<u64>()
                        - 1
                }
            };
            let before = i64::try_from(before).unwrap_or(i64::MAX);
            let start_by = deadline.saturating_sub(ahead.cost_nanos.saturating_mul(before));
            if ahead.leaves_out_late && start_by < now {
                self.urgent.pop();
                continue;
            }
            return Some(First {
                channel,
                start_by,
                window: waiting.window,
                is_late: false,
            });
        }
        Some(First {
            channel,
            start_by: head.deadline,
            window: head.window,
            is_late: head.deadline != NO_DEADLINE,
        })
    }

    fn pop(&mut self, windows: &mut BTreeMap<EventTime, u64>) -> Option<Waiting> {
        let first = self.waiting.pop_front()?;
        self.taken += 1;
        self.progress = first.batch.header.progress.max(self.progress);
        if self.waiting.is_empty() {
            self.urgent.clear();
        }
        if first.window != EventTime::MIN
            && let Some(count) = windows.get_mut(&first.window)
        {
            *count -= 1;
            if *count == 0 {
                windows.remove(&first.window);
            }
        }
        Some(first)
    }

    /// Splits the first batch, if it has more rows and can be split. Says whether it did: its front must then be taken at once.
    fn split_first(&mut self, rows_max: usize, windows: &mut BTreeMap<EventTime, u64>) -> bool {
        let progress = self.progress;
        let Some(first) = self.waiting.front_mut() else {
            return false;
        };
        let Some((mut front, rest)) = first.batch.split(rows_max) else {
            return false;
        };
        front.header.progress = progress;
        if first.window != EventTime::MIN {
            *windows.entry(first.window).or_default() += 1;
        }
        let front = Waiting {
            batch: Arc::new(front),
            ..first.clone()
        };
        first.batch = Arc::new(rest);
        self.waiting.push_front(front);
        self.taken -= 1;
        true
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
            token: Token::Unmetered,
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

    /// What waits, without a deadline.
    fn waiting(batch: Arc<Batch>, sequence: u64) -> Waiting {
        Waiting {
            batch,
            sequence,
            entered: Instant::ZERO,
            deadline: NO_DEADLINE,
            window: EventTime::MIN,
        }
    }

    #[test]
    fn the_channel_whose_first_batch_is_most_urgent_goes_first_unless_it_may_not() {
        let mut mailbox = Mailbox::default();
        mailbox.push(FIRST, waiting(batch(FIRST, 0, 1, 50, 1), 1));
        mailbox.push(FIRST, waiting(batch(FIRST, 1, 2, 10, 1), 2));
        mailbox.push(SECOND, waiting(batch(SECOND, 0, 1, 40, 1), 3));
        let oldest = |waiting: &Waiting| waiting.batch.header.arrival;
        let by_number = |waiting: &Waiting| waiting.sequence;
        assert_eq!(mailbox.first(oldest, |_| true), Some(SECOND));
        assert_eq!(mailbox.first(by_number, |_| true), Some(FIRST));
        assert_eq!(
            mailbox.first(oldest, |channel| channel != SECOND),
            Some(FIRST)
        );
        assert_eq!(mailbox.first(oldest, |_| false), None);
    }

    #[test]
    fn consecutive_batches_leave_together_and_others_apart() {
        let mut mailbox = Mailbox::default();
        for (sequence, index) in [(1, 0), (2, 1), (3, 5)] {
            mailbox.push(
                FIRST,
                waiting(batch(FIRST, index, index + 1, index, 1), sequence),
            );
        }
        let head = |mailbox: &Mailbox| Some(mailbox.head(FIRST)?.sequence);
        assert_eq!(head(&mailbox), Some(1));
        assert_eq!(
            mailbox.take(FIRST, usize::MAX).len(),
            2,
            "the third does not join the second"
        );
        assert_eq!((head(&mailbox), mailbox.len()), (Some(3), 1));
        assert_eq!(mailbox.take(FIRST, usize::MAX).len(), 1);
        assert!(mailbox.is_drained(FIRST) && mailbox.is_empty());
        assert!(mailbox.take(FIRST, usize::MAX).is_empty());
    }

    #[test]
    fn no_more_rows_leave_together_than_a_full_batch_has() {
        let mut mailbox = Mailbox::default();
        for index in 0..3 {
            let half = batch(FIRST, index, index + 1, 0, ROWS_MAX / 2);
            mailbox.push(FIRST, waiting(half, index));
        }
        assert_eq!(
            (
                mailbox.take(FIRST, usize::MAX).len(),
                mailbox.take(FIRST, usize::MAX).len()
            ),
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
                FIRST,
                waiting(batch(FIRST, n * tick, (n + 1) * tick, 0, 1), n),
            );
        }
        let taken: Vec<usize> = std::iter::from_fn(|| {
            let batches = mailbox.take(FIRST, usize::MAX);
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
            mailbox.push(FIRST, waiting(batch(FIRST, index, index + 1, 0, 0), index));
        }
        assert_eq!(mailbox.len(), 1);
        assert_eq!(
            mailbox.take(FIRST, usize::MAX)[0].header.interval,
            Interval::new(0, 1000)
        );
    }

    const NOW: Instant = Instant::from_nanos(1000);
    const AHEAD: Ahead = Ahead {
        cost_nanos: 100,
        leaves_out_late: true,
    };

    /// A mailbox with one batch of a row for each of these: its channel, deadline and window.
    fn mailbox_of(waits: &[(Channel, i64, i64)]) -> Mailbox {
        let mut mailbox = Mailbox::default();
        for (number, (channel, deadline, window)) in (0..).zip(waits) {
            let batch = batch(*channel, number, number + 1, 0, 1);
            let waiting = Waiting {
                deadline: *deadline,
                window: EventTime(*window),
                ..waiting(batch, number)
            };
            mailbox.push(*channel, waiting);
        }
        mailbox
    }

    fn most_urgent(mailbox: &mut Mailbox) -> (Channel, i64, bool) {
        let first = mailbox.most_urgent(NOW, AHEAD, |_| true);
        let first = first.expect("something waits");
        (first.channel, first.start_by, first.is_late)
    }

    const AT_ONCE: i64 = i64::MIN;

    #[test]
    fn what_lies_behind_lax_work_makes_all_before_it_urgent() {
        let mut mailbox = mailbox_of(&[
            (FIRST, 90_000, AT_ONCE),
            (FIRST, 80_000, AT_ONCE),
            (FIRST, 5000, AT_ONCE),
            (SECOND, 4900, AT_ONCE),
        ]);
        assert_eq!(
            most_urgent(&mut mailbox),
            (FIRST, 4800, false),
            "two ahead of it"
        );
        mailbox.take(FIRST, 2);
        assert_eq!(most_urgent(&mut mailbox), (SECOND, 4900, false));
    }

    #[test]
    fn what_cannot_be_met_is_passed_over_for_what_can() {
        let mut mailbox = mailbox_of(&[
            (FIRST, 900, AT_ONCE),
            (FIRST, 1050, AT_ONCE),
            (FIRST, 3000, AT_ONCE),
            (SECOND, 999, AT_ONCE),
        ]);
        assert_eq!(most_urgent(&mut mailbox), (FIRST, 2800, false));
        mailbox.take(FIRST, usize::MAX);
        assert_eq!(most_urgent(&mut mailbox), (SECOND, 999, true));
        mailbox.set_deadlines(|_| 2000);
        assert_eq!(most_urgent(&mut mailbox), (SECOND, 2000, false));
    }

    #[test]
    fn all_of_a_window_is_ahead_of_what_closes_it() {
        let mut mailbox = mailbox_of(&[
            (FIRST, 7000, 10),
            (FIRST, 7000, 10),
            (SECOND, 7000, 10),
            (SECOND, 9000, 20),
        ]);
        assert_eq!(most_urgent(&mut mailbox), (FIRST, 6800, false));
        mailbox.take(FIRST, usize::MAX);
        assert_eq!(most_urgent(&mut mailbox), (SECOND, 7000, false));
        mailbox.take_one(SECOND);
        assert_eq!(most_urgent(&mut mailbox), (SECOND, 9000, false));
    }

    #[test]
    fn what_is_beyond_a_share_is_late() {
        let mut spent = batch(FIRST, 0, 1, 0, 1);
        Arc::make_mut(&mut spent).header.token = Token::Spent;
        let mut mailbox = Mailbox::default();
        let spent = Waiting {
            deadline: 9000,
            ..waiting(spent, 1)
        };
        mailbox.push(FIRST, spent);
        assert_eq!(most_urgent(&mut mailbox), (FIRST, 9000, true));
    }

    #[test]
    fn a_long_batch_is_split_at_its_rows_and_says_how_far_it_is_at_its_end() {
        let columns = batch(FIRST, 0, 10, 0, 10).rows.columns().clone();
        let mut whole = Arc::unwrap_or_clone(batch(FIRST, 0, 12, 0, 0));
        whole.header.progress = EventTime(50);
        whole.header.missing = 2;
        // Rows at the indices 3, 4, 4, 4, 5, ...: what shares an index stays together.
        let backs = vec![9, 8, 8, 8, 7, 6, 5, 4, 3, 0];
        whole.rows = Rows::sparse(columns, (0..10).collect(), None, backs);
        let mut mailbox = Mailbox::default();
        mailbox.push(FIRST, waiting(Arc::new(whole), 1));
        let parts: Vec<(usize, u64, i64, u32)> = std::iter::from_fn(|| {
            let taken = mailbox.take(FIRST, 3);
            let part = taken.first()?;
            assert_eq!(taken.len(), 1);
            let header = &part.header;
            Some((
                part.rows.len(),
                header.interval.through(),
                header.progress.0,
                header.missing,
            ))
        })
        .collect();
        let none = i64::MIN;
        assert_eq!(
            parts,
            [
                (1, 3, none, 0),
                (3, 4, none, 0),
                (3, 7, none, 0),
                (3, 12, 50, 2)
            ]
        );
        assert!(mailbox.is_empty());
    }
}
