//! How data moves: batches downstream into mailboxes, pulls upstream into producers, and both to other hosts
//! by way of what waits at the ends of edges.

use std::sync::Arc;

use model::{ComponentId, EdgeId, Instant, Origin, convert};

use super::edges::{Consuming, Edge, Producing};
use super::{Engine, HERE, Role};
use crate::batch::Batch;
use crate::edge::Arrival;
use crate::mailbox::Channel;
use crate::operator::Numbering;

/// A pull goes upstream when so much of the credit was worked off; or when nothing waits any more, and that releases something or lets more come.
///
/// Unit: divisor of the credit. Source: guess; a pull for each batch costs more than it saves.
const PULL_DIVISOR: u64 = 4;

impl Engine {
    /// Appends a batch to an output port and hands it to those who may have it.
    pub(super) fn append(
        &mut self,
        now: Instant,
        id: ComponentId,
        port: u16,
        batch: impl Into<Arc<Batch>>,
    ) {
        let batch = batch.into();
        let mut sends = std::mem::take(&mut self.sends);
        let component = self.components.get_mut(&id).expect(HERE);
        if port < component.result_ports {
            component.counters.rows_out += convert::size(batch.rows.len());
        }
        component.make_room(port);
        let output = &mut component.outputs[usize::from(port)];
        let origin = batch.header.origin;
        output.producer.append(batch, &mut sends);
        let is_sent = |reader| sends.iter().any(|(edge, _)| edge == reader);
        let is_sent_to_all = output.readers.iter().all(is_sent);
        component.enter_retained(&mut self.ledger);
        self.order(id);
        self.deliver(now, sends);
        if !is_sent_to_all {
            self.call_in(now, id, port, origin);
        }
    }

    /// Hands batches to those who read the edges: into mailboxes here, or to be taken to other hosts.
    pub(super) fn deliver(&mut self, now: Instant, mut sends: Vec<(EdgeId, Arc<Batch>)>) {
        for (id, batch) in sends.drain(..) {
            match self.edges.get_mut(&id).map(|edge| &mut edge.consumer) {
                Some(Consuming::Here(inbound)) => {
                    let (consumer, port) = (inbound.component, inbound.input);
                    let arrival = inbound.state.handle_batch(batch);
                    self.take_in(now, id, consumer, port, arrival);
                }
                Some(Consuming::Elsewhere(link)) => {
                    if link.push(batch) {
                        self.ready.push(id);
                    }
                }
                Some(Consuming::Gone) | None => {}
            }
        }
        self.sends = sends;
    }

    /// Judges a batch that has arrived on an edge whose consumer is here, and puts it into its mailbox.
    pub(super) fn arrive(&mut self, now: Instant, id: EdgeId, batch: Arc<Batch>) {
        let Some(inbound) = self.edges.get_mut(&id).and_then(Edge::inbound_mut) else {
            return;
        };
        let (consumer, port) = (inbound.component, inbound.input);
        let arrival = inbound.state.handle_batch(batch);
        self.take_in(now, id, consumer, port, arrival);
    }

    /// Puts what has arrived on an edge into the mailbox of its consumer, or asks for what is missing.
    fn take_in(
        &mut self,
        now: Instant,
        edge: EdgeId,
        consumer: ComponentId,
        port: u16,
        arrival: Arrival,
    ) {
        let batch = match arrival {
            Arrival::Next(batch) => batch,
            Arrival::Duplicate => return,
            Arrival::Gap => return self.pull(now, edge),
        };
        let precedence = self.precedence();
        let component = self.components.get_mut(&consumer).expect(HERE);
        if component.has_failed() {
            return;
        }
        let channel = Channel {
            port,
            origin: batch.header.origin,
        };
        if batch.header.note == Some(crate::Note::Gap) && !matches!(component.role, Role::Sink(_)) {
            component.counters.missing += u64::from(batch.header.missing);
        }
        let (batch, rest) = match component.part_closing(precedence, channel, &batch) {
            Some((closing, rest)) => (Arc::new(closing), Some(Arc::new(rest))),
            None => (batch, None),
        };
        self.sequence += 1;
        let waiting = component.waiting(now, precedence, self.sequence, channel, batch);
        component.mailbox.push(channel, waiting);
        if let Some(rest) = rest {
            self.sequence += 1;
            let mut waiting = component.waiting(now, precedence, self.sequence, channel, rest);
            waiting.is_apart = true;
            component.mailbox.push(channel, waiting);
        }
        if matches!(component.role, Role::Sink(_)) {
            self.signals.name_sink(consumer);
        } else {
            self.refresh(now, consumer);
        }
    }

    /// Lets a component pull what it reads, and with it all that lies before it here.
    pub(super) fn wake(&mut self, now: Instant, id: ComponentId) {
        let component = self.component_mut(id);
        if component.rebuilding.is_some() {
            // It does not know yet from where to pull.
            return;
        }
        if std::mem::replace(&mut component.is_awake, true) || component.has_failed() {
            return;
        }
        let inputs = component.inputs.clone();
        let is_source = matches!(component.role, Role::Source(_));
        if is_source {
            self.signals.name_source(id);
        }
        for edge in inputs {
            self.pull(now, edge);
            if let Some(Producing::Here(producer, _)) =
                self.edges.get(&edge).map(|edge| &edge.producer)
            {
                let producer = *producer;
                self.wake(now, producer);
            }
        }
    }

    /// A component has worked off a channel up to `through`, `bytes` of it: credit goes upstream.
    pub(super) fn taken(
        &mut self,
        now: Instant,
        id: ComponentId,
        channel: Channel,
        through: u64,
        bytes: u64,
    ) {
        let component = self.component(id);
        let kept = component.kept(channel, through);
        let has_drained = component.mailbox.is_drained(channel);
        let is_empty = component.mailbox.is_empty();
        let Some(edge_id) = component.inputs.get(usize::from(channel.port)).copied() else {
            // It has failed meanwhile.
            return;
        };
        let Some(edge) = self.edges.get_mut(&edge_id) else {
            return;
        };
        let is_remote = matches!(edge.producer, Producing::Elsewhere(_));
        if let Producing::Elsewhere(link) = &mut edge.producer {
            // What was joined need not weigh what its parts did: with nothing left the count is right again.
            link.waiting_bytes = match is_empty {
                true => 0,
                false => link.waiting_bytes.saturating_sub(bytes),
            };
        }
        let Some(inbound) = edge.inbound_mut() else {
            return;
        };
        inbound.state.take(channel.origin, through, kept);
        let releases = inbound.state.releases();
        inbound.unpulled_bytes += bytes;
        let is_due =
            inbound.unpulled_bytes >= inbound.credit / PULL_DIVISOR || inbound.state.must_pull();
        if is_remote {
            self.count_received(id);
        }
        if is_due || has_drained && (releases || is_remote || self.lags(edge_id)) {
            self.pull(now, edge_id);
        }
    }

    /// Whether the producer of an edge, which is here, has more for its consumer than the credit lets it send.
    fn lags(&self, id: EdgeId) -> bool {
        let producing = self.edges.get(&id).map(|edge| &edge.producer);
        let Some(Producing::Here(producer, output)) = producing else {
            return false;
        };
        let output = &self.component(*producer).outputs[usize::from(*output)];
        output.producer.lags(id)
    }

    /// What was appended to an output port could not be sent to all: consumers here that have nothing of its origin left to work on give back
    /// their credit, which until now nobody needed.
    fn call_in(&mut self, now: Instant, id: ComponentId, port: u16, origin: Origin) {
        let output = &self.component(id).outputs[usize::from(port)];
        for reader in output.readers.clone() {
            let inbound = self.edges.get(&reader).and_then(Edge::inbound);
            let is_owed = inbound.is_some_and(|inbound| {
                let port = inbound.input;
                let consumer = self.component(inbound.component);
                inbound.unpulled_bytes > 0 && consumer.mailbox.is_drained(Channel { port, origin })
            });
            if is_owed {
                self.pull(now, reader);
            }
        }
    }

    /// Says upstream where the consumer of an edge stands; to another host, as soon as the link takes it.
    ///
    /// What that releases at a stateless producer is released further up in turn: the way is as long as
    /// the plan is deep.
    pub(super) fn pull(&mut self, now: Instant, id: EdgeId) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        let Consuming::Here(inbound) = &mut edge.consumer else {
            return;
        };
        let (producer, output) = match &mut edge.producer {
            Producing::Here(producer, output) => (*producer, *output),
            Producing::Elsewhere(link) => {
                inbound.unpulled_bytes = 0;
                if !std::mem::replace(&mut link.is_due, true) {
                    self.ready.push(id);
                }
                return;
            }
            Producing::Gone => return,
        };
        inbound.unpulled_bytes = 0;
        let component = self.components.get_mut(&producer).expect(HERE);
        if component.rebuilding.is_some() {
            self.hold_pull(now, producer, id, None);
            return;
        }
        let mut sends = std::mem::take(&mut self.sends);
        let pulled = &mut component.outputs[usize::from(output)].producer;
        if inbound.state.must_pull() {
            pulled.handle_pull(now, id, &inbound.state.pull(), &mut sends);
        } else {
            pulled.handle_moves(now, id, inbound.state.moves(), &mut sends);
        }
        self.pulled(now, producer);
        self.deliver(now, sends);
    }

    /// A producer of a component has been pulled: what that released is released further up, and whoever
    /// waited for credit may go on.
    pub(super) fn pulled(&mut self, now: Instant, id: ComponentId) {
        let component = self.components.get_mut(&id).expect(HERE);
        component.enter_retained(&mut self.ledger);
        let is_source = matches!(component.role, Role::Source(_));
        let passes_on = component.numbering != Numbering::Own && !is_source;
        self.order(id);
        if passes_on {
            self.pass_on(now, id);
        }
        if is_source {
            // Where memory is short sources wait for one another.
            self.signals.all |= self.ledger.is_short();
            self.signals.name_source(id);
        } else {
            self.refresh(now, id);
        }
    }

    /// Keeps upstream of a component what its consumers, where it is stateless, and its shadows still keep of it, and no more.
    pub(super) fn pass_on(&mut self, now: Instant, id: ComponentId) {
        for place in 0..self.component(id).channels.len() {
            let component = self.component(id);
            let channel = component.channels[place];
            let Some(edge_id) = component.inputs.get(usize::from(channel.port)).copied() else {
                continue;
            };
            let Some(inbound) = self.edges.get(&edge_id).and_then(Edge::inbound) else {
                continue;
            };
            let taken = inbound.state.taken(channel.origin);
            let kept = self.component(id).kept(channel, taken);
            let inbound = self
                .edges
                .get_mut(&edge_id)
                .and_then(|edge| edge.inbound_mut());
            if inbound.is_some_and(|inbound| inbound.state.take(channel.origin, taken, kept)) {
                self.pull(now, edge_id);
            }
        }
    }
}
