//! A response's body on its way to the caller: never collected, counted, trailers cleaned; its end frees the connection.

use crate::exchange::{CERTIFICATE_ENDED, Exchange};
use crate::headers::Bound;
use crate::request_body::{BadTrailers, is_of_trailers, passed};
use crate::upstream::{Lease, RESPONSE_TRAILERS_TOO_LARGE};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Sleep, sleep_until};

/// A response's body on its way to the caller. When its last frame has gone, its upstream connection goes back to the pool
/// and its exchange is told.
pub(crate) struct ResponseBody {
    source: Source,
    /// Dropped, and so told, with the body.
    exchange: Option<Box<Exchange>>,
    /// When the answer is cut, where the service bounds it.
    late: Option<Pin<Box<Sleep>>>,
}

/// Why an answer broke off.
#[derive(Debug)]
pub(crate) enum ResponseError {
    /// Its upstream broke it off.
    Upstream(hyper::Error),
    /// It took longer than `services[].totalTimeout`.
    Late,
    /// Its trailers are more than may be.
    Trailers(BadTrailers),
}

impl std::fmt::Display for ResponseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Upstream(error) => error.fmt(f),
            Self::Trailers(error) => error.fmt(f),
            Self::Late => f.write_str("it took longer than `totalTimeout`"),
        }
    }
}

impl std::error::Error for ResponseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The code with which a stream was reset is found below it, and passed on.
            Self::Upstream(error) => std::error::Error::source(error),
            Self::Trailers(error) => std::error::Error::source(error),
            Self::Late => None,
        }
    }
}

enum Source {
    Upstream {
        body: Incoming,
        lease: Lease,
        /// Of its trailers.
        bound: Bound,
        /// Whether its end is told by a status in them.
        is_grpc: bool,
    },
    Own(Full<Bytes>),
}

impl ResponseBody {
    /// What an upstream answers; trailers beyond `bound` break it off, and in gRPC are a status of ours.
    pub(crate) fn upstream(
        body: Incoming,
        lease: Lease,
        exchange: Box<Exchange>,
        (bound, is_grpc): (Bound, bool),
    ) -> Self {
        let ended = body.is_end_stream();
        let until = exchange.until.filter(|_| !ended);
        let mut this = Self {
            source: Source::Upstream {
                body,
                lease,
                bound,
                is_grpc,
            },
            exchange: Some(exchange),
            late: until.map(|until| Box::pin(sleep_until(until.into()))),
        };
        if ended {
            this.ended();
        }
        this
    }
    /// No body: what follows the head is the exchange's own, and told of when that has ended.
    pub(crate) fn none() -> Self {
        Self {
            source: Source::Own(Full::default()),
            exchange: None,
            late: None,
        }
    }
    /// What we answer ourselves.
    pub(crate) fn own(body: Full<Bytes>, exchange: Box<Exchange>) -> Self {
        Self {
            source: Source::Own(body),
            exchange: Some(exchange),
            late: None,
        }
    }
    /// The connection is free for the next request, unless its own is still being sent: an HTTP/1 connection then goes with
    /// the lease, once all of it is sent. The exchange waits for the drop of the body: it is told when the server is done
    /// with it, not when the last byte was read.
    fn ended(&mut self) {
        let Some(exchange) = self.exchange.as_mut().filter(|it| it.is_sent()) else {
            return;
        };
        // Before its caller sees the end: who asks again at once finds the room that it had.
        exchange.gives_room_back();
        if let Source::Upstream { lease, .. } = &mut self.source {
            lease.give_back();
        }
    }
    /// It breaks off: told, and where a limit is why, counted. Its connection is not used again.
    fn broke(&mut self, error: ResponseError) -> ResponseError {
        let lease = match &self.source {
            Source::Upstream { lease, .. } => Some(lease),
            Source::Own(_) => None,
        };
        let too_large = match &error {
            ResponseError::Trailers(BadTrailers::TooLarge(_)) => Some(RESPONSE_TRAILERS_TOO_LARGE),
            ResponseError::Trailers(BadTrailers::Padded(_)) => None,
            ResponseError::Upstream(error) if is_of_trailers(error) => {
                Some(RESPONSE_TRAILERS_TOO_LARGE)
            }
            ResponseError::Upstream(_) | ResponseError::Late => None,
        };
        if let Some(exchange) = &mut self.exchange {
            exchange.reason = if let Some(reason) = too_large {
                exchange.facts().limits_it(reason)
            } else if let Some(reason) = lease.and_then(|it| it.lied(exchange.facts())) {
                reason
            } else if let ResponseError::Trailers(bad) = &error {
                bad.reason(RESPONSE_TRAILERS_TOO_LARGE)
            } else if let Some((_, reason)) = exchange.body_refused() {
                reason
            } else if lease.is_some_and(Lease::is_cut) {
                CERTIFICATE_ENDED
            } else {
                "response_cut"
            };
            exchange.error = error.to_string().into();
        }
        error
    }
    /// What its server hears of that: over HTTP/2 it resets the stream, and so says for itself why the answer ends.
    fn resets(&self, error: ResponseError) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        if let Some(exchange) = &self.exchange {
            exchange.facts().resets_itself();
        }
        Poll::Ready(Some(Err(error)))
    }
}

/// RESOURCE_EXHAUSTED with a reason, in place of trailers: a reset may overtake the head, and says less.
fn grpc_status(reason: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("8"));
    trailers.insert("grpc-message", HeaderValue::from_static(reason));
    Frame::trailers(trailers)
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let this = &mut *self;
        if let Some(late) = &mut this.late
            && late.as_mut().poll(cx).is_ready()
        {
            this.late = None;
            if let Some(exchange) = &mut this.exchange {
                exchange.reason = "response_not_in_time";
                exchange.error = ResponseError::Late.to_string().into();
            }
            return this.resets(ResponseError::Late);
        }
        let (body, bound, is_grpc) = match &mut this.source {
            Source::Upstream {
                body,
                bound,
                is_grpc,
                ..
            } => (body, *bound, *is_grpc),
            Source::Own(body) => {
                // A full body cannot fail.
                let frame = ready!(Pin::new(body).poll_frame(cx)).and_then(Result::ok);
                if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
                    count(&mut this.exchange, data.len() as u64);
                }
                return Poll::Ready(frame.map(Ok));
            }
        };
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let ended = body.is_end_stream();
                match passed(frame, bound, |n| count(&mut this.exchange, n)) {
                    Ok(frame) => {
                        if ended {
                            this.ended();
                        }
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Err(bad) => {
                        let is_told = is_grpc && matches!(bad, BadTrailers::TooLarge(_));
                        let broke = this.broke(ResponseError::Trailers(bad));
                        let status = grpc_status(RESPONSE_TRAILERS_TOO_LARGE);
                        match is_told {
                            true => Poll::Ready(Some(Ok(status))),
                            false => this.resets(broke),
                        }
                    }
                }
            }
            Some(Err(error)) => {
                let broke = this.broke(ResponseError::Upstream(error));
                this.resets(broke)
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
