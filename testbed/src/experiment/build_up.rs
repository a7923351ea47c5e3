//! One run: applications are asked for, and none is stopped.

use std::sync::Arc;
use std::time::Duration;

use composition::Policy;
use composition::queue::Discipline;
use model::{Rng, convert};

use super::workload::{Settings, Workload};
use crate::simulator::{Fidelity, HostSetup, Setup, Ticket, World};
use crate::topology::graph::Delays;
use crate::topology::{Hosts, Shape, Topology};

/// What one run is of.
#[derive(Debug, Clone)]
pub struct Case {
    /// The way of composing.
    pub policy: &'static dyn Policy,
    /// What everything is drawn from: network, placement and requests are the same for every policy.
    pub seed: u64,
    /// What is asked for.
    pub settings: Settings,
    /// How hosts share their processors among components, whatever the policy takes for granted.
    pub execution: Discipline,
    /// The most that others take of a host's processor: of each host a part is drawn evenly from 0 to here.
    pub background: f64,
    /// The time from one request to the next; where there is none, each waits for the answer to the one before.
    pub every: Option<Duration>,
    /// After how many requests figures are taken, ascending; requests beyond the last are not made.
    pub checkpoints: Vec<usize>,
}

/// What holds after some requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// After how many.
    pub requests: usize,
    /// By name; each carries its unit.
    pub figures: Vec<(&'static str, f64)>,
}

/// The processors, the uplink and the memory of each host. Units: cores, bytes per second, bytes. Source: papers, section 10, of the
/// first two; memory is not what limits there.
const CORES: f64 = 1.0;
/// See [`CORES`].
const UPLINK: f64 = 10e6 / 8.0;
/// See [`CORES`].
const MEMORY: u64 = 1 << 30;

/// How long the world goes on before the first request, so that what hosts offer can be found. Unit: time. Source: several look-ups.
const WARM_UP: Duration = Duration::from_secs(10);

/// How long the world goes on before figures are taken, for what is still under way. Unit: time. Source: several times the longest
/// round trip.
const SETTLING: Duration = Duration::from_secs(5);

/// The network that a seed gives, with hosts at routers of it.
pub fn topology(seed: u64, hosts: usize) -> Arc<dyn Topology> {
    let mut rng = Rng::from_seed(seed).keyed("topology");
    let graph = Shape::for_hosts(hosts).generate(&mut rng);
    let graph = graph.with_delays(&Delays::default(), &mut rng);
    Arc::new(Hosts::choose(&graph, hosts, &mut rng))
}

impl Case {
    /// Runs it.
    pub fn run(&self) -> Vec<Checkpoint> {
        let last = self.checkpoints.last().copied().unwrap_or(0);
        let settings = Settings {
            requests: last,
            ..self.settings.clone()
        };
        let workload = Workload::draw(&settings, &Rng::from_seed(self.seed));
        let mut world = self.world(&workload);
        let mut tickets = Vec::with_capacity(last);
        let mut found = Vec::new();
        for number in 0..last {
            let host = workload.requests()[number].host;
            let order = workload.order(number, |host| world.node(host));
            tickets.push(world.apply(host, order));
            match self.every {
                Some(time) => world.run_for(time),
                None => world.run_until_answered(),
            }
            if self.checkpoints.contains(&(number + 1)) {
                world.run_until_answered();
                world.run_for(SETTLING);
                found.push(Checkpoint {
                    requests: number + 1,
                    figures: self.figures(&mut world, &tickets),
                });
            }
        }
        found
    }

    /// The hosts of a workload, which know what each of them offers, and nothing running.
    pub fn world(&self, workload: &Workload) -> World {
        let mut others = Rng::from_seed(self.seed).keyed("background");
        let hosts = (0..self.settings.hosts).map(|host| HostSetup {
            cores: CORES,
            background: CORES * self.background * others.fraction(),
            uplink_bytes_per_second: UPLINK,
            memory_bytes: MEMORY,
            operators: Some(workload.offered(host)),
            ..HostSetup::default()
        });
        let mut world = World::new(Setup {
            seed: self.seed,
            topology: topology(self.seed, self.settings.hosts),
            hosts: hosts.collect(),
            composition: composition::Config {
                policy: self.policy,
                ..composition::Config::default()
            },
            fidelity: Fidelity::Fluid,
            execution: self.execution,
            repairs: true,
        });
        world.run_for(WARM_UP);
        world
    }

    /// What is true of the applications that were asked for, now.
    fn figures(&self, world: &mut World, tickets: &[Ticket]) -> Vec<(&'static str, f64)> {
        let mut sums = Sums::default();
        for ticket in tickets {
            sums.add(world, *ticket);
        }
        let hosts = 0..self.settings.hosts;
        let loads: Vec<f64> = hosts.map(|host| world.load(host)).collect();
        let requests = count(tickets.len());
        let admitted = sums.admitted.max(1.0);
        let successful = sums.successful.max(1.0);
        vec![
            ("admitted_fraction", sums.admitted / requests),
            ("success_fraction", sums.successful / requests),
            ("violated_fraction", sums.violated / admitted),
            ("probes_per_request", sums.probes / requests),
            ("messages_per_request", sums.messages / requests),
            ("bytes_per_request", sums.bytes / requests),
            ("lookups_per_request", sums.lookups / requests),
            (
                "lookup_messages_per_request",
                sums.lookup_messages / requests,
            ),
            ("compose_ms", sums.compose_ms / requests),
            ("delay_ms", sums.delay_ms / successful),
            ("new_delay_ms", sums.new_delay_ms / successful),
            ("congestion", sums.congestion / admitted),
            ("predicted_over_true_delay", sums.predicted / admitted),
            ("shared_operators_per_request", sums.shared / admitted),
            ("load_mean", loads.iter().sum::<f64>() / count(loads.len())),
            ("load_max", loads.iter().copied().fold(0.0, f64::max)),
            ("checker_complaints", count(world.violations().len())),
        ]
    }
}

/// Sums over requests.
#[derive(Debug, Default)]
struct Sums {
    admitted: f64,
    successful: f64,
    violated: f64,
    probes: f64,
    messages: f64,
    bytes: f64,
    lookups: f64,
    lookup_messages: f64,
    compose_ms: f64,
    /// Of those that are successful.
    delay_ms: f64,
    new_delay_ms: f64,
    /// Of those that were admitted.
    congestion: f64,
    predicted: f64,
    shared: f64,
}

impl Sums {
    fn add(&mut self, world: &mut World, ticket: Ticket) {
        let Some(outcome) = world.outcome(ticket) else {
            return;
        };
        self.probes += convert::count_to_f64(outcome.probes);
        self.messages += convert::count_to_f64(outcome.messages);
        self.bytes += convert::count_to_f64(outcome.bytes);
        self.lookups += convert::count_to_f64(outcome.lookups);
        self.lookup_messages += convert::count_to_f64(outcome.lookup_messages);
        self.compose_ms += millis(outcome.elapsed);
        let Some(admitted) = &outcome.admitted else {
            return;
        };
        self.admitted += 1.0;
        self.congestion += admitted.congestion;
        self.shared += convert::count_to_f64(admitted.shared);
        let predicted = millis(admitted.predicted_delay);
        // One that has no delay does not run: it was admitted, and is no success.
        let Some(delays) = world.delay(ticket) else {
            self.violated += 1.0;
            return;
        };
        let full = millis(delays.full);
        self.predicted += if full > 0.0 { predicted / full } else { 1.0 };
        if delays.full > delays.target {
            self.violated += 1.0;
            return;
        }
        self.successful += 1.0;
        self.delay_ms += full;
        self.new_delay_ms += millis(delays.from_sharing_point);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn count(count: usize) -> f64 {
    convert::count_to_f64(convert::size(count))
}
