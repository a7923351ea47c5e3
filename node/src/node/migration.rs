//! Operators that go to other hosts, as the control plane sees it: what runs here has another graph from then on, and so has the record.
//!
//! Hosts agree on it among themselves ([`composition::MigrationId`]); here it is said to the driver, to the record and to whoever asked.

use std::collections::BTreeMap;

use composition::{Migrated, MigrationId, Unmigrated};
use model::{ApplicationId, ComponentGraph, CompositionId, Instant, NodeId};

use super::part::Part;
use super::status::milliseconds;
use super::view::hex;
use super::{Candidate, Decision, Effect, Failure, FailureKind, Moved, Node};

/// Who waits for which operator to go elsewhere, by its place in a composition's plan. Bounded by what is moved at once.
pub(super) type Asked = BTreeMap<(CompositionId, u16), u64>;

impl Node {
    /// Begins to move an operator that runs here to another host: to the first of `to` that takes it, or to the best that has room. Answers once, by
    /// [`Node::finish_move`] with the same ticket.
    pub(super) fn begin_move(
        &mut self,
        now: Instant,
        ticket: u64,
        (composition, operator): (CompositionId, u16),
        to: Vec<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        let place = (composition, operator);
        if self.migrating.contains_key(&place) {
            let message = "it is being moved already. Nothing was changed.";
            let failure = Failure::new(FailureKind::Refused, message);
            return self.finish_move(now, ticket, Err(failure), out);
        }
        if let Some(why) = self.holds_back(composition) {
            let failure =
                Failure::new(FailureKind::Refused, format!("{why}. Nothing was changed."));
            return self.finish_move(now, ticket, Err(failure), out);
        }
        self.migrating.insert(place, ticket);
        let expected = self.watch.expected(place);
        self.moves.expected.extend(expected.map(|it| (ticket, it)));
        self.watch.begin(now, place);
        let input = composition::Input::Migrate {
            composition,
            operator,
            to,
        };
        self.compose(now, input, out);
    }

    /// Why nothing of a composition can be moved just now; nothing where it can.
    fn holds_back(&self, composition: CompositionId) -> Option<String> {
        let part = self.parts.get(&composition)?;
        let hosts = part.graph.hosts();
        let absent = hosts.iter().find(|host| self.view.is_absent(**host));
        if let Some(absent) = absent {
            let name = self.view.name(*absent);
            return Some(format!(
                "{name} cannot be reached, and all hosts of an application agree to a move"
            ));
        }
        // A change that was made of an earlier graph would contend with the one that made this.
        (!self.is_recorded(composition)).then(|| {
            "its record has yet to come here since it last changed: try again in a moment"
                .to_owned()
        })
    }

    /// Whether the graph that a composition has here is the one in the record of its application.
    pub(super) fn is_recorded(&self, composition: CompositionId) -> bool {
        let recorded = self.parts.get(&composition).and_then(|part| {
            let record = self.records.find(&part.application)?;
            let body = record.body.as_ref()?;
            Some(body.graph == part.graph)
        });
        recorded != Some(false)
    }

    /// A composition has another graph here from now on, of which something else may be here.
    pub(super) fn on_switch(
        &mut self,
        now: Instant,
        (id, application): (MigrationId, ApplicationId),
        graph: ComponentGraph,
        cores: f64,
        out: &mut Vec<Effect>,
    ) {
        let before = self.operators_here(id.composition);
        let part = self.parts.entry(id.composition);
        let part =
            part.or_insert_with(|| Box::new(Part::new(now, application.clone(), graph.clone())));
        part.graph = graph.clone();
        out.push(Effect::Switch {
            id,
            graph: Box::new(graph),
            cores,
        });
        self.note_arrivals(now, id.composition, &before);
        let listing = self.records.listing(&application);
        if listing.is_some_and(|listing| listing.head.composition == id.composition) {
            // It may have come before the word to go over.
            self.on_record_of_part(now, id.composition, out);
        }
        self.look_for_part(now, &application, out);
        self.list_application(&application, out);
    }

    /// A composition has another graph here from now on, which this node was not made ready for.
    pub(super) fn on_adopt(
        &mut self,
        now: Instant,
        id: CompositionId,
        application: ApplicationId,
        (graph, cores): (ComponentGraph, f64),
        out: &mut Vec<Effect>,
    ) {
        let before = self.operators_here(id);
        let part = self.parts.entry(id);
        let part =
            part.or_insert_with(|| Box::new(Part::new(now, application.clone(), graph.clone())));
        part.graph = graph.clone();
        part.cores = cores;
        let hosts = graph.hosts();
        out.push(Effect::Adopt {
            id,
            application: application.clone(),
            graph: Box::new(graph),
            cores,
        });
        self.note_arrivals(now, id, &before);
        self.on_record_of_part(now, id, out);
        self.list_application(&application, out);
        for host in hosts {
            if self.view.is_absent(host) {
                self.on_missed(now, host);
            }
        }
    }

    /// A migration of this node comes about: everybody who keeps the record is told of its graph.
    pub(super) fn on_rebound(
        &mut self,
        now: Instant,
        id: CompositionId,
        graph: ComponentGraph,
        out: &mut Vec<Effect>,
    ) {
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let application = part.application.clone();
        // Where it cannot be said, who was told to go over has: only lists do not know.
        let _: Result<(), _> = self.say_rebound(now, &application, graph, out);
    }

    /// An operator has gone elsewhere; who shares it here follows.
    pub(super) fn on_migrated(&mut self, now: Instant, migrated: Migrated, out: &mut Vec<Effect>) {
        self.counts.add("migrated");
        let composition = migrated.composition;
        let index = usize::from(migrated.operator);
        self.watch.end(now, (composition, migrated.operator));
        let named = |id: &CompositionId| {
            let part = self.parts.get(id);
            part.map_or_else(String::new, |part| part.application.name.clone())
        };
        let declined = migrated.declined.iter();
        let declined = declined.map(|(node, why)| (*node, Some(why.clone())));
        let candidates = declined.chain([(migrated.to, None)]);
        let moved = Moved {
            application: migrated.application.name,
            operator: migrated.graph.plan().operators()[index].name.clone(),
            from: self.view.name(self.id()),
            from_node: hex(self.id()),
            to: self.view.name(migrated.to),
            to_node: hex(migrated.to),
            candidates: candidates
                .map(|(node, reason)| Candidate {
                    host: self.view.name(node),
                    node: hex(node),
                    reason,
                })
                .collect(),
            state_bytes: migrated.taken.state_bytes,
            sent_bytes: migrated.taken.sent_bytes,
            transfer_ms: milliseconds(migrated.taken.transfer),
            switch_ms: milliseconds(migrated.switched_in),
            total_ms: milliseconds(migrated.took),
            shared_with: migrated.sharing.iter().map(|(id, _)| named(id)).collect(),
        };
        for (composition, operator) in migrated.sharing {
            let input = composition::Input::Migrate {
                composition,
                operator,
                to: vec![migrated.to],
            };
            self.compose(now, input, out);
        }
        if let Some(ticket) = self.migrating.remove(&(composition, migrated.operator)) {
            self.finish_move(now, ticket, Ok(moved), out);
        } else if let Some(part) = self.parts.get(&composition) {
            let application = part.application.clone();
            let decision = Decision::Moved {
                why: "what it shares here went there".to_owned(),
                slack_ms: None,
                load: None,
                moved: Box::new(moved),
            };
            self.decided(now, &application, decision);
        }
    }

    /// An operator stays where it is.
    pub(super) fn on_unmigrated(
        &mut self,
        now: Instant,
        unmigrated: Unmigrated,
        out: &mut Vec<Effect>,
    ) {
        self.counts.add("unmigrated");
        let place = (unmigrated.composition, unmigrated.operator);
        self.watch.refused(now, place);
        let ticket = self.migrating.remove(&place);
        let declined = unmigrated.declined.iter();
        let reasons: Vec<String> = declined
            .map(|(node, why)| format!("{}: {why}", self.view.name(*node)))
            .collect();
        let reasons = match reasons.is_empty() {
            true => "no other host is known here that may run it".to_owned(),
            false => reasons.join("; "),
        };
        let message = format!("refused: {reasons}. Nothing was changed.");
        if let Some(ticket) = ticket {
            let failure = Failure::new(FailureKind::Refused, &message);
            return self.finish_move(now, ticket, Err(failure), out);
        }
        // What others read of an operator that went stays behind for them, which nobody waits to hear.
        let Some(part) = self.parts.get(&unmigrated.composition) else {
            return;
        };
        let (application, graph) = (part.application.clone(), &part.graph);
        let operator = graph.plan().operators().get(usize::from(place.1));
        let operator = operator.map(|it| it.name.clone());
        let decision = Decision::Refused {
            operator,
            reason: message,
        };
        self.decided(now, &application, decision);
    }
}
