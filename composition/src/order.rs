//! What is to be composed.

use std::collections::BTreeMap;

use model::{ApplicationId, Demand, HostSummary, NodeId, Origin, QueryPlan};

/// A request for an application, complete: everything that is known before anybody is asked.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Order {
    /// Whose application it is and what it is called.
    pub application: ApplicationId,
    /// What is to be computed, and the target.
    pub plan: QueryPlan,
    /// Who numbers the records of each source, in the plan's order.
    pub origins: Vec<Origin>,
    /// Where each source is read, in the plan's order.
    pub sources: Vec<NodeId>,
    /// The rate and row size of what each source yields; cost and selectivity do not count.
    pub source_demands: Vec<Demand>,
    /// What drives each operator and what it costs, in the plan's order.
    pub demands: Vec<Demand>,
    /// Where each operator may go, in the plan's order.
    pub places: Vec<Place>,
    /// Where each sink is to be, in the plan's order.
    pub sinks: Vec<NodeId>,
    /// Whether no two operators may share a host as long as there are enough.
    pub spread: bool,
    /// Whether to say what would be composed, and reserve nothing.
    pub is_trial: bool,
}

/// Where an operator may go.
#[derive(Debug, Clone, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub enum Place {
    /// Anywhere.
    #[default]
    Any,
    /// To this host.
    Node(NodeId),
    /// To hosts with all of these labels.
    Labels(BTreeMap<String, String>),
}

impl Place {
    /// Whether an operator may go to a host.
    pub fn admits(&self, host: &HostSummary) -> bool {
        match self {
            Self::Any => true,
            Self::Node(node) => host.node == *node,
            Self::Labels(labels) => labels
                .iter()
                .all(|(name, value)| host.labels.get(name) == Some(value)),
        }
    }
}
