//! Nodes in memory: a message network with loss, repetition, reordering and crashes from a seed, over virtual
//! time; an overlay that is one shared map; and a driver that deploys whatever it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use composition::{Order, Place, Taken};
use model::plan::Builder;
use model::{
    ApplicationId, ComponentGraph, CompositionId, Coordinate, DataType, Demand, Entry, Field,
    HostSummary, Instant, Key, LoadInterval, NodeId, Origin, Outcome, Qos, Query, QueryPlan,
    Resources, Rng, Schema, SourceName, Value,
};
use node::node::{
    Answer, Answered, Command, CommandId, ComponentRow, Config, Effect, EffectsDigest, Input, Node,
    PartEvent, PartReport, Recorder,
};
use overlay::Identity;

pub(crate) const SEED: u64 = 7;

/// A host of the network.
pub(crate) struct Host {
    pub node: Node,
    pub is_up: bool,
    pub recorder: Recorder<Vec<u8>>,
    pub digest: EffectsDigest,
}

/// The network.
pub(crate) struct Net {
    pub now: Instant,
    pub hosts: BTreeMap<NodeId, Host>,
    pub ids: Vec<NodeId>,
    /// Chances of loss and of repetition of each message.
    pub loss: f64,
    pub repetition: f64,
    /// Whether a host that is down is noticed by who writes to it.
    pub is_down_noticed: bool,
    /// Whether others read what runs, so that it does not go when its application has ended.
    pub is_read_by_others: bool,
    /// Whether entries of who is started anew lie where they lay, as they do for some minutes.
    pub has_old_entries: bool,
    /// Whether the overlay answers.
    pub has_overlay: bool,
    /// Whether hosts that are started anew repair.
    pub repairs: bool,
    /// What runs where, and whether it was started.
    pub deployed: BTreeMap<(NodeId, CompositionId), (ComponentGraph, bool)>,
    pub entries: BTreeMap<(Key, NodeId, u64), Entry>,
    pub steps: u64,
    answers: BTreeMap<CommandId, Answered>,
    asked: BTreeSet<CommandId>,
    queue: BTreeMap<(Instant, u64), (NodeId, Input)>,
    rng: Rng,
    next: u64,
    /// Every message that was sent, and to whom.
    messages: Vec<(NodeId, Vec<u8>)>,
}

pub(crate) fn identity(index: usize) -> Identity {
    Identity::from_secret([u8::try_from(index + 1).expect("few hosts"); 32])
}

pub(crate) fn summary(index: usize) -> HostSummary {
    HostSummary {
        node: identity(index).node(),
        name: format!("n{index}"),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + index)],
        coordinate: Coordinate::default(),
        load: LoadInterval::default(),
        capacity: Resources {
            cpu_cores: 4.0,
            memory_bytes: 1 << 30,
            uplink_bytes_per_second: 1e9,
        },
        labels: BTreeMap::new(),
        operators: None,
        version: 1,
    }
}

pub(crate) fn config(index: usize) -> Config {
    Config {
        identity: identity(index),
        host: summary(index),
        network: "test".to_owned(),
        composition: composition::Config::default(),
        first_number: 1,
        is_new: false,
        migrates: true,
        repairs: false,
    }
}

const OVERLAY_DELAY: Duration = Duration::from_millis(5);

impl Net {
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        Self::that_moves(count, seed, true)
    }

    /// One whose hosts move components by themselves, or do not.
    pub(crate) fn that_moves(count: usize, seed: u64, migrates: bool) -> Self {
        Self::of(count, seed, |index| Config {
            migrates,
            ..config(index)
        })
    }

    /// One whose hosts go on in the place of those that are gone.
    pub(crate) fn that_repairs(count: usize, seed: u64) -> Self {
        let mut net = Self::of(count, seed, |index| Config {
            repairs: true,
            ..config(index)
        });
        net.repairs = true;
        net
    }

    fn of(count: usize, seed: u64, config: impl Fn(usize) -> Config) -> Self {
        let host = |index| Self::host(config(index));
        let hosts: BTreeMap<NodeId, Host> = (0..count).map(host).collect();
        let mut net = Self {
            now: Instant::from_nanos(1),
            ids: (0..count).map(|index| identity(index).node()).collect(),
            hosts,
            loss: 0.0,
            repetition: 0.0,
            is_down_noticed: true,
            is_read_by_others: false,
            has_old_entries: false,
            has_overlay: true,
            repairs: false,
            deployed: BTreeMap::new(),
            entries: BTreeMap::new(),
            steps: 0,
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            queue: BTreeMap::new(),
            rng: Rng::from_seed(seed),
            next: 0,
            messages: Vec::new(),
        };
        for index in 0..count {
            net.meet(index);
        }
        net.pass(Duration::from_millis(100));
        net
    }

    fn host(config: Config) -> (NodeId, Host) {
        let id = config.identity.node();
        let host = Host {
            recorder: Recorder::start(Vec::new(), &config, SEED).expect("memory"),
            node: Node::new(config, Rng::from_seed(SEED)),
            is_up: true,
            digest: EffectsDigest::default(),
        };
        (id, host)
    }

    /// A host and all others that are up see each other.
    pub(crate) fn meet(&mut self, index: usize) {
        for other in 0..self.ids.len() {
            if other == index || !self.hosts[&self.ids[other]].is_up {
                continue;
            }
            for (at, of) in [(index, other), (other, index)] {
                let seen = Input::Seen {
                    summary: Arc::new(summary(of)),
                    round_trip: Some(Duration::from_millis(2)),
                };
                self.push(self.ids[at], Duration::from_millis(1), seen);
            }
        }
    }

    pub(crate) fn push(&mut self, to: NodeId, delay: Duration, input: Input) {
        self.next += 1;
        self.queue
            .insert((self.now + delay, self.next), (to, input));
    }

    pub(crate) fn up(&self) -> Vec<NodeId> {
        let up = self.hosts.iter().filter(|(_, host)| host.is_up);
        up.map(|(id, _)| *id).collect()
    }

    /// A host is cut off with all that it runs; what it knew it keeps, as behind a broken link.
    pub(crate) fn cut(&mut self, index: usize) {
        let id = self.ids[index];
        self.hosts.get_mut(&id).expect("a host").is_up = false;
    }

    /// A host that was cut off can be reached again.
    pub(crate) fn join(&mut self, index: usize) {
        let id = self.ids[index];
        self.hosts.get_mut(&id).expect("a host").is_up = true;
        self.meet(index);
    }

    /// A host is started anew: it has its key, and nothing that it knew, ran and registered.
    pub(crate) fn restart(&mut self, index: usize) {
        let (id, mut host) = Self::host(config(index));
        let config = Config {
            first_number: 1 + self.steps,
            repairs: self.repairs,
            ..config(index)
        };
        host.recorder = Recorder::start(Vec::new(), &config, SEED).expect("memory");
        host.node = Node::new(config, Rng::from_seed(SEED));
        self.hosts.insert(id, host);
        self.deployed.retain(|(at, _), _| *at != id);
        if !self.has_old_entries {
            self.entries.retain(|(_, owner, _), _| *owner != id);
        }
        self.meet(index);
    }

    /// Its neighbors have not heard of a host for too long.
    pub(crate) fn lose(&mut self, index: usize) {
        for other in self.up() {
            self.push(other, Duration::ZERO, Input::Lost(self.ids[index]));
        }
        self.pass(Duration::from_millis(10));
    }

    /// One event: the next message, answer or timeout. Nothing where there is none before `until`.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        let timeouts = self.hosts.iter().filter(|(_, host)| host.is_up);
        let timeout = timeouts
            .filter_map(|(id, host)| Some((host.node.poll_timeout()?, *id)))
            .min();
        let queued = self.queue.keys().next().copied();
        let is_timeout = timeout.is_some_and(|(at, _)| queued.is_none_or(|(due, _)| at < due));
        let (at, to, input) = if is_timeout {
            let (at, to) = timeout.expect("it was just compared");
            (at, to, Input::Timeout)
        } else {
            let Some((key, (to, input))) = queued.and_then(|key| {
                let event = self.queue.get(&key)?.clone();
                Some((key, event))
            }) else {
                self.now = until;
                return false;
            };
            if key.0 <= until {
                self.queue.remove(&key);
            }
            (key.0, to, input)
        };
        if at > until {
            self.now = until;
            return false;
        }
        self.now = self.now.max(at);
        self.steps += 1;
        self.deliver(to, input);
        true
    }

    fn deliver(&mut self, to: NodeId, input: Input) {
        let now = self.now;
        let host = self.hosts.get_mut(&to).expect("a host");
        let is_local = matches!(
            input,
            Input::Deployed(_) | Input::Happened { .. } | Input::Reported { .. }
        );
        if !host.is_up && !is_local {
            return;
        }
        let is_timeout = input == Input::Timeout;
        let mut out = Vec::new();
        host.recorder.record(now, &input).expect("memory");
        host.node.handle_input(now, input, &mut out);
        host.digest.add(&out);
        if is_timeout {
            let next = host.node.poll_timeout();
            assert!(next.is_none_or(|next| next > now), "{next:?} has passed");
        }
        for effect in out {
            self.act(to, effect);
        }
    }

    fn act(&mut self, host: NodeId, effect: Effect) {
        match effect {
            Effect::Answer { id, answered } => {
                assert!(self.asked.contains(&id), "nobody asked {id:?}");
                let before = self.answers.insert(id, answered);
                assert_eq!(before, None, "{id:?} is answered twice");
            }
            Effect::Query { query, ask } => {
                let outcome = self.look(host, ask);
                if self.has_overlay {
                    self.push(host, OVERLAY_DELAY, Input::Outcome { query, outcome });
                }
            }
            Effect::Send { to, bytes } => self.send(host, to, bytes),
            Effect::Deploy { id, graph, .. } => {
                let before = self.deployed.insert((host, id), (*graph, false));
                assert!(before.is_none(), "deployed twice");
                self.push(host, Duration::from_millis(3), Input::Deployed(id));
            }
            Effect::Start { id, .. } => {
                self.deployed.get_mut(&(host, id)).expect("it is there").1 = true;
            }
            Effect::Retire(id) => {
                self.deployed.remove(&(host, id));
            }
            Effect::Release(_) if self.is_read_by_others => {}
            Effect::Release(id) => {
                let happened = Input::Happened {
                    id,
                    event: PartEvent::Retired,
                };
                self.deployed.remove(&(host, id));
                self.push(host, Duration::from_millis(1), happened);
            }
            Effect::Report { ticket, id } => {
                let report = self.report(host, id);
                let delay = Duration::from_millis(1);
                self.push(host, delay, Input::Reported { ticket, report });
            }
            Effect::Prepare { id, .. } => {
                let taken = Taken {
                    state_bytes: 7,
                    ..Taken::default()
                };
                let input = Input::Prepared { id, taken };
                self.push(host, Duration::from_millis(5), input);
            }
            Effect::Adopt { id, graph, .. } => self.switch(host, id, *graph),
            Effect::Switch { id, graph, .. } => self.switch(host, id.composition, *graph),
            Effect::Describe(summary) => {
                let summary = Arc::new(summary);
                for other in self.up().into_iter().filter(|other| *other != host) {
                    let seen = Input::Seen {
                        summary: Arc::clone(&summary),
                        round_trip: None,
                    };
                    self.push(other, Duration::from_millis(1), seen);
                }
            }
            Effect::Abandon(_) | Effect::Keep { .. } | Effect::Note(_) => {}
        }
    }

    /// A host goes over to another graph; where nothing of it is left there, it says so.
    fn switch(&mut self, host: NodeId, id: CompositionId, graph: ComponentGraph) {
        let is_in = graph.hosts().contains(&host);
        if is_in {
            self.deployed.insert((host, id), (graph, true));
        } else if self.deployed.remove(&(host, id)).is_some() {
            let event = PartEvent::Retired;
            let happened = Input::Happened { id, event };
            self.push(host, Duration::from_millis(1), happened);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) {
        assert_ne!(from, to, "a node writes to itself");
        assert!(bytes.len() <= model::wire::MESSAGE_BYTES_MAX);
        self.messages.push((to, bytes.clone()));
        if !self.hosts[&from].is_up {
            return;
        }
        // Who was made up is as good as down.
        if !self.hosts.get(&to).is_some_and(|host| host.is_up) {
            if self.is_down_noticed {
                self.push(from, Duration::from_millis(2), Input::Unreachable(to));
            }
            return;
        }
        let copies = 1 + usize::from(self.rng.fraction() < self.repetition);
        for _ in 0..copies {
            if self.rng.fraction() < self.loss {
                continue;
            }
            let delay = Duration::from_micros(500 + self.rng.below(3000));
            let bytes = bytes.clone();
            self.push(to, delay, Input::Message { from, bytes });
        }
    }

    fn look(&mut self, owner: NodeId, ask: Query) -> Outcome {
        let under = |entries: &BTreeMap<(Key, NodeId, u64), Entry>, keys: &[Key]| {
            let found = entries.iter().filter(|((key, ..), _)| keys.contains(key));
            Outcome::Entries(found.map(|(_, entry)| entry.clone()).collect())
        };
        match ask {
            Query::Lookup { key, .. } => under(&self.entries, &[key]),
            Query::List { index } => {
                let shards = 0..model::entry::INDEX_SHARDS;
                let keys: Vec<Key> = shards.map(|shard| Key::index(index, shard)).collect();
                under(&self.entries, &keys)
            }
            Query::Register { key, slot, payload } => {
                let entry = Entry {
                    owner,
                    key,
                    slot,
                    version: self.steps,
                    ttl: Duration::from_secs(180),
                    addresses: Vec::new(),
                    load: LoadInterval::default(),
                    coordinate: Coordinate::default(),
                    payload: Some(payload),
                    signature: [0; 64],
                };
                self.entries.insert((key, owner, slot), entry);
                Outcome::Done
            }
            Query::Withdraw { key, slot } => {
                self.entries.remove(&(key, owner, slot));
                Outcome::Done
            }
            Query::Closest { .. } => Outcome::Nodes(Vec::new()),
        }
    }

    fn report(&self, host: NodeId, id: CompositionId) -> PartReport {
        let Some((graph, _)) = self.deployed.get(&(host, id)) else {
            return PartReport::default();
        };
        let operators = graph.plan().operators().iter().zip(graph.operators());
        let here = operators.filter(|(_, binding)| binding.host == host);
        PartReport {
            components: here.map(|(part, _)| row(&part.name)).collect(),
            results: u64::from(graph.sinks().iter().any(|sink| sink.host == host)),
            ..PartReport::default()
        }
    }

    /// All messages that were sent to a host, each once.
    pub(crate) fn messages_to(&self, index: usize) -> Vec<Vec<u8>> {
        let to = self
            .messages
            .iter()
            .filter(|(to, _)| *to == self.ids[index]);
        let all: BTreeSet<Vec<u8>> = to.map(|(_, bytes)| bytes.clone()).collect();
        all.into_iter().collect()
    }

    /// A second ends at every host that is up.
    pub(crate) fn load(&mut self) {
        for host in self.up() {
            self.push(
                host,
                Duration::ZERO,
                Input::Load {
                    used: Resources {
                        cpu_cores: 0.1,
                        ..Resources::default()
                    },
                },
            );
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Asks a node, and does not wait.
    pub(crate) fn ask(&mut self, at: usize, command: Command) -> CommandId {
        self.next += 1;
        let id = CommandId(self.next);
        self.asked.insert(id);
        self.deliver(self.ids[at], Input::Command { id, command });
        id
    }

    /// What was answered.
    pub(crate) fn answer(&mut self, id: CommandId) -> Option<Answered> {
        self.answers.remove(&id)
    }

    /// Asks a node, and waits for its answer, which must come in bounded time.
    pub(crate) fn command(&mut self, at: usize, command: Command) -> Answered {
        let what = format!("{command:?}");
        let id = self.ask(at, command);
        let until = self.now + Duration::from_secs(90);
        loop {
            if let Some(answered) = self.answer(id) {
                return answered;
            }
            assert!(self.step(until), "no answer to {what}");
        }
    }

    /// Applies an order that must be composed.
    pub(crate) fn apply(&mut self, at: usize, order: Order) -> node::node::Composition {
        match self.command(at, Command::Apply(Box::new(order))) {
            Ok(Answer::Composition(composition)) => *composition,
            other => panic!("not composed: {other:?}"),
        }
    }

    /// Says what happens to the components of an application on a host.
    pub(crate) fn happen(&mut self, host: usize, event: PartEvent) {
        let host = self.ids[host];
        let found = self.deployed.keys().find(|(at, _)| *at == host);
        let (_, id) = *found.expect("something runs there");
        self.push(host, Duration::ZERO, Input::Happened { id, event });
        self.pass(Duration::from_secs(1));
    }

    /// On how many hosts that are up something runs.
    pub(crate) fn running(&self) -> usize {
        let is_up = |(host, _): &&(NodeId, CompositionId)| self.hosts[host].is_up;
        self.deployed.keys().filter(is_up).count()
    }

    /// Whatever a host that is up has promised to applications.
    pub(crate) fn taken(&self) -> f64 {
        let up = self.hosts.values().filter(|host| host.is_up);
        up.map(|host| host.node.info(self.now).cores_taken).sum()
    }
}

fn row(name: &str) -> ComponentRow {
    ComponentRow {
        name: name.to_owned(),
        status: "running".to_owned(),
        rows_in: 10,
        rows_out: 5,
        rows_per_second: 10.0,
        cost_us_per_row: 1.0,
        slack_ms: Some(100.0),
        late: 1,
        ..ComponentRow::default()
    }
}

pub(crate) fn schema() -> Schema {
    Schema::new(vec![Field::new("value", DataType::Int64)]).expect("one column")
}

/// A plan of three filters in a row; `limit` makes it another plan.
pub(crate) fn plan(owner: NodeId, name: &str, limit: &str, latency: Duration) -> QueryPlan {
    let qos = Qos {
        latency,
        ..Qos::default()
    };
    let mut plan = Builder::new(name, qos).expect("a name");
    let source = SourceName::Inline {
        owner,
        application: name.to_owned(),
        source: "flows".to_owned(),
        host: owner,
    };
    let ports = vec![("out".to_owned(), schema()), ("bad".to_owned(), schema())];
    let mut from = plan
        .source("flows", source, ports)
        .expect("a source")
        .port(0)
        .expect("a port");
    for operator in ["first", "second", "third"] {
        let text = format!("value > {limit}");
        let parameters = [("where", Value::from(text.as_str()))]
            .into_iter()
            .collect();
        let ports = vec![("out".to_owned(), schema()), ("bad".to_owned(), schema())];
        let accepted = plan.operator(operator, "filter", parameters, &[from], ports);
        from = accepted.expect("an operator").port(0).expect("a port");
    }
    plan.sink("out", from).expect("a sink");
    plan.build().expect("a plan")
}

/// An order whose operators go to hosts of their own.
pub(crate) fn order(at: usize, name: &str, limit: &str) -> Order {
    let owner = identity(at).node();
    let plan = plan(owner, name, limit, Duration::from_secs(1));
    let demand = Demand {
        rows_per_second: 1000.0,
        row_bytes: 100.0,
        cost_seconds: 1e-5,
        selectivity: 1.0,
    };
    Order {
        application: ApplicationId {
            owner,
            name: name.to_owned(),
        },
        plan,
        origins: vec![Origin(5)],
        sources: vec![owner],
        source_demands: vec![demand],
        demands: vec![demand; 3],
        places: vec![Place::Any; 3],
        sinks: vec![owner],
        spread: true,
        is_trial: false,
    }
}
