//! What tasks need that drive links to other hosts: they are woken by wakers, and never block.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_schema::SchemaRef;
use model::{ComponentId, EdgeId, EventTime};

use super::{Ended, Handle};
use crate::batch::Batch;
use crate::edge::Pull;
use crate::engine::{DeployError, EdgeKind, Event};

/// How much is taken from an edge for one write.
///
/// Unit: bytes. Range: 16 to 64 KiB. Source: measured: larger writes gain nothing.
pub(super) const WRITE_BYTES: usize = 64 << 10;

impl Handle {
    /// Takes what waits to be sent on an edge to another host, one batch at least, into `out`.
    ///
    /// One task at a time may wait for an edge. Keeps its waker while nothing waits.
    ///
    /// # Errors
    /// When the edge has ended and its last batch was taken, or the runtime is stopping.
    pub fn poll_batches(
        &self,
        edge: EdgeId,
        cx: &mut Context<'_>,
        out: &mut Vec<Arc<Batch>>,
    ) -> Poll<Result<(), Ended>> {
        let mut state = self.shared.lock();
        let before = out.len();
        if state.is_stopping || !state.engine.take_batches(edge, WRITE_BYTES, out) {
            return Poll::Ready(Err(Ended));
        }
        if out.len() > before {
            return Poll::Ready(Ok(()));
        }
        state.links.insert(edge, cx.waker().clone());
        Poll::Pending
    }

    /// Takes the pull that is due on an edge from another host.
    ///
    /// One task at a time may wait for an edge. Keeps its waker while none is due.
    ///
    /// # Errors
    /// When the edge has ended and its last pull was taken, or the runtime is stopping.
    pub fn poll_pull(&self, edge: EdgeId, cx: &mut Context<'_>) -> Poll<Result<Pull, Ended>> {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        if state.is_stopping {
            return Poll::Ready(Err(Ended));
        }
        if let Some(pull) = state.engine.take_pull(now, edge) {
            return Poll::Ready(Ok(pull));
        }
        if !state.engine.is_upstream(edge) {
            return Poll::Ready(Err(Ended));
        }
        state.links.insert(edge, cx.waker().clone());
        Poll::Pending
    }

    /// Takes a batch that arrived on an edge from another host.
    pub fn handle_batch(&self, edge: EdgeId, batch: Batch) {
        self.change(|engine, now| engine.handle_batch(now, edge, batch));
    }

    /// Takes a pull that arrived on an edge to another host.
    ///
    /// # Errors
    /// When the edge is not here any more: who pulls should be told that it is gone.
    pub fn handle_pull(&self, edge: EdgeId, pull: &Pull) -> Result<(), Ended> {
        self.change(|engine, now| {
            if !engine.is_open(edge) {
                return Err(Ended);
            }
            engine.handle_pull(now, edge, pull);
            Ok(())
        })
    }

    /// How much of the memory for data is in use. Unit: bytes.
    pub fn used_bytes(&self) -> u64 {
        self.shared.lock().engine.memory().used_bytes()
    }

    /// Whether an edge from another host is here, and pulls may have to be sent on it.
    pub fn is_upstream(&self, edge: EdgeId) -> bool {
        self.shared.lock().engine.is_upstream(edge)
    }

    /// Whether somebody here reads by an edge that goes on.
    pub fn is_reading(&self, edge: EdgeId) -> bool {
        self.shared.lock().engine.is_reading(edge)
    }

    /// A batch on this edge from another host is under way for so long.
    pub fn set_transit(&self, edge: EdgeId, transit: Duration) {
        self.change(|engine, _| engine.set_transit(edge, transit));
    }

    /// The link of an edge is new: what was under way on the old one is asked for again.
    pub fn reconnected(&self, edge: EdgeId) {
        self.change(|engine, _| engine.reconnected(edge));
    }

    /// So much event time passes on an edge whose other end is away, or until `latest`; see [`Engine::pass`](crate::Engine::pass).
    pub fn pass(&self, edge: EdgeId, by: (i64, Option<EventTime>), schema: &SchemaRef) {
        self.change(|engine, now| engine.pass(now, edge, by, schema));
    }

    /// Opens an edge to another host on what runs here, for an application or, with none, for one of its own.
    ///
    /// # Errors
    /// When the component is not here, has no such output port, or the host has too many edges.
    pub fn open_edge(
        &self,
        component: ComponentId,
        port: u16,
        application: Option<u64>,
        kind: EdgeKind,
    ) -> Result<EdgeId, DeployError> {
        self.change(|engine, now| engine.open_edge(now, component, port, application, kind))
    }

    /// Ends an edge to another host that was opened here.
    pub fn close_edge(&self, edge: EdgeId) {
        self.change(|engine, now| engine.close_edge(now, edge));
    }

    /// What happened to applications that nobody has heard of yet. Keeps the waker while nothing has.
    ///
    /// One task at a time may wait. Gives nothing when the runtime is stopping.
    pub fn poll_events(&self, cx: &mut Context<'_>) -> Poll<Vec<Event>> {
        let mut state = self.shared.lock();
        if state.events.is_empty() && !state.is_stopping {
            state.listener = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut state.events))
    }
}
