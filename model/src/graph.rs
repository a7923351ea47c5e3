//! Component graphs: a query plan with every part bound to a component on a host.

use crate::id::{ComponentId, NodeId};
use crate::plan::QueryPlan;

/// Where one part of a plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Binding {
    /// The host.
    pub host: NodeId,
    /// The component there.
    pub component: ComponentId,
    /// Whether it ran already, for somebody else.
    pub shared: bool,
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
}

/// A composed application: the plan and where each source, operator and sink of it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentGraph {
    plan: QueryPlan,
    sources: Vec<Binding>,
    operators: Vec<Binding>,
    sinks: Vec<Binding>,
}

impl ComponentGraph {
    /// The plan with its parts bound, in the plan's order.
    ///
    /// # Errors
    /// When the number of bindings is not that of the parts.
    pub fn new(
        plan: QueryPlan,
        sources: Vec<Binding>,
        operators: Vec<Binding>,
        sinks: Vec<Binding>,
    ) -> Result<Self, GraphError> {
        let counts = [
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
        Ok(Self {
            plan,
            sources,
            operators,
            sinks,
        })
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

    /// The hosts that take part, each once, in order.
    pub fn hosts(&self) -> impl Iterator<Item = NodeId> {
        let bindings = self
            .sources
            .iter()
            .chain(&self.operators)
            .chain(&self.sinks);
        let hosts: std::collections::BTreeSet<NodeId> =
            bindings.map(|binding| binding.host).collect();
        hosts.into_iter()
    }
}
