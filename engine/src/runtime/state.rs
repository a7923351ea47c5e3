//! What tasks need that carry state streams and move components; see [`crate::state`].

use std::task::{Context, Poll};

use model::plan::{Reader, Stream};
use model::{ComponentId, EdgeId, NodeId};

use super::links::WRITE_BYTES;
use super::{Ended, Handle};
use crate::engine::{CopyId, DeployError, Provider, StandingBy};
use crate::state::{Piece, Resumed, StatePull};

impl Handle {
    /// Opens an edge by which a shadow on another host pulls the state of an operator here.
    ///
    /// # Errors
    /// When the component is no operator that runs here, or has as many shadows as it may have.
    pub fn open_state(&self, component: ComponentId) -> Result<EdgeId, DeployError> {
        self.change(|engine, now| engine.open_state(now, component))
    }

    /// Opens an edge by which the state of an operator here goes to this host's own disk: see [`crate::Engine::open_own_state`].
    ///
    /// # Errors
    /// As above.
    pub fn open_own_state(&self, component: ComponentId) -> Result<EdgeId, DeployError> {
        self.change(|engine, now| engine.open_own_state(now, component))
    }

    /// Takes a pull of a shadow.
    ///
    /// # Errors
    /// When the state edge is not here any more: its shadow should be told so by the end of the link.
    pub fn handle_state_pull(&self, edge: EdgeId, pull: StatePull) -> Result<(), Ended> {
        self.change(|engine, now| {
            if !engine.is_state_open(edge) {
                return Err(Ended);
            }
            engine.handle_state_pull(now, edge, pull);
            Ok(())
        })
    }

    /// Takes pieces that wait to be sent on a state edge, one at least, into `out`.
    ///
    /// One task at a time may wait for an edge. Keeps its waker while nothing waits.
    ///
    /// # Errors
    /// When the edge has ended, or the runtime is stopping.
    pub fn poll_pieces(
        &self,
        edge: EdgeId,
        cx: &mut Context<'_>,
        out: &mut Vec<Piece>,
    ) -> Poll<Result<(), Ended>> {
        let mut state = self.shared.lock();
        let before = out.len();
        if state.is_stopping || !state.engine.take_pieces(edge, WRITE_BYTES, out) {
            return Poll::Ready(Err(Ended));
        }
        if out.len() > before {
            return Poll::Ready(Ok(()));
        }
        state.links.insert(edge, cx.waker().clone());
        Poll::Pending
    }

    /// Ends a state edge that was opened here.
    pub fn close_state(&self, edge: EdgeId) {
        self.change(|engine, now| engine.close_state(now, edge));
    }

    /// The edge by which a part of an application that is here reads a stream.
    pub fn reading_edge(&self, application: u64, stream: Stream, reader: Reader) -> Option<EdgeId> {
        let engine = &self.shared.lock().engine;
        engine.reading_edge(application, stream, reader)
    }

    /// The edge by which a part of an application, wherever it is, reads a stream that a component here yields.
    pub fn yielding_edge(
        &self,
        application: u64,
        component: ComponentId,
        by: (Stream, Reader),
    ) -> Option<EdgeId> {
        let engine = &self.shared.lock().engine;
        engine.yielding_edge(application, component, by)
    }

    /// Opens an edge beside another one whose stream is here, for who is to come after its reader on another host; see
    /// [`Engine::fork_edge`](crate::Engine::fork_edge).
    ///
    /// # Errors
    /// When the producing end of the edge is not here, or the host has too many edges.
    pub fn fork_edge(&self, edge: EdgeId) -> Result<EdgeId, DeployError> {
        self.change(|engine, now| engine.fork_edge(now, edge))
    }

    /// Lets a consumer here read from another provider of the same stream, and gives its edge from now on; see
    /// [`Engine::rebind`](crate::Engine::rebind).
    ///
    /// # Errors
    /// When the consuming end of the edge is not here, or its provider is not. Nothing has changed then.
    pub fn rebind(&self, edge: EdgeId, provider: Provider) -> Result<EdgeId, DeployError> {
        self.change(|engine, now| engine.rebind(now, edge, provider))
    }

    /// Whether an edge is here that has not ended.
    pub fn is_open(&self, edge: EdgeId) -> bool {
        self.shared.lock().engine.is_open(edge)
    }

    /// Lets a component run that nobody reads; see [`Engine::stand_by`](crate::Engine::stand_by).
    pub fn stand_by(&self, component: ComponentId) {
        self.change(|engine, _| engine.stand_by(component));
    }

    /// A component that has stood by is read from now on; see [`Engine::step_in`](crate::Engine::step_in).
    pub fn step_in(&self, component: ComponentId, last: Option<&Resumed>) {
        self.change(|engine, now| engine.step_in(now, component, last));
    }

    /// How a component stands by; see [`Engine::standing_by`](crate::Engine::standing_by).
    pub fn standing_by(&self, component: ComponentId) -> Option<StandingBy> {
        self.shared.lock().engine.standing_by(component)
    }

    /// See [`Engine::follow_record`](crate::Engine::follow_record).
    pub fn follow_record(&self, application: u64) {
        self.change(|engine, _| engine.follow_record(application));
    }

    /// A component goes on elsewhere: whoever pulls it from another host is told so with each pull.
    pub fn set_moved(&self, component: ComponentId, host: NodeId) {
        self.change(|engine, _| engine.set_moved(component, host));
    }

    /// Makes an account for the memory of a shadow here.
    pub fn open_copy(&self) -> CopyId {
        self.change(|engine, _| engine.open_copy())
    }

    /// A shadow here holds so many bytes now. Says whether there is room for that: without, nothing has changed, and the shadow is to be dropped.
    pub fn set_copy(&self, copy: CopyId, bytes: u64) -> bool {
        self.change(|engine, _| engine.set_copy(copy, bytes))
    }

    /// A shadow is no longer here.
    pub fn close_copy(&self, copy: CopyId) {
        self.change(|engine, _| engine.close_copy(copy));
    }
}
