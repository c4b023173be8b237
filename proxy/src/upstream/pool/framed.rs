//! A socket whose server's frames of HTTP/2 are looked at before h2 does: how large its heads are, and what its settings offer.
//!
//! Bytes pass as [`Answers`] lets them: that its server will end is kept from h2 where requests may be waiting for their streams.
//! Where it says that h2 would make something else of them, reading fails, and the connection ends with whatever is under way on it.

use crate::front::{Answers, Notice, Wrong};
use std::io::{Error, IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// What was learned of the frames of one connection.
#[derive(Debug)]
pub(super) struct Said {
    /// Requests that use it.
    pub(super) streams: AtomicUsize,
    /// So many streams its server takes at a time, once h2 has taken its settings in.
    pub(super) streams_max: AtomicUsize,
    /// Its server will end it, and h2 does not know.
    will_end: AtomicBool,
    /// A request that h2 drops may have been sent.
    is_unsure: AtomicBool,
    wrong: OnceLock<Wrong>,
    /// Whether its settings offer extended CONNECT, once h2 has taken them in.
    pub(super) offers_connect: watch::Sender<Option<bool>>,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            streams: AtomicUsize::new(0),
            streams_max: AtomicUsize::new(usize::MAX),
            will_end: AtomicBool::new(false),
            is_unsure: AtomicBool::new(false),
            wrong: OnceLock::new(),
            offers_connect: watch::Sender::default(),
        }
    }
}

impl Said {
    /// Whether requests may be waiting for their streams, because there are as many as may be.
    fn is_crowded(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > self.streams_max.load(Ordering::Relaxed)
    }
    /// Whether its server has said that it will end it, and h2 does not know: it takes no more requests.
    pub(super) fn will_end(&self) -> bool {
        self.will_end.load(Ordering::Relaxed)
    }
    /// Whether a request may have been sent that h2 drops before its stream is known to be open: writing failed midway, or h2
    /// was told that the connection will end, with which it drops such a request, and sends its head when another stream ends.
    pub(super) fn is_unsure(&self) -> bool {
        self.is_unsure.load(Ordering::Relaxed)
    }
    /// Whether the server's settings offer extended CONNECT (RFC 8441 §3): nobody may ask for it before they do. Waits for them;
    /// `false` too when they do not come in time.
    pub(super) async fn offers_connect(&self, within: Duration) -> bool {
        let mut offers = self.offers_connect.subscribe();
        let said = timeout(within, offers.wait_for(Option::is_some)).await;
        said.is_ok_and(|said| said.is_ok_and(|said| *said == Some(true)))
    }
    /// Why the connection was ended, where its server's frames are the reason.
    pub(super) fn wrong(&self) -> Option<Wrong> {
        self.wrong.get().copied()
    }
}

/// A socket under watch.
#[derive(Debug)]
pub(super) struct Framed<S> {
    io: S,
    answers: Answers,
    said: Arc<Said>,
    /// Told when h2 has taken the server's settings in.
    settling: Option<oneshot::Sender<()>>,
}

impl<S> Framed<S> {
    /// Watches a socket to a server whose heads may have so many bytes.
    pub(super) fn new(io: S, header_bytes: usize) -> (Self, Watching) {
        let said: Arc<Said> = Arc::default();
        let (settling, settled) = oneshot::channel();
        let framed = Self {
            io,
            answers: Answers::new(header_bytes),
            said: said.clone(),
            settling: Some(settling),
        };
        (framed, Watching { said, settled })
    }
}

/// What is to be known of a socket under watch.
#[derive(Debug)]
pub(super) struct Watching {
    /// What is learned of it.
    pub(super) said: Arc<Said>,
    /// Told when h2 has taken the server's settings in.
    pub(super) settled: oneshot::Receiver<()>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = &mut *self;
        // h2 reads on only when it has taken in, and answered, what it was given before.
        if this.answers.has_settled()
            && let Some(settling) = this.settling.take()
        {
            // Nobody waits for it where the connection is ending.
            let _ = settling.send(());
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.answers.keeps_notices(this.said.is_crowded());
        let came = this.answers.came(&mut buf.filled_mut()[before..]);
        match this.answers.notice() {
            Notice::None => {}
            Notice::Kept => this.said.will_end.store(true, Ordering::Relaxed),
            Notice::Passed => this.said.is_unsure.store(true, Ordering::Relaxed),
        }
        if let Err(wrong) = came {
            // Only the first is told.
            let _ = this.said.wrong.set(wrong);
            return Poll::Ready(Err(Error::other(wrong.reason())));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Framed<S> {
    /// So many of these bytes went.
    fn went<'b>(&mut self, bytes: impl IntoIterator<Item = &'b [u8]>, mut count: usize) {
        for bytes in bytes {
            let here = count.min(bytes.len());
            self.answers.went(&bytes[..here]);
            count -= here;
        }
    }
    /// What was written before writing failed may have come.
    fn wrote<T>(&self, wrote: Poll<Result<T>>) -> Poll<Result<T>> {
        if let Poll::Ready(Err(_)) = &wrote {
            self.said.is_unsure.store(true, Ordering::Relaxed);
        }
        wrote
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, buf);
        let count = ready!(self.wrote(wrote))?;
        self.went([buf], count);
        Poll::Ready(Ok(count))
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        let count = ready!(self.wrote(wrote))?;
        self.went(bufs.iter().map(|buf| &buf[..]), count);
        Poll::Ready(Ok(count))
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let wrote = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(wrote)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
