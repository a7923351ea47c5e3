//! Hosts with changing loads of others, on which components run: what is gained by moving them, and whether they come to rest.
//!
//! Time goes by seconds. A host's load is what others take and what its components take; batches are at a component for its idle time over
//! what is left of the host (papers, section 4.1, E1), and are as old when they start as their way from the source and their waiting make
//! them. Monitors and detectors are production's; a migration is modelled by its time, and by what a target checks before it agrees.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ComponentId, Instant, NodeId, Rng, Slack, convert};
use placement::hotspot::{Candidate, Detector, HotSpot, Kind, Ranked};
use placement::monitor::{ComponentMeasure, HostMeasure, Monitor};

use backdrop::{Backdrop, below};

pub mod backdrop;

/// How long a migration takes. Unit: seconds. Source: papers, section 8.6: 1144 ms.
const MIGRATION: u32 = 2;

/// The greatest load with which execution times are computed. Source: as composition's projection.
const LOAD_MAX: f64 = 0.99;

/// By how much measured execution times are off at most, as a part of them. Source: guess.
const NOISE: f64 = 0.05;

/// Within what time a component that comes back to a host was there for nothing. Unit: seconds. Source: guess; ten rests.
const RETURN: u32 = 300;

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// How many hosts there are.
    pub hosts: usize,
    /// How many components, each of an application of its own.
    pub components: usize,
    /// For how long.
    pub seconds: u32,
    /// By which part of it a rate swings at most.
    pub swing: f64,
    /// Whether hot-spots are looked for.
    pub is_watched: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The part of the time, over all components, in which batches were too old.
    pub violated_fraction: f64,
    /// The part of the time, over all hosts, in which their load was above what makes a hot-spot.
    pub overloaded_fraction: f64,
    /// How often a component moved, by what was wrong.
    pub moves: BTreeMap<Kind, u64>,
    /// When the last one began, in seconds from the beginning.
    pub last_move_s: u32,
    /// How often one came back to where it had left shortly before.
    pub returns: u64,
    /// The most that moved out of or into one host within any minute.
    pub moves_per_host_minute_max: usize,
}

impl Outcome {
    /// How often a component moved.
    pub fn moved(&self) -> u64 {
        self.moves.values().sum()
    }
}

#[derive(Debug)]
struct Component {
    id: ComponentId,
    /// Where its rows come from.
    source: usize,
    host: usize,
    idle: f64,
    /// Its load at its mean rate.
    load: f64,
    /// How its rate swings: by how much, how fast, and from where on.
    swing: (f64, f64, f64),
    budget: f64,
    promise: f64,
    /// Where it was, and when it left.
    before: Option<(usize, u32)>,
    noise: Rng,
}

impl Component {
    /// Its rate in a second, where 1 is its mean.
    fn rate(&self, second: u32) -> f64 {
        let (depth, period, phase) = self.swing;
        let angle = (f64::from(second) / period + phase) * std::f64::consts::TAU;
        1.0 + depth * angle.sin()
    }
}

#[derive(Debug, Default)]
struct Host {
    monitor: Monitor,
    detector: Detector,
    /// When something moved out or in, lately.
    moved: Vec<u32>,
}

struct World<'a> {
    backdrop: &'a Backdrop,
    hosts: Vec<Host>,
    components: Vec<Component>,
    /// What moves: a component, its target, when it is there.
    moving: Vec<(usize, usize, u32)>,
    outcome: Outcome,
}

/// Runs components over a backdrop. The same seed gives the same components, whoever watches.
pub fn run(setup: Setup, backdrop: &Backdrop, seed: u64) -> Outcome {
    let mut rng = Rng::from_seed(seed).keyed("components");
    let mut world = World {
        backdrop,
        hosts: (0..setup.hosts).map(|_| Host::default()).collect(),
        components: Vec::new(),
        moving: Vec::new(),
        outcome: Outcome::default(),
    };
    for number in 0..setup.components {
        world.admit(number, setup, &mut rng);
    }
    let (mut late, mut hot) = (0u64, 0u64);
    for second in 0..setup.seconds {
        world.arrive(second);
        let loads: Vec<f64> = (0..setup.hosts)
            .map(|host| world.load(host, second))
            .collect();
        hot += convert::size(loads.iter().filter(|it| **it > HOT).count());
        let is_late = |it: &&Component| world.age(it, loads[it.host], second) > it.budget;
        late += convert::size(world.components.iter().filter(is_late).count());
        if setup.is_watched {
            world.watch(&loads, second);
        }
    }
    let part = |count: u64, of: usize| {
        let all = convert::size(of) * u64::from(setup.seconds);
        convert::count_to_f64(count) / convert::count_to_f64(all.max(1))
    };
    world.outcome.violated_fraction = part(late, setup.components);
    world.outcome.overloaded_fraction = part(hot, setup.hosts);
    world.outcome
}

const HOT: f64 = placement::hotspot::LOAD_HOT;

impl World<'_> {
    /// Puts a component onto the next host, with a promise and a budget as composition would give it there.
    fn admit(&mut self, number: usize, setup: Setup, rng: &mut Rng) {
        let host = number % setup.hosts;
        let mut component = Component {
            id: ComponentId(convert::size(number)),
            source: below(rng, setup.hosts),
            host,
            idle: 0.005 + 0.010 * rng.fraction(),
            load: 0.04 + 0.12 * rng.fraction(),
            swing: (
                setup.swing * rng.fraction(),
                60.0 + 600.0 * rng.fraction(),
                rng.fraction(),
            ),
            budget: 0.0,
            promise: 0.0,
            before: None,
            noise: rng.keyed(&format!("noise {number}")),
        };
        let load = self.load(host, 0) + component.load;
        component.promise = 1.2 * component.idle / (1.0 - load.min(LOAD_MAX));
        let way = self.backdrop.way(component.source, host, 0);
        component.budget = way + component.promise + 0.02 + 0.08 * rng.fraction();
        self.components.push(component);
    }

    fn load(&self, host: usize, second: u32) -> f64 {
        let here = self.components.iter().filter(|it| it.host == host);
        let own: f64 = here.map(|it| it.load * it.rate(second)).sum();
        self.backdrop.load(host, second) + own
    }

    /// How old batches are when they start.
    fn age(&self, component: &Component, load: f64, second: u32) -> f64 {
        let way = self.backdrop.way(component.source, component.host, second);
        way + execution(component.idle, load) - component.idle
    }

    /// Ends migrations that have had their time.
    fn arrive(&mut self, second: u32) {
        let moving = std::mem::take(&mut self.moving);
        for (number, target, at) in moving {
            if at > second {
                self.moving.push((number, target, at));
                continue;
            }
            let component = &mut self.components[number];
            let left = std::mem::replace(&mut component.host, target);
            let is_back = |(host, when): (usize, u32)| host == target && second - when <= RETURN;
            self.outcome.returns += u64::from(component.before.is_some_and(is_back));
            component.before = Some((left, second));
            for host in [left, target] {
                let host = &mut self.hosts[host];
                host.detector.end(time(second), component.id);
                host.moved.retain(|at| second - at < 60);
                host.moved.push(second);
                let most = &mut self.outcome.moves_per_host_minute_max;
                *most = host.moved.len().max(*most);
            }
        }
    }

    /// Every host measures, looks for a hot-spot and does what follows.
    fn watch(&mut self, loads: &[f64], second: u32) {
        for (host, load) in loads.iter().enumerate() {
            let measures = self.measure(host, *load, second);
            let measured = HostMeasure {
                cpu_fraction: *load,
                ..HostMeasure::default()
            };
            self.hosts[host].monitor.note(measured, measures);
        }
        for host in 0..loads.len() {
            let Host {
                monitor, detector, ..
            } = &mut self.hosts[host];
            let (Some(load), outlook) = (monitor.load(), monitor.outlook()) else {
                continue;
            };
            if let Some(hot_spot) = detector.note(time(second), load, &outlook) {
                self.decide(host, &hot_spot, loads, second);
            }
        }
    }

    fn measure(&mut self, host: usize, load: f64, second: u32) -> Vec<ComponentMeasure> {
        let backdrop = self.backdrop;
        let here = self.components.iter_mut().filter(|it| it.host == host);
        here.map(|it| {
            let noise = 1.0 + NOISE * (2.0 * it.noise.fraction() - 1.0);
            let execution = execution(it.idle, load) * noise;
            let age = backdrop.way(it.source, host, second) + (execution - it.idle).max(0.0);
            ComponentMeasure {
                id: it.id,
                rate: Some(it.rate(second) * it.load / it.idle),
                load_fraction: it.load * it.rate(second),
                idle_execution: convert::seconds(it.idle),
                execution: Some(convert::seconds(execution)),
                promise: convert::seconds(it.promise),
                budget: Slack::from(convert::seconds(it.budget)),
                age: Some(convert::seconds(age)),
                upstream: Vec::new(),
                is_movable: true,
            }
        })
        .collect()
    }

    fn decide(&mut self, host: usize, hot_spot: &HotSpot, loads: &[f64], second: u32) {
        let number = convert::index(hot_spot.component.id.0);
        let component = &self.components[number];
        let way = |to| self.backdrop.way(component.source, to, second);
        let others = (0..self.hosts.len()).filter(|it| *it != host);
        let candidates: Vec<Candidate> = others
            .map(|other| Candidate {
                node: node(other),
                load: self.hosts[other].monitor.interval(),
                load_ratio: 1.0,
                way_gain: seconds(way(host) - way(other)),
            })
            .collect();
        let now = time(second);
        let detector = &mut self.hosts[host].detector;
        let Ok(decision) = detector.decide(now, hot_spot, &candidates) else {
            return;
        };
        let agrees = |it: &&Ranked| self.agrees(number, index_of(it.node), loads, second);
        let Some(target) = decision.targets.iter().find(agrees) else {
            self.hosts[host]
                .detector
                .refused(now, hot_spot.component.id);
            return;
        };
        let target = index_of(target.node);
        for side in [host, target] {
            let begun = self.hosts[side].detector.begin(now, hot_spot.component.id);
            assert!(begun, "both sides were asked whether they are free");
        }
        self.outcome.last_move_s = second;
        *self.outcome.moves.entry(hot_spot.kind).or_default() += 1;
        self.moving.push((number, target, second + MIGRATION));
    }

    /// Whether a target takes a component: nothing else moves there, and nobody there would be late.
    fn agrees(&self, number: usize, target: usize, loads: &[f64], second: u32) -> bool {
        let newcomer = &self.components[number];
        let load = loads[target] + newcomer.load * newcomer.rate(second);
        let way = self.backdrop.way(newcomer.source, target, second);
        let is_met = way + execution(newcomer.idle, load) - newcomer.idle <= newcomer.budget;
        let mut present = self.components.iter().filter(|it| it.host == target);
        // Who is late already is not made so.
        let is_unhurt = |it: &Component| {
            self.age(it, load, second) <= it.budget
                || self.age(it, loads[target], second) > it.budget
        };
        let is_free = self.hosts[target].detector.is_free(time(second));
        is_free && is_met && present.all(is_unhurt)
    }
}

/// How long batches are at a component.
fn execution(idle: f64, load: f64) -> f64 {
    idle / (1.0 - load.min(LOAD_MAX))
}

fn time(second: u32) -> Instant {
    Instant::ZERO + Duration::from_secs(u64::from(second))
}

fn seconds(seconds: f64) -> Slack {
    Slack::from_nanos(convert::round(seconds * 1e9))
}

/// The id of a host, by its number.
fn node(host: usize) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&convert::size(host).to_be_bytes());
    NodeId(id)
}

fn index_of(node: NodeId) -> usize {
    let mut number = [0; 8];
    number.copy_from_slice(&node.0[..8]);
    convert::index(u64::from_be_bytes(number))
}
