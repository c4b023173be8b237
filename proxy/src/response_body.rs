//! A response's body on its way to the caller: never collected, counted, trailers cleaned; its end frees the connection.

use crate::exchange::{CERTIFICATE_ENDED, Exchange};
use crate::request_body::passed;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A response's body on its way to the caller. When its last frame has gone, its upstream connection goes back to the pool
/// and its exchange is told.
pub(crate) struct ResponseBody {
    source: Source,
    /// Dropped, and so told, with the body.
    exchange: Option<Box<Exchange>>,
}

enum Source {
    Upstream { body: Incoming, lease: Lease },
    Own(Full<Bytes>),
}

impl ResponseBody {
    /// What an upstream answers.
    pub(crate) fn upstream(body: Incoming, lease: Lease, exchange: Box<Exchange>) -> Self {
        let ended = body.is_end_stream();
        let mut this = Self {
            source: Source::Upstream { body, lease },
            exchange: Some(exchange),
        };
        if ended {
            this.ended();
        }
        this
    }
    /// What we answer ourselves.
    pub(crate) fn own(body: Full<Bytes>, exchange: Box<Exchange>) -> Self {
        Self {
            source: Source::Own(body),
            exchange: Some(exchange),
        }
    }
    /// The connection is free for the next request, unless its own is still being sent: an HTTP/1 connection then goes with
    /// the lease, once all of it is sent. The exchange waits for the drop of the body: it is told when the server is done
    /// with it, not when the last byte was read.
    fn ended(&mut self) {
        let sent = self.exchange.as_ref().is_some_and(|it| it.is_sent());
        if let Source::Upstream { lease, .. } = &mut self.source
            && sent
        {
            lease.give_back();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let body = match &mut this.source {
            Source::Upstream { body, .. } => body,
            Source::Own(body) => {
                // A full body cannot fail.
                let frame = ready!(Pin::new(body).poll_frame(cx)).and_then(Result::ok);
                return Poll::Ready(
                    frame.map(|frame| Ok(passed(frame, |n| count(&mut this.exchange, n)))),
                );
            }
        };
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let ended = body.is_end_stream();
                let frame = passed(frame, |n| count(&mut this.exchange, n));
                if ended {
                    this.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let is_cut = match &this.source {
                    Source::Upstream { lease, .. } => lease.is_cut(),
                    Source::Own(_) => false,
                };
                if let Some(exchange) = &mut this.exchange {
                    exchange.reason = if is_cut {
                        CERTIFICATE_ENDED
                    } else {
                        "response_cut"
                    };
                    exchange.error = error.to_string().into();
                }
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.ended();
                Poll::Ready(None)
            }
        }
    }
    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Upstream { body, .. } => body.is_end_stream(),
            Source::Own(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Upstream { body, .. } => body.size_hint(),
            Source::Own(body) => body.size_hint(),
        }
    }
}

fn count(exchange: &mut Option<Box<Exchange>>, bytes: u64) {
    if let Some(exchange) = exchange {
        exchange.response_bytes += bytes;
    }
}
