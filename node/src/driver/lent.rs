//! What runs here for others and is read for an application that shares it.
//!
//! Who shares a stream reads it by edges of its own from where its own components begin. Where more becomes its own, since whose it was is gone, these
//! begin nearer to the source: on streams that nothing of its own has read before.

use std::collections::BTreeMap;

use model::plan::{Reader, Stream};
use model::{Binding, ComponentGraph, ComponentId};

use super::control::Control;
use super::deploy::Wanted;
use super::parts::Part;

/// What runs here for others: the component and its port, by what a plan calls the stream.
pub(super) type Lent = BTreeMap<Stream, (ComponentId, u16)>;

impl Control {
    /// A component here that yields the stream of an operator, whoever has it.
    pub(super) fn running_here(
        &self,
        graph: &ComponentGraph,
        operator: usize,
    ) -> Option<ComponentId> {
        let yielding = self.yielding_here(graph, Stream::Operator(operator, 0));
        yielding.map(|(component, _)| component)
    }

    /// The same of any stream, with the port.
    fn yielding_here(&self, graph: &ComponentGraph, stream: Stream) -> Option<(ComponentId, u16)> {
        let name = graph.plan().stream_name(stream);
        let found = self.parts.values().filter_map(|part| part.find(name, None));
        let engine = &self.means.engine;
        let mut running = found.filter(|(component, _)| engine.is_running(*component));
        running.next()
    }

    /// What runs here for others and a graph shares, by its streams.
    pub(super) fn lent(&self, graph: &ComponentGraph) -> Lent {
        let here = Binding::shared(self.network.node());
        let streams = graph.plan().edges().map(|(stream, _)| stream);
        let shared = streams.filter(|stream| graph.producer(*stream) == here);
        let lent = shared.filter_map(|stream| Some((stream, self.yielding_here(graph, stream)?)));
        lent.collect()
    }

    /// What runs here for others and is read by what is made, which nothing of its own application has read before.
    pub(super) fn newly_read(&self, part: &Part, graph: &ComponentGraph, wanted: &Wanted) -> Lent {
        let mut lent = self.lent(graph);
        lent.retain(|stream, _| {
            let mut readers = graph.plan().readers(*stream);
            readers.any(|reader| {
                let is_made = match reader {
                    Reader::Operator(index, _) => wanted.operators.contains(&index),
                    Reader::Sink(index) => wanted.sinks.contains(&index),
                };
                let engine = &self.means.engine;
                is_made && part.yielding_edge(engine, *stream, reader).is_err()
            })
        });
        lent
    }
}
