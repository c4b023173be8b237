//! A server that does not believe who we are.
//!
//! With TLS 1.3 a client has shaken hands before its server judged its certificate: the refusal is an alert in place of the first
//! word, and the request is on its way by then. A server that says so has looked at nothing of it.

use std::io::{Error, Result};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Whether the server at the other end refused our certificate, and in which words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disbelief(Arc<OnceLock<Box<str>>>);

impl Disbelief {
    /// Its words.
    pub(crate) fn said(&self) -> Option<&str> {
        self.0.get().map(|said| &**said)
    }
}

/// Listens for it until the server has said anything else.
#[derive(Debug)]
pub(crate) struct First {
    awaited: bool,
    disbelief: Disbelief,
}

impl First {
    /// Tells that one; of who shakes no hands nothing is awaited.
    pub(crate) fn of(disbelief: Disbelief, is_tls: bool) -> Self {
        Self {
            awaited: is_tls,
            disbelief,
        }
    }
    /// After a read that had this much before it: one comparison once the server has spoken.
    pub(crate) fn heard(&mut self, read: &Poll<Result<()>>, before: usize, buf: &ReadBuf<'_>) {
        if !self.awaited {
            return;
        }
        match read {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.awaited = buf.filled().len() == before,
            Poll::Ready(Err(error)) => self.failed(error),
        }
    }
    /// After a write that failed: a server that refuses and closes is met by it sooner than its words are read. What ended the
    /// connection is then what it said; the end of a connection can be read at once, or soon.
    pub(crate) fn unwritten<I>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
        error: Error,
    ) -> Poll<Error>
    where
        I: AsyncRead + Unpin,
    {
        if !self.awaited {
            return Poll::Ready(error);
        }
        let mut byte = [0];
        match ready!(Pin::new(io).poll_read(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(()) => Poll::Ready(error),
            Err(said) => {
                self.failed(&said);
                Poll::Ready(said)
            }
        }
    }
    fn failed(&mut self, error: &Error) {
        if identity::is_disbelieved(error) {
            // The first time is the only one: nobody reads on after it.
            let _ = self.disbelief.0.set(error.to_string().into());
        }
        self.awaited = false;
    }
}
