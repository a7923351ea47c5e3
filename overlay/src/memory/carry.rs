//! Carries what the machines want carried, one thing after the other.

use model::{Instant, Key, NodeId, Outcome, convert, wire};

use super::{Due, EVENTS_MAX, Event, Memory, Parcel};
use crate::distance::Place;
use crate::machine::{Effect, Input, Peer};

impl Memory {
    /// Lets the next thing happen.
    pub(super) fn step(&mut self) {
        let Some(at) = self.next_event() else {
            return;
        };
        self.now = at;
        let due = self.due.first_entry().filter(|due| due.key().0 <= at);
        if let Some(due) = due {
            let due = due.remove();
            return self.happen(due);
        }
        if let Some((_, node)) = self.wakes.first().copied() {
            self.input(node, Input::Timeout);
        }
    }

    /// Wakes a node when its machine wants it.
    pub(super) fn follow_wake(&mut self, node: NodeId) {
        let wake = self
            .hosts
            .get(&node)
            .and_then(|host| host.overlay.poll_timeout());
        self.set_wake(node, wake);
    }

    pub(super) fn set_wake(&mut self, node: NodeId, wake: Option<Instant>) {
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut host.wake, wake) {
            self.wakes.remove(&(before, node));
        }
        self.wakes.extend(wake.map(|wake| (wake, node)));
    }

    pub(super) fn happen(&mut self, due: Due) {
        match due {
            Due::Connected(node, peer) => {
                if self.is_alive(peer) && self.wires.reaches(node, peer) {
                    self.input(node, Input::Connected(peer));
                }
            }
            Due::Unreachable(node, peer) => {
                self.tell(node, Event::Unreachable(peer));
                self.input(node, Input::Unreachable(peer));
            }
            Due::Walked(node, walk, key, count) => {
                let peers = self.closest(node, key, count);
                self.input(node, Input::Walked { walk, peers });
            }
            Due::Arrives(parcel) => self.arrive(parcel),
        }
    }

    pub(super) fn arrive(&mut self, parcel: Parcel) {
        let Parcel {
            from,
            to,
            is_payload,
            bytes,
        } = parcel;
        if !self.is_alive(to) || !self.wires.reaches(from, to) {
            return;
        }
        if is_payload {
            self.tell(to, Event::Message { from, bytes });
        } else if let Ok(message) = wire::decode(&bytes) {
            self.input(to, Input::Message { from, message });
        }
    }

    pub(super) fn input(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.is_alive) else {
            if let Input::Query { id, .. } = input {
                let error = model::QueryError::Timeout;
                self.outcomes.insert(id, (node, Outcome::Failed(error)));
            }
            return;
        };
        let mut out = Vec::new();
        host.overlay.handle_input(now, input, &mut out);
        self.follow_wake(node);
        for effect in out {
            self.carry(node, effect);
        }
    }

    pub(super) fn carry(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Answer { id, outcome } => {
                let earlier = self.outcomes.insert(id, (node, outcome));
                assert!(earlier.is_none(), "{id:?} is answered twice");
            }
            Effect::Send { to, message, .. } => self.say(node, to, message),
            Effect::Walk { walk, key, count } => {
                let at = self.now + self.wires.conditions.delay * 4;
                self.put(at, Due::Walked(node, walk, key, count));
            }
            Effect::Seen {
                summary,
                round_trip,
            } => self.tell(
                node,
                Event::Seen {
                    summary,
                    round_trip,
                },
            ),
            Effect::Lost(lost) => self.tell(node, Event::Lost(lost)),
            Effect::Left => self.vanish(node),
        }
    }

    pub(super) fn dispatch(&mut self, parcel: Parcel) {
        let (from, to) = (parcel.from, parcel.to);
        self.sent += 1;
        self.sent_bytes += convert::size(parcel.bytes.len());
        if !self.is_alive(to) {
            // Nobody listens there; a partition, on the other hand, is silent.
            if self.wires.reaches(from, to) {
                self.detect(from, to);
            }
            return;
        }
        self.connect(from, to);
        for at in self.wires.arrivals(self.now, from, to) {
            self.put(at, Due::Arrives(parcel.clone()));
        }
    }

    pub(super) fn connect(&mut self, one: NodeId, other: NodeId) {
        if self.wires.reaches(one, other) && self.wires.connect(one, other) {
            let at = self.now + self.wires.conditions.delay;
            self.put(at, Due::Connected(one, other));
            self.put(at, Due::Connected(other, one));
        }
    }

    pub(super) fn detect(&mut self, node: NodeId, peer: NodeId) {
        let at = self.now + self.wires.conditions.detection;
        self.put(at, Due::Unreachable(node, peer));
    }

    pub(super) fn put(&mut self, at: Instant, due: Due) {
        let number = self.next_number;
        self.next_number += 1;
        self.due.insert((at, number), due);
    }

    pub(super) fn tell(&mut self, node: NodeId, event: Event) {
        if let Some(host) = self.hosts.get_mut(&node).filter(|host| host.is_alive) {
            if host.events.len() == EVENTS_MAX {
                host.events.pop_front();
            }
            host.events.push_back(event);
        }
    }

    /// The closest nodes to a key that `node` could find: those that are there and have joined, itself left out.
    pub(super) fn closest(&self, node: NodeId, key: Key, count: usize) -> Vec<Peer> {
        let place = Place::of_key(key);
        if !self.hosts.get(&node).is_some_and(|host| host.has_joined) {
            return Vec::new();
        }
        let mut closest: Vec<_> = self
            .hosts
            .iter()
            .filter(|(other, host)| {
                **other != node
                    && host.is_alive
                    && host.has_joined
                    && self.wires.reaches(node, **other)
            })
            .map(|(other, host)| (place.distance_to(*other), *other, host))
            .collect();
        closest.sort_unstable_by_key(|(distance, ..)| *distance);
        let peers = closest.into_iter().take(count).map(|(_, node, host)| Peer {
            node,
            addresses: host.overlay.host().addresses.clone(),
        });
        peers.collect()
    }
}
