//! Component graphs: a query plan with every part bound to a component on a host.

use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::plan::{QueryPlan, Reader, Stream};
use crate::position::Origin;

/// Where one part of a plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Binding {
    /// The host.
    pub host: NodeId,
    /// Whether it ran already, for somebody else: an operator, or a source that lies before such a one. What lies
    /// before a shared operator is shared too, and bound to where it really runs.
    pub shared: bool,
}

impl Binding {
    /// A component of its own on a host.
    pub const fn new(host: NodeId) -> Self {
        Self {
            host,
            shared: false,
        }
    }

    /// What runs on a host already.
    pub const fn shared(host: NodeId) -> Self {
        Self { host, shared: true }
    }
}

/// Why bindings and a plan make no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There must be one binding for each part.
    #[error("{bindings} bindings for {parts} {what}")]
    Count {
        /// Which parts.
        what: &'static str,
        /// How many the plan has.
        parts: usize,
        /// How many bindings there are.
        bindings: usize,
    },
    /// What runs already reads what runs already: all that lies before a shared operator is shared too.
    #[error("{0:?} runs already, and what it reads does not")]
    Unshared(String),
}

/// A composed application: the plan and where each source, operator and sink of it runs.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub struct ComponentGraph {
    plan: QueryPlan,
    /// Who numbers the records of each source.
    origins: Vec<Origin>,
    sources: Vec<Binding>,
    operators: Vec<Binding>,
    sinks: Vec<Binding>,
}

impl ComponentGraph {
    /// The plan with its parts bound, in the plan's order.
    ///
    /// # Errors
    /// When the number of bindings is not that of the parts, or a shared operator reads what is not shared.
    pub fn new(
        plan: QueryPlan,
        origins: Vec<Origin>,
        sources: Vec<Binding>,
        operators: Vec<Binding>,
        sinks: Vec<Binding>,
    ) -> Result<Self, GraphError> {
        let counts = [
            ("origins", plan.sources().len(), origins.len()),
            ("sources", plan.sources().len(), sources.len()),
            ("operators", plan.operators().len(), operators.len()),
            ("sinks", plan.sinks().len(), sinks.len()),
        ];
        for (what, parts, bindings) in counts {
            if parts != bindings {
                return Err(GraphError::Count {
                    what,
                    parts,
                    bindings,
                });
            }
        }
        let graph = Self {
            plan,
            origins,
            sources,
            operators,
            sinks,
        };
        let mut operators = graph.plan.operators().iter().zip(&graph.operators);
        let reads_unshared = operators.find(|(operator, binding)| {
            let mut inputs = operator.inputs.iter();
            let is_unshared = |input: &Stream| match input {
                Stream::Operator(..) => !graph.producer(*input).shared,
                // A source may be read for itself as well.
                Stream::Source(..) => false,
            };
            binding.shared && inputs.any(is_unshared)
        });
        match reads_unshared {
            Some((operator, _)) => Err(GraphError::Unshared(operator.name.clone())),
            None => Ok(graph),
        }
    }

    /// What was asked for.
    pub const fn plan(&self) -> &QueryPlan {
        &self.plan
    }

    /// Where the sources are read, in the plan's order.
    pub fn sources(&self) -> &[Binding] {
        &self.sources
    }

    /// Where the operators run, in the plan's order.
    pub fn operators(&self) -> &[Binding] {
        &self.operators
    }

    /// Where the sinks are, in the plan's order.
    pub fn sinks(&self) -> &[Binding] {
        &self.sinks
    }

    /// Who numbers the records of each source, in the plan's order.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Where a stream of the plan is produced.
    ///
    /// # Panics
    /// When the stream is not of the plan.
    pub fn producer(&self, stream: Stream) -> Binding {
        match stream {
            Stream::Source(index, _) => self.sources[index],
            Stream::Operator(index, _) => self.operators[index],
        }
    }

    /// Where a reader of the plan runs.
    ///
    /// # Panics
    /// When the reader is not of the plan.
    pub fn reader(&self, reader: Reader) -> Binding {
        match reader {
            Reader::Operator(index, _) => self.operators[index],
            Reader::Sink(index) => self.sinks[index],
        }
    }

    /// The hosts that take part, each once, in order.
    pub fn hosts(&self) -> BTreeSet<NodeId> {
        let bindings = self
            .sources
            .iter()
            .chain(&self.operators)
            .chain(&self.sinks);
        bindings.map(|binding| binding.host).collect()
    }
}

impl<Context> bincode::Decode<Context> for ComponentGraph {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Self::new(
            QueryPlan::decode(decoder)?,
            Vec::decode(decoder)?,
            Vec::decode(decoder)?,
            Vec::decode(decoder)?,
            Vec::decode(decoder)?,
        )
        .map_err(|error| bincode::error::DecodeError::OtherString(error.to_string()))
    }
}
bincode::impl_borrow_decode!(ComponentGraph);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SourceName;
    use crate::plan::{Arguments, Builder};
    use crate::{DataType, Field, Qos, Schema};

    fn graph(shared: [bool; 3]) -> Result<ComponentGraph, GraphError> {
        let field = Field::new("a", DataType::Int64);
        let schema = Schema::new(vec![field]).unwrap();
        let ports = || vec![("out".to_owned(), schema.clone())];
        let published = SourceName::Published {
            publisher: NodeId([1; 32]),
            name: "flows".to_owned(),
        };
        let mut plan = Builder::new("test", Qos::default()).unwrap();
        plan.source("flows", published, ports()).unwrap();
        for (place, name) in ["first", "second"].into_iter().enumerate() {
            let input = match place {
                0 => Stream::Source(0, 0),
                place => Stream::Operator(place - 1, 0),
            };
            plan.operator(name, "filter", Arguments::new(), &[input], ports())
                .unwrap();
        }
        plan.sink("out", Stream::Operator(1, 0)).unwrap();
        let [source, first, second] = shared.map(|shared| Binding {
            host: NodeId([2; 32]),
            shared,
        });
        ComponentGraph::new(
            plan.build().unwrap(),
            vec![Origin(1)],
            vec![source],
            vec![first, second],
            vec![Binding::new(NodeId([3; 32]))],
        )
    }

    #[test]
    fn what_runs_already_reads_what_runs_already() {
        for shared in [
            [false; 3],
            [true, false, false],
            [true, true, false],
            [false, true, true],
            [true; 3],
        ] {
            assert!(graph(shared).is_ok(), "{shared:?}");
        }
        let unshared = |name: &str| Err(GraphError::Unshared(name.to_owned()));
        assert_eq!(graph([true, false, true]), unshared("second"));
    }
}
