//! Writes interim answers ahead of the final one, which hyper's server cannot (hyper#4114).
//!
//! They are written where hyper has handed on all that it had: hyper flushes then, and whatever it wrote last was whole or is
//! followed by nothing else yet. That is never within an answer to an earlier request, since the next is looked at only after
//! the first attempt to flush.

use crate::abort::Abort;
use crate::exchange::Facts;
use crate::far_end::{FarEnd, Gone};
use bytes::{Buf, Bytes};
use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A caller's socket, to which interim answers may be written.
pub(crate) struct Ahead<S> {
    stream: S,
    facts: Arc<Facts>,
    /// What is being written.
    rest: Bytes,
    /// Whether all was handed on that hyper had.
    is_between: bool,
}

impl<S> Ahead<S> {
    /// On a connection that begins.
    pub(crate) fn new(stream: S, facts: Arc<Facts>) -> Self {
        Self {
            stream,
            facts,
            rest: Bytes::new(),
            is_between: true,
        }
    }
}

impl<S: AsyncWrite + Unpin> Ahead<S> {
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.is_between
            && self.rest.is_empty()
            && let Some(next) = self.facts.interims.take()
        {
            self.rest = next;
        }
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
            self.facts.activity.moved();
        }
        Poll::Ready(Ok(()))
    }
    /// Before hyper writes.
    fn poll_before(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_ahead(cx))?;
        self.is_between = false;
        self.facts.interims.passed();
        Poll::Ready(Ok(()))
    }
}

impl<S: Abort> Abort for Ahead<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}

impl<S: FarEnd> FarEnd for Ahead<S> {
    fn gone(&self) -> Result<Gone> {
        self.stream.gone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        ready!(self.poll_before(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        ready!(self.poll_before(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.is_between = true;
        ready!(self.poll_ahead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_ahead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
