//! Operators that go to other hosts, as nodes want it done.

use model::NodeId;

use composition::{MigrationId, Taken};

use super::effects::DEPLOYED_AFTER;
use super::{Arc, ComponentGraph, Input, World};

impl World {
    /// A host makes ready for another graph.
    pub(super) fn prepare(
        &mut self,
        host: usize,
        cause: u32,
        id: MigrationId,
        graph: ComponentGraph,
        (operator, from): (u16, NodeId),
    ) {
        let index = usize::from(operator);
        let binding = graph.operators()[index];
        let mut after = DEPLOYED_AFTER;
        let made = match self.host_of(from) {
            _ if self.discrete.is_some() => {
                Err("engines of this simulation move nothing".to_owned())
            }
            None => Err("its state is not to be had".to_owned()),
            Some(from) => {
                let is_taken = binding.host == self.node(host) && !binding.shared;
                let is_cut = !self.hosts[from].is_up || self.network.cuts(from, host);
                if is_taken && from != host {
                    // Its state is asked for and comes; nothing is known of how large it is.
                    after += self.round_trip(host, from);
                }
                match is_taken && is_cut {
                    true => Err("its state is not to be had".to_owned()),
                    false => {
                        let places = (index, from);
                        let graph = Arc::new(graph);
                        self.fluid.prepare(host, id, &graph, places, &self.numbers)
                    }
                }
            }
        };
        self.follow_loads();
        let input = match made {
            Ok(()) => Input::Prepared {
                id,
                taken: Taken::default(),
            },
            Err(reason) => Input::PrepareFailed { id, reason },
        };
        self.later(host, after, cause, input);
    }

    /// The graph that a host is ready for holds there.
    pub(super) fn switch(&mut self, host: usize, id: MigrationId, graph: ComponentGraph) {
        // Hosts of one composition share one graph.
        let known = self.graphs.get(&id.composition);
        let known = known.filter(|known| ***known == graph);
        let graph = known.map_or_else(|| Arc::new(graph), Arc::clone);
        let Some(gone) = self.fluid.switch(host, id, &graph, &self.numbers) else {
            let what = format!("{id:?} was never ready");
            return self.checker.report(self.now, Some(host), what);
        };
        let generation = self.moved.entry(id.composition).or_default();
        if *generation < id.generation {
            *generation = id.generation;
            self.graphs.insert(id.composition, graph);
        }
        self.tell_retired(gone);
    }
}
