//! Maximum sharing discovery: which operators of a plan run already, as close to the sinks as can be.
//!
//! Breadth first from the sinks, all operators of a level looked up at once; of a small plan all levels, since look-ups are cheaper than waiting for
//! one after the other. Where one runs whose age, with the least that the
//! rest takes, meets the target, it is kept, and nothing before it is looked for. Operators are looked up under their first stream.
//! Where nothing meets the target behind what was found, that is passed over, and the search goes on before it: shorter prefixes, down to none.
//! Source: papers, section 5; the fallback is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::plan::Stream;
use model::{Coordinate, Entry, HostSummary, Instant, Key, NodeId, NodeView, convert, wire};

use crate::candidates;
use crate::order::{Order, Place};
use crate::policy::Sharing;
use crate::request::CANDIDATES_MAX;
use crate::stream::{self, Before, StreamRecord};

/// How long the overlay may take to answer. Unit: time. Source: guess; some look-ups over a wide area.
const LOOKUP_WAIT: Duration = Duration::from_secs(2);

/// Up to how many operators of a plan are all looked up at once.
///
/// Unit: operators. Source: guess; beyond, most plans have found something before all levels are asked.
const AT_ONCE_MAX: usize = 16;

/// How many entries are asked for. Unit: entries. Source: twice what is used, since some may not fit.
pub(crate) const ENTRIES: usize = 2 * CANDIDATES_MAX;

/// A host where an operator of a plan runs already.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Provider {
    pub(crate) node: NodeId,
    pub(crate) coordinate: Coordinate,
    /// How old what it yields is.
    pub(crate) age: Duration,
    /// Where all that it is made of is.
    pub(crate) places: BTreeMap<Before, NodeId>,
    /// The application that it was made for.
    pub(crate) application: String,
}

/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// An operator of the plan.
    Operator(usize),
    /// Hosts that offer a kind of operators, or that the order names.
    Hosts,
}

/// What is known so far of what a request may share, and of the hosts that it may use.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    known: BTreeMap<usize, Vec<Provider>>,
    /// Operators that are not to be shared any more.
    passed: BTreeSet<usize>,
    /// Hosts that offer kinds which few offer, and those that the order names and that are not known otherwise.
    pub(crate) hosts: BTreeMap<NodeId, Arc<HostSummary>>,
    has_asked_hosts: bool,
    open: BTreeMap<u64, Wanted>,
    pub(crate) until: Instant,
    /// How many look-ups there were.
    pub(crate) lookup_count: u64,
}

/// What of a plan is shared, and what is to be composed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Split {
    /// Operators that run already and that are read, with where: the best first.
    pub(crate) shared: BTreeMap<usize, Vec<Provider>>,
    pub(crate) composed: BTreeSet<usize>,
    /// The sources that are read.
    pub(crate) sources: BTreeSet<usize>,
    /// Operators that nobody has looked for yet.
    missing: Vec<usize>,
}

impl Discovery {
    /// What is to be looked up next: nothing when all is known.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        view: &NodeView,
        order: &Order,
        sharing: Sharing,
        mut number: impl FnMut() -> u64,
    ) -> Result<Split, Vec<(u64, Key)>> {
        let split = self.split(view, order, sharing);
        let mut asks = Vec::new();
        if !std::mem::replace(&mut self.has_asked_hosts, true) {
            for kind in rare_kinds(view, order) {
                asks.push((Wanted::Hosts, Key::operator(kind)));
            }
            for node in strangers(view, order) {
                asks.push((Wanted::Hosts, Key::host(node)));
            }
        }
        for operator in &split.missing {
            let key = Key::stream(order.plan.stream_name(Stream::Operator(*operator, 0)));
            asks.push((Wanted::Operator(*operator), key));
        }
        if asks.is_empty() && self.open.is_empty() {
            return Ok(split);
        }
        let asks: Vec<(u64, Key)> = asks
            .into_iter()
            .map(|(wanted, key)| {
                let lookup = number();
                self.open.insert(lookup, wanted);
                (lookup, key)
            })
            .collect();
        self.lookup_count += convert::size(asks.len());
        self.until = now + LOOKUP_WAIT;
        Err(asks)
    }

    /// The overlay answers. Says whether nothing is open any more.
    pub(crate) fn found(
        &mut self,
        view: &NodeView,
        order: &Order,
        lookup: u64,
        entries: &[Entry],
    ) -> bool {
        match self.open.remove(&lookup) {
            Some(Wanted::Operator(operator)) => {
                let mut providers: Vec<Provider> = entries
                    .iter()
                    .filter_map(|entry| provider(order, operator, entry))
                    .collect();
                let near = |it: &Provider| {
                    it.age + longest_way(view, order, it.coordinate, it.node, operator)
                };
                providers.sort_by_key(|it| (near(it), it.node));
                // A host may have it several times, for who did not know of one another.
                let mut hosts = BTreeSet::new();
                providers.retain(|it| hosts.insert(it.node));
                self.known.insert(operator, providers);
            }
            Some(Wanted::Hosts) => {
                for entry in entries {
                    let payload = entry.payload.as_deref().unwrap_or_default();
                    if let Ok(host) = wire::decode::<HostSummary>(payload)
                        && host.node == entry.owner
                    {
                        let host = HostSummary {
                            load: entry.load,
                            coordinate: entry.coordinate,
                            ..host
                        };
                        self.hosts.insert(host.node, Arc::new(host));
                    }
                }
            }
            None => {}
        }
        self.open.is_empty()
    }

    /// Nobody answers any more.
    pub(crate) fn give_up(&mut self) {
        for (_, wanted) in std::mem::take(&mut self.open) {
            if let Wanted::Operator(operator) = wanted {
                self.known.entry(operator).or_default();
            }
        }
    }

    /// Nothing meets the target behind what was shared: shorter prefixes are next. Says whether there was anything.
    pub(crate) fn pass_over(&mut self, split: &Split) -> bool {
        self.passed.extend(split.shared.keys());
        !split.shared.is_empty()
    }

    /// A host is not there, or does not run what it says.
    pub(crate) fn exclude(&mut self, node: NodeId) {
        for providers in self.known.values_mut() {
            providers.retain(|it| it.node != node && !it.places.values().any(|at| *at == node));
        }
        self.hosts.remove(&node);
    }

    /// What is shared and what is not, as far as is known.
    fn split(&self, view: &NodeView, order: &Order, sharing: Sharing) -> Split {
        if sharing == Sharing::None {
            return Split {
                composed: (0..order.plan.operators().len()).collect(),
                sources: (0..order.plan.sources().len()).collect(),
                ..Split::default()
            };
        }
        let mut known = self.known.clone();
        let costs = costs_behind(order);
        for (operator, providers) in &mut known {
            let is_passed = self.passed.contains(operator);
            let cost = costs[*operator];
            providers.retain(|it| !is_passed && may_serve(view, order, (*operator, cost), it));
            providers.truncate(CANDIDATES_MAX);
        }
        // An operator that is to be composed may run already, hidden behind one that is shared: then it is taken from there too.
        loop {
            let split = walk(order, &known);
            let hidden = split.shared.iter().find_map(|(operator, providers)| {
                let first = providers.first()?;
                let of_it = first.places.iter().find_map(|(part, node)| match part {
                    Before::Operator(index) if split.composed.contains(index) => {
                        Some((*index, *node))
                    }
                    Before::Operator(_) | Before::Source(_) => None,
                })?;
                Some((*operator, first.clone(), of_it))
            });
            let Some((operator, first, (index, node))) = hidden else {
                return split;
            };
            let made_of = stream::made_of(&order.plan, index);
            let provider = Provider {
                node,
                coordinate: view
                    .find(node)
                    .map_or(first.coordinate, |host| host.coordinate),
                age: first.age,
                places: made_of
                    .into_iter()
                    .filter_map(|part| Some((part, *first.places.get(&part)?)))
                    .collect(),
                application: first.application.clone(),
            };
            known.insert(operator, vec![first]);
            known.insert(index, vec![provider]);
        }
    }
}

/// Walks a plan from the sinks, as far as what is known allows.
fn walk(order: &Order, known: &BTreeMap<usize, Vec<Provider>>) -> Split {
    let plan = &order.plan;
    let mut split = Split::default();
    let mut next: Vec<Stream> = plan.sinks().iter().map(|sink| sink.input).collect();
    let mut visited = BTreeSet::new();
    while let Some(stream) = next.pop() {
        let operator = match stream {
            Stream::Source(index, _) => {
                split.sources.insert(index);
                continue;
            }
            Stream::Operator(index, _) => index,
        };
        if !visited.insert(operator) {
            continue;
        }
        match known.get(&operator) {
            None => {
                split.missing.push(operator);
                if plan.operators().len() <= AT_ONCE_MAX {
                    // What lies before it is asked for at once: should it be found, that was in vain.
                    next.extend(&plan.operators()[operator].inputs);
                }
            }
            Some(providers) if !providers.is_empty() => {
                split.shared.insert(operator, providers.clone());
            }
            Some(_) => {
                split.composed.insert(operator);
                next.extend(&plan.operators()[operator].inputs);
            }
        }
    }
    split
}

/// The provider that an entry names, if it is one of the operator.
fn provider(order: &Order, operator: usize, entry: &Entry) -> Option<Provider> {
    let record: StreamRecord = wire::decode(entry.payload.as_deref()?).ok()?;
    let places = stream::placed(&order.plan, &order.origins, operator, &record)?;
    let is_own = places.get(&Before::Operator(operator)) == Some(&entry.owner);
    is_own.then_some(Provider {
        node: entry.owner,
        coordinate: entry.coordinate,
        age: record.age,
        places,
        application: record.application,
    })
}

/// Whether a provider's age and the least that the rest takes meet the target; `cost` is that of what is behind, in seconds.
fn may_serve(
    view: &NodeView,
    order: &Order,
    (operator, cost): (usize, f64),
    provider: &Provider,
) -> bool {
    let way = longest_way(view, order, provider.coordinate, provider.node, operator);
    provider.age + way + convert::seconds(cost) <= order.plan.qos().latency
}

/// The longest way from a host to a sink behind an operator, taken straight.
fn longest_way(
    view: &NodeView,
    order: &Order,
    from: Coordinate,
    node: NodeId,
    operator: usize,
) -> Duration {
    let sinks = order.plan.sinks().iter().zip(&order.sinks);
    let behind = sinks.filter(|(sink, _)| match sink.input {
        Stream::Operator(last, _) => {
            stream::made_of(&order.plan, last).contains(&Before::Operator(operator))
        }
        Stream::Source(..) => false,
    });
    let ways = behind.map(|(_, host)| match view.find(*host) {
        _ if *host == node => Duration::ZERO,
        Some(host) => host.coordinate.round_trip(&from) / 2,
        None => Duration::ZERO,
    });
    ways.max().unwrap_or_default()
}

/// The costs of the longest way behind each operator. Unit: seconds.
fn costs_behind(order: &Order) -> Vec<f64> {
    let operators = order.plan.operators();
    let mut behind = vec![0.0_f64; operators.len()];
    for (index, operator) in operators.iter().enumerate().rev() {
        let with_own = behind[index] + order.demands[index].cost_seconds;
        for input in &operator.inputs {
            if let Stream::Operator(before, _) = *input {
                behind[before] = behind[before].max(with_own);
            }
        }
    }
    behind
}

/// The hosts that an order names and that are not known here: a node knows a part of a large network alone.
fn strangers(view: &NodeView, order: &Order) -> BTreeSet<NodeId> {
    let pinned = order.places.iter().filter_map(|place| match place {
        Place::Node(node) => Some(*node),
        Place::Any | Place::Labels(_) => None,
    });
    let ends = order.sources.iter().chain(&order.sinks).copied();
    ends.chain(pinned)
        .filter(|node| view.find(*node).is_none())
        .collect()
}

/// The kinds of operators that may go anywhere and that few of the hosts offer which are known here.
fn rare_kinds<'o>(view: &NodeView, order: &'o Order) -> BTreeSet<&'o str> {
    let parts = order.plan.operators().iter().zip(&order.places);
    let kinds: BTreeSet<&str> = parts
        .filter(|(_, place)| !matches!(place, Place::Node(_)))
        .map(|(operator, _)| operator.kind.as_str())
        .collect();
    let known = || std::iter::once(&view.host).chain(view.hosts.values().map(|host| &**host));
    let is_rare = |kind: &&str| {
        known()
            .filter(|host| candidates::offers(host, kind))
            .take(CANDIDATES_MAX)
            .count()
            < CANDIDATES_MAX
            && known().any(|host| host.operators.is_some())
    };
    kinds.into_iter().filter(is_rare).collect()
}
