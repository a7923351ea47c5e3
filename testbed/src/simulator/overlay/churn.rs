//! Nodes that come and go, and what is registered again because of it, or of time.

use std::time::Duration;

use model::{Instant, Key, Query, convert, wire};
use overlay::message::Message;
use overlay::{Holder, RENEWAL};

use super::{AROUND, Change, Cost, HANDED_AFTER, NOTICED_AFTER, Overlay, Ways};

impl Overlay {
    /// A node ends as if it had been killed.
    pub fn crash(&mut self, now: Instant, node: usize, ways: &dyn Ways) {
        self.renew_of(now, node, ways);
        let member = &mut self.members[node];
        member.is_up = false;
        member.counts_until = now + NOTICED_AFTER;
        member.holder = None;
        for (key, slot) in std::mem::take(&mut member.registered).into_keys() {
            self.disown(key, node, slot);
        }
        self.due.insert((now + NOTICED_AFTER, Change::Gone(node)));
    }

    /// A node that had crashed is started again: it has registered nothing.
    pub fn restart(&mut self, now: Instant, node: usize) {
        let member = &mut self.members[node];
        member.is_up = true;
        self.due.insert((now + HANDED_AFTER, Change::Came(node)));
    }

    /// A node leaves in order: it withdraws what it registered, and hands over what it holds.
    pub fn leave(&mut self, now: Instant, node: usize, ways: &dyn Ways) {
        let names: Vec<(Key, u64)> = self.members[node].registered.keys().copied().collect();
        for (key, slot) in names {
            let ask = Query::Withdraw { key, slot };
            self.ask(now, node, ask, ways);
        }
        let heirs = self.around(now, node);
        let nodes: Vec<_> = heirs
            .iter()
            .map(|it| self.members[*it].identity.node())
            .collect();
        let me = self.members[node].identity.node();
        let bequest = self.members[node]
            .holder
            .as_ref()
            .map(|holder| holder.bequest(now, me, &nodes));
        for (to, message) in bequest.unwrap_or_default() {
            if let Some(at) = nodes.iter().position(|node| *node == to) {
                self.hand_over(now, heirs[at], message);
            }
        }
        let member = &mut self.members[node];
        member.is_up = false;
        member.counts_until = now;
        member.holder = None;
    }

    pub(super) fn hand_over(&mut self, now: Instant, to: usize, message: Message) {
        let Message::HandOver { entries } = message else {
            return;
        };
        let member = &mut self.members[to];
        let rng = &self.rng;
        let holder = member.holder.get_or_insert_with(|| {
            let name = format!("holder {to}");
            Box::new(Holder::new(rng.keyed(&name)))
        });
        for held in entries.into_vec() {
            member.refused += u64::from(holder.take_over(now, held).is_err());
        }
    }

    pub(super) fn on_came(&mut self, now: Instant, node: usize, cost: &mut Cost) {
        if !self.members[node].is_up {
            return;
        }
        let newcomer = self.members[node].identity.node();
        let around = self.around(now, node);
        let nodes: Vec<_> = around
            .iter()
            .map(|it| self.members[*it].identity.node())
            .collect();
        let mut messages = Vec::new();
        for holder in around {
            let member = &self.members[holder];
            let me = member.identity.node();
            let known: Vec<_> = nodes.iter().copied().filter(|it| *it != me).collect();
            if let Some(holder) = &member.holder {
                messages.extend(holder.belonging_to(now, newcomer, me, &known));
            }
        }
        for message in messages {
            cost.ask(true, convert::size(wire::encode(&message).len()), None);
            self.hand_over(now, node, message);
        }
    }

    pub(super) fn on_gone(&mut self, now: Instant, node: usize, ways: &dyn Ways, cost: &mut Cost) {
        for owner in 0..self.members.len() {
            let registered = self.members[owner].registered.iter();
            let lost: Vec<(Key, u64)> = registered
                .filter(|(_, it)| it.holders.contains(&node))
                .map(|(name, _)| *name)
                .collect();
            for name in lost {
                self.renew_one(now, owner, name, ways, cost);
            }
        }
    }

    /// Makes up for renewals of what lies under a key.
    pub(super) fn renew(&mut self, now: Instant, key: Key, ways: &dyn Ways) {
        let owners = self.owners.get(&key);
        let owners: Vec<(usize, u64)> = owners.into_iter().flatten().copied().collect();
        for (owner, slot) in owners {
            self.renew_due(now, owner, (key, slot), ways);
        }
    }

    pub(super) fn renew_of(&mut self, now: Instant, node: usize, ways: &dyn Ways) {
        let names: Vec<(Key, u64)> = self.members[node].registered.keys().copied().collect();
        for name in names {
            self.renew_due(now, node, name, ways);
        }
    }

    pub(super) fn renew_due(
        &mut self,
        now: Instant,
        owner: usize,
        name: (Key, u64),
        ways: &dyn Ways,
    ) {
        let Some(registration) = self.members[owner].registered.get(&name) else {
            return;
        };
        let missed = now.since(registration.renewed).as_secs() / RENEWAL.as_secs();
        if missed == 0 {
            return;
        }
        let seconds = missed * RENEWAL.as_secs();
        let at = registration.renewed + Duration::from_secs(seconds);
        // Nobody waits for it: it was said when it was due.
        self.renew_one(at, owner, name, ways, &mut Cost::default());
    }

    pub(super) fn renew_one(
        &mut self,
        now: Instant,
        owner: usize,
        name: (Key, u64),
        ways: &dyn Ways,
        cost: &mut Cost,
    ) {
        let Some(registration) = self.members[owner].registered.get(&name) else {
            return;
        };
        let payload = registration.entry.payload.clone();
        let entry = self.sign(owner, name.0, name.1, payload);
        let (_, holders) = self.keep(now, owner, &entry, ways, cost);
        if let Some(registration) = self.members[owner].registered.get_mut(&name) {
            registration.entry = entry;
            registration.renewed = now;
            registration.holders = holders;
        }
    }

    /// The nodes around another that are there.
    pub(super) fn around(&self, _now: Instant, node: usize) -> Vec<usize> {
        let is_other = |it: usize| it != node && self.members[it].is_up;
        self.ring
            .closest(&self.members[node].place, AROUND, is_other)
    }
}
