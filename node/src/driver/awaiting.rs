//! Parts that wait for what they share: after a restart of a host its applications come back in any order, and who shares an operator has no state that it could
//! go on from. That is its owner's, who comes soon, or not at all.

use std::time::Duration;

use model::CompositionId;

use super::control::{Control, Inbound};
use super::deploy::Pieces;

/// How long is waited for the owner of what is shared, before it is made anew.
///
/// Unit: time. Range: above what all applications of a host that was started take to come back; below the silence after which a reader lapses. Source: guess.
const OWNER_WAIT: Duration = Duration::from_secs(4);

const _: () = assert!(
    OWNER_WAIT.as_millis() < engine::edge::LAPSE.as_millis(),
    "what goes on keeps what it retains for readers for that long"
);

/// What can be deployed, and waits.
#[derive(Debug)]
pub(super) struct Awaiting {
    /// For which of the graphs that were adopted.
    number: u64,
    made: Box<Pieces>,
}

impl Control {
    /// What a graph binds to this host is compiled and open: it is deployed, as soon as what it shares runs here.
    pub(super) fn on_ready(&mut self, id: CompositionId, number: u64, made: Box<Pieces>) {
        let waits = self.adopting.is_wanted(id, number) && self.shares_what_lacks(id);
        if !waits {
            return self.deploy_ready(id, number, *made);
        }
        self.awaiting.insert(id, Awaiting { number, made });
        let inbox = self.means.inbox.clone();
        tokio::spawn(async move {
            tokio::time::sleep(OWNER_WAIT).await;
            // Nobody hears it only where the node goes down.
            drop(inbox.send(Inbound::Awaited { id, number }).await);
        });
    }

    /// Enough was waited for the owner of what a graph shares.
    pub(super) fn on_awaited(&mut self, id: CompositionId, number: u64) {
        let is_it = |awaiting: &mut Awaiting| awaiting.number == number;
        if let std::collections::btree_map::Entry::Occupied(mut found) = self.awaiting.entry(id)
            && is_it(found.get_mut())
        {
            let made = found.remove().made;
            self.deploy_ready(id, number, *made);
        }
    }

    fn deploy_ready(&mut self, id: CompositionId, number: u64, made: Pieces) {
        if !self.adopting.finish(id, number) {
            return;
        }
        self.on_made(id, made);
        self.take_in_pending();
        let mut waiting = self.awaiting.keys();
        let ready = waiting.find(|id| !self.shares_what_lacks(**id)).copied();
        if let Some(ready) = ready
            && let Some(Awaiting { number, made }) = self.awaiting.remove(&ready)
        {
            self.deploy_ready(ready, number, *made);
        }
    }

    /// Whether a graph shares an operator that is to run here and does not.
    fn shares_what_lacks(&self, id: CompositionId) -> bool {
        let here = self.network.node();
        let Some(part) = self.parts.get(&id) else {
            return false;
        };
        let mut bindings = part.graph.operators().iter().enumerate();
        bindings.any(|(index, binding)| {
            binding.shared
                && binding.host == here
                && self.running_here(&part.graph, index).is_none()
        })
    }
}
