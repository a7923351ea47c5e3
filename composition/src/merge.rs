//! From hops to whole graphs: paths that agree on what they share are put together.
//!
//! Operators are bound one after another in topological order. A partial graph goes on with every candidate that a probe found the way
//! to from all inputs, and that still has what is asked. Of the partial graphs the least congested and the
//! fastest are kept (a beam): small plans are searched completely, of large ones as much as there is time for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use model::Resources;

use crate::facts::Facts;
use crate::measure::Lack;
use crate::request::{HostIndex, Part, Request};
use crate::select::{self, Graph};

/// How many partial graphs are kept of each operator.
///
/// Unit: graphs. With 8 candidates every plan of three operators is searched completely. For the largest plan,
/// 256 operators x 512 x 8 steps of some 100 ns are a tenth of a second. Source: guess; not yet measured.
const BEAM: usize = 512;

/// Why there is no graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blocked {
    /// The first part for which nothing was found.
    pub(crate) part: Part,
    /// What the hosts lacked, of each the mildest.
    pub(crate) lacks: BTreeMap<HostIndex, Lack>,
}

/// A part of a graph: the operators so far.
#[derive(Debug, Clone, Default)]
struct Partial {
    /// Where each start is.
    starts: Vec<HostIndex>,
    hosts: Vec<HostIndex>,
    taken: BTreeMap<HostIndex, Resources>,
    /// When each operator is done.
    done: Vec<Duration>,
    /// When the last of them is done, with the least that follows it.
    latest: Duration,
    congestion: f64,
}

/// What an operator more would make of a partial graph.
struct Extension {
    partial: usize,
    host: HostIndex,
    /// What it adds to the hosts that it touches.
    takes: Vec<(HostIndex, Resources)>,
    done: Duration,
    latest: Duration,
    crowding: select::Crowding,
    congestion: f64,
}

/// The graphs that meet a target, the best first: at most [`BEAM`], unless the whole of them is wanted.
///
/// # Errors
/// What stands in the way of all of them.
pub(crate) fn merge(
    request: &Request,
    facts: &Facts,
    target: Duration,
    is_whole: bool,
) -> Result<Vec<Graph>, Blocked> {
    let beam = if is_whole { usize::MAX } else { BEAM };
    let mut partials = starts(request, facts);
    for (index, number) in (0..request.body().operators.len()).zip(0..) {
        let part = Part::Operator(number);
        let mut lacks: BTreeMap<HostIndex, Lack> = facts.refused(part).collect();
        let mut extensions = Vec::new();
        for (partial, state) in partials.iter().enumerate() {
            for host in request.places(part) {
                match extend(request, facts, state, (part, index), *host, target) {
                    Ok(extension) => extensions.push(Extension {
                        partial,
                        ..extension
                    }),
                    Err(Some(lack)) => note(&mut lacks, *host, lack),
                    Err(None) => {}
                }
            }
        }
        if extensions.is_empty() {
            return Err(Blocked { part, lacks });
        }
        partials = keep_best(&partials, extensions, beam);
    }
    finish(request, facts, partials, target)
}

/// Where the request may begin: each way to choose one place of each start, the youngest first, at most [`BEAM`].
fn starts(request: &Request, facts: &Facts) -> Vec<Partial> {
    let mut chosen = vec![Partial::default()];
    for (number, source) in (0..).zip(&request.body().sources) {
        let part = Part::Source(number);
        let mut places: Vec<HostIndex> = source.hosts.clone();
        places.retain(|host| facts.spare(*host).is_some());
        places.sort_by_key(|host| (request.age(part, *host), *host));
        if places.is_empty() {
            // Of a start that was not heard of no way leads on: that is said where it is read.
            places.push(source.hosts[0]);
        }
        let with = |partial: &Partial, host: HostIndex| {
            let mut next = partial.clone();
            next.starts.push(host);
            next
        };
        chosen = places
            .iter()
            .flat_map(|host| chosen.iter().map(|partial| with(partial, *host)))
            .collect();
        chosen.truncate(BEAM);
    }
    chosen
}

/// Qualifies whole graphs, and orders them.
fn finish(
    request: &Request,
    facts: &Facts,
    partials: Vec<Partial>,
    target: Duration,
) -> Result<Vec<Graph>, Blocked> {
    let mut graphs = Vec::new();
    let mut blocked: BTreeMap<Part, BTreeMap<HostIndex, Lack>> = BTreeMap::new();
    for partial in partials {
        match select::qualify(request, facts, (partial.starts, partial.hosts), target) {
            Ok(graph) => graphs.push(graph),
            Err((part, host, lack)) => {
                let lacks = blocked
                    .entry(part)
                    .or_insert_with(|| facts.refused(part).collect());
                if let Some(lack) = lack {
                    note(lacks, host, lack);
                }
            }
        }
    }
    if let Some((part, lacks)) = blocked.pop_last()
        && graphs.is_empty()
    {
        return Err(Blocked { part, lacks });
    }
    graphs.sort_by(|a, b| a.compare(b, request.body().spread));
    Ok(graphs)
}

fn note(lacks: &mut BTreeMap<HostIndex, Lack>, host: HostIndex, lack: Lack) {
    match lacks.entry(host) {
        Entry::Vacant(vacant) => {
            vacant.insert(lack);
        }
        Entry::Occupied(mut known) if lack.severity() < known.get().severity() => {
            known.insert(lack);
        }
        Entry::Occupied(_) => {}
    }
}

/// What comes of putting an operator on a host.
///
/// # Errors
/// What that host, or one before it, lacks; nothing where no probe found the way.
fn extend(
    request: &Request,
    facts: &Facts,
    state: &Partial,
    (part, index): (Part, usize),
    host: HostIndex,
    target: Duration,
) -> Result<Extension, Option<Lack>> {
    if facts.has_declined(part, host) {
        return Err(None);
    }
    let spare = facts.spare(host).ok_or(None)?;
    let needs = request.needs(part);
    let mut takes = vec![(host, needs)];
    let mut arrival = Duration::ZERO;
    let mut congestion = state.congestion;
    let inputs = &request.body().operators[index].inputs;
    for (position, input) in inputs.iter().enumerate() {
        if inputs[..position].contains(input) {
            continue;
        }
        let (from, done) = match input {
            Part::Operator(before) => {
                let before = usize::from(*before);
                (state.hosts[before], state.done[before])
            }
            Part::Source(before) => {
                let from = state.starts[usize::from(*before)];
                (from, request.age(*input, from))
            }
            Part::Sink(_) => return Err(None),
        };
        let link = facts.link((*input, from, part, host)).ok_or(None)?;
        arrival = arrival.max(done + link);
        if from != host {
            let bytes = request.edge_bytes_per_second(*input, part);
            let leaves = Resources {
                uplink_bytes_per_second: bytes,
                ..Resources::default()
            };
            takes.push((from, leaves));
            let before = facts.spare(from).ok_or(None)?;
            let taken = total(state, &takes, from);
            if let Some(lack) = Lack::of(&taken, &before.available) {
                return Err(Some(lack));
            }
            congestion += select::link_congestion(bytes, &before.available, &taken);
        }
    }
    let taken = total(state, &takes, host);
    if let Some(lack) = Lack::of(&taken, &spare.available) {
        return Err(Some(lack));
    }
    congestion += select::part_congestion(&needs, &spare.available, &taken);
    let done = arrival + spare.execution(request.cost_seconds(part), taken.cpu_cores);
    let least = done + request.rest(part);
    if least > target {
        return Err(Some(Lack::of_delay(least, target)));
    }
    let crowding = if request.body().spread {
        let hosts: Vec<HostIndex> = state.hosts.iter().copied().chain([host]).collect();
        select::crowding(request, &hosts)
    } else {
        (0, 0)
    };
    Ok(Extension {
        partial: 0,
        host,
        takes,
        done,
        latest: state.latest.max(least),
        crowding,
        congestion,
    })
}

/// What a host would carry with some more.
fn total(state: &Partial, takes: &[(HostIndex, Resources)], host: HostIndex) -> Resources {
    let known = state.taken.get(&host).copied().unwrap_or_default();
    let more = takes.iter().filter(|(it, _)| *it == host);
    more.fold(known, |sum, (_, it)| sum + *it)
}

/// The best of what a step made: half of them by congestion, half by delay.
fn keep_best(partials: &[Partial], mut extensions: Vec<Extension>, beam: usize) -> Vec<Partial> {
    if extensions.len() > beam {
        let hosts = |it: &Extension| (it.partial, it.host);
        extensions.sort_by(|a, b| {
            let by_congestion = a.congestion.total_cmp(&b.congestion);
            let by_crowding = a.crowding.cmp(&b.crowding);
            by_crowding
                .then(by_congestion)
                .then_with(|| hosts(a).cmp(&hosts(b)))
        });
        let mut rest = extensions.split_off(beam / 2);
        rest.sort_by(|a, b| {
            let by_delay = a.latest.cmp(&b.latest);
            by_delay.then_with(|| hosts(a).cmp(&hosts(b)))
        });
        extensions.extend(rest.into_iter().take(beam / 2));
    }
    let materialize = |extension: Extension| {
        let mut next = partials[extension.partial].clone();
        next.hosts.push(extension.host);
        next.done.push(extension.done);
        next.latest = extension.latest;
        next.congestion = extension.congestion;
        for (host, more) in extension.takes {
            let taken = next.taken.entry(host).or_default();
            *taken = *taken + more;
        }
        next
    };
    extensions.into_iter().map(materialize).collect()
}

#[cfg(test)]
mod tests;
