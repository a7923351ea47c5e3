//! Edges of readers that are on other hosts by now.
//!
//! Who reads on there ends its edge itself: it says goodbye, or goes on for as long as others share what it makes. Who is gone does neither, so that
//! what is kept for it is let go of as soon as its stream breaks and somebody reads in its place.

use engine::runtime::Handle;
use model::plan::{Reader, Stream};
use model::{EdgeId, NodeId};

use super::parts::Part;

impl Part {
    /// Closes the edges of readers that are on other hosts by now, or here, as soon as something else is kept for those: at once where nobody pulls by
    /// them, and else when that ends.
    pub(super) fn close_former(&mut self, engine: &Handle, here: NodeId) {
        let graph = &self.graph;
        let is_here = |reader: Reader| match reader {
            Reader::Operator(index, _) => {
                self.operators[index].is_some_and(|it| engine.is_running(it))
            }
            Reader::Sink(index) => self.sinks[index].is_some_and(|it| engine.is_running(it)),
        };
        let is_followed = |stream: Stream, reader: Reader| {
            let host = graph.reader(reader).host;
            match host == here {
                true => is_here(reader),
                false => self.serves(engine, &(stream, reader, host)),
            }
        };
        let former = self.downstream.keys().copied();
        let former = former
            .filter(|by| graph.reader(by.1).host != by.2 && is_followed(by.0, by.1))
            .collect();
        let unread = self.unread.keys().copied();
        let unread: Vec<(Stream, Reader)> = unread.filter(|it| is_followed(it.0, it.1)).collect();
        self.former = former;
        let unread = unread.iter().filter_map(|it| self.unread.remove(it));
        for edge in unread {
            engine.close_edge(edge);
        }
        self.close_broken(engine);
    }

    /// Closes those of them by which nobody pulls any more.
    pub(super) fn close_broken(&mut self, engine: &Handle) {
        let downstream = &self.downstream;
        let is_pulled = |by: &(Stream, Reader, NodeId)| {
            let task = downstream.get(by).and_then(|it| it.task.as_ref());
            task.is_some_and(|task| !task.is_finished())
        };
        let broken = self.former.extract_if(.., |by| !is_pulled(by));
        let broken: Vec<(Stream, Reader, NodeId)> = broken.collect();
        let broken = broken.iter().filter_map(|by| self.downstream.remove(by));
        let edges: Vec<EdgeId> = broken.map(|it| it.edge).collect();
        for edge in edges {
            engine.close_edge(edge);
        }
    }
}
