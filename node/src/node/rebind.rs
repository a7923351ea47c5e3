//! Components that go to other hosts.

use model::{ComponentGraph, CompositionId, Instant};

use super::{Effect, Node};

impl Node {
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
