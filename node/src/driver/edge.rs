//! An edge between two hosts: the engine's batches and pulls as frames on a data stream.
//!
//! Each end reads and writes at the same time, so that two ends that both have much to say never wait for each
//! other. Frames that are there are written together; when no more are, what was written is flushed.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::frame;
use engine::runtime::Handle;
use engine::transit::Transit;
use model::{Clock, EdgeId};
use overlay::net::{FrameReceiver, FrameSender};

/// Why an edge's stream is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeEnd {
    /// The edge has ended.
    Closed,
    /// The stream broke, or the peer sent what no peer sends: the edge may be opened again.
    Broken(String),
}

/// Sends what the producing end of an edge yields, and takes its reader's pulls, until one of them ends.
pub async fn send_batches(
    engine: &Handle,
    edge: EdgeId,
    sender: FrameSender,
    receiver: FrameReceiver,
    clock: &dyn Clock,
) -> EdgeEnd {
    tokio::select! {
        end = write_batches(engine, edge, sender, clock) => end,
        end = read_pulls(engine, edge, receiver) => end,
    }
}

/// Takes what the consuming end of an edge is sent, and sends its pulls, until one of them ends. Half of the
/// link's round trip is `half_round_trip`.
pub async fn receive_batches(
    engine: &Handle,
    edge: EdgeId,
    schema: &SchemaRef,
    half_round_trip: Duration,
    (sender, receiver): (FrameSender, FrameReceiver),
    clock: &dyn Clock,
) -> EdgeEnd {
    tokio::select! {
        end = read_batches(engine, edge, schema, half_round_trip, receiver, clock) => end,
        end = write_pulls(engine, edge, sender) => end,
    }
}

async fn write_batches(
    engine: &Handle,
    edge: EdgeId,
    mut sender: FrameSender,
    clock: &dyn Clock,
) -> EdgeEnd {
    let opened = clock.now();
    let mut batches = Vec::new();
    let mut bytes = Vec::new();
    let mut is_flushed = true;
    loop {
        let taken = poll_fn(|cx| match engine.poll_batches(edge, cx, &mut batches) {
            Poll::Pending if !is_flushed => Poll::Ready(None),
            polled => polled.map(Some),
        });
        let written = match taken.await {
            None => {
                is_flushed = true;
                sender.flush().await
            }
            Some(Ok(())) => {
                is_flushed = false;
                let mut written = Ok(());
                for batch in batches.drain(..) {
                    written = write_batch(&batch, opened, &mut bytes, &mut sender, clock).await;
                    if written.is_err() {
                        break;
                    }
                }
                written
            }
            Some(Err(_)) => {
                // Whether the last words arrive or not: the edge is over.
                drop(sender.flush().await);
                return EdgeEnd::Closed;
            }
        };
        if let Err(error) = written {
            return EdgeEnd::Broken(error.to_string());
        }
    }
}

async fn write_batch(
    batch: &Arc<engine::Batch>,
    opened: model::Instant,
    bytes: &mut Vec<u8>,
    sender: &mut FrameSender,
    clock: &dyn Clock,
) -> Result<(), std::io::Error> {
    let pieces = frame::pieces(batch).map_err(std::io::Error::other)?;
    for piece in pieces {
        bytes.clear();
        frame::encode_batch(clock.now(), opened, &piece, bytes).map_err(std::io::Error::other)?;
        sender.send(bytes).await?;
    }
    Ok(())
}

async fn read_pulls(engine: &Handle, edge: EdgeId, mut receiver: FrameReceiver) -> EdgeEnd {
    loop {
        let pull = match receiver.receive().await {
            Ok(Some(bytes)) => frame::decode_pull(bytes),
            Ok(None) => return EdgeEnd::Broken("the reader has closed the stream".to_owned()),
            Err(error) => return EdgeEnd::Broken(error.to_string()),
        };
        match pull {
            // An edge that has ended says so to its reader by itself.
            Ok(pull) => drop(engine.handle_pull(edge, &pull)),
            Err(error) => return EdgeEnd::Broken(format!("a pull that is none: {error}")),
        }
    }
}

async fn read_batches(
    engine: &Handle,
    edge: EdgeId,
    schema: &SchemaRef,
    half_round_trip: Duration,
    mut receiver: FrameReceiver,
    clock: &dyn Clock,
) -> EdgeEnd {
    let mut transit = Transit::new(clock.now());
    loop {
        let now_received = match receiver.receive().await {
            Ok(Some(bytes)) => {
                let now = clock.now();
                frame::decode_batch(bytes, schema, now).map(|received| (now, received))
            }
            Ok(None) => {
                return EdgeEnd::Broken("the host that has it closed the stream".to_owned());
            }
            Err(error) => return EdgeEnd::Broken(error.to_string()),
        };
        match now_received {
            Ok((now, received)) => {
                let took = transit.of_frame(now, received.sent, half_round_trip);
                engine.handle_batch(edge, received.after(took));
            }
            Err(error) => return EdgeEnd::Broken(format!("a batch that is none: {error}")),
        }
    }
}

async fn write_pulls(engine: &Handle, edge: EdgeId, mut sender: FrameSender) -> EdgeEnd {
    let mut bytes = Vec::new();
    loop {
        let Ok(pull) = poll_fn(|cx| engine.poll_pull(edge, cx)).await else {
            return EdgeEnd::Closed;
        };
        bytes.clear();
        let written = match frame::encode_pull(&pull, &mut bytes) {
            Ok(()) => sender.send(&bytes).await,
            Err(error) => Err(std::io::Error::other(error)),
        };
        let flushed = match written {
            Ok(()) => sender.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = flushed {
            return EdgeEnd::Broken(error.to_string());
        }
    }
}
