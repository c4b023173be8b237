//! A request's body on its way to the upstream: never collected, counted, trailers cleaned.

use crate::headers::strip_trailers;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

/// A request's body on its way to the upstream. Polled only when the upstream wants it, so that `100 Continue` is sent
/// when the app asks for the body and not before.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    bytes: Option<Arc<AtomicU64>>,
}

impl RequestBody {
    /// Wraps what came; a body that has already ended costs nothing. The counter is given for the exchange.
    pub(crate) fn new(inner: Incoming) -> (Self, Option<Arc<AtomicU64>>) {
        if inner.is_end_stream() {
            return (
                Self {
                    inner: None,
                    bytes: None,
                },
                None,
            );
        }
        let bytes = Arc::new(AtomicU64::new(0));
        (
            Self {
                inner: Some(inner),
                bytes: Some(bytes.clone()),
            },
            Some(bytes),
        )
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| passed(frame, |n| this.count(n)))))
    }
    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl RequestBody {
    fn count(&self, bytes: u64) {
        if let Some(counter) = &self.bytes {
            counter.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Counts a frame's data, cleans its trailers.
pub(crate) fn passed(frame: Frame<Bytes>, count: impl FnOnce(u64)) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(data) => {
            count(data.len() as u64);
            Frame::data(data)
        }
        Err(frame) => match frame.into_trailers() {
            Ok(mut trailers) => {
                strip_trailers(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        },
    }
}
