//! Operators that go to other hosts, asked or not: each host does its part at the word that production's hosts do it at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use composition::MigrationId;
use model::plan::Stream;
use model::{Binding, ComponentGraph, CompositionId};

use super::age::laxities;
use super::{Component, Facts, Fluid, Hosts, Part, Running};

/// What came of a graph that a host was never ready for.
#[derive(Debug)]
pub(in crate::simulator) struct Bound {
    /// What of the graph is there from now on, and was not.
    pub(in crate::simulator) made: Vec<String>,
    /// The parts that are gone.
    pub(in crate::simulator) gone: Vec<(usize, CompositionId)>,
}

impl Fluid {
    /// Makes ready for a graph of which one operator goes elsewhere: where it comes here, it runs beside the one that it follows.
    ///
    /// # Errors
    /// When what it follows does not run; nothing has changed then.
    pub(in crate::simulator) fn prepare(
        &mut self,
        host: usize,
        id: MigrationId,
        graph: &Arc<ComponentGraph>,
        (operator, from): (usize, usize),
        hosts: &Hosts,
    ) -> Result<(), String> {
        let composition = id.composition;
        let binding = graph.operators()[operator];
        if hosts.get_index_of(&binding.host) == Some(host) {
            let name = graph.plan().stream_name(Stream::Operator(operator, 0));
            let made_of = graph.made_of(operator);
            if !self.running.contains_key(&composition) {
                return Err("nothing of it runs any more".to_owned());
            }
            if binding.shared {
                let found = self.provider(host, name, (composition, &made_of));
                found.ok_or("what it is to follow does not run here")?;
            } else {
                if !self.runs(from, (composition, operator)) {
                    return Err("its state is not to be had".to_owned());
                }
                self.add_operator(host, (composition, operator), graph);
            }
            let part = self.parts.entry((host, composition));
            let part = part.or_insert_with(|| Part::new(Arc::clone(graph)));
            if !binding.shared {
                part.coming.insert(operator);
            }
            if let Some(running) = self.running.get_mut(&composition) {
                running.hosts.insert(host);
            }
            self.touch(host);
        }
        self.prepared.insert((host, id), operator);
        Ok(())
    }

    /// The graph holds on a host that is ready for it. Gives what is gone then; nothing where it was not ready.
    pub(in crate::simulator) fn switch(
        &mut self,
        host: usize,
        id: MigrationId,
        graph: &Arc<ComponentGraph>,
        hosts: &Hosts,
    ) -> Option<Vec<(usize, CompositionId)>> {
        let operator = self.prepared.remove(&(host, id))?;
        let composition = id.composition;
        if let Some(running) = self.running.get_mut(&composition)
            && running.generation < id.generation
        {
            running.generation = id.generation;
            running.graph = Arc::clone(graph);
            running.laxities = laxities(graph, &running.facts, hosts, &*self.topology);
        }
        let Some(part) = self.parts.get_mut(&(host, composition)) else {
            return Some(Vec::new());
        };
        let binding = graph.operators()[operator];
        if hosts.get_index_of(&binding.host) == Some(host) {
            part.coming.remove(&operator);
            // One that was left here for others is what came back.
            part.left.remove(&operator);
            let list = match binding.shared {
                true => &mut part.shared,
                false => &mut part.operators,
            };
            list.insert(operator);
        }
        Some(self.bind(host, composition, graph, hosts))
    }

    /// A graph holds that the host was never ready for: what it binds there and is not there is made.
    pub(in crate::simulator) fn adopt(
        &mut self,
        host: usize,
        id: CompositionId,
        graph: &Arc<ComponentGraph>,
        facts: &Arc<Facts>,
        hosts: &Hosts,
    ) -> Bound {
        let laxities = laxities(graph, facts, hosts, &*self.topology);
        let running = self.running.entry(id).or_insert_with(|| Running {
            graph: Arc::clone(graph),
            generation: 0,
            facts: Arc::clone(facts),
            hosts: BTreeSet::new(),
            laxities: Vec::new(),
            readers: BTreeMap::new(),
        });
        running.graph = Arc::clone(graph);
        running.laxities = laxities;
        running.hosts.insert(host);
        let part = self.parts.entry((host, id));
        part.or_insert_with(|| Part::new(Arc::clone(graph)));
        let made = self.make(host, id, graph, hosts);
        let gone = self.bind(host, id, graph, hosts);
        Bound { made, gone }
    }

    /// Whether a graph shares an operator that is to run on a host and does not.
    pub(in crate::simulator) fn shares_what_lacks(
        &self,
        host: usize,
        id: CompositionId,
        graph: &ComponentGraph,
        hosts: &Hosts,
    ) -> bool {
        let plan = graph.plan();
        let mut bound = graph.operators().iter().enumerate();
        bound.any(|(index, binding)| {
            let name = plan.stream_name(Stream::Operator(index, 0));
            binding.shared
                && hosts.get_index_of(&binding.host) == Some(host)
                && self
                    .provider_still(host, name, (id, &graph.made_of(index)))
                    .is_none()
        })
    }

    /// Makes what a graph binds to a host and is not there. Gives the names of that.
    fn make(
        &mut self,
        host: usize,
        id: CompositionId,
        graph: &Arc<ComponentGraph>,
        hosts: &Hosts,
    ) -> Vec<String> {
        let plan = graph.plan();
        let is_here = |binding: &Binding| hosts.get_index_of(&binding.host) == Some(host);
        let mut made: Vec<String> = Vec::new();
        let bound = graph.operators().iter().enumerate();
        for (index, binding) in bound.filter(|(_, it)| is_here(it)) {
            let name = plan.stream_name(Stream::Operator(index, 0));
            let made_of = graph.made_of(index);
            // What others had here and is gone is made for this one.
            let is_shared =
                binding.shared && self.provider_still(host, name, (id, &made_of)).is_some();
            let Some(part) = self.parts.get_mut(&(host, id)) else {
                continue;
            };
            if is_shared {
                part.shared.insert(index);
                continue;
            }
            part.shared.remove(&index);
            let was_left = part.left.remove(&index);
            if part.operators.insert(index) && !was_left {
                made.push(plan.operators()[index].name.clone());
                self.add_operator(host, (id, index), graph);
            }
        }
        let Some(part) = self.parts.get_mut(&(host, id)) else {
            return made;
        };
        let mut sources = graph.sources().iter().zip(plan.sources());
        let mut sinks = graph.sinks().iter().zip(plan.sinks());
        let source = sources.find(|(it, _)| is_here(it) && !it.shared);
        let sink = sinks.find(|(it, _)| is_here(it));
        if !std::mem::replace(&mut part.has_sources, source.is_some()) {
            made.extend(source.map(|(_, source)| source.name.clone()));
        }
        if !std::mem::replace(&mut part.has_sinks, sink.is_some()) {
            made.extend(sink.map(|(_, sink)| sink.name.clone()));
        }
        made
    }

    /// A host has nothing of a graph but what that binds to it, and what others read there still. Gives the parts that are gone.
    fn bind(
        &mut self,
        host: usize,
        id: CompositionId,
        graph: &Arc<ComponentGraph>,
        hosts: &Hosts,
    ) -> Vec<(usize, CompositionId)> {
        let Some(part) = self.parts.get_mut(&(host, id)) else {
            return Vec::new();
        };
        part.graph = Arc::clone(graph);
        part.is_started = true;
        for (index, binding) in graph.operators().iter().enumerate() {
            if hosts.get_index_of(&binding.host) == Some(host) {
                continue;
            }
            part.shared.remove(&index);
            if part.operators.remove(&index) {
                part.left.insert(index);
            }
        }
        // What stays is made of something else by now.
        for index in &part.operators {
            let name = graph.plan().stream_name(Stream::Operator(*index, 0));
            let providers = self.providers.entry((host, name)).or_default();
            if let Some(made_of) = providers.get_mut(&(id, *index)) {
                *made_of = graph.made_of(*index);
            }
        }
        let read = std::mem::take(&mut part.reads);
        self.forget_reading(host, id, &read);
        self.note_reading(host, id, hosts);
        self.rank_shared(id);
        self.touch(host);
        self.changed.insert(id);
        // What was read of others and is not any more goes where they have ended.
        let open = read.into_iter().map(|it| it.0).collect();
        let mut gone = self.settle(open, hosts, false);
        gone.extend(self.end_left(hosts));
        if self.is_empty(host, id, hosts) {
            gone.extend(self.retire(host, id, hosts));
            gone.push((host, id));
        }
        gone
    }

    /// The graph does not come about: what was made for it goes.
    pub(in crate::simulator) fn abandon(&mut self, host: usize, id: MigrationId) {
        // Hosts measure once a second what runs, and here where something may be other than they think.
        self.changed.insert(id.composition);
        let Some(operator) = self.prepared.remove(&(host, id)) else {
            return;
        };
        let Some(part) = self.parts.get_mut(&(host, id.composition)) else {
            return;
        };
        // What was left here for others is there for them still.
        if part.coming.remove(&operator) && !part.left.contains(&operator) {
            let graph = Arc::clone(&part.graph);
            self.remove_operator(host, (id.composition, operator), &graph);
            self.touch(host);
        }
    }

    /// Ends what runs elsewhere by now and nobody reads here any more. Gives the parts that are gone with it.
    pub(super) fn end_left(&mut self, hosts: &Hosts) -> Vec<(usize, CompositionId)> {
        let parts = self.parts.iter();
        let left = parts.flat_map(|((host, id), part)| {
            let left = part.left.iter();
            left.map(|operator| (*host, (*id, *operator)))
        });
        let ended: Vec<(usize, Component)> = left
            .filter(|(host, component)| !self.is_read_at(*host, *component, hosts))
            .collect();
        let mut gone = Vec::new();
        // What was stopped may have waited for them alone.
        let theirs = ended.iter().map(|(_, (id, _))| *id).collect();
        for (host, (id, operator)) in ended {
            let Some(part) = self.parts.get_mut(&(host, id)) else {
                continue;
            };
            part.left.remove(&operator);
            if part.coming.contains(&operator) {
                continue;
            }
            let graph = Arc::clone(&part.graph);
            self.remove_operator(host, (id, operator), &graph);
            self.touch(host);
            if self.is_empty(host, id, hosts) {
                gone.extend(self.retire(host, id, hosts));
                gone.push((host, id));
            }
        }
        gone.extend(self.settle(theirs, hosts, false));
        gone
    }

    /// Whether others read a component that a host keeps for them.
    fn is_read_at(&self, host: usize, component: Component, hosts: &Hosts) -> bool {
        let Some(running) = self.running.get(&component.0) else {
            return false;
        };
        let plan = running.graph.plan();
        let name = plan.stream_name(Stream::Operator(component.1, 0));
        let mut readers = running.readers.get(&component.1).into_iter().flatten();
        readers.any(|(reader, at)| {
            let part = self.parts.get(&(*at, *reader));
            part.is_some_and(|part| {
                let bindings = part.graph.operators().iter().enumerate();
                let mut here = bindings
                    .filter(|(_, it)| it.shared && hosts.get_index_of(&it.host) == Some(host));
                here.any(|(index, _)| {
                    part.graph.plan().stream_name(Stream::Operator(index, 0)) == name
                })
            })
        })
    }

    /// Whether nothing of a composition is left on a host that its graph does not bind anything to.
    fn is_empty(&self, host: usize, id: CompositionId, hosts: &Hosts) -> bool {
        let part = self.parts.get(&(host, id));
        part.is_some_and(|part| {
            let bound = part.graph.hosts();
            let mut bound = bound.iter().filter_map(|it| hosts.get_index_of(it));
            part.operators.is_empty()
                && part.left.is_empty()
                && part.coming.is_empty()
                && !bound.any(|it| it == host)
        })
    }

    /// On which hosts an operator runs for its own application; not where it is kept for others alone.
    pub(in crate::simulator) fn places(&self, component: Component) -> Vec<usize> {
        let (id, operator) = component;
        let hosts = self.hosts_of(id).into_iter();
        let runs = hosts.filter(|host| {
            let part = self.parts.get(&(*host, id));
            part.is_some_and(|part| !part.left.contains(&operator)) && self.runs(*host, component)
        });
        runs.collect()
    }

    /// What hosts are ready for and was neither switched nor abandoned.
    pub(in crate::simulator) fn prepared(&self) -> impl Iterator<Item = &(usize, MigrationId)> {
        self.prepared.keys()
    }
}
