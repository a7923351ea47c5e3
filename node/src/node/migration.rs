//! Operators that go to other hosts, as the control plane sees it: what runs here has another graph from then on, and so has the record.

use composition::{Migrated, MigrationId, Unmigrated};
use model::{ApplicationId, ComponentGraph, CompositionId, Instant, NodeId};

use super::part::Part;
use super::{Effect, Node};

impl Node {
    pub(super) fn on_prepare(
        id: MigrationId,
        application: ApplicationId,
        graph: ComponentGraph,
        (operator, from): (u16, NodeId),
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::Prepare {
            id,
            application,
            graph: Box::new(graph),
            operator,
            from,
        });
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
        let part = self.parts.entry(id.composition);
        let part =
            part.or_insert_with(|| Box::new(Part::new(now, application.clone(), graph.clone())));
        part.graph = graph.clone();
        out.push(Effect::Switch {
            id,
            graph: Box::new(graph),
            cores,
        });
        self.list_application(&application, out);
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

    pub(super) fn on_migrated(&mut self, now: Instant, migrated: Migrated, out: &mut Vec<Effect>) {
        let Migrated {
            to,
            sharing: ref followers,
            ..
        } = migrated;
        for (composition, operator) in followers {
            let input = composition::Input::Migrate {
                composition: *composition,
                operator: *operator,
                to: vec![to],
            };
            self.compose(now, input, out);
        }
    }

    pub(super) fn on_unmigrated(&mut self, unmigrated: Unmigrated, out: &mut Vec<Effect>) {
        let _ = (unmigrated, out);
    }
}
