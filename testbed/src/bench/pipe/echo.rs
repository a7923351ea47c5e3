//! The way there and back: small frames at a steady rate, and who sends them back.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use overlay::net::{FrameReceiver, FrameSender};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How large a frame is, and how many are sent a second. Source: those of the measurements of the design, so that figures can be
/// compared.
const FRAME_BYTES: usize = 1024;
/// See [`FRAME_BYTES`].
const INTERVAL: Duration = Duration::from_millis(2);

/// How long the way there and back took, in microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct RoundTrips {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// Two halves that carry small frames there and back.
#[derive(Debug)]
pub(super) enum Line {
    Synergy(FrameSender, FrameReceiver),
    Tcp(TcpStream),
}

impl Line {
    /// Sends frames for a time and gives how long each was under way.
    pub(super) async fn measure(
        &mut self,
        clock: &Arc<dyn Clock>,
        time: Duration,
    ) -> anyhow::Result<RoundTrips> {
        let mut took = Vec::new();
        let until = clock.now() + time;
        let mut next = tokio::time::interval(INTERVAL);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while clock.now() < until || took.is_empty() {
            next.tick().await;
            let sent = clock.now();
            self.round_trip().await?;
            took.push(clock.now().since(sent));
        }
        took.sort_unstable();
        let at = |part: usize| {
            let place = (took.len() * part / 100).min(took.len() - 1);
            took[place].as_secs_f64() * 1e6
        };
        Ok(RoundTrips {
            p50_us: at(50),
            p99_us: at(99),
        })
    }

    async fn round_trip(&mut self) -> anyhow::Result<()> {
        let mut frame = [7; FRAME_BYTES];
        match self {
            Self::Synergy(sender, receiver) => {
                sender.send(&frame).await?;
                sender.flush().await?;
                anyhow::ensure!(receiver.receive().await?.is_some(), "the line is closed");
            }
            Self::Tcp(stream) => {
                stream.write_all(&frame).await?;
                stream.read_exact(&mut frame).await?;
            }
        }
        Ok(())
    }

    /// Sends back what comes, until nothing does.
    pub(super) async fn serve(self) -> anyhow::Result<()> {
        match self {
            Self::Synergy(mut sender, mut receiver) => {
                while let Some(frame) = receiver.receive().await? {
                    sender.send(frame).await?;
                    sender.flush().await?;
                }
            }
            Self::Tcp(mut stream) => {
                let mut frame = [0; FRAME_BYTES];
                loop {
                    stream.read_exact(&mut frame).await?;
                    stream.write_all(&frame).await?;
                }
            }
        }
        Ok(())
    }
}
