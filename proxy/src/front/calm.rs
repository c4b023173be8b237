//! Counts what an HTTP/2 client makes us do and how much of a head it sends, and ends the connection when it is too much.
//!
//! Bytes pass unchanged. On a [`Flood`](super::flood::Flood) the client is told so (RFC 9113 §7), where a frame may begin, and
//! reading fails: hyper then ends the connection. What is read and written is looked at once, frame heads only.

use super::bucket::Bucket;
use super::ends::{Ends, TOO_MANY_STREAMS, reason};
use super::last::Last;
use super::tally::Tally;
use crate::exchange::Facts;
use crate::trail;
use config::sidecar::Limits;
use config::unit::Rate;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose frames are counted.
pub(crate) struct Calm<S> {
    stream: S,
    facts: Arc<Facts>,
    tally: Tally,
    began: Instant,
    last: Last,
    /// How many ends are still logged: each is one frame of a stranger.
    logged: Bucket,
}

/// So much is logged of what h2 ends on one connection.
const LOGGED: Rate = Rate {
    times: 10,
    per: Duration::from_secs(1),
};

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
            logged: Bucket::new(LOGGED),
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
    fn went(&mut self, bytes: &[u8]) {
        let Self {
            tally,
            facts,
            logged,
            began,
            ..
        } = self;
        tally.went(bytes, |ends| {
            told(facts, ends, || logged.take(began.elapsed()));
        });
    }
}

/// What h2 ended by itself is counted, since it shows nobody why, and logged where that may be.
fn told(facts: &Facts, ends: Ends, may_log: impl FnOnce() -> bool) {
    let (code, error) = match ends {
        // It may be the end of an answer of ours, which its exchange tells.
        Ends::Stream(_) if facts.reset_itself() => return,
        Ends::Stream(code) => (code, "HTTP/2 ended its stream"),
        Ends::Connection(code) => (code, "HTTP/2 ended its connection"),
    };
    let Some(reason) = reason(code) else { return };
    if matches!(ends, Ends::Connection(_)) {
        facts.condemn(reason);
    }
    match reason {
        TOO_MANY_STREAMS => _ = facts.limits_it(reason),
        _ => facts.metrics.refused_head(reason),
    }
    if may_log() {
        facts.tell(reason, &format!("{error}: {:?}", h2::Reason::from(code)));
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
            match flood.is_limit() {
                true => this.facts.limited(flood.reason()),
                false => this.facts.breaks(flood.reason(), &flood.to_string()),
            }
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
        self.went(&buf[..written]);
        Poll::Ready(Ok(written))
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let part = buf.len().min(left);
            self.went(&buf[..part]);
            left -= part;
        }
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
