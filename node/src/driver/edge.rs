//! Edges between hosts: frames between an engine and a data stream, both ways.
//!
//! Nothing is kept here. Of a stream that breaks, the engine's edge stays, and a new stream goes on with it:
//! whoever opens that says [`Handle::reconnected`]. While an edge is idle, its tasks sleep on wakers.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::frame::{self, EncodeError, FrameError};
use engine::runtime::{Ended, Handle};
use engine::transit::Transit;
use model::{Clock, EdgeId};
use overlay::net::{FrameReceiver, FrameSender};

const _: () = assert!(
    frame::BYTES_MAX <= overlay::net::FRAME_BYTES_MAX,
    "the overlay carries every frame that the engine makes"
);

/// By how much the transit of an edge must have moved before budgets follow.
///
/// Unit: fraction of what was told last, and time. Source: design, of budgets: 5 % of a target; below 100 us no target
/// can tell.
const TRANSIT_STEP: (u32, Duration) = (20, Duration::from_micros(100));

/// Over how many batches the transit of an edge is averaged.
///
/// Unit: batches. Source: guess; one that waited long must not move budgets.
const TRANSIT_BATCHES: u32 = 8;

/// Why an edge no longer uses a data stream.
#[derive(Debug, thiserror::Error)]
pub enum EdgeEnd {
    /// The edge is no longer here, and the peer was told all that there was to tell.
    #[error("the edge has ended")]
    Ended,
    /// The peer has closed the stream in order.
    #[error("the peer closed the stream")]
    Closed,
    /// The stream broke: another one may go on.
    #[error("the stream broke: {0}")]
    Broken(#[from] io::Error),
    /// The peer sent what is no frame. Whatever comes behind it cannot be trusted.
    #[error("the peer sent no frame: {0}")]
    Garbled(#[from] FrameError),
    /// Something here cannot be sent, now and ever: the edge cannot go on.
    #[error("a batch cannot be sent: {0}")]
    Unsendable(#[from] EncodeError),
}

impl From<Ended> for EdgeEnd {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

/// Serves the producing end of an edge: sends batches as pulls allow, until one of both ends.
pub async fn send_batches(
    handle: Handle,
    edge: EdgeId,
    sender: FrameSender,
    receiver: FrameReceiver,
    clock: Arc<dyn Clock>,
) -> EdgeEnd {
    either(
        write_batches(&handle, edge, sender, &*clock),
        read_pulls(&handle, edge, receiver),
    )
    .await
}

/// Serves the consuming end of an edge whose batches have this schema: sends pulls as they are due, until one of
/// both ends. `half_round_trip` is the least that was measured of the link.
pub async fn receive_batches(
    handle: Handle,
    edge: EdgeId,
    schema: SchemaRef,
    sender: FrameSender,
    receiver: FrameReceiver,
    clock: Arc<dyn Clock>,
    half_round_trip: impl Fn() -> Duration,
) -> EdgeEnd {
    let reading = Reading {
        handle: &handle,
        edge,
        schema,
        clock: &*clock,
        half_round_trip,
    };
    either(write_pulls(&handle, edge, sender), reading.run(receiver)).await
}

/// Runs both until the first of them ends.
async fn either(
    one: impl Future<Output = Result<(), EdgeEnd>>,
    other: impl Future<Output = Result<(), EdgeEnd>>,
) -> EdgeEnd {
    let ended = tokio::select! {
        ended = one => ended,
        ended = other => ended,
    };
    ended.err().unwrap_or(EdgeEnd::Closed)
}

async fn write_batches(
    handle: &Handle,
    edge: EdgeId,
    mut sender: FrameSender,
    clock: &dyn Clock,
) -> Result<(), EdgeEnd> {
    let opened = clock.now();
    let (mut batches, mut bytes) = (Vec::new(), Vec::new());
    let mut is_flushed = true;
    loop {
        let taken = poll_fn(|cx| match handle.poll_batches(edge, cx, &mut batches) {
            Poll::Pending if !is_flushed => Poll::Ready(None),
            polled => polled.map(Some),
        });
        match taken.await {
            // Nothing more is waiting: what was written must not wait either.
            None => {
                sender.flush().await?;
                is_flushed = true;
                continue;
            }
            Some(Ok(())) => {}
            Some(Err(Ended)) => {
                // Dropping it closes the stream in order.
                sender.flush().await?;
                return Err(EdgeEnd::Ended);
            }
        }
        for batch in batches.drain(..) {
            for piece in frame::pieces(&batch)? {
                bytes.clear();
                frame::encode_batch(clock.now(), opened, &piece, &mut bytes)?;
                sender.send(&bytes).await?;
            }
        }
        is_flushed = false;
    }
}

async fn read_pulls(
    handle: &Handle,
    edge: EdgeId,
    mut receiver: FrameReceiver,
) -> Result<(), EdgeEnd> {
    while let Some(bytes) = receiver.receive().await? {
        let pull = frame::decode_pull(bytes)?;
        // Of an edge that has ended, the peer hears from the other half, which sends what is left.
        let _: Result<(), Ended> = handle.handle_pull(edge, &pull);
    }
    Ok(())
}

async fn write_pulls(
    handle: &Handle,
    edge: EdgeId,
    mut sender: FrameSender,
) -> Result<(), EdgeEnd> {
    let mut bytes = Vec::new();
    loop {
        let Ok(pull) = poll_fn(|cx| handle.poll_pull(edge, cx)).await else {
            sender.flush().await?;
            return Err(EdgeEnd::Ended);
        };
        bytes.clear();
        frame::encode_pull(&pull, &mut bytes)?;
        sender.send(&bytes).await?;
        sender.flush().await?;
    }
}

/// What taking batches off a stream needs.
struct Reading<'r, F> {
    handle: &'r Handle,
    edge: EdgeId,
    schema: SchemaRef,
    clock: &'r dyn Clock,
    half_round_trip: F,
}

impl<F: Fn() -> Duration> Reading<'_, F> {
    async fn run(self, mut receiver: FrameReceiver) -> Result<(), EdgeEnd> {
        let mut transit = Transit::new(self.clock.now());
        let mut usual: Option<Duration> = None;
        let mut told: Option<Duration> = None;
        while let Some(bytes) = receiver.receive().await? {
            let now = self.clock.now();
            let received = frame::decode_batch(bytes, &self.schema, now)?;
            let took = transit.of_frame(now, received.sent, (self.half_round_trip)());
            let average = usual.map_or(took, |usual| {
                (usual * (TRANSIT_BATCHES - 1) + took) / TRANSIT_BATCHES
            });
            usual = Some(average);
            if told.is_none_or(|told| has_moved(told, average)) {
                self.handle.set_transit(self.edge, average);
                told = Some(average);
            }
            self.handle.handle_batch(self.edge, received.after(took));
        }
        Ok(())
    }
}

/// Whether budgets must follow what a transit has come to.
fn has_moved(told: Duration, average: Duration) -> bool {
    let (part, least) = TRANSIT_STEP;
    average.abs_diff(told) > least.max(told / part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_follow_a_transit_by_steps() {
        let millis = Duration::from_millis;
        assert!(!has_moved(millis(100), millis(104)));
        assert!(has_moved(millis(100), millis(106)));
        assert!(!has_moved(Duration::ZERO, Duration::from_micros(99)));
        assert!(has_moved(millis(1), Duration::from_micros(1101)));
    }
}
