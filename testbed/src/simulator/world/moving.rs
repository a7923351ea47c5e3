//! Operators that go to other hosts, as nodes want it done.

use composition::{MigrationId, Taken};
use model::{ApplicationId, CompositionId, NodeId};
use node::node::PartEvent;

use super::effects::DEPLOYED_AFTER;
use super::{Arc, ComponentGraph, Duration, Event, Input, World};
use crate::simulator::discrete::{Held, Wish};

/// How long is waited for the owner of what is shared, before it is made anew. Unit: time. Source: production's.
const OWNER_WAIT: Duration = Duration::from_secs(4);

/// A graph that holds on a host which was not asked to make ready for it.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) cause: u32,
    pub(super) id: CompositionId,
    pub(super) application: ApplicationId,
    pub(super) graph: ComponentGraph,
    pub(super) cores: f64,
}

impl World {
    /// A host makes ready for another graph.
    pub(super) fn prepare(
        &mut self,
        host: usize,
        cause: u32,
        (id, application): (MigrationId, &ApplicationId),
        graph: ComponentGraph,
        (operator, from): (u16, NodeId),
    ) {
        let operator = usize::from(operator);
        let facts = self.facts.get(application);
        let cost = facts.and_then(|it| Some(it.demands.get(operator)?.cost_seconds));
        let (Some(from), Some(cost)) = (self.host_of(from), cost) else {
            let reason = "its state is not to be had".to_owned();
            let input = Input::PrepareFailed { id, reason };
            return self.later(host, DEPLOYED_AFTER, cause, input);
        };
        let wish = Wish {
            id,
            graph: Arc::new(graph),
            operator,
            from,
            cost,
        };
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = discrete.prepare(local, host, wish, &self.numbers);
            discrete.drive(local, host, &mut out);
            return self.carry(host, out);
        }
        let binding = wish.graph.operators()[operator];
        let is_taken = binding.host == self.node(host) && !binding.shared;
        let is_cut = !self.hosts[from].is_up || self.network.cuts(from, host);
        let made = match is_taken && is_cut {
            true => Err("its state is not to be had".to_owned()),
            false => Ok(Taken::default()),
        };
        self.on_prepared(host, cause, &wish, made);
    }

    /// What a host makes ready is there, or cannot be: what it takes of the host is noted.
    pub(super) fn on_prepared(
        &mut self,
        host: usize,
        cause: u32,
        wish: &Wish,
        made: Result<Taken, String>,
    ) {
        let (id, from) = (wish.id, wish.from);
        let binding = wish.graph.operators()[wish.operator];
        let mut after = DEPLOYED_AFTER;
        if self.discrete.is_none()
            && binding.host == self.node(host)
            && !binding.shared
            && from != host
        {
            // Its state is asked for and comes; nothing is known of how large it is.
            after += self.round_trip(host, from);
        }
        let made = made.and_then(|taken| {
            let places = (wish.operator, from);
            let noted = self
                .fluid
                .prepare(host, id, &wish.graph, places, &self.numbers);
            if noted.is_err() {
                self.abandon_engine(host, id);
            }
            noted.map(|()| taken)
        });
        self.follow_loads();
        let input = match made {
            Ok(taken) => Input::Prepared { id, taken },
            Err(reason) => Input::PrepareFailed { id, reason },
        };
        self.later(host, after, cause, input);
    }

    /// The graph that a host is ready for holds there.
    pub(super) fn switch(
        &mut self,
        host: usize,
        id: MigrationId,
        graph: ComponentGraph,
        cores: f64,
    ) {
        // Hosts of one composition share one graph.
        let known = self.graphs.get(&id.composition);
        let known = known.filter(|known| ***known == graph);
        let graph = known.map_or_else(|| Arc::new(graph), Arc::clone);
        if self.is_traced {
            let graph = self.described(&graph);
            self.note(host, &format!("goes over to {graph}"));
        }
        let Some(gone) = self.fluid.switch(host, id, &graph, &self.numbers) else {
            // Engines may have let go of it already, and be about to say so.
            if self.discrete.is_none() {
                let what = format!("{id:?} was never ready");
                self.checker.report(self.now, Some(host), what);
            }
            return;
        };
        let generation = self.moved.entry(id.composition).or_default();
        if *generation < id.generation {
            *generation = id.generation;
            self.graphs.insert(id.composition, Arc::clone(&graph));
        }
        let local = self.hosts[host].clock.local(self.now);
        let Some(discrete) = &mut self.discrete else {
            return self.tell_retired(gone);
        };
        // What goes is told by engines when it has gone.
        let mut out = discrete.switch(local, host, (id, &graph), cores, &self.numbers);
        discrete.drive(local, host, &mut out);
        self.carry(host, out);
        self.follow_loads();
    }

    /// A graph holds on a host that was not asked to make ready for it: at once, or, where nothing of it runs there yet, as soon as what it shares there
    /// does. After a restart applications come back in any order.
    pub(super) fn adopt(&mut self, host: usize, adopted: Adopted) {
        let (id, start) = (adopted.id, self.hosts[host].start);
        if self.discrete.is_some()
            && !self.fluid.hosts_of(id).contains(&host)
            && self.shares_what_lacks(host, &adopted)
        {
            if self.awaiting.insert((host, id), adopted).is_none() {
                let event = Event::Awaited { host, start, id };
                self.queue.push(self.now + OWNER_WAIT, 0, event);
            }
            return;
        }
        self.awaiting.remove(&(host, id));
        self.adopt_now(host, adopted);
        let ready = |((at, _), it): &(&(usize, CompositionId), &Adopted)| {
            *at == host && !self.shares_what_lacks(host, it)
        };
        if let Some((key, _)) = self.awaiting.iter().find(ready) {
            let key = *key;
            self.on_awaited(host, key.1);
        }
    }

    /// Enough was waited for the owner of what a composition shares.
    pub(super) fn on_awaited(&mut self, host: usize, id: CompositionId) {
        if let Some(adopted) = self.awaiting.remove(&(host, id)) {
            self.adopt_now(host, adopted);
        }
    }

    fn shares_what_lacks(&self, host: usize, adopted: &Adopted) -> bool {
        let Adopted { id, graph, .. } = adopted;
        self.fluid
            .shares_what_lacks(host, *id, graph, &self.numbers)
    }

    fn adopt_now(&mut self, host: usize, adopted: Adopted) {
        let Adopted {
            cause,
            id,
            application,
            graph,
            cores,
        } = adopted;
        let application = &application;
        let Some(facts) = self.facts.get(application).cloned() else {
            let what = format!("{application:?} goes on, which nobody asked for");
            return self.checker.report(self.now, Some(host), what);
        };
        let graph = self.bind(id, graph, &facts);
        self.hosts[host].has_adopted = true;
        if self.is_traced {
            let graph = self.described(&graph);
            self.note(host, &format!("adopts {} as {graph}", application.name));
        }
        let bound = self.fluid.adopt(host, id, &graph, &facts, &self.numbers);
        if !bound.made.is_empty() {
            *self.repaired.entry(id).or_default() += 1;
        }
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let held = Held {
                id,
                graph: &graph,
                facts: &facts,
                cores,
            };
            // What was made and what goes is told by engines.
            let mut out = discrete.adopt(local, host, &held, &self.numbers);
            discrete.drive(local, host, &mut out);
            self.carry(host, out);
            return self.follow_loads();
        }
        for component in bound.made {
            let event = PartEvent::Restored {
                component,
                state_bytes: 0,
            };
            self.later(host, DEPLOYED_AFTER, cause, Input::Happened { id, event });
        }
        self.tell_retired(bound.gone);
        self.follow_loads();
    }

    /// Whether all of a composition runs by a graph that its sinks read, in fluid fidelity.
    pub(in crate::simulator) fn yields(&self, id: CompositionId, graph: &ComponentGraph) -> bool {
        self.fluid.yields(id, graph, &self.numbers)
    }

    /// Where the operators and the sinks of a graph run.
    pub(in crate::simulator) fn places(&self, graph: &ComponentGraph) -> Vec<Option<usize>> {
        let bindings = graph.operators().iter().chain(graph.sinks());
        bindings.map(|it| self.host_of(it.host)).collect()
    }

    /// What of a graph is where, for people: what is shared has a star.
    pub(super) fn described(&self, graph: &ComponentGraph) -> String {
        let plan = graph.plan();
        let sources = plan.sources().iter().map(|it| &it.name);
        let operators = plan.operators().iter().map(|it| &it.name);
        let names = sources
            .chain(operators)
            .chain(plan.sinks().iter().map(|it| &it.name));
        let bindings = graph
            .sources()
            .iter()
            .chain(graph.operators())
            .chain(graph.sinks());
        let described = names.zip(bindings).map(|(name, binding)| {
            let host = self.host_of(binding.host);
            let host = host.map_or_else(|| "?".to_owned(), |it| it.to_string());
            let star = if binding.shared { "*" } else { "" };
            format!("{name}@{host}{star}")
        });
        described.collect::<Vec<String>>().join(" ")
    }

    /// The graph does not come about.
    pub(super) fn abandon(&mut self, host: usize, id: MigrationId) {
        self.abandon_engine(host, id);
        self.fluid.abandon(host, id);
        self.follow_loads();
    }

    fn abandon_engine(&mut self, host: usize, id: MigrationId) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = discrete.abandon(local, host, id);
            discrete.drive(local, host, &mut out);
            self.carry(host, out);
        }
    }
}
