//! Operators that go to other hosts: what is made ready here, turned, or dropped.
//!
//! Every host does its part at the same word. Before the switch, what feeds the operator opens an edge for its next host beside the one that is there, and
//! that host takes over its state and runs on from it, for nobody yet. At the switch each reader is turned by itself, when the stream is open at its new
//! place; what it has received says where it goes on. What nobody reads any more goes, as ever.

use std::collections::BTreeMap;

use composition::{MigrationId, Taken};
use engine::state::Resumed;
use engine::{Deployed, Deployment, OperatorPart, Provider, RemoteEdge};
use model::plan::{Reader, Stream};
use model::{ApplicationId, Binding, Clock, ComponentGraph, CompositionId, EdgeId, NodeId, wire};
use tokio::sync::oneshot;

use super::control::{Control, Inbound};
use super::deploy::compile;
use super::hello::Hello;
use super::parts::{Means, Part};
use super::state;
use crate::node::Input;

/// What part of the memory for data a state that is taken over may take. Unit: divisor. Source: as the ledger has it for all state.
pub(super) const STATE_DIVISOR: u64 = 2;

/// What is made ready here for another graph.
#[derive(Debug)]
pub(super) struct Migration {
    graph: Box<ComponentGraph>,
    operator: usize,
    /// Where the operator runs before.
    from: NodeId,
    /// Edges for who reads next what is read from here.
    forks: BTreeMap<(Stream, Reader, NodeId), EdgeId>,
    /// What goes on here.
    deployed: Option<Deployed>,
    /// Says where the state came from that it need be kept no longer, where it is dropped.
    done: Option<oneshot::Sender<()>>,
}

/// Takes over the state of an operator of a graph from the host where it runs.
///
/// # Errors
/// Why it cannot be had, for people.
pub(super) async fn take_state(
    means: &Means,
    (composition, operator): (CompositionId, u16),
    graph: Box<ComponentGraph>,
    from: NodeId,
    bytes_max: u64,
) -> Result<state::Arrived, String> {
    let hello = Hello::State {
        composition,
        operator,
    };
    let index = usize::from(operator);
    let compiling = move || compile(graph.plan(), index);
    let compiling = tokio::task::spawn_blocking(compiling);
    // Its state is on its way meanwhile.
    let stream = means.network.open(from, wire::encode(&hello)).await;
    let stream = stream.map_err(|error| format!("its state is not to be had: {error}"))?;
    let compiled = compiling.await;
    let compiled = compiled.map_err(|error| format!("panicked: {error}"))??;
    let clock: &dyn Clock = means.clock.as_ref();
    state::take_state(&means.engine, compiled, bytes_max, stream, clock).await
}

impl Control {
    /// Makes ready for another graph of what runs here, or for an operator that comes.
    pub(super) fn prepare_migration(
        &mut self,
        id: MigrationId,
        application: ApplicationId,
        graph: Box<ComponentGraph>,
        operator: u16,
        from: NodeId,
    ) {
        let index = usize::from(operator);
        let binding = graph.operators()[index];
        let mut migration = Migration {
            graph: graph.clone(),
            operator: index,
            from,
            forks: BTreeMap::new(),
            deployed: None,
            done: None,
        };
        let is_coming = binding.host == self.network.node();
        let made = match (is_coming, binding.shared) {
            (true, false) => {
                migration.done = Some(self.take_over(id, application, (graph, operator), from));
                self.migrations.insert(id, migration);
                return;
            }
            (true, true) => self.follow(id, application, &mut migration),
            (false, _) => self.fork_inputs(id.composition, &mut migration),
        };
        self.migrations.insert(id, migration);
        if let Err(reason) = made {
            self.abandon(id);
            return self.pending.push_back(Input::PrepareFailed { id, reason });
        }
        let taken = Taken::default();
        self.pending.push_back(Input::Prepared { id, taken });
    }

    /// Opens an edge for each that feeds the operator from here, for the host that it goes to.
    fn fork_inputs(
        &mut self,
        composition: CompositionId,
        migration: &mut Migration,
    ) -> Result<(), String> {
        let here = self.network.node();
        let (graph, index) = (&migration.graph, migration.operator);
        let Some(part) = self.parts.get_mut(&composition) else {
            return Ok(());
        };
        let to = graph.operators()[index].host;
        if graph.operators()[index].shared {
            return Ok(());
        }
        let inputs = graph.plan().operators()[index].inputs.iter().enumerate();
        for (port, stream) in inputs {
            if graph.producer(*stream).host != here {
                continue;
            }
            let reader = Reader::Operator(index, port);
            let engine = &self.means.engine;
            let edge = part.yielding_edge(engine, *stream, reader)?;
            let fork = engine.fork_edge(edge).map_err(|it| it.to_string())?;
            part.serve((*stream, reader, to), fork);
            migration.forks.insert((*stream, reader, to), fork);
        }
        Ok(())
    }

    /// Takes over the state of an operator, on a task of its own; see [`Control::on_resumed`].
    fn take_over(
        &self,
        id: MigrationId,
        application: ApplicationId,
        (graph, operator): (Box<ComponentGraph>, u16),
        from: NodeId,
    ) -> oneshot::Sender<()> {
        let (done, is_done) = oneshot::channel();
        let means = self.means.clone();
        let bytes_max = self.config.memory_bytes / STATE_DIVISOR;
        tokio::spawn(async move {
            let taken = take_state(&means, (id.composition, operator), graph, from, bytes_max);
            let (taken, keeping) = match taken.await {
                Ok(taken) => {
                    let (resumed, taken, keeping) = taken.split();
                    (Ok((resumed, taken)), Some(keeping))
                }
                Err(reason) => (Err(reason), None),
            };
            let inbound = Inbound::Resumed {
                id,
                application,
                taken: Box::new(taken),
            };
            drop(means.inbox.send(inbound).await);
            if let Some(keeping) = keeping {
                keeping.run(is_done).await;
            }
        });
        done
    }

    /// The state of an operator is here: it runs on from it, beside the one that it follows, for nobody yet.
    pub(super) fn on_resumed(
        &mut self,
        id: MigrationId,
        application: ApplicationId,
        taken: Result<(Resumed, Taken), String>,
    ) {
        let Some(mut migration) = self.migrations.remove(&id) else {
            // It was given up in the meantime.
            return;
        };
        let made = taken.and_then(|(resumed, taken)| {
            let part = OperatorPart::Resumed(Box::new(resumed));
            self.deploy_operator(id, application, &mut migration, part)?;
            Ok(taken)
        });
        self.migrations.insert(id, migration);
        match made {
            Ok(taken) => self.handle(Input::Prepared { id, taken }),
            Err(reason) => {
                self.abandon(id);
                self.handle(Input::PrepareFailed { id, reason });
            }
        }
    }

    /// Lets the readers of an application follow an operator that has come here for another one.
    fn follow(
        &mut self,
        id: MigrationId,
        application: ApplicationId,
        migration: &mut Migration,
    ) -> Result<(), String> {
        let graph = &migration.graph;
        let stream = graph
            .plan()
            .stream_name(Stream::Operator(migration.operator, 0));
        let made_of = graph.made_of(migration.operator);
        let parts = self.parts.values();
        let found = parts.filter_map(|part| part.find(stream, Some(&made_of)));
        let engine = &self.means.engine;
        let mut running = found.filter(|(component, _)| engine.is_running(*component));
        let (component, _) = running
            .next()
            .ok_or("what it is to follow does not run here")?;
        let part = OperatorPart::Followed(component);
        self.deploy_operator(id, application, migration, part)
    }

    /// Deploys one operator of a graph, with edges for all its readers.
    fn deploy_operator(
        &mut self,
        id: MigrationId,
        application: ApplicationId,
        migration: &mut Migration,
        operator: OperatorPart,
    ) -> Result<(), String> {
        let composition = id.composition;
        let now = self.means.clock.now();
        let graph = &migration.graph;
        let part = self
            .parts
            .entry(composition)
            .or_insert_with(|| Part::new(now, application, graph.clone()));
        let deployment = Deployment::of_operator(graph, migration.operator, operator);
        let engine = &self.means.engine;
        let mut deployed = self
            .runtime
            .deploy(deployment)
            .map_err(|error| error.to_string())?;
        let here = self.network.node();
        let is_near = |edge: &RemoteEdge| graph.producer(edge.stream).host == here;
        let (near, far) = deployed.upstream.into_iter().partition(is_near);
        deployed.upstream = far;
        part.add(&self.means, composition, graph, &deployed);
        let number = deployed.application;
        migration.deployed = Some(deployed);
        for edge in near {
            part.read_here(engine, edge)?;
        }
        engine.start(number);
        Ok(())
    }

    /// The graph holds: readers here read from where it says.
    pub(super) fn switch(&mut self, id: MigrationId, graph: Box<ComponentGraph>, cores: f64) {
        let Some(migration) = self.migrations.remove(&id) else {
            return;
        };
        let Some(part) = self.parts.get_mut(&id.composition) else {
            return;
        };
        let (here, index) = (self.network.node(), migration.operator);
        let engine = &self.means.engine;
        let Binding { host: to, shared } = graph.operators()[index];
        part.graph = graph;
        let plan = part.graph.plan();
        let ports = 0..plan.operators()[index].outputs.len();
        let streams = ports.map(|port| Stream::Operator(index, u16::try_from(port).unwrap_or(0)));
        let readers = streams.flat_map(|stream| plan.readers(stream).map(move |it| (stream, it)));
        let readers: Vec<(Stream, Reader)> = readers
            .filter(|(_, reader)| {
                let binding = part.graph.reader(*reader);
                binding.host == here && !binding.shared
            })
            .collect();
        for (stream, reader) in readers {
            // Of what came last: another instance of the reader may still be here for somebody else.
            let mut numbers = part.numbers.iter().rev();
            let edge = numbers.find_map(|it| engine.reading_edge(*it, stream, reader));
            let Some(edge) = edge else { continue };
            if to == here {
                let there = part.downstream.remove(&(stream, reader, here));
                let rebound = there.map(|it| engine.rebind(edge, Provider::Here(it.edge)));
                if !matches!(rebound, Some(Ok(_))) {
                    tracing::warn!(?stream, ?reader, "a reader could not be turned");
                }
            } else {
                let edge = RemoteEdge {
                    edge,
                    stream,
                    reader,
                };
                part.pull(&self.means, id.composition, (edge, to), true);
            }
        }
        if migration.from == here
            && let Some(component) = part.leave(index, shared)
        {
            engine.set_moved(component, to);
        }
        part.cores = cores;
        part.start(engine, cores);
        self.follow_backups(id.composition);
        self.let_survive(id.composition);
    }

    /// The graph does not come about: what was made for it goes.
    pub(super) fn abandon(&mut self, id: MigrationId) {
        let Some(migration) = self.migrations.remove(&id) else {
            return;
        };
        let engine = &self.means.engine;
        for edge in migration.forks.values() {
            engine.close_edge(*edge);
        }
        let Some(part) = self.parts.get_mut(&id.composition) else {
            return;
        };
        part.downstream
            .retain(|by, _| !migration.forks.contains_key(by));
        let Some(deployed) = migration.deployed else {
            return;
        };
        part.remove(engine, &deployed, migration.operator);
        // Who was of the graph before with nothing, as a backup, is measured on: that nothing has come is to be known.
        if part.numbers.is_empty() && part.graph == migration.graph {
            self.parts.remove(&id.composition);
        }
    }

    /// Drops what was made ready for other graphs of a composition that goes.
    pub(super) fn drop_migrations(&mut self, composition: CompositionId) {
        let ids = self.migrations.keys();
        let ids: Vec<MigrationId> = ids
            .filter(|id| id.composition == composition)
            .copied()
            .collect();
        for id in ids {
            self.abandon(id);
        }
    }
}
