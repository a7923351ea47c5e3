//! How the parts of a plan are joined: by edges between those that are here, by one end of an edge to those that are
//! not, and by none to what runs already and pulls for itself.

use std::collections::BTreeSet;
use std::time::Duration;

use model::plan::{Reader, Stream};
use model::{ComponentId, EdgeId, Instant, QueryPlan, StreamName};

use super::edges::{Consuming, Edge, Inbound, Producing, Upstream};
use super::shape::{self, Shape};
use super::{DeployError, Deployed, Deployment, Engine, OperatorPart, RemoteEdge, SourcePart};
use crate::edge::{Begin, Consumer, Opening};
use crate::mailbox::Channel;

/// The credit that an edge gives for one origin where its way is short.
///
/// Unit: bytes. Source: guess; some ten full batches of usual rows.
const CREDIT_NEAR: u64 = 1 << 20;

/// How many bytes a second an edge from another host lets through at least, as far as memory allows: its credit is under way for a round trip before more is granted.
///
/// Unit: bytes per second. Range: from what links carry. Source: guess; most of a link of a gigabit.
const CREDIT_RATE: u64 = 100 << 20;

/// What part of the memory for data the credit of an edge may be. Unit: divisor. Source: guess.
const CREDIT_DIVISOR: u64 = 64;

impl Engine {
    /// Checks the sources that run here already against the plan that is to read them.
    pub(super) fn check_sources(&self, deployment: &Deployment) -> Result<(), DeployError> {
        let parts = deployment.plan.sources().iter().zip(&deployment.sources);
        for ((source, part), origin) in parts.zip(&deployment.origins) {
            let SourcePart::Running(id) = part else {
                continue;
            };
            let running = self.running(*id)?;
            if running.outputs.len() < source.outputs.len() {
                return Err(DeployError::Ports(source.name.clone()));
            }
            if running.origin != *origin {
                return Err(DeployError::OtherOrigin(source.name.clone()));
            }
        }
        Ok(())
    }

    /// Checks the operators, those that are to be made and those that run already, against the plan.
    pub(super) fn check_operators(
        &self,
        deployment: &Deployment,
        shape: &Shape,
    ) -> Result<(), DeployError> {
        let plan = &deployment.plan;
        let parts = plan.operators().iter().zip(&deployment.operators);
        for (index, (operator, part)) in parts.enumerate() {
            match part {
                OperatorPart::Elsewhere | OperatorPart::RunningElsewhere => {}
                OperatorPart::Here(part) | OperatorPart::Rebuilt(part)
                    if part.compiled.outputs != operator.outputs =>
                {
                    return Err(DeployError::Ports(operator.name.clone()));
                }
                OperatorPart::Here(_) | OperatorPart::Rebuilt(_) => {}
                OperatorPart::Resumed(resumed)
                    if resumed.part.compiled.outputs != operator.outputs
                        || resumed.standing.outputs.len() != operator.outputs.len()
                        || resumed.standing.inputs.len() != operator.inputs.len() =>
                {
                    return Err(DeployError::Ports(operator.name.clone()));
                }
                OperatorPart::Resumed(_) => {}
                OperatorPart::Running(id) | OperatorPart::Followed(id) => {
                    let running = self.running(*id)?;
                    if running.outputs.len() != operator.outputs.len() {
                        return Err(DeployError::Ports(operator.name.clone()));
                    }
                    // The same name says that it computes the same, of streams of the same names: not that these
                    // have not begun anew.
                    let ways = |channels: &[Channel]| -> BTreeSet<Channel> {
                        channels.iter().copied().collect()
                    };
                    if running.origin != shape::origin_of(plan, index)
                        || ways(&running.channels) != ways(&shape.channels[index])
                    {
                        return Err(DeployError::OtherOrigin(operator.name.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    fn running(&self, id: ComponentId) -> Result<&super::Component, DeployError> {
        let running = self.components.get(&id);
        let running = running.filter(|component| !component.has_failed());
        running.ok_or(DeployError::UnknownComponent(id))
    }

    /// Makes the edges of a plan that have an end here. Operators that are shared have theirs already. What is followed goes on for readers
    /// of another instance of it.
    pub(super) fn join(
        &mut self,
        now: Instant,
        plan: &QueryPlan,
        (shared, followed): (&[bool], &BTreeSet<ComponentId>),
        deployed: &mut Deployed,
    ) {
        for (stream, reader) in plan.edges() {
            let consumer = match reader {
                Reader::Operator(index, port) => deployed.operators[index].zip(Some(port)),
                Reader::Sink(index) => deployed.sinks[index].zip(Some(0)),
            };
            let (producer, output) = match stream {
                Stream::Source(index, port) => (deployed.sources[index], port),
                Stream::Operator(index, port) => (deployed.operators[index], port),
            };
            let name = match reader {
                Reader::Operator(index, port) => {
                    Some((plan.stream_name(Stream::Operator(index, 0)), port))
                }
                Reader::Sink(_) => None,
            };
            if let (Reader::Operator(index, _), Some(name)) = (reader, name)
                && shared[index]
            {
                if let Some(producer) = producer {
                    self.join_edges(deployed.application, (producer, output), name);
                }
                continue;
            }
            if producer.is_none() && consumer.is_none() {
                continue;
            }
            let consuming = match consumer {
                Some((consumer, port)) => Consuming::Here(self.inbound(consumer, port)),
                None => Consuming::Elsewhere(Box::default()),
            };
            let producing = match producer {
                Some(producer) => Producing::Here(producer, output),
                None => Producing::Elsewhere(Box::new(Upstream::new())),
            };
            // Whoever reads a stream of its own application is waited for; a stream that runs already is not
            // held up before it is pulled.
            let is_own = producer.is_none_or(|producer| {
                self.component(producer).application == deployed.application
            });
            let goes_on = producer.is_some_and(|producer| {
                let is_resumed = self.component(producer).is_resumed;
                followed.contains(&producer) || is_own && is_resumed
            });
            let opening = Opening {
                application: deployed.application,
                lapses: consumer.is_none(),
                begin: match (goes_on, is_own) {
                    (true, _) => Begin::Retained,
                    (false, true) => Begin::Held,
                    (false, false) => Begin::Latest,
                },
            };
            let edge = self.connect(now, opening, producing, consuming, Some((stream, reader)));
            if let Some(edge) = self.edges.get_mut(&edge) {
                edge.reader = name;
            }
            let remote = RemoteEdge {
                edge,
                stream,
                reader,
            };
            match (producer, consumer) {
                (Some(_), Some(_)) | (None, None) => {}
                (None, Some(_)) => deployed.upstream.push(remote),
                (Some(_), None) => deployed.downstream.push(remote),
            }
            if let Some((consumer, _)) = consumer {
                self.component_mut(consumer).inputs.push(edge);
            }
        }
    }

    /// The credit of an edge for each origin.
    pub(super) fn credit(&self) -> u64 {
        self.credit_over(Duration::ZERO)
    }

    /// The same of an edge by which a batch is under way for so long.
    pub(super) fn credit_over(&self, transit: Duration) -> u64 {
        let round_trip =
            u64::try_from(transit.as_micros()).map_or(u64::MAX, |way| way.saturating_mul(2));
        let under_way = CREDIT_RATE.saturating_mul(round_trip) / 1_000_000;
        CREDIT_NEAR.max(under_way).min(self.credit_max())
    }

    /// The most credit that is given, or taken, for one origin of an edge.
    pub(super) const fn credit_max(&self) -> u64 {
        self.config.memory_bytes / CREDIT_DIVISOR
    }

    fn inbound(&self, component: ComponentId, port: usize) -> Inbound {
        let credit = self.credit();
        Inbound {
            component,
            input: u16::try_from(port).expect("a plan has fewer inputs"),
            state: Consumer::latest(credit),
            credit,
            unpulled_bytes: 0,
        }
    }

    /// Puts an edge in place. Nothing moves on it before its first pull.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        opening: Opening,
        producer: Producing,
        consumer: Consuming,
        plan: Option<(Stream, Reader)>,
    ) -> EdgeId {
        let id = EdgeId(self.next_edge);
        self.next_edge += 1;
        if let Producing::Here(component, output) = producer {
            let output = &mut self.component_mut(component).outputs[usize::from(output)];
            output.producer.open(now, id, opening);
            output.readers.push(id);
        }
        let edge = Edge::new(opening.application, producer, consumer, plan);
        self.edges.insert(id, edge);
        id
    }

    /// Lets the edges of a stream here that feed a shared operator be read for this application as well: where others
    /// who read the stream stand still, it goes on for who shares the operator.
    fn join_edges(
        &mut self,
        application: u64,
        stream: (ComponentId, u16),
        reader: (StreamName, usize),
    ) {
        let (producer, port) = stream;
        let output = &self.component(producer).outputs[usize::from(port)];
        let is_it = |edge: &&EdgeId| {
            let edge = self.edges.get(edge);
            edge.is_some_and(|edge| edge.reader == Some(reader) && edge.application != application)
        };
        let edges: Vec<EdgeId> = output.readers.iter().filter(is_it).copied().collect();
        let output = &mut self.component_mut(producer).outputs[usize::from(port)];
        for edge in &edges {
            output.producer.join(*edge, application);
        }
        if let Some(application) = self.applications.get_mut(&application) {
            application.joined.extend(edges);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Config;

    #[test]
    fn credit_follows_the_way_as_far_as_memory_allows() {
        let of = |memory_bytes, millis| {
            let engine = Engine::new(Config {
                memory_bytes,
                ..Config::default()
            });
            engine.credit_over(Duration::from_millis(millis))
        };
        assert_eq!(of(1 << 30, 0), 1 << 20);
        assert_eq!(of(1 << 30, 5), 1 << 20, "a near host needs no more");
        assert_eq!(of(1 << 30, 40), 8 << 20);
        assert_eq!(of(1 << 30, 4_000), 16 << 20, "a part of memory");
        assert_eq!(of(8 << 20, 40), 128 << 10);
    }
}
