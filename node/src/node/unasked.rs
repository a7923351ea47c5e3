//! Compositions that come about when nobody waits for them any more.

use composition::Composed;
use model::{ApplicationId, CompositionId, Instant};

use super::record::{Body, Record, State};
use super::{Effect, Node, composed};

impl Node {
    /// A composition came about after whoever asked for it was told that it had not: it is stopped.
    pub(super) fn on_composed_for_nobody(
        &mut self,
        now: Instant,
        id: CompositionId,
        composed: Option<Composed>,
        out: &mut Vec<Effect>,
    ) {
        let is_overdue = self.overdue.remove(&id);
        let Some(composed) = composed else {
            return;
        };
        if !is_overdue {
            return;
        }
        self.counts.add("composed_for_nobody");
        let graph = composed.graph;
        let application = ApplicationId {
            owner: self.id(),
            name: graph.plan().application().to_owned(),
        };
        let body = Body {
            composition: composed::unasked(&graph),
            graph,
            reasons: Vec::new(),
            terms: composed.terms,
        };
        let record = Record::new(application, id, body, &self.config.identity);
        let stopped = record
            .listing
            .changed(State::Stopped, &self.config.identity);
        self.change(now, stopped, out);
    }
}
