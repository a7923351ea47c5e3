//! Graphs that hold on hosts that were never asked to make ready for them: others are gone, have come back, or hold backups from now on.
//!
//! Each host does what production's does at that word, at once. Readers and those that feed them are turned first, so that what was lost finds its
//! place kept; then what the graph binds here and is not here is made: from the state that a backup has, or anew where it keeps none. Sources are read
//! once: one whose host has come back is not made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Deployed, Deployment, EdgeKind, OperatorPart, Provider, RemoteEdge, SinkDeployment, SourcePart,
    columns, operator,
};
use model::plan::{Reader, Stream};
use model::{Binding, ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, NodeId};
use node::node::PartEvent;

use super::parts::{Part, compiled};
use super::sink::Sink;
use super::{Discrete, Facts, Happening, Hosts, Machine, Out, Wanted};

/// How long an operator goes on here that runs elsewhere by now. Unit: time. Source: production's.
const LEFT_WAIT: Duration = Duration::from_secs(1);

/// A graph that holds on a host, whoever was asked.
#[derive(Debug)]
pub(in crate::simulator) struct Held<'a> {
    pub(in crate::simulator) id: CompositionId,
    pub(in crate::simulator) graph: &'a Arc<ComponentGraph>,
    pub(in crate::simulator) facts: &'a Facts,
    /// With how many cores it is held there.
    pub(in crate::simulator) cores: f64,
}

/// What a graph binds to a host and is not there, by places in the plan.
#[derive(Debug, Default)]
struct Lacking {
    sources: BTreeSet<usize>,
    operators: BTreeSet<usize>,
    sinks: BTreeSet<usize>,
}

/// What is made of an operator, and how much state it goes on with.
type Made = (OperatorPart, u64);

impl Discrete {
    /// A host runs what a graph binds to it from now on, and nothing else of it.
    pub(in crate::simulator) fn adopt(
        &mut self,
        now: Instant,
        host: usize,
        held: &Held<'_>,
        hosts: &Hosts,
    ) -> Vec<Out> {
        let mut out = Vec::new();
        if let Some((node, ())) = hosts.get_index(host) {
            let here = *node;
            self.machines[host].adopt(now, here, held, hosts, &mut out);
        }
        out
    }
}

impl Machine {
    fn adopt(
        &mut self,
        now: Instant,
        here: NodeId,
        held: &Held<'_>,
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        let Held {
            id, graph, cores, ..
        } = *held;
        self.drop_migrations(now, id, out);
        let part = self.parts.entry(id);
        let part = part.or_insert_with(|| Part::new(Arc::clone(graph)));
        let before = std::mem::replace(&mut part.graph, Arc::clone(graph));
        // What others read next has to be there before what they read until now is let go of.
        self.turn_ends(now, here, (id, graph, &before), hosts, out);
        self.leave(now, here, (id, graph, &before), out);
        let lacking = self.lacking(id, here);
        let made = self.make(now, here, held, &lacking, hosts);
        let events = made.unwrap_or_else(|reason| lacking.unmade(graph, &reason));
        out.extend(events.into_iter().map(|event| Out::Happened(id, event)));
        self.close_former(now, id, here);
        if let Some(part) = self.parts.get(&id) {
            let numbers = part.numbers.clone();
            let is_left = numbers.is_empty() && !graph.hosts().contains(&here);
            for number in numbers {
                self.engine.set_demand(number, cores);
                self.engine.follow_record(number);
                self.engine.start(now, number);
            }
            if is_left {
                self.parts.remove(&id);
                out.push(Out::Retired(id));
            }
        }
        self.follow_backups(id, hosts, out);
    }

    /// Turns what reads and is read here where the other end is on another host by now.
    fn turn_ends(
        &mut self,
        now: Instant,
        here: NodeId,
        (id, graph, before): (CompositionId, &ComponentGraph, &ComponentGraph),
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        for (stream, reader) in graph.plan().edges() {
            let (from, to) = (graph.producer(stream), graph.reader(reader));
            if to.shared {
                continue;
            }
            let Some(part) = self.parts.get_mut(&id) else {
                return;
            };
            let is_elsewhere = from.host != here && before.producer(stream).host != from.host;
            if to.host == here && is_elsewhere {
                let mut numbers = part.numbers.iter().rev();
                let edge =
                    numbers.find_map(|number| self.engine.reading_edge(*number, stream, reader));
                let host = hosts.get_index_of(&from.host);
                if let Some((edge, host)) = edge.zip(host) {
                    let wanted = Wanted {
                        composition: id,
                        stream,
                        reader,
                    };
                    let schema = columns::to_arrow(graph.plan().schema(stream));
                    self.turn(now, edge, wanted, ((host, from.host), schema), out);
                }
                continue;
            }
            let by = (stream, reader, to.host);
            if from.host == here && to.host != here && !part.serves(&self.engine, &by) {
                // What is made here only now serves them by itself.
                let edge = part.yielding_edge(&self.engine, stream, reader);
                let opened = match edge {
                    Ok(edge) => self.engine.fork_edge(now, edge).ok(),
                    Err(_) => self.open_lent(now, id, graph, stream),
                };
                if let (Some(edge), Some(part)) = (opened, self.parts.get_mut(&id)) {
                    part.serve(by, edge);
                }
            }
        }
    }

    /// What runs here of a stream that a graph says to: what it shares whoever has it, and what it has itself.
    fn lent(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        stream: Stream,
    ) -> Option<ComponentId> {
        if graph.producer(stream).shared {
            return self.running(graph.plan().stream_name(stream), None);
        }
        let part = self.parts.get(&id)?;
        let own = match stream {
            Stream::Source(index, _) => part.sources[index],
            Stream::Operator(index, _) => part.operators[index],
        };
        own.filter(|it| self.engine.is_running(*it))
    }

    /// Opens an edge on what runs here, where the reader has not read that before.
    fn open_lent(
        &mut self,
        now: Instant,
        id: CompositionId,
        graph: &ComponentGraph,
        stream: Stream,
    ) -> Option<EdgeId> {
        let component = self.lent(id, graph, stream)?;
        let (Stream::Source(_, port) | Stream::Operator(_, port)) = stream;
        let own = self.parts.get(&id)?.numbers.last().copied();
        let kind = EdgeKind::Successor;
        self.engine.open_edge(now, component, port, own, kind).ok()
    }

    /// What runs here and is read by what is made, which that did not read before: see production's.
    fn newly_read(
        &self,
        (id, here): (CompositionId, NodeId),
        graph: &ComponentGraph,
        lacking: &Lacking,
    ) -> BTreeMap<Stream, ComponentId> {
        let plan = graph.plan();
        let part = self.parts.get(&id);
        let is_new = |stream: Stream, reader: Reader| {
            let is_made = match reader {
                Reader::Operator(index, _) => lacking.operators.contains(&index),
                Reader::Sink(index) => lacking.sinks.contains(&index),
            };
            let read = part.map(|part| part.yielding_edge(&self.engine, stream, reader));
            is_made && read.is_none_or(|read| read.is_err())
        };
        let new = plan.edges().filter(|(stream, reader)| {
            graph.producer(*stream).host == here && is_new(*stream, *reader)
        });
        let lent = new.filter_map(|(stream, _)| Some((stream, self.lent(id, graph, stream)?)));
        lent.collect()
    }

    /// Lets go of what runs elsewhere from now on: sinks at once, operators when what feeds them has had time to hear of who comes after them.
    fn leave(
        &mut self,
        now: Instant,
        here: NodeId,
        (id, graph, before): (CompositionId, &ComponentGraph, &ComponentGraph),
        out: &mut Vec<Out>,
    ) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let mut left: Vec<ComponentId> = Vec::new();
        for (index, binding) in before.operators().iter().enumerate() {
            let to = graph.operators()[index].host;
            if binding.host == here
                && to != here
                && let Some(component) = part.operators[index].take()
                && !binding.shared
            {
                self.engine.set_moved(component, to);
                left.push(component);
            }
        }
        for (index, binding) in graph.sinks().iter().enumerate() {
            if binding.host != here
                && let Some(sink) = part.sinks[index].take()
            {
                self.engine.end(now, sink);
                self.sinks.remove(&sink);
            }
        }
        // Who shares one keeps it.
        let is_shared = |component: &ComponentId| {
            let mut parts = self.parts.values();
            parts.any(|part| part.operators.contains(&Some(*component)))
        };
        let ended = left.into_iter().filter(|it| !is_shared(it));
        out.extend(ended.map(|it| Out::Later(LEFT_WAIT, Happening::End(it))));
    }

    fn lacking(&self, id: CompositionId, here: NodeId) -> Lacking {
        let Some(part) = self.parts.get(&id) else {
            return Lacking::default();
        };
        let lacks = |bindings: &[Binding], known: &[Option<ComponentId>]| {
            let bound = bindings.iter().zip(known).enumerate();
            let lacking = bound.filter(|(_, (binding, known))| {
                binding.host == here && !known.is_some_and(|it| self.engine.is_running(it))
            });
            lacking.map(|(index, _)| index).collect()
        };
        Lacking {
            sources: lacks(part.graph.sources(), &part.sources),
            operators: lacks(part.graph.operators(), &part.operators),
            sinks: lacks(part.graph.sinks(), &part.sinks),
        }
    }

    /// Makes what a host lacks of a graph, and turns readers that are here to it. Gives what is to be told of it.
    ///
    /// # Errors
    /// Why nothing of it can be made, for people.
    fn make(
        &mut self,
        now: Instant,
        here: NodeId,
        held: &Held<'_>,
        lacking: &Lacking,
        hosts: &Hosts,
    ) -> Result<Vec<PartEvent>, String> {
        let Held {
            id, graph, facts, ..
        } = *held;
        let plan = graph.plan();
        let unread = lacking.sources.iter().map(|index| PartEvent::Unmade {
            component: plan.sources()[*index].name.clone(),
            reason: "a simulated source is read once".to_owned(),
        });
        let mut events: Vec<PartEvent> = unread.collect();
        if lacking.operators.is_empty() && lacking.sinks.is_empty() {
            return Ok(events);
        }
        let restored = |component: &str, state_bytes| PartEvent::Restored {
            component: component.to_owned(),
            state_bytes,
        };
        let lent = self.newly_read((id, here), graph, lacking);
        let lends = |wanted: &dyn Fn(Stream) -> bool| {
            let mut lent = lent.iter().filter(|(stream, _)| wanted(**stream));
            lent.next().map(|(_, component)| *component)
        };
        let sources = (0..plan.sources().len()).map(|index| {
            let lent = lends(&|it| matches!(it, Stream::Source(at, _) if at == index));
            lent.map_or(SourcePart::Elsewhere, SourcePart::Running)
        });
        let sources: Vec<SourcePart> = sources.collect();
        let mut operators = Vec::new();
        for (index, binding) in graph.operators().iter().enumerate() {
            let elsewhere = match binding.shared {
                true => OperatorPart::RunningElsewhere,
                false => OperatorPart::Elsewhere,
            };
            if !lacking.operators.contains(&index) {
                let lent = lends(&|it| matches!(it, Stream::Operator(at, _) if at == index));
                operators.push(lent.map_or(elsewhere, OperatorPart::Followed));
                continue;
            }
            let name = &plan.operators()[index].name;
            match self.operator(id, graph, index, &mut events) {
                Ok((part, bytes)) => {
                    operators.push(part);
                    events.push(restored(name, bytes));
                }
                Err(reason) => {
                    operators.push(elsewhere);
                    events.push(PartEvent::Unmade {
                        component: name.clone(),
                        reason,
                    });
                }
            }
        }
        let target = plan.qos().latency;
        let sinks = (0..plan.sinks().len()).map(|it| {
            lacking
                .sinks
                .contains(&it)
                .then_some(SinkDeployment { target })
        });
        let deployment = Deployment {
            plan: plan.clone(),
            origins: graph.origins().to_vec(),
            sources,
            operators,
            sinks: sinks.collect(),
        };
        let deployed = self.engine.deploy(now, deployment);
        let deployed = deployed.map_err(|error| error.to_string())?;
        for (index, component) in deployed.operators.iter().enumerate() {
            if let Some(component) = component {
                let cost = facts.demands[index].cost_seconds;
                self.work.costs.entry(*component).or_insert(cost);
            }
        }
        for (index, component) in deployed.sinks.iter().enumerate() {
            if let Some(component) = component {
                self.sinks
                    .insert(*component, Sink::new((id, index), target));
                events.push(restored(&plan.sinks()[index].name, 0));
            }
        }
        self.join(now, here, (id, graph), &deployed, hosts)?;
        Ok(events)
    }

    /// What goes on here of an operator: what runs here for others, what a backup holds, or one that begins where its readers ask it to.
    fn operator(
        &mut self,
        id: CompositionId,
        graph: &ComponentGraph,
        index: usize,
        events: &mut Vec<PartEvent>,
    ) -> Result<Made, String> {
        let plan = graph.plan();
        if graph.operators()[index].shared
            && let Some(running) = self.running(plan.stream_name(Stream::Operator(index, 0)), None)
        {
            return Ok((OperatorPart::Followed(running), 0));
        }
        if let Some((resumed, bytes)) = self.take_backup((id, index)) {
            return Ok((OperatorPart::Resumed(Box::new(resumed)), bytes));
        }
        let part = compiled(plan, index)?;
        let it = &plan.operators()[index];
        if operator::has_state(&it.kind) {
            events.push(PartEvent::StateLost {
                operator: it.name.clone(),
            });
        }
        Ok((OperatorPart::Rebuilt(part), 0))
    }

    /// Joins what was made here to what feeds it and to what reads it, here and elsewhere.
    fn join(
        &mut self,
        now: Instant,
        here: NodeId,
        (id, graph): (CompositionId, &Arc<ComponentGraph>),
        deployed: &Deployed,
        hosts: &Hosts,
    ) -> Result<(), String> {
        let is_near = |edge: &RemoteEdge| graph.producer(edge.stream).host == here;
        let (near, far): (Vec<RemoteEdge>, Vec<RemoteEdge>) =
            deployed.upstream.iter().copied().partition(is_near);
        let part = self.parts.get_mut(&id).ok_or("it has ended")?;
        let before = part.numbers.clone();
        part.add(graph, deployed);
        for edge in near {
            let forked = part.yielding_edge(&self.engine, edge.stream, edge.reader)?;
            let fork = self.engine.fork_edge(now, forked);
            let fork = fork.map_err(|error| error.to_string())?;
            let rebound = self.engine.rebind(now, edge.edge, Provider::Here(fork));
            rebound.map_err(|error| error.to_string())?;
        }
        for made in &deployed.downstream {
            if graph.reader(made.reader).host != here {
                continue;
            }
            part.downstream.remove(&(made.stream, made.reader, here));
            let mut numbers = before.iter().rev();
            let edge =
                numbers.find_map(|it| self.engine.reading_edge(*it, made.stream, made.reader));
            let edge = edge.ok_or_else(|| format!("{:?} does not read here", made.reader))?;
            let rebound = self.engine.rebind(now, edge, Provider::Here(made.edge));
            rebound.map_err(|error| error.to_string())?;
        }
        self.read(now, id, graph, &far, hosts);
        Ok(())
    }

    /// Closes the edges of readers that are on other hosts by now, or here, as soon as something else is kept for those: at once where nobody pulls by
    /// them, and else when that ends.
    fn close_former(&mut self, now: Instant, id: CompositionId, here: NodeId) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let is_running = |it: Option<ComponentId>| it.is_some_and(|it| self.engine.is_running(it));
        let is_former = |by: &(Stream, Reader, NodeId)| {
            let host = part.graph.reader(by.1).host;
            let is_followed = match (host == here, by.1) {
                (true, Reader::Operator(index, _)) => is_running(part.operators[index]),
                (true, Reader::Sink(index)) => is_running(part.sinks[index]),
                (false, _) => part.serves(&self.engine, &(by.0, by.1, host)),
            };
            host != by.2 && is_followed
        };
        let former = part.downstream.keys().filter(|by| is_former(by));
        part.former = former.copied().collect();
        self.close_broken(now);
    }

    /// Closes those of them by which nobody pulls any more.
    pub(super) fn close_broken(&mut self, now: Instant) {
        let mut closed = Vec::new();
        for part in self.parts.values_mut() {
            let downstream = &part.downstream;
            let is_pulled = |by: &(Stream, Reader, NodeId)| {
                let edge = downstream.get(by);
                edge.is_some_and(|edge| self.edges.is_pulled(*edge))
            };
            let broken = part.former.extract_if(.., |by| !is_pulled(by));
            let broken: Vec<(Stream, Reader, NodeId)> = broken.collect();
            closed.extend(broken.iter().filter_map(|by| part.downstream.remove(by)));
        }
        for edge in closed {
            self.engine.close_edge(now, edge);
        }
    }
}

impl Lacking {
    fn unmade(&self, graph: &ComponentGraph, reason: &str) -> Vec<PartEvent> {
        let plan = graph.plan();
        let sources = self.sources.iter().map(|it| &plan.sources()[*it].name);
        let operators = self.operators.iter().map(|it| &plan.operators()[*it].name);
        let sinks = self.sinks.iter().map(|it| &plan.sinks()[*it].name);
        let unmade = |component: &String| PartEvent::Unmade {
            component: component.clone(),
            reason: reason.to_owned(),
        };
        sources.chain(operators).chain(sinks).map(unmade).collect()
    }
}
