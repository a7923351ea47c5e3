//! Edges whose ends move: a producer that is somewhere else from now on, and a consumer that goes on elsewhere.

use model::plan::{Reader, Stream};
use model::{ComponentId, EdgeId, Instant, NodeId, Positions};

use super::deploy::EDGES_MAX;
use super::edges::{Consuming, Edge, Producing, Upstream};
use super::retire::notice;
use super::{DeployError, Engine, Event};
use crate::batch::Note;

/// Where a stream is to be read from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// On another host.
    Elsewhere,
    /// On this one, by the edge that deploying the component gave for a reader elsewhere: its consumer is here.
    Here(EdgeId),
}

impl Engine {
    /// The edge by which a part of an application that is here reads a stream.
    pub fn reading_edge(&self, application: u64, stream: Stream, reader: Reader) -> Option<EdgeId> {
        let is_here = |edge: &Edge| matches!(edge.consumer, Consuming::Here(_));
        self.edge_of(application, stream, reader, is_here)
    }

    /// The edge by which a part of an application, wherever it is, reads a stream that a component here yields. Of several the first one:
    /// others are for who is to come after its reader.
    pub fn yielding_edge(
        &self,
        application: u64,
        component: ComponentId,
        (stream, reader): (Stream, Reader),
    ) -> Option<EdgeId> {
        let is_of =
            |edge: &Edge| matches!(edge.producer, Producing::Here(it, _) if it == component);
        self.edge_of(application, stream, reader, is_of)
    }

    /// Up to where the consumer of an edge has worked off the stream, where it is here.
    pub fn taken_on(&self, edge: EdgeId) -> Positions {
        let inbound = self.edges.get(&edge).and_then(|edge| edge.inbound());
        inbound
            .map(|inbound| inbound.state.all_taken())
            .unwrap_or_default()
    }

    fn edge_of(
        &self,
        application: u64,
        stream: Stream,
        reader: Reader,
        is_wanted: impl Fn(&Edge) -> bool,
    ) -> Option<EdgeId> {
        let is_it = |edge: &Edge| {
            edge.application == application
                && edge.plan == Some((stream, reader))
                && edge.closing.is_none()
                && is_wanted(edge)
        };
        let mut edges = self.edges.iter();
        edges.find_map(|(id, edge)| is_it(edge).then_some(*id))
    }

    /// Opens an edge beside another one, for who is to come after its reader on another host. What is kept for that one is kept for
    /// this, too, and nobody waits for it before its first pull.
    ///
    /// # Errors
    /// When the producing end of the edge is not here, or the host has too many edges.
    pub fn fork_edge(&mut self, now: Instant, edge: EdgeId) -> Result<EdgeId, DeployError> {
        if self.edges.len() >= EDGES_MAX {
            return Err(DeployError::TooManyEdges);
        }
        let Some(Edge {
            producer: Producing::Here(component, port),
            application,
            plan,
            reader,
            is_tap: false,
            closing: None,
            ..
        }) = self.edges.get(&edge)
        else {
            return Err(DeployError::UnknownEdge(edge));
        };
        let (component, port, reader) = (*component, *port, *reader);
        let producing = Producing::Here(component, port);
        let consuming = Consuming::Elsewhere(Box::default());
        let mut forked = Edge::new(*application, producing, consuming, *plan);
        forked.reader = reader;
        let id = EdgeId(self.next_edge);
        self.next_edge += 1;
        self.edges.insert(id, forked);
        let output = &mut self.component_mut(component).outputs[usize::from(port)];
        output.producer.fork(now, id, edge);
        output.readers.push(id);
        self.arm(now);
        Ok(id)
    }

    /// Lets a consumer here read from another provider of the same stream, from what it has received. Gives the edge by which it does:
    /// on the one before goodbye is said, by whoever drives its link, or here at once.
    ///
    /// The stream should be open at the other provider before: the consumer gets nothing until its first pull is heard there.
    ///
    /// # Errors
    /// When the consuming end of the edge is not here, or what is named as its provider here does not yield the stream for a reader
    /// elsewhere. Nothing has changed then.
    pub fn rebind(
        &mut self,
        now: Instant,
        edge: EdgeId,
        provider: Provider,
    ) -> Result<EdgeId, DeployError> {
        let old = self.edges.get(&edge).filter(|old| old.closing.is_none());
        let Some(old) = old.filter(|old| old.inbound().is_some()) else {
            return Err(DeployError::UnknownEdge(edge));
        };
        if let Provider::Here(there) = provider {
            let there_edge = self
                .edges
                .get(&there)
                .filter(|there| there.plan == old.plan);
            let is_open = there_edge.is_some_and(|there| {
                there.closing.is_none()
                    && matches!(there.producer, Producing::Here(..))
                    && matches!(there.consumer, Consuming::Elsewhere(_))
            });
            if !is_open {
                return Err(DeployError::UnknownEdge(there));
            }
        }
        let (application, plan, reader) = (old.application, old.plan, old.reader);
        let Some(old) = self.edges.get_mut(&edge) else {
            return Err(DeployError::UnknownEdge(edge));
        };
        let Consuming::Here(mut inbound) = std::mem::replace(&mut old.consumer, Consuming::Gone)
        else {
            return Err(DeployError::UnknownEdge(edge));
        };
        inbound.state.turn();
        let waiting_bytes = match &old.producer {
            Producing::Elsewhere(link) => link.waiting_bytes,
            Producing::Here(..) | Producing::Gone => 0,
        };
        let (component, input) = (inbound.component, usize::from(inbound.input));
        let new = match provider {
            Provider::Elsewhere => {
                let link = Upstream {
                    waiting_bytes,
                    ..Upstream::new()
                };
                let producing = Producing::Elsewhere(Box::new(link));
                let mut new = Edge::new(application, producing, Consuming::Here(inbound), plan);
                new.reader = reader;
                let id = EdgeId(self.next_edge);
                self.next_edge += 1;
                self.edges.insert(id, new);
                id
            }
            Provider::Here(there) => {
                self.bring_here(there, application, inbound);
                there
            }
        };
        if let Some(place) = self.component_mut(component).inputs.get_mut(input) {
            *place = new;
        }
        self.say_goodbye(now, edge);
        if self.component(component).is_awake {
            self.pull(now, new);
            if let Some(Producing::Here(producer, _)) =
                self.edges.get(&new).map(|edge| &edge.producer)
            {
                let producer = *producer;
                self.wake(now, producer);
            }
        }
        self.count_received(component);
        self.share_retention();
        self.budgets_due = Instant::ZERO;
        self.arm(now);
        Ok(new)
    }

    /// A component goes on elsewhere: whoever pulls it from another host from now on is told so with each pull. It runs until nobody reads
    /// it any more.
    pub fn set_moved(&mut self, component: ComponentId, host: NodeId) {
        if let Some(component) = self.components.get_mut(&component) {
            component.moved = Some(host);
        }
    }

    /// Tells who pulls an edge where the stream is to be had, if it has moved.
    pub(super) fn tell_moved(
        &mut self,
        now: Instant,
        id: EdgeId,
        (producer, port): (ComponentId, u16),
    ) {
        let Some(component) = self.components.get(&producer) else {
            return;
        };
        let Some(host) = component.moved else { return };
        let schema = &component.outputs[usize::from(port)].schema;
        let told = notice(now, component.origin, schema, Note::Moved(host));
        if let Some(Edge {
            consumer: Consuming::Elsewhere(link),
            ..
        }) = self.edges.get_mut(&id)
            && link.tell(told)
        {
            self.ready.push(id);
        }
    }

    /// Notes that a producer elsewhere has said where the stream is from now on; told once for each host.
    pub(super) fn note_moved(&mut self, id: EdgeId, host: NodeId) {
        let Some(Edge {
            producer: Producing::Elsewhere(link),
            application,
            plan: Some((stream, reader)),
            ..
        }) = self.edges.get_mut(&id)
        else {
            return;
        };
        if link.moved.replace(host) != Some(host) {
            self.events.push(Event::Moved {
                application: *application,
                stream: *stream,
                reader: *reader,
                host,
            });
        }
    }

    /// The consumer of an edge that was elsewhere is here.
    fn bring_here(&mut self, id: EdgeId, application: u64, inbound: super::edges::Inbound) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        edge.consumer = Consuming::Here(inbound);
        edge.application = application;
        if let Producing::Here(producer, port) = edge.producer {
            let output = &mut self.component_mut(producer).outputs[usize::from(port)];
            output.producer.bring_here(id, application);
        }
        self.ready.push(id);
    }
}
