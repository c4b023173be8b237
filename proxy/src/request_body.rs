//! A request's body on its way to the upstream: counted, trailers cleaned; collected only as far as it may have to be sent again.

use crate::exchange::{Exchange, Sending};
use crate::expect::Gate;
use crate::front::Fault;
use crate::headers::{Bound, OUTER_WHITESPACE, has_outer_whitespace, strip_trailers};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// A request's body on its way to the upstream. Polled only once there is a connection to send it on, and an upstream that
/// wants it, so that `100 Continue` says both.
pub(crate) struct RequestBody(Source);

enum Source {
    /// It has ended, or there was none.
    None,
    /// It goes once, without being copied.
    Once(Under),
    /// What of it went is kept, to a bound.
    Kept(Reader),
}

/// A body that has not ended.
struct Under {
    /// What it waits for.
    gate: Option<Gate>,
    sending: Arc<Sending>,
    /// Of its trailers.
    bound: Bound,
}

impl Under {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        let Self {
            gate,
            sending,
            bound,
        } = self;
        if let Some(shut) = gate {
            ready!(shut.poll(cx));
            *gate = None;
        }
        let Some(frame) = ready!(sending.poll(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.inspect_err(|error| {
            let error = error.downcast_ref();
            match error.and_then(fault) {
                Some(Fault::TrailersTooLarge) => sending.refuse(REQUEST_TRAILERS_TOO_LARGE),
                Some(fault) => sending.is_malformed(fault.reason()),
                None if error.is_some_and(is_of_trailers) => {
                    sending.refuse(REQUEST_TRAILERS_TOO_LARGE);
                }
                None => {}
            }
        });
        let passed = frame.and_then(|frame| {
            let passed = passed(frame, *bound, |n| sending.went(n));
            Ok(passed.inspect_err(|bad| sending.refuse(bad.reason(REQUEST_TRAILERS_TOO_LARGE)))?)
        });
        Poll::Ready(Some(passed))
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        self.sending.end();
    }
}

/// A body and what of it went.
struct Kept {
    under: Under,
    bytes: BytesMut,
    trailers: Option<HeaderMap>,
    ended: bool,
    bytes_max: usize,
    /// More went than is kept, or it broke off: it cannot be sent again.
    is_lost: bool,
    /// Which reader reads: one at a time.
    turn: usize,
}

/// One sending of a kept body.
struct Reader {
    kept: Arc<Mutex<Kept>>,
    turn: usize,
    at: usize,
    trailers_went: bool,
}

/// How a body is sent once more.
pub(crate) struct Spare(Option<Arc<Mutex<Kept>>>);

/// A panic elsewhere leaves it whole: bytes are added after they were read.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RequestBody {
    /// Wraps what came; a body that has already ended costs nothing. What becomes of it is given for the exchange. Trailers
    /// beyond `bound` break it off. Up to `keep_bytes` are kept to be sent again; with 0, or when it says that it is larger, it goes once and is never copied.
    pub(crate) fn new(
        incoming: Incoming,
        gate: Option<Gate>,
        exchange: &Exchange,
        bound: Bound,
        keep_bytes: usize,
    ) -> (Self, Option<Arc<Sending>>) {
        if incoming.is_end_stream() {
            return (Self(Source::None), None);
        }
        let least = incoming.size_hint().lower();
        let sending = Sending::begin(exchange.facts(), exchange.stream(), incoming);
        let under = Under {
            gate,
            sending: sending.clone(),
            bound,
        };
        if keep_bytes == 0 || least > keep_bytes as u64 {
            return (Self(Source::Once(under)), Some(sending));
        }
        let kept = Kept {
            under,
            bytes: BytesMut::new(),
            trailers: None,
            ended: false,
            bytes_max: keep_bytes,
            is_lost: false,
            turn: 0,
        };
        let reader = Reader::first(Arc::new(Mutex::new(kept)));
        (Self(Source::Kept(reader)), Some(sending))
    }
    /// That of a request without one.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Source::None)
    }
    /// How it is sent once more; `None`: it goes once.
    pub(crate) fn spare(&self) -> Option<Spare> {
        match &self.0 {
            Source::None => Some(Spare(None)),
            Source::Once(_) => None,
            Source::Kept(reader) => Some(Spare(Some(reader.kept.clone()))),
        }
    }
}

impl Spare {
    /// Whether all of it can still be sent once more.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|kept| !lock(kept).is_lost)
    }
    /// Whether it has no body at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
    /// From its first byte on; who read it before is told that it is superseded.
    pub(crate) fn body(&self) -> RequestBody {
        match &self.0 {
            None => RequestBody(Source::None),
            Some(kept) => RequestBody(Source::Kept(Reader::next(kept.clone()))),
        }
    }
}

impl Reader {
    fn first(kept: Arc<Mutex<Kept>>) -> Self {
        Self {
            kept,
            turn: 0,
            at: 0,
            trailers_went: false,
        }
    }
    fn next(kept: Arc<Mutex<Kept>>) -> Self {
        let mut inner = lock(&kept);
        inner.turn += 1;
        let turn = inner.turn;
        drop(inner);
        Self {
            turn,
            ..Self::first(kept)
        }
    }
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        let mut kept = lock(&self.kept);
        if kept.turn != self.turn {
            // It is sent again elsewhere: whoever read it before must not take it for whole.
            let cut = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(cut.into())));
        }
        if self.at < kept.bytes.len() {
            let again = Bytes::copy_from_slice(&kept.bytes[self.at..]);
            self.at = kept.bytes.len();
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if Arc::strong_count(&self.kept) == 1 {
            // It was answered: nobody is left who would send it again.
            kept.let_go();
            self.at = 0;
        }
        if kept.ended {
            let trailers = kept.trailers.clone().filter(|_| !self.trailers_went);
            self.trailers_went = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(kept.under.poll(cx));
        let frame = kept.keep(frame);
        self.at = kept.bytes.len();
        self.trailers_went = kept.trailers.is_some();
        Poll::Ready(frame)
    }
    fn is_end_stream(&self) -> bool {
        let kept = lock(&self.kept);
        let trailers_left = kept.trailers.is_some() && !self.trailers_went;
        self.at >= kept.bytes.len()
            && !trailers_left
            && (kept.ended || kept.under.sending.is_end_stream())
    }
    fn size_hint(&self) -> SizeHint {
        let kept = lock(&self.kept);
        let again = kept.bytes.len().saturating_sub(self.at) as u64;
        if kept.ended {
            return SizeHint::with_exact(again);
        }
        let coming = kept.under.sending.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(coming.lower().saturating_add(again));
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint
    }
}

/// What a body gives when it is asked.
type Polled = Option<Result<Frame<Bytes>, Error>>;
type Error = Box<dyn std::error::Error + Send + Sync>;

impl Kept {
    /// Remembers what came. Copied, since a small piece of a large buffer would hold all of it.
    fn keep(&mut self, frame: Polled) -> Polled {
        match &frame {
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) if self.is_lost || self.has_no_room(data) => self.let_go(),
                (Some(data), _) => self.bytes.extend_from_slice(data),
                (None, trailers) => {
                    self.trailers = trailers.cloned();
                    self.ended = true;
                }
            },
            Some(Err(_)) => self.is_lost = true,
            None => self.ended = true,
        }
        frame
    }
    /// Keeps nothing any more.
    fn let_go(&mut self) {
        self.is_lost = true;
        self.bytes = BytesMut::new();
    }
    fn has_no_room(&self, data: &Bytes) -> bool {
        self.bytes.len() + data.len() > self.bytes_max
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        match &mut self.0 {
            Source::None => Poll::Ready(None),
            Source::Once(under) => under.poll(cx),
            Source::Kept(reader) => reader.poll(cx),
        }
    }
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::None => true,
            Source::Once(under) => under.sending.is_end_stream(),
            Source::Kept(reader) => reader.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::None => SizeHint::with_exact(0),
            Source::Once(under) => under.sending.size_hint(),
            Source::Kept(reader) => reader.size_hint(),
        }
    }
}

/// Counts a frame's data, cleans its trailers, and refuses them where they are too many, too large, or not right.
pub(crate) fn passed(
    frame: Frame<Bytes>,
    bound: Bound,
    count: impl FnOnce(u64),
) -> Result<Frame<Bytes>, BadTrailers> {
    match frame.into_data() {
        Ok(data) => {
            count(data.len() as u64);
            Ok(Frame::data(data))
        }
        Err(frame) => match frame.into_trailers() {
            // Before they are cleaned: what h2 leaves over of very large ones is still too large.
            Ok(trailers) if bound.broken_by(&trailers, 0).is_some() => {
                Err(BadTrailers::TooLarge(h2::Reason::ENHANCE_YOUR_CALM.into()))
            }
            Ok(trailers) if has_outer_whitespace(&trailers) => {
                Err(BadTrailers::Padded(h2::Reason::PROTOCOL_ERROR.into()))
            }
            Ok(mut trailers) => {
                strip_trailers(&mut trailers);
                Ok(Frame::trailers(trailers))
            }
            Err(frame) => Ok(frame),
        },
    }
}

/// Why a request's trailers are refused that are more than may be.
pub(crate) const REQUEST_TRAILERS_TOO_LARGE: &str = "request_trailers_too_large";

/// Trailers that go no further. Whoever waits for their end sees the stream reset.
#[derive(Debug)]
pub(crate) enum BadTrailers {
    /// Of more bytes than `limits.header`, or of more fields than `limits.headers`; with a code that clients of gRPC show as
    /// RESOURCE_EXHAUSTED.
    TooLarge(h2::Error),
    /// With whitespace around a value (RFC 9113 §8.2.1).
    Padded(h2::Error),
}

impl BadTrailers {
    /// A label that never changes; of those that are too large it says whose they are.
    pub(crate) fn reason(&self, too_large: &'static str) -> &'static str {
        match self {
            Self::TooLarge(_) => too_large,
            Self::Padded(_) => OUTER_WHITESPACE,
        }
    }
}

impl std::fmt::Display for BadTrailers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge(_) => {
                "its trailers are larger than `limits.header`, or more than `limits.headers`"
            }
            Self::Padded(_) => "a value of its trailers has whitespace around it",
        })
    }
}

impl std::error::Error for BadTrailers {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge(reset) | Self::Padded(reset) => Some(reset),
        }
    }
}

/// What the guard refused, if it was the guard.
fn fault(error: &hyper::Error) -> Option<Fault> {
    let source = std::error::Error::source(error)?;
    let refused = source.downcast_ref::<std::io::Error>()?.get_ref()?;
    refused.downcast_ref::<Fault>().copied()
}

/// Whether hyper refused trailers of HTTP/1, which it bounds as it bounds heads. It says so in words only.
pub(crate) fn is_of_trailers(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.to_string().starts_with("chunk trailers"))
}
