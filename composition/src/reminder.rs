//! What is said until it is answered, a bounded number of times.

use std::collections::BTreeSet;

use model::{CompositionId, Instant, NodeId};

use crate::composer::{Composer, Outbox};
use crate::config::CONFIRM_ROUNDS;
use crate::message::Body;

/// The most things that are said again at once; of more, the one that is due first is given up.
///
/// Unit: messages with their receivers, some kilobytes each for the largest graphs. Source: guess; all requests that a node
/// may compose, and as many starts of others'.
const REMINDERS_MAX: usize = 256;

/// About what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Start,
    Release,
    Migration,
}

/// Something that is said to several until each has answered.
#[derive(Debug)]
pub(crate) struct Reminder {
    message: Body,
    to: BTreeSet<NodeId>,
    sends_left: u8,
    at: Instant,
}

impl Reminder {
    /// A message that is to be said to some.
    pub(crate) const fn new(message: Body, to: BTreeSet<NodeId>) -> Self {
        Self {
            message,
            to,
            sends_left: CONFIRM_ROUNDS,
            at: Instant::ZERO,
        }
    }

    pub(crate) const fn at(&self) -> Instant {
        self.at
    }
}

impl Composer {
    /// Says something now, and again until it is answered.
    pub(crate) fn remind(
        &mut self,
        now: Instant,
        key: (CompositionId, Kind),
        mut reminder: Reminder,
        out: &mut Outbox<'_>,
    ) {
        if reminder.to.is_empty() {
            return;
        }
        for to in &reminder.to {
            out.send(*to, reminder.message.clone());
        }
        reminder.sends_left -= 1;
        reminder.at = now + self.interval();
        if self.reminders.len() >= REMINDERS_MAX && !self.reminders.contains_key(&key) {
            let first = self.reminders.iter().min_by_key(|(key, it)| (it.at, **key));
            if let Some(first) = first.map(|(key, _)| *key) {
                self.reminders.remove(&first);
            }
        }
        self.reminders.insert(key, reminder);
    }

    /// Says again what is due.
    pub(crate) fn remind_again(&mut self, now: Instant, out: &mut Outbox<'_>) {
        let due: Vec<_> = self
            .reminders
            .iter()
            .filter(|(_, it)| it.at <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some(reminder) = self.reminders.remove(&key)
                && reminder.sends_left > 0
            {
                self.remind(now, key, reminder, out);
            }
        }
    }

    /// Somebody has answered, or cannot.
    pub(crate) fn settle(&mut self, key: (CompositionId, Kind), node: NodeId) {
        if let Some(reminder) = self.reminders.get_mut(&key) {
            reminder.to.remove(&node);
            if reminder.to.is_empty() {
                self.reminders.remove(&key);
            }
        }
    }

    /// Nobody waits for a node that cannot be reached.
    pub(crate) fn settle_all(&mut self, node: NodeId) {
        let keys: Vec<_> = self.reminders.keys().copied().collect();
        for key in keys {
            self.settle(key, node);
        }
    }
}
