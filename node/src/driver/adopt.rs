//! Graphs that hold without anybody having been asked: hosts are gone, have come back, or hold backups from now on.
//!
//! What a graph binds to this host and is not here is made, on a thread that may block; then readers here are turned to it, and what feeds others is
//! theirs to pull. Each edge is opened by its reader, again and again until the other host is as far: so no order among hosts matters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::operator;
use engine::{
    Deployed, Deployment, EdgeKind, OperatorPart, Provider, RemoteEdge, SinkDeployment, SourcePart,
};
use model::plan::{Reader, Stream};
use model::{ApplicationId, Binding, Clock, ComponentGraph, ComponentId, CompositionId, NodeId};

use super::control::{Control, Inbound};
use super::deploy::{Pieces, Wanted};
use super::effects;
use super::lent::Lent;
use super::parts::Part;
use super::surviving::Surviving;
use crate::connector::Opening;
use crate::node::{Input, PartEvent};
use crate::store::Store;

/// How long an operator goes on here that runs elsewhere by now.
///
/// Unit: time. Range: above what a record takes to all hosts of an application. Source: guess; who has not heard of it by then is sent it again.
const LEFT_WAIT: Duration = Duration::from_secs(1);

impl Control {
    /// A graph holds: this host runs what it says, and nothing else of it.
    pub(super) fn adopt(
        &mut self,
        id: CompositionId,
        application: ApplicationId,
        graph: Box<ComponentGraph>,
        cores: f64,
    ) {
        self.drop_migrations(id);
        let (here, now) = (self.network.node(), self.means.clock.now());
        let part = self.parts.entry(id);
        let part = part.or_insert_with(|| Part::new(now, application.clone(), graph.clone()));
        let before = std::mem::replace(&mut part.graph, graph);
        part.cores = cores;
        self.step_in(id);
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let lent = self.lent(part);
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        // What others read next has to be there before what they read until now is let go of.
        part.turn(&self.means, id, (&before, &lent), here);
        let left = part.let_go(&self.means.engine, &before, here);
        self.end_later(left);
        self.make(id, application);
    }

    /// Ends operators that run elsewhere by now, a moment later: what feeds them has to have heard of who comes after them. Who shares one keeps it.
    fn end_later(&self, left: Vec<ComponentId>) {
        let is_shared = |component: &ComponentId| {
            let mut parts = self.parts.values();
            parts.any(|part| part.operators.contains(&Some(*component)))
        };
        let ended: Vec<ComponentId> = left.into_iter().filter(|it| !is_shared(it)).collect();
        if ended.is_empty() {
            return;
        }
        let engine = self.means.engine.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LEFT_WAIT).await;
            for component in ended {
                engine.end(component);
            }
        });
    }

    /// Begins to make what is bound to this host and is not here.
    fn make(&mut self, id: CompositionId, application: ApplicationId) {
        let here = self.network.node();
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let engine = &self.means.engine;
        let wanted = part.wanted(here, |it| engine.is_running(it));
        if wanted.is_empty() {
            return self.on_made(id, Pieces::default());
        }
        let graph = part.graph.clone();
        // What is held here of an operator is compiled already.
        let held =
            |operator: &usize| u16::try_from(*operator).is_ok_and(|it| self.has_backup((id, it)));
        let compiled = wanted.operators.iter().copied();
        let wanted = Wanted {
            operators: compiled.filter(|it| !held(it)).collect(),
            ..wanted
        };
        let resuming = graph.clone();
        let preparation = effects::preparation(self, id, &application, graph, Opening::Again);
        let number = self.adopting.begin(id);
        let inbox = self.means.inbox.clone();
        let (states, clock) = (
            self.surviving.as_ref().map(Surviving::states),
            Arc::clone(&self.means.clock),
        );
        let bytes_max = self.state_bytes_max();
        tokio::spawn(async move {
            let make = move || Pieces {
                resumed: states.map_or_else(BTreeMap::new, |states| {
                    states.resume(id, &resuming, &wanted, (bytes_max, clock.now()))
                }),
                ..preparation.pieces(&wanted)
            };
            let made = tokio::task::spawn_blocking(make).await;
            let made = Box::new(made.unwrap_or_default());
            drop(inbox.send(Inbound::Made { id, number, made }).await);
        });
    }

    /// What is bound to this host can be deployed: what of it was to be opened and compiled, is.
    pub(super) fn on_made(&mut self, id: CompositionId, pieces: Pieces) {
        let here = self.network.node();
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let graph = part.graph.clone();
        let wanted = part.wanted(here, |it| self.means.engine.is_running(it));
        let failed = match wanted.is_empty() {
            true => Ok(Vec::new()),
            false => self.deploy_made(id, &graph, &wanted, pieces),
        };
        // Before it runs: what the disk lacks is kept from here on.
        self.let_survive(id);
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        part.close_former(&self.means.engine, here);
        part.start(&self.means.engine, part.cores);
        let is_left = !graph.hosts().contains(&here) && part.numbers.is_empty();
        if is_left {
            self.parts.remove(&id);
            let event = PartEvent::Retired;
            return self.pending.push_back(Input::Happened { id, event });
        }
        let events = match failed {
            Ok(events) => events,
            Err(reason) => {
                let names = wanted.names(&graph);
                let unmade = |component| PartEvent::Unmade {
                    component,
                    reason: reason.clone(),
                };
                names.map(unmade).collect()
            }
        };
        self.follow_backups(id);
        for event in events {
            self.pending.push_back(Input::Happened { id, event });
        }
    }

    /// Deploys what was made, and turns readers that are here to it. Gives what is to be told of it.
    fn deploy_made(
        &mut self,
        id: CompositionId,
        graph: &ComponentGraph,
        wanted: &Wanted,
        pieces: Pieces,
    ) -> Result<Vec<PartEvent>, String> {
        let here = self.network.node();
        let plan = graph.plan();
        let mut events = Vec::new();
        let unmade = |component: &str, reason: &str| PartEvent::Unmade {
            component: component.to_owned(),
            reason: reason.to_owned(),
        };
        let restored = |component: &str, state_bytes| PartEvent::Restored {
            component: component.to_owned(),
            state_bytes,
        };
        let Pieces {
            mut sources,
            mut operators,
            mut resumed,
            mut sinks,
        } = pieces;
        let part = self.parts.get(&id).ok_or("it has ended")?;
        let lent = self.newly_read(part, wanted);
        let lends = |wanted: &dyn Fn(Stream) -> bool| {
            let mut lent = lent.iter().filter(|(stream, _)| wanted(**stream));
            lent.next().map(|(_, (component, _))| *component)
        };
        let mut source_parts = Vec::new();
        let mut opened = Vec::new();
        for (index, source) in plan.sources().iter().enumerate() {
            let made = sources
                .remove(&index)
                .filter(|_| wanted.sources.contains(&index));
            let (part, source) = match made {
                None => {
                    let lent = lends(&|it| matches!(it, Stream::Source(at, _) if at == index));
                    (
                        lent.map_or(SourcePart::Elsewhere, SourcePart::Running),
                        None,
                    )
                }
                Some(Ok(made)) => {
                    events.push(restored(&source.name, 0));
                    made
                }
                Some(Err(reason)) => {
                    events.push(unmade(&source.name, &reason));
                    (SourcePart::Elsewhere, None)
                }
            };
            source_parts.push(part);
            opened.push(source);
        }
        let mut operator_parts = Vec::new();
        let mut from_disk = Vec::new();
        for (index, operator) in plan.operators().iter().enumerate() {
            let binding = graph.operators()[index];
            let place = (id, u16::try_from(index).unwrap_or(u16::MAX));
            let elsewhere = match binding.shared {
                true => OperatorPart::RunningElsewhere,
                false => OperatorPart::Elsewhere,
            };
            if !wanted.operators.contains(&index) {
                let lent = lends(&|it| matches!(it, Stream::Operator(at, _) if at == index));
                operator_parts.push(lent.map_or(elsewhere, OperatorPart::Followed));
                continue;
            }
            let running = binding
                .shared
                .then(|| self.running_here(graph, index))
                .flatten();
            let held = self.take_backup(place).or_else(|| {
                let resumed = resumed.remove(&index)?;
                from_disk.push(place);
                Some(resumed)
            });
            let made = match (running, held, operators.remove(&index)) {
                (Some(component), _, _) => Ok((OperatorPart::Followed(component), 0)),
                (None, Some((resumed, bytes)), _) => {
                    Ok((OperatorPart::Resumed(Box::new(resumed)), bytes))
                }
                (None, None, Some(Ok(part))) => {
                    if operator::has_state(&operator.kind) {
                        let operator = operator.name.clone();
                        events.push(PartEvent::StateLost { operator });
                    }
                    Ok((OperatorPart::Rebuilt(part), 0))
                }
                (None, None, Some(Err(reason))) => Err(reason),
                (None, None, None) => Err("its state was lost in the meantime".to_owned()),
            };
            operator_parts.push(match made {
                Ok((part, bytes)) => {
                    events.push(restored(&operator.name, bytes));
                    part
                }
                Err(reason) => {
                    events.push(unmade(&operator.name, &reason));
                    elsewhere
                }
            });
        }
        let mut open_sinks = Vec::new();
        for (index, sink) in plan.sinks().iter().enumerate() {
            let made = sinks
                .remove(&index)
                .filter(|_| wanted.sinks.contains(&index));
            open_sinks.push(match made {
                None => None,
                Some(Ok(open)) => {
                    events.push(restored(&sink.name, 0));
                    open
                }
                Some(Err(reason)) => {
                    events.push(unmade(&sink.name, &reason));
                    None
                }
            });
        }
        let target = plan.qos().latency;
        let sink_parts = open_sinks.iter();
        let deployment = Deployment {
            plan: plan.clone(),
            origins: graph.origins().to_vec(),
            sources: source_parts,
            operators: operator_parts,
            sinks: sink_parts
                .map(|sink| sink.as_ref().map(|_| SinkDeployment { target }))
                .collect(),
        };
        let deployed = self.runtime.deploy(deployment);
        let mut deployed = deployed.map_err(|error| error.to_string())?;
        // Before anybody pulls.
        for (sink, open) in deployed.sinks.iter().zip(&open_sinks) {
            let journal = open.as_ref().and_then(|open| open.journal.as_ref());
            if let (Some(sink), Some(journal)) = (sink, journal) {
                let engine = &self.means.engine;
                engine.go_on_behind(*sink, journal.positions().clone());
            }
        }
        for place in from_disk {
            if let Some(component) = deployed.operators[usize::from(place.1)] {
                self.take_over_stored(place, component, plan);
            }
        }
        let part = self.parts.get_mut(&id).ok_or("it has ended")?;
        let is_near = |edge: &RemoteEdge| graph.producer(edge.stream).host == here;
        let (near, far) = deployed.upstream.into_iter().partition(is_near);
        deployed.upstream = far;
        let before: Vec<u64> = part.numbers.clone();
        part.add(&self.means, id, graph, &deployed);
        let engine = &self.means.engine;
        for edge in near {
            if let Err(reason) = part.read_here(engine, edge) {
                tracing::warn!(?edge, reason, "a reader finds nothing here");
            }
        }
        turn_to(part, engine, &deployed, &before, here);
        let spawned = part.spawn_threads(&self.means, id, &deployed, opened, open_sinks);
        spawned.map_err(|error| format!("the system gives no thread: {error}"))?;
        Ok(events)
    }

    /// What should be here of a composition and is not yet, with the reason.
    pub(super) fn lacking(&self, id: CompositionId, part: &Part) -> Vec<(String, String)> {
        let mut lacking = self.unheld(id, &part.graph);
        if self.adopting.is_under_way(id) {
            let engine = &self.means.engine;
            let wanted = part.wanted(self.network.node(), |it| engine.is_running(it));
            let names = wanted.names(&part.graph);
            lacking.extend(names.map(|name| (name, "it is being made".to_owned())));
        }
        let trouble = self.config.store.as_ref().and_then(Store::trouble);
        lacking.extend(trouble.map(|error| {
            let host = format!("disk of {}", self.config.name);
            (
                host,
                format!("it does not take what a restart needs: {error}"),
            )
        }));
        lacking
    }
}

/// Turns readers of a part that are here, and were before, to what was just made here.
pub(super) fn turn_to(
    part: &mut Part,
    engine: &engine::runtime::Handle,
    deployed: &Deployed,
    before: &[u64],
    here: NodeId,
) {
    for remote in &deployed.downstream {
        if part.graph.reader(remote.reader).host != here {
            continue;
        }
        let mut numbers = before.iter().rev();
        let edge = numbers.find_map(|it| engine.reading_edge(*it, remote.stream, remote.reader));
        part.downstream
            .remove(&(remote.stream, remote.reader, here));
        let Some(edge) = edge else {
            let place = (remote.stream, remote.reader);
            part.unread.insert(place, remote.edge);
            continue;
        };
        match engine.rebind(edge, Provider::Here(remote.edge)) {
            Ok(_) => {}
            Err(error) => tracing::warn!(?remote, %error, "a reader could not be turned"),
        }
    }
}

impl Part {
    /// Lets go of what runs elsewhere from now on: sinks go at once. Gives the operators of its own that are left.
    fn let_go(
        &mut self,
        engine: &engine::runtime::Handle,
        before: &ComponentGraph,
        here: NodeId,
    ) -> Vec<ComponentId> {
        let mut left = Vec::new();
        for (index, Binding { host, shared }) in before.operators().iter().enumerate() {
            let to = self.graph.operators()[index].host;
            if *host == here
                && to != here
                && let Some(component) = self.leave(index, *shared)
            {
                engine.set_moved(component, to);
                left.push(component);
            }
        }
        for (index, binding) in self.graph.sinks().iter().enumerate() {
            if binding.host != here
                && let Some(component) = self.sinks[index].take()
            {
                engine.end(component);
            }
        }
        left
    }

    /// Turns what reads and is read here where the other end is on another host by now.
    fn turn(
        &mut self,
        means: &super::parts::Means,
        id: CompositionId,
        (before, lent): (&ComponentGraph, &Lent),
        here: NodeId,
    ) {
        let engine = &means.engine;
        let edges: Vec<(Stream, Reader)> = self.graph.plan().edges().collect();
        for (stream, reader) in edges {
            let (from, to) = (self.graph.producer(stream), self.graph.reader(reader));
            if to.shared {
                continue;
            }
            if to.host == here && from.host != here && before.producer(stream).host != from.host {
                let mut numbers = self.numbers.iter().rev();
                let edge = numbers.find_map(|it| engine.reading_edge(*it, stream, reader));
                if let Some(edge) = edge {
                    let edge = RemoteEdge {
                        edge,
                        stream,
                        reader,
                    };
                    self.pull(means, id, (edge, from.host), true);
                }
            }
            let by = (stream, reader, to.host);
            if from.host == here && to.host != here && !self.serves(engine, &by) {
                // What is made here only now serves them by itself.
                let edge = self.yielding_edge(engine, stream, reader);
                let forked = edge.map(|edge| engine.fork_edge(edge).ok());
                // Whoever read it for this application until now was another's as well.
                let opened = forked.unwrap_or_else(|_| {
                    let (component, port) = *lent.get(&stream)?;
                    let own = self.numbers.last().copied();
                    let opened = engine.open_edge(component, port, own, EdgeKind::Successor);
                    opened.ok()
                });
                if let Some(edge) = opened {
                    self.serve(by, edge);
                }
            }
        }
    }

    /// What the graph binds to this host and is not here.
    fn wanted(&self, here: NodeId, is_running: impl Fn(ComponentId) -> bool) -> Wanted {
        let lacks = |bindings: &[Binding], known: &[Option<ComponentId>]| -> BTreeSet<usize> {
            let bound = bindings.iter().zip(known).enumerate();
            bound
                .filter(|(_, (binding, known))| {
                    binding.host == here && !known.is_some_and(&is_running)
                })
                .map(|(index, _)| index)
                .collect()
        };
        Wanted {
            sources: lacks(self.graph.sources(), &self.sources),
            operators: lacks(self.graph.operators(), &self.operators),
            sinks: lacks(self.graph.sinks(), &self.sinks),
        }
    }
}
