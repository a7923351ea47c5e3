//! Edges to other hosts, and edges that are opened on what runs already.
//!
//! Frames come in by `handle_batch` and `handle_pull`. What goes out waits at its edge until the link takes
//! it: batches within the credit of whoever pulls, and of pulls only that one is due, so that the freshest is
//! built when it leaves. A link that stands still piles up nothing.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use model::{ComponentId, EdgeId, EventTime, Instant, Interval, Origin, convert};

use super::deploy::EDGES_MAX;
use super::edges::{Consuming, Edge, Producing, Telling};
use super::{DeployError, Engine, Event};
use crate::batch::{Batch, Header, Note, Rows, Token};
use crate::edge::{Begin, Opening, Pull};

/// What opens an edge on a component that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// Somebody who takes all of it: their application goes at their pace.
    Consumer,
    /// As a consumer, who comes after one that read another instance or through others: all that is retained is kept for it until its first pull.
    Successor,
    /// Somebody who looks on: nothing is kept for them, nobody waits for them, and what they do not take in
    /// time is dropped for them, counted, and told.
    Tap,
}

/// The most taps that a host serves.
///
/// Unit: count. Range: at most a quarter of [`TAP_DIVISOR`], so that what waits for taps that nobody reads takes
/// no more than a quarter of the memory beside a batch for each. Source: guess; people look on, not machines.
pub const TAPS_MAX: usize = 64;

/// The part of the memory that may wait for a tap.
///
/// Unit: divisor. Source: see [`TAPS_MAX`].
const TAP_DIVISOR: u64 = 256;

/// How much of what was sent to a component here may wait, in multiples of the credit of an edge for each way
/// in. Whoever sends more does not keep to the credit.
///
/// Unit: factor. Range: from 2; a batch larger than the credit goes alone. Source: guess.
const WAITING_FACTOR: u64 = 4;

impl Engine {
    /// Opens an edge to another host on a component that runs here, for an application of that host or, with
    /// none, for one of its own. It stands at the latest, from its first pull on.
    ///
    /// # Errors
    /// When the component is not here, has no such output port, or the host has too many edges.
    pub fn open_edge(
        &mut self,
        now: Instant,
        component: ComponentId,
        port: u16,
        application: Option<u64>,
        kind: EdgeKind,
    ) -> Result<EdgeId, DeployError> {
        let is_tap = kind == EdgeKind::Tap;
        if self.edges.len() >= EDGES_MAX {
            return Err(DeployError::TooManyEdges);
        }
        if is_tap && self.edges.values().filter(|edge| edge.is_tap).count() >= TAPS_MAX {
            return Err(DeployError::TooManyTaps);
        }
        let running = self.components.get(&component);
        if !running.is_some_and(|running| {
            usize::from(port) < running.outputs.len() && !running.has_failed()
        }) {
            return Err(DeployError::UnknownComponent(component));
        }
        let application = application.unwrap_or_else(|| {
            self.next_application += 1;
            self.next_application - 1
        });
        let producing = Producing::Here(component, port);
        let consuming = Consuming::Elsewhere(Box::default());
        let begin = match kind {
            EdgeKind::Consumer => Begin::Latest,
            EdgeKind::Successor => Begin::Retained,
            EdgeKind::Tap => Begin::Tap,
        };
        let opening = Opening {
            application,
            lapses: true,
            begin,
        };
        let id = self.connect(now, opening, producing, consuming, None);
        if let Some(edge) = self.edges.get_mut(&id) {
            edge.is_tap = is_tap;
        }
        self.share_retention();
        self.arm(now);
        Ok(id)
    }

    /// Ends an edge to another host that was opened here; whoever reads it is not told.
    pub fn close_edge(&mut self, now: Instant, edge: EdgeId) {
        let ends = |edge: &Edge| matches!(edge.consumer, Consuming::Elsewhere(_));
        if self.edges.get(&edge).is_some_and(ends) {
            self.end_reader(now, edge);
        }
    }

    /// Takes a batch that arrived from another host.
    ///
    /// One for an edge that is not here, or is not pulled, or beyond what was granted, is dropped and counted.
    pub fn handle_batch(&mut self, now: Instant, id: EdgeId, batch: Batch) {
        let Some(Edge {
            producer: Producing::Elsewhere(link),
            consumer: Consuming::Here(inbound),
            closing: None,
            ..
        }) = self.edges.get_mut(&id)
        else {
            return;
        };
        match batch.header.note {
            Some(Note::Gone | Note::Finished) => {
                self.lose_upstream(id);
                return;
            }
            Some(Note::Moved(host)) => {
                self.note_moved(id, host);
                return;
            }
            Some(Note::Gap | Note::Begin(_)) | None => {}
        }
        let bytes = convert::size(batch.rows.bytes());
        let origins = convert::size(inbound.state.len()).max(1);
        let allowed = inbound.credit.saturating_mul(WAITING_FACTOR * origins);
        let is_granted = link.told.is_some()
            && (batch.rows.is_empty() || link.waiting_bytes <= allowed)
            && inbound.state.accepts(batch.header.origin);
        if !is_granted {
            link.refused += 1;
            return;
        }
        if !batch.rows.is_empty() {
            link.waiting_bytes += bytes;
        }
        link.has_arrived = true;
        let consumer = inbound.component;
        self.count_received(consumer);
        self.arrive(now, id, Arc::new(batch));
    }

    /// Nothing is heard of who yields the stream of an edge, and its rows are not waited for any more: so much event time passes in each of its origins,
    /// or until `latest` where it is not known how far one was. What still comes of that time is late. Does nothing where nothing has come yet: nobody
    /// knows which origins there are.
    pub fn pass(
        &mut self,
        now: Instant,
        id: EdgeId,
        (micros, latest): (i64, Option<EventTime>),
        schema: &SchemaRef,
    ) {
        let Some(Edge {
            producer: Producing::Elsewhere(_),
            consumer: Consuming::Here(inbound),
            closing: None,
            ..
        }) = self.edges.get(&id)
        else {
            return;
        };
        let passed = |(origin, received, progress): (Origin, u64, EventTime)| {
            let progress = match progress {
                EventTime::MIN => latest?,
                known => known.plus(micros),
            };
            let header = Header {
                origin,
                interval: Interval::empty(received),
                arrival: now,
                progress,
                token: Token::Unmetered,
                missing: 0,
                note: None,
            };
            let rows = Rows::empty(SchemaRef::clone(schema));
            Some(Arc::new(Batch { header, rows }))
        };
        let passed: Vec<Arc<Batch>> = inbound.state.standings().filter_map(passed).collect();
        for batch in passed {
            self.arrive(now, id, batch);
        }
    }

    /// Takes a pull that arrived from another host: what it frees may be sent.
    ///
    /// The first one wakes what the stream is made of. One for an edge that is not here is ignored: it was
    /// overtaken by the end of the edge.
    pub fn handle_pull(&mut self, now: Instant, id: EdgeId, pull: &Pull) {
        if pull.is_goodbye() {
            return self.leave_edge(now, id);
        }
        let Some(Edge {
            producer: Producing::Here(producer, output),
            consumer: Consuming::Elsewhere(_),
            is_tap,
            ..
        }) = self.edges.get(&id)
        else {
            return;
        };
        let (producer, output, is_tap) = (*producer, *output, *is_tap);
        if self.hold_pull(now, producer, id, Some(pull)) {
            return;
        }
        let Some(Consuming::Elsewhere(link)) =
            self.edges.get_mut(&id).map(|edge| &mut edge.consumer)
        else {
            return;
        };
        link.has_left = false;
        if let Some(from) = &pull.from {
            link.rewind(from);
        }
        let taken = link.possible(&pull.taken);
        let keep = pull.keep.as_ref().map(|keep| link.possible(keep));
        let credit = match is_tap {
            true => self.config.memory_bytes / TAP_DIVISOR,
            false => self.credit_max(),
        };
        let credit = pull.credit.min(credit);
        let (budget, is_clamped) = self.admit(id, pull.budget.as_ref());
        let granted = Pull {
            from: pull.from.clone(),
            taken,
            keep,
            credit,
            budget,
        };
        let mut sends = Vec::new();
        let component = self.component_mut(producer);
        component.counters.clamped += u64::from(is_clamped);
        component.outputs[usize::from(output)]
            .producer
            .handle_pull(now, id, &granted, &mut sends);
        self.deliver(now, sends);
        self.pulled(now, producer);
        self.wake(now, producer);
        self.tell_moved(now, id, (producer, output));
    }

    /// Takes what waits to be sent on an edge, up to `bytes_max` but a batch at least. Says whether the edge
    /// goes on: after its last batch it does not.
    pub fn take_batches(
        &mut self,
        edge: EdgeId,
        bytes_max: usize,
        out: &mut Vec<Arc<Batch>>,
    ) -> bool {
        let Some(Edge {
            consumer: Consuming::Elsewhere(link),
            closing,
            ..
        }) = self.edges.get_mut(&edge)
        else {
            return false;
        };
        link.take(bytes_max, out);
        if closing.is_some() && link.is_empty() {
            self.edges.remove(&edge);
        }
        true
    }

    /// The pull that is due on an edge, if one is: it says all that has changed since the last.
    pub fn take_pull(&mut self, now: Instant, id: EdgeId) -> Option<Pull> {
        let edge = self.edges.get_mut(&id)?;
        let Producing::Elsewhere(link) = &mut edge.producer else {
            return None;
        };
        if edge.closing.is_some() {
            self.edges.remove(&id);
            return Some(Pull::goodbye());
        }
        if !std::mem::take(&mut link.is_due) {
            return None;
        }
        let Consuming::Here(inbound) = &mut edge.consumer else {
            return None;
        };
        let component = self.components.get(&inbound.component)?;
        let budget = component.asked_upstream(link.transit);
        inbound.state.set_budget(budget);
        link.told.get_or_insert(now);
        Some(
            match std::mem::replace(&mut link.telling, Telling::Changes) {
                Telling::Changes => inbound.state.pull(),
                Telling::All => inbound.state.pull_all(),
                Telling::Again => inbound.state.pull_again(),
            },
        )
    }

    /// Whether an edge to another host is here and goes on.
    pub fn is_open(&self, edge: EdgeId) -> bool {
        let edge = self.edges.get(&edge);
        edge.is_some_and(|edge| edge.closing.is_none())
    }

    /// Whether an edge from another host is here, and pulls may have to be sent on it.
    pub fn is_upstream(&self, edge: EdgeId) -> bool {
        let edge = self.edges.get(&edge);
        edge.is_some_and(|edge| matches!(edge.producer, Producing::Elsewhere(_)))
    }

    /// Whether somebody here reads by an edge that goes on.
    pub fn is_reading(&self, edge: EdgeId) -> bool {
        let edge = self.edges.get(&edge);
        edge.is_some_and(|edge| edge.closing.is_none() && edge.inbound().is_some())
    }

    /// A batch on this edge is under way for so long: budgets follow, and credit, which never shrinks, since what was sent within it must be taken.
    pub fn set_transit(&mut self, edge: EdgeId, transit: Duration) {
        let credit = self.credit_over(transit);
        if let Some(Edge {
            producer: Producing::Elsewhere(link),
            consumer,
            ..
        }) = self.edges.get_mut(&edge)
        {
            link.transit = transit;
            if let Consuming::Here(inbound) = consumer {
                inbound.grant(credit);
            }
        }
    }

    /// The link of an edge is new: what was under way on the old one may be lost.
    pub fn reconnected(&mut self, id: EdgeId) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        match (&mut edge.producer, &edge.consumer) {
            (Producing::Elsewhere(link), _) => {
                link.telling = Telling::Again;
                // Nothing is said of an edge that is not pulled yet.
                if link.told.is_some() {
                    link.is_due = true;
                }
                self.ready.push(id);
            }
            (_, Consuming::Elsewhere(_)) => self.ready.push(id),
            _ => {}
        }
    }

    /// Enters what waits at a component that came from other hosts into the ledger.
    pub(super) fn count_received(&mut self, id: ComponentId) {
        let Some(component) = self.components.get(&id) else {
            return;
        };
        let bytes = component.inputs.iter().map(|edge| {
            match self.edges.get(edge).map(|edge| &edge.producer) {
                Some(Producing::Elsewhere(link)) => link.waiting_bytes,
                _ => 0,
            }
        });
        let bytes = bytes.sum();
        self.ledger.set_received(id, bytes);
    }

    /// What a consumer here reads is no longer to be had.
    fn lose_upstream(&mut self, id: EdgeId) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        edge.producer = Producing::Gone;
        let application = edge.application;
        if let Some((stream, reader)) = edge.plan {
            self.events.push(Event::Gone {
                application,
                stream,
                reader,
            });
        }
        self.ready.push(id);
    }
}
