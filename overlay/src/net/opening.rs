//! How a data stream begins: the hello of who opens it, and the answer of who is asked.
//!
//! That a substream was negotiated says nothing of whether anybody wants it: only the answer does.

use std::io;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use model::NodeId;
use tokio::time::timeout;

use super::OpenError;
use super::frames::{FrameReceiver, FrameSender, halves};
use super::gauge::{Held, Refused, Sent};

/// The largest hello. Unit: bytes. Source: the contract of [`super::Network::open`].
pub(super) const HELLO_BYTES_MAX: usize = 64 << 10;

/// The longest reason of a refusal. Unit: bytes. Source: the contract of [`Incoming::refuse`].
const REASON_BYTES_MAX: usize = 1 << 10;

/// How long a hello may take to arrive. Unit: time. Source: guess; one round trip suffices.
const HELLO_TIME: Duration = Duration::from_secs(3);

/// How long an answer may take to leave. Unit: time. Source: guess.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The answers: a byte, and behind a refusal the length of its reason in two bytes, and the reason.
const ACCEPTED: u8 = 1;
const REFUSED: u8 = 2;

/// A data stream that a peer wants to open: accepted or refused by whoever gets it.
///
/// Dropping it tells the peer nothing but that the stream is gone.
#[derive(Debug)]
pub struct Incoming {
    /// Who opens it.
    pub from: NodeId,
    /// What for, at most 64 KiB.
    pub hello: Vec<u8>,
    stream: Stream,
    /// Its place among the data streams of the peer.
    held: Held,
    sent: Sent,
    /// Its places among those that wait for an answer: of the peer, and in all.
    _waiting: [Held; 2],
}

impl Incoming {
    /// Takes the stream: the peer hears that it is open.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn accept(mut self) -> Result<(FrameSender, FrameReceiver), io::Error> {
        timeout(ANSWER_TIME, say(&mut self.stream, &[ACCEPTED])).await??;
        Ok(halves(self.stream, Some(self.held), self.sent))
    }

    /// Refuses the stream with a reason of at most 1 KiB.
    pub async fn refuse(mut self, reason: &str) {
        let reason = &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let length = u16::try_from(reason.len()).expect("a reason is shorter than its bound");
        let answer = [&[REFUSED], &length.to_le_bytes()[..], reason].concat();
        let said = timeout(ANSWER_TIME, async {
            say(&mut self.stream, &answer).await?;
            self.stream.close().await
        });
        // A peer that is gone by now needs no answer.
        drop(said.await);
    }
}

async fn say(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Hears what a peer wants a stream for; nothing where it does not say so in time and within its bound.
pub(super) async fn hear(
    from: NodeId,
    mut stream: Stream,
    held: Held,
    waiting: [Held; 2],
    (refused, sent): (&Refused, Sent),
) -> Option<Incoming> {
    let heard = timeout(HELLO_TIME, async {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > HELLO_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut hello = vec![0; length];
        stream.read_exact(&mut hello).await?;
        io::Result::Ok(hello)
    });
    let hello = match heard.await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            refused.count("hello too large");
            return None;
        }
        // It closed the stream or the connection: it no longer wants it.
        Ok(Err(_)) => {
            refused.count("stream without a hello");
            return None;
        }
        Err(_) => {
            refused.count("no hello in time");
            return None;
        }
    };
    Some(Incoming {
        from,
        hello,
        stream,
        held,
        sent,
        _waiting: waiting,
    })
}

/// Says what a stream is opened for, and awaits the answer. The caller bounds the time.
pub(super) async fn ask(
    to: NodeId,
    mut stream: Stream,
    (held, sent): (Option<Held>, Sent),
    hello: &[u8],
) -> Result<(FrameSender, FrameReceiver), OpenError> {
    let length = u32::try_from(hello.len()).expect("a hello is shorter than its bound");
    let said = [&length.to_le_bytes(), hello].concat();
    let answer = async {
        say(&mut stream, &said).await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await?;
        if answer == [ACCEPTED] {
            return Ok(None);
        }
        if answer != [REFUSED] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut length = [0; 2];
        stream.read_exact(&mut length).await?;
        let length = usize::from(u16::from_le_bytes(length)).min(REASON_BYTES_MAX);
        let mut reason = vec![0; length];
        stream.read_exact(&mut reason).await?;
        io::Result::Ok(Some(String::from_utf8_lossy(&reason).into_owned()))
    };
    match answer.await {
        Ok(None) => Ok(halves(stream, held, sent)),
        Ok(Some(reason)) => Err(OpenError::Refused(reason)),
        Err(_) => Err(OpenError::Unreachable(to)),
    }
}
