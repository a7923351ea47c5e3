//! A connection whose arriving bytes are counted, may be held back, and which can be cut.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, ReusableBoxFuture, WaitForCancellationFutureOwned};

use super::Way;
use super::fused::Fused;

/// How much a delayed connection holds back before it reads no more.
///
/// Unit: bytes. Source: 500 MiB/s over 60 ms.
const HELD_BYTES_MAX: usize = 32 << 20;

/// How much is read at once where bytes are held back. Unit: bytes.
const READ_BYTES: usize = 16 << 10;

/// The signs of life of a peer: what its connections have in common.
#[derive(Debug, Default)]
pub(crate) struct Life {
    bytes: AtomicU64,
    cut: CancellationToken,
}

impl Life {
    /// How many bytes arrived so far: whoever sends anything is alive.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// From now on every read and write fails.
    ///
    /// This is how a connection is ended whose peer does not answer, and one with open streams: closing it in
    /// order would wait for the peer to read, and yamux wakes no stream of a connection that it closes itself.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// A connection with a [`Life`], and a shaped way where one is wanted.
#[derive(Debug)]
pub(crate) struct Held<S> {
    socket: Fused<S>,
    life: Arc<Life>,
    /// Wakes the reader when the connection is cut.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    line: Option<Line>,
}

impl<S: Unpin> Held<S> {
    pub(super) fn new(socket: S, life: Arc<Life>, way: Option<watch::Receiver<Way>>) -> Self {
        Self {
            socket: Fused::new(socket),
            cut: Box::pin(life.cut.clone().cancelled_owned()),
            life,
            line: way.map(Line::new),
        }
    }

    fn is_cut_off(&self) -> bool {
        let line = self.line.as_ref();
        line.is_some_and(|line| line.way.borrow().is_cut)
    }

    /// What became of sending something. Over a way that is cut nobody hears that the peer has closed the connection:
    /// whatever is sent is gone then, and counts as sent.
    fn sent<T>(&self, result: Poll<io::Result<T>>, as_if: T) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(_)) if self.is_cut_off() => Poll::Ready(Ok(as_if)),
            result => result,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.life.check()?;
        let socket = Pin::new(&mut this.socket);
        let read = match &mut this.line {
            None => socket.poll_read(cx, buffer),
            Some(line) => line.poll_read(socket, cx, buffer),
        };
        let Poll::Ready(count) = read else {
            return this
                .cut
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let count = count?;
        let bytes = u64::try_from(count).unwrap_or(0);
        this.life.bytes.fetch_add(bytes, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.life.check()?;
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.sent(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.check()?;
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.sent(flushed, ())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.check()?;
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

/// What arrived and is not due yet, in order.
#[derive(Debug)]
struct Line {
    way: watch::Receiver<Way>,
    /// Wakes the reader when the way has changed.
    changed: ReusableBoxFuture<'static, watch::Receiver<Way>>,
    queue: VecDeque<Arrival>,
    held_bytes: usize,
    /// When the connection ended, and how: after everything before it.
    end: Option<(Instant, io::ErrorKind)>,
    sleep: Pin<Box<Sleep>>,
    scratch: Box<[u8]>,
}

#[derive(Debug)]
struct Arrival {
    at: Instant,
    bytes: Vec<u8>,
    taken: usize,
}

/// Gives a way when it has changed; never, where nobody can change it any more.
async fn changed(mut way: watch::Receiver<Way>) -> watch::Receiver<Way> {
    if way.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    way
}

impl Line {
    fn new(way: watch::Receiver<Way>) -> Self {
        Self {
            changed: ReusableBoxFuture::new(changed(way.clone())),
            way,
            queue: VecDeque::new(),
            held_bytes: 0,
            end: None,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    fn poll_read<S: AsyncRead>(
        &mut self,
        socket: Pin<&mut S>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.take_in(socket, cx);
        while let Poll::Ready(way) = self.changed.poll(cx) {
            self.changed.set(changed(way));
        }
        let way = *self.way.borrow();
        let arrived = match (self.queue.front(), self.end) {
            _ if way.is_cut => return Poll::Pending,
            (Some(first), _) => first.at,
            (None, Some((at, _))) => at,
            (None, None) => return Poll::Pending,
        };
        let due = arrived + way.delay;
        if due > Instant::now() {
            self.sleep.as_mut().reset(due);
            ready!(self.sleep.as_mut().poll(cx));
        }
        let Some(first) = self.queue.front_mut() else {
            let (_, kind) = self.end.expect("there is an end where nothing is queued");
            return match kind {
                io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                kind => Poll::Ready(Err(kind.into())),
            };
        };
        let count = buffer.len().min(first.bytes.len() - first.taken);
        buffer[..count].copy_from_slice(&first.bytes[first.taken..first.taken + count]);
        first.taken += count;
        self.held_bytes -= count;
        if first.taken == first.bytes.len() {
            self.queue.pop_front();
        }
        Poll::Ready(Ok(count))
    }

    /// Takes all that has arrived, with the time at which it did.
    fn take_in<S: AsyncRead>(&mut self, mut socket: Pin<&mut S>, cx: &mut Context<'_>) {
        while self.end.is_none() && self.held_bytes < HELD_BYTES_MAX {
            let Poll::Ready(result) = socket.as_mut().poll_read(cx, &mut self.scratch) else {
                return;
            };
            let at = Instant::now();
            match result {
                Ok(0) => self.end = Some((at, io::ErrorKind::UnexpectedEof)),
                Err(error) => self.end = Some((at, error.kind())),
                Ok(count) => {
                    self.held_bytes += count;
                    self.queue.push_back(Arrival {
                        at,
                        bytes: self.scratch[..count].to_vec(),
                        taken: 0,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    #[tokio::test]
    async fn what_is_held_back_arrives_in_order_and_late_by_the_delay() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let life = Arc::new(Life::default());
        let delay = Duration::from_millis(40);
        let (_way, shaped) = watch::channel(Way {
            delay,
            is_cut: false,
        });
        let mut held = Held::new(near.compat(), Arc::clone(&life), Some(shaped));
        let mut far = far.compat();
        let start = Instant::now();
        far.write_all(b"first").await.expect("room");
        let mut buffer = [0; 5];
        held.read_exact(&mut buffer).await.expect("bytes");
        assert_eq!(&buffer, b"first");
        assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
        far.write_all(&[1; 40_000]).await.expect("room");
        far.write_all(&[2; 10]).await.expect("room");
        drop(far);
        let mut rest = Vec::new();
        held.read_to_end(&mut rest).await.expect("an end");
        assert_eq!(rest, [vec![1; 40_000], vec![2; 10]].concat());
        assert!(start.elapsed() >= delay * 2);
        assert_eq!(life.bytes(), 40_015);
    }

    #[tokio::test]
    async fn over_a_way_that_is_cut_nothing_arrives_and_nobody_hears_of_an_end() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let (way, shaped) = watch::channel(Way::default());
        let mut held = Held::new(near.compat(), Arc::default(), Some(shaped));
        let mut far = far.compat();
        let mut buffer = [0; 1];
        let cut = |is_cut| Way {
            is_cut,
            ..Way::default()
        };
        way.send_replace(cut(true));
        far.write_all(&[7]).await.expect("room");
        drop(far);
        let read = held.read(&mut buffer).now_or_never();
        assert!(read.is_none(), "{read:?}");
        held.write_all(&[1; 64]).await.expect("as if it was sent");
        let healed = async {
            tokio::task::yield_now().await;
            way.send_replace(cut(false));
        };
        let (read, ()) = futures::join!(held.read(&mut buffer), healed);
        assert_eq!(
            (read.expect("a byte"), buffer),
            (1, [7]),
            "who waits is woken"
        );
        assert_eq!(held.read(&mut buffer).await.expect("an end"), 0);
        assert!(held.write_all(&[1; 64]).await.is_err());
    }

    #[tokio::test]
    async fn a_connection_that_was_cut_fails_at_once() {
        let (near, _far) = tokio::io::duplex(16);
        let life = Arc::new(Life::default());
        let mut held = Held::new(near.compat(), Arc::clone(&life), None);
        let cut = async { life.cut() };
        let mut buffer = [0; 4];
        let (read, ()) = futures::join!(held.read(&mut buffer), cut);
        assert!(read.is_err(), "who waits is woken");
        assert!(held.read(&mut [0; 4]).await.is_err());
        assert!(held.write_all(&[0; 64]).await.is_err());
        assert!(held.close().await.is_err());
    }
}
