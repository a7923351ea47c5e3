//! The consuming end of an edge to another host: it is opened while its graph is being confirmed, or else when there is
//! something to pull, and opened again when it broke.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use engine::Provider;
use engine::runtime::Handle;
use model::{Clock, CompositionId, EdgeId, NodeId, wire};
use overlay::net::{FrameReceiver, FrameSender, Network, OpenError};
use tokio::sync::mpsc;

use super::control::Inbound;
use super::edge::{self, EdgeEnd};
use super::hello::Hello;
use super::parts::RoundTrips;
use super::passing::{Absence, Passing};
use crate::clock::MachineClock;
use crate::node::{Input, PartEvent};

/// How long to wait before a broken edge is opened again: doubled each time, from the first to the second.
///
/// Unit: time. Source: guess; a component is there some milliseconds after its reader, and who waits for a host that comes back should
/// not wait for much else.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// What an edge to another host needs.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) engine: Handle,
    pub(super) network: Network,
    pub(super) clock: Arc<MachineClock>,
    pub(super) inbox: mpsc::Sender<Inbound>,
    /// Of which composition.
    pub(super) composition: CompositionId,
    /// Which edge of the engine.
    pub(super) edge: EdgeId,
    /// The edge is another one's until the stream is open here: then its consumer is turned to this host.
    pub(super) is_taken_over: bool,
    /// Who has the stream.
    pub(super) host: NodeId,
    /// What is pulled by whom.
    pub(super) hello: Hello,
    pub(super) round_trips: RoundTrips,
    /// What is done while a source is away.
    pub(super) passing: Option<Passing>,
    /// The columns of the stream.
    pub(super) schema: arrow_schema::SchemaRef,
}

impl Upstream {
    /// Pulls until the edge is closed.
    pub(super) async fn run(self) {
        if self.is_taken_over {
            return self.take_over().await;
        }
        // What waits for a stream when the graph starts waits for a round trip; now others are being confirmed.
        let early = self.open().await.ok();
        if early.is_none() {
            // Who has the stream is not as far as this host: it will be when somebody wants rows.
            let wanted = poll_fn(|cx| self.engine.poll_pull(self.edge, cx)).await;
            if wanted.is_ok_and(|pull| pull.is_goodbye()) {
                // Whoever has not been heard of need not be taken leave of.
                return;
            }
        }
        self.go_on(early).await;
    }

    /// Opens the stream, and only then turns its reader to it, so that nothing is waited for in between.
    async fn take_over(mut self) {
        let mut wait = RETRY.0;
        while self.engine.is_reading(self.edge) {
            match self.open().await {
                Ok(opened) => {
                    let Ok(edge) = self.engine.rebind(self.edge, Provider::Elsewhere) else {
                        return;
                    };
                    self.edge = edge;
                    return self.go_on(Some(opened)).await;
                }
                Err(error) => tracing::debug!(host = %self.host, "not open yet: {error}"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Pulls by a stream, and by another one where it breaks, until the edge is closed.
    async fn go_on(self, early: Option<(FrameSender, FrameReceiver)>) {
        let mut is_connected = true;
        self.pull_on(early, &mut is_connected).await;
        if !is_connected {
            // Nobody waits for it any more.
            self.tell(PartEvent::Reconnected { host: self.host }).await;
        }
    }

    async fn pull_on(
        &self,
        mut early: Option<(FrameSender, FrameReceiver)>,
        is_connected: &mut bool,
    ) {
        let mut wait = RETRY.0;
        let mut absence: Option<Absence> = None;
        // The edge may go while nobody can be told: then there is nothing left to open.
        while self.engine.is_upstream(self.edge) {
            let opened = match early.take() {
                Some(opened) => Ok(opened),
                None if self.engine.is_reading(self.edge) => self.open().await,
                // No stream is opened to say goodbye: what came after may be found at its other end, and would take the word for its own
                // reader's. Who does not hear it notices the silence.
                None => return,
            };
            match opened {
                Ok(_) if !self.engine.is_reading(self.edge) => return,
                Ok((sender, receiver)) => {
                    if !*is_connected {
                        self.tell(PartEvent::Reconnected { host: self.host }).await;
                        *is_connected = true;
                    }
                    let opened = self.clock.now();
                    absence = None;
                    // What it then says holds all that a new stream must know.
                    self.engine.reconnected(self.edge);
                    let end = edge::receive_batches(
                        self.engine.clone(),
                        self.edge,
                        Arc::clone(&self.schema),
                        sender,
                        receiver,
                        self.clock.clone(),
                        || self.half_round_trip(),
                    )
                    .await;
                    match end {
                        EdgeEnd::Ended => return,
                        EdgeEnd::Closed | EdgeEnd::Broken(_) => {}
                        EdgeEnd::Garbled(_) | EdgeEnd::Unsendable(_) => {
                            tracing::warn!(host = %self.host, "an edge broke: {end}");
                        }
                    }
                    // Only a stream that lasted is tried again at once: not one that is accepted and broken each time.
                    if self.clock.now().since(opened) >= RETRY.1 {
                        wait = RETRY.0;
                    }
                }
                Err(OpenError::Refused(reason)) => {
                    tracing::debug!(host = %self.host, reason, "an edge was refused");
                }
                Err(OpenError::Unreachable(_)) => wait = (wait * 2).min(RETRY.1),
            }
            if *is_connected && wait > RETRY.0 {
                self.tell(PartEvent::Disconnected { host: self.host }).await;
                *is_connected = false;
            }
            let absence = absence.get_or_insert_with(|| Absence::begin(self.clock.now()));
            self.pass(absence).await;
            // Whoever comes up again cannot say so to those that it does not know.
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Lets time pass where nobody can be reached, for a source that cannot be read again.
    async fn pass(&self, absence: &mut Absence) {
        let Some(passing) = &self.passing else { return };
        let on = (&self.engine, self.edge);
        if passing.pass(absence, on, &self.schema, &self.clock) {
            let source = passing.source.clone();
            let host = self.host;
            self.tell(PartEvent::Passed { source, host }).await;
        }
    }

    async fn open(&self) -> Result<(FrameSender, FrameReceiver), OpenError> {
        let hello = wire::encode(&self.hello);
        self.network.open(self.host, hello).await
    }

    /// Half of the round trip to the host, as far as it is known.
    fn half_round_trip(&self) -> Duration {
        let known = self
            .round_trips
            .lock()
            .map(|known| known.get(&self.host).copied());
        known.ok().flatten().unwrap_or_default() / 2
    }

    async fn tell(&self, event: PartEvent) {
        let input = Input::Happened {
            id: self.composition,
            event,
        };
        // Nobody hears it only where the node goes down.
        drop(self.inbox.send(Inbound::Input(input)).await);
    }
}
