//! A socket that is not touched any more once it has failed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

/// A socket that goes on failing once it has failed.
///
/// Below it lies the negotiation of the multiplexer, which panics when it is asked again after an error, and above it a multiplexer that
/// asks: a peer that hangs up at the wrong moment would end the task of the connection without a word.
#[derive(Debug)]
pub(super) struct Fused<S> {
    socket: S,
    failed: Option<io::ErrorKind>,
}

impl<S: Unpin> Fused<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self {
            socket,
            failed: None,
        }
    }

    /// Asks the socket something, unless it has failed before.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Some(kind) = self.failed {
            return Poll::Ready(Err(kind.into()));
        }
        let answer = question(Pin::new(&mut self.socket));
        if let Poll::Ready(Err(error)) = &answer {
            self.failed = Some(error.kind());
        }
        answer
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fused<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.ask(|socket| socket.poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fused<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.ask(|socket| socket.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ask(|socket| socket.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ask(|socket| socket.poll_close(cx))
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Fails, and panics when it is asked again.
    struct Once(bool);

    impl Once {
        fn fail<T>(&mut self) -> Poll<io::Result<T>> {
            assert!(!std::mem::replace(&mut self.0, true), "asked again");
            Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    impl AsyncRead for Once {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.fail()
        }
    }

    impl AsyncWrite for Once {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.fail()
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.fail()
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.fail()
        }
    }

    #[tokio::test]
    async fn what_has_failed_fails_the_same_way_without_being_asked() {
        let mut socket = Fused::new(Once(false));
        let kinds = [
            socket.read(&mut [0]).await.map(drop),
            socket.flush().await,
            socket.write(&[0]).await.map(drop),
            socket.close().await,
        ];
        for end in kinds {
            let error = end.expect_err("it has failed");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
