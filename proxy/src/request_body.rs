//! A request's body on its way to the upstream: never collected, counted, trailers cleaned.

use crate::exchange::{Facts, Sending};
use crate::headers::strip_trailers;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A request's body on its way to the upstream. Polled only once there is a connection to send it on, so that
/// `100 Continue` says that the request was permitted and that its upstream is there.
pub(crate) struct RequestBody(Option<Under>);

/// A body that has not ended.
struct Under {
    incoming: Incoming,
    sending: Arc<Sending>,
}

impl Drop for Under {
    fn drop(&mut self) {
        self.sending.end();
    }
}

impl RequestBody {
    /// Wraps what came; a body that has already ended costs nothing. What becomes of it is given for the exchange.
    pub(crate) fn new(incoming: Incoming, facts: &Arc<Facts>) -> (Self, Option<Arc<Sending>>) {
        if incoming.is_end_stream() {
            return (Self(None), None);
        }
        let sending = Sending::begin(facts);
        let under = Under {
            incoming,
            sending: sending.clone(),
        };
        (Self(Some(under)), Some(sending))
    }
    /// The same body once more, when there is nothing in it that could be used up.
    pub(crate) fn again(&self) -> Option<Self> {
        self.0.is_none().then_some(Self(None))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(Under { incoming, sending }) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| passed(frame, |n| sending.went(n)))))
    }
    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|under| under.incoming.is_end_stream())
    }
    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(
            || SizeHint::with_exact(0),
            |under| under.incoming.size_hint(),
        )
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
