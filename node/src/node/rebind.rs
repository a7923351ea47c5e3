//! Components that go to other hosts.

use model::{ComponentGraph, CompositionId, Instant, NodeId};

use super::{Effect, Failure, FailureKind, Node};

impl Node {
    /// Begins to move an operator that runs here to another host: to `to`, or to the best that has room. Answers once, by
    /// [`Node::finish_move`] with the same ticket.
    pub(super) fn begin_move(
        &mut self,
        now: Instant,
        ticket: u64,
        _id: CompositionId,
        _operator: u16,
        _to: Option<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        let message =
            "refused: this version of a host moves nothing that runs. Nothing was changed.";
        let failure = Failure::new(FailureKind::Refused, message);
        self.finish_move(now, ticket, Err(failure), out);
    }

    /// The record of what runs here has another graph than it. May come again with the same graph.
    pub(super) fn on_rebound_record(
        &mut self,
        _now: Instant,
        _id: CompositionId,
        _graph: ComponentGraph,
        _out: &mut Vec<Effect>,
    ) {
        self.counts.add("rebound_records");
    }
}
