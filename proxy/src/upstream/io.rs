//! A socket to an upstream, in clear text or in TLS, and the moment at which it is cut.

use super::disbelief::{Disbelief, First};
use crate::abort::Abort;
use crate::clock::Passed;
use daemon::socket::Socket;
use std::io::{Error, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Io {
    /// In clear text.
    Plain(Socket),
    /// To a server that was judged.
    Tls(Box<TlsStream<Socket>>),
}

macro_rules! each {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Io::Plain($io) => $call,
            Io::Tls($io) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

impl Abort for Io {
    fn abort(&self) {
        match self {
            Io::Plain(io) => io.abort(),
            Io::Tls(_) => {}
        }
    }
}

/// How many connections are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened(Arc<AtomicUsize>);

impl Opened {
    /// One more, until what this returns is dropped.
    pub(crate) fn enter(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(self.0.clone())
    }
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that is cut at a moment of the wall clock.
#[derive(Debug)]
pub(crate) struct Ending {
    io: Io,
    cut: Passed,
    first: First,
    heard: Arc<AtomicBool>,
}

impl Ending {
    /// Cut when `cut` resolves; whether its server believes us is told to `disbelief`.
    pub(crate) fn new(io: Io, cut: Passed, disbelief: Disbelief) -> Self {
        let first = First::of(disbelief, matches!(io, Io::Tls(_)));
        let heard = Arc::default();
        Self {
            io,
            cut,
            first,
            heard,
        }
    }
    /// Set whenever a byte comes; for its user to unset.
    pub(crate) fn heard(&self) -> Arc<AtomicBool> {
        self.heard.clone()
    }
    fn written<T>(&mut self, cx: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        match written {
            Poll::Ready(Err(error)) => self.first.unwritten(&mut self.io, cx, error).map(Err),
            written => written,
        }
    }
    /// Whoever uses the socket is woken when its time has come, because reading from it waits for that too.
    fn check(&mut self, cx: &mut Context<'_>) -> Result<()> {
        match Pin::new(&mut self.cut).poll(cx) {
            Poll::Ready(()) => Err(Error::other("a certificate on this connection has ended")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Ending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        self.first.heard(&read, before, buf);
        read
    }
}

impl AsyncWrite for Ending {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.check(cx)?;
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(cx, written)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.check(cx)?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.written(cx, flushed)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
