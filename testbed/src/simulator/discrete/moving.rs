//! Operators that go to other hosts with their state: what is made ready here, turned, or dropped.
//!
//! Each host does its part at the word at which production's do it. A host that is to run the operator takes over its state; where that comes from is
//! named in the wish, so that a state that is here already could be taken as well.

use std::sync::Arc;

use composition::{MigrationId, Taken};
use engine::state::{Shadow, StatePull};
use engine::{Config, Deployed, Deployment, OperatorPart, Provider, RemoteEdge, columns};
use model::plan::{Reader, Stream};
use model::{Binding, ComponentGraph, CompositionId, EdgeId, Instant, NodeId};

use super::parts::{Part, compiled};
use super::{Discrete, Hosts, Link, Machine, Out, Wanted};

/// What part of the memory for data a state that is taken over may take. Unit: divisor. Source: production's.
pub(super) const STATE_DIVISOR: u64 = 2;

/// What a host is to make ready for.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct Wish {
    pub(in crate::simulator) id: MigrationId,
    pub(in crate::simulator) graph: Arc<ComponentGraph>,
    /// Which operator goes elsewhere, and on which host its state is.
    pub(in crate::simulator) operator: usize,
    pub(in crate::simulator) from: usize,
    /// What a row costs it. Unit: seconds.
    pub(in crate::simulator) cost: f64,
}

/// What is made ready here for another graph.
#[derive(Debug)]
pub(super) struct Migration {
    wish: Wish,
    /// Edges for who reads next what is read from here.
    forks: Vec<((Stream, Reader, NodeId), EdgeId)>,
    /// What goes on here, and the stream by which its state came.
    deployed: Option<Deployed>,
    link: Option<Link>,
}

/// A state that comes.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) id: MigrationId,
    /// Who has it, as soon as that has answered.
    pub(super) peer: Option<(usize, EdgeId)>,
    pub(super) held: Held,
    /// How much has come, and when the first of it did.
    pub(super) sent_bytes: u64,
    pub(super) since: Option<Instant>,
}

/// How far a state that comes is.
#[derive(Debug)]
pub(super) enum Held {
    /// It is not whole.
    Shadow(Box<Shadow>),
    /// It runs on here; this is said until everybody reads from here.
    Taken(StatePull),
}

/// A state that goes: by which stream, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    pub(super) link: Link,
    pub(super) opened: Instant,
}

impl Discrete {
    /// Makes ready for a graph of which one operator goes elsewhere. Told by [`Out::Prepared`] when it is.
    pub(in crate::simulator) fn prepare(
        &mut self,
        now: Instant,
        host: usize,
        wish: Wish,
        hosts: &Hosts,
    ) -> Vec<Out> {
        let mut out = Vec::new();
        self.machines[host].prepare(now, wish, hosts, &mut out);
        out
    }

    /// A graph holds that a host is ready for: readers there read from where it says.
    pub(in crate::simulator) fn switch(
        &mut self,
        now: Instant,
        host: usize,
        (id, graph): (MigrationId, &Arc<ComponentGraph>),
        cores: f64,
        hosts: &Hosts,
    ) -> Vec<Out> {
        let mut out = Vec::new();
        self.machines[host].switch(now, (id, graph), cores, hosts, &mut out);
        out
    }

    /// A graph does not come about: what a host has made for it goes.
    pub(in crate::simulator) fn abandon(
        &mut self,
        now: Instant,
        host: usize,
        id: MigrationId,
    ) -> Vec<Out> {
        let mut out = Vec::new();
        self.machines[host].abandon(now, id, &mut out);
        out
    }
}

impl Machine {
    fn prepare(&mut self, now: Instant, wish: Wish, hosts: &Hosts, out: &mut Vec<Out>) {
        let id = wish.id;
        let binding = wish.graph.operators()[wish.operator];
        let mut migration = Migration {
            wish,
            forks: Vec::new(),
            deployed: None,
            link: None,
        };
        let is_coming = hosts.get_index_of(&binding.host) == Some(self.place);
        let made = match (is_coming, binding.shared) {
            (true, false) => {
                let Migration { wish, link, .. } = &mut migration;
                let asked = self.take_over(wish, out);
                let asked = asked.map(|asked| *link = Some(asked));
                if asked.is_ok() {
                    self.migrations.insert(id, migration);
                    return;
                }
                asked
            }
            (true, true) => self.follow(now, &mut migration, hosts),
            (false, _) => self.fork_inputs(now, &mut migration, hosts),
        };
        let wish = migration.wish.clone();
        self.migrations.insert(id, migration);
        if made.is_err() {
            self.abandon(now, id, out);
        }
        out.push(Out::Prepared(
            Box::new(wish),
            made.map(|()| Taken::default()),
        ));
    }

    /// Opens an edge for each that feeds the operator from here, for the host that it goes to.
    fn fork_inputs(
        &mut self,
        now: Instant,
        migration: &mut Migration,
        hosts: &Hosts,
    ) -> Result<(), String> {
        let Wish {
            id,
            graph,
            operator,
            ..
        } = &migration.wish;
        let Binding { host: to, shared } = graph.operators()[*operator];
        let Some(part) = self.parts.get_mut(&id.composition).filter(|_| !shared) else {
            return Ok(());
        };
        let inputs = graph.plan().operators()[*operator]
            .inputs
            .iter()
            .enumerate();
        for (port, stream) in inputs {
            let producer = graph.producer(*stream).host;
            if hosts.get_index_of(&producer) != Some(self.place) {
                continue;
            }
            let reader = Reader::Operator(*operator, port);
            let edge = part.yielding_edge(&self.engine, *stream, reader)?;
            let fork = self.engine.fork_edge(now, edge);
            let fork = fork.map_err(|error| error.to_string())?;
            part.serve((*stream, reader, to), fork);
            migration.forks.push(((*stream, reader, to), fork));
        }
        Ok(())
    }

    /// Takes over the state of an operator; see [`Machine::resumed`].
    fn take_over(&mut self, wish: &Wish, out: &mut Vec<Out>) -> Result<Link, String> {
        let part = compiled(wish.graph.plan(), wish.operator)?;
        let shadow = Shadow::new(part, Config::default().memory_bytes / STATE_DIVISOR);
        let coming = Coming::new(wish.id, shadow);
        Ok(self.ask_state((wish.from, coming), wish.operator, out))
    }

    /// The state of an operator is here: it runs on from it, beside the one that it follows, for nobody yet.
    pub(super) fn resumed(
        &mut self,
        now: Instant,
        id: MigrationId,
        (shadow, taken): (Shadow, Taken),
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        let Some(mut migration) = self.migrations.remove(&id) else {
            return;
        };
        let resumed = shadow
            .activate()
            .ok_or_else(|| "no state has come".to_owned());
        let made = resumed.and_then(|resumed| {
            let part = OperatorPart::Resumed(Box::new(resumed));
            self.deploy_operator(now, &mut migration, part, hosts)
        });
        let wish = migration.wish.clone();
        self.migrations.insert(id, migration);
        match made {
            Ok(()) => out.push(Out::Prepared(Box::new(wish), Ok(taken))),
            Err(reason) => self.failed(now, id, reason, out),
        }
    }

    /// Nothing can be made ready for another graph.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        id: MigrationId,
        reason: String,
        out: &mut Vec<Out>,
    ) {
        if let Some(migration) = self.migrations.get(&id) {
            let wish = Box::new(migration.wish.clone());
            self.abandon(now, id, out);
            out.push(Out::Prepared(wish, Err(reason)));
        }
    }

    /// Lets the readers of an application follow an operator that has come here for another one.
    fn follow(
        &mut self,
        now: Instant,
        migration: &mut Migration,
        hosts: &Hosts,
    ) -> Result<(), String> {
        let Wish {
            graph, operator, ..
        } = &migration.wish;
        let name = graph.plan().stream_name(Stream::Operator(*operator, 0));
        let running = self.running(name, Some(&graph.made_of(*operator)));
        let running = running.ok_or("what it is to follow does not run here")?;
        let part = OperatorPart::Followed(running);
        self.deploy_operator(now, migration, part, hosts)
    }

    /// Deploys one operator of a graph, with edges for all its readers.
    fn deploy_operator(
        &mut self,
        now: Instant,
        migration: &mut Migration,
        operator: OperatorPart,
        hosts: &Hosts,
    ) -> Result<(), String> {
        let Wish {
            id,
            graph,
            operator: index,
            cost,
            ..
        } = &migration.wish;
        let is_own = !graph.operators()[*index].shared;
        let deployment = Deployment::of_operator(graph, *index, operator);
        let deployed = self.engine.deploy(now, deployment);
        let deployed = deployed.map_err(|error| error.to_string())?;
        let composition = id.composition;
        let part = self.parts.entry(composition);
        let part = part.or_insert_with(|| Part::new(Arc::clone(graph)));
        part.add(graph, &deployed);
        if let Some(component) = deployed.operators[*index].filter(|_| is_own) {
            self.work.costs.insert(component, *cost);
        }
        let is_near = |edge: &&RemoteEdge| {
            hosts.get_index_of(&graph.producer(edge.stream).host) == Some(self.place)
        };
        let (near, far): (Vec<_>, Vec<_>) = deployed.upstream.iter().partition(is_near);
        let far: Vec<RemoteEdge> = far.into_iter().copied().collect();
        // What is here already is read from where the state ends: by an edge beside that of the one that it follows.
        let forked: Result<(), String> = near.into_iter().try_for_each(|edge| {
            let before = part.yielding_edge(&self.engine, edge.stream, edge.reader)?;
            let fork = self.engine.fork_edge(now, before);
            let fork = fork.map_err(|error| error.to_string())?;
            let rebound = self.engine.rebind(now, edge.edge, Provider::Here(fork));
            rebound.map(drop).map_err(|error| error.to_string())
        });
        let number = deployed.application;
        let graph = Arc::clone(graph);
        migration.deployed = Some(deployed);
        forked?;
        self.read(now, composition, &graph, &far, hosts);
        self.engine.start(now, number);
        Ok(())
    }

    fn switch(
        &mut self,
        now: Instant,
        (id, graph): (MigrationId, &Arc<ComponentGraph>),
        cores: f64,
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        let Some(migration) = self.migrations.remove(&id) else {
            return;
        };
        if let Some(link) = migration.link {
            self.let_go(link, out);
        }
        let index = migration.wish.operator;
        let Binding { host: node, shared } = graph.operators()[index];
        let to = hosts.get_index_of(&node);
        let Some(part) = self.parts.get_mut(&id.composition) else {
            return;
        };
        part.graph = Arc::clone(graph);
        if migration.wish.from == self.place
            && let Some(component) = part.operators[index].take()
            && !shared
        {
            self.engine.set_moved(component, node);
        }
        let numbers = part.numbers.clone();
        for (stream, reader) in self.readers_here(graph, index, hosts) {
            // Of what came last: another instance of the reader may still be here for somebody else.
            let mut latest = numbers.iter().rev();
            let edge = latest.find_map(|it| self.engine.reading_edge(*it, stream, reader));
            let Some(edge) = edge else { continue };
            if to == Some(self.place) {
                let there = self.parts.get_mut(&id.composition);
                let there = there.and_then(|part| part.downstream.remove(&(stream, reader, node)));
                let rebound =
                    there.map(|there| self.engine.rebind(now, edge, Provider::Here(there)));
                if !matches!(rebound, Some(Ok(_))) {
                    let what = format!("{reader:?} of {id:?} could not be turned to {stream:?}");
                    out.push(Out::Wrong(what));
                }
            } else if let Some(to) = to {
                let wanted = Wanted {
                    composition: id.composition,
                    stream,
                    reader,
                };
                let schema = columns::to_arrow(graph.plan().schema(stream));
                self.turn(now, edge, wanted, ((to, node), schema), out);
            }
        }
        for number in numbers {
            self.engine.set_demand(number, cores);
            self.engine.follow_record(number);
            self.engine.start(now, number);
        }
        self.follow_backups(id.composition, hosts, out);
    }

    /// Who of an application reads an operator here.
    fn readers_here(
        &self,
        graph: &ComponentGraph,
        index: usize,
        hosts: &Hosts,
    ) -> Vec<(Stream, Reader)> {
        let plan = graph.plan();
        let ports = 0..plan.operators()[index].outputs.len();
        let streams = ports.map(|port| Stream::Operator(index, u16::try_from(port).unwrap_or(0)));
        let readers = streams.flat_map(|stream| plan.readers(stream).map(move |it| (stream, it)));
        let is_here = |reader: Reader| {
            let binding = graph.reader(reader);
            hosts.get_index_of(&binding.host) == Some(self.place) && !binding.shared
        };
        readers.filter(|(_, reader)| is_here(*reader)).collect()
    }

    /// A graph does not come about: what was made for it goes.
    fn abandon(&mut self, now: Instant, id: MigrationId, out: &mut Vec<Out>) {
        let Some(migration) = self.migrations.remove(&id) else {
            return;
        };
        if let Some(link) = migration.link {
            self.let_go(link, out);
        }
        for (_, edge) in &migration.forks {
            self.engine.close_edge(now, *edge);
        }
        let Some(part) = self.parts.get_mut(&id.composition) else {
            return;
        };
        for (by, _) in &migration.forks {
            part.downstream.remove(by);
        }
        if let Some(deployed) = migration.deployed {
            part.remove(&deployed, migration.wish.operator);
            self.engine.retire(now, deployed.application);
        }
        // Who was of the graph before with nothing, as a backup, is measured on: that nothing has come is to be known.
        if part.numbers.is_empty() && part.graph == migration.wish.graph {
            self.parts.remove(&id.composition);
        }
    }

    /// Drops what was made ready for other graphs of a composition that goes.
    pub(super) fn drop_migrations(
        &mut self,
        now: Instant,
        composition: CompositionId,
        out: &mut Vec<Out>,
    ) {
        let ids = self.migrations.keys().copied();
        let ids: Vec<MigrationId> = ids.filter(|id| id.composition == composition).collect();
        for id in ids {
            self.abandon(now, id, out);
        }
    }
}
