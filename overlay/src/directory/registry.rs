//! What this node keeps registered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Instant, Key, NodeId, Rng};

use super::TaskId;
use crate::distance::Place;
use crate::holder::REPLICAS;

/// The most entries that a node keeps registered. Unit: entries. Source: guess; renewing them all takes 200 messages a
/// second.
pub(super) const REGISTERED_MAX: usize = 4096;

/// How often an entry is renewed; jittered by a tenth. Unit: time. Range: a third of its ttl, so that two may be lost.
/// Source: design.
pub const RENEWAL: Duration = Duration::from_secs(60);

/// How soon registering is tried again where nobody, or too few, took the entry. Unit: time. Source: guess.
const RETRY: Duration = Duration::from_secs(3);

/// How soon an entry is registered again after its holders changed: this, and up to three times as long. Unit: time.
/// Source: guess; it lets several changes be answered at once.
const SOON: Duration = Duration::from_millis(200);

/// Under what something is registered.
pub(super) type Name = (Key, u64);

#[derive(Debug)]
pub(super) struct Registration {
    pub(super) payload: Vec<u8>,
    /// Who took the latest version.
    pub(super) holders: BTreeSet<NodeId>,
    /// The task that registers it now.
    pub(super) task: Option<TaskId>,
    place: Place,
    due: Instant,
}

/// What this node keeps registered.
#[derive(Debug, Default)]
pub(super) struct Registry {
    registered: BTreeMap<Name, Registration>,
    due: BTreeSet<(Instant, Name)>,
}

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.registered.len()
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.registered.keys().copied().collect()
    }

    pub(super) fn contains(&self, name: &Name) -> bool {
        self.registered.contains_key(name)
    }

    pub(super) fn find_mut(&mut self, name: &Name) -> Option<&mut Registration> {
        self.registered.get_mut(name)
    }

    /// Registers something; its holders stay, where it was registered before.
    pub(super) fn insert(&mut self, now: Instant, name: Name, payload: Vec<u8>) {
        if let Some(there) = self.registered.get_mut(&name) {
            there.payload = payload;
            return;
        }
        let due = now + RENEWAL;
        let registration = Registration {
            payload,
            holders: BTreeSet::new(),
            task: None,
            place: Place::of_key(name.0),
            due,
        };
        self.due.insert((due, name));
        self.registered.insert(name, registration);
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Registration> {
        let registration = self.registered.remove(name)?;
        self.due.remove(&(registration.due, *name));
        Some(registration)
    }

    /// When the next is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The next that is due. It is due again after a period, or as [`Self::on_registered`] says.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Name> {
        let (due, name) = self.due.first().copied()?;
        if due > now {
            return None;
        }
        self.set_due(&name, now + RENEWAL);
        Some(name)
    }

    fn set_due(&mut self, name: &Name, due: Instant) {
        if let Some(registration) = self.registered.get_mut(name) {
            self.due.remove(&(registration.due, *name));
            registration.due = due;
            self.due.insert((due, *name));
        }
    }

    /// Registering came to its end: with these holders, of as many as could be had.
    pub(super) fn on_registered(
        &mut self,
        now: Instant,
        name: &Name,
        holders: BTreeSet<NodeId>,
        is_complete: bool,
        rng: &mut Rng,
    ) {
        let Some(registration) = self.registered.get_mut(name) else {
            return;
        };
        registration.task = None;
        registration.holders = holders;
        let period = if is_complete { RENEWAL } else { RETRY };
        self.set_due(name, now + period.mul_f64(0.9 + 0.2 * rng.fraction()));
    }

    /// A node came to be known: what it should hold is registered again soon.
    pub(super) fn on_came(&mut self, now: Instant, node: NodeId, rng: &mut Rng) {
        let place = Place::of_node(node);
        self.hasten(now, rng, |registration| {
            let closest = registration.place.distance(&place);
            let farther = |holder: &&NodeId| registration.place.distance_to(**holder) > closest;
            let is_there = registration.holders.contains(&node);
            let has_place = registration.holders.len() < REPLICAS;
            !is_there && (has_place || registration.holders.iter().any(|holder| farther(&holder)))
        });
    }

    /// A node cannot be reached: what it held is registered again soon.
    pub(super) fn on_gone(&mut self, now: Instant, node: NodeId, rng: &mut Rng) {
        self.hasten(now, rng, |registration| {
            registration.holders.contains(&node)
        });
        for registration in self.registered.values_mut() {
            registration.holders.remove(&node);
        }
    }

    /// Everything is registered again soon: what each entry says of this node has changed.
    pub(super) fn on_changed(&mut self, now: Instant, rng: &mut Rng) {
        self.hasten(now, rng, |_| true);
    }

    fn hasten(&mut self, now: Instant, rng: &mut Rng, is_meant: impl Fn(&Registration) -> bool) {
        let meant: Vec<Name> = self
            .registered
            .iter()
            .filter(|(_, registration)| is_meant(registration))
            .map(|(name, _)| *name)
            .collect();
        for name in meant {
            let soon = now + SOON.mul_f64(1.0 + 2.0 * rng.fraction());
            if self.registered[&name].due > soon {
                self.set_due(&name, soon);
            }
        }
    }
}
