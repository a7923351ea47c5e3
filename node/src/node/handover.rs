//! Records whose graph changes while the application runs, as a node keeps and says them.

use model::{ApplicationId, ComponentGraph, Instant};

use super::message::Message;
use super::record::{Listing, RecordError, Standing};
use super::{Effect, Node};

impl Node {
    /// Says that an application that runs has another graph, here and to all who keep its record: those that are out, too. All
    /// hosts of both graphs have agreed to it before.
    ///
    /// # Errors
    /// As [`Record::rebound`](super::record::Record::rebound); nothing has changed then, and it is counted.
    pub(super) fn say_rebound(
        &mut self,
        now: Instant,
        id: &ApplicationId,
        graph: ComponentGraph,
        out: &mut Vec<Effect>,
    ) -> Result<(), RecordError> {
        let name = |host| self.view.name(host);
        let record = self.records.find(id).ok_or(RecordError::Unknown);
        let rebound = record.and_then(|it| it.rebound(graph, &self.config.identity, name));
        let record = rebound.inspect_err(|error| {
            self.counts.add(match error {
                RecordError::Long => "handovers_over_limit",
                _ => "handovers_refused",
            });
        })?;
        self.adopt(now, record, out);
        if let Some(listing) = self.records.listing(id).cloned() {
            self.spread(now, listing, false, 0, out);
        }
        Ok(())
    }

    /// Whether this node has to hear of a record: it keeps it, is to hear that it is out, or has something of that composition,
    /// whoever the record names.
    pub(super) fn concerns(&self, listing: &Listing) -> bool {
        let composition = listing.head.composition;
        let held = self.records.listing(&listing.head.application);
        listing.keepers().contains(&self.id())
            || held.is_some_and(|held| held.head.composition == composition)
            || self.parts.contains_key(&composition)
    }

    /// The owner signs the newest graph of what runs, so that no chain of handovers grows.
    pub(super) fn seal(&self, listing: &mut Listing) {
        let is_owner = listing.head.application.owner == self.id();
        if is_owner && listing.is_running() && !listing.handovers.is_empty() {
            *listing = listing.sealed(&self.config.identity);
        }
    }

    /// What this node says that it holds of an application: who lacks the graph says that it holds nothing, so that it is sent. Who is no host of
    /// it, nor ever was, as far as those know that are, says that it was one of an earlier graph: two that could not reach each other made one each.
    pub(super) fn standing_said(&self, id: &ApplicationId) -> Option<Standing> {
        let record = self.records.find(id)?;
        let standing = record.listing.standing();
        match (record.lacks_body(), record.listing.may_change(self.id())) {
            (false, _) => Some(standing),
            (true, true) => None,
            (true, false) => Some(standing.first()),
        }
    }

    /// Asks those for the graph of an application who made it or changed it last.
    pub(super) fn ask_for_body(&self, listing: &Listing, out: &mut Vec<Effect>) {
        let message = Message::Present {
            application: listing.head.application.clone(),
            standing: self.standing_said(&listing.head.application),
            finished: None,
            gone: None,
        };
        let mut known = listing.signers();
        known.remove(&self.id());
        for host in known {
            self.send(host, &message, out);
        }
    }

    /// Where a part runs here whose graph is not that of the record, whoever moves components decides what follows.
    pub(super) fn compare_graphs(
        &mut self,
        now: Instant,
        id: &ApplicationId,
        out: &mut Vec<Effect>,
    ) {
        let Some(record) = self.records.find(id) else {
            return;
        };
        let composition = record.listing.head.composition;
        let part = self.parts.get(&composition);
        let Some(body) = record.body.as_ref().filter(|_| record.listing.is_running()) else {
            return;
        };
        let differs = match part {
            Some(part) => part.graph != body.graph,
            // Also where it makes ready for another graph: who asked it to may be gone.
            None => self.config.repairs && record.listing.is_host(self.id()),
        };
        if differs {
            let rebound = composition::Rebound {
                id: composition,
                application: id.clone(),
                generation: record.listing.graph_version().0,
                graph: body.graph.clone(),
                terms: body.terms.clone(),
                is_adopted: self.config.repairs,
            };
            self.counts.add("rebound_records");
            self.compose(now, composition::Input::Rebound(Box::new(rebound)), out);
        }
    }
}
