//! How long components take, as their hosts project it and as engines measure it, over time while newcomers join.
//!
//! Discrete fidelity: production's engines run real rows, and the scheduler takes the strictest first. Every application has one component of its
//! own: its delay less its ways is what that component takes, its wait included.
//!
//! *Regular* sources have their rows one after the other. *Bursty* ones have them in bursts, each at times of its own, and applications declare the rate of
//! the bursts: that is what hosts promise and project. Rows of both take what was declared. *Poisson* is what the formulas suppose, rows that come each by itself
//! and take times of an exponential distribution: there the projected mean is to be met, and not to be an upper bound.
//!
//! Projections are those in force after a newcomer was answered; rows of the time in which it is composed are judged by their targets alone.

use std::time::Duration;

use composition::policy::Synergy;
use composition::queue::Discipline;
use composition::{Order, Place, Policy};
use engine::operator;
use model::plan::Builder;
use model::{
    ApplicationId, Arguments, Clock, ComponentGraph, DataType, Demand, Field, Origin, Qos, Rng,
    Schema, SourceName, Value, convert,
};
use node::clock::MachineClock;

use super::Options;
use super::at_once::at_once;
use super::build_up::topology;
use super::grid::Grid;
use crate::bench::report::Report;
use crate::simulator::discrete::{Arrivals, Costs, Counted};
use crate::simulator::{Fidelity, HostSetup, Setup, Ticket, World};
use crate::topology::choose;

/// The time from one newcomer to the next. Source: design; a component has tens of rows meanwhile.
const JOIN: Duration = Duration::from_secs(5);

/// After how many newcomers figures are taken. Source: guess; hundreds of rows of each component.
const SEGMENT: usize = 4;

/// How long the world goes on before the first newcomer, so that what hosts offer can be found. Source: several look-ups.
const WARM_UP: Duration = Duration::from_secs(10);

/// The processors of each host. Source: the formulas are exact for one.
const CORES: f64 = 1.0;

/// Processor time for a row, rows in a second and latency targets, drawn evenly for each application. Units: milliseconds, rows per
/// second, milliseconds. Source: guess; 40 applications take half of 10 hosts, and targets leave little beside the ways.
const COST_MS: (f64, f64) = (2.0, 20.0);
/// See [`COST_MS`].
const ROWS_PER_SECOND: (f64, f64) = (5.0, 20.0);
/// See [`COST_MS`].
const TARGET_MS: (f64, f64) = (200.0, 600.0);

/// How long a burst and the pause behind it take together, and which part of it is the burst. Source: guess.
const PERIOD: Duration = Duration::from_secs(2);
/// See [`PERIOD`].
const BURST_SHARE: f64 = 0.5;

/// In which part of the segments the projected time must not be below the measured one. Source: papers, section 12.6, P5.
const COVERED_MIN: f64 = 0.9;

/// Which part of applications may be over their targets in a segment. Source: papers, section 12.6, P2.
const VIOLATED_MAX: f64 = 0.02;

/// How rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Regular,
    Bursty,
    Poisson,
}

impl Traffic {
    const ALL: [Self; 3] = [Self::Regular, Self::Bursty, Self::Poisson];

    const fn word(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Bursty => "bursty",
            Self::Poisson => "poisson",
        }
    }

    const fn arrivals(self) -> Arrivals {
        match self {
            Self::Regular => Arrivals::Regular,
            Self::Bursty => Arrivals::Bursty {
                period: PERIOD,
                share: BURST_SHARE,
            },
            Self::Poisson => Arrivals::Poisson,
        }
    }

    const fn costs(self) -> Costs {
        match self {
            Self::Regular | Self::Bursty => Costs::Even,
            Self::Poisson => Costs::Exponential,
        }
    }

    /// The rate that applications declare, of sources with so many rows a second.
    fn declared(self, rows_per_second: f64) -> f64 {
        match self {
            Self::Regular | Self::Poisson => rows_per_second,
            Self::Bursty => rows_per_second / BURST_SHARE,
        }
    }
}

/// One run.
#[derive(Debug)]
struct Case {
    policy: &'static dyn Policy,
    traffic: Traffic,
    seed: u64,
    hosts: usize,
    newcomers: usize,
}

impl Case {
    /// What it is called in figures: the way of composing where it is not ours.
    fn series(&self) -> String {
        let word = self.traffic.word();
        match self.policy.name() == Synergy.name() {
            true => word.to_owned(),
            false => format!("{}_{word}", self.policy.name()),
        }
    }
}

pub(super) fn run(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    let mut cases = Vec::new();
    for policy in &options.policies {
        for traffic in Traffic::ALL {
            for seed in &options.seeds {
                cases.push(Case {
                    policy: *policy,
                    traffic,
                    seed: *seed,
                    hosts: options.hosts.first().copied().unwrap_or(1),
                    newcomers: options.requests.last().copied().unwrap_or(0),
                });
            }
        }
    }
    let clock = MachineClock::start();
    let begin = clock.now();
    let found = at_once(options.jobs, 0..cases.len(), |number| {
        let case = &cases[number];
        let segments = case.run();
        told(&format!(
            "{}, seed {}: {:.0} s",
            case.series(),
            case.seed,
            clock.now().since(begin).as_secs_f64()
        ));
        segments
    });
    for (case, segments) in cases.iter().zip(found) {
        let series = case.series();
        for (number, segment) in (1..).zip(segments) {
            let place = JOIN.as_secs_f64() * count(number * SEGMENT);
            for (figure, value) in segment.figures() {
                grid.add(&series, place, figure, value);
            }
            // Both in one plot.
            let (projected, measured) = segment.means();
            for (word, value) in [("projected", projected), ("measured", measured)] {
                grid.add(&format!("{series} {word}"), place, "execution_ms", value);
            }
        }
    }
}

/// What must hold of the figures.
pub(super) fn claims(grid: &Grid, report: &mut Report) {
    for traffic in [Traffic::Regular, Traffic::Bursty] {
        let word = traffic.word();
        let points = |figure| {
            let mut curves = grid.curves(figure).into_iter();
            let curve = curves.find(|curve| curve.name == word);
            curve.map_or_else(Vec::new, |it| it.points)
        };
        let ratios = points("measured_over_projected");
        if ratios.is_empty() {
            continue;
        }
        let covered = ratios.iter().filter(|(_, it)| it.mean <= 1.0).count();
        let is_covered = count(covered) >= COVERED_MIN * count(ratios.len());
        report.claim(&format!("{word}_projected_covers_measured"), is_covered);
        let violated = points("violated_fraction");
        let most = violated.iter().map(|(_, it)| it.mean).fold(0.0, f64::max);
        report.claim(&format!("{word}_violates_few"), most <= VIOLATED_MAX);
    }
}

/// An application that was admitted.
#[derive(Debug)]
struct Running {
    ticket: Ticket,
    target: Duration,
    /// How long a row is under way between hosts.
    way: Duration,
    /// How many of its rows had left when the time began that is measured, and how many of these were late.
    before: (u64, u64),
    projected: Option<Duration>,
}

/// What was measured of a component in a segment.
#[derive(Debug, Default)]
struct Component {
    /// What its rows took, and the sum of what was projected at their times. Unit: milliseconds.
    measured_ms: Vec<f64>,
    projected_ms_sum: f64,
    /// The sum of the delays of all rows of its application, how many these were, and its target.
    delay_ms_sum: f64,
    rows: f64,
    target_ms: f64,
}

/// What was measured between two places of the axis.
#[derive(Debug, Default)]
struct Segment {
    components: Vec<Component>,
    rows: u64,
    late: u64,
    admitted_fraction: f64,
    load_mean: f64,
    complaints: usize,
}

impl Case {
    fn run(&self) -> Vec<Segment> {
        let mut world = World::new(Setup {
            seed: self.seed,
            topology: topology(self.seed, self.hosts),
            hosts: vec![
                HostSetup {
                    cores: CORES,
                    ..HostSetup::default()
                };
                self.hosts
            ],
            composition: composition::Config {
                policy: self.policy,
                ..composition::Config::default()
            },
            fidelity: Fidelity::Discrete,
            execution: Discipline::Rank,
            repairs: false,
        });
        world.set_arrivals(self.traffic.arrivals());
        world.set_costs(self.traffic.costs());
        world.run_for(WARM_UP);
        let mut drawing = Rng::from_seed(self.seed).keyed("applications");
        let mut running: Vec<Running> = Vec::new();
        let mut segments = Vec::new();
        let mut segment = Segment::default();
        for number in 0..self.newcomers {
            let next = world.now() + JOIN;
            let (host, order) = self.order(&world, number, &mut drawing);
            let ticket = world.apply(host, order);
            world.run_until_answered();
            running.extend(Running::of(&world, ticket));
            for (place, it) in running.iter_mut().enumerate() {
                it.begin(&world, place, &mut segment);
            }
            world.run_for(next.since(world.now()));
            for (place, it) in running.iter_mut().enumerate() {
                it.end(&world, place, &mut segment);
            }
            if (number + 1).is_multiple_of(SEGMENT) {
                let loads = (0..self.hosts).map(|host| world.load(host));
                segment.load_mean = loads.sum::<f64>() / count(self.hosts);
                segment.admitted_fraction = count(running.len()) / count(number + 1);
                segment.complaints = world.violations().len();
                segments.push(std::mem::take(&mut segment));
            }
        }
        segments
    }

    /// A filter that passes every row of a stream that nobody else reads. Gives who asks, too.
    fn order(&self, world: &World, number: usize, rng: &mut Rng) -> (usize, Order) {
        let mut between = |(low, high): (f64, f64)| low + (high - low) * rng.fraction();
        let cost_ms = between(COST_MS);
        let rows_per_second = between(ROWS_PER_SECOND);
        let target = convert::seconds(between(TARGET_MS) / 1e3);
        let ends = choose((0..self.hosts).collect(), 2, rng);
        let (from, at) = (ends[0], ends[ends.len() - 1]);
        let name = format!("application-{number}");
        let qos = Qos {
            latency: target,
            ..Qos::default()
        };
        let schema = Schema::new(vec![Field::new("value", DataType::Int64)]).expect(VALID);
        let mut plan = Builder::new(&name, qos).expect(VALID);
        let source = SourceName::Published {
            publisher: world.node(from),
            name: format!("stream-{number}"),
        };
        let bad = engine::intake::bad_schema();
        let ports = vec![("out".to_owned(), schema.clone()), ("bad".to_owned(), bad)];
        let source = plan.source("source", source, ports).expect(VALID);
        let kind = operator::find("filter").expect("every engine has it");
        let arguments = Arguments::from_iter([("where".to_owned(), Value::from("value > 0"))]);
        let compiled = (kind.compile)(&arguments, &[schema]).expect(VALID);
        let input = source.port(0).expect(VALID);
        let filter = plan.operator(
            "filter",
            kind.name,
            compiled.parameters,
            &[input],
            compiled.outputs,
        );
        plan.sink("sink", filter.expect(VALID).port(0).expect(VALID))
            .expect(VALID);
        let source_demand = Demand {
            rows_per_second,
            row_bytes: 8.0,
            cost_seconds: 0.0,
            selectivity: 1.0,
        };
        let demand = Demand {
            rows_per_second: self.traffic.declared(rows_per_second),
            cost_seconds: cost_ms / 1e3,
            ..source_demand
        };
        let owner = world.node(at);
        let order = Order {
            application: ApplicationId { owner, name },
            plan: plan.build().expect(VALID),
            origins: vec![Origin(u128::from(convert::size(number)) + 1)],
            sources: vec![world.node(from)],
            source_demands: vec![source_demand],
            demands: vec![demand],
            places: vec![Place::Any],
            sinks: vec![owner],
            spread: false,
            is_trial: false,
        };
        (at, order)
    }
}

const VALID: &str = "names are valid and distinct, and all streams are read";

impl Running {
    /// What came of a request; nothing where it was refused.
    fn of(world: &World, ticket: Ticket) -> Option<Self> {
        let admitted = world.outcome(ticket)?.admitted.as_ref()?;
        let graph = admitted.graph.as_ref()?;
        Some(Self {
            ticket,
            target: graph.plan().qos().latency,
            way: way(world, graph)?,
            before: (0, 0),
            projected: None,
        })
    }

    /// From here on rows are held against what is projected now. Those before it are judged by the target.
    fn begin(&mut self, world: &World, place: usize, segment: &mut Segment) {
        self.judge(world, place, segment);
        self.projected = world.projected(self.ticket).map(|it| it.iter().sum());
    }

    fn end(&mut self, world: &World, place: usize, segment: &mut Segment) {
        let projected = self.projected.take();
        let delays = self.judge(world, place, segment);
        let Some(projected) = projected else {
            return;
        };
        let component = &mut segment.components[place];
        component.projected_ms_sum += millis(projected) * count(delays.len());
        let measured = delays.iter().map(|it| millis(it.saturating_sub(self.way)));
        component.measured_ms.extend(measured);
    }

    /// Counts the rows that have left since this was last asked. Gives their delays.
    fn judge(&mut self, world: &World, place: usize, segment: &mut Segment) -> Vec<Duration> {
        let counted = world.counted(self.ticket);
        let rows: u64 = counted.iter().map(|it| it.rows).sum();
        let late: u64 = counted.iter().map(|it| it.misses).sum();
        let new = rows.saturating_sub(self.before.0);
        segment.rows += new;
        segment.late += late.saturating_sub(self.before.1);
        self.before = (rows, late);
        if segment.components.len() <= place {
            segment
                .components
                .resize_with(place + 1, Component::default);
        }
        let delays: Vec<Duration> = counted
            .first()
            .map_or_else(Vec::new, |it: &Counted| it.latest(new));
        let component = &mut segment.components[place];
        component.target_ms = millis(self.target);
        component.rows += count(delays.len());
        component.delay_ms_sum += delays.iter().map(|it| millis(*it)).sum::<f64>();
        delays
    }
}

/// How long a row is under way from its source by its operator to its sink.
fn way(world: &World, graph: &ComponentGraph) -> Option<Duration> {
    let bindings = [graph.sources(), graph.operators(), graph.sinks()];
    let hosts: Option<Vec<usize>> = bindings
        .iter()
        .map(|it| world.host_of(it.first()?.host))
        .collect();
    let hosts = hosts?;
    let topology = &world.setup().topology;
    Some(
        hosts
            .windows(2)
            .map(|it| topology.delay(it[0], it[1]))
            .sum(),
    )
}

impl Segment {
    /// What was measured of components that had rows.
    fn measured(&self) -> impl Iterator<Item = &Component> {
        let components = self.components.iter();
        components.filter(|it| !it.measured_ms.is_empty())
    }

    /// The means over components of what was projected and of what was measured. Unit: milliseconds.
    fn means(&self) -> (f64, f64) {
        let sum = self.measured().fold((0.0, 0.0), |sum, it| {
            (sum.0 + it.projected_ms(), sum.1 + it.mean_ms())
        });
        let components = count(self.measured().count()).max(1.0);
        (sum.0 / components, sum.1 / components)
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        let (projected_ms, measured_ms) = self.means();
        let mut all: Vec<f64> = self
            .measured()
            .flat_map(|it| &it.measured_ms)
            .copied()
            .collect();
        all.sort_by(f64::total_cmp);
        let p95 = (count(all.len()) * 0.95).ceil();
        let p95 = usize::try_from(convert::round(p95)).unwrap_or(0);
        let components = count(self.measured().count());
        let of_all = |part: usize| count(part) / components.max(1.0);
        let covered = self
            .measured()
            .filter(|it| it.mean_ms() <= it.projected_ms());
        let violated = self.measured().filter(|it| it.is_late());
        let rows = convert::count_to_f64(self.rows.max(1));
        vec![
            ("projected_ms", projected_ms),
            ("measured_ms", measured_ms),
            (
                "measured_p95_ms",
                all.get(p95.saturating_sub(1)).copied().unwrap_or(0.0),
            ),
            (
                "measured_over_projected",
                measured_ms / projected_ms.max(f64::MIN_POSITIVE),
            ),
            ("covered_fraction", of_all(covered.count())),
            ("violated_fraction", of_all(violated.count())),
            ("late_fraction", convert::count_to_f64(self.late) / rows),
            ("components", components),
            ("admitted_fraction", self.admitted_fraction),
            ("load_mean", self.load_mean),
            ("checker_complaints", count(self.complaints)),
        ]
    }
}

impl Component {
    fn mean_ms(&self) -> f64 {
        self.measured_ms.iter().sum::<f64>() / count(self.measured_ms.len())
    }

    fn projected_ms(&self) -> f64 {
        self.projected_ms_sum / count(self.measured_ms.len())
    }

    /// Whether its application was over its target on average.
    fn is_late(&self) -> bool {
        self.delay_ms_sum > self.target_ms * self.rows
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn count(count: usize) -> f64 {
    convert::count_to_f64(convert::size(count))
}
