//! Control messages: frames on one long-lived substream in each direction of a pair of nodes.
//!
//! A frame is a length in four bytes, a byte that says what it is, and a body. The writer ends every burst of
//! messages with a question ([`Frame::Ping`]), and the reader's node answers it: what was said before the
//! question has arrived. A substream that nothing was said on for a while is closed in order, after
//! [`Frame::Bye`]; one that ends without it broke.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::io::BufReader;
use futures::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use model::wire::{self, DecodeError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::MESSAGE_BYTES_MAX;
use super::gauge::Held;
use crate::message::Message;

/// After how long without a message a substream is closed. Unit: time. Source: design.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long the rest of a frame may take after its beginning. Unit: time. Source: guess; 1 MiB at 1 Mbit/s.
const FRAME_TIME: Duration = Duration::from_secs(10);

/// How long a substream may take to be negotiated. Unit: time. Source: guess; two round trips.
const OPEN_TIME: Duration = Duration::from_secs(3);

/// How many bytes of frames are written at once. Unit: bytes. Source: as for data streams.
const WRITE_BYTES: usize = 64 << 10;

/// How many bytes of a body are made room for before they arrive. Unit: bytes. Source: guess.
const BODY_BYTES_FIRST: usize = 4 << 10;

/// The size of the reader's buffer. Unit: bytes. Source: guess; most messages are below it.
const READ_BYTES: usize = 4 << 10;

/// What is said to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message of the overlay, encoded.
    Overlay(Vec<u8>),
    /// A message of whoever uses the network.
    Payload(Vec<u8>),
    /// Whether all before this has arrived.
    Ping(u64),
    /// The answer to the ping of this number.
    Pong(u64),
    /// That this node is alive. One that has no data stream with the sender answers it by [`Frame::Pong`].
    Beat,
    /// The substream is closed in order.
    Bye,
}

/// What a peer said.
#[derive(Debug)]
pub(super) enum Heard {
    Overlay(Box<Message>),
    Payload(Vec<u8>),
    Ping(u64),
    Pong(u64),
    Beat,
    /// The substream ended in order.
    Bye,
    /// The substream ended otherwise.
    Broken,
    /// A frame that is none; the next one can be read.
    Garbage(&'static str),
    /// What cannot be read on.
    Nonsense(&'static str),
}

impl Frame {
    /// How much it weighs where it waits. Unit: bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Overlay(bytes) | Self::Payload(bytes) => 5 + bytes.len(),
            Self::Ping(_) | Self::Pong(_) => 13,
            Self::Beat | Self::Bye => 5,
        }
    }

    /// Whether it is a message: something that may get lost, and is missed then.
    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Overlay(_) | Self::Payload(_))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.len() - 4).expect("messages are shorter than their bound");
        out.extend_from_slice(&length.to_le_bytes());
        match self {
            Self::Overlay(bytes) => {
                out.push(1);
                out.extend_from_slice(bytes);
            }
            Self::Payload(bytes) => {
                out.push(2);
                out.extend_from_slice(bytes);
            }
            Self::Ping(number) => {
                out.push(3);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Pong(number) => {
                out.push(4);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Beat => out.push(5),
            Self::Bye => out.push(6),
        }
    }
}

/// What the body of a frame says, its kind being the first byte.
pub(super) fn parse(mut frame: Vec<u8>) -> Heard {
    let Some((kind, body)) = frame.split_first() else {
        return Heard::Garbage("empty control frame");
    };
    let number = |body: &[u8]| body.try_into().map(u64::from_le_bytes);
    match (kind, number(body)) {
        (1, _) => match wire::decode(body) {
            Ok(message) => Heard::Overlay(Box::new(message)),
            Err(error) => Heard::Garbage(reason(&error)),
        },
        (2, _) => {
            frame.remove(0);
            Heard::Payload(frame)
        }
        (3, Ok(number)) => Heard::Ping(number),
        (4, Ok(number)) => Heard::Pong(number),
        (5, _) if body.is_empty() => Heard::Beat,
        (6, _) if body.is_empty() => Heard::Bye,
        (3..=6, _) => Heard::Garbage("damaged control frame"),
        _ => Heard::Garbage("control frame of no kind"),
    }
}

fn reason(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Empty => "empty message",
        DecodeError::Version(_) => "message of another version",
        DecodeError::TooLarge(_) => "message too large",
        DecodeError::Damaged(_) => "damaged message",
        DecodeError::Trailing(_) => "bytes behind a message",
    }
}

/// What a writer and its driver both see.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// What waits to be written. Unit: bytes.
    pub(super) queued_bytes: AtomicUsize,
    /// The number of the last ping.
    pub(super) asked: AtomicU64,
}

/// How a writer came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterEnd {
    /// All was said.
    InOrder,
    /// The substream could not be opened, or broke.
    Broken,
}

/// Writes frames to a peer until there were none for a while, or there are to be no more.
pub(super) async fn write(
    stream: oneshot::Receiver<(Stream, Option<Held>)>,
    mut frames: mpsc::Receiver<Frame>,
    gauge: Arc<Gauge>,
) -> WriterEnd {
    let Ok(Ok((mut stream, _))) = timeout(OPEN_TIME, stream).await else {
        return WriterEnd::Broken;
    };
    match write_frames(&mut stream, &mut frames, &gauge).await {
        Ok(()) => WriterEnd::InOrder,
        Err(_) => WriterEnd::Broken,
    }
}

async fn write_frames(
    stream: &mut Stream,
    frames: &mut mpsc::Receiver<Frame>,
    gauge: &Gauge,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let first = match timeout(IDLE_TIME, frames.recv()).await {
            Ok(first) => first,
            Err(_) => {
                // From here on the driver starts another writer; what it gave to this one still leaves.
                frames.close();
                frames.recv().await
            }
        };
        let Some(first) = first else {
            Frame::Bye.write(&mut buffer);
            stream.write_all(&buffer).await?;
            stream.flush().await?;
            return stream.close().await;
        };
        let mut next = Some(first);
        let mut has_message = false;
        let mut taken_bytes = 0;
        while let Some(frame) = next {
            has_message |= frame.is_message();
            taken_bytes += frame.len();
            frame.write(&mut buffer);
            next = match buffer.len() < WRITE_BYTES {
                true => frames.try_recv().ok(),
                false => None,
            };
        }
        if has_message {
            let number = gauge.asked.fetch_add(1, Ordering::Relaxed) + 1;
            Frame::Ping(number).write(&mut buffer);
        }
        stream.write_all(&buffer).await?;
        stream.flush().await?;
        gauge.queued_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
        buffer.clear();
        buffer.shrink_to(WRITE_BYTES);
    }
}

/// Reads frames and tells of each; the last thing told is how the substream ended.
///
/// Gives up where nobody listens any longer.
pub(super) async fn read<F: Future<Output = bool>>(
    stream: impl AsyncRead + Unpin,
    mut tell: impl FnMut(Heard) -> F,
) {
    let mut stream = BufReader::with_capacity(READ_BYTES, stream);
    loop {
        let heard = read_frame(&mut stream).await;
        let is_last = matches!(heard, Heard::Bye | Heard::Broken | Heard::Nonsense(_));
        if !tell(heard).await || is_last {
            return;
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Heard {
    let mut length = [0; 4];
    // There is no bound on how long a peer has nothing to say.
    if stream.read_exact(&mut length[..1]).await.is_err() {
        return Heard::Broken;
    }
    let rest = async {
        stream.read_exact(&mut length[1..]).await?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(Err("empty control frame"));
        }
        if length > 1 + MESSAGE_BYTES_MAX {
            return Ok(Err("control frame too large"));
        }
        let mut frame = Vec::with_capacity(length.min(BODY_BYTES_FIRST));
        let bound = u64::try_from(length).unwrap_or(u64::MAX);
        stream.take(bound).read_to_end(&mut frame).await?;
        if frame.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        io::Result::Ok(Ok(frame))
    };
    match timeout(FRAME_TIME, rest).await {
        Ok(Ok(Ok(frame))) => parse(frame),
        Ok(Ok(Err(reason))) => Heard::Nonsense(reason),
        Ok(Err(_)) => Heard::Broken,
        Err(_) => Heard::Nonsense("control frame not finished in time"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        assert_eq!(bytes.len(), frame.len());
        bytes
    }

    #[test]
    fn frames_come_back() {
        for (frame, expected) in [
            (Frame::Payload(vec![1, 2]), "Payload([1, 2])"),
            (Frame::Payload(vec![]), "Payload([])"),
            (Frame::Ping(7), "Ping(7)"),
            (Frame::Pong(8), "Pong(8)"),
            (Frame::Beat, "Beat"),
            (Frame::Bye, "Bye"),
            (Frame::Overlay(vec![1, 2, 3, 4]), "Garbage"),
        ] {
            let heard = format!("{:?}", parse(bytes_of(&frame)[4..].to_vec()));
            assert!(heard.starts_with(expected), "{heard}");
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_ends_with_its_reason() {
        let too_large = u32::try_from(MESSAGE_BYTES_MAX + 2).expect("fits");
        for (bytes, expected) in [
            (
                too_large.to_le_bytes().to_vec(),
                "Nonsense(\"control frame too large\")",
            ),
            (vec![0; 4], "Nonsense(\"empty control frame\")"),
            (vec![9, 0, 0], "Broken"),
            (vec![9, 0, 0, 0, 1], "Broken"),
            (vec![], "Broken"),
            (
                vec![1, 0, 0, 0, 77],
                "Garbage(\"control frame of no kind\")",
            ),
            (vec![2, 0, 0, 0, 3, 1], "Garbage(\"damaged control frame\")"),
        ] {
            let heard = read_frame(&mut bytes.as_slice()).await;
            assert_eq!(format!("{heard:?}"), expected);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            // What comes of them does not matter; that it comes does.
            drop(parse(bytes));
        }
    }
}
