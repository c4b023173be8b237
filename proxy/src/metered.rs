//! An accepted socket whose bytes are counted as they pass, so that somebody can ask how many did.
//!
//! What is counted is what the network carries: of a TLS connection its handshake and its records. Whoever reads the counts
//! does so without a lock, and costs the connection nothing.

use crate::abort::Abort;
use crate::far_end::{FarEnd, Gone};
use daemon::socket::Socket;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    came: AtomicU64,
    went: AtomicU64,
}

impl Passed {
    /// From its other end.
    pub(crate) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
    /// To its other end.
    pub(crate) fn went(&self) -> u64 {
        self.went.load(Ordering::Relaxed)
    }
}

/// One task at a time reads and writes a socket: no need for more than a load and a store.
fn add(count: &AtomicU64, bytes: usize) {
    let sum = count.load(Ordering::Relaxed).wrapping_add(bytes as u64);
    count.store(sum, Ordering::Relaxed);
}

/// A socket, counted.
#[derive(Debug)]
pub(crate) struct Metered {
    socket: Socket,
    passed: Arc<Passed>,
}

impl Metered {
    /// Counts in `passed` from now on.
    pub(crate) fn new(socket: Socket, passed: Arc<Passed>) -> Self {
        Self { socket, passed }
    }
    /// The first bytes that wait, left where they are: [`Socket::peek`].
    pub(crate) async fn peek(&self, buf: &mut [u8]) -> Result<usize> {
        self.socket.peek(buf).await
    }
}

impl Abort for Metered {
    fn abort(&self) {
        self.socket.abort();
    }
}

impl FarEnd for Metered {
    fn gone(&self) -> Result<Gone> {
        FarEnd::gone(&self.socket)
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        add(&self.passed.came, buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, buf))?;
        add(&self.passed.went, written);
        Poll::Ready(Ok(written))
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, bufs))?;
        add(&self.passed.went, written);
        Poll::Ready(Ok(written))
    }
    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
