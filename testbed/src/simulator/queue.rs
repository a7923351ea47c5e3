//! What is to happen, in order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use model::{CompositionId, Instant};
use node::node::Input;

use super::discrete::Happening;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A host takes an input, unless it was started anew since.
    Input {
        host: usize,
        start: u32,
        input: Box<Input>,
    },
    /// A message comes to a host.
    Message {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    /// A node wants to be called.
    Wake(usize),
    /// What a host says of itself reaches those that know it.
    Gossip(usize),
    /// Two hosts have measured the round trip between them.
    Measured { at: usize, of: usize },
    /// A host looks how much of it is in use.
    Load(usize),
    /// Hosts are told what was measured of what they run.
    Usage,
    /// A host has not heard the beats of another, by which it has streams, unless that is there still, in the same life.
    Beats { at: usize, of: usize, start: u32 },
    /// Those that know a host do not count on it any more, where it is down still.
    Lost { host: usize, start: u32 },
    /// Hosts that were cut off from each other at that time, and still are, do not count on one another any more.
    Apart(Instant),
    /// Nobody has pulled what is read on a host that is down.
    Lapse(CompositionId),
    /// Enough was waited on a host for the owner of what a composition shares there; in discrete fidelity.
    Awaited {
        host: usize,
        start: u32,
        id: CompositionId,
    },
    /// The overlay has something to do.
    Overlay,
    /// Something happens at a host's engine; in discrete fidelity.
    Engine {
        host: usize,
        start: u32,
        what: Box<Happening>,
    },
    /// A checker looks at all hosts.
    Check,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    sequence: u64,
    /// Which request it is a consequence of; none where 0.
    cause: u32,
    event: Event,
}

impl Entry {
    const fn key(&self) -> (Instant, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives the greatest first, which is to be the earliest; of those at one moment, the first that was put in.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// What is to happen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Entry>,
    next: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, cause: u32, event: Event) {
        self.next += 1;
        self.heap.push(Entry {
            at,
            sequence: self.next,
            cause,
            event,
        });
    }

    /// When the next is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// The next: when, by which request, and what.
    pub(super) fn pop(&mut self) -> Option<(Instant, u32, Event)> {
        let entry = self.heap.pop()?;
        Some((entry.at, entry.cause, entry.event))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_first_and_of_equal_ones_the_first_that_was_put_in() {
        let mut queue = Queue::default();
        for (at, host) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            queue.push(Instant::from_nanos(at), 0, Event::Wake(host));
        }
        let mut order = Vec::new();
        while let Some((at, _, Event::Wake(host))) = queue.pop() {
            order.push((at.as_nanos(), host));
        }
        assert_eq!(order, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }
}
