//! The task that owns a node's control plane: everything that happens comes in here, one thing after the other.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use composition::{MigrationId, Taken};
use engine::Event;
use engine::runtime::Runtime;
use engine::state::Resumed;
use model::{ApplicationId, Clock, ComponentGraph, CompositionId, Instant};
use overlay::net::{self, Network};
use tokio::sync::{mpsc, oneshot};

use super::awaiting::Awaiting;
use super::backup::Backup;
use super::deploy::{Local, Pieces, Prepared};
use super::leaving::{self, Draining};
use super::migration::Migration;
use super::parts::{Means, Part, RoundTrips};
use super::preparing::Preparing;
use super::publish::Published;
use super::standby::Standby;
use super::surviving::Surviving;
use super::used::Used;
use super::{Config, effects};
use crate::api::{Request, Tapped};
use crate::clock::MachineClock;
use crate::node::{
    Answered, Command, CommandId, Effect, Failure, Input, Node, PartEvent, TapTarget,
};
use crate::run::{Lease, News, RENEWED};

/// How many things may wait to be taken in, beside requests and what the network brings.
///
/// Unit: count. Source: guess; each is made by a task that waits when they are too many.
const INBOX_MAX: usize = 1024;

/// How long what a loaded file keeps here outlives the loading without a part that uses it: longer than a
/// composition and all its attempts take.
///
/// Unit: time. Range: above the minute after which a composition is given up.
const LOCAL_LIFE: Duration = Duration::from_secs(120);

/// How often the load of this process is sampled. Unit: time. Source: design, monitoring once a second.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// What tasks of this node tell its control plane.
#[derive(Debug)]
pub(super) enum Inbound {
    /// Something for the machine.
    Input(Input),
    /// A command of a task.
    Command {
        command: Command,
        answer: oneshot::Sender<Answered>,
    },
    /// An application file was loaded: what it keeps on this host, until it is gone.
    Loaded {
        application: ApplicationId,
        local: Local,
        /// Told when it is kept.
        kept: oneshot::Sender<()>,
    },
    /// A deployment can be made, or cannot.
    Prepared {
        id: CompositionId,
        /// Which of its deployments.
        number: u64,
        application: ApplicationId,
        graph: Box<ComponentGraph>,
        prepared: Box<Result<Prepared, String>>,
    },
    /// The state of an operator that comes here was taken over, or could not be.
    Resumed {
        id: MigrationId,
        application: ApplicationId,
        /// What goes on, and how much state it has, in bytes.
        taken: Box<Result<(Resumed, Taken), String>>,
    },
    /// The state of an operator is here that is to run here beside the one that has it.
    Stands {
        place: (CompositionId, u16),
        /// Which of the attempts.
        number: u64,
        resumed: Box<Resumed>,
    },
    /// Parts that a graph binds to this host are compiled and open.
    Made {
        id: CompositionId,
        /// For which of the graphs that were adopted.
        number: u64,
        made: Box<Pieces>,
    },
    /// Parts that are made have waited for what they share as long as they may.
    Awaited { id: CompositionId, number: u64 },
    /// A source was opened to be published.
    Opened {
        opened: Box<super::publish::Opened>,
        answer: oneshot::Sender<Answered>,
    },
    /// The publication of a stream was refused.
    Unpublished(String),
    /// A stream was found that somebody wants to tap.
    Tap {
        target: TapTarget,
        answer: oneshot::Sender<Result<mpsc::Receiver<Tapped>, Failure>>,
    },
}

/// A node's control plane and what it drives.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) machine: Node,
    pub(super) config: Config,
    pub(super) clock: Arc<MachineClock>,
    pub(super) network: Network,
    pub(super) runtime: Runtime,
    pub(super) means: Means,
    pub(super) inbox: mpsc::Receiver<Inbound>,
    /// Who waits for the answers to commands.
    pub(super) answers: BTreeMap<CommandId, oneshot::Sender<Answered>>,
    next_command: u64,
    /// What runs here, by composition.
    pub(super) parts: BTreeMap<CompositionId, Part>,
    /// What is being prepared.
    pub(super) preparing: Preparing,
    /// What is made ready for other graphs, by migration.
    pub(super) migrations: BTreeMap<MigrationId, Migration>,
    /// What is being made here of graphs that hold already.
    pub(super) adopting: Preparing,
    /// What of that waits for others whose operators it shares.
    pub(super) awaiting: BTreeMap<CompositionId, Awaiting>,
    /// What is held here of operators that run elsewhere.
    pub(super) backups: BTreeMap<(CompositionId, u16), Backup>,
    /// What runs here beside operators that run elsewhere, for nobody yet.
    pub(super) standbys: BTreeMap<(CompositionId, u16), Standby>,
    /// What outlives this process of operators here; nothing where it keeps nothing.
    pub(super) surviving: Option<Surviving>,
    /// What effects have told the machine, to be taken in when all of them are carried out.
    pub(super) pending: VecDeque<Input>,
    /// What files that were loaded here have opened here.
    pub(super) local: BTreeMap<ApplicationId, Local>,
    /// The streams that this host publishes, by name.
    pub(super) published: BTreeMap<String, Published>,
    pub(super) is_leaving: Option<oneshot::Sender<()>>,
    /// What it gives away before it leaves.
    pub(super) draining: Option<Draining>,
    used: Used,
}

impl Control {
    pub(super) fn new(
        machine: Node,
        config: Config,
        clock: Arc<MachineClock>,
        network: Network,
        runtime: Runtime,
        surviving: Option<Surviving>,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let means = Means {
            engine: runtime.handle(),
            network: network.clone(),
            clock: Arc::clone(&clock),
            inbox: sender,
            results: config.results.clone(),
            store: config.store.clone(),
            round_trips: RoundTrips::default(),
            lease: Arc::new(Lease::new(Arc::clone(&clock))),
        };
        Self {
            machine,
            config,
            used: Used::start(clock.now()),
            clock,
            network,
            runtime,
            means,
            inbox,
            answers: BTreeMap::new(),
            next_command: 0,
            parts: BTreeMap::new(),
            preparing: Preparing::default(),
            migrations: BTreeMap::new(),
            adopting: Preparing::default(),
            awaiting: BTreeMap::new(),
            backups: BTreeMap::new(),
            standbys: BTreeMap::new(),
            surviving,
            pending: VecDeque::new(),
            local: BTreeMap::new(),
            published: BTreeMap::new(),
            is_leaving: None,
            draining: None,
        }
    }

    /// Drives the node until it is told to leave.
    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<net::Event>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        // What a moment of the start took would else count as load until the next sample.
        let first = tokio::time::Instant::now() + LOAD_INTERVAL;
        let mut load = tokio::time::interval_at(first, LOAD_INTERVAL);
        load.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut lease = tokio::time::interval(RENEWED);
        lease.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let engine = self.means.engine.clone();
        self.publish_again().await;
        self.recall();
        while self.is_leaving.is_none() {
            let timeout = self.machine.poll_timeout();
            tokio::select! {
                Some(event) = events.recv() => self.on_network(event),
                Some(request) = requests.recv() => self.on_request(request),
                Some(inbound) = self.inbox.recv() => self.on_inbound(inbound),
                drained = leaving::drained(&mut self.draining) => self.on_drained(drained),
                happened = poll_fn(|cx| engine.poll_events(cx)) => self.on_engine(happened),
                () = until(self.clock.as_ref(), timeout) => self.handle(Input::Timeout),
                _ = lease.tick() => self.renew_lease(),
                _ = load.tick() => {
                    let used = self.used.sample(self.clock.now(), &self.means);
                    // The load ends the second: what was measured in it is there by then.
                    self.measure_parts();
                    self.handle(Input::Load { used });
                }
            }
        }
        self.means.lease.end();
        self.leave().await;
    }

    /// Hands in what was kept of applications before a restart.
    fn recall(&mut self) {
        let Some(store) = self.config.store.clone() else {
            return;
        };
        for name in store.names(effects::RECORDS) {
            if let Some(record) = store.read(&name) {
                self.handle(Input::Recalled(record));
            }
        }
    }

    /// Hands an input to the machine and carries out what it wants.
    pub(super) fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            let mut out: Vec<Effect> = Vec::new();
            self.machine.handle_input(self.clock.now(), input, &mut out);
            effects::carry_out(self, out);
            next = self.pending.pop_front();
        }
    }

    /// Takes in what was noted to be told the machine.
    pub(super) fn take_in_pending(&mut self) {
        if let Some(next) = self.pending.pop_front() {
            self.handle(next);
        }
    }

    /// Lets sinks write on, unless this process stood still and others may run what it ran.
    fn renew_lease(&self) {
        let mut parts = self.parts.values();
        let has_others = parts.any(|part| part.graph.hosts().len() > 1);
        if let Some(stood) = self.means.lease.renew(has_others) {
            tracing::warn!(
                "this process stood still for {} ms: its sinks wait to hear what runs elsewhere by now",
                stood.as_millis()
            );
        }
    }

    /// Tells the machine what was measured of what runs here.
    fn measure_parts(&mut self) {
        let (engine, now) = (&self.means.engine, self.clock.now());
        let here = self.network.node();
        let parts = self.parts.iter_mut();
        let measured: Vec<Input> = parts
            .filter_map(|(id, part)| {
                part.close_broken(engine);
                let measured = part.measure(engine, here, now)?;
                Some(Input::Measured { id: *id, measured })
            })
            .collect();
        for input in measured {
            self.handle(input);
        }
        self.tend_standbys();
    }

    /// Hands a command to the machine; its answer goes where `answer` says.
    pub(super) fn command(&mut self, command: Command, answer: oneshot::Sender<Answered>) {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        self.answers.insert(id, answer);
        self.handle(Input::Command { id, command });
    }

    fn on_network(&mut self, event: net::Event) {
        match event {
            net::Event::Message { from, bytes } => self.handle(Input::Message { from, bytes }),
            net::Event::Unreachable(node) => self.handle(Input::Unreachable(node)),
            net::Event::Seen {
                summary,
                round_trip,
            } => {
                if let (Some(round_trip), Ok(mut known)) =
                    (round_trip, self.means.round_trips.lock())
                {
                    known.insert(summary.node, round_trip);
                }
                self.handle(Input::Seen {
                    summary: Arc::new(summary),
                    round_trip,
                });
            }
            net::Event::Lost(node) => {
                if let Ok(mut known) = self.means.round_trips.lock() {
                    known.remove(&node);
                }
                self.handle(Input::Lost(node));
            }
            net::Event::Incoming(incoming) => self.on_incoming(incoming),
        }
    }

    fn on_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Input(input) => self.handle(input),
            Inbound::Command { command, answer } => self.command(command, answer),
            Inbound::Loaded {
                application,
                local,
                kept,
            } => {
                // An application that runs keeps what it was made of: a second file of its name changes nothing.
                let is_running = self
                    .parts
                    .values()
                    .any(|part| part.application == application && !part.is_released);
                if !is_running {
                    self.drop_unused_locals();
                    self.local.insert(application, local);
                }
                // Who loaded it may have gone.
                let _ = kept.send(());
            }
            Inbound::Prepared {
                id,
                number,
                application,
                graph,
                prepared,
            } => {
                // One that was dropped was answered then.
                if self.preparing.finish(id, number) {
                    self.on_prepared(id, application, graph, *prepared);
                }
            }
            Inbound::Resumed {
                id,
                application,
                taken,
            } => self.on_resumed(id, application, *taken),
            Inbound::Stands {
                place,
                number,
                resumed,
            } => self.on_stands(place, number, resumed),
            Inbound::Made { id, number, made } => self.on_ready(id, number, made),
            Inbound::Awaited { id, number } => self.on_awaited(id, number),
            Inbound::Opened { opened, answer } => self.publish(*opened, answer),
            Inbound::Unpublished(name) => self.end_publication(&name),
            Inbound::Tap { target, answer } => self.open_tap(target, answer),
        }
    }

    /// Forgets what files keep here of applications that do not run and are not being composed any more.
    fn drop_unused_locals(&mut self) {
        let now = self.clock.now();
        let parts = &self.parts;
        self.local.retain(|application, local| {
            now.since(local.since) < LOCAL_LIFE
                || parts.values().any(|part| part.application == *application)
        });
    }

    fn on_prepared(
        &mut self,
        id: CompositionId,
        application: ApplicationId,
        graph: Box<ComponentGraph>,
        prepared: Result<Prepared, String>,
    ) {
        let deployed = prepared.and_then(|prepared| {
            Part::deploy(&self.means, &self.runtime, id, application, graph, prepared)
        });
        match deployed {
            Ok(part) => {
                self.parts.insert(id, part);
                self.let_survive(id);
                self.handle(Input::Deployed(id));
            }
            Err(reason) => self.handle(Input::DeployFailed { id, reason }),
        }
    }

    fn on_engine(&mut self, happened: Vec<Event>) {
        for event in happened {
            let number = event.application();
            let found = self
                .parts
                .iter()
                .find(|(_, part)| part.numbers.contains(&number));
            let Some((id, _)) = found else {
                self.on_published(&event);
                continue;
            };
            let id = *id;
            if let super::Results::Shown { news, .. } = &self.config.results
                && let Some(told) = News::of(&event)
            {
                // Nobody hears it only where the run has ended.
                drop(news.try_send(told));
            }
            let event = match event {
                Event::Finished { .. } => PartEvent::Finished,
                Event::Degraded {
                    component, reason, ..
                } => PartEvent::Degraded { component, reason },
                Event::Failed {
                    component, reason, ..
                } => PartEvent::Failed { component, reason },
                Event::Gone { stream, reader, .. } => {
                    self.on_gone(id, (stream, reader), true);
                    self.read_again(id, number, (stream, reader));
                    continue;
                }
                Event::Replaced { stream, reader, .. } => {
                    self.on_gone(id, (stream, reader), false);
                    continue;
                }
                // It goes on coming from where it was, until the edge is turned.
                Event::Moved { .. } => continue,
                Event::Retired { report, .. } => {
                    let Some(mut part) = self.parts.remove(&id) else {
                        continue;
                    };
                    let report = std::slice::from_ref(&*report);
                    effects::note_last(self, effects::counted_of(self, &part, report));
                    part.numbers.retain(|it| *it != number);
                    if !part.numbers.is_empty() {
                        // What came later, or was there before, goes on.
                        self.parts.insert(id, part);
                        continue;
                    }
                    part.retire(&self.means.engine);
                    PartEvent::Retired
                }
            };
            self.handle(Input::Happened { id, event });
        }
    }
}

/// Waits until an instant has come; for ever where there is none.
async fn until(clock: &MachineClock, instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep(instant.since(clock.now())).await,
        None => std::future::pending().await,
    }
}
