//! What a seed draws: a network, what it is asked, and what goes wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use composition::queue::Discipline;
use composition::{Order, Place, Policy, policy};
use engine::operator;
use model::plan::{Builder, Stream};
use model::{
    ApplicationId, Arguments, DataType, Demand, Field, Origin, Qos, QueryPlan, Rng, Scalar, Schema,
    SourceName, Value, convert,
};

use super::Plane;
use crate::simulator::exact::WINDOW_MICROS;
use crate::simulator::network::{Duplicate, Jitter, Loss, Partition, Rule, Slow};
use crate::simulator::{Fidelity, HostSetup, Setup, World};

/// Up to how many hosts all graphs can be tried. Source: guess; 4 operators on 6 hosts have some thousand.
const EXHAUSTIVE_MAX: usize = 6;

/// Up to how many hosts engines run what is composed. Source: guess; rows take longer than formulas.
const DISCRETE_MAX: usize = 6;

/// What a seed draws.
#[derive(Debug)]
pub(super) struct Case {
    seed: u64,
    fidelity: Fidelity,
    plane: Arc<Plane>,
    hosts: Vec<HostSetup>,
    policy: &'static dyn Policy,
    request_count: usize,
    /// Whether requests come at once, so that they meet everywhere.
    is_rush: bool,
    /// Whether who writes to a host that is down hears so.
    pub(super) is_down_noticed: bool,
    /// Hosts that go down for good.
    lost: BTreeSet<usize>,
    /// On how many hosts beside its own the state of each operator is to be held.
    replicas: u8,
    /// Whether nodes repair what hosts that are gone ran.
    repairs: bool,
}

/// Something that is done to the network.
#[derive(Debug)]
pub(super) enum Step {
    /// A request.
    Apply(Request),
    /// The request of this number is stopped.
    Stop(usize),
    Crash(usize),
    Restart(usize),
    Fault(Fault),
    /// All faults of the network end.
    Heal,
    Background(usize, f64),
    /// A host is asked to move an operator of a request.
    Move(Move),
    /// A host is asked that another gives away all it can.
    Drain {
        at: usize,
        host: usize,
    },
}

impl Step {
    /// What it is called where steps are counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Apply(_) => "requests",
            Self::Stop(_) => "stops",
            Self::Crash(_) => "crashes",
            Self::Restart(_) => "restarts",
            Self::Fault(Fault::Loss(_)) => "losses",
            Self::Fault(Fault::Duplicate(_)) => "duplications",
            Self::Fault(Fault::Jitter(_)) => "reorderings",
            Self::Fault(Fault::Partition(_)) => "partitions",
            Self::Fault(Fault::Slow(..)) => "slow hosts",
            Self::Heal => "healings",
            Self::Background(..) => "background loads",
            Self::Move(_) => "moves asked for",
            Self::Drain { .. } => "drains asked for",
        }
    }
}

/// A move.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) at: usize,
    /// Of which request.
    pub(super) request: usize,
    pub(super) operator: String,
    /// To which host; to the one that fits best where absent.
    pub(super) to: Option<usize>,
}

/// A fault of the network.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Loss(f64),
    Duplicate(f64),
    Jitter(Duration),
    Partition(BTreeSet<usize>),
    Slow(usize, Duration),
}

impl Fault {
    pub(super) fn rule(self) -> Box<dyn Rule> {
        match self {
            Self::Loss(fraction) => Box::new(Loss(fraction)),
            Self::Duplicate(fraction) => Box::new(Duplicate(fraction)),
            Self::Jitter(most) => Box::new(Jitter(most)),
            Self::Partition(side) => Box::new(Partition(side)),
            Self::Slow(host, by) => Box::new(Slow { host, by }),
        }
    }
}

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) at: usize,
    pub(super) name: String,
    /// From which host the stream is.
    pub(super) from: usize,
    /// What tells streams apart: two requests of one meaning may share.
    pub(super) meaning: u64,
    /// Operators in a row, and whether a second row joins them.
    pub(super) length: u64,
    pub(super) is_forked: bool,
    /// Whether rows are counted and summed by windows at the end.
    pub(super) is_windowed: bool,
    /// Whether it only asks what would be.
    pub(super) is_trial: bool,
    pub(super) target: Duration,
    pub(super) replicas: u8,
    pub(super) demand: Demand,
    pub(super) spread: bool,
}

fn draw(rng: &mut Rng, below: usize) -> usize {
    convert::index(rng.below(convert::size(below)))
}

impl Case {
    /// The case of a seed; one of small networks and of rows, where that is wanted.
    pub(super) fn draw(seed: u64, wanted: Option<Fidelity>, rng: &mut Rng) -> Self {
        // Small ones are quick, and most of what goes wrong needs few.
        let count = match rng.below(4) {
            _ if wanted == Some(Fidelity::Discrete) => 2 + draw(rng, DISCRETE_MAX - 1),
            0 => 2 + draw(rng, 4),
            1 | 2 => 4 + draw(rng, 12),
            _ => 12 + draw(rng, 29),
        };
        let side = Duration::from_millis(1 + rng.below(80));
        let plane = Arc::new(Plane::draw(count, side, &mut rng.keyed("plane")));
        let mut hosts = Vec::new();
        for _ in 0..count {
            let is_special = rng.below(6) == 0;
            let offset = Duration::from_millis(rng.below(100_000));
            let cores = [0.5, 1.0, 2.0, 4.0, 8.0][draw(rng, 5)];
            hosts.push(HostSetup {
                cores,
                background: cores * 0.4 * rng.fraction(),
                uplink_bytes_per_second: [1e5, 1e6, 1e7, 1e8][draw(rng, 4)],
                operators: is_special.then(|| vec!["map".to_owned()]),
                clock_offset: offset,
                clock_drift: (rng.fraction() - 0.5) * 2e-3,
                ..HostSetup::default()
            });
        }
        let all = policy::ALL;
        let policy = loop {
            let policy = all[draw(rng, all.len())];
            if policy.search() != policy::Search::All || count <= EXHAUSTIVE_MAX {
                break policy;
            }
        };
        let lost: BTreeSet<usize> = (0..count)
            .filter(|_| rng.below(20) == 0)
            .take(count / 4)
            .collect();
        let drawn = count <= DISCRETE_MAX && rng.keyed("fidelity").below(2) == 0;
        let is_discrete = wanted.map_or(drawn, |wanted| wanted == Fidelity::Discrete);
        let repairs = !is_discrete || rng.keyed("repairs").below(2) == 0;
        Self {
            seed,
            repairs,
            fidelity: if is_discrete {
                Fidelity::Discrete
            } else {
                Fidelity::Fluid
            },
            plane,
            hosts,
            policy,
            request_count: 1 + draw(rng, 10),
            is_rush: rng.below(3) == 0,
            is_down_noticed: rng.below(3) > 0,
            lost,
            replicas: [0, 1, 1, 2][draw(&mut rng.keyed("replicas"), 4)],
        }
    }

    pub(super) fn setup(&self) -> Setup {
        Setup {
            seed: self.seed,
            topology: self.plane.clone(),
            hosts: self.hosts.clone(),
            composition: composition::Config {
                policy: self.policy,
                ..composition::Config::default()
            },
            fidelity: self.fidelity,
            execution: match self.policy.projection() {
                policy::Projection::Paper => Discipline::ProcessorSharing,
                policy::Projection::None | policy::Projection::Rank => Discipline::Rank,
            },
            repairs: self.repairs,
        }
    }

    /// Hosts that are up when faults have stopped.
    pub(super) fn returning(&self) -> Vec<usize> {
        let all = 0..self.hosts.len();
        all.filter(|host| !self.lost.contains(host)).collect()
    }

    /// What is done, and when, in order of time.
    pub(super) fn steps(&self, rng: &mut Rng, until: Duration) -> Vec<(Duration, Step)> {
        let mut steps = Vec::new();
        let moment = |rng: &mut Rng, from: f64| until.mul_f64(from + (1.0 - from) * rng.fraction());
        for number in 0..self.request_count {
            let request = self.request(number, rng);
            let at = match self.is_rush {
                true => Duration::from_millis(2000 + rng.below(200)),
                false => moment(rng, 0.02),
            };
            steps.push((at, Step::Apply(request)));
            if rng.below(3) == 0 {
                steps.push((moment(rng, 0.2), Step::Stop(number)));
            }
        }
        for host in &self.lost {
            steps.push((moment(rng, 0.1), Step::Crash(*host)));
        }
        let hosts = self.hosts.len();
        for _ in 0..rng.below(5) {
            let step = match rng.below(9) {
                0 => Step::Fault(Fault::Loss(0.3 * rng.fraction())),
                1 => Step::Fault(Fault::Duplicate(0.5 * rng.fraction())),
                2 => {
                    let most = Duration::from_millis(1 + rng.below(300));
                    Step::Fault(Fault::Jitter(most))
                }
                3 => {
                    let side = (0..hosts).filter(|_| rng.below(2) == 0).collect();
                    Step::Fault(Fault::Partition(side))
                }
                4 => {
                    let by = Duration::from_millis(10 + rng.below(2000));
                    Step::Fault(Fault::Slow(draw(rng, hosts), by))
                }
                5 => Step::Heal,
                6 => {
                    let host = draw(rng, hosts);
                    let cores = self.hosts[host].cores * rng.fraction();
                    Step::Background(host, cores)
                }
                _ => {
                    let host = draw(rng, hosts);
                    if rng.below(2) == 0 && !self.lost.contains(&host) {
                        steps.push((moment(rng, 0.3), Step::Restart(host)));
                    }
                    Step::Crash(host)
                }
            };
            steps.push((moment(rng, 0.0), step));
        }
        let mut rng = rng.keyed("moves");
        for _ in 0..rng.below(16) {
            steps.push((moment(&mut rng, 0.1), self.moving(&mut rng)));
        }
        steps.sort_by_key(|(at, _)| *at);
        steps
    }

    /// Somebody is asked to move something.
    fn moving(&self, rng: &mut Rng) -> Step {
        let hosts = self.hosts.len();
        let at = draw(rng, hosts);
        if rng.below(6) == 0 {
            let host = draw(rng, hosts);
            return Step::Drain { at, host };
        }
        Step::Move(Move {
            at,
            request: draw(rng, self.request_count),
            operator: match self.fidelity == Fidelity::Discrete && rng.below(2) == 0 {
                true => "sums".to_owned(),
                false => format!("filter{}", rng.below(2)),
            },
            to: (rng.below(3) > 0).then(|| draw(rng, hosts)),
        })
    }

    fn request(&self, number: usize, rng: &mut Rng) -> Request {
        let hosts = self.hosts.len();
        let cores = match self.fidelity {
            Fidelity::Fluid => 0.3,
            // What a row takes must leave room in the target.
            Fidelity::Discrete => 0.1,
        };
        let at = draw(rng, hosts);
        let from = draw(rng, hosts.min(3));
        // Of one source there is one rate: who reads it by itself and by what others made of it waits for the slower of the two.
        let rows_per_second = match self.fidelity {
            Fidelity::Fluid => [10.0, 100.0, 1000.0][draw(rng, 3)],
            // Each of them is handled.
            Fidelity::Discrete => {
                [2.0, 10.0, 40.0][draw(&mut rng.keyed(&format!("rate {from}")), 3)]
            }
        };
        Request {
            at,
            name: format!("app{number}"),
            from,
            meaning: rng.below(3),
            length: 1 + rng.below(4),
            is_forked: rng.below(4) == 0,
            is_windowed: self.fidelity == Fidelity::Discrete && rng.keyed("windowed").below(2) == 0,
            is_trial: rng.below(12) == 0,
            target: Duration::from_millis(20 + rng.below(500)),
            replicas: self.replicas,
            demand: Demand {
                rows_per_second,
                row_bytes: 20.0 + 200.0 * rng.fraction(),
                cost_seconds: cores * rng.fraction() / rows_per_second,
                selectivity: rng.fraction(),
            },
            spread: rng.below(2) == 0,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} hosts, {} requests, {}, {}, {} repairs",
            self.hosts.len(),
            self.request_count,
            self.policy.name(),
            self.fidelity.name(),
            if self.repairs { "with" } else { "without" }
        )
    }
}

impl Request {
    /// The order, as its host would give it.
    pub(super) fn order(&self, world: &World) -> Order {
        let owner = world.node(self.at);
        let from = world.node(self.from);
        let plan = self
            .plan(from)
            .expect("names are valid and streams are read");
        let count = plan.operators().len();
        Order {
            application: ApplicationId {
                owner,
                name: self.name.clone(),
            },
            plan,
            origins: vec![Origin(1 + u128::from(convert::size(self.from)))],
            sources: vec![from],
            source_demands: vec![self.demand],
            demands: vec![self.demand; count],
            places: vec![Place::Any; count],
            sinks: vec![owner],
            spread: self.spread,
            is_trial: self.is_trial,
        }
    }

    fn plan(&self, from: model::NodeId) -> Option<QueryPlan> {
        let schema = Schema::new(vec![Field::new("value", DataType::Int64)]).ok()?;
        let qos = Qos {
            latency: self.target,
            replicas: self.replicas,
            ..Qos::default()
        };
        let mut plan = Builder::new(&self.name, qos).ok()?;
        let source = SourceName::Published {
            publisher: from,
            name: "swarm/rows".to_owned(),
        };
        let bad = engine::intake::bad_schema();
        let ports = vec![("out".to_owned(), schema.clone()), ("bad".to_owned(), bad)];
        let first = plan.source("rows", source, ports).ok()?.port(0)?;
        let mut stream = first;
        for number in 0..self.length {
            let text = format!("value > {}", self.meaning + number);
            let name = format!("filter{number}");
            let condition = where_(&text);
            stream = add(&mut plan, &name, "filter", condition, &[stream], &schema)?;
        }
        if self.is_forked {
            let text = format!("value < {}", self.meaning);
            let condition = where_(&text);
            let other = add(&mut plan, "other", "filter", condition, &[first], &schema)?;
            let (both, none) = ([stream, other], Arguments::new());
            stream = add(&mut plan, "both", "union", none, &both, &schema)?;
        }
        if self.is_windowed {
            stream = add(&mut plan, "sums", "window", sums(), &[stream], &schema)?;
        }
        plan.sink("out", stream).ok()?;
        plan.build().ok()
    }
}

/// What a filter lets pass.
fn where_(text: &str) -> Arguments {
    Arguments::from_iter([("where".to_owned(), Value::from(text))])
}

/// How many rows a window has, and what they come to.
fn sums() -> Arguments {
    let column = |name: &str, text: &str| (name.to_owned(), Scalar::from(text));
    let columns = vec![column("rows", "count(*)"), column("sum", "sum(value)")];
    let window = vec![("tumbling".to_owned(), Scalar::Micros(WINDOW_MICROS))];
    Arguments::from_iter([
        ("window".to_owned(), Value::Table(window)),
        ("select".to_owned(), Value::Table(columns)),
    ])
}

/// Puts an operator into a plan, with the ports that it really has. Gives its first one.
fn add(
    plan: &mut Builder,
    name: &str,
    kind: &str,
    arguments: Arguments,
    inputs: &[Stream],
    schema: &Schema,
) -> Option<Stream> {
    let kind = operator::find(kind)?;
    let schemas = vec![schema.clone(); inputs.len()];
    let compiled = (kind.compile)(&arguments, &schemas).ok()?;
    let (parameters, outputs) = (compiled.parameters, compiled.outputs);
    let operator = match kind.inputs {
        operator::Inputs::AnyOrder => {
            plan.commutative_operator(name, kind.name, parameters, inputs, outputs)
        }
        _ => plan.operator(name, kind.name, parameters, inputs, outputs),
    };
    operator.ok()?.port(0)
}
