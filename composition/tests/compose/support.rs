//! Some composers in memory: a network with virtual time, loss, repetition and hosts that vanish, from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use composition::{
    Composed, Composer, Config, Effect, Event, Input, Message, MigrationId, Order, Place, Refusal,
    Taken,
};
use model::plan::{Builder, Stream};
use model::{
    ApplicationId, Arguments, ComponentGraph, CompositionId, Coordinate, DataType, Demand, Entry,
    Field, HostSummary, Instant, Key, LoadInterval, NodeId, NodeView, Origin, Qos, Resources, Rng,
    Schema, SourceName, wire,
};

/// A host, with what it did as it was told.
pub(crate) struct Member {
    pub(crate) composer: Composer,
    pub(crate) view: NodeView,
    pub(crate) is_alive: bool,
    pub(crate) deployed: BTreeMap<CompositionId, ComponentGraph>,
    pub(crate) started: BTreeSet<CompositionId>,
    /// What it is ready to go over to.
    pub(crate) ready: BTreeSet<MigrationId>,
    /// What has moved away from here, and runs on for as long as somebody shares it.
    leaving: BTreeMap<CompositionId, ComponentGraph>,
}

/// Something that happens to a host.
enum Happening {
    Message {
        from: NodeId,
        bytes: Vec<u8>,
    },
    Unreachable(NodeId),
    Deployed(CompositionId),
    DeployFailed(CompositionId),
    Prepared(MigrationId),
    PrepareFailed(MigrationId),
    Retired(CompositionId),
    /// These operators of it are here for others alone.
    Measured(CompositionId, Vec<u16>),
    Found(u64, Vec<Entry>),
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// The fraction of messages that are lost, and of those that come twice.
    pub(crate) loss: f64,
    pub(crate) repetition: f64,
    /// By how much a message may be late, so that others overtake it.
    pub(crate) jitter: Duration,
    /// Whether somebody is told when a message surely did not arrive.
    pub(crate) tells_unreachable: bool,
    /// Hosts on which nothing can be deployed.
    pub(crate) broken: BTreeSet<NodeId>,
    pub(crate) events: Vec<(NodeId, Event)>,
    /// How many happenings there were.
    pub(crate) steps: u64,
    /// Whether what is said is kept, and what was.
    pub(crate) records: bool,
    pub(crate) recorded: Vec<Vec<u8>>,
    /// What is registered in the overlay.
    pub(crate) entries: BTreeMap<(Key, NodeId, u64), Entry>,
    rng: Rng,
    queue: BTreeMap<(Instant, u64), (NodeId, Happening)>,
    count: u64,
}

pub(crate) const fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

pub(crate) fn id(number: u64) -> CompositionId {
    CompositionId {
        node: node(1),
        number,
    }
}

/// A host with some cores; its place is so many milliseconds one way from the others' origin.
pub(crate) fn host(number: u8, place_ms: f64, cores: f64) -> HostSummary {
    HostSummary {
        coordinate: Coordinate {
            place: [place_ms * 2e-3, 0.0, 0.0],
            height: 0.0,
            error: 0.1,
        },
        capacity: Resources {
            cpu_cores: cores,
            memory_bytes: 1 << 30,
            uplink_bytes_per_second: 1e8,
        },
        ..HostSummary::new(node(number), format!("h{number}"))
    }
}

impl Network {
    pub(crate) fn new(seed: u64, hosts: &[HostSummary]) -> Self {
        Self::with(seed, hosts, &Config::default())
    }

    pub(crate) fn with(seed: u64, hosts: &[HostSummary], config: &Config) -> Self {
        let rng = Rng::from_seed(seed);
        let members = hosts.iter().map(|host| {
            let mut view = NodeView::alone(host.clone());
            let others = hosts.iter().filter(|other| other.node != host.node);
            view.hosts = others.map(|it| (it.node, Arc::new(it.clone()))).collect();
            let member = Member {
                composer: Composer::new(config.clone(), rng.keyed(&host.name)),
                view,
                is_alive: true,
                deployed: BTreeMap::new(),
                started: BTreeSet::new(),
                ready: BTreeSet::new(),
                leaving: BTreeMap::new(),
            };
            (host.node, member)
        });
        Self {
            now: Instant::ZERO,
            members: members.collect(),
            loss: 0.0,
            repetition: 0.0,
            jitter: Duration::ZERO,
            tells_unreachable: true,
            broken: BTreeSet::new(),
            events: Vec::new(),
            steps: 0,
            records: false,
            recorded: Vec::new(),
            entries: BTreeMap::new(),
            rng,
            queue: BTreeMap::new(),
            count: 0,
        }
    }

    pub(crate) fn compose(&mut self, number: u8, id: CompositionId, order: Order) {
        self.input(node(number), Input::Compose { id, order });
    }

    /// Hands an input to a host and does what it wants done.
    pub(crate) fn input(&mut self, to: NodeId, input: Input) {
        let Some(member) = self.members.get_mut(&to).filter(|it| it.is_alive) else {
            return;
        };
        let mut effects = Vec::new();
        let view = member.view.clone();
        member
            .composer
            .handle_input(self.now, &view, input, &mut effects);
        for effect in effects {
            self.perform(to, effect);
        }
        self.check();
    }

    fn perform(&mut self, at: NodeId, effect: Effect) {
        let soon = self.now + Duration::from_micros(500);
        let member = self.members.get_mut(&at).expect("a host of the network");
        match effect {
            Effect::Send { to, message } => {
                assert_ne!(to, at, "nobody sends to itself");
                self.send(at, to, wire::encode(&message));
            }
            Effect::Deploy { id, graph, .. } => {
                assert!(graph.hosts().contains(&at));
                if self.broken.contains(&at) {
                    self.push(soon, at, Happening::DeployFailed(id));
                } else {
                    let before = member.deployed.insert(id, graph);
                    assert_eq!(before, None, "{id:?} is deployed once");
                    self.push(soon, at, Happening::Deployed(id));
                }
            }
            Effect::Start { id, .. } => {
                assert!(
                    member.deployed.contains_key(&id),
                    "only what is there starts"
                );
                member.started.insert(id);
            }
            Effect::Undeploy { id } => {
                member.deployed.remove(&id);
                member.started.remove(&id);
                member.ready.retain(|it| it.composition != id);
            }
            Effect::Prepare { id, graph, .. } => {
                let known = member.deployed.get(&id.composition);
                assert!(known.is_some() || graph.hosts().contains(&at));
                if self.broken.contains(&at) {
                    self.push(soon, at, Happening::PrepareFailed(id));
                } else {
                    assert!(member.ready.insert(id), "{id:?} is prepared once");
                    self.push(soon, at, Happening::Prepared(id));
                }
            }
            Effect::Switch { id, graph, .. } => {
                assert!(member.ready.remove(&id), "{at} goes over when it is ready");
                if graph.hosts().contains(&at) {
                    member.deployed.insert(id.composition, graph);
                    member.started.insert(id.composition);
                } else {
                    member.deployed.remove(&id.composition);
                    member.started.remove(&id.composition);
                    member.leaving.insert(id.composition, graph);
                }
                let is_shared = |graph: &ComponentGraph| {
                    let mut bindings = graph.operators().iter();
                    bindings.any(|binding| binding.shared && binding.host == at)
                };
                if !member.deployed.values().any(is_shared) {
                    for (left, _) in std::mem::take(&mut member.leaving) {
                        self.push(soon, at, Happening::Retired(left));
                    }
                }
                self.measure(at);
            }
            Effect::Adopt { id, .. } => panic!("{id:?}: no record is told here"),
            Effect::Abandon { id } => {
                assert!(member.ready.remove(&id), "{id:?} was ready");
                self.measure(at);
            }
            Effect::Lookup { lookup, key, .. } => {
                let entries = self.entries.range((key, NodeId([0; 32]), 0)..);
                let of_key = entries.take_while(|((it, _, _), _)| *it == key);
                let entries = of_key.map(|(_, entry)| entry.clone()).collect();
                let later = self.now + Duration::from_millis(2);
                self.push(later, at, Happening::Found(lookup, entries));
            }
            Effect::Register { key, slot, payload } => {
                let entry = Entry {
                    owner: at,
                    key,
                    slot,
                    version: 1,
                    ttl: Duration::from_secs(60),
                    addresses: Vec::new(),
                    load: LoadInterval::default(),
                    coordinate: member.view.host.coordinate,
                    payload: Some(payload),
                    signature: [0; 64],
                };
                self.entries.insert((key, at, slot), entry);
            }
            Effect::Withdraw { key, slot } => {
                self.entries.remove(&(key, at, slot));
            }
            Effect::Event(event) => self.events.push((at, event)),
        }
    }

    /// A host is told soon what runs there: what somebody shares, and what its graphs say.
    fn measure(&mut self, at: NodeId) {
        let soon = self.now + Duration::from_micros(500);
        let member = &self.members[&at];
        let shared = member.deployed.values().flat_map(|graph| {
            let bindings = graph.operators().iter().enumerate();
            let here = bindings.filter(|(_, it)| it.shared && it.host == at);
            here.map(|(index, _)| graph.plan().stream_name(Stream::Operator(index, 0)))
        });
        let shared: BTreeSet<_> = shared.collect();
        let graphs = member.deployed.iter().chain(&member.leaving);
        let measured = graphs.map(|(id, graph)| {
            let operators = (0_u16..).zip(graph.operators()).map(|(index, _)| index);
            let is_kept = |index: &u16| {
                let stream = Stream::Operator(usize::from(*index), 0);
                shared.contains(&graph.plan().stream_name(stream))
            };
            (*id, operators.filter(is_kept).collect())
        });
        for (id, kept) in measured.collect::<Vec<_>>() {
            self.push(soon, at, Happening::Measured(id, kept));
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        // Who is not known is reached all the same; how far it is knows who is known there.
        let there = || self.members.get(&to)?.view.delay(from, to);
        let known = self.members[&from].view.delay(from, to);
        let Some(delay) = known.or_else(there) else {
            // A damaged message named somebody who is nobody.
            return;
        };
        if self.records {
            self.recorded.push(bytes.clone());
        }
        let copies = if self.rng.fraction() < self.repetition {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.rng.fraction() < self.loss {
                continue;
            }
            let late = self.jitter.mul_f64(self.rng.fraction());
            let message = Happening::Message {
                from,
                bytes: bytes.clone(),
            };
            self.push(self.now + delay + late, to, message);
        }
    }

    fn push(&mut self, at: Instant, to: NodeId, happening: Happening) {
        self.count += 1;
        self.queue.insert((at, self.count), (to, happening));
    }

    /// Lets the next thing happen, if anything does before `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        let alive = self.members.iter().filter(|(_, it)| it.is_alive);
        let timeouts = alive.filter_map(|(node, it)| Some((it.composer.poll_timeout()?, *node)));
        let timeout = timeouts.min();
        let queued = self.queue.first_key_value().map(|(key, _)| key.0);
        let next = timeout.map(|it| it.0).into_iter().chain(queued).min();
        let Some(next) = next.filter(|it| *it <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.steps += 1;
        self.now = self.now.max(next);
        if queued != Some(next) {
            let (_, node) = timeout.expect("it is not in the queue");
            self.input(node, Input::Timeout);
            return true;
        }
        let (_, (to, happening)) = self.queue.pop_first().expect("it is in the queue");
        match happening {
            Happening::Message { from, bytes } => {
                if self.members[&to].is_alive {
                    let message: Message = wire::decode(&bytes).expect("what was encoded");
                    self.input(to, Input::Message { from, message });
                } else if self.tells_unreachable {
                    let at = self.now + Duration::from_millis(1);
                    self.push(at, from, Happening::Unreachable(to));
                }
            }
            Happening::Unreachable(node) => self.input(to, Input::Unreachable(node)),
            Happening::Deployed(id) => self.input(to, Input::Deployed(id)),
            Happening::Prepared(id) => {
                // What was let go of in the meantime is not ready.
                if self.members[&to].ready.contains(&id) {
                    let taken = Taken {
                        state_bytes: 1000,
                        ..Taken::default()
                    };
                    self.input(to, Input::Prepared { id, taken });
                }
            }
            Happening::PrepareFailed(id) => {
                let reason = "a test wants it so".to_owned();
                self.input(to, Input::PrepareFailed { id, reason });
            }
            Happening::Retired(id) => self.input(to, Input::Retired(id)),
            Happening::Measured(id, kept) => {
                let measured = Input::Measured {
                    id,
                    usage: Vec::new(),
                    kept,
                    delay: None,
                };
                self.input(to, measured);
            }
            Happening::Found(lookup, entries) => self.input(to, Input::Found { lookup, entries }),
            Happening::DeployFailed(id) => {
                let reason = "a test wants it so".to_owned();
                self.input(to, Input::DeployFailed { id, reason });
            }
        }
        true
    }

    /// Runs for some time.
    pub(crate) fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.step(end) {}
    }

    pub(crate) fn kill(&mut self, number: u8) {
        let member = self.members.get_mut(&node(number)).expect("a host");
        member.is_alive = false;
    }

    /// What holds after every step: nobody has promised more than there is.
    fn check(&self) {
        for (node, member) in &self.members {
            let taken = member.composer.taken();
            let capacity = member.view.host.capacity;
            assert!(capacity.fits(&taken), "{node}: {taken:?} of {capacity:?}");
        }
    }

    /// Asserts that on hosts that live nothing is held but what `applications` have, and that nothing is under way.
    pub(crate) fn assert_nothing_is_left(&self, applications: &[CompositionId]) {
        for (node, member) in self.members.iter().filter(|(_, it)| it.is_alive) {
            let composer = &member.composer;
            let nothing = Resources::default();
            assert_eq!(composer.reserved(), nothing, "{node} has reserved");
            let mut others = member.deployed.keys();
            let other = others.find(|id| !applications.contains(id));
            assert_eq!(other, None, "{node} runs it");
            if member.deployed.is_empty() {
                assert_eq!(composer.allocated(), nothing, "{node} has allocated");
            }
            assert_eq!(composer.composing_count(), 0, "{node} composes");
            assert_eq!(composer.poll_timeout(), None, "{node} waits for something");
        }
    }

    /// Asserts that a composition is on all of the living hosts of one graph, and started there, or on none.
    pub(crate) fn assert_whole_or_nowhere(&self, id: CompositionId) {
        let living = || self.members.iter().filter(|(_, it)| it.is_alive);
        let Some(graph) = living().find_map(|(_, it)| it.deployed.get(&id)) else {
            return;
        };
        for (node, member) in living() {
            let has = member.deployed.get(&id);
            let expected = graph.hosts().contains(node).then_some(graph);
            assert_eq!(has, expected, "{node}");
            assert_eq!(member.started.contains(&id), expected.is_some(), "{node}");
        }
    }

    /// The one event of a composition.
    pub(crate) fn outcome(&self, id: CompositionId) -> Result<&Composed, &Refusal> {
        let of_it = self.events.iter().filter_map(|(_, event)| match event {
            Event::Composed { id: it, composed } if *it == id => Some(Ok(composed)),
            Event::Refused { id: it, refusal } if *it == id => Some(Err(refusal)),
            Event::Composed { .. }
            | Event::Refused { .. }
            | Event::Rebound { .. }
            | Event::Migrated(_)
            | Event::Unmigrated(_) => None,
        });
        let outcomes: Vec<_> = of_it.collect();
        assert_eq!(outcomes.len(), 1, "{id:?} ends once: {outcomes:?}");
        outcomes[0]
    }
}

/// An order for a plan: `edges` tells what each operator reads, `s0` and so on for sources, `o0` and so on for operators.
/// All sources are on `source_host`, the sinks on `sink_host`; each operator takes `cores` at 100 rows a second.
pub(crate) fn order(
    name: &str,
    target_ms: u64,
    operators: &[&[&str]],
    sinks: &[&str],
    (source_host, sink_host): (u8, u8),
    cores: f64,
) -> Order {
    let qos = Qos {
        latency: Duration::from_millis(target_ms),
        ..Qos::default()
    };
    let schema = Schema::new(vec![Field::new("value", DataType::Int64)]).expect("one column");
    let ports = || vec![("out".to_owned(), schema.clone())];
    let mut plan = Builder::new(name, qos).expect("a name");
    let reads = operators.iter().copied().flatten().chain(sinks);
    let last = reads.filter_map(|it| it.strip_prefix('s')?.parse::<usize>().ok());
    let source_count = last.max().unwrap_or(0) + 1;
    for index in 0..source_count {
        let source = SourceName::Published {
            publisher: node(source_host),
            name: format!("lab/s{index}"),
        };
        plan.source(&format!("source{index}"), source, ports())
            .expect("a new name");
    }
    let stream = |word: &str| {
        let index = word[1..].parse().expect("a number");
        if word.starts_with('s') {
            Stream::Source(index, 0)
        } else {
            Stream::Operator(index, 0)
        }
    };
    for (index, inputs) in operators.iter().enumerate() {
        let inputs: Vec<Stream> = inputs.iter().map(|it| stream(it)).collect();
        let called = format!("o{}", index + 1);
        plan.operator(&called, "filter", Arguments::new(), &inputs, ports())
            .expect("a new name");
    }
    for (index, input) in sinks.iter().enumerate() {
        plan.sink(&format!("sink{index}"), stream(input))
            .expect("a new name");
    }
    let demand = Demand {
        rows_per_second: 100.0,
        row_bytes: 50.0,
        cost_seconds: cores / 100.0,
        selectivity: 1.0,
    };
    Order {
        application: ApplicationId {
            owner: node(1),
            name: name.to_owned(),
        },
        plan: plan.build().expect("everything is read"),
        origins: (0..source_count).map(|_| Origin(7)).collect(),
        sources: vec![node(source_host); source_count],
        source_demands: vec![
            Demand {
                cost_seconds: 0.0,
                ..demand
            };
            source_count
        ],
        demands: vec![demand; operators.len()],
        places: vec![Place::Any; operators.len()],
        sinks: vec![node(sink_host); sinks.len()],
        spread: false,
        is_trial: false,
    }
}

/// The plan of the slides: O1 -> {O2 -> O4, O3 -> O5} -> O6.
pub(crate) const SLIDES: &[&[&str]] = &[&["s0"], &["o0"], &["o0"], &["o1"], &["o2"], &["o3", "o4"]];

/// Three operators in a row.
pub(crate) const CHAIN: &[&[&str]] = &[&["s0"], &["o0"], &["o1"]];
