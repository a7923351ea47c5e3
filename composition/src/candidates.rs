//! Which hosts an operator's probes may ask: gathered from what the composing node knows, and carried in the request. Others follow where those lack something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::plan::{self, Stream};
use model::{Coordinate, Demand, HostSummary, NodeId, NodeView, Rng, convert};

use crate::config::Config;
use crate::discovery::Split;
use crate::effect::{Check, Constraint};
use crate::facts::Facts;
use crate::heard::Heard;
use crate::order::{Order, Place};
use crate::policy::Search;
use crate::refusal;
use crate::request::{
    Body, CANDIDATES_MAX, Goal, HOSTS_MAX, Host, HostIndex, Operator, PROBES_MAX, Part, Request,
    Sink, Source, TARGET_MAX, number,
};
use crate::stream::Before;

mod spread;

use spread::spread;

/// Detours and ways that differ by less are equal; the load decides then.
///
/// Unit: time. Source: guess; what coordinates tell apart.
pub(crate) const STEP: Duration = Duration::from_millis(1);

/// Which parts of the plan a request is about, by the request's numbers of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parts {
    /// Where it begins: sources of the plan, and operators that run already.
    pub(crate) starts: Vec<Before>,
    /// The operators that are to be composed.
    pub(crate) operators: Vec<usize>,
}

impl Parts {
    fn new(split: &Split) -> Self {
        let sources = split.sources.iter().map(|index| Before::Source(*index));
        let shared = split.shared.keys().map(|index| Before::Operator(*index));
        Self {
            starts: sources.chain(shared).collect(),
            operators: split.composed.iter().copied().collect(),
        }
    }

    /// The request's part that yields a stream of the plan.
    fn part_of(&self, stream: Stream) -> Part {
        let start = match stream {
            Stream::Source(index, _) => Before::Source(index),
            Stream::Operator(index, _) => {
                if let Some(at) = self.operators.iter().position(|it| *it == index) {
                    return Part::Operator(number(at));
                }
                Before::Operator(index)
            }
        };
        let at = self.starts.iter().position(|it| *it == start);
        Part::Source(number(
            at.expect("what is read is composed, or begins the request"),
        ))
    }
}

/// What the composing node knows of hosts: its view, and what it has looked up for a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) view: &'a NodeView,
    pub(crate) hosts: &'a BTreeMap<NodeId, Arc<HostSummary>>,
    /// What hosts have said lately that they have left.
    pub(crate) heard: &'a Heard,
}

impl<'a> Known<'a> {
    fn find(&self, node: NodeId) -> Option<&'a HostSummary> {
        let looked_up = || self.hosts.get(&node).map(|host| &**host);
        self.view.find(node).or_else(looked_up)
    }

    fn all(&self) -> Vec<&'a HostSummary> {
        let Self { view, hosts, .. } = *self;
        let others = hosts.values().filter(|it| view.find(it.node).is_none());
        let own = std::iter::once(&view.host);
        let known = own.chain(view.hosts.values().map(|host| &**host));
        known.chain(others.map(|host| &**host)).collect()
    }

    fn delay(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        self.view.delay(from, to).or_else(|| {
            let (from, to) = (self.find(from)?, self.find(to)?);
            Some(from.coordinate.round_trip(&to.coordinate) / 2)
        })
    }
}

/// The request that probes carry for an order, of which some runs already.
///
/// # Errors
/// The part that has no host, before anybody is asked; nothing for an order that is none.
pub(crate) fn gather(
    known: &Known<'_>,
    order: &Order,
    config: &Config,
    split: &Split,
    rng: &mut Rng,
) -> Result<(Request, Parts), Option<Constraint>> {
    check_ends(known, order, split)?;
    let parts = Parts::new(split);
    let mut eligible = eligible(known, order, config, split, &parts)?;
    if config.policy.search() == Search::Random {
        for hosts in &mut eligible {
            shuffle(hosts, rng);
        }
    }
    let chosen = if order.spread {
        spread(order, eligible)
    } else {
        eligible
    };
    let mut table = Table::default();
    let sources = parts.starts.iter().map(|start| match *start {
        Before::Source(index) => Source {
            hosts: vec![table.index(known, order.sources[index])],
            ages: vec![Duration::ZERO],
            bytes_per_second: order.source_demands[index].output_rows_per_second()
                * order.source_demands[index].row_bytes,
            shared: None,
        },
        Before::Operator(index) => {
            let providers = &split.shared[&index];
            let hosts = providers.iter();
            Source {
                hosts: hosts
                    .map(|it| table.index_at(it.node, it.coordinate))
                    .collect(),
                ages: providers.iter().map(|it| it.age).collect(),
                bytes_per_second: order.demands[index].resources(0).uplink_bytes_per_second,
                shared: Some(order.plan.stream_name(Stream::Operator(index, 0))),
            }
        }
    });
    let sources: Vec<Source> = sources.collect();
    let sinks = order.sinks.iter().zip(order.plan.sinks());
    let sinks = sinks
        .map(|(node, sink)| Sink {
            host: table.index(known, *node),
            input: parts.part_of(sink.input),
        })
        .collect();
    let each = candidates_each(order);
    let operators = parts.operators.iter().zip(chosen);
    let operators = operators
        .map(|(index, hosts)| {
            let inputs = order.plan.operators()[*index].inputs.iter();
            let hosts = hosts.into_iter().take(each);
            Operator {
                inputs: inputs.map(|input| parts.part_of(*input)).collect(),
                demand: order.demands[*index],
                candidates: hosts.map(|node| table.index(known, node)).collect(),
            }
        })
        .collect();
    let search = config.policy.search();
    let fan_out = match search {
        Search::Probing => config.fan_out(),
        Search::All => FAN_OUT_MAX,
        Search::Random | Search::Nearest => 1,
    };
    let request = Request::new(Body {
        target: order.plan.qos().latency.min(TARGET_MAX),
        goal: match search {
            Search::Probing | Search::All => Goal::Target,
            Search::Random | Search::Nearest => Goal::Any,
        },
        reserves: !order.is_trial,
        prunes: true,
        keeps_order: search == Search::Random,
        projection: config.policy.projection(),
        spread: order.spread,
        fan_out,
        probes_max: config.probes_max.clamp(1, PROBES_MAX),
        hosts: table.hosts,
        sources,
        operators,
        sinks,
    });
    Ok((request.map_err(|_| None)?, parts))
}

/// All candidates of an operator.
const FAN_OUT_MAX: u8 = 8;

fn shuffle(hosts: &mut [NodeId], rng: &mut Rng) {
    for last in (1..hosts.len()).rev() {
        let other = rng.below(convert::size(last + 1));
        hosts.swap(last, convert::index(other));
    }
}

/// How many candidates each operator has: fewer in large plans, so that all of their hosts may send some probes.
///
/// 8 up to 25 ways into operators, 2 from 100 on, one beyond 600, where two would be more probes than may be under way.
fn candidates_each(order: &Order) -> usize {
    let operators = order.plan.operators().iter();
    let ways: usize = operators.map(|operator| operator.inputs.len()).sum();
    let least = if ways > 600 { 1 } else { 2 };
    (200 / ways.max(1)).clamp(least, CANDIDATES_MAX)
}

/// Whether everything of the plan has what an order says of it.
pub(crate) fn is_complete(order: &Order) -> bool {
    let plan = &order.plan;
    let sources = plan.sources().len();
    let operators = plan.operators().len();
    order.sources.len() == sources
        && order.source_demands.len() == sources
        && order.origins.len() == sources
        && order.demands.len() == operators
        && order.places.len() == operators
        && order.sinks.len() == plan.sinks().len()
        && order.source_demands.iter().all(is_demand)
        && order.demands.iter().all(is_demand)
}

fn is_demand(demand: &Demand) -> bool {
    let amounts = [
        demand.rows_per_second,
        demand.row_bytes,
        demand.cost_seconds,
        demand.selectivity,
    ];
    amounts.iter().all(|it| it.is_finite() && *it >= 0.0)
}

/// Sources, sinks and pinned operators are where they are: a host that nobody knows ends it.
///
/// A source may be at a host that is not known: whoever publishes is reached all the same.
fn check_ends(known: &Known<'_>, order: &Order, split: &Split) -> Result<(), Option<Constraint>> {
    let plan = &order.plan;
    let sinks = plan.sinks().iter().map(|it| it.name.as_str());
    let operators = split.composed.iter();
    let operators = operators.map(|index| (&plan.operators()[*index], &order.places[*index]));
    let pinned = operators.filter_map(|(operator, place)| match place {
        Place::Node(node) => Some((operator.name.as_str(), *node)),
        Place::Any | Place::Labels(_) => None,
    });
    let ends = sinks.zip(order.sinks.iter().copied()).chain(pinned);
    for (name, node) in ends {
        if known.find(node).is_none() {
            return Err(Some(refusal::unreachable(name, node)));
        }
    }
    Ok(())
}

/// For each operator that is to be composed the hosts that may run it, the best first.
fn eligible(
    known: &Known<'_>,
    order: &Order,
    config: &Config,
    split: &Split,
    parts: &Parts,
) -> Result<Vec<Vec<NodeId>>, Option<Constraint>> {
    let ways = Ways::new(order, split);
    let operators = parts.operators.iter();
    operators
        .map(|index| {
            let hosts = rank(known, order, config, &ways, *index);
            if hosts.is_empty() {
                let (operator, place) = (&order.plan.operators()[*index], &order.places[*index]);
                return Err(Some(nobody_offers(operator, place, known.all().len())));
            }
            Ok(hosts)
        })
        .collect()
}

/// The hosts that may run an operator: those that should have room for it first, then by detour and load.
///
/// What hosts have said of themselves counts where there are more of them than are asked at once: of fewer all are asked.
fn rank(
    known: &Known<'_>,
    order: &Order,
    config: &Config,
    ways: &Ways,
    index: usize,
) -> Vec<NodeId> {
    let (operator, place) = (&order.plan.operators()[index], &order.places[index]);
    let asks = order.demands[index].resources(0).cpu_cores;
    let mut all = known.all();
    all.retain(|host| offers(host, &operator.kind) && place.admits(host));
    let is_choice = all.len() > usize::from(config.fan_out());
    let mut hosts: Vec<_> = all
        .into_iter()
        .map(|host| {
            let by_summary = host.capacity.cpu_cores * (1.0 - host.load.middle());
            let heard = known.heard.left(host.node).filter(|_| is_choice);
            let left = heard.map_or(by_summary, |heard| heard.min(by_summary));
            let detour = ways.detour(known, index, host.node);
            let steps = detour.as_nanos() / STEP.as_nanos();
            ((asks > left, steps, host.load, host.node), host.node)
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.into_iter().map(|(_, node)| node).collect()
}

/// The same request, with other candidates for an operator than those that were asked: nothing where all were.
///
/// `is_late` says that those who were asked are too slow, and lack nothing else: only such are asked then on which the target could be met.
pub(crate) fn widen(
    known: &Known<'_>,
    order: &Order,
    config: &Config,
    (split, parts): (&Split, &Parts),
    (request, facts): (&Request, &Facts),
    (operator, is_late): (u16, bool),
) -> Option<Request> {
    let index = parts.operators[usize::from(operator)];
    let ways = Ways::new(order, split);
    let hosts = rank(known, order, config, &ways, index);
    if hosts.len() <= usize::from(config.fan_out()) {
        // Everybody who came as far has asked all of them.
        return None;
    }
    let cost = convert::seconds(order.demands[index].cost_seconds);
    let body = request.body();
    let named: BTreeMap<NodeId, HostIndex> = body.hosts.iter().map(|it| it.node).zip(0..).collect();
    let is_other = |node: &NodeId| {
        let host = named.get(node);
        let was_asked = host.is_some_and(|host| {
            facts.has_asked(Part::Operator(operator), *host) || facts.is_out(*host)
        });
        let is_hopeless = is_late && ways.detour(known, index, *node) + cost > body.target;
        !was_asked && !is_hopeless
    };
    let others: Vec<NodeId> = hosts
        .into_iter()
        .filter(is_other)
        .take(CANDIDATES_MAX)
        .collect();
    if others.is_empty() || body.hosts.len() + others.len() > HOSTS_MAX {
        return None;
    }
    Some(request.with(|body| {
        let mut table = Table {
            hosts: std::mem::take(&mut body.hosts),
            indices: named,
        };
        let candidates = others.into_iter().map(|node| table.index(known, node));
        body.operators[usize::from(operator)].candidates = candidates.collect();
        body.hosts = table.hosts;
        body.fan_out = FAN_OUT_MAX;
    }))
}

pub(crate) fn offers(host: &HostSummary, kind: &str) -> bool {
    let offered = host.operators.as_ref();
    offered.is_none_or(|kinds| kinds.iter().any(|it| it == kind))
}

fn nobody_offers(operator: &plan::Operator, place: &Place, known: usize) -> Constraint {
    let place = match place {
        Place::Any => String::new(),
        Place::Node(node) => format!(", and is {node}"),
        Place::Labels(labels) => {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!(", with {}", labels.join(", "))
        }
    };
    Constraint {
        operator: operator.name.clone(),
        check: Check::Offer,
        needed: format!("a host that offers `{}`{place}", operator.kind),
        had: format!("none of the {known} hosts that are known here"),
        hosts_asked: 0,
        suffers: None,
    }
}

/// From which sources each operator is reached, and which sinks it reaches.
struct Ways {
    sources: Vec<BTreeSet<NodeId>>,
    sinks: Vec<BTreeSet<NodeId>>,
}

impl Ways {
    fn new(order: &Order, split: &Split) -> Self {
        let operators = order.plan.operators();
        let mut sources: Vec<BTreeSet<NodeId>> = Vec::with_capacity(operators.len());
        for operator in operators {
            let mut reached = BTreeSet::new();
            for input in &operator.inputs {
                match input {
                    Stream::Source(source, _) => {
                        reached.insert(order.sources[*source]);
                    }
                    Stream::Operator(before, _) => match split.shared.get(before) {
                        Some(providers) => reached.extend(providers.iter().map(|it| it.node)),
                        None => reached.extend(&sources[*before]),
                    },
                }
            }
            sources.push(reached);
        }
        let mut sinks = vec![BTreeSet::new(); operators.len()];
        for (sink, node) in order.plan.sinks().iter().zip(&order.sinks) {
            if let Stream::Operator(operator, _) = sink.input {
                sinks[operator].insert(*node);
            }
        }
        for (index, operator) in operators.iter().enumerate().rev() {
            let behind = sinks[index].clone();
            for input in &operator.inputs {
                if let Stream::Operator(before, _) = input {
                    sinks[*before].extend(&behind);
                }
            }
        }
        Self { sources, sinks }
    }

    /// The longest way from a source of an operator over a host to a sink of it.
    fn detour(&self, known: &Known<'_>, operator: usize, host: NodeId) -> Duration {
        let longest = |ends: &BTreeSet<NodeId>| {
            let delays = ends.iter().filter_map(|end| known.delay(*end, host));
            delays.max().unwrap_or_default()
        };
        longest(&self.sources[operator]) + longest(&self.sinks[operator])
    }
}

/// The hosts of a request, each once.
#[derive(Debug, Default)]
struct Table {
    hosts: Vec<Host>,
    indices: BTreeMap<NodeId, HostIndex>,
}

impl Table {
    fn index(&mut self, known: &Known<'_>, node: NodeId) -> HostIndex {
        let summary = known.find(node);
        self.index_at(node, summary.map(|it| it.coordinate).unwrap_or_default())
    }

    fn index_at(&mut self, node: NodeId, coordinate: Coordinate) -> HostIndex {
        let Self { hosts, indices } = self;
        *indices.entry(node).or_insert_with(|| {
            hosts.push(Host { node, coordinate });
            HostIndex::try_from(hosts.len() - 1).expect("a plan has some thousand places at most")
        })
    }
}
