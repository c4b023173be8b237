//! A guarded connection that hyper has only while something is asked on it, and that comes back from it.
//!
//! hyper keeps the room of a request also while there is none: buffers of eight KiB and more of a connection that is quiet. It gives a
//! connection back in no way that serves upgrades too, but it drops what it has: what it has is [`Lent`], and then stands in its
//! [`Back`].

use super::guarded::Guarded;
use crate::abort::Abort;
use crate::far_end::FarEnd;
use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a connection stands that has come back. Locked once each time it is lent.
pub(crate) struct Back<S>(Arc<Mutex<Option<Box<Guarded<S>>>>>);

impl<S> Back<S> {
    /// For one connection.
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }
    /// Lends it.
    pub(crate) fn lend(&self, guarded: Box<Guarded<S>>) -> Lent<S> {
        Lent {
            guarded: Some(guarded),
            back: Self(self.0.clone()),
        }
    }
    /// Takes it, where it has come back.
    pub(crate) fn take(&self) -> Option<Box<Guarded<S>>> {
        // A panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A connection in use.
pub(crate) struct Lent<S> {
    /// `None` once it was taken.
    guarded: Option<Box<Guarded<S>>>,
    back: Back<S>,
}

impl<S> Lent<S> {
    /// Keeps it for good.
    pub(crate) fn keep(mut self) -> Option<Box<Guarded<S>>> {
        self.guarded.take()
    }
    fn with<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut Guarded<S>>) -> Poll<Result<T>>,
    ) -> Poll<Result<T>>
    where
        S: Unpin,
    {
        match &mut self.guarded {
            Some(guarded) => poll(Pin::new(guarded)),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        if let Some(guarded) = self.guarded.take() {
            *self.back.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(guarded);
        }
    }
}

impl<S: FarEnd + AsyncRead + AsyncWrite + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.with(|guarded| guarded.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.with(|guarded| guarded.poll_write(cx, buf))
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.with(|guarded| guarded.poll_write_vectored(cx, bufs))
    }
    fn is_write_vectored(&self) -> bool {
        let guarded = self.guarded.as_ref();
        guarded.is_some_and(|guarded| guarded.is_write_vectored())
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.with(|guarded| guarded.poll_flush(cx))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.with(|guarded| guarded.poll_shutdown(cx))
    }
}

impl<S: Abort> Abort for Lent<S> {
    fn abort(&self) {
        if let Some(guarded) = &self.guarded {
            guarded.abort();
        }
    }
}
