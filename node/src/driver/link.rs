//! The consuming end of an edge to another host: it is opened while its graph is being confirmed, or else when there is
//! something to pull, and opened again when it broke.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use engine::runtime::Handle;
use model::{Clock, CompositionId, EdgeId, NodeId, wire};
use overlay::net::{FrameReceiver, FrameSender, Network, OpenError};
use tokio::sync::{mpsc, watch};

use super::control::Inbound;
use super::edge::{self, EdgeEnd};
use super::hello::Hello;
use super::parts::RoundTrips;
use crate::clock::MachineClock;
use crate::node::{Input, PartEvent};

/// How long to wait before a broken edge is opened again: doubled each time, from the first to the second.
///
/// Unit: time. Source: guess; a component is there some milliseconds after its reader, a host comes back in seconds.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

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
    /// Who has the stream: another one where that has gone elsewhere; nothing where it has come here.
    pub(super) host: watch::Receiver<Option<NodeId>>,
    /// What is pulled by whom.
    pub(super) hello: Hello,
    pub(super) round_trips: RoundTrips,
    /// The columns of the stream.
    pub(super) schema: arrow_schema::SchemaRef,
}

impl Upstream {
    /// Pulls until the edge is closed.
    pub(super) async fn run(mut self) {
        // What waits for a stream when the graph starts waits for a round trip; now others are being confirmed.
        let mut early = match self.next_host() {
            Some(host) => self.open(host).await.ok(),
            None => return,
        };
        if early.is_none() {
            // Who has the stream is not as far as this host: it will be when somebody wants rows.
            let wanted = poll_fn(|cx| self.engine.poll_pull(self.edge, cx)).await;
            if wanted.is_ok_and(|pull| pull.is_goodbye()) {
                // Whoever has not been heard of need not be taken leave of.
                return;
            }
        }
        let mut wait = RETRY.0;
        let mut lost: Option<NodeId> = None;
        // The edge may go while nobody can be told: then there is nothing left to open.
        while self.engine.is_upstream(self.edge) {
            let Some(host) = self.next_host() else {
                return;
            };
            let opened = match early.take() {
                Some(opened) => Ok(opened),
                None => self.open(host).await,
            };
            match opened {
                Ok(stream) => {
                    if let Some(host) = lost.take() {
                        self.tell(PartEvent::Reconnected { host }).await;
                    }
                    let opened = self.clock.now();
                    // What it then says holds all that a new stream must know.
                    self.engine.reconnected(self.edge);
                    let (end, next) = self.receive(host, stream).await;
                    match end {
                        EdgeEnd::Ended => return,
                        EdgeEnd::Left => {
                            early = next;
                            continue;
                        }
                        EdgeEnd::Closed | EdgeEnd::Broken(_) => {}
                        EdgeEnd::Garbled(_) | EdgeEnd::Unsendable(_) => {
                            tracing::warn!(%host, "an edge broke: {end}");
                        }
                    }
                    // Only a stream that lasted is tried again at once: not one that is accepted and broken each time.
                    if self.clock.now().since(opened) >= RETRY.1 {
                        wait = RETRY.0;
                    }
                }
                Err(OpenError::Refused(reason)) => {
                    tracing::debug!(%host, reason, "an edge was refused");
                }
                Err(OpenError::Unreachable(_)) => wait = (wait * 2).min(RETRY.1),
            }
            if lost.is_none() && wait > RETRY.0 {
                self.tell(PartEvent::Disconnected { host }).await;
                lost = Some(host);
            }
            // Whoever comes up again cannot say so to those that it does not know.
            let mut host = self.host.clone();
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = host.changed() => wait = RETRY.0,
            }
        }
    }

    /// Receives by a stream until it ends, or the one of the next host is open: then that is given too, and nothing was missed in between.
    async fn receive(
        &mut self,
        host: NodeId,
        stream: (FrameSender, FrameReceiver),
    ) -> (EdgeEnd, Option<(FrameSender, FrameReceiver)>) {
        let mut next = None;
        let elsewhere = async { next = self.open_elsewhere().await };
        let end = edge::receive_batches(
            self.engine.clone(),
            self.edge,
            Arc::clone(&self.schema),
            stream,
            self.clock.clone(),
            || self.half_round_trip(host),
            elsewhere,
        )
        .await;
        (end, next)
    }

    /// Waits until the stream is to be had elsewhere, and is open there; nothing where it has come here.
    async fn open_elsewhere(&self) -> Option<(FrameSender, FrameReceiver)> {
        let mut changes = self.host.clone();
        if changes.changed().await.is_err() {
            // Nobody can say so any more.
            return std::future::pending().await;
        }
        let mut wait = RETRY.0;
        loop {
            let host = *changes.borrow_and_update();
            match self.open(host?).await {
                Ok(opened) => return Some(opened),
                Err(error) => tracing::debug!(?host, "not open yet: {error}"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Who has the stream now.
    fn next_host(&mut self) -> Option<NodeId> {
        *self.host.borrow_and_update()
    }

    async fn open(&self, host: NodeId) -> Result<(FrameSender, FrameReceiver), OpenError> {
        let hello = wire::encode(&self.hello);
        self.network.open(host, hello).await
    }

    /// Half of the round trip to the host, as far as it is known.
    fn half_round_trip(&self, host: NodeId) -> Duration {
        let known = self
            .round_trips
            .lock()
            .map(|known| known.get(&host).copied());
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
