//! Connections: no more than are allowed, and none that nothing happens on.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// How many connections are open at once; the next wait to be accepted.
///
/// Unit: count. Source: guess; far above what people and one Prometheus need, far below a limit of open files.
const CONNECTIONS_MAX: usize = 128;

/// How long nothing may come or go on a connection before it is closed. Longer than a tap is silent.
///
/// Unit: time. Source: guess.
const IDLE_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(IDLE_MAX.as_secs() > super::tap::SILENCE_MAX.as_secs());

/// A listener that has so many connections and no more.
#[derive(Debug)]
pub(super) struct Limited {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("nobody closes the permits");
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Answers are small: nothing is won by waiting for more. Without it they only come later.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            stream,
            idle: Box::pin(sleep(IDLE_MAX)),
            _permit: permit,
        };
        (connection, peer)
    }

    fn local_addr(&self) -> Result<Self::Addr, Error> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing happens on it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// What became of reading or writing, or that it takes too long.
    fn bounded<T>(
        &mut self,
        context: &mut Context<'_>,
        became: Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        if became.is_ready() {
            self.idle.set(sleep(IDLE_MAX));
            return became;
        }
        self.idle
            .as_mut()
            .poll(context)
            .map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.bounded(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
