//! Entries that are asked for, and what is made of several answers.

use std::time::Duration;

use model::{Coordinate, Entry, Instant, Key, Outcome, QueryError, convert};
use overlay::message::{Answer, Held, NearBy, Request};
use overlay::{ASKED, Merged, REPLICAS, REQUEST_TIMEOUT};

use super::{Cost, Overlay, Ways};

impl Overlay {
    pub(super) fn find(
        &mut self,
        now: Instant,
        node: usize,
        (key, near, count): (Key, Option<Coordinate>, usize),
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Outcome {
        self.renew(now, key, ways);
        cost.walk(self.walk(node, ways));
        let request = Request::Find {
            key,
            near: near.map(NearBy),
            count: u32::try_from(count).unwrap_or(u32::MAX),
        };
        let Some(answers) = self.ask_closest(now, node, key, &request, ways, cost) else {
            return Outcome::Failed(QueryError::Timeout);
        };
        let mut merged = Merged::new(key);
        for (_, entries, _) in answers {
            for held in entries {
                self.take(node, &mut merged, held);
            }
        }
        Outcome::Entries(merged.into_sample(near.as_ref(), count, &mut self.rng))
    }

    /// All entries under a key; nothing where nobody answered.
    pub(super) fn page_through(
        &mut self,
        now: Instant,
        node: usize,
        key: Key,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Option<Vec<Entry>> {
        self.renew(now, key, ways);
        cost.walk(self.walk(node, ways));
        let mut merged = Merged::new(key);
        let request = Request::Page { key, after: None };
        let me = self.members[node].identity.node();
        for (holder, entries, mut has_more) in
            self.ask_closest(now, node, key, &request, ways, cost)?
        {
            let mut page = entries;
            loop {
                let last = page.last().map(|held| (held.entry.owner, held.entry.slot));
                for held in page {
                    self.take(node, &mut merged, held);
                }
                if !has_more || last.is_none() {
                    break;
                }
                let request = Request::Page { key, after: last };
                let Answer::Entries {
                    entries,
                    has_more: more,
                } = self.serve(now, me, holder, request)
                else {
                    break;
                };
                page = entries.into_vec();
                has_more = more;
                cost.ask(holder != node, 64, Some(entries_bytes(&page)));
            }
        }
        Some(merged.into_entries().collect())
    }

    pub(super) fn take(&mut self, node: usize, merged: &mut Merged, held: Held) {
        if merged.add(held).is_err() {
            self.members[node].refused += 1;
        }
    }

    /// Asks the closest nodes the same. As in production, who is slow is waited for twice as long as two of the closest three took.
    pub(super) fn ask_closest(
        &mut self,
        now: Instant,
        node: usize,
        key: Key,
        request: &Request,
        ways: &dyn Ways,
        cost: &mut Cost,
    ) -> Option<Vec<(usize, Vec<Held>, bool)>> {
        let asked = self.closest(now, key, ASKED);
        let times: Vec<(usize, Option<Duration>)> = asked
            .into_iter()
            .map(|holder| (holder, self.round_trip(node, holder, ways)))
            .collect();
        let mut first: Vec<Duration> = times
            .iter()
            .take(REPLICAS)
            .filter_map(|(_, time)| *time)
            .collect();
        first.sort_unstable();
        let patience = match first.get(1) {
            Some(second) => {
                (*second + (2 * *second).max(Duration::from_millis(50))).min(REQUEST_TIMEOUT)
            }
            None => REQUEST_TIMEOUT,
        };
        let me = self.members[node].identity.node();
        let mut answers = Vec::new();
        let mut took = Duration::ZERO;
        for (holder, time) in times {
            let is_heard = time.is_some_and(|time| time <= patience);
            took = took.max(time.filter(|_| is_heard).unwrap_or(patience));
            if !is_heard {
                cost.ask(true, 64, None);
                continue;
            }
            if let Answer::Entries { entries, has_more } =
                self.serve(now, me, holder, request.clone())
            {
                let entries = entries.into_vec();
                cost.ask(holder != node, 64, Some(entries_bytes(&entries)));
                answers.push((holder, entries, has_more));
            }
        }
        cost.time += took;
        (!answers.is_empty()).then_some(answers)
    }
}

fn entries_bytes(entries: &[Held]) -> u64 {
    let payload = |held: &Held| held.entry.payload.as_ref().map_or(0, Vec::len);
    // What an entry has beside its payload: ids, key, signature, numbers, an address.
    let sum: usize = entries.iter().map(|held| 220 + payload(held)).sum();
    convert::size(sum)
}
