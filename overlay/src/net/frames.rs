//! Data streams: frames behind their lengths, written and read in large pieces.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;

use super::gauge::{Held, Sent};

/// The largest frame of a data stream. Unit: bytes. Source: guess; a batch of 65,536 rows of 256 bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// How much is gathered before it is written without a flush.
///
/// Unit: bytes. Source: measured; 16 to 256 KiB give the same rate over yamux, 100-byte writes a fortieth.
const WRITE_BYTES: usize = 64 << 10;

/// How much is read at once. Unit: bytes. Source: measured with writes of 64 KiB.
const READ_BYTES: usize = 64 << 10;

/// How large a buffer may stay: one large frame does not keep its memory for ever, and frames of a usual size
/// take none anew.
///
/// Unit: bytes. Source: guess; several batches of 1,024 rows.
const KEPT_BYTES: usize = 512 << 10;

/// What stands in place of a length where the sender has closed the stream in order.
const END: u32 = u32::MAX;

/// How long what was not flushed may take to leave when a sender is dropped. Unit: time. Source: guess.
const CLOSE_TIME: Duration = Duration::from_secs(1);

const _: () = assert!(FRAME_BYTES_MAX < END as usize);

/// Both halves of a data stream.
pub(super) fn halves(
    stream: Stream,
    held: Option<Held>,
    sent: Sent,
) -> (FrameSender, FrameReceiver) {
    let held = Arc::new(held);
    let (read, write) = stream.split();
    let sender = FrameSender {
        half: Some(write),
        buffer: Vec::new(),
        written: 0,
        sent,
        held: Arc::clone(&held),
    };
    let receiver = FrameReceiver {
        half: read,
        frames: Frames::default(),
        _held: held,
    };
    (sender, receiver)
}

/// The sending half of a data stream. Frames are coalesced: nothing is sure to leave before a flush.
///
/// Dropping it sends what is left, and closes this direction in order.
#[derive(Debug)]
pub struct FrameSender {
    /// Nothing once the stream broke or was closed.
    half: Option<WriteHalf<Stream>>,
    buffer: Vec<u8>,
    /// How much of the buffer was written: waiting may be given up at any time.
    written: usize,
    sent: Sent,
    held: Arc<Option<Held>>,
}

impl FrameSender {
    /// Puts a frame behind the others, and writes them out where there are 64 KiB of them.
    ///
    /// Where the wait for this is given up, the frame still leaves, once.
    ///
    /// # Errors
    /// When the stream is closed or the frame is larger than [`FRAME_BYTES_MAX`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), io::Error> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.half.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.buffer.len() - self.written >= WRITE_BYTES {
            self.write(WRITE_BYTES).await?;
        }
        let length = u32::try_from(frame.len()).expect("a frame is shorter than its bound");
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(frame);
        if self.buffer.len() - self.written >= WRITE_BYTES {
            self.write(WRITE_BYTES).await?;
        }
        Ok(())
    }

    /// Writes out all frames.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn flush(&mut self) -> Result<(), io::Error> {
        self.write(1).await?;
        let half = self.half.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let flushed = half.flush().await;
        self.judge(flushed)
    }

    /// Writes out all frames and tells the peer that none follows.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn close(mut self) -> Result<(), io::Error> {
        let half = self.half.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let rest = self.buffer.split_off(self.written);
        finish(half, rest).await
    }

    /// Writes until fewer than `least` bytes are left.
    async fn write(&mut self, least: usize) -> Result<(), io::Error> {
        let half = self.half.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        while self.buffer.len() - self.written >= least {
            let written = half.write(&self.buffer[self.written..]).await;
            match written {
                Ok(0) => return self.judge(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.written += count;
                    self.sent.add(count);
                }
                Err(error) => return self.judge(Err(error)),
            }
        }
        self.buffer.drain(..self.written);
        self.written = 0;
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer.shrink_to(WRITE_BYTES);
        }
        Ok(())
    }

    /// A stream that broke once stays broken.
    fn judge(&mut self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.half = None;
        }
        result
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        let (Some(half), Ok(runtime)) = (self.half.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let rest = self.buffer.split_off(self.written);
        let held = Arc::clone(&self.held);
        runtime.spawn(async move {
            // Whatever comes of it, the stream ends here.
            drop(tokio::time::timeout(CLOSE_TIME, finish(half, rest)).await);
            drop(held);
        });
    }
}

async fn finish(mut half: WriteHalf<Stream>, mut rest: Vec<u8>) -> io::Result<()> {
    rest.extend_from_slice(&END.to_le_bytes());
    half.write_all(&rest).await?;
    half.flush().await?;
    half.close().await
}

/// The receiving half of a data stream.
#[derive(Debug)]
pub struct FrameReceiver {
    half: ReadHalf<Stream>,
    frames: Frames,
    _held: Arc<Option<Held>>,
}

impl FrameReceiver {
    /// The next frame; nothing where the peer has closed the stream in order.
    ///
    /// Where the wait for this is given up, nothing is lost.
    ///
    /// # Errors
    /// When the stream broke, or the peer sent a frame larger than [`FRAME_BYTES_MAX`].
    pub async fn receive(&mut self) -> Result<Option<&[u8]>, io::Error> {
        loop {
            match self.frames.advance()? {
                Next::Frame => return Ok(Some(self.frames.frame())),
                Next::End => return Ok(None),
                Next::More => {}
            }
            let count = self.half.read(self.frames.room()).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.frames.filled(count);
        }
    }
}

/// Takes frames out of bytes that arrive in pieces. No I/O.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// The frame that was taken last, its length left out.
    start: usize,
    end: usize,
    filled: usize,
}

/// What [`Frames::advance`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A frame: see [`Frames::frame`].
    Frame,
    /// The sender has closed the stream in order.
    End,
    /// Not all bytes of the next frame are here.
    More,
}

impl Frames {
    /// Goes on to the next frame.
    ///
    /// # Errors
    /// When it is larger than [`FRAME_BYTES_MAX`].
    pub fn advance(&mut self) -> Result<Next, io::Error> {
        let rest = &self.buffer[self.end..self.filled];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            self.compact(4);
            return Ok(Next::More);
        };
        let length = u32::from_le_bytes(*length);
        if length == END {
            return Ok(Next::End);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if rest.len() < length {
            self.compact(4 + length);
            return Ok(Next::More);
        }
        self.start = self.end + 4;
        self.end = self.start + length;
        Ok(Next::Frame)
    }

    /// The frame that was found last.
    pub fn frame(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where the bytes that arrive next are put.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// So many bytes were put into [`Frames::room`].
    pub fn filled(&mut self, count: usize) {
        self.filled += count;
        assert!(self.filled <= self.buffer.len(), "more bytes than room");
    }

    /// Makes room for more of a frame that takes `wanted` bytes from `end` on.
    ///
    /// The buffer grows to twice of what has arrived and not to what a length promises.
    fn compact(&mut self, wanted: usize) {
        if self.end > 0 {
            self.buffer.copy_within(self.end..self.filled, 0);
            self.filled -= self.end;
            self.start = 0;
            self.end = 0;
        }
        let size = wanted.min(2 * self.filled).max(READ_BYTES);
        if self.buffer.len() > size.max(KEPT_BYTES) {
            self.buffer.truncate(size);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).expect("short");
        [&length.to_le_bytes(), bytes].concat()
    }

    /// Feeds bytes in pieces, and gives the frames that came of them and what stood at the end.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, io::Result<Next>) {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        let mut rest = bytes;
        loop {
            match frames.advance() {
                Ok(Next::Frame) => found.push(frames.frame().to_vec()),
                Ok(Next::More) if !rest.is_empty() => {
                    let room = frames.room();
                    let count = piece.min(rest.len()).min(room.len());
                    room[..count].copy_from_slice(&rest[..count]);
                    frames.filled(count);
                    rest = &rest[count..];
                }
                last => return (found, last),
            }
            assert!(frames.buffer.len() <= 2 * bytes.len() + 2 * READ_BYTES);
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(
            sizes in prop::collection::vec(0usize..300_000, 0..5),
            piece in 1usize..70_000,
        ) {
            let sent: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
            let mut bytes: Vec<u8> = sent.iter().flat_map(|bytes| frame(bytes)).collect();
            bytes.extend_from_slice(&END.to_le_bytes());
            let (found, last) = read(&bytes, piece);
            prop_assert_eq!(found, sent);
            prop_assert_eq!(last.expect("an end"), Next::End);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
            drop(read(&bytes, piece));
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_memory_is_taken() {
        let length = u32::try_from(FRAME_BYTES_MAX + 1).expect("fits");
        let (found, last) = read(&length.to_le_bytes(), 4);
        assert!(found.is_empty());
        assert!(last.is_err());
    }

    #[test]
    fn memory_follows_what_arrives_and_not_what_is_promised() {
        let length = u32::try_from(FRAME_BYTES_MAX).expect("fits");
        let bytes = [length.to_le_bytes().as_slice(), &[0; 10]].concat();
        let mut frames = Frames::default();
        assert_eq!(frames.advance().expect("nothing yet"), Next::More);
        frames.room()[..bytes.len()].copy_from_slice(&bytes);
        frames.filled(bytes.len());
        assert_eq!(frames.advance().expect("a promise"), Next::More);
        assert!(frames.buffer.len() <= READ_BYTES);
    }
}
