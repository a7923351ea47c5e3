//! The whole plan of a graph: where everything is, what it takes, and what its hosts tell of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::plan::Stream;
use model::{Binding, ComponentGraph, convert};

use super::Commit;
use crate::discovery::Provider;
use crate::message::{Want, Wants};
use crate::queue::Job;
use crate::request::{HostIndex, Part, TARGET_MAX, number};
use crate::select::Graph;
use crate::session::Session;
use crate::stream::Before;

impl Commit {
    /// The delay of the whole plan, and how old what each operator yields is, as its hosts told; with what is shared counted or not.
    pub(super) fn delay(&self, is_counted: bool) -> (Duration, Vec<Duration>) {
        let graph = &self.composed.graph;
        let plan = graph.plan();
        let mut ages: Vec<Duration> = Vec::with_capacity(plan.operators().len());
        let arrival = |ages: &[Duration], part: Part, inputs: &[Stream]| {
            let told = self.told.get(&part);
            let arrivals = inputs.iter().map(|input| {
                let (before, age) = match *input {
                    Stream::Source(index, _) => (Part::Source(number(index)), Duration::ZERO),
                    Stream::Operator(index, _) => (Part::Operator(number(index)), ages[index]),
                };
                let links = told.map_or(&[][..], |told| &told.links);
                let link = links.iter().find(|(it, _)| *it == before);
                age + link.map_or(Duration::ZERO, |(_, link)| *link)
            });
            let execution = told.map_or(Duration::ZERO, |told| told.execution);
            arrivals.max().unwrap_or_default() + execution
        };
        for (index, operator) in plan.operators().iter().enumerate() {
            let is_free = !is_counted && graph.operators()[index].shared;
            let age = match is_free {
                true => Duration::ZERO,
                false => arrival(&ages, Part::Operator(number(index)), &operator.inputs),
            };
            ages.push(age);
        }
        let sinks = plan.sinks().iter().enumerate();
        let delays = sinks.map(|(index, sink)| {
            arrival(
                &ages,
                Part::Sink(number(index)),
                std::slice::from_ref(&sink.input),
            )
        });
        (delays.max().unwrap_or_default(), ages)
    }
}

/// The plan with all of its parts bound to where they really are.
pub(super) fn components(session: &Session, graph: &Graph) -> ComponentGraph {
    let order = &session.order;
    let mut sources: BTreeMap<usize, Binding> = BTreeMap::new();
    let mut operators: BTreeMap<usize, Binding> = BTreeMap::new();
    for (index, host) in session.parts.operators.iter().zip(&graph.hosts) {
        operators.insert(*index, Binding::new(session.request.node(*host)));
    }
    for index in &session.split.sources {
        sources.insert(*index, Binding::new(order.sources[*index]));
    }
    let providers = session.parts.starts.iter().zip(&graph.starts);
    let providers = providers.filter_map(|(start, host)| match start {
        Before::Source(_) => None,
        Before::Operator(index) => Some((*index, session.request.node(*host))),
    });
    let providers: Vec<(usize, &Provider)> = providers
        .filter_map(|(index, node)| {
            let providers = &session.split.shared[&index];
            Some((index, providers.iter().find(|it| it.node == node)?))
        })
        .collect();
    // What is read first: something else may be made of it as well, and have it elsewhere.
    for (index, provider) in &providers {
        operators.insert(*index, Binding::shared(provider.node));
    }
    for (_, provider) in &providers {
        for (part, node) in &provider.places {
            match part {
                Before::Source(index) => sources
                    .entry(*index)
                    .or_insert_with(|| Binding::shared(*node)),
                Before::Operator(index) => operators
                    .entry(*index)
                    .or_insert_with(|| Binding::shared(*node)),
            };
        }
    }
    ComponentGraph::new(
        order.plan.clone(),
        order.origins.clone(),
        sources.into_values().collect(),
        operators.into_values().collect(),
        order.sinks.iter().copied().map(Binding::new).collect(),
    )
    .expect("each part of a plan is read, composed, or part of what is shared")
}

/// What each operator of the plan takes, and can wait: the target less the longest way through it, links and bare costs alone.
pub(super) fn jobs(session: &Session, graph: &Graph) -> Vec<Job> {
    let request = &session.request;
    let place = |part: Part| match part {
        Part::Source(index) => graph.starts[usize::from(index)],
        Part::Operator(index) => graph.hosts[usize::from(index)],
        Part::Sink(_) => request.places(part)[0],
    };
    let link = |from: Part, to: Part| {
        let way = (from, place(from), to, place(to));
        session.facts.link(way).unwrap_or_default()
    };
    let cost = |part: Part| convert::seconds(request.cost_seconds(part));
    let mut until: BTreeMap<Part, Duration> = BTreeMap::new();
    for part in request.parts() {
        let arrival = until.get(&part).copied().unwrap_or_default();
        let done = arrival + request.age(part, place(part)) + cost(part);
        until.insert(part, done);
        for (reader, _) in request.readers(part) {
            let known = until.entry(*reader).or_default();
            *known = (*known).max(done + link(part, *reader));
        }
    }
    let mut behind: BTreeMap<Part, Duration> = BTreeMap::new();
    let parts: Vec<Part> = request.parts().collect();
    for part in parts.into_iter().rev() {
        let readers = request.readers(part).iter();
        let longest = readers.map(|(reader, _)| {
            link(part, *reader) + cost(*reader) + behind.get(reader).copied().unwrap_or_default()
        });
        behind.insert(part, longest.max().unwrap_or_default());
    }
    let target = request.body().target;
    let laxity = |part: Part| {
        let way = until.get(&part).copied().unwrap_or_default()
            + behind.get(&part).copied().unwrap_or_default();
        target.saturating_sub(way)
    };
    // What lies before something shared can wait as long as that.
    let starts = (0..).zip(session.parts.starts.iter().zip(&graph.starts));
    let mut shared: BTreeMap<usize, Duration> = BTreeMap::new();
    for (number, (start, host)) in starts {
        let Before::Operator(index) = start else {
            continue;
        };
        let laxity = laxity(Part::Source(number));
        let node = request.node(*host);
        let providers = session.split.shared[index].iter();
        let places = providers
            .filter(|it| it.node == node)
            .flat_map(|it| it.places.keys());
        for place in places {
            if let Before::Operator(before) = place {
                let known = shared.entry(*before).or_insert(laxity);
                *known = laxity.min(*known);
            }
        }
    }
    let demands = session.order.demands.iter().enumerate();
    demands
        .map(|(index, demand)| {
            let at = session.parts.operators.iter().position(|it| *it == index);
            let laxity = match at {
                Some(at) => laxity(Part::Operator(number(at))),
                None => shared.get(&index).copied().unwrap_or(target),
            };
            Job {
                laxity,
                cores: demand.resources(0).cpu_cores,
                burst_cores: 0.0,
                execution: convert::seconds(demand.cost_seconds),
            }
        })
        .collect()
}

/// Where each operator of the plan may be, and what each part sends to each reader on another host.
pub(super) fn wants(session: &Session) -> Wants {
    let order = &session.order;
    let sources = order.source_demands.iter();
    let operators = order.places.iter().zip(&order.demands);
    let operators = operators.map(|(place, demand)| Want {
        place: place.clone(),
        bytes_per_second: demand.resources(0).uplink_bytes_per_second,
    });
    Wants {
        sources: sources
            .map(|it| it.resources(0).uplink_bytes_per_second)
            .collect(),
        operators: operators.collect(),
    }
}

/// Keeps what hosts have measured, ways and ages of what is shared: the next graph is chosen by them.
pub(super) fn learn(session: &mut Session, commit: &Commit, ages: &[Duration]) {
    let place = |part: Part| match part {
        Part::Source(index) => commit.graph.starts[usize::from(index)],
        Part::Operator(index) => commit.graph.hosts[usize::from(index)],
        Part::Sink(_) => session.request.places(part)[0],
    };
    let in_plan = |part: Part| match part {
        Part::Source(index) => match session.parts.starts[usize::from(index)] {
            Before::Source(index) => Part::Source(number(index)),
            Before::Operator(index) => Part::Operator(number(index)),
        },
        Part::Operator(index) => {
            Part::Operator(number(session.parts.operators[usize::from(index)]))
        }
        Part::Sink(index) => Part::Sink(index),
    };
    let mut measured = Vec::new();
    for part in session.request.parts() {
        for (reader, _) in session.request.readers(part) {
            let told = commit.told.get(&in_plan(*reader));
            let links = told.map_or(&[][..], |told| &told.links);
            if let Some((_, link)) = links.iter().find(|(from, _)| *from == in_plan(part)) {
                measured.push(((part, place(part), *reader, place(*reader)), *link));
            }
        }
    }
    for (way, link) in measured {
        session.facts.measure(way, link);
    }
    let starts = session.parts.starts.iter().zip(&commit.graph.starts);
    let shared: Vec<(usize, HostIndex, Duration)> = starts
        .enumerate()
        .filter_map(|(at, (start, host))| match start {
            Before::Operator(index) => Some((at, *host, ages[*index])),
            Before::Source(_) => None,
        })
        .collect();
    let request = session.request.with(|body| {
        for (at, host, age) in shared {
            let source = &mut body.sources[at];
            for (place, known) in source.hosts.iter().zip(&mut source.ages) {
                if *place == host {
                    *known = age.min(TARGET_MAX);
                }
            }
        }
    });
    session.request = Arc::new(request);
}
