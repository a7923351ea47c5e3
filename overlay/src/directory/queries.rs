//! What queries begin, and how they are answered.

use std::sync::Arc;

use model::entry::{INDEX_SHARDS, PAYLOAD_BYTES_MAX, TTL_MAX};
use model::{Entry, Index, Query};

use super::merge::Merged;
use super::registry::{Name, REGISTERED_MAX};
use super::task::Round;
use super::{
    Around, Directory, Effect, Goal, Instant, Key, NodeId, Outcome, Phase, QUERY_TIMEOUT,
    QueryError, QueryId, TaskId,
};

/// How many shards of an index are asked for side by side. Unit: shards. Source: guess; two rounds of them end within
/// the time of a query also where nodes are silent.
const SHARDS_AT_ONCE: usize = 8;

/// A listing of all shards of an index.
#[derive(Debug)]
pub(super) struct Listing {
    index: Index,
    deadline: Instant,
    next_shard: u8,
    running: usize,
    entries: Vec<Entry>,
    /// Whether some shard could not be asked for: then the listing would not be complete.
    is_lost: bool,
}

impl Directory {
    /// Begins to answer a query.
    pub(crate) fn on_query(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: QueryId,
        query: Query,
        out: &mut Vec<Effect>,
    ) {
        let deadline = now + QUERY_TIMEOUT;
        let goal = match query {
            Query::Lookup { key, near, count } => {
                let merged = Merged::new(key);
                let near = near.filter(model::Coordinate::is_valid);
                let query = id;
                let goal = Goal::Find {
                    query,
                    near,
                    count,
                    merged,
                };
                (key, goal)
            }
            Query::Closest { key, count } => (key, Goal::Closest { query: id, count }),
            Query::List { index } => {
                let listing = Listing {
                    index,
                    deadline,
                    next_shard: 0,
                    running: 0,
                    entries: Vec::new(),
                    is_lost: false,
                };
                self.listings.insert(id, listing);
                return self.proceed_listing(now, around, id, out);
            }
            Query::Register { key, slot, payload } => {
                let name = (key, slot);
                if payload.len() > PAYLOAD_BYTES_MAX {
                    let error = QueryError::TooLarge(payload.len());
                    return answer(id, Outcome::Failed(error), out);
                }
                if self.registry.len() >= REGISTERED_MAX && !self.registry.contains(&name) {
                    let error = QueryError::TooMany(self.registry.len());
                    return answer(id, Outcome::Failed(error), out);
                }
                self.registry.insert(now, name, payload.clone());
                return self.keep(now, around, name, Some(payload), vec![id], out);
            }
            Query::Withdraw { key, slot } => {
                return self.keep(now, around, (key, slot), None, vec![id], out);
            }
        };
        self.start(now, around, goal.0, goal.1, deadline, out);
    }

    /// Withdraws everything that is registered. Nothing of it is answered.
    pub(crate) fn withdraw_all(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        for name in self.registry.names() {
            self.keep(now, around, name, None, Vec::new(), out);
        }
    }

    /// Whether anything is being registered or withdrawn.
    pub(crate) fn is_keeping(&self) -> bool {
        let is_keeping = |goal: &Goal| matches!(goal, Goal::Keep { .. });
        self.tasks.values().any(|task| is_keeping(&task.goal))
    }

    /// Answers all that is asked for: this node leaves.
    pub(crate) fn give_up(&mut self, out: &mut Vec<Effect>) {
        let tasks = std::mem::take(&mut self.tasks);
        let of_tasks = tasks.into_values().flat_map(|task| match task.goal {
            Goal::Find { query, .. } | Goal::Closest { query, .. } => vec![query],
            Goal::Keep { queries, .. } => queries,
            Goal::Shard { .. } => Vec::new(),
        });
        let listings = std::mem::take(&mut self.listings);
        for query in of_tasks.chain(listings.into_keys()) {
            answer(query, Outcome::Failed(QueryError::Timeout), out);
        }
    }

    /// How many entries are being renewed.
    pub(super) fn renewal_count(&self) -> usize {
        let is_renewal =
            |goal: &Goal| matches!(goal, Goal::Keep { queries, .. } if queries.is_empty());
        let renewals = self.tasks.values().filter(|task| is_renewal(&task.goal));
        renewals.count()
    }

    pub(super) fn renew(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        name: Name,
        out: &mut Vec<Effect>,
    ) {
        let Some(registration) = self.registry.find_mut(&name) else {
            return;
        };
        if registration.task.is_none() {
            let payload = registration.payload.clone();
            self.keep(now, around, name, Some(payload), Vec::new(), out);
        }
    }

    /// Has an entry of this node kept by the closest nodes: a new version in place of one that is still on its way.
    fn keep(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        name: Name,
        payload: Option<Vec<u8>>,
        mut queries: Vec<QueryId>,
        out: &mut Vec<Effect>,
    ) {
        let earlier = self.registry.find_mut(&name).and_then(|there| there.task);
        if let Some(task) = earlier.and_then(|id| self.drop_task(id))
            && let Goal::Keep {
                queries: others, ..
            } = task.goal
        {
            queries.extend(others);
        }
        let entry = Arc::new(self.sign(around, name, payload));
        let goal = Goal::Keep {
            queries,
            name,
            entry,
        };
        // The registration may be gone before its task is known: both know the other only as long as both are there.
        let id = self.start(now, around, name.0, goal, now + QUERY_TIMEOUT, out);
        if self.tasks.contains_key(&id)
            && let Some(registration) = self.registry.find_mut(&name)
        {
            registration.task = Some(id);
        }
    }

    fn sign(&mut self, around: &Around<'_>, name: Name, payload: Option<Vec<u8>>) -> Entry {
        let host = around.members.host();
        let version = self.next_version;
        self.next_version += 1;
        let mut entry = Entry {
            owner: self.me,
            key: name.0,
            slot: name.1,
            version,
            ttl: TTL_MAX,
            addresses: host.addresses.clone(),
            load: host.load,
            coordinate: host.coordinate,
            payload,
            signature: [0; 64],
        };
        entry.signature = around.identity.sign(&entry.signed_bytes());
        entry
    }

    fn drop_task(&mut self, id: TaskId) -> Option<super::Task> {
        let task = self.tasks.remove(&id)?;
        self.wakes.remove(&(task.wake, id));
        Some(task)
    }

    /// Enough has answered: who asked is answered, and entries go on being brought to the others.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        out: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let Goal::Keep { queries, .. } = &mut task.goal else {
            return self.finish(now, around, id, out);
        };
        for query in std::mem::take(queries) {
            answer(query, Outcome::Done, out);
        }
        let deadline = task.deadline;
        self.set_wake(id, deadline);
    }

    /// Ends a task with what it has.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        out: &mut Vec<Effect>,
    ) {
        let Some(task) = self.drop_task(id) else {
            return;
        };
        let round = match &task.phase {
            Phase::Asking(round) => Some(round),
            Phase::Walking => None,
        };
        let answered: Vec<NodeId> = round.map_or_else(Vec::new, |round| round.answered().collect());
        match task.goal {
            Goal::Find {
                query,
                near,
                count,
                merged,
            } => {
                let outcome = if answered.is_empty() {
                    Outcome::Failed(QueryError::Timeout)
                } else {
                    Outcome::Entries(merged.into_sample(near.as_ref(), count, &mut self.rng))
                };
                answer(query, outcome, out);
            }
            Goal::Closest { query, count } => {
                let closest = round.map_or(&[][..], |round| round.candidates());
                let closest = closest.iter().take(count).copied().collect();
                answer(query, Outcome::Nodes(closest), out);
            }
            Goal::Shard { listing, merged } => {
                if let Some(there) = self.listings.get_mut(&listing) {
                    there.running -= 1;
                    there.is_lost |= answered.is_empty();
                    there.entries.extend(merged.into_entries());
                    self.proceed_listing(now, around, listing, out);
                }
            }
            Goal::Keep {
                queries,
                name,
                entry,
            } => {
                let is_complete = round.is_some_and(Round::is_complete);
                let outcome = if !answered.is_empty() {
                    Outcome::Done
                } else if round.is_some_and(Round::is_refused) {
                    Outcome::Failed(QueryError::Refused)
                } else {
                    Outcome::Failed(QueryError::Timeout)
                };
                if entry.payload.is_some() {
                    let holders = answered.into_iter().collect();
                    let rng = &mut self.rng;
                    self.registry
                        .on_registered(now, &name, holders, is_complete, rng);
                } else {
                    self.registry.remove(&name);
                }
                for query in queries {
                    answer(query, outcome.clone(), out);
                }
            }
        }
    }

    /// Asks for further shards, and answers where all have been asked for.
    fn proceed_listing(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: QueryId,
        out: &mut Vec<Effect>,
    ) {
        while let Some(listing) = self.listings.get_mut(&id)
            && listing.running < SHARDS_AT_ONCE
            && listing.next_shard < INDEX_SHARDS
        {
            let key = Key::index(listing.index, listing.next_shard);
            let deadline = listing.deadline;
            listing.next_shard += 1;
            listing.running += 1;
            let merged = Merged::new(key);
            let goal = Goal::Shard {
                listing: id,
                merged,
            };
            self.start(now, around, key, goal, deadline, out);
        }
        let is_over =
            |listing: &Listing| listing.running == 0 && listing.next_shard == INDEX_SHARDS;
        if self.listings.get(&id).is_some_and(is_over)
            && let Some(listing) = self.listings.remove(&id)
        {
            let outcome = if listing.is_lost {
                Outcome::Failed(QueryError::Timeout)
            } else {
                Outcome::Entries(listing.entries)
            };
            answer(id, outcome, out);
        }
    }
}

fn answer(id: QueryId, outcome: Outcome, out: &mut Vec<Effect>) {
    out.push(Effect::Answer { id, outcome });
}
