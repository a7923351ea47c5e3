//! Ages: how old results are when they leave, truly.

use std::time::Duration;

use composition::queue;
use model::plan::{QueryPlan, Reader, Stream};
use model::{ComponentGraph, CompositionId, NodeId, convert};

use super::{Facts, Fluid, Hosts};
use crate::simulator::outcome::Delays;
use crate::topology::Topology;

/// How deep chains of shared components are followed: each is of another composition. Source: guess; sharing of sharing is of the
/// first, as a rule.
const DEPTH_MAX: usize = 64;

impl Fluid {
    /// Whether all of a composition runs by a graph that its sinks read, here or for others.
    pub(in crate::simulator) fn yields(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        hosts: &Hosts,
    ) -> bool {
        let sinks = graph.sinks().iter().zip(graph.plan().sinks());
        sinks.into_iter().all(|(binding, sink)| {
            let at = hosts.get_index_of(&binding.host);
            let part = at.and_then(|at| self.parts.get(&(at, id)));
            part.is_some_and(|part| part.is_started && part.has_sinks)
                && self.is_made(id, graph, sink.input, hosts)
        })
    }

    fn is_made(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        stream: Stream,
        hosts: &Hosts,
    ) -> bool {
        let Some(at) = hosts.get_index_of(&graph.producer(stream).host) else {
            return false;
        };
        match stream {
            Stream::Source(index, _) => {
                let part = self.parts.get(&(at, id));
                graph.sources()[index].shared || part.is_some_and(|part| part.has_sources)
            }
            Stream::Operator(index, _) if self.runs(at, (id, index)) => {
                let inputs = &graph.plan().operators()[index].inputs;
                inputs
                    .iter()
                    .all(|input| self.is_made(id, graph, *input, hosts))
            }
            Stream::Operator(index, _) => {
                let name = graph.plan().stream_name(stream);
                graph.operators()[index].shared && self.providers.contains_key(&(at, name))
            }
        }
    }

    /// The delays of a composition; nothing where some of it does not run.
    pub(in crate::simulator) fn delays(
        &mut self,
        id: CompositionId,
        hosts: &Hosts,
    ) -> Option<Delays> {
        let running = self.running.get(&id)?;
        let graph = running.graph.clone();
        let target = running.facts.target;
        let longest = |fluid: &mut Self, from_sharing_point: bool| {
            let mut full = Duration::ZERO;
            for (index, sink) in graph.sinks().iter().enumerate() {
                let at = hosts.get_index_of(&sink.host)?;
                let part = fluid.parts.get(&(at, id))?;
                if !part.is_started {
                    return None;
                }
                let input = graph.plan().sinks()[index].input;
                let age = fluid.age(id, &graph, input, hosts, from_sharing_point, 0)?;
                full = full.max(age + fluid.link(graph.producer(input).host, sink.host, hosts)?);
            }
            Some(full)
        };
        Some(Delays {
            full: longest(self, false)?,
            from_sharing_point: longest(self, true)?,
            target,
        })
    }

    /// How old a stream is when it leaves the host where it is made.
    fn age(
        &mut self,
        id: CompositionId,
        graph: &ComponentGraph,
        stream: Stream,
        hosts: &Hosts,
        from_sharing_point: bool,
        depth: usize,
    ) -> Option<Duration> {
        let Stream::Operator(index, _) = stream else {
            return Some(Duration::ZERO);
        };
        let binding = graph.operators()[index];
        let at = hosts.get_index_of(&binding.host)?;
        if binding.shared {
            if from_sharing_point {
                return Some(Duration::ZERO);
            }
            let name = graph.plan().stream_name(Stream::Operator(index, 0));
            let provider = self.provider_still(at, name, (id, &graph.made_of(index)))?;
            if depth >= DEPTH_MAX {
                return None;
            }
            let theirs = self.running.get(&provider.0)?.graph.clone();
            let stream = Stream::Operator(provider.1, 0);
            return self.age(provider.0, &theirs, stream, hosts, false, depth + 1);
        }
        let mut age = Duration::ZERO;
        for input in &graph.plan().operators()[index].inputs {
            let before = self.age(id, graph, *input, hosts, from_sharing_point, depth)?;
            let link = self.link(graph.producer(*input).host, binding.host, hosts)?;
            age = age.max(before + link);
        }
        Some(age + self.execution(at, (id, index))?)
    }

    /// How long a component takes for what it works off at once.
    fn execution(&mut self, host: usize, component: super::Component) -> Option<Duration> {
        let discipline = self.discipline;
        let machine = &mut self.machines[host];
        let job = *machine.jobs.get(&component)?;
        let queue = machine.queue.get_or_insert_with(|| {
            let jobs = machine.jobs.values().copied().collect();
            queue::Queue::new(discipline, machine.cores, machine.background, jobs)
        });
        Some(queue.execution(&job))
    }

    fn link(&self, from: NodeId, to: NodeId, hosts: &Hosts) -> Option<Duration> {
        let (from, to) = (hosts.get_index_of(&from)?, hosts.get_index_of(&to)?);
        Some(self.topology.delay(from, to))
    }
}

/// How long the batches of each operator can wait: the target less the longest way through it, of links and bare costs.
pub(super) fn laxities(
    graph: &ComponentGraph,
    facts: &Facts,
    hosts: &Hosts,
    topology: &dyn Topology,
) -> Vec<Duration> {
    let plan = graph.plan();
    let link = |from: NodeId, to: NodeId| match (hosts.get_index_of(&from), hosts.get_index_of(&to))
    {
        (Some(from), Some(to)) => topology.delay(from, to),
        _ => Duration::ZERO,
    };
    let cost = |index: usize| convert::seconds(facts.demands[index].cost_seconds);
    let count = plan.operators().len();
    // A plan takes only streams that it handed out: an operator comes behind those that it reads.
    let mut before = vec![Duration::ZERO; count];
    for index in 0..count {
        let here = graph.operators()[index].host;
        for input in &plan.operators()[index].inputs {
            let way = link(graph.producer(*input).host, here);
            let age = match input {
                Stream::Operator(other, _) => before[*other],
                Stream::Source(..) => Duration::ZERO,
            };
            before[index] = before[index].max(age + way);
        }
        before[index] += cost(index);
    }
    let mut behind = vec![Duration::ZERO; count];
    for index in (0..count).rev() {
        let here = graph.operators()[index].host;
        for (reader, _) in readers(plan, index) {
            let way = link(here, graph.reader(reader).host);
            let rest = match reader {
                Reader::Operator(other, _) => cost(other) + behind[other],
                Reader::Sink(_) => Duration::ZERO,
            };
            behind[index] = behind[index].max(way + rest);
        }
    }
    let ways = before.into_iter().zip(behind);
    ways.map(|(before, behind)| facts.target.saturating_sub(before + behind))
        .collect()
}

/// Who reads an operator in its plan, and which stream of it.
pub(super) fn readers(plan: &QueryPlan, operator: usize) -> Vec<(Reader, Stream)> {
    let of_it =
        |stream: &Stream| matches!(stream, Stream::Operator(index, _) if *index == operator);
    let mut readers = Vec::new();
    for (index, other) in plan.operators().iter().enumerate() {
        for (port, input) in other.inputs.iter().enumerate().filter(|(_, it)| of_it(it)) {
            readers.push((Reader::Operator(index, port), *input));
        }
    }
    for (index, sink) in plan.sinks().iter().enumerate() {
        if of_it(&sink.input) {
            readers.push((Reader::Sink(index), sink.input));
        }
    }
    readers
}
