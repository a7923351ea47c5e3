//! What a path of hops asks for, how congested it is, and where it goes on: pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{NodeView, Resources, convert};

use crate::candidates::STEP;
use crate::message::Hop;
use crate::queue::Job;
use crate::request::{HostIndex, Part, Request};

/// What a path asks of each of its hosts: its parts there, and the ways that leave it. The way on from the last hop is not known
/// yet.
pub(crate) fn placed(request: &Request, path: &[Hop]) -> BTreeMap<HostIndex, Resources> {
    let mut placed: BTreeMap<HostIndex, Resources> = BTreeMap::new();
    for (index, hop) in path.iter().enumerate() {
        let here = placed.entry(hop.host).or_default();
        *here = *here + request.needs(hop.part);
        if let Some(next) = path.get(index + 1)
            && next.host != hop.host
        {
            here.uplink_bytes_per_second += request.edge_bytes_per_second(hop.part, next.part);
        }
    }
    placed
}

/// What a path asks of the host of its last hop.
pub(crate) fn placed_last(request: &Request, path: &[Hop]) -> Resources {
    let last = path.last().expect("a path has a hop");
    placed(request, path)[&last.host]
}

/// What a path puts on the host of its last hop, all of it as strict as the last.
pub(crate) fn jobs_last(request: &Request, path: &[Hop], laxity: Duration) -> Vec<Job> {
    let Some(last) = path.last() else {
        return Vec::new();
    };
    let here = path.iter().filter(|hop| hop.host == last.host);
    let operators = here.filter(|hop| matches!(hop.part, Part::Operator(_)));
    operators
        .map(|hop| Job {
            laxity,
            cores: request.needs(hop.part).cpu_cores,
            burst_cores: 0.0,
            execution: convert::seconds(request.cost_seconds(hop.part)),
        })
        .collect()
}

/// What can be waited at the last hop of a path as whoever confirms it counts: the target less ways and bare costs alone, the way on at its
/// least.
pub(crate) fn laxity_last(view: &NodeView, request: &Request, path: &[Hop]) -> Duration {
    let (Some(first), Some(last)) = (path.first(), path.last()) else {
        return request.body().target;
    };
    let hops = path.iter();
    let ways: Duration = hops
        .map(|hop| hop.link + convert::seconds(request.cost_seconds(hop.part)))
        .sum();
    let sinks = request.body().sinks.iter();
    let way_on = sinks.map(|sink| delay(view, request, last.host, sink.host));
    let done = request.age(first.part, first.host) + ways + way_on.max().unwrap_or_default();
    request.laxity(last.part, done)
}

/// The delay of the way from this node to a host of a request: as this node knows it, else as the composing node does.
pub(crate) fn link(view: &NodeView, request: &Request, host: HostIndex) -> Duration {
    let host = request.body().hosts[usize::from(host)];
    if let Some(delay) = view.delay(view.node(), host.node) {
        return delay;
    }
    view.host.coordinate.round_trip(&host.coordinate) / 2
}

/// The delay of a way between two hosts of a request, as this node knows it, else as their coordinates say.
pub(crate) fn delay(
    view: &NodeView,
    request: &Request,
    from: HostIndex,
    to: HostIndex,
) -> Duration {
    let hosts = &request.body().hosts;
    let (from, to) = (hosts[usize::from(from)], hosts[usize::from(to)]);
    if from.node == to.node {
        return Duration::ZERO;
    }
    let known = view.delay(from.node, to.node);
    known.unwrap_or_else(|| from.coordinate.round_trip(&to.coordinate) / 2)
}

/// To which candidates of which readers a path goes on, the readers in turn, so that none is left out when there may be fewer.
///
/// Of a reader with one input those that are near from here are asked, in full milliseconds, ties by the request's order. Of one with several,
/// and where operators are to be spread, the first of the request's order are: branches that must meet then agree. Where operators are to
/// be spread, hosts that the path uses come last.
pub(crate) fn choose_next(
    view: &NodeView,
    request: &Request,
    path: &[Hop],
) -> Vec<(Part, HostIndex)> {
    let last = path.last().expect("a path that goes on has a hop").part;
    let used: BTreeSet<HostIndex> = path
        .iter()
        .filter(|hop| matches!(hop.part, Part::Operator(_)))
        .map(|hop| hop.host)
        .collect();
    let choose = |reader: Part| {
        let mut hosts = request.places(reader).to_vec();
        if request.body().spread {
            hosts.sort_by_key(|host| used.contains(host));
        } else if !request.body().keeps_order && !meets(request, reader) {
            let steps = |host: HostIndex| link(view, request, host).as_nanos() / STEP.as_nanos();
            hosts.sort_by_key(|host| steps(*host));
        }
        hosts.truncate(usize::from(request.body().fan_out));
        hosts
    };
    let readers: Vec<(Part, Vec<HostIndex>)> = request
        .readers(last)
        .iter()
        .map(|(reader, _)| (*reader, choose(*reader)))
        .collect();
    let longest = readers.iter().map(|(_, hosts)| hosts.len()).max();
    (0..longest.unwrap_or(0))
        .flat_map(|turn| {
            let of_turn = readers.iter();
            of_turn.filter_map(move |(part, hosts)| Some((*part, *hosts.get(turn)?)))
        })
        .collect()
}

/// Whether branches meet in a part.
fn meets(request: &Request, part: Part) -> bool {
    match part {
        Part::Operator(index) => {
            let inputs = &request.body().operators[usize::from(index)].inputs;
            inputs.iter().any(|input| *input != inputs[0])
        }
        Part::Source(_) | Part::Sink(_) => false,
    }
}
