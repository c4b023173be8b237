//! A socket whose server's frames of HTTP/2 are looked at before h2 does: how large its heads are, and what its settings offer.
//!
//! Bytes pass as [`Answers`] lets them. Where it says that h2 would make something else of them, reading fails, and the connection
//! ends with whatever is under way on it.

use crate::front::{Answers, Wrong};
use std::io::{Error, IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// What was learned of the frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Said {
    wrong: OnceLock<Wrong>,
    /// Whether its settings offer extended CONNECT, once h2 has taken them in.
    pub(super) offers_connect: watch::Sender<Option<bool>>,
}

impl Said {
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
        if let Err(wrong) = this.answers.came(&mut buf.filled_mut()[before..]) {
            // Only the first is told.
            let _ = this.said.wrong.set(wrong);
            return Poll::Ready(Err(Error::other(wrong.reason())));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
