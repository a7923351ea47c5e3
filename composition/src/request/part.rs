//! Parts of a plan, as requests and hosts speak of them.

use model::plan::Reader;
use model::{ComponentGraph, NodeId};

use super::number;

/// A part of a plan, by its index in the plan. In this order they are in topological order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub(crate) enum Part {
    Source(u16),
    Operator(u16),
    Sink(u16),
}

impl Part {
    /// The part that reads.
    pub(crate) fn of(reader: Reader) -> Self {
        match reader {
            Reader::Operator(index, _) => Self::Operator(number(index)),
            Reader::Sink(index) => Self::Sink(number(index)),
        }
    }

    /// Where it is in a graph.
    pub(crate) fn host_in(self, graph: &ComponentGraph) -> Option<NodeId> {
        let bindings = match self {
            Self::Source(_) => graph.sources(),
            Self::Operator(_) => graph.operators(),
            Self::Sink(_) => graph.sinks(),
        };
        let (Self::Source(index) | Self::Operator(index) | Self::Sink(index)) = self;
        bindings.get(usize::from(index)).map(|it| it.host)
    }
}
