//! A simulation: hosts, the network between them, and what is to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use composition::Order;
use model::name::Digest;
use model::{
    ApplicationId, ComponentGraph, CompositionId, HostSummary, Instant, NodeId, Query, Rng, convert,
};
use node::node::{Answered, Command, CommandId, EffectsDigest, Input, Publication};

use super::acquaintance::Acquaintances;
use super::check::{Checker, Violation};
use super::clock::HostClock;
use super::discrete::Discrete;
use super::exact::Exact;
use super::fluid::{Facts, Fluid, Hosts};
use super::host::{self, Host};
use super::network::{Network, Rule, Uplinks, Ways};
use super::outcome::{Delays, Outcome, Ticket, Traffic};
use super::overlay::{Cost, Overlay};
use super::queue::{Event, Queue};
use super::{Fidelity, Setup, coordinates};
use crate::topology::Topology;

mod asking;
mod effects;
mod engines;
mod faults;
mod moving;
mod steps;

/// A command that was given to a node.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) host: usize,
    pub(super) at: Instant,
    /// Of an order: which application.
    pub(super) application: Option<ApplicationId>,
    pub(super) is_trial: bool,
    pub(super) composition: Option<CompositionId>,
    pub(super) answered: Option<Answered>,
    pub(super) outcome: Outcome,
}

/// A simulation.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use testbed::simulator::{Fidelity, HostSetup, Setup, World};
///
/// #[derive(Debug)]
/// struct Star;
/// impl testbed::topology::Topology for Star {
///     fn host_count(&self) -> usize {
///         3
///     }
///     fn delay(&self, from: usize, to: usize) -> Duration {
///         Duration::from_millis(if from == to { 0 } else { 10 })
///     }
/// }
///
/// let mut world = World::new(Setup {
///     seed: 1,
///     topology: Arc::new(Star),
///     hosts: vec![HostSetup::default(); 3],
///     composition: composition::Config::default(),
///     fidelity: Fidelity::Fluid,
///     execution: composition::queue::Discipline::Rank,
///     repairs: true,
/// });
/// world.run_for(Duration::from_secs(1));
/// assert!(world.violations().is_empty());
/// ```
#[derive(Debug)]
pub struct World {
    pub(super) now: Instant,
    pub(super) setup: Setup,
    pub(super) rng: Rng,
    pub(super) hosts: Vec<Host>,
    pub(super) numbers: Hosts,
    pub(super) queue: Queue,
    pub(super) network: Network,
    pub(super) overlay: Overlay,
    pub(super) acquaintances: Acquaintances,
    pub(super) fluid: Fluid,
    /// In discrete fidelity alone.
    pub(super) discrete: Option<Discrete>,
    pub(super) exact: Option<Exact>,
    /// Graphs that hold on a host, and wait there for what they share; in discrete fidelity.
    awaiting: BTreeMap<(usize, CompositionId), moving::Adopted>,
    /// Compositions that have lost state.
    lost_states: BTreeSet<CompositionId>,
    pub(super) facts: BTreeMap<ApplicationId, Arc<Facts>>,
    /// The same of what was ever deployed or adopted.
    pub(super) composed: BTreeMap<CompositionId, Arc<Facts>>,
    /// The last graph that was deployed of each composition, and of each application the last composition.
    pub(super) graphs: BTreeMap<CompositionId, Arc<ComponentGraph>>,
    pub(super) latest: BTreeMap<ApplicationId, CompositionId>,
    /// How often an operator of a composition went elsewhere.
    pub(super) moved: BTreeMap<CompositionId, u64>,
    /// How often a host made something of a composition that it was not asked for.
    pub(super) repaired: BTreeMap<CompositionId, u64>,
    pub(super) asked: Vec<Asked>,
    pub(super) open: usize,
    pub(super) checker: Checker,
    pub(super) checks_each: bool,
    pub(super) digest: Option<Digest>,
    pub(super) traffic: BTreeMap<&'static str, Traffic>,
    pub(super) events: u64,
    pub(super) trace: Vec<String>,
    pub(super) is_traced: bool,
    pub(super) is_down_noticed: bool,
    /// Who is cut off from whom that it knows, and since when.
    pub(super) apart: BTreeMap<(usize, usize), Instant>,
}

/// The longest that a command may go unanswered. Source: `node` ends a composition after less than a minute.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(120);

/// How often hosts that run something are told what was measured of it. Source: an application is measured over some seconds.
pub(super) const MEASURE: Duration = Duration::from_secs(5);

/// How long after a change a host looks how much of it is in use. Source: production looks once a second.
pub(super) const LOAD_AFTER: Duration = Duration::from_secs(1);

impl World {
    /// A network of hosts that have been there for a while: they know one another, as far as they would, and where
    /// they are.
    ///
    /// # Panics
    /// When there are more hosts than the topology has, or none.
    pub fn new(setup: Setup) -> Self {
        let count = setup.hosts.len();
        assert!(count > 0, "a network has hosts");
        assert!(
            count <= setup.topology.host_count(),
            "{count} hosts have places"
        );
        let rng = Rng::from_seed(setup.seed);
        let coordinates = coordinates::settled(
            &First(Arc::clone(&setup.topology), count),
            &mut rng.keyed("coordinates"),
        );
        let acquaintances = Acquaintances::of(&coordinates, &mut rng.keyed("acquaintances"));
        let uplinks = setup.hosts.iter().map(|it| it.uplink_bytes_per_second);
        let rules: Vec<Box<dyn Rule>> = vec![
            Box::new(Uplinks::new(uplinks.collect())),
            Box::new(Ways(Arc::clone(&setup.topology))),
        ];
        let machines = setup.hosts.iter().map(|it| (it.cores, it.background));
        let fluid = Fluid::new(
            Arc::clone(&setup.topology),
            setup.execution,
            machines.collect::<Vec<_>>().into_iter(),
        );
        let cores = setup.hosts.iter().map(|it| it.cores).collect();
        let discrete = (setup.fidelity == Fidelity::Discrete)
            .then(|| Discrete::new(cores, rng.keyed("discrete")));
        let mut world = Self {
            now: Instant::ZERO,
            network: Network::new(rules, rng.keyed("network")),
            overlay: Overlay::new(rng.keyed("overlay")),
            acquaintances,
            fluid,
            discrete,
            exact: None,
            awaiting: BTreeMap::new(),
            lost_states: BTreeSet::new(),
            hosts: Vec::with_capacity(count),
            numbers: Hosts::default(),
            queue: Queue::default(),
            facts: BTreeMap::new(),
            composed: BTreeMap::new(),
            graphs: BTreeMap::new(),
            latest: BTreeMap::new(),
            moved: BTreeMap::new(),
            repaired: BTreeMap::new(),
            asked: Vec::new(),
            open: 0,
            checker: Checker::default(),
            checks_each: false,
            digest: None,
            traffic: BTreeMap::new(),
            events: 0,
            trace: Vec::new(),
            is_traced: false,
            is_down_noticed: true,
            apart: BTreeMap::new(),
            rng,
            setup,
        };
        for (number, coordinate) in coordinates.into_iter().enumerate() {
            let setup = &world.setup.hosts[number];
            let identity = host::identity(&world.rng, number);
            let id = identity.node();
            let summary = host::summary(id, number, setup, coordinate);
            let node = host::node(
                &world.rng,
                number,
                0,
                summary.clone(),
                world.setup.composition.clone(),
                world.repairs(),
            );
            let summary = Arc::new(summary);
            world.numbers.insert(id, ());
            world
                .overlay
                .join(Instant::ZERO, identity, Arc::clone(&summary));
            world.hosts.push(Host {
                node,
                id,
                clock: HostClock::new(setup.clock_offset, setup.clock_drift),
                is_up: true,
                start: 0,
                summary,
                background: setup.background,
                wake: None,
                last_local: Instant::ZERO,
                is_load_due: false,
                measured: BTreeSet::new(),
                has_adopted: false,
                open: Vec::new(),
            });
        }
        for number in 0..count {
            world.introduce(number);
            if world.hosts[number].background > 0.0 {
                world.look_at_load(number, Duration::ZERO);
            }
        }
        world.queue.push(Instant::ZERO + MEASURE, 0, Event::Usage);
        world
    }

    /// The time of the simulation.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What it began with.
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The id of a host.
    ///
    /// # Panics
    /// When there is no such host; so do all that take one.
    pub fn node(&self, host: usize) -> NodeId {
        self.hosts[host].id
    }

    /// The number of a host.
    pub fn host_of(&self, node: NodeId) -> Option<usize> {
        self.numbers.get_index_of(&node)
    }

    /// What a host says of itself.
    pub fn summary(&self, host: usize) -> &HostSummary {
        &self.hosts[host].summary
    }

    /// Asks a host for an application, now. The owner of its name is that host.
    pub fn apply(&mut self, host: usize, order: Order) -> Ticket {
        let facts = Arc::new(Facts::of(&order));
        let application = order.application.clone();
        let is_trial = order.is_trial;
        if !is_trial {
            self.facts.insert(application.clone(), facts);
        }
        let command = Command::Apply(Box::new(order));
        self.ask(host, Some(application), is_trial, command)
    }

    /// Gives a host another command, now.
    pub fn command(&mut self, host: usize, command: Command) -> Ticket {
        self.ask(host, None, false, command)
    }

    /// Publishes a stream of a host, so that applications read it.
    pub fn publish(&mut self, host: usize, publication: Publication) -> Ticket {
        self.command(host, Command::Publish(publication))
    }

    /// Stops an application at the host that was asked for it.
    pub fn stop(&mut self, ticket: Ticket) -> Option<Ticket> {
        let asked = &self.asked[convert::index(u64::from(ticket.0)) - 1];
        let (host, application) = (asked.host, asked.application.clone()?);
        Some(self.command(host, Command::Stop(application.name)))
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Lets time pass until all commands are answered, at most as long as a command may take.
    pub fn run_until_answered(&mut self) {
        let until = self.now + ANSWER_MAX;
        while self.open > 0 && self.step(until) {}
    }

    /// How a command ended; nothing as long as it has not.
    pub fn outcome(&self, ticket: Ticket) -> Option<&Outcome> {
        let asked = self.asked_of(ticket);
        asked.answered.as_ref().map(|_| &asked.outcome)
    }

    /// What a command was answered; nothing as long as it was not.
    pub fn answer(&self, ticket: Ticket) -> Option<&Answered> {
        self.asked_of(ticket).answered.as_ref()
    }

    /// The true delay of an application that was admitted, now; nothing where some of it does not run.
    ///
    /// In discrete fidelity the median of the latest results, from the sources; what lies before a sharing point is not told apart.
    pub fn delay(&mut self, ticket: Ticket) -> Option<Delays> {
        let id = self.asked_of(ticket).composition?;
        if self.discrete.is_some() {
            return self.measured_delay(id);
        }
        self.fluid.delays(id, &self.numbers)
    }

    /// What is in use of a host, as a fraction of its processors.
    pub fn load(&self, host: usize) -> f64 {
        let cores = self.setup.hosts[host].cores;
        let busy = self.busy(host);
        if cores > 0.0 { busy / cores } else { 1.0 }
    }

    /// What must never be and was found.
    pub fn violations(&self) -> &[Violation] {
        &self.checker.violations
    }

    /// Messages so far, by kind: `control` between nodes, `overlay` for queries, `gossip` of loads.
    pub const fn traffic(&self) -> &BTreeMap<&'static str, Traffic> {
        &self.traffic
    }

    /// How many events there were.
    pub const fn event_count(&self) -> u64 {
        self.events
    }

    /// Has checkers look at a host after each event there, and not only once a second at all.
    pub fn check_each_event(&mut self) {
        if !self.checks_each {
            self.checks_each = true;
            self.queue.push(self.now + LOAD_AFTER, 0, Event::Check);
        }
    }

    /// From now on, keeps a hash of all effects.
    pub fn keep_digest(&mut self) {
        self.digest = Some(Digest::of("synergy 2026 simulation", &[]));
    }

    /// The hash of all effects in order, with their hosts and times; nothing where it is not kept.
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// From now on, writes down what happens.
    pub const fn keep_trace(&mut self) {
        self.is_traced = true;
    }

    /// What was written down since this was last asked.
    pub fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    /// Whether nodes repair what hosts that are gone ran.
    pub(super) fn repairs(&self) -> bool {
        self.setup.repairs
    }

    pub(super) fn asked_of(&self, ticket: Ticket) -> &Asked {
        &self.asked[convert::index(u64::from(ticket.0)) - 1]
    }

    pub(super) fn busy(&self, host: usize) -> f64 {
        self.hosts[host].background + self.fluid.cores(host)
    }

    pub(super) fn count(&mut self, kind: &'static str, messages: u64, bytes: u64) {
        self.traffic.entry(kind).or_default().add(messages, bytes);
    }
}

/// The first hosts of a topology.
#[derive(Debug)]
struct First(Arc<dyn Topology>, usize);

impl Topology for First {
    fn host_count(&self) -> usize {
        self.1
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        self.0.delay(from, to)
    }
}
