//! What runs here, for others or for the application itself, and is read for it by who did not read it before.
//!
//! Who shares a stream reads it by edges of its own from where its own components begin. Where more becomes its own, since whose it was is gone, these
//! begin nearer to the source: on streams that nothing of its own, or not that reader, has read before.

use std::collections::BTreeMap;

use model::plan::{Reader, Stream};
use model::{ComponentGraph, ComponentId};

use super::control::Control;
use super::deploy::Wanted;
use super::parts::Part;

/// What runs here: the component and its port, by what a plan calls the stream.
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

    /// What the graph of a part says to run here and runs here, by its streams: what it shares whoever has it, and what it has itself.
    pub(super) fn lent(&self, part: &Part) -> Lent {
        let (here, graph) = (self.network.node(), &part.graph);
        let streams = graph.plan().edges().map(|(stream, _)| stream);
        let found = streams.filter_map(|stream| {
            let binding = graph.producer(stream);
            let found = match binding.shared {
                true => self.yielding_here(graph, stream),
                false => part
                    .find(graph.plan().stream_name(stream), None)
                    .filter(|(component, _)| self.means.engine.is_running(*component)),
            };
            Some((stream, found.filter(|_| binding.host == here)?))
        });
        found.collect()
    }

    /// What runs here and is read by what is made, which that did not read before.
    pub(super) fn newly_read(&self, part: &Part, wanted: &Wanted) -> Lent {
        let graph = &part.graph;
        let mut lent = self.lent(part);
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
