//! How an application becomes components: one for each source, operator and sink of its plan that runs here.
//!
//! Origins, depths and groups follow from the plan, for parts that run here and for parts that do not; an
//! edge whose other end is on another host is made with this end alone.

use std::collections::BTreeSet;
use std::time::Duration;

use hdrhistogram::Histogram;
use model::plan::{Reader, Stream};
use model::{
    Binding, ComponentGraph, ComponentId, EdgeId, EventTime, Instant, Origin, QueryPlan, Schema,
};

use super::component::{Entry, Output, Results, Stay};
use super::remote::TAPS_MAX;
use super::shadows::SHADOWS_MAX;
use super::shape::{self, Shape};
use super::{Application, Component, Engine, Role};
use crate::columns;
use crate::cost::Cost;
use crate::edge::{Producer, Retention};
use crate::operator::{Compiled, DefaultCost, Numbering};
use crate::share::Share;
use crate::state::Resumed;
use crate::step::Step;
use crate::times::{Precision, Recent, Times};

/// The most edges that a host has.
///
/// Unit: count. Source: guess; some hundreds of the largest plans.
pub const EDGES_MAX: usize = 1 << 16;

/// What a plan needs to run on this host, in whole or in part: what its parts are made of.
#[derive(Debug)]
pub struct Deployment {
    /// What was asked for.
    pub plan: QueryPlan,
    /// Who numbers the records of each source, in the plan's order.
    pub origins: Vec<Origin>,
    /// Its sources, in the plan's order.
    pub sources: Vec<SourcePart>,
    /// Its operators, in the plan's order.
    pub operators: Vec<OperatorPart>,
    /// Its sinks, in the plan's order; none where one is elsewhere.
    pub sinks: Vec<Option<SinkDeployment>>,
}

impl Deployment {
    /// One operator of a graph alone. Whatever it reads, and whoever reads it, is elsewhere for now: edges are turned where it is here.
    ///
    /// # Panics
    /// When the graph has no such operator.
    pub fn of_operator(graph: &ComponentGraph, operator: usize, made: OperatorPart) -> Self {
        let plan = graph.plan();
        let elsewhere = |binding: &Binding| match binding.shared {
            true => OperatorPart::RunningElsewhere,
            false => OperatorPart::Elsewhere,
        };
        let mut operators: Vec<OperatorPart> = plan
            .operators()
            .iter()
            .map(|_| OperatorPart::RunningElsewhere)
            .collect();
        for reader in plan.readers_of(operator) {
            if let Reader::Operator(index, _) = reader {
                operators[index] = elsewhere(&graph.operators()[index]);
            }
        }
        operators[operator] = made;
        Self {
            plan: plan.clone(),
            origins: graph.origins().to_vec(),
            sources: plan
                .sources()
                .iter()
                .map(|_| SourcePart::Elsewhere)
                .collect(),
            operators,
            sinks: plan.sinks().iter().map(|_| None).collect(),
        }
    }
}

/// Where a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePart {
    /// On another host.
    Elsewhere,
    /// Here, for this application alone.
    Here,
    /// Here, by a source that runs already, published or of another application: it is read from the latest.
    Running(ComponentId),
}

/// Where an operator runs.
#[derive(Debug)]
pub enum OperatorPart {
    /// On another host, for this application: it pulls what it reads.
    Elsewhere,
    /// On another host, where it runs already for others: it is read, and pulls what it reads without us.
    RunningElsewhere,
    /// Here, for this application.
    Here(OperatorDeployment),
    /// Here, for this application, where another instance of it was elsewhere: from its state.
    Resumed(Box<Resumed>),
    /// Here, for this application, where another instance of it was on a host that is gone with its state. What keeps positions waits
    /// until all who read it here and elsewhere have pulled once, for as long as a consumer may be silent from the first on, and
    /// begins where they are: nothing is lost. What numbers rows itself begins with what is kept upstream, and gives what it
    /// sees from its start; what it leaves out is told as missing.
    Rebuilt(OperatorDeployment),
    /// Here, where it runs already for others: it is read from the latest.
    Running(ComponentId),
    /// Here, where it runs already for others, by readers that read another instance of it before: from all that is retained.
    Followed(ComponentId),
}

impl OperatorPart {
    /// Whether it runs for others, on whichever host.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(
            self,
            Self::RunningElsewhere | Self::Running(_) | Self::Followed(_)
        )
    }
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
    /// Where rows are offered; none for a source that is read elsewhere.
    pub sources: Vec<Option<ComponentId>>,
    /// What computes; none for an operator that runs elsewhere.
    pub operators: Vec<Option<ComponentId>>,
    /// Where results are received; none for a sink that is elsewhere.
    pub sinks: Vec<Option<ComponentId>>,
    /// The edges whose consumers are here and whose producers are not.
    pub upstream: Vec<RemoteEdge>,
    /// The edges whose producers are here and whose consumers are not.
    pub downstream: Vec<RemoteEdge>,
}

/// An edge between hosts, as its end on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteEdge {
    /// Its number on this host.
    pub edge: EdgeId,
    /// What is pulled.
    pub stream: Stream,
    /// Who pulls it.
    pub reader: Reader,
}

/// Why nothing was deployed or opened. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// There must be one entry for each part of the plan.
    #[error("{given} entries for {parts} {what}")]
    Count {
        /// Which parts.
        what: &'static str,
        /// How many the plan has.
        parts: usize,
        /// How many entries there are.
        given: usize,
    },
    /// An operator that runs elsewhere is of a kind that this host does not know, so that nobody can tell how
    /// its rows are numbered.
    #[error("no operator is called {0:?} here")]
    UnknownKind(String),
    /// A part has other output ports here than in the plan.
    #[error("{0:?} has other output ports here than in the plan")]
    Ports(String),
    /// The component is not here, has failed, or has no such output port.
    #[error("component {0} does not run here, or yields no such stream")]
    UnknownComponent(ComponentId),
    /// What runs already yields or takes in rows of other origins than the plan's parts were told.
    #[error("{0:?}: a source has begun anew since the application was composed")]
    OtherOrigin(String),
    /// The application is not here, or has ended.
    #[error("application {0} is not here")]
    UnknownApplication(u64),
    /// The host has as many edges as it may have.
    #[error("the host has {EDGES_MAX} edges, and may have no more")]
    TooManyEdges,
    /// The edge is not here, or not with the end that is needed.
    #[error("edge {0} has no such end here")]
    UnknownEdge(EdgeId),
    /// The component has as many shadows as it may have.
    #[error("the component has {SHADOWS_MAX} shadows, and may have no more")]
    TooManyShadows,
    /// The host serves as many taps as it may.
    #[error("{TAPS_MAX} taps look on here, and no more may")]
    TooManyTaps,
}

impl Engine {
    /// Makes the components of an application that run here, and their ends of its edges. They lie dormant
    /// until [`Engine::start`], or until somebody on another host pulls what depends on them.
    ///
    /// Where nothing of it is to run here, it is known here all the same: it may depend on what runs for others.
    ///
    /// # Errors
    /// When the parts are not those of the plan, or this host cannot take them; nothing has changed then.
    pub fn deploy(
        &mut self,
        now: Instant,
        deployment: Deployment,
    ) -> Result<Deployed, DeployError> {
        let shape = self.check(&deployment)?;
        let Deployment {
            plan,
            origins,
            sources,
            operators,
            sinks,
        } = deployment;
        let application = self.add_application(plan.application());
        self.set_share(application, plan.qos().rows_per_second.map(Share::new));
        if let Some(application) = self.applications.get_mut(&application) {
            application.target = plan.qos().latency;
        }
        let mut deployed = Deployed {
            application,
            sources: Vec::new(),
            operators: Vec::new(),
            sinks: Vec::new(),
            upstream: Vec::new(),
            downstream: Vec::new(),
        };
        for (index, part) in sources.iter().enumerate() {
            let source = &plan.sources()[index];
            let id = match part {
                SourcePart::Elsewhere => None,
                SourcePart::Running(id) => Some(*id),
                SourcePart::Here => {
                    let entry = Entry::new(origins[index], shape.groups[index]);
                    let origin = origins[index];
                    let role = Role::Source(entry);
                    let component = Component {
                        stay: Stay::WhileRead,
                        ..Component::new(&source.name, application, role, origin, Cost::new(FREE))
                    };
                    Some(self.add(component, &source.outputs, false))
                }
            };
            deployed.sources.push(id);
        }
        let mut resumed = Vec::new();
        let shared: Vec<bool> = operators.iter().map(OperatorPart::is_shared).collect();
        let followed = operators.iter().filter_map(|part| match part {
            OperatorPart::Followed(id) => Some(*id),
            _ => None,
        });
        let followed: BTreeSet<ComponentId> = followed.collect();
        for (index, part) in operators.into_iter().enumerate() {
            let id = match part {
                OperatorPart::Elsewhere | OperatorPart::RunningElsewhere => None,
                OperatorPart::Running(id) | OperatorPart::Followed(id) => Some(id),
                OperatorPart::Resumed(part) => {
                    let Resumed {
                        part,
                        standing,
                        state_bytes,
                    } = *part;
                    let component = operator(&plan, index, part, application, &shape);
                    let id = self.add(component, &plan.operators()[index].outputs, false);
                    resumed.push((id, self.take_place(now, id, standing, state_bytes)));
                    Some(id)
                }
                OperatorPart::Rebuilt(part) => {
                    let component = operator(&plan, index, part, application, &shape).rebuilt();
                    Some(self.add(component, &plan.operators()[index].outputs, false))
                }
                OperatorPart::Here(part) => {
                    let component = operator(&plan, index, part, application, &shape);
                    Some(self.add(component, &plan.operators()[index].outputs, false))
                }
            };
            deployed.operators.push(id);
        }
        for (index, part) in sinks.into_iter().enumerate() {
            let id = part.map(|part| {
                let component = sink(&plan, index, part, application, &shape);
                self.add(component, &[], false)
            });
            deployed.sinks.push(id);
        }
        self.join(now, &plan, (&shared, &followed), &mut deployed);
        for (id, inputs) in resumed {
            self.read_on(id, inputs);
        }
        self.share_retention();
        self.compute_budgets(now);
        self.arm(now);
        Ok(deployed)
    }

    /// Runs a source for nobody in particular: its rows flow whether or not somebody reads them. It is an
    /// application of its own, and stays until that is retired.
    pub fn publish(
        &mut self,
        name: &str,
        origin: Origin,
        outputs: &[(String, Schema)],
    ) -> (u64, ComponentId) {
        let application = self.add_application(name);
        let role = Role::Source(Entry::new(origin, 0));
        let component = Component {
            is_awake: true,
            stay: Stay::Forever,
            ..Component::new(name, application, role, origin, Cost::new(FREE))
        };
        let id = self.add(component, outputs, true);
        self.budgets_due = Instant::ZERO;
        (application, id)
    }

    /// Checks a deployment against its plan and this host.
    fn check(&self, deployment: &Deployment) -> Result<Shape, DeployError> {
        let plan = &deployment.plan;
        let counts = [
            ("origins", plan.sources().len(), deployment.origins.len()),
            ("sources", plan.sources().len(), deployment.sources.len()),
            (
                "operators",
                plan.operators().len(),
                deployment.operators.len(),
            ),
            ("sinks", plan.sinks().len(), deployment.sinks.len()),
        ];
        for (what, parts, given) in counts {
            if parts != given {
                return Err(DeployError::Count { what, parts, given });
            }
        }
        // Each reader of a plan is one edge at most.
        let inputs = plan.operators().iter().map(|part| part.inputs.len());
        let edges = inputs.sum::<usize>() + plan.sinks().len();
        if self.edges.len() + edges > EDGES_MAX {
            return Err(DeployError::TooManyEdges);
        }
        let shape = shape::shape(deployment)?;
        self.check_sources(deployment)?;
        self.check_operators(deployment, &shape)?;
        Ok(shape)
    }

    fn add_application(&mut self, name: &str) -> u64 {
        let id = self.next_application;
        self.next_application += 1;
        let application = Application {
            name: name.to_owned(),
            target: Duration::ZERO,
            admitted: None,
            members: Vec::new(),
            has_failed: false,
            has_finished: false,
            is_broken: false,
            is_released: false,
            follows_record: false,
            joined: Vec::new(),
            share: None,
            gone: Vec::new(),
        };
        self.applications.insert(id, application);
        id
    }

    fn add(
        &mut self,
        mut component: Component,
        outputs: &[(String, Schema)],
        flows_unread: bool,
    ) -> ComponentId {
        // Its share is set when all streams are there.
        let retention = Retention {
            bytes_max: 0,
            flows_unread,
        };
        component.outputs = outputs
            .iter()
            .map(|(_, schema)| Output {
                producer: Producer::new(retention),
                readers: Vec::new(),
                schema: columns::to_arrow(schema),
            })
            .collect();
        component.result_ports = result_ports(outputs);
        let id = ComponentId(self.next_component);
        self.next_component += 1;
        self.applications
            .get_mut(&component.application)
            .expect("a component is added to an application that was just made")
            .members
            .push(id);
        self.components.insert(id, component);
        id
    }
}

fn operator(
    plan: &QueryPlan,
    index: usize,
    part: OperatorDeployment,
    application: u64,
    shape: &Shape,
) -> Component {
    let origin = shape::origin_of(plan, index);
    let cost = Cost::new(part.declared.unwrap_or(part.compiled.cost));
    let channels = shape.channels[index].clone();
    let slide = part.compiled.operator.slide();
    let step = Step::new(part.compiled, part.numbering, origin, channels.clone());
    let name = &plan.operators()[index].name;
    Component {
        numbering: part.numbering,
        depth: shape.depths[index],
        channels,
        step: Some(Box::new(step)),
        slide,
        stay: Stay::WhileRead,
        ..Component::new(name, application, Role::Operator, origin, cost)
    }
}

fn sink(
    plan: &QueryPlan,
    index: usize,
    part: SinkDeployment,
    application: u64,
    shape: &Shape,
) -> Component {
    let sink = &plan.sinks()[index];
    let channels = shape.channels_of(&[sink.input]);
    let recent = Histogram::new_with_bounds(1, DELAY_MAX_MICROS, 2)
        .expect("two significant digits are allowed");
    let role = Role::Sink(Box::new(Results {
        target: part.target,
        progress: channels
            .iter()
            .map(|channel| (*channel, EventTime::MIN))
            .collect(),
        delays: Times::new(Precision::DELAYS),
        left: Recent::default(),
        recent,
        misses: 0,
        received: 0,
        acknowledged: 0,
    }));
    let nobody = Origin(0);
    Component {
        channels,
        depth: shape.depth_behind(sink.input),
        ..Component::new(&sink.name, application, role, nobody, Cost::new(FREE))
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

/// How many output ports come before those for late and bad rows.
fn result_ports(outputs: &[(String, Schema)]) -> u16 {
    let results = outputs
        .iter()
        .filter(|(port, _)| port != "late" && port != "bad");
    u16::try_from(results.count()).unwrap_or(u16::MAX)
}
