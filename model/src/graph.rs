//! Component graphs: a query plan with every part bound to a component on a host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::NodeId;
use crate::name::StreamName;
use crate::plan::{QueryPlan, Reader, Stream};
use crate::position::Origin;

/// Where one part of a plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Binding {
    /// The host.
    pub host: NodeId,
    /// Whether it ran already, for somebody else: an operator, or a source that lies before such a one. What lies
    /// before a shared operator is bound to where it really runs, and shared too, unless it is made once more for
    /// somebody else.
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
    /// What runs already reads what runs already: an operator that only shared ones read is shared too, or nobody
    /// would ever read it.
    #[error("{0:?} is to be made, and read by nobody but what runs already")]
    Unshared(String),
}

/// A composed application: the plan and where each source, operator and sink of it runs.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub struct ComponentGraph {
    /// Shared by all copies of the graph: a host has several, and none changes it.
    plan: Arc<QueryPlan>,
    /// Who numbers the records of each source.
    origins: Vec<Origin>,
    sources: Vec<Binding>,
    operators: Vec<Binding>,
    sinks: Vec<Binding>,
    /// The hosts that go on with each operator where its own is gone, the first of them first.
    backups: Vec<Vec<NodeId>>,
}

/// The most backups of an operator. Relation: as many as may be asked for, [`crate::qos::REPLICAS_MAX`], and one that is leaving.
pub(crate) const BACKUPS_MAX: usize = 8;

impl ComponentGraph {
    /// The plan with its parts bound, in the plan's order.
    ///
    /// # Errors
    /// When the number of bindings is not that of the parts, or an operator is to be made that only shared ones read.
    pub fn new(
        plan: impl Into<Arc<QueryPlan>>,
        origins: Vec<Origin>,
        sources: Vec<Binding>,
        operators: Vec<Binding>,
        sinks: Vec<Binding>,
    ) -> Result<Self, GraphError> {
        let plan = plan.into();
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
            backups: vec![Vec::new(); operators.len()],
            plan,
            origins,
            sources,
            operators,
            sinks,
        };
        match graph.read_by_nobody() {
            Some(part) => Err(GraphError::Unshared(part.to_owned())),
            None => Ok(graph),
        }
    }

    /// An operator of its own that nothing of its own reads. Sources may be read for others alone.
    fn read_by_nobody(&self) -> Option<&str> {
        let operators = || self.plan.operators().iter().zip(&self.operators);
        let own = operators().filter(|(_, binding)| !binding.shared);
        let inputs = own.flat_map(|(operator, _)| &operator.inputs);
        let inputs = inputs.chain(self.plan.sinks().iter().map(|sink| &sink.input));
        let read: BTreeSet<usize> = inputs
            .filter_map(|input| match input {
                Stream::Operator(index, _) => Some(*index),
                Stream::Source(..) => None,
            })
            .collect();
        let mut unread = operators()
            .enumerate()
            .filter(|(index, (_, binding))| !binding.shared && !read.contains(index));
        unread
            .next()
            .map(|(_, (operator, _))| operator.name.as_str())
    }

    /// All that an operator is made of, itself included: the first stream of each operator, and its host. Two components that yield the same
    /// stream are the same where this is.
    ///
    /// # Panics
    /// When the plan has no such operator.
    pub fn made_of(&self, operator: usize) -> BTreeMap<StreamName, NodeId> {
        let mut made_of = BTreeMap::new();
        let mut next = vec![operator];
        while let Some(index) = next.pop() {
            let name = self.plan.stream_name(Stream::Operator(index, 0));
            if made_of.insert(name, self.operators[index].host).is_none() {
                let inputs = self.plan.operators()[index].inputs.iter();
                next.extend(inputs.filter_map(|input| match *input {
                    Stream::Operator(before, _) => Some(before),
                    Stream::Source(..) => None,
                }));
            }
        }
        made_of
    }

    /// The same plan with one operator bound elsewhere.
    ///
    /// # Errors
    /// When nobody would read what is to be made; see [`ComponentGraph::new`].
    ///
    /// # Panics
    /// When the plan has no such operator.
    pub fn rebound(&self, operator: usize, binding: Binding) -> Result<Self, GraphError> {
        let mut graph = self.clone();
        graph.operators[operator] = binding;
        // Who runs it is no backup of it.
        graph.backups[operator].retain(|host| *host != binding.host);
        match graph.read_by_nobody() {
            Some(part) => Err(GraphError::Unshared(part.to_owned())),
            None => Ok(graph),
        }
    }

    /// The same plan with these sinks elsewhere.
    ///
    /// # Panics
    /// When the plan has no such sink.
    #[must_use]
    pub fn with_sink(mut self, sink: usize, host: NodeId) -> Self {
        self.sinks[sink] = Binding::new(host);
        self
    }

    /// The same graph with other backups of an operator: each host once, and not the one where it runs.
    ///
    /// # Panics
    /// When the plan has no such operator.
    #[must_use]
    pub fn with_backups(mut self, operator: usize, mut backups: Vec<NodeId>) -> Self {
        let own = self.operators[operator].host;
        let mut seen = BTreeSet::from([own]);
        backups.retain(|host| seen.insert(*host));
        backups.truncate(BACKUPS_MAX);
        self.backups[operator] = backups;
        self
    }

    /// Whether everything of the same plan runs at the same place in another graph, whoever are the backups.
    pub fn runs_as(&self, other: &Self) -> bool {
        let Self {
            plan,
            origins,
            sources,
            operators,
            sinks,
            backups: _,
        } = self;
        (plan, origins) == (&other.plan, &other.origins)
            && (sources, operators, sinks) == (&other.sources, &other.operators, &other.sinks)
    }

    /// The hosts that go on with each operator where its own is gone, in the plan's order; the first of them first.
    pub fn backups(&self) -> &[Vec<NodeId>] {
        &self.backups
    }

    /// What was asked for.
    pub fn plan(&self) -> &QueryPlan {
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

    /// The hosts that take part, each once, in order: those that run something of it, and those that hold backups.
    pub fn hosts(&self) -> BTreeSet<NodeId> {
        let mut hosts = self.running_hosts();
        hosts.extend(self.backups.iter().flatten());
        hosts
    }

    /// The hosts that run something of it, each once, in order.
    pub fn running_hosts(&self) -> BTreeSet<NodeId> {
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
        let mut graph = Self::new(
            QueryPlan::decode(decoder)?,
            Vec::decode(decoder)?,
            Vec::decode(decoder)?,
            Vec::decode(decoder)?,
            Vec::decode(decoder)?,
        )
        .map_err(|error| bincode::error::DecodeError::OtherString(error.to_string()))?;
        let backups: Vec<Vec<NodeId>> = Vec::decode(decoder)?;
        if backups.len() != graph.operators.len() {
            return Err(bincode::error::DecodeError::Other(
                "backups of other operators than there are",
            ));
        }
        for (operator, backups) in backups.into_iter().enumerate() {
            graph = graph.with_backups(operator, backups);
        }
        Ok(graph)
    }
}
bincode::impl_borrow_decode!(ComponentGraph);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SourceName;
    use crate::plan::{Arguments, Builder};
    use crate::{DataType, Field, Qos, Schema};

    /// Two operators after each other, a sink behind each of them, or behind the second only.
    fn graph(shared: [bool; 3], sinks: &[usize]) -> Result<ComponentGraph, GraphError> {
        let field = Field::new("a", DataType::Int64);
        let schema = Schema::new(vec![field]).unwrap();
        let ports = || vec![("out".to_owned(), schema.clone())];
        let inline = SourceName::Inline {
            owner: NodeId([1; 32]),
            application: "test".to_owned(),
            source: "flows".to_owned(),
            host: NodeId([1; 32]),
        };
        let mut plan = Builder::new("test", Qos::default()).unwrap();
        plan.source("flows", inline, ports()).unwrap();
        for (place, name) in ["first", "second"].into_iter().enumerate() {
            let input = match place {
                0 => Stream::Source(0, 0),
                place => Stream::Operator(place - 1, 0),
            };
            plan.operator(name, "filter", Arguments::new(), &[input], ports())
                .unwrap();
        }
        for sink in sinks {
            plan.sink(&format!("out{sink}"), Stream::Operator(*sink, 0))
                .unwrap();
        }
        let [source, first, second] = shared.map(|shared| Binding {
            host: NodeId([2; 32]),
            shared,
        });
        ComponentGraph::new(
            plan.build().unwrap(),
            vec![Origin(1)],
            vec![source],
            vec![first, second],
            vec![Binding::new(NodeId([3; 32])); sinks.len()],
        )
    }

    #[test]
    fn what_runs_already_reads_nothing_that_is_made_for_it() {
        for shared in [
            [false; 3],
            [true, false, false],
            [true, true, false],
            [false, true, true],
            [true; 3],
        ] {
            assert!(graph(shared, &[1]).is_ok(), "{shared:?}");
        }
        let unshared = |name: &str| Err(GraphError::Unshared(name.to_owned()));
        assert_eq!(graph([true, false, true], &[1]), unshared("first"));
        // It is made for somebody who reads it.
        assert!(graph([true, false, true], &[0, 1]).is_ok());
    }
}
