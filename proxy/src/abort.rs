//! Connections of bytes that do not come to a good end, told apart from those that do.
//!
//! In clear text the end of a connection says nothing of why: to whoever goes by it, what was cut is whole. A reset says it. Over
//! TLS nothing is needed: an end without `close_notify` is no good one, and streams of HTTP/2 are reset when they are dropped.

use daemon::socket::Socket;
use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// Something that can end badly.
pub(crate) trait Abort {
    /// Its end, soon, is no good one, and whoever is at the other end hears that.
    fn abort(&self);
}

impl Abort for Socket {
    fn abort(&self) {
        self.reset_at_end();
    }
}

impl<S> Abort for TlsStream<S> {
    fn abort(&self) {}
}

impl<S: Abort + ?Sized> Abort for Box<S> {
    fn abort(&self) {
        (**self).abort();
    }
}

/// Ends badly, whoever drops it, unless it was shut down before: then it was told that all has been said, and what else breaks
/// off is what it says itself.
pub(crate) struct Abrupt<S: Abort> {
    io: S,
    is_well: bool,
}

impl<S: Abort> Abrupt<S> {
    /// Until it is shut down.
    pub(crate) fn new(io: S) -> Self {
        Self { io, is_well: false }
    }
}

impl<S: Abort> Drop for Abrupt<S> {
    fn drop(&mut self) {
        if !self.is_well {
            self.io.abort();
        }
    }
}

impl<S: Abort + AsyncRead + Unpin> AsyncRead for Abrupt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: Abort + AsyncWrite + Unpin> AsyncWrite for Abrupt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
        self.is_well |= shut.is_ok();
        Poll::Ready(shut)
    }
}
