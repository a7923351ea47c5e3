//! How the closest nodes are found and asked, and what is made of their answers.

use std::collections::{BTreeMap, BTreeSet};

use model::{Instant, Key, NodeId};

use super::routes::ROUTE_LEN;
use super::task::{ASKED, Goal, Phase, Standing, Task};
use super::{
    Around, Directory, Pending, SILENT_MAX, TaskId, WALK_PATIENCE, WALK_TIMEOUT, WALKS_MAX,
};
use crate::distance::Place;
use crate::machine::{Effect, WalkId};
use crate::members::KNOWN_MAX;
use crate::message::{Answer, Held, Message, Request};

impl Directory {
    pub(super) fn start(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        key: Key,
        goal: Goal,
        deadline: Instant,
        out: &mut Vec<Effect>,
    ) -> TaskId {
        let id = TaskId(self.next_number);
        self.next_number += 1;
        let knows_any = around.members.count() > 0;
        let patience = if knows_any {
            WALK_PATIENCE
        } else {
            WALK_TIMEOUT
        };
        let wake = (now + patience).min(deadline);
        let phase = Phase::Walking;
        let task = Task {
            key,
            goal,
            phase,
            deadline,
            wake,
        };
        let count = task.node_count();
        self.tasks.insert(id, task);
        self.wakes.insert((wake, id));
        if count <= ROUTE_LEN && self.routes.find(now, key).is_some() {
            self.begin(now, around, id, out);
        } else {
            let is_find = self
                .tasks
                .get(&id)
                .is_some_and(|task| matches!(task.goal, Goal::Find { .. }));
            self.walk(now, key, count, out);
            // Of a network this small everybody is known: the closest are among them.
            let known = around.members.count();
            if is_find && (ASKED..KNOWN_MAX).contains(&known) {
                self.begin(now, around, id, out);
            }
        }
        id
    }

    pub(super) fn walk(&mut self, now: Instant, key: Key, count: usize, out: &mut Vec<Effect>) {
        let is_there = |(other, began): &(Key, Instant)| {
            *other == key && now - *began < WALK_TIMEOUT && count <= ROUTE_LEN
        };
        if self.walks.values().any(is_there) {
            return;
        }
        if self.walks.len() >= WALKS_MAX {
            self.walks.pop_first();
        }
        let walk = WalkId(self.next_number);
        self.next_number += 1;
        self.walks.insert(walk, (key, now));
        self.counts.walks += 1;
        out.push(Effect::Walk { walk, key, count });
    }

    /// The nodes to ask about a key, the closest first: those of the route, those that are known otherwise, and this one.
    pub(super) fn candidates(&self, now: Instant, around: &Around<'_>, key: Key) -> Vec<NodeId> {
        let place = Place::of_key(key);
        let route = self.routes.find(now, key).unwrap_or_default();
        let route = route.into_iter().map(|peer| peer.node);
        let nodes: BTreeSet<NodeId> = route.chain(around.members.nodes()).collect();
        let mut nodes: Vec<_> = nodes
            .into_iter()
            .chain([self.me])
            .map(|node| (place.distance_to(node), node))
            .collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|(_, node)| node).collect()
    }

    /// Asks the closest nodes, as far as they are known.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        out: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let key = task.key;
        let count = task.node_count();
        let all = self.candidates(now, around, key);
        let is_silent = |node: &NodeId| self.silent.get(node).is_some_and(|until| *until > now);
        let (silent, mut candidates): (Vec<_>, Vec<_>) = all.into_iter().partition(is_silent);
        // Those that were silent are asked when nobody else is left.
        candidates.truncate(count);
        candidates.extend(silent.into_iter().take(count));
        let is_local = candidates == [self.me];
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let mut holders = BTreeSet::new();
        if let Goal::Keep { name, .. } = &task.goal
            && let Some(earlier) = self.registry.find_mut(name)
        {
            holders.clone_from(&earlier.holders);
        }
        if matches!(task.goal, Goal::Find { .. } | Goal::Shard { .. }) {
            let counts = &mut self.counts;
            *if is_local {
                &mut counts.queries_local
            } else {
                &mut counts.queries_remote
            } += 1;
        }
        task.begin(now, candidates, &holders);
        let wake = task.deadline;
        self.set_wake(id, wake);
        self.proceed(now, around, id, out);
    }

    /// Asks whom else is to be asked, and ends the task where nothing more is to come.
    pub(super) fn proceed(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        out: &mut Vec<Effect>,
    ) {
        while let Some((node, request)) = self.tasks.get_mut(&id).and_then(|task| {
            let node = task.next_to_ask()?;
            Some((node, task.request()))
        }) {
            self.ask(now, around, id, node, request, out);
        }
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let Some(round) = task.round() else {
            return;
        };
        if round.is_over() {
            self.finish(now, around, id, out);
        } else if let Some(settles) = task.settles() {
            if settles <= now {
                self.settle(now, around, id, out);
            } else {
                let wake = settles.min(task.deadline);
                self.set_wake(id, wake);
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        node: NodeId,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        if node == self.me {
            let (answer, refusal) = around.holder.serve(now, node, request);
            if let Some(refusal) = refusal {
                around.refuse(refusal.reason());
            }
            self.take_answer(now, around, id, node, answer, out);
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        let pending = Pending {
            task: id,
            to: node,
            sent: now,
        };
        self.requests.insert(number, pending);
        let mut addresses = around.members.addresses(node);
        if addresses.is_empty() {
            let route = self.routes.find(now, request.key()).unwrap_or_default();
            let peer = route.into_iter().find(|peer| peer.node == node);
            addresses = peer.map(|peer| peer.addresses).unwrap_or_default();
        }
        out.push(Effect::Send {
            to: node,
            addresses,
            message: Message::Request { number, request },
        });
    }

    pub(super) fn take_answer(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        from: NodeId,
        answer: Answer,
        out: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let key = task.key;
        let (merged, is_listing) = match (&mut task.goal, &answer) {
            (Goal::Keep { .. }, Answer::Kept) => {
                return task.on_standing(now, from, Standing::Answered);
            }
            (Goal::Find { merged, .. }, Answer::Entries { .. }) => (merged, false),
            (Goal::Shard { merged, .. }, Answer::Entries { .. }) => (merged, true),
            _ => return task.on_standing(now, from, Standing::Refused),
        };
        let Answer::Entries { entries, has_more } = answer else {
            return;
        };
        let entries: Vec<Held> = entries.into_vec();
        let last = entries
            .last()
            .map(|held| (held.entry.owner, held.entry.slot));
        for held in entries {
            let owner = held.entry.owner;
            match merged.add(held) {
                Ok(()) => note_source(&mut self.sources, owner, from),
                Err(refusal) => around.refuse(refusal.reason()),
            }
        }
        if is_listing && has_more && last.is_some() && task.takes_page(from) {
            let request = Request::Page { key, after: last };
            return self.ask(now, around, id, from, request, out);
        }
        task.on_standing(now, from, Standing::Answered);
    }

    /// A request will not be answered.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        number: u64,
        out: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.requests.remove(&number) else {
            return;
        };
        if let Some(task) = self.tasks.get_mut(&pending.task) {
            task.on_standing(now, pending.to, Standing::Failed);
        }
        self.proceed(now, around, pending.task, out);
    }

    pub(super) fn on_wake(
        &mut self,
        now: Instant,
        around: &mut Around<'_>,
        id: TaskId,
        out: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        match &task.phase {
            // The walk takes long: those that are known are asked.
            Phase::Walking => self.begin(now, around, id, out),
            Phase::Asking(_) if now >= task.deadline => self.finish(now, around, id, out),
            Phase::Asking(_) => self.settle(now, around, id, out),
        }
    }

    pub(super) fn set_wake(&mut self, id: TaskId, wake: Instant) {
        if let Some(task) = self.tasks.get_mut(&id) {
            self.wakes.remove(&(task.wake, id));
            task.wake = wake;
            self.wakes.insert((wake, id));
        }
    }
}

/// Remembers who served an owner's entries: it is told when the owner cannot be reached.
fn note_source(sources: &mut BTreeMap<NodeId, BTreeSet<NodeId>>, owner: NodeId, holder: NodeId) {
    if sources.len() >= SILENT_MAX && !sources.contains_key(&owner) {
        sources.pop_first();
    }
    let holders = sources.entry(owner).or_default();
    if holders.len() < ROUTE_LEN {
        holders.insert(holder);
    }
}
