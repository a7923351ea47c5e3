//! How data moves: batches downstream into mailboxes, pulls upstream into producers.

use std::sync::Arc;

use model::{ComponentId, EdgeId, Instant, convert};

use super::{Engine, Role};
use crate::batch::Batch;
use crate::edge::Arrival;
use crate::mailbox::Channel;
use crate::operator::Numbering;

/// A pull goes upstream when so much of the credit was worked off, or when nothing waits any more.
///
/// Unit: divisor of the credit. Source: guess; a pull for each batch costs more than it saves.
const PULL_DIVISOR: u64 = 4;

impl Engine {
    /// Appends a batch to an output port and hands it to those who may have it.
    pub(super) fn append(&mut self, now: Instant, id: ComponentId, port: u16, batch: Batch) {
        let component = self.component_mut(id);
        if port < component.result_ports {
            component.counters.rows_out += convert::size(batch.rows.len());
        }
        let mut sends = Vec::new();
        component.outputs[usize::from(port)]
            .producer
            .append(batch, &mut sends);
        let retained = component.retained_bytes();
        self.ledger.set_retained(id, retained);
        self.deliver(now, sends);
    }

    /// Puts batches into the mailboxes of those who read the edges.
    fn deliver(&mut self, now: Instant, sends: Vec<(EdgeId, Arc<Batch>)>) {
        for (id, batch) in sends {
            let edge = self.edge_mut(id);
            let (consumer, port) = (edge.consumer, edge.input);
            match edge.state.handle_batch(batch) {
                Arrival::Next(batch) => {
                    self.sequence += 1;
                    let sequence = self.sequence;
                    let component = self.component_mut(consumer);
                    if component.has_failed() {
                        continue;
                    }
                    let channel = Channel {
                        port,
                        origin: batch.header.origin,
                    };
                    component.mailbox.push(channel, batch, sequence);
                    if matches!(component.role, Role::Sink(_)) {
                        self.signals.sinks = true;
                    } else {
                        self.refresh(consumer);
                    }
                }
                Arrival::Duplicate => {}
                Arrival::Gap => self.pull(now, id),
            }
        }
    }

    /// Opens an edge: the first pull.
    pub(super) fn open(&mut self, now: Instant, id: EdgeId) {
        let edge = self.edge_mut(id);
        let (producer, output) = (edge.producer, edge.output);
        let application = self.component(producer).application;
        let output = &mut self.component_mut(producer).outputs[usize::from(output)];
        output.producer.open(now, id, application);
        output.readers.push(id);
        self.pull(now, id);
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
        let edge_id = component.inputs[usize::from(channel.port)];
        let edge = self.edge_mut(edge_id);
        edge.state.take(channel.origin, through, kept);
        edge.unpulled_bytes += bytes;
        if has_drained
            || edge.unpulled_bytes >= edge.credit / PULL_DIVISOR
            || edge.state.must_pull()
        {
            self.pull(now, edge_id);
        }
    }

    /// Says upstream where the consumer of an edge stands.
    ///
    /// What that releases at a stateless producer is released further up in turn: the way is as long as
    /// the plan is deep.
    fn pull(&mut self, now: Instant, id: EdgeId) {
        let edge = self.edge_mut(id);
        let pull = edge.state.pull();
        edge.unpulled_bytes = 0;
        let (producer, output) = (edge.producer, edge.output);
        let component = self.component_mut(producer);
        let mut sends = Vec::new();
        component.outputs[usize::from(output)]
            .producer
            .handle_pull(now, id, &pull, &mut sends);
        let retained = component.retained_bytes();
        let is_source = matches!(component.role, Role::Source(_));
        let passes_on = component.numbering != Numbering::Own && !is_source;
        self.ledger.set_retained(producer, retained);
        if passes_on {
            self.pass_on(now, producer);
        }
        if is_source {
            self.signals.sources = true;
        } else {
            self.refresh(producer);
        }
        self.deliver(now, sends);
    }

    /// Keeps upstream of a stateless component what its consumers still keep of it, and no more.
    fn pass_on(&mut self, now: Instant, id: ComponentId) {
        for place in 0..self.component(id).channels.len() {
            let component = self.component(id);
            let channel = component.channels[place];
            let edge_id = component.inputs[usize::from(channel.port)];
            let taken = self.edges[convert::index(edge_id.0)]
                .state
                .taken(channel.origin);
            let kept = self.component(id).kept(channel, taken);
            let edge = self.edge_mut(edge_id);
            if edge.state.take(channel.origin, taken, kept) {
                self.pull(now, edge_id);
            }
        }
    }
}
