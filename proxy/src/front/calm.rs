//! Counts what an HTTP/2 client makes us do and how much of a head it sends, and ends the connection when it is too much.
//!
//! Bytes pass unchanged. On a [`Flood`](super::flood::Flood) the client is told so (RFC 9113 §7), where a frame may begin, and
//! reading fails: hyper then ends the connection. What is read and written is looked at once, frame heads only.

use super::last::Last;
use super::tally::Tally;
use crate::exchange::Facts;
use crate::trail;
use config::sidecar::Limits;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose frames are counted.
pub(crate) struct Calm<S> {
    stream: S,
    facts: Arc<Facts>,
    tally: Tally,
    began: Instant,
    last: Last,
}

/// GOAWAY of no stream in particular (RFC 9113 §6.8).
fn go_away(code: u8) -> [u8; 17] {
    [
        0, 0, 8, 7, 0, 0, 0, 0, 0, // eight bytes of kind 7 on stream 0
        0x7f, 0xff, 0xff, 0xff, 0, 0, 0, code,
    ]
}

impl<S: AsyncRead + AsyncWrite + Unpin> Calm<S> {
    /// Counts on a connection that begins.
    pub(crate) fn new(stream: S, facts: Arc<Facts>, limits: &Limits) -> Self {
        Self {
            stream,
            facts,
            tally: Tally::new(
                limits.resets,
                limits.pings,
                limits.header_bytes + trail::BYTES,
            ),
            began: Instant::now(),
            last: Last::default(),
        }
    }
    /// As far as it can be said without waiting for somebody who does not read.
    fn say(&mut self, code: u8, cx: &mut Context<'_>) {
        if self.tally.server_is_between()
            && let Poll::Ready(Ok(_)) = Pin::new(&mut self.stream).poll_write(cx, &go_away(code))
        {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
    }
    fn went(&mut self, bufs: &[IoSlice<'_>], written: usize) {
        let mut left = written;
        for buf in bufs {
            let part = buf.len().min(left);
            self.tally.went(&buf[..part]);
            left -= part;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Calm<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let (came, began) = (&buf.filled()[before..], this.began);
        if came.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let counted = this.tally.came(came, || began.elapsed());
        let (last, in_head) = (this.tally.last(), this.tally.in_head());
        this.facts.activity.frames_came(last, in_head);
        if let Err(flood) = counted {
            // Here, since of what reading failed of nothing is left when h2 has told hyper.
            this.facts.condemn(flood.reason());
            this.facts.limited(flood.reason());
            this.say(flood.code(), cx);
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Calm<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.tally.went(&buf[..written]);
        Poll::Ready(Ok(written))
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.went(bufs, written);
        Poll::Ready(Ok(written))
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.facts.is_asked_to_end() {
            true => this.last.poll(&mut this.stream, cx),
            false => Pin::new(&mut this.stream).poll_shutdown(cx),
        }
    }
}
