//! Which graph is best: qualification of a whole graph, and how congested it makes its hosts and links.
//!
//! Of the graphs that qualify, the one that spreads best is taken where that was asked; then the one with the least
//!
//! ```text
//! phi = sum over operators p / (rp + p)  +  sum over links b / (rb + b)
//! ```
//!
//! where p is what an operator asks of a resource of its host, b what a link asks of its producer's uplink, and rp and rb are what is
//! left of them when the whole graph is placed (papers, section 3.6). Each term is in 0..=1. Ties go to the shorter delay, then to the
//! hosts that come first.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Resources, convert};

use crate::facts::Facts;
use crate::measure::Lack;
use crate::request::{HostIndex, Part, Request};

/// How far operators are from each having a host for itself: how many share the host of another, then how many are on the
/// host of a source or a sink.
pub(crate) type Crowding = (usize, usize);

/// A whole graph that qualifies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    /// Where each start is.
    pub(crate) starts: Vec<HostIndex>,
    /// Where each operator is.
    pub(crate) hosts: Vec<HostIndex>,
    /// The longest way from a source to a sink.
    pub(crate) delay: Duration,
    pub(crate) congestion: f64,
    pub(crate) crowding: Crowding,
    /// What it takes of each of its hosts.
    pub(crate) takes: BTreeMap<HostIndex, Resources>,
    /// What each operator adds to the delay: the longest way into it, and its execution.
    pub(crate) adds: Vec<Duration>,
}

impl Graph {
    /// Whether this one is to be taken before another of the same request. A total order.
    pub(crate) fn compare(&self, other: &Self, spread: bool) -> Ordering {
        let by_crowding = if spread {
            self.crowding.cmp(&other.crowding)
        } else {
            Ordering::Equal
        };
        by_crowding
            .then(self.congestion.total_cmp(&other.congestion))
            .then(self.delay.cmp(&other.delay))
            .then_with(|| self.hosts.cmp(&other.hosts))
            .then_with(|| self.starts.cmp(&other.starts))
    }

    /// All hosts that take part.
    pub(crate) fn uses(&self, host: HostIndex) -> bool {
        self.takes.contains_key(&host)
    }
}

/// Checks a whole graph: each host once with all that it would carry, each way, and the delay of the longest.
///
/// # Errors
/// The part at which the check fails, its host, and the lack; nothing for the lack where a way or a host was not checked.
pub(crate) fn qualify(
    request: &Request,
    facts: &Facts,
    (starts, hosts): (Vec<HostIndex>, Vec<HostIndex>),
    target: Duration,
) -> Result<Graph, (Part, HostIndex, Option<Lack>)> {
    let place = |part: Part| match part {
        Part::Operator(index) => hosts[usize::from(index)],
        Part::Source(index) => starts[usize::from(index)],
        Part::Sink(_) => request.places(part)[0],
    };
    let mut takes: BTreeMap<HostIndex, Resources> = BTreeMap::new();
    for part in request.parts() {
        let host = place(part);
        let taken = takes.entry(host).or_default();
        *taken = *taken + request.needs(part);
        for (reader, _) in request.readers(part) {
            if place(*reader) != host {
                taken.uplink_bytes_per_second += request.edge_bytes_per_second(part, *reader);
            }
        }
        let spare = facts.spare(host).ok_or((part, host, None))?;
        if let Some(lack) = Lack::of(taken, &spare.available) {
            return Err((part, host, Some(lack)));
        }
    }
    let mut congestion = 0.0;
    let mut adds = Vec::with_capacity(hosts.len());
    let mut arrivals: BTreeMap<Part, (Duration, Duration)> = BTreeMap::new();
    let mut delay = Duration::ZERO;
    for part in request.parts() {
        let host = place(part);
        let spare = facts.spare(host).ok_or((part, host, None))?;
        let (arrival, longest) = arrivals.get(&part).copied().unwrap_or_default();
        let arrival = arrival + request.age(part, host);
        let execution = spare.execution(request.cost_seconds(part), takes[&host].cpu_cores);
        let done = arrival + execution;
        let least = done + request.rest(part);
        if least > target {
            return Err((part, host, Some(Lack::of_delay(least, target))));
        }
        match part {
            Part::Operator(_) => adds.push(longest + execution),
            Part::Sink(_) => delay = delay.max(done),
            Part::Source(_) => {}
        }
        congestion += part_congestion(&request.needs(part), &spare.available, &takes[&host]);
        for (reader, _) in request.readers(part) {
            let to = place(*reader);
            let link = facts.link((part, host, *reader, to));
            let link = link.ok_or((*reader, to, None))?;
            let known = arrivals.entry(*reader).or_default();
            *known = (known.0.max(done + link), known.1.max(link));
            if to != host {
                let bytes = request.edge_bytes_per_second(part, *reader);
                congestion += link_congestion(bytes, &spare.available, &takes[&host]);
            }
        }
    }
    let crowding = crowding(request, &hosts);
    Ok(Graph {
        starts,
        hosts,
        delay,
        congestion,
        crowding,
        takes,
        adds,
    })
}

/// How far the hosts of operators are from being spread.
pub(crate) fn crowding(request: &Request, hosts: &[HostIndex]) -> Crowding {
    let distinct: BTreeSet<HostIndex> = hosts.iter().copied().collect();
    let body = request.body();
    let sources = body
        .sources
        .iter()
        .flat_map(|source| source.hosts.iter().copied());
    let ends: BTreeSet<HostIndex> = sources
        .chain(body.sinks.iter().map(|sink| sink.host))
        .collect();
    let at_ends = hosts.iter().filter(|host| ends.contains(host)).count();
    (hosts.len() - distinct.len(), at_ends)
}

/// The terms of phi of an operator: of what its host has available, `taken` is what the whole graph takes.
pub(crate) fn part_congestion(asks: &Resources, available: &Resources, taken: &Resources) -> f64 {
    let left = *available - *taken;
    let bytes = convert::count_to_f64;
    term(asks.cpu_cores, left.cpu_cores) + term(bytes(asks.memory_bytes), bytes(left.memory_bytes))
}

/// The term of phi of a link that leaves a host.
pub(crate) fn link_congestion(bytes: f64, available: &Resources, taken: &Resources) -> f64 {
    term(bytes, (*available - *taken).uplink_bytes_per_second)
}

/// `asked / (left + asked)`; nothing for what asks for nothing.
fn term(asked: f64, left: f64) -> f64 {
    if asked > 0.0 {
        asked / (left.max(0.0) + asked)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_is_what_is_asked_of_what_was_there_before() {
        let available = Resources {
            cpu_cores: 2.0,
            memory_bytes: 1000,
            uplink_bytes_per_second: 50.0,
        };
        let asks = Resources {
            cpu_cores: 0.5,
            memory_bytes: 0,
            uplink_bytes_per_second: 0.0,
        };
        // 0.5 of the 1.5 that are left beside another operator of the graph on that host.
        let taken = Resources {
            cpu_cores: 1.0,
            ..asks
        };
        assert!((part_congestion(&asks, &available, &taken) - 0.5 / 1.5).abs() < 1e-12);
        let taken = Resources {
            uplink_bytes_per_second: 25.0,
            ..taken
        };
        assert!((link_congestion(25.0, &available, &taken) - 0.5).abs() < 1e-12);
        assert!(link_congestion(0.0, &available, &taken).abs() < 1e-12);
    }

    #[test]
    fn ties_go_to_the_shorter_delay_then_to_the_first_hosts() {
        let graph = |congestion, delay_ms, hosts: &[HostIndex], crowding| Graph {
            starts: Vec::new(),
            hosts: hosts.to_vec(),
            delay: Duration::from_millis(delay_ms),
            congestion,
            crowding,
            takes: BTreeMap::new(),
            adds: Vec::new(),
        };
        let mut graphs = [
            graph(0.2, 5, &[1, 1], (1, 0)),
            graph(0.1, 9, &[1, 2], (0, 2)),
            graph(0.2, 5, &[1, 0], (0, 1)),
            graph(0.2, 4, &[2, 1], (0, 0)),
        ];
        graphs.sort_by(|a, b| a.compare(b, false));
        let order: Vec<&[HostIndex]> = graphs.iter().map(|it| it.hosts.as_slice()).collect();
        assert_eq!(order, [[1, 2], [2, 1], [1, 0], [1, 1]]);
        graphs.sort_by(|a, b| a.compare(b, true));
        let order: Vec<&[HostIndex]> = graphs.iter().map(|it| it.hosts.as_slice()).collect();
        assert_eq!(order, [[2, 1], [1, 0], [1, 2], [1, 1]]);
    }
}
