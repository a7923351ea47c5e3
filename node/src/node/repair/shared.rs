//! What an application shares, where a host of that is gone.
//!
//! Whose it is makes it again, as all that is its own, and those that share it are not asked. So they follow: the host that runs the last shared
//! operator has the graph of both, and says in the record of each who shares it where all that lies before runs by now. Where nobody has it for its own
//! any more, since whose it was has ended, nobody would make it again: then it is the reader's own from there on, down to what was its own before.

use std::collections::BTreeSet;

use model::plan::Stream;
use model::{Binding, ComponentGraph, CompositionId, NodeId};

use super::super::Node;

/// What of a graph is shared and on hosts that are gone, or made of that.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// What runs elsewhere by now, and where: for whose it is.
    pub(super) moved: Vec<(usize, NodeId)>,
    /// What nobody makes again.
    pub(super) lost: BTreeSet<usize>,
    /// Whether whose it is has yet to say where it goes on.
    pub(super) is_awaited: bool,
}

/// Whether an operator is read for others alone: what is shared is made of it.
pub(super) fn is_of_others(graph: &ComponentGraph, operator: usize) -> bool {
    let readers = graph.plan().readers_of(operator);
    graph.operators()[operator].shared
        && readers
            .into_iter()
            .all(|reader| graph.reader(reader).shared)
}

/// The operators that one reads.
fn inputs(graph: &ComponentGraph, operator: usize) -> impl Iterator<Item = usize> {
    let inputs = graph.plan().operators()[operator].inputs.iter();
    inputs.filter_map(|input| match *input {
        Stream::Operator(before, _) => Some(before),
        Stream::Source(..) => None,
    })
}

/// An operator and all that it is made of.
fn chain(graph: &ComponentGraph, operator: usize) -> BTreeSet<usize> {
    let mut chain = BTreeSet::new();
    let mut next = vec![operator];
    while let Some(index) = next.pop() {
        if chain.insert(index) {
            next.extend(inputs(graph, index));
        }
    }
    chain
}

impl Node {
    /// Where what a composition shares here runs by now, as far as something that it is made of is gone.
    pub(super) fn followed(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        gone: &BTreeSet<NodeId>,
    ) -> Followed {
        let mut followed = Followed::default();
        let here = Binding::shared(self.id());
        let last = (0..graph.operators().len())
            .filter(|index| graph.operators()[*index] == here && !is_of_others(graph, *index));
        for operator in last {
            let chain = chain(graph, operator);
            if !chain
                .iter()
                .any(|it| gone.contains(&graph.operators()[*it].host))
            {
                continue;
            }
            match self.lender(id, graph, operator) {
                Some(lender) => {
                    let places = chain.iter().map(|it| (*it, place(graph, *it, lender)));
                    let places: Option<Vec<(usize, NodeId)>> =
                        places.map(|(index, at)| Some((index, at?))).collect();
                    let places =
                        places.filter(|it| !it.iter().any(|(_, at)| self.view.is_absent(*at)));
                    followed.is_awaited |= places.is_none();
                    followed.moved.extend(places.into_iter().flatten());
                }
                None => followed.lose(graph, &chain, gone),
            }
        }
        let is_new = |(index, at): &(usize, NodeId)| graph.operators()[*index].host != *at;
        followed.moved.retain(is_new);
        followed
    }

    /// The graph of another application that runs and has an operator for its own which a composition shares here.
    fn lender(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        operator: usize,
    ) -> Option<&ComponentGraph> {
        let name = graph.plan().stream_name(Stream::Operator(operator, 0));
        let running = self
            .parts
            .iter()
            .filter(|(other, part)| **other != id && part.is_running());
        let own = running.filter_map(|(_, part)| {
            let mut named = part.graph.plan().streams_named(name);
            let binding = named.find_map(|stream| match stream {
                Stream::Operator(index, _) => Some(part.graph.operators()[index]),
                Stream::Source(..) => None,
            })?;
            (!binding.shared).then_some((binding.host != self.id(), &part.graph))
        });
        // One that has gone elsewhere is still here for those who share it.
        own.min_by_key(|(is_elsewhere, _)| *is_elsewhere)
            .map(|(_, graph)| graph)
    }
}

impl Followed {
    /// What is made of something that is gone goes with it, down to what is no longer shared.
    fn lose(
        &mut self,
        graph: &ComponentGraph,
        operators: &BTreeSet<usize>,
        gone: &BTreeSet<NodeId>,
    ) {
        // In order of the plan, in which each operator comes after what it reads.
        for operator in operators {
            let is_made_of_lost = inputs(graph, *operator).any(|it| self.lost.contains(&it));
            if is_made_of_lost || gone.contains(&graph.operators()[*operator].host) {
                self.lost.insert(*operator);
            }
        }
    }
}

/// Where an operator of one graph runs in another.
fn place(graph: &ComponentGraph, operator: usize, other: &ComponentGraph) -> Option<NodeId> {
    let name = graph.plan().stream_name(Stream::Operator(operator, 0));
    let mut named = other.plan().streams_named(name);
    named.find_map(|stream| match stream {
        Stream::Operator(index, _) => Some(other.operators()[index].host),
        Stream::Source(..) => None,
    })
}
