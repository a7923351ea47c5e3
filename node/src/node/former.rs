//! What this node registered before it was started anew, and does not have any more.
//!
//! Entries outlive who registered them by up to three minutes. As long as their owner is gone, others see that it is not
//! heard of; once it is back under the same identity, what it published before looks as if it were there. Only the owner
//! knows better: it lists what is published, and withdraws what is its own and of its former life. Versions of entries
//! begin at the moment of a start, so that a withdrawal stands before everything from before.

use std::time::Duration;

use model::{Index, Instant, Outcome, Query};

use super::task::Phase;
use super::{Effect, Node};

/// When after the first host was seen the streams are listed: once soon, and again for what holders that are found later have.
///
/// Unit: time. Range: the last below the 180 s that entries live. Source: guess; a list takes some 80 messages.
const LOOKS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// The search for what the former life of this node has left.
#[derive(Debug, Default)]
pub(super) struct Former {
    /// How many lists were asked for.
    look_count: usize,
    /// When the next is; nothing before a host was seen, and after the last.
    next: Option<Instant>,
    /// The list that is open.
    query: Option<u64>,
}

impl Former {
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

impl Node {
    /// A host was seen: from now on there is somebody who may hold what this node left.
    pub(super) fn begin_former(&mut self, now: Instant) {
        let has_begun = self.former.look_count > 0 || self.former.next.is_some();
        if !self.config.is_new && !has_begun {
            self.former.next = Some(now + LOOKS[0]);
        }
    }

    pub(super) fn look_for_former(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(due) = self.former.next.filter(|due| *due <= now) else {
            return;
        };
        let query = self.take_number();
        let former = &mut self.former;
        let before = LOOKS[former.look_count];
        former.look_count += 1;
        let after = LOOKS.get(former.look_count);
        former.next = after.map(|after| due.max(now) + (*after - before));
        former.query = Some(query);
        let index = Index::Streams;
        let ask = Query::List { index };
        out.push(Effect::Query { query, ask });
    }

    /// The overlay lists what is published; gives whether it was asked for that.
    pub(super) fn on_former(
        &mut self,
        query: u64,
        outcome: &Outcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.former.query != Some(query) {
            return false;
        }
        self.former.query = None;
        let Outcome::Entries(entries) = outcome else {
            self.counts.add("former_streams_unread");
            return true;
        };
        let here = self.id();
        for publication in self.publications_in(entries, "") {
            let is_being_published = self.tasks.values().any(|task| {
                matches!(&task.phase, Phase::Publishing(other) if other.name() == publication.name)
            });
            let is_there = self.publications.contains_key(&publication.name) || is_being_published;
            if publication.publisher == here && !is_there {
                self.counts.add("former_streams_withdrawn");
                self.withdraw_publication(&publication, out);
            }
        }
        true
    }
}
