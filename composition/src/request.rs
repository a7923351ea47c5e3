//! What probes carry of a request: enough to check and to forward it, nothing of schemas and parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::plan::{INPUTS_MAX, OPERATORS_MAX};
use model::{Coordinate, Demand, NodeId, Resources, StreamName, convert};

use crate::policy::Projection;

mod part;

pub(crate) use part::Part;

/// The most candidates of an operator.
///
/// Unit: hosts. Source: design, protocols 2.
pub(crate) const CANDIDATES_MAX: usize = 8;

/// The most hosts that a request names: its sources', its sinks', and the candidates of its operators.
///
/// Unit: hosts. 768 hosts of 65 bytes are 49 KiB of a message of at most 1 MiB; 256 operators with 64 inputs of 3 bytes
/// and 8 candidates of 2 are 64 KiB. Source: two sorts of ends at most, and as many hosts for operators.
pub(crate) const HOSTS_MAX: usize = 3 * OPERATORS_MAX;

/// The most probes that a request may have under way.
///
/// Unit: probes. Source: papers, section 3.5.
pub(crate) const PROBES_MAX: u16 = 2000;

/// The most hops of a path: a source, every operator, a sink.
pub(crate) const PATH_MAX: usize = OPERATORS_MAX + 2;

/// The memory that a component is counted with before anything of its state is known.
///
/// Unit: bytes. Range: what an idle component takes, and more. Source: guess; not yet measured.
pub(crate) const COMPONENT_MEMORY_BYTES: u64 = 1 << 20;

/// The longest target that a request may have; also what a relaxed round asks with.
///
/// Source: guess; a result after an hour is none of a stream.
pub(crate) const TARGET_MAX: Duration = Duration::from_secs(3600);

/// A host of a request, by its index in the request's table.
pub(crate) type HostIndex = u16;

/// A part of a plan by its number: a plan has at most 256 of each.
pub(crate) fn number(index: usize) -> u16 {
    u16::try_from(index).expect("a plan has at most 256 of each part")
}

/// What the delays of a request are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) enum Goal {
    /// The target.
    Target,
    /// Nothing: what comes of it is judged when it runs.
    Any,
    /// The target, which is to be offered to whoever asked: what passes will be confirmed as far as that can be told.
    Offer,
}

/// A host that a request names.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Host {
    pub(crate) node: NodeId,
    /// Where the composing node believes it to be: for those who do not know it.
    pub(crate) coordinate: Coordinate,
}

/// Where a request begins: at a source of the plan, or at an operator that runs already.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Source {
    /// Where it is; several, where several hosts run the same. At most [`CANDIDATES_MAX`].
    pub(crate) hosts: Vec<HostIndex>,
    /// How old what it yields is at each of them.
    pub(crate) ages: Vec<Duration>,
    pub(crate) bytes_per_second: f64,
    /// What runs there, where it is an operator: its first stream.
    pub(crate) shared: Option<StreamName>,
}

/// An operator: what it reads, what it asks of a host, and which hosts may be asked.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Operator {
    /// Sources and earlier operators, in port order; one that is read at two ports stands here twice.
    pub(crate) inputs: Vec<Part>,
    pub(crate) demand: Demand,
    /// The best first.
    pub(crate) candidates: Vec<HostIndex>,
}

/// A sink: where it is, and what it receives.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Sink {
    pub(crate) host: HostIndex,
    pub(crate) input: Part,
}

/// What is sent of a request.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Body {
    /// The latency target. Range: at most [`TARGET_MAX`].
    pub(crate) target: Duration,
    /// What delays are held against.
    pub(crate) goal: Goal,
    /// Whether probes reserve what they ask for.
    pub(crate) reserves: bool,
    /// Whether probes that others dominate are pruned.
    pub(crate) prunes: bool,
    /// Whether candidates are asked in the request's order, and not the nearest first.
    pub(crate) keeps_order: bool,
    /// How what others would suffer is projected.
    pub(crate) projection: Projection,
    /// Whether no two operators should share a host.
    pub(crate) spread: bool,
    /// How many candidates of an operator a hop asks. Range: 1 to [`CANDIDATES_MAX`].
    pub(crate) fan_out: u8,
    /// How many probes the request may have under way. Range: 1 to [`PROBES_MAX`].
    pub(crate) probes_max: u16,
    pub(crate) hosts: Vec<Host>,
    pub(crate) sources: Vec<Source>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) sinks: Vec<Sink>,
}

/// A request that makes sense: whoever sent it, all of its indices are of it, and its parts are in topological order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    body: Body,
    /// Who reads each source and operator: each reader once, with the number of its ports that do.
    readers: BTreeMap<Part, Vec<(Part, u8)>>,
    /// The least time from the end of each operator to the last sink behind it.
    rests: Vec<Duration>,
    /// Into how many probes at least one forks that comes to an operator.
    forks: Vec<u128>,
}

impl Request {
    /// A request, if it makes sense.
    ///
    /// # Errors
    /// What about it does not.
    pub(crate) fn new(body: Body) -> Result<Self, &'static str> {
        check(&body)?;
        let mut readers: BTreeMap<Part, Vec<(Part, u8)>> = BTreeMap::new();
        let mut read = |input: Part, reader: Part| {
            let known = readers.entry(input).or_default();
            match known.iter_mut().find(|(it, _)| *it == reader) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => known.push((reader, 1)),
            }
        };
        for (operator, index) in body.operators.iter().zip(0..) {
            for input in &operator.inputs {
                read(*input, Part::Operator(index));
            }
        }
        for (sink, index) in body.sinks.iter().zip(0..) {
            read(sink.input, Part::Sink(index));
        }
        let mut rests = vec![Duration::ZERO; body.operators.len()];
        let count = u16::try_from(body.operators.len()).expect("at most 256 were let through");
        for number in (0..count).rev() {
            let index = usize::from(number);
            let behind = readers.get(&Part::Operator(number)).into_iter().flatten();
            rests[index] = behind
                .filter_map(|(reader, _)| match reader {
                    Part::Operator(reader) => {
                        let reader = usize::from(*reader);
                        let cost = body.operators[reader].demand.cost_seconds;
                        Some(rests[reader] + convert::seconds(cost))
                    }
                    Part::Source(_) | Part::Sink(_) => None,
                })
                .max()
                .unwrap_or_default();
        }
        let mut request = Self {
            forks: vec![1; body.operators.len()],
            body,
            readers,
            rests,
        };
        for number in (0..count).rev() {
            request.forks[usize::from(number)] = request.count_forks(Part::Operator(number));
        }
        Ok(request)
    }

    /// A request for nothing: that of whoever does not know yet what to ask for.
    pub(crate) fn nothing() -> Self {
        Self {
            body: Body {
                target: TARGET_MAX,
                goal: Goal::Any,
                reserves: false,
                prunes: false,
                keeps_order: false,
                projection: Projection::None,
                spread: false,
                fan_out: 1,
                probes_max: 1,
                hosts: Vec::new(),
                sources: Vec::new(),
                operators: Vec::new(),
                sinks: Vec::new(),
            },
            readers: BTreeMap::new(),
            rests: Vec::new(),
            forks: Vec::new(),
        }
    }

    /// The same request with some of it changed.
    ///
    /// # Panics
    /// When the change makes no sense.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Body)) -> Self {
        let mut body = self.body.clone();
        change(&mut body);
        Self::new(body).expect("targets, flags and candidates are changed, within their ranges")
    }

    pub(crate) const fn body(&self) -> &Body {
        &self.body
    }

    /// The longest delay that passes.
    pub(crate) fn limit(&self) -> Duration {
        match self.body.goal {
            Goal::Target | Goal::Offer => self.body.target,
            Goal::Any => TARGET_MAX,
        }
    }

    /// What is left of the target to a part that is done at `delay`, the rest of the ways taken at their least.
    pub(crate) fn laxity(&self, part: Part, delay: Duration) -> Duration {
        self.body.target.saturating_sub(delay + self.rest(part))
    }

    pub(crate) fn node(&self, host: HostIndex) -> NodeId {
        self.body.hosts[usize::from(host)].node
    }

    /// Who reads a part's output: each once, with the number of its ports that do.
    pub(crate) fn readers(&self, part: Part) -> &[(Part, u8)] {
        self.readers.get(&part).map_or(&[], Vec::as_slice)
    }

    /// Where a part may be.
    pub(crate) fn places(&self, part: Part) -> &[HostIndex] {
        match part {
            Part::Source(index) => &self.body.sources[usize::from(index)].hosts,
            Part::Operator(index) => &self.body.operators[usize::from(index)].candidates,
            Part::Sink(index) => std::slice::from_ref(&self.body.sinks[usize::from(index)].host),
        }
    }

    pub(crate) fn has_part(&self, part: Part) -> bool {
        let (index, count) = match part {
            Part::Source(index) => (index, self.body.sources.len()),
            Part::Operator(index) => (index, self.body.operators.len()),
            Part::Sink(index) => (index, self.body.sinks.len()),
        };
        usize::from(index) < count
    }

    /// Whether `reader` reads what `producer` yields.
    pub(crate) fn is_edge(&self, producer: Part, reader: Part) -> bool {
        self.readers(producer).iter().any(|(it, _)| *it == reader)
    }

    /// All parts, in topological order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        let sources = (0..)
            .zip(&self.body.sources)
            .map(|(it, _)| Part::Source(it));
        let operators = (0..)
            .zip(&self.body.operators)
            .map(|(it, _)| Part::Operator(it));
        let sinks = (0..).zip(&self.body.sinks).map(|(it, _)| Part::Sink(it));
        sources.chain(operators).chain(sinks)
    }

    /// What a part asks of its host, the ways to its readers left out.
    pub(crate) fn needs(&self, part: Part) -> Resources {
        match part {
            Part::Operator(index) => {
                let demand = &self.body.operators[usize::from(index)].demand;
                Resources {
                    uplink_bytes_per_second: 0.0,
                    ..demand.resources(COMPONENT_MEMORY_BYTES)
                }
            }
            Part::Source(_) | Part::Sink(_) => Resources::default(),
        }
    }

    /// What one way from `producer` to `reader` asks of the producer's uplink when they are on different hosts.
    ///
    /// Each port that reads is an edge of its own and pulls by itself. All that an operator yields is counted for each of its
    /// ports, since a demand does not tell them apart: never too little.
    pub(crate) fn edge_bytes_per_second(&self, producer: Part, reader: Part) -> f64 {
        let bytes = match producer {
            Part::Source(index) => self.body.sources[usize::from(index)].bytes_per_second,
            Part::Operator(index) => {
                let demand = &self.body.operators[usize::from(index)].demand;
                demand.resources(0).uplink_bytes_per_second
            }
            Part::Sink(_) => 0.0,
        };
        let ports = self.readers(producer).iter().find(|(it, _)| *it == reader);
        bytes * ports.map_or(0.0, |(_, count)| f64::from(*count))
    }

    /// The processor time that a part takes for a row on an idle host.
    pub(crate) fn cost_seconds(&self, part: Part) -> f64 {
        match part {
            Part::Operator(index) => self.body.operators[usize::from(index)].demand.cost_seconds,
            Part::Source(_) | Part::Sink(_) => 0.0,
        }
    }

    /// The least time that the rest of the ways from a part takes: of the longest of them, the costs of the operators on idle
    /// hosts. Ways between hosts are not in it: those not yet chosen may be none.
    pub(crate) fn rest(&self, part: Part) -> Duration {
        match part {
            Part::Operator(index) => self.rests[usize::from(index)],
            Part::Sink(_) => Duration::ZERO,
            Part::Source(_) => self
                .readers(part)
                .iter()
                .map(|(reader, _)| {
                    convert::seconds(self.cost_seconds(*reader)) + self.rest(*reader)
                })
                .max()
                .unwrap_or_default(),
        }
    }

    /// How old what a part yields is at a host before anything of the request has worked on it.
    pub(crate) fn age(&self, part: Part, host: HostIndex) -> Duration {
        let Part::Source(index) = part else {
            return Duration::ZERO;
        };
        let source = &self.body.sources[usize::from(index)];
        let mut places = source.hosts.iter().zip(&source.ages);
        let age = places.find(|(it, _)| **it == host).map(|(_, age)| *age);
        age.unwrap_or_default()
    }

    /// Into how many probes at least one forks that comes to a part: one for each reader, and again behind it.
    pub(crate) fn forks(&self, part: Part) -> u128 {
        match part {
            Part::Operator(index) => self.forks[usize::from(index)],
            Part::Sink(_) => 1,
            Part::Source(_) => self.count_forks(part),
        }
    }

    fn count_forks(&self, part: Part) -> u128 {
        let readers = self.readers(part);
        let behind = readers.iter().map(|(reader, _)| self.forks(*reader)).max();
        let count = u128::from(convert::size(readers.len().max(1)));
        count.saturating_mul(behind.unwrap_or(1))
    }

    /// How many probes one host may send for a part in one round, so that all hosts together stay below the most that may be under
    /// way: for each reader as many, and one at least, since without it there would be no graph.
    pub(crate) fn quota(&self, part: Part) -> usize {
        let ways: usize = self
            .parts()
            .map(|part| self.places(part).len() * self.readers(part).len())
            .sum();
        let each = (usize::from(self.body.probes_max) / ways.max(1)).max(1);
        each * self.readers(part).len().max(1)
    }
}

/// What of a request does not make sense.
fn check(body: &Body) -> Result<(), &'static str> {
    let counts = [body.sources.len(), body.operators.len(), body.sinks.len()];
    if counts.iter().any(|count| *count > OPERATORS_MAX) || body.hosts.len() > HOSTS_MAX {
        return Err("a request with too many parts");
    }
    if body.sinks.is_empty() || body.sources.is_empty() {
        return Err("a request without ends");
    }
    if body.target.is_zero() || body.target > TARGET_MAX {
        return Err("a request with a target that none may have");
    }
    if !(1..=CANDIDATES_MAX).contains(&usize::from(body.fan_out)) {
        return Err("a request with a fan-out that none may have");
    }
    if !(1..=PROBES_MAX).contains(&body.probes_max) {
        return Err("a request with more probes than any may have");
    }
    if !body.hosts.iter().all(|host| host.coordinate.is_valid()) {
        return Err("a host that is nowhere");
    }
    let nodes: BTreeSet<NodeId> = body.hosts.iter().map(|host| host.node).collect();
    if nodes.len() != body.hosts.len() {
        return Err("a host that is named twice");
    }
    let is_host = |host: &HostIndex| usize::from(*host) < body.hosts.len();
    let is_amount = |amount: f64| amount.is_finite() && amount >= 0.0;
    for source in &body.sources {
        let hosts: BTreeSet<HostIndex> = source.hosts.iter().copied().collect();
        let is_sound = !hosts.is_empty()
            && hosts.len() == source.hosts.len()
            && hosts.len() <= CANDIDATES_MAX
            && source.ages.len() == hosts.len()
            && source.ages.iter().all(|age| *age <= TARGET_MAX)
            && hosts.iter().all(is_host);
        if !is_sound || !is_amount(source.bytes_per_second) {
            return Err("a source that makes no sense");
        }
    }
    for (index, operator) in body.operators.iter().enumerate() {
        let is_before = |input: &Part| match input {
            Part::Source(source) => usize::from(*source) < body.sources.len(),
            Part::Operator(operator) => usize::from(*operator) < index,
            Part::Sink(_) => false,
        };
        if operator.inputs.is_empty() || operator.inputs.len() > INPUTS_MAX {
            return Err("an operator with no input, or too many");
        }
        if !operator.inputs.iter().all(is_before) {
            return Err("an operator that reads what is not before it");
        }
        let hosts: BTreeSet<HostIndex> = operator.candidates.iter().copied().collect();
        if hosts.is_empty() || operator.candidates.len() > CANDIDATES_MAX {
            return Err("an operator with no candidate, or too many");
        }
        if hosts.len() != operator.candidates.len() || !hosts.iter().all(is_host) {
            return Err("an operator with a candidate that is none");
        }
        let demand = &operator.demand;
        let asks = demand.resources(0);
        let amounts = [
            demand.cost_seconds,
            asks.cpu_cores,
            asks.uplink_bytes_per_second,
        ];
        if !amounts.into_iter().all(is_amount) || demand.cost_seconds > TARGET_MAX.as_secs_f64() {
            return Err("an operator that asks for no amount");
        }
    }
    for sink in &body.sinks {
        let is_input = match sink.input {
            Part::Source(source) => usize::from(source) < body.sources.len(),
            Part::Operator(operator) => usize::from(operator) < body.operators.len(),
            Part::Sink(_) => false,
        };
        if !is_host(&sink.host) || !is_input {
            return Err("a sink that makes no sense");
        }
    }
    Ok(())
}

impl bincode::Encode for Request {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        self.body.encode(encoder)
    }
}

impl<Context> bincode::Decode<Context> for Request {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Self::new(Body::decode(decoder)?).map_err(bincode::error::DecodeError::Other)
    }
}
bincode::impl_borrow_decode!(Request);

#[cfg(test)]
mod tests;
