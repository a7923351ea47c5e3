//! Components that go to other hosts.

use model::{ComponentGraph, CompositionId, Instant};

use super::{Effect, Node};

impl Node {
    /// The record of what runs here has another graph than it: a host that was ready for it and was not told to go over, does. May come
    /// again with the same graph.
    pub(super) fn on_rebound_record(
        &mut self,
        now: Instant,
        id: CompositionId,
        graph: ComponentGraph,
        out: &mut Vec<Effect>,
    ) {
        self.counts.add("rebound_records");
        self.compose(now, composition::Input::Rebound { id, graph }, out);
    }
}
