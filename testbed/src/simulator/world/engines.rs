//! Engines, in discrete fidelity: what they want done, done.

use std::time::Duration;

use composition::queue::Job;
use engine::Admitted;
use model::Binding;
use node::node::PartEvent;

use super::{
    Arc, ComponentGraph, CompositionId, Delays, Event, Facts, Input, Ticket, World, convert,
};
use crate::simulator::discrete::{
    Arrivals, BROKEN_AFTER, Costs, Counted, Happening, Out, Tampering,
};
use crate::simulator::exact::{Exact, Through};
use crate::simulator::network::Passing;

impl World {
    /// How rows come at sources that begin from now on; in discrete fidelity alone.
    pub const fn set_arrivals(&mut self, arrivals: Arrivals) {
        if let Some(discrete) = &mut self.discrete {
            discrete.arrivals = arrivals;
        }
    }

    /// How costs vary from now on; in discrete fidelity alone.
    pub fn set_costs(&mut self, costs: Costs) {
        if let Some(discrete) = &mut self.discrete {
            discrete.set_costs(costs);
        }
    }

    /// No source offers any more, in discrete fidelity: what is under way comes to its end.
    pub fn stop_sources(&mut self) {
        if let Some(discrete) = &mut self.discrete {
            discrete.stop_feeds();
        }
    }

    /// From now on, keeps all rows that sources offer and that leave at sinks, in discrete fidelity: see [`World::check_rows`].
    pub fn keep_rows(&mut self) {
        if self.discrete.is_some() {
            self.exact = Some(Exact::default());
        }
    }

    /// Compares what has left for an application with what a sequential reference makes of what its sources have offered; all of that where
    /// nothing is under way any more (`is_drained`). Gives how many rows left, and what is wrong.
    pub fn check_rows(&self, ticket: Ticket, is_drained: bool) -> (usize, Vec<String>) {
        let id = self.asked_of(ticket).composition;
        let Some(((exact, id), graph)) = self
            .exact
            .as_ref()
            .zip(id)
            .and_then(|(exact, id)| Some(((exact, id), self.graphs.get(&id)?)))
        else {
            return (0, Vec::new());
        };
        let through = if is_drained {
            Through::All
        } else {
            Through::Last
        };
        let mut wrong = exact.wrong().to_vec();
        // What its host has told that it lost is not known row by row.
        if !self.has_lost_state(Some(id)) {
            wrong.extend(exact.check(id, graph, through));
        }
        (exact.left_rows(id), wrong)
    }

    /// Doubles or drops the next rows that come to a host, in discrete fidelity: to show that what checks them can fail.
    pub fn tamper(&mut self, host: usize, tampering: Tampering) {
        if let Some(discrete) = &mut self.discrete {
            discrete.tamper(host, tampering);
        }
    }

    /// What was counted at the sinks of an application, in discrete fidelity.
    pub fn counted(&self, ticket: Ticket) -> Vec<Counted> {
        let Some((id, discrete)) = self
            .asked_of(ticket)
            .composition
            .zip(self.discrete.as_ref())
        else {
            return Vec::new();
        };
        let hosts = self.fluid.hosts_of(id).into_iter();
        hosts
            .flat_map(|host| discrete.counted(host, id))
            .cloned()
            .collect()
    }

    /// How long the components of an application take for a row, as their hosts project it now, in the plan's order: those that it has for
    /// itself. Nothing where one of them does not run.
    pub fn projected(&self, ticket: Ticket) -> Option<Vec<Duration>> {
        let id = self.asked_of(ticket).composition?;
        let graph = self.fluid.graph(id)?;
        let own = (0_u16..).zip(graph.operators());
        let own = own.filter(|(_, binding)| !binding.shared);
        own.map(|(operator, binding)| {
            let host = self.host_of(binding.host)?;
            self.hosts[host].node.projected_execution(id, operator)
        })
        .collect()
    }

    /// Rows that the sources of an application have offered, and that they dropped since nobody took them, in
    /// discrete fidelity.
    pub fn offered(&self, ticket: Ticket) -> (u64, u64) {
        let Some((id, discrete)) = self
            .asked_of(ticket)
            .composition
            .zip(self.discrete.as_ref())
        else {
            return (0, 0);
        };
        let hosts = self.fluid.hosts_of(id).into_iter();
        let offered = hosts.map(|host| discrete.offered(host, id));
        offered.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    /// The operators that a composition has for its own on a host, by their places in the plan, and what each takes.
    pub(super) fn jobs(&self, host: usize, id: CompositionId) -> Vec<(usize, Job)> {
        let Some((discrete, facts)) = self.discrete.as_ref().zip(self.composed.get(&id)) else {
            return self.fluid.jobs(host, id);
        };
        let operators = discrete.operators(host, id).into_iter();
        operators
            .map(|index| (index, facts.job(index, facts.target)))
            .collect()
    }

    /// What all components on a host take that applications have for their own. Unit: cores.
    pub(in crate::simulator) fn running_cores(&self, host: usize) -> f64 {
        let Some(discrete) = &self.discrete else {
            return self.fluid.cores(host);
        };
        let jobs = discrete
            .compositions(host)
            .flat_map(|id| self.jobs(host, id));
        jobs.map(|(_, job)| job.cores).sum()
    }

    /// The hosts that have something of a composition where no other reads any of it: what is before that goes on for it, too.
    pub(in crate::simulator) fn left_of(&self, id: CompositionId) -> Vec<usize> {
        let Some((discrete, graph)) = self.discrete.as_ref().zip(self.graphs.get(&id)) else {
            let is_read = self.fluid.is_kept_for_others(id);
            return (!is_read)
                .then(|| self.fluid.hosts_of(id))
                .into_iter()
                .flatten()
                .collect();
        };
        let reads_there = |other: CompositionId, host: usize| {
            let node = self.numbers.get_index(host).map(|(node, ())| *node);
            let Some((other, node)) = self.graphs.get(&other).zip(node) else {
                return false;
            };
            let plan = other.plan();
            plan.edges().any(|(stream, _)| {
                let name = plan.stream_name(stream);
                let is_of_it = graph.plan().streams_named(name).next().is_some();
                other.producer(stream) == Binding::shared(node) && is_of_it
            })
        };
        let has_it = |host: &usize| discrete.compositions(*host).any(|it| it == id);
        let hosts: Vec<usize> = (0..self.hosts.len()).filter(has_it).collect();
        let is_read = hosts.iter().any(|host| {
            let mut others = discrete.compositions(*host).filter(|it| *it != id);
            others.any(|other| reads_there(other, *host))
        });
        if is_read { Vec::new() } else { hosts }
    }

    pub(super) fn measured_delay(&self, id: CompositionId) -> Option<Delays> {
        let discrete = self.discrete.as_ref()?;
        let target = self.fluid.target(id)?;
        let hosts = self.fluid.hosts_of(id).into_iter();
        let counted = hosts.flat_map(|host| discrete.counted(host, id));
        let full = counted.filter_map(|it| it.quantile(0.5)).max()?;
        Some(Delays {
            full,
            from_sharing_point: full,
            target,
        })
    }

    pub(super) fn deploy_engine(
        &mut self,
        host: usize,
        id: CompositionId,
        graph: &Arc<ComponentGraph>,
        facts: &Facts,
    ) -> Result<(), String> {
        let local = self.hosts[host].clock.local(self.now);
        let Some(discrete) = &mut self.discrete else {
            return Ok(());
        };
        let mut out = discrete.retire(local, host, id);
        out.extend(discrete.deploy(local, host, id, graph, facts, &self.numbers)?);
        if let Some(exact) = &mut self.exact {
            let node = self.hosts[host].id;
            let is_here = |(_, binding): &(usize, &Binding)| binding.host == node;
            let sources = graph.sources().iter().enumerate().filter(is_here);
            for (index, _) in sources.filter(|(_, binding)| !binding.shared) {
                exact.begin_source((id, index));
            }
            for (index, _) in graph.sinks().iter().enumerate().filter(is_here) {
                exact.begin_sink((id, index));
            }
        }
        discrete.drive(local, host, &mut out);
        self.carry(host, out);
        Ok(())
    }

    pub(super) fn start_engine(
        &mut self,
        host: usize,
        id: CompositionId,
        cores: f64,
        admitted: &Admitted,
    ) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = Vec::new();
            discrete.start(local, host, id, cores, admitted);
            discrete.drive(local, host, &mut out);
            self.carry(host, out);
        }
    }

    pub(super) fn retire_engine(&mut self, host: usize, id: CompositionId) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = discrete.retire(local, host, id);
            discrete.drive(local, host, &mut out);
            self.carry(host, out);
        }
    }

    pub(super) fn release_engine(&mut self, host: usize, id: CompositionId) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = discrete.release(local, host, id);
            discrete.drive(local, host, &mut out);
            self.carry(host, out);
        }
    }

    pub(super) fn on_engine(&mut self, host: usize, what: Happening) {
        let local = self.hosts[host].clock.local(self.now);
        let Self {
            discrete,
            numbers,
            setup,
            ..
        } = self;
        if let Some(discrete) = discrete {
            let topology = &setup.topology;
            let round_trip = |a: usize, b: usize| topology.delay(a, b) + topology.delay(b, a);
            let out = discrete.happen(local, host, what, numbers, round_trip);
            self.carry(host, out);
        }
    }

    /// A composition goes by a graph from here on. Hosts of one composition share one graph.
    pub(super) fn bind(
        &mut self,
        id: CompositionId,
        graph: ComponentGraph,
        facts: &Arc<Facts>,
    ) -> Arc<ComponentGraph> {
        let known = self.graphs.get(&id).filter(|known| ***known == graph);
        let graph = known.map_or_else(|| Arc::new(graph), Arc::clone);
        if let Some(exact) = &mut self.exact {
            exact.bind(id, &graph);
        }
        self.graphs.insert(id, Arc::clone(&graph));
        self.composed.insert(id, Arc::clone(facts));
        graph
    }

    /// Whether an operator of a composition went on without the state that it had, as its host has told.
    pub fn has_lost_state(&self, id: Option<CompositionId>) -> bool {
        id.is_some_and(|id| self.lost_states.contains(&id))
    }

    /// Notes that a sink goes on elsewhere, or anew; and that state is lost.
    fn note_event(&mut self, id: CompositionId, event: &PartEvent) {
        if matches!(event, PartEvent::StateLost { .. }) {
            self.lost_states.insert(id);
        }
        let PartEvent::Restored { component, .. } = event else {
            return;
        };
        let sinks = self.graphs.get(&id).map(|graph| graph.plan().sinks());
        let place = sinks.and_then(|sinks| sinks.iter().position(|it| it.name == *component));
        if let Some((exact, place)) = self.exact.as_mut().zip(place) {
            exact.resume_sink((id, place));
        }
    }

    pub(super) fn carry(&mut self, from: usize, out: Vec<Out>) {
        for out in out {
            match out {
                Out::Later(after, what) => self.engine_later(from, after, what),
                Out::Send(to, what, ..) if to == from => {
                    self.engine_later(to, Duration::ZERO, what);
                }
                Out::Send(to, what, link, bytes) => {
                    self.count("data", 1, convert::size(bytes));
                    let verdict = self.network.judge_stream(&Passing {
                        now: self.now,
                        from,
                        to,
                        bytes,
                    });
                    if verdict.is_cut || !self.hosts[to].is_up {
                        // The stream is broken: both ends miss the beats of the other.
                        for end in [from, to] {
                            self.engine_later(end, BROKEN_AFTER, Happening::Broken(link));
                        }
                    } else {
                        self.engine_later(to, verdict.delay, what);
                    }
                }
                Out::Retired(id) => {
                    let mut gone = self.fluid.retire(from, id, &self.numbers);
                    gone.retain(|other| *other != (from, id));
                    gone.push((from, id));
                    self.tell_retired(gone);
                }
                Out::Prepared(wish, made) => self.on_prepared(from, 0, &wish, made),
                Out::Happened(id, event) => {
                    self.note_event(id, &event);
                    self.later(from, Duration::ZERO, 0, Input::Happened { id, event });
                }
                Out::Offered(of, origin, row) => {
                    if let Some(exact) = &mut self.exact {
                        exact.offer(of, origin, row);
                    }
                }
                Out::Left(of, batch) => {
                    if let Some(exact) = &mut self.exact {
                        exact.leave(self.now, of, &batch);
                    }
                }
                Out::Wrong(what) => self.checker.report(self.now, Some(from), what),
            }
        }
    }

    pub(super) fn engine_later(&mut self, host: usize, after: Duration, what: Happening) {
        let start = self.hosts[host].start;
        let event = Event::Engine {
            host,
            start,
            what: Box::new(what),
        };
        self.queue.push(self.now + after, 0, event);
    }
}
