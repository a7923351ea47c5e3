//! What this node does for others as a holder: the store, whom it does not serve, and what it answers.

use model::{Instant, Key, NodeId, Rng};

use crate::distance::Place;
use crate::message::{Answer, Bounded, Held, Message, NearBy, Request};
use crate::store::{Refusal, Store, Suspects};

/// At how many nodes an entry is registered: the closest to its key. Unit: nodes. Source: design.
pub const REPLICAS: usize = 3;

/// The store, and how it is asked.
#[derive(Debug)]
pub struct Holder {
    pub(crate) store: Store,
    pub(crate) suspects: Suspects,
    rng: Rng,
}

impl Holder {
    /// A holder of nothing.
    pub fn new(rng: Rng) -> Self {
        Self {
            store: Store::default(),
            suspects: Suspects::default(),
            rng,
        }
    }

    /// Answers a request; where an entry is refused, with the reason for the count.
    pub fn serve(
        &mut self,
        now: Instant,
        from: NodeId,
        request: Request,
    ) -> (Answer, Option<Refusal>) {
        let answer = match request {
            Request::Find { key, near, count } => {
                let near = near.map(|NearBy(coordinate)| coordinate);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let suspects = &self.suspects;
                let rng = &mut self.rng;
                let found = self
                    .store
                    .find(now, key, near.as_ref(), count, suspects, rng);
                entries(found, false)
            }
            Request::Page { key, after } => {
                let (page, has_more) = self.store.page(now, key, after, &self.suspects);
                entries(page, has_more)
            }
            Request::Keep { entry } => {
                if let Err(refusal) = self.store.keep(now, from, entry) {
                    return (Answer::Refused, Some(refusal));
                }
                Answer::Kept
            }
        };
        (answer, None)
    }

    /// Takes an entry that another holder hands over.
    ///
    /// # Errors
    /// Why it was not taken; nothing was changed then.
    pub fn take_over(&mut self, now: Instant, held: Held) -> Result<(), Refusal> {
        self.store.take_over(now, held)
    }

    /// What belongs to a node that just came: the keys for which it is one of the closest, and this one of the two that were
    /// closest before. The owner renews an entry within its period anyway; until then readers should find it.
    pub fn belonging_to(
        &self,
        now: Instant,
        newcomer: NodeId,
        me: NodeId,
        known: &[NodeId],
    ) -> Vec<Message> {
        let places: Vec<Place> = known
            .iter()
            .filter(|node| **node != newcomer)
            .map(|node| Place::of_node(*node))
            .collect();
        let own = Place::of_node(me);
        let theirs = Place::of_node(newcomer);
        let is_theirs = |place: &Place| {
            let closer_than = |bound| places.iter().filter(|p| place.distance(p) < bound).count();
            let is_mine = closer_than(place.distance(&own)) < REPLICAS - 1;
            let bound = place.distance(&theirs);
            let closer = closer_than(bound) + usize::from(place.distance(&own) < bound);
            is_mine && closer < REPLICAS
        };
        let keys = self.store.keys().filter(|(_, place)| is_theirs(place));
        keys.flat_map(|(key, _)| self.messages_of(now, key, |_| true))
            .collect()
    }

    /// What goes to whom when this node leaves: for each key that it is one of the closest to, to who is that in its place.
    pub fn bequest(&self, now: Instant, me: NodeId, known: &[NodeId]) -> Vec<(NodeId, Message)> {
        let own = Place::of_node(me);
        let mut bequest = Vec::new();
        let nodes: Vec<(Place, NodeId)> = known
            .iter()
            .map(|node| (Place::of_node(*node), *node))
            .collect();
        for (key, place) in self.store.keys() {
            let mut closest: Vec<_> = nodes
                .iter()
                .map(|(node_place, node)| (place.distance(node_place), *node))
                .collect();
            closest.sort_unstable();
            let closer = closest
                .iter()
                .filter(|(distance, _)| *distance < place.distance(&own));
            if closer.count() >= REPLICAS {
                continue;
            }
            let Some((_, heir)) = closest.get(REPLICAS - 1) else {
                continue;
            };
            let messages = self.messages_of(now, key, |held| held.entry.owner != me);
            bequest.extend(messages.into_iter().map(|message| (*heir, message)));
        }
        bequest
    }

    fn messages_of(&self, now: Instant, key: Key, is_told: impl Fn(&Held) -> bool) -> Vec<Message> {
        let parts = self.store.all(now, key).into_iter();
        parts
            .map(|part| part.into_iter().filter(&is_told).collect::<Vec<_>>())
            .filter(|part| !part.is_empty())
            .map(Message::hand_over)
            .collect()
    }
}

fn entries(held: Vec<Held>, has_more: bool) -> Answer {
    Answer::Entries {
        entries: Bounded::first_of(held),
        has_more,
    }
}
