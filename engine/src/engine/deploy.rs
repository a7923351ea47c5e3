//! How an application becomes components: one for each source, operator and sink of its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hdrhistogram::Histogram;
use model::plan::Stream;
use model::{ComponentId, EdgeId, EventTime, Instant, Origin, QueryPlan, Schema, convert};

use super::component::{Entry, Output, Results};
use super::{Application, Component, Edge, Engine, Role};
use crate::cost::Cost;
use crate::edge::{Consumer, Producer, Retention};
use crate::mailbox::Channel;
use crate::operator::{Compiled, DefaultCost, Numbering};
use crate::step::{self, Step};

/// The most credit that an edge gives for one origin.
///
/// Unit: bytes. Source: guess; some ten full batches of usual rows.
const CREDIT_MAX: u64 = 1 << 20;

/// What a plan needs to run on this host: what its parts are made of.
#[derive(Debug)]
pub struct Deployment {
    /// What was asked for.
    pub plan: QueryPlan,
    /// Its sources, in the plan's order.
    pub sources: Vec<SourceDeployment>,
    /// Its operators, in the plan's order.
    pub operators: Vec<OperatorDeployment>,
    /// Its sinks, in the plan's order.
    pub sinks: Vec<SinkDeployment>,
}

/// A source to be run.
#[derive(Debug, Clone, Copy)]
pub struct SourceDeployment {
    /// Who numbers its records.
    pub origin: Origin,
}

/// An operator to be run.
#[derive(Debug)]
pub struct OperatorDeployment {
    /// The operator.
    pub compiled: Compiled,
    /// How what it emits is numbered.
    pub numbering: Numbering,
    /// What it costs until it was measured, where somebody declared it.
    pub declared: Option<DefaultCost>,
}

/// A sink to be run.
#[derive(Debug, Clone, Copy)]
pub struct SinkDeployment {
    /// The latency target of what leaves there.
    pub target: Duration,
}

/// The components of an application that was deployed, each list in the plan's order.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The application's number on this host.
    pub application: u64,
    /// Where rows are offered.
    pub sources: Vec<ComponentId>,
    /// What computes.
    pub operators: Vec<ComponentId>,
    /// Where results are received.
    pub sinks: Vec<ComponentId>,
}

impl Engine {
    /// Makes the components of an application and the edges between them. They run at once.
    ///
    /// # Panics
    /// When the parts are not those of the plan.
    pub fn deploy(&mut self, now: Instant, deployment: Deployment) -> Deployed {
        let Deployment {
            plan,
            sources,
            operators,
            sinks,
        } = deployment;
        assert_eq!(
            plan.sources().len(),
            sources.len(),
            "one deployment for each source"
        );
        assert_eq!(
            plan.operators().len(),
            operators.len(),
            "one deployment for each operator"
        );
        assert_eq!(
            plan.sinks().len(),
            sinks.len(),
            "one deployment for each sink"
        );
        let application = convert::size(self.applications.len());
        let name = plan.application().to_owned();
        self.applications.push(Application {
            name,
            has_ended: false,
            is_broken: false,
        });
        let mut deployed = Deployed {
            application,
            sources: Vec::new(),
            operators: Vec::new(),
            sinks: Vec::new(),
        };
        let groups = groups(&plan, &operators);
        let parts = plan.sources().iter().zip(sources).enumerate();
        for (index, (source, SourceDeployment { origin })) in parts {
            let role = Role::Source(Entry {
                origin,
                progress: EventTime::MIN,
                group: groups[index],
                broken: None,
            });
            let component =
                Component::new(&source.name, application, role, origin, Cost::new(FREE));
            let ports = ports(&source.outputs);
            deployed.sources.push(self.add(component, ports));
        }
        for (index, (operator, part)) in plan.operators().iter().zip(operators).enumerate() {
            let inputs: Vec<_> = operator
                .inputs
                .iter()
                .map(|input| deployed.find(*input))
                .collect();
            let channels = self.channels(&inputs);
            let origin = Origin::of_component(plan.stream_name(Stream::Operator(index, 0)));
            let cost = Cost::new(part.declared.unwrap_or(part.compiled.cost));
            let ports = ports(&part.compiled.outputs);
            let step = Step::new(part.compiled, part.numbering, origin, channels.clone());
            let depths = inputs
                .iter()
                .map(|(producer, _)| self.component(*producer).depth + 1);
            let component = Component {
                numbering: part.numbering,
                depth: depths.max().unwrap_or(0),
                channels,
                step: Some(Box::new(step)),
                ..Component::new(&operator.name, application, Role::Operator, origin, cost)
            };
            let id = self.add(component, ports);
            self.connect(now, id, &inputs);
            deployed.operators.push(id);
        }
        for (sink, SinkDeployment { target }) in plan.sinks().iter().zip(sinks) {
            let input = deployed.find(sink.input);
            let channels = self.channels(&[input]);
            let progress: BTreeMap<Channel, EventTime> = channels
                .iter()
                .map(|channel| (*channel, EventTime::MIN))
                .collect();
            let delays = Histogram::new_with_bounds(1, DELAY_MAX_MICROS, 3)
                .expect("three significant digits are allowed");
            let role = Role::Sink(Box::new(Results {
                target,
                progress,
                delays,
                misses: 0,
                received: 0,
                acknowledged: 0,
            }));
            let nobody = Origin(0);
            let component = Component {
                channels,
                depth: self.component(input.0).depth + 1,
                ..Component::new(&sink.name, application, role, nobody, Cost::new(FREE))
            };
            let id = self.add(component, (0, 0));
            self.connect(now, id, &[input]);
            deployed.sinks.push(id);
        }
        self.share_retention();
        self.compute_budgets();
        deployed
    }

    fn add(&mut self, mut component: Component, ports: (usize, u16)) -> ComponentId {
        // Its share is set when all streams are there.
        let retention = Retention {
            bytes_max: 0,
            lapses: false,
        };
        let output = || Output {
            producer: Producer::new(retention),
            readers: Vec::new(),
        };
        component.outputs = std::iter::repeat_with(output).take(ports.0).collect();
        component.result_ports = ports.1;
        self.components.push(component);
        ComponentId(convert::size(self.components.len() - 1))
    }

    /// The ways into a component that reads these output ports.
    fn channels(&self, inputs: &[(ComponentId, u16)]) -> Vec<Channel> {
        let ports = (0..).zip(inputs).flat_map(|(port, (producer, output))| {
            let component = self.component(*producer);
            let origins = match &component.role {
                Role::Source(entry) => vec![entry.origin],
                Role::Operator | Role::Sink(_) => step::origins(
                    component.numbering,
                    component.origin,
                    &component.channels,
                    *output,
                ),
            };
            origins
                .into_iter()
                .map(move |origin| Channel { port, origin })
        });
        ports.collect()
    }

    fn connect(&mut self, now: Instant, consumer: ComponentId, inputs: &[(ComponentId, u16)]) {
        let credit = (self.config.memory_bytes / 64).min(CREDIT_MAX);
        for (input, (producer, output)) in (0..).zip(inputs) {
            let id = EdgeId(convert::size(self.edges.len()));
            self.edges.push(Edge {
                producer: *producer,
                output: *output,
                consumer,
                input,
                state: Consumer::new(credit),
                credit,
                unpulled_bytes: 0,
            });
            self.component_mut(consumer).inputs.push(id);
            self.open(now, id);
        }
    }
}

impl Deployed {
    fn find(&self, stream: Stream) -> (ComponentId, u16) {
        match stream {
            Stream::Source(index, port) => (self.sources[index], port),
            Stream::Operator(index, port) => (self.operators[index], port),
        }
    }
}

/// The longest delay that is told apart from longer ones.
///
/// Unit: microseconds; a day. Source: guess; who waits longer is told so all the same.
const DELAY_MAX_MICROS: u64 = 86_400_000_000;

/// What costs nothing that a budget would notice.
const FREE: DefaultCost = DefaultCost {
    batch_seconds: 0.0,
    row_seconds: 0.0,
};

/// How many output ports there are, and how many of them come before those for late and bad rows.
fn ports(outputs: &[(String, Schema)]) -> (usize, u16) {
    let results = outputs
        .iter()
        .filter(|(port, _)| port != "late" && port != "bad");
    (
        outputs.len(),
        u16::try_from(results.count()).unwrap_or(u16::MAX),
    )
}

/// For each source the group of those that it meets at stateful operators: they wait for one another.
fn groups(plan: &QueryPlan, operators: &[OperatorDeployment]) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..plan.sources().len()).collect();
    // The sources that lie before each operator.
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for (operator, part) in plan.operators().iter().zip(operators) {
        let mut sources = BTreeSet::new();
        for input in &operator.inputs {
            match input {
                Stream::Source(source, _) => {
                    sources.insert(*source);
                }
                Stream::Operator(index, _) => sources.extend(before[*index].iter().copied()),
            }
        }
        if part.numbering == Numbering::Own {
            let met: BTreeSet<usize> = sources.iter().map(|source| groups[*source]).collect();
            if let Some(first) = met.first() {
                groups
                    .iter_mut()
                    .filter(|group| met.contains(group))
                    .for_each(|group| *group = *first);
            }
        }
        before.push(sources);
    }
    groups
}
