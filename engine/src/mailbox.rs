//! Mailboxes: the batches that wait at a component, one ring for each channel.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use model::{EventTime, Instant, Origin, Slack, convert};

use crate::batch::{Batch, ROWS_MAX};
use crate::few::Few;

#[cfg(test)]
mod tests;

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
    channels: Few<Channel, Ring>,
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
    /// Whether it is worked off apart from what is before it, which is in a hurry where this is not.
    pub is_apart: bool,
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
        let ring = self.channels.get_or_insert_with(channel, Ring::default);
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
                ring.urgent.push(Reverse((waiting.deadline, number - 1)));
            }
            return;
        }
        if waiting.window != EventTime::MIN {
            *self.windows.entry(waiting.window).or_default() += 1;
        }
        if waiting.deadline != NO_DEADLINE {
            ring.urgent.push(Reverse((waiting.deadline, number)));
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
        for (channel, ring) in self.channels.iter() {
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
        let mut best: Option<First> = None;
        for (channel, ring) in self.channels.iter_mut() {
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
    /// that can be. They are put into `taken`, which must be empty.
    pub fn take(&mut self, channel: Channel, rows_max: usize, taken: &mut Vec<Arc<Batch>>) {
        let Some(ring) = self.channels.get_mut(&channel) else {
            return;
        };
        if ring.split_first(rows_max, &mut self.windows) {
            self.len += 1;
        }
        let rows_max = rows_max.min(ROWS_MAX);
        let mut rows = 0;
        while let Some(next) = ring.waiting.front() {
            if next.is_apart && !taken.is_empty() {
                break;
            }
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
            for waiting in &mut ring.waiting {
                waiting.deadline = deadline(waiting);
            }
            ring.note_all();
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
    /// Notes the deadlines of all that wait anew.
    fn note_all(&mut self) {
        let known = (self.taken..).zip(&self.waiting);
        let deadlines = known
            .filter(|(_, waiting)| waiting.deadline != NO_DEADLINE)
            .map(|(number, waiting)| Reverse((waiting.deadline, number)));
        self.urgent = deadlines.collect();
    }

    /// See [`Mailbox::most_urgent`].
    fn first(
        &mut self,
        channel: Channel,
        now: Instant,
        ahead: Ahead,
        windows: &BTreeMap<EventTime, u64>,
    ) -> Option<First> {
        let head = self.waiting.front()?;
        if ahead.leaves_out_late && head.batch.header.token.is_ahead(now) {
            // Beyond its application's share it waits for others, whenever it must start; and what is behind it with it.
            return Some(First {
                channel,
                start_by: head.deadline,
                window: head.window,
                is_late: true,
            });
        }
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        while let Some(Reverse((deadline, number))) = self.urgent.peek().copied() {
            let place = number.checked_sub(self.taken).map(convert::index);
            let Some(waiting) = place.and_then(|place| self.waiting.get(place)) else {
                self.urgent.pop();
                continue;
            };
            let earlier = |before: u64| {
                let before = i64::try_from(before).unwrap_or(i64::MAX);
                deadline.saturating_sub(ahead.cost_nanos.saturating_mul(before))
            };
            let (own, before) = match waiting.window {
                EventTime::MIN => (0, number - self.taken),
                // All of its own window has to be run before the window's result can leave.
                window => {
                    let until = windows.range(..=window).map(|(_, count)| count);
                    let own = windows.get(&window).copied().unwrap_or(1);
                    (own - 1, until.sum::<u64>() - 1)
                }
            };
            if ahead.leaves_out_late && earlier(before) < now {
                self.urgent.pop();
                continue;
            }
            // A backlog that is late must be run first, but must not make who has it more urgent than others.
            let is_behind_late = ahead.leaves_out_late && head.deadline < now;
            let start_by = earlier(if is_behind_late { own } else { before });
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
            // The next one takes the same place in memory.
            self.waiting.clear();
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
        front.header.progress = progress.max(front.header.progress);
        if first.window != EventTime::MIN {
            *windows.entry(first.window).or_default() += 1;
        }
        let front = Waiting {
            batch: Arc::new(front),
            ..first.clone()
        };
        first.batch = Arc::new(rest);
        first.is_apart = false;
        self.waiting.push_front(front);
        self.taken -= 1;
        true
    }
}
