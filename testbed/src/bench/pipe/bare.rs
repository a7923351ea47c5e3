//! Bytes over a data stream of the overlay with nothing at its ends: what a way gives at most.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::Clock;
use node::clock::MachineClock;
use overlay::net::{Event, FrameReceiver, FrameSender};

use super::network;

/// How large frames are. Unit: bytes. Source: that of pieces of a state, [`engine::state::PIECE_BYTES`].
const FRAME_BYTES: usize = engine::state::PIECE_BYTES;

/// How long so many bytes take from one node to another in this process, over a stream that is new and whose way takes `delay`: from when
/// the first frame is there to when the last is.
///
/// # Errors
/// When the nodes do not find one another, or the stream breaks.
pub(crate) fn transfer(delay: Duration, bytes: usize) -> anyhow::Result<Duration> {
    let tasks = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    tasks.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
        let (first, mut events) = network::start(1, Vec::new(), Arc::clone(&clock), delay).await?;
        let join = first.addresses();
        let (second, mut heard) = network::start(2, join, Arc::clone(&clock), delay).await?;
        let host = network::first_seen(&mut heard).await?;
        let accept = async {
            loop {
                if let Event::Incoming(incoming) = events.recv().await.context("it has ended")? {
                    return incoming.accept().await.context("the peer is gone");
                }
            }
        };
        let opened = async { Ok(second.open(host, network::BARE.to_vec()).await?) };
        let (near, far) = tokio::try_join!(opened, accept)?;
        let taken = receive(near.1, bytes, &*clock);
        let (taken, ()) = tokio::try_join!(taken, send(far.0, bytes))?;
        second.leave().await;
        first.leave().await;
        Ok(taken)
    })
}

async fn send(mut sender: FrameSender, bytes: usize) -> anyhow::Result<()> {
    let frame = vec![7; FRAME_BYTES];
    let mut left = bytes;
    while left > 0 {
        let next = left.min(FRAME_BYTES);
        sender.send(&frame[..next]).await?;
        left -= next;
    }
    Ok(sender.flush().await?)
}

async fn receive(
    mut receiver: FrameReceiver,
    bytes: usize,
    clock: &dyn Clock,
) -> anyhow::Result<Duration> {
    let (mut received, mut since) = (0, None);
    while received < bytes {
        let frame = receiver.receive().await?.context("it ended too early")?;
        received += frame.len();
        since.get_or_insert_with(|| clock.now());
    }
    Ok(since.map_or(Duration::ZERO, |since| clock.now().since(since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_a_way_once_their_stream_has_grown() {
        let delay = Duration::from_millis(20);
        let least = transfer(delay, FRAME_BYTES).expect("nodes on this machine");
        assert!(least < delay, "one frame is there at once: {least:?}");
        let more = transfer(delay, 4 * FRAME_BYTES).expect("nodes on this machine");
        assert!(more >= delay, "what is beyond a window waits: {more:?}");
    }
}
