//! The body of a request on its way to an upstream.

use super::facts::Facts;
use crate::activity::Stream;
use crate::answer::Cause;
use crate::headers::OUTER_WHITESPACE;
use crate::under_way::{Place, Upload};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// The body of a request on its way to an upstream, which may outlive the answer: an app may answer before it has read.
pub(crate) struct Sending {
    facts: Arc<Facts>,
    source: Mutex<Source>,
    stream: Option<Arc<Stream>>,
    bytes: AtomicU64,
    ended: AtomicBool,
    /// Why it goes no further, where that is for us to say.
    refused: OnceLock<(Cause, &'static str)>,
}

/// Why a body did not come to its end.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Where it comes from.
struct Source {
    /// `None`: it has ended, or was cut: nothing more comes.
    incoming: Option<Incoming>,
    /// Who waits for more.
    waker: Option<Waker>,
    /// Its place among what is under way, once the answer has ended before it.
    place: Option<Place>,
}

impl Sending {
    /// The connection is at work until the body has ended, whatever becomes of the answer.
    pub(crate) fn begin(
        facts: &Arc<Facts>,
        stream: Option<Arc<Stream>>,
        incoming: Incoming,
    ) -> Arc<Self> {
        facts.activity.work_began();
        let source = Source {
            incoming: Some(incoming),
            waker: None,
            place: None,
        };
        Arc::new(Self {
            facts: facts.clone(),
            source: Mutex::new(source),
            stream,
            bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            refused: OnceLock::new(),
        })
    }
    /// It breaks a limit, or is not right, and goes no further: counted, once.
    pub(crate) fn refuse(&self, reason: &'static str) {
        if reason == OUTER_WHITESPACE {
            self.is_malformed(reason);
        } else if self.refused.set((Cause::HeadTooLarge, reason)).is_ok() {
            self.facts.limits_it(reason);
        }
    }
    /// It is malformed, and goes no further: counted, once.
    pub(crate) fn is_malformed(&self, reason: &'static str) {
        if self.refused.set((Cause::Malformed, reason)).is_ok() {
            self.facts.metrics.refused_head(reason);
        }
    }
    /// So many more bytes went.
    pub(crate) fn went(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(stream) = &self.stream {
            stream.uploaded.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    /// So many bytes went so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
    /// Why it goes no further, where that was for us to say.
    pub(super) fn refused(&self) -> Option<(Cause, &'static str)> {
        self.refused.get().copied()
    }
    /// Nothing more will go. To be called once.
    pub(crate) fn end(&self) {
        let rest = self.source().incoming.take();
        drop(rest);
        self.ended.store(true, Ordering::Release);
        self.facts.activity.work_ended();
        self.facts.under_way.body_ended(|| self.source().place);
    }
    /// The next of it. One that was cut ends with an error, which resets a stream as its caller would have.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut source = self.source();
        let Some(incoming) = &mut source.incoming else {
            let cut = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(cut.into())));
        };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        // hyper takes a stream that its client resets with NO_ERROR for one that ended well (RFC 9113 §8.1 means answers).
        let has_ended = matches!(polled, Poll::Ready(None));
        let is_cut = has_ended && self.stream.is_some() && !incoming.is_end_stream();
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        if polled.is_pending() && !source.waker.as_ref().is_some_and(waits) {
            source.waker = Some(cx.waker().clone());
        }
        if is_cut {
            let cut = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(cut.into())));
        }
        polled.map_err(Into::into)
    }
    /// Whether nothing more comes.
    pub(crate) fn is_end_stream(&self) -> bool {
        let source = self.source();
        source.incoming.as_ref().is_some_and(Body::is_end_stream)
    }
    /// How much may come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let source = self.source();
        source
            .incoming
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload for Sending {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
    fn takes(&self, place: Place) {
        self.source().place = Some(place);
    }
    /// Lets go of where it comes from, whoever holds the other end of it and however long.
    fn cut(&self) {
        let (incoming, waker) = {
            let mut source = self.source();
            (source.incoming.take(), source.waker.take())
        };
        drop(incoming);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
