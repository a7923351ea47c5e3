//! Engines, in discrete fidelity: what they want done, done.

use std::time::Duration;

use engine::Admitted;

use super::{
    Arc, ComponentGraph, CompositionId, Delays, Event, Facts, Input, Ticket, World, convert,
};
use crate::simulator::discrete::{Arrivals, BROKEN_AFTER, Costs, Counted, Happening, Out};
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
        let node = self.hosts[host].id;
        let Some(discrete) = &mut self.discrete else {
            return Ok(());
        };
        discrete.retire(local, host, id);
        let mut out = discrete.deploy(local, host, id, graph, facts, node)?;
        discrete.drive(local, host, &self.numbers, &mut out);
        self.carry(host, out);
        Ok(())
    }

    pub(super) fn start_engine(
        &mut self,
        host: usize,
        id: CompositionId,
        cores: f64,
        admitted: Admitted,
    ) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = Vec::new();
            discrete.start(local, host, id, cores, admitted);
            discrete.drive(local, host, &self.numbers, &mut out);
            self.carry(host, out);
        }
    }

    pub(super) fn retire_engine(&mut self, host: usize, id: CompositionId) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = Vec::new();
            discrete.retire(local, host, id);
            discrete.drive(local, host, &self.numbers, &mut out);
            self.carry(host, out);
        }
    }

    pub(super) fn release_engine(&mut self, host: usize, id: CompositionId) {
        let local = self.hosts[host].clock.local(self.now);
        if let Some(discrete) = &mut self.discrete {
            let mut out = Vec::new();
            discrete.release(local, host, id);
            discrete.drive(local, host, &self.numbers, &mut out);
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

    fn carry(&mut self, from: usize, out: Vec<Out>) {
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
                Out::Happened(id, event) => {
                    self.later(from, Duration::ZERO, 0, Input::Happened { id, event });
                }
                Out::Wrong(what) => self.checker.report(self.now, Some(from), what),
            }
        }
    }

    fn engine_later(&mut self, host: usize, after: Duration, what: Happening) {
        let start = self.hosts[host].start;
        let event = Event::Engine {
            host,
            start,
            what: Box::new(what),
        };
        self.queue.push(self.now + after, 0, event);
    }
}
