//! Which hosts an operator's probes may ask: gathered once, from what the composing node knows, and carried in the request.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::plan::{self, Stream};
use model::{Demand, HostSummary, NodeId, NodeView};

use crate::config::Config;
use crate::effect::{Check, Constraint};
use crate::order::{Order, Place};
use crate::refusal;
use crate::request::{
    Body, CANDIDATES_MAX, Host, HostIndex, Operator, PROBES_MAX, Part, Request, Sink, Source,
    TARGET_MAX,
};

/// Detours and ways that differ by less are equal; the load decides then.
///
/// Unit: time. Source: guess; what coordinates tell apart.
pub(crate) const STEP: Duration = Duration::from_millis(1);

/// The request that probes carry for an order.
///
/// # Errors
/// The part that has no host, before anybody is asked; nothing for an order that is none.
pub(crate) fn gather(
    view: &NodeView,
    order: &Order,
    config: &Config,
) -> Result<Request, Option<Constraint>> {
    if !is_complete(order) {
        return Err(None);
    }
    check_ends(view, order)?;
    let eligible = eligible(view, order)?;
    let chosen = if order.spread {
        spread(order, eligible)
    } else {
        eligible
    };
    let mut table = Table::default();
    let plan = &order.plan;
    let sources = order.sources.iter().zip(&order.source_demands);
    let sources = sources
        .map(|(node, demand)| Source {
            host: table.index(view, *node),
            bytes_per_second: demand.output_rows_per_second() * demand.row_bytes,
        })
        .collect();
    let sinks = order.sinks.iter().zip(plan.sinks());
    let sinks = sinks
        .map(|(node, sink)| Sink {
            host: table.index(view, *node),
            input: part_of(sink.input),
        })
        .collect();
    let mut operators = Vec::with_capacity(plan.operators().len());
    let each = candidates_each(order);
    for ((operator, demand), hosts) in plan.operators().iter().zip(&order.demands).zip(chosen) {
        let hosts = hosts.into_iter().take(each);
        operators.push(Operator {
            inputs: operator.inputs.iter().copied().map(part_of).collect(),
            demand: *demand,
            candidates: hosts.map(|node| table.index(view, node)).collect(),
        });
    }
    Request::new(Body {
        target: plan.qos().latency.min(TARGET_MAX),
        reserves: !order.is_trial,
        prunes: true,
        spread: order.spread,
        fan_out: config.fan_out(),
        probes_max: config.probes_max.clamp(1, PROBES_MAX),
        hosts: table.hosts,
        sources,
        operators,
        sinks,
    })
    .map_err(|_| None)
}

/// How many candidates each operator has: fewer in large plans, so that all of their hosts may send some probes.
///
/// 8 up to 25 operators, 2 from 100 on.
fn candidates_each(order: &Order) -> usize {
    let count = order.plan.operators().len().max(1);
    (200 / count).clamp(2, CANDIDATES_MAX)
}

/// Whether everything of the plan has what an order says of it.
fn is_complete(order: &Order) -> bool {
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
fn check_ends(view: &NodeView, order: &Order) -> Result<(), Option<Constraint>> {
    let plan = &order.plan;
    let sources = plan.sources().iter().map(|it| it.name.as_str());
    let sinks = plan.sinks().iter().map(|it| it.name.as_str());
    let operators = plan.operators().iter().zip(&order.places);
    let pinned = operators.filter_map(|(operator, place)| match place {
        Place::Node(node) => Some((operator.name.as_str(), *node)),
        Place::Any | Place::Labels(_) => None,
    });
    let ends = sources
        .zip(order.sources.iter().copied())
        .chain(sinks.zip(order.sinks.iter().copied()))
        .chain(pinned);
    for (name, node) in ends {
        if view.find(node).is_none() {
            return Err(Some(refusal::unreachable(name, node)));
        }
    }
    Ok(())
}

/// For each operator the hosts that may run it, the best first.
fn eligible(view: &NodeView, order: &Order) -> Result<Vec<Vec<NodeId>>, Option<Constraint>> {
    let ways = Ways::new(order);
    let known: Vec<&HostSummary> = std::iter::once(&view.host)
        .chain(view.hosts.values().map(|host| &**host))
        .collect();
    let parts = order.plan.operators().iter().zip(&order.places);
    let parts = parts.zip(&order.demands).enumerate();
    parts
        .map(|(index, ((operator, place), demand))| {
            let may_run = |host: &&&HostSummary| offers(host, &operator.kind) && fits(host, place);
            let asks = demand.resources(0).cpu_cores;
            let mut hosts: Vec<_> = known
                .iter()
                .filter(may_run)
                .map(|host| {
                    let left = host.capacity.cpu_cores * (1.0 - host.load.middle());
                    let detour = ways.detour(view, index, host.node);
                    let steps = detour.as_nanos() / STEP.as_nanos();
                    ((asks > left, steps, host.load, host.node), host.node)
                })
                .collect();
            hosts.sort_unstable();
            hosts.dedup();
            if hosts.is_empty() {
                return Err(Some(nobody_offers(operator, place, known.len())));
            }
            Ok(hosts.into_iter().map(|(_, node)| node).collect())
        })
        .collect()
}

fn offers(host: &HostSummary, kind: &str) -> bool {
    let offered = host.operators.as_ref();
    offered.is_none_or(|kinds| kinds.iter().any(|it| it == kind))
}

fn fits(host: &HostSummary, place: &Place) -> bool {
    match place {
        Place::Any => true,
        Place::Node(node) => host.node == *node,
        Place::Labels(labels) => labels
            .iter()
            .all(|(name, value)| host.labels.get(name) == Some(value)),
    }
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
    }
}

/// From which sources each operator is reached, and which sinks it reaches.
struct Ways {
    sources: Vec<BTreeSet<NodeId>>,
    sinks: Vec<BTreeSet<NodeId>>,
}

impl Ways {
    fn new(order: &Order) -> Self {
        let operators = order.plan.operators();
        let mut sources: Vec<BTreeSet<NodeId>> = Vec::with_capacity(operators.len());
        for operator in operators {
            let mut reached = BTreeSet::new();
            for input in &operator.inputs {
                match input {
                    Stream::Source(source, _) => {
                        reached.insert(order.sources[*source]);
                    }
                    Stream::Operator(before, _) => reached.extend(&sources[*before]),
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
    fn detour(&self, view: &NodeView, operator: usize, host: NodeId) -> Duration {
        let longest = |ends: &BTreeSet<NodeId>| {
            let delays = ends.iter().filter_map(|end| view.delay(*end, host));
            delays.max().unwrap_or_default()
        };
        longest(&self.sources[operator]) + longest(&self.sinks[operator])
    }
}

/// Puts a host of its own first for each operator as far as there are enough, the hosts of sources and sinks last.
///
/// A greatest matching of operators and hosts by augmenting paths, those with the fewest hosts first. At most 256 operators x 256
/// x 129 hosts steps.
fn spread(order: &Order, eligible: Vec<Vec<NodeId>>) -> Vec<Vec<NodeId>> {
    let ends: BTreeSet<NodeId> = order.sources.iter().chain(&order.sinks).copied().collect();
    let away: Vec<Vec<NodeId>> = eligible
        .iter()
        .map(|hosts| {
            let away = hosts.iter().filter(|host| !ends.contains(host));
            away.copied().collect()
        })
        .collect();
    let mut matching = BTreeMap::new();
    let mut by_choice: Vec<usize> = (0..eligible.len()).collect();
    by_choice.sort_by_key(|operator| eligible[*operator].len());
    for hosts in [&away, &eligible] {
        for operator in &by_choice {
            if !matching.values().any(|it| it == operator) {
                augment(hosts, *operator, &mut matching, &mut BTreeSet::new());
            }
        }
    }
    let own: BTreeMap<usize, NodeId> = matching.iter().map(|(host, it)| (*it, *host)).collect();
    let ranked = eligible.into_iter().enumerate();
    ranked
        .map(|(operator, mut hosts)| {
            // Behind its own host come those that nobody else has for its own, then the others, each turned so that
            // not all operators begin with the same one.
            let turn = operator % hosts.len();
            hosts.rotate_left(turn);
            hosts.sort_by_key(|host| {
                let is_own = own.get(&operator) == Some(host);
                let is_taken = matching.contains_key(host);
                (Reverse(is_own), is_taken, ends.contains(host))
            });
            hosts
        })
        .collect()
}

/// Finds a host for an operator, moving others where that frees one.
fn augment(
    hosts: &[Vec<NodeId>],
    operator: usize,
    matching: &mut BTreeMap<NodeId, usize>,
    tried: &mut BTreeSet<NodeId>,
) -> bool {
    for host in &hosts[operator] {
        if !tried.insert(*host) {
            continue;
        }
        let holder = matching.get(host).copied();
        if holder.is_none_or(|holder| augment(hosts, holder, matching, tried)) {
            matching.insert(*host, operator);
            return true;
        }
    }
    false
}

/// The hosts of a request, each once.
#[derive(Debug, Default)]
struct Table {
    hosts: Vec<Host>,
    indices: BTreeMap<NodeId, HostIndex>,
}

impl Table {
    fn index(&mut self, view: &NodeView, node: NodeId) -> HostIndex {
        let Self { hosts, indices } = self;
        *indices.entry(node).or_insert_with(|| {
            let summary = view.find(node).expect("only hosts of the view are chosen");
            hosts.push(Host {
                node,
                coordinate: summary.coordinate,
            });
            HostIndex::try_from(hosts.len() - 1).expect("a plan has at most 768 parts")
        })
    }
}

/// A part of a plan by its number: a plan has at most 256 of each.
fn part_of(stream: Stream) -> Part {
    let number = |index: usize| u16::try_from(index).expect("a plan has at most 256 of each part");
    match stream {
        Stream::Source(index, _) => Part::Source(number(index)),
        Stream::Operator(index, _) => Part::Operator(number(index)),
    }
}

#[cfg(test)]
mod tests;
