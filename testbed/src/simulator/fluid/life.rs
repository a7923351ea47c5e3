//! How what runs ends: dropped, released and kept as long as others read it, or gone with its host.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::plan::{Reader, Stream};
use model::{ComponentGraph, CompositionId, StreamName};

use super::age::readers;
use super::{Component, Fluid, Hosts, MadeOf};

impl Fluid {
    /// The sinks that are here of a composition pull.
    pub(in crate::simulator) fn start(&mut self, host: usize, id: CompositionId) {
        if let Some(part) = self.parts.get_mut(&(host, id)) {
            part.is_started = true;
            self.changed.insert(id);
            self.rank_shared(id);
        }
    }

    /// What a composition shares is as strict as it wants that from when its sinks pull, as in production.
    pub(super) fn rank_shared(&mut self, id: CompositionId) {
        for host in self.hosts_of(id) {
            let graph = Arc::clone(&self.parts[&(host, id)].graph);
            let shared: Vec<usize> = self.parts[&(host, id)].shared.iter().copied().collect();
            for index in shared {
                let name = graph.plan().stream_name(Stream::Operator(index, 0));
                let laxity = self.running[&id].laxities[index];
                if let Some(component) =
                    self.provider_still(host, name, (id, &graph.made_of(index)))
                {
                    self.machines[host].depend(component, id, laxity);
                    self.reorder(host);
                }
            }
        }
    }

    /// Drops all of a composition that is on a host. Gives what others had kept for it alone, which goes with it.
    pub(in crate::simulator) fn retire(
        &mut self,
        host: usize,
        id: CompositionId,
        hosts: &Hosts,
    ) -> Vec<(usize, CompositionId)> {
        let read = self.remove_part(host, id);
        let mut open: BTreeSet<CompositionId> = read.into_iter().map(|it| it.0).collect();
        open.insert(id);
        let mut gone = self.settle(open, hosts, false);
        gone.extend(self.end_left(hosts));
        gone
    }

    /// Ends the sinks of a composition on a host; the rest of it stays as long as somebody reads it. Gives what is gone then.
    pub(in crate::simulator) fn release(
        &mut self,
        host: usize,
        id: CompositionId,
        hosts: &Hosts,
    ) -> Vec<(usize, CompositionId)> {
        let Some(part) = self.parts.get_mut(&(host, id)) else {
            return Vec::new();
        };
        part.is_released = true;
        self.machines[host].forget(id);
        let mut gone = self.settle([id].into(), hosts, false);
        gone.extend(self.end_left(hosts));
        gone
    }

    /// Drops everything on a host that is down. Gives the compositions that lack it now.
    pub(in crate::simulator) fn crash(&mut self, host: usize) -> Vec<CompositionId> {
        self.prepared.retain(|(at, _), _| *at != host);
        let here: Vec<CompositionId> = self.parts_of(host).collect();
        let mut lacking: BTreeSet<CompositionId> = here.iter().copied().collect();
        for id in here {
            let read = self.remove_part(host, id);
            lacking.extend(read.into_iter().map(|it| it.0));
        }
        lacking.into_iter().collect()
    }

    /// Ends what nobody has read for too long in a composition, whether it was released or not. Gives what is gone.
    pub(in crate::simulator) fn lapse(
        &mut self,
        id: CompositionId,
        hosts: &Hosts,
    ) -> Vec<(usize, CompositionId)> {
        let mut gone = self.settle([id].into(), hosts, true);
        gone.extend(self.end_left(hosts));
        gone
    }

    /// Who runs a stream for itself on a host, for another composition.
    pub(super) fn provider(
        &self,
        host: usize,
        name: StreamName,
        (reader, made_of): (CompositionId, &MadeOf),
    ) -> Option<Component> {
        let providers = self.providers.get(&(host, name))?;
        let mut others = providers.iter().filter(|(it, _)| it.0 != reader);
        let found = others.find(|(_, its)| *its == made_of);
        found.map(|(component, _)| *component)
    }

    /// The same for who reads it already: what it is made of may have gone elsewhere since, which its reader need not know.
    pub(super) fn provider_still(
        &self,
        host: usize,
        name: StreamName,
        (reader, made_of): (CompositionId, &MadeOf),
    ) -> Option<Component> {
        self.provider(host, name, (reader, made_of)).or_else(|| {
            let mut providers = self.providers.get(&(host, name))?.keys();
            providers.find(|it| it.0 != reader).copied()
        })
    }

    /// Notes at those whose streams it shares that a part reads them.
    pub(super) fn note_reading(&mut self, host: usize, id: CompositionId, hosts: &Hosts) {
        let reads = self.shared_by(host, id, hosts);
        for component in &reads {
            if let Some(running) = self.running.get_mut(&component.0) {
                let readers = running.readers.entry(component.1).or_default();
                readers.insert((id, host));
            }
        }
        if let Some(part) = self.parts.get_mut(&(host, id)) {
            part.reads = reads;
        }
    }

    /// The components of others that a part on a host reads.
    fn shared_by(&self, host: usize, id: CompositionId, hosts: &Hosts) -> Vec<Component> {
        let Some(part) = self.parts.get(&(host, id)) else {
            return Vec::new();
        };
        let (graph, plan) = (&part.graph, part.graph.plan());
        let of_operators = part.operators.iter();
        let of_operators = of_operators.flat_map(|index| plan.operators()[*index].inputs.iter());
        let sinks = graph.sinks().iter().zip(plan.sinks());
        let of_sinks = sinks
            .filter(|(binding, _)| hosts.get_index_of(&binding.host) == Some(host))
            .map(|(_, sink)| &sink.input);
        let shared = of_operators.chain(of_sinks).filter_map(|input| {
            let Stream::Operator(index, _) = *input else {
                return None;
            };
            let binding = graph.operators()[index];
            let at = hosts.get_index_of(&binding.host)?;
            let name = plan.stream_name(Stream::Operator(index, 0));
            self.provider_still(at, name, (id, &graph.made_of(index)))
                .filter(|_| binding.shared)
        });
        shared.collect()
    }

    /// Removes what a host has of a composition. Gives the components of others that it read.
    pub(super) fn remove_part(&mut self, host: usize, id: CompositionId) -> Vec<Component> {
        // Who only feeds what goes elsewhere may be ready for it and run nothing.
        self.prepared
            .retain(|(at, migration), _| *at != host || migration.composition != id);
        let Some(part) = self.parts.remove(&(host, id)) else {
            return Vec::new();
        };
        for index in part.operators.iter().chain(&part.coming).chain(&part.left) {
            self.remove_operator(host, (id, *index), &part.graph);
        }
        self.forget_reading(host, id, &part.reads);
        self.machines[host].forget(id);
        if let Some(running) = self.running.get_mut(&id) {
            running.hosts.remove(&host);
            if running.hosts.is_empty() {
                self.running.remove(&id);
            }
        }
        self.touch(host);
        self.changed.insert(id);
        part.reads
    }

    /// A part reads these components of others no more.
    pub(super) fn forget_reading(&mut self, host: usize, id: CompositionId, reads: &[Component]) {
        for (other, index) in reads {
            let running = self.running.get_mut(other);
            if let Some(readers) = running.and_then(|it| it.readers.get_mut(index)) {
                readers.remove(&(id, host));
            }
        }
    }

    pub(super) fn remove_operator(
        &mut self,
        host: usize,
        component: Component,
        graph: &ComponentGraph,
    ) {
        self.machines[host].jobs.remove(&component);
        let name = graph.plan().stream_name(Stream::Operator(component.1, 0));
        if let Some(providers) = self.providers.get_mut(&(host, name)) {
            providers.remove(&component);
            if providers.is_empty() {
                self.providers.remove(&(host, name));
            }
        }
    }

    /// Ends, in these compositions, what was released and nobody reads, and what follows from it. `lapsing`: what was not
    /// released goes as well where nobody reads it.
    pub(super) fn settle(
        &mut self,
        mut open: BTreeSet<CompositionId>,
        hosts: &Hosts,
        lapsing: bool,
    ) -> Vec<(usize, CompositionId)> {
        let mut gone = Vec::new();
        while let Some(id) = open.pop_first() {
            for host in self.hosts_of(id) {
                // Each host goes by the graph that it has: where hosts could not reach each other these differ.
                let Some(part) = self.parts.get(&(host, id)) else {
                    continue;
                };
                if !part.is_released && !lapsing {
                    continue;
                }
                let graph = Arc::clone(&part.graph);
                let is_read = self.read(id, &graph, hosts);
                let Some(part) = self.parts.get_mut(&(host, id)) else {
                    continue;
                };
                let ending: Vec<usize> = part.operators.iter().copied().collect();
                let ending: Vec<usize> = ending.into_iter().filter(|it| !is_read[*it]).collect();
                for index in &ending {
                    part.operators.remove(index);
                }
                let is_source_read = part.has_sources && is_any_source_read(&graph, &is_read);
                let is_over = part.operators.is_empty()
                    && part.left.is_empty()
                    && !part.shared.iter().any(|index| is_read[*index])
                    && !is_source_read
                    && (part.is_released || !part.has_sinks);
                for index in &ending {
                    self.remove_operator(host, (id, *index), &graph);
                }
                if is_over {
                    open.extend(self.remove_part(host, id).into_iter().map(|it| it.0));
                    gone.push((host, id));
                } else if !ending.is_empty() {
                    self.touch(host);
                }
            }
        }
        gone
    }

    /// Which operators of a graph somebody reads, by their places in the plan.
    fn read(&self, id: CompositionId, graph: &ComponentGraph, hosts: &Hosts) -> Vec<bool> {
        let plan = graph.plan();
        let shared = self.running.get(&id).map(|running| &running.readers);
        let place = |index: usize| hosts.get_index_of(&graph.operators()[index].host);
        let mut is_read = vec![false; plan.operators().len()];
        for index in (0..plan.operators().len()).rev() {
            let others = shared.and_then(|readers| readers.get(&index));
            let in_plan = readers(plan, index)
                .into_iter()
                .any(|(reader, _)| match reader {
                    Reader::Operator(other, _) => {
                        is_read[other] && place(other).is_some_and(|it| self.runs(it, (id, other)))
                    }
                    Reader::Sink(sink) => {
                        let at = hosts.get_index_of(&graph.sinks()[sink].host);
                        at.and_then(|at| self.parts.get(&(at, id)))
                            .is_some_and(|part| !part.is_released)
                    }
                });
            is_read[index] = in_plan || others.is_some_and(|others| !others.is_empty());
        }
        is_read
    }

    pub(super) fn runs(&self, host: usize, component: Component) -> bool {
        self.machines[host].jobs.contains_key(&component)
    }
}

fn is_any_source_read(graph: &ComponentGraph, is_read: &[bool]) -> bool {
    let operators = graph.plan().operators().iter().zip(is_read);
    operators
        .filter(|(_, is_read)| **is_read)
        .any(|(operator, _)| {
            let mut inputs = operator.inputs.iter();
            inputs.any(|input| matches!(input, Stream::Source(..)))
        })
}
