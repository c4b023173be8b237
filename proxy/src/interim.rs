//! Interim answers (RFC 9110 §15.2: 103 Early Hints and its like) on their way to a caller over HTTP/1.
//!
//! hyper's client tells of them and its server cannot send them. In: what an upstream says before its answer. Out: the bytes of
//! their heads, for whoever stands between hyper and the caller's socket. One value a connection: on HTTP/1 one request at a
//! time is answered.
//!
//! 1. They go ahead of the answer to the request that they came for, or nowhere: what comes when that was answered is nobody's.
//! 2. They are bounded: who says more than [`INTERIM_MAX`] of them, or more bytes than an answer's head may have, is lying.
//! 3. Of their fields goes what of an answer's goes. They have no body, and so nothing says how long it is (§8.6).

use crate::headers::{Bound, FIELD_BYTES, strip_head};
use crate::ordered;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// So many an upstream may say before its answer: far more than anybody does, and few enough that who is slow with them ends.
const INTERIM_MAX: usize = 64;

/// Those of one connection.
#[derive(Debug, Default)]
pub(crate) struct Interims {
    now: Mutex<Now>,
    /// Whether some wait to be written: looked at with every flush.
    waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct Now {
    /// Which request they come for, counted from 1.
    turn: u64,
    /// Nothing more goes for it: it is answered.
    is_answered: bool,
    /// Its caller reads none: HTTP/1.0.
    is_deaf: bool,
    count: usize,
    bytes: usize,
    is_too_much: bool,
    ahead: BytesMut,
    waker: Option<Waker>,
}

impl Interims {
    /// A request goes to an upstream; whether its caller reads what is said before the answer. Which it is, for [`came`](Self::came).
    pub(crate) fn open(&self, is_deaf: bool) -> u64 {
        let mut now = self.now();
        self.waiting.store(false, Ordering::Relaxed);
        *now = Now {
            turn: now.turn + 1,
            is_deaf,
            waker: now.waker.take(),
            ..Now::default()
        };
        now.turn
    }
    /// An upstream said this before its answer. Fails once it says more than it may.
    pub(crate) fn came(&self, turn: u64, status: StatusCode, headers: &HeaderMap, bound: Bound) {
        let mut now = self.now();
        if now.turn != turn || now.is_answered || now.is_too_much {
            return;
        }
        let bytes = |(name, value): (&HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + FIELD_BYTES
        };
        now.count += 1;
        now.bytes += FIELD_BYTES + headers.iter().map(bytes).sum::<usize>();
        now.is_too_much = now.count > INTERIM_MAX || now.bytes > bound.bytes;
        // What a body waits for has its own way.
        if !now.is_too_much && !now.is_deaf && status != StatusCode::CONTINUE {
            write(&mut now.ahead, status, headers.clone());
            self.waiting.store(true, Ordering::Relaxed);
        }
        let waker = now.waker.take();
        drop(now);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
    /// Resolves when more came than may. The task of the connection asks, and is woken for whatever comes.
    pub(crate) fn poll_too_much(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut now = self.now();
        if now.is_too_much {
            return Poll::Ready(());
        }
        if !now
            .waker
            .as_ref()
            .is_some_and(|it| it.will_wake(cx.waker()))
        {
            now.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
    /// The request has its answer: that is what is written next.
    pub(crate) fn answered(&self) {
        self.now().is_answered = true;
    }
    /// What is to be written, where an answer may begin.
    pub(crate) fn take(&self) -> Option<Bytes> {
        if !self.waiting.load(Ordering::Relaxed) {
            return None;
        }
        self.waiting.store(false, Ordering::Relaxed);
        Some(self.now().ahead.split().freeze())
    }
    /// The answer is being written: what was not before it is not after it.
    pub(crate) fn passed(&self) {
        if self.waiting.load(Ordering::Relaxed) {
            let mut now = self.now();
            if now.is_answered {
                now.ahead.clear();
                self.waiting.store(false, Ordering::Relaxed);
            }
        }
    }
    fn now(&self) -> MutexGuard<'_, Now> {
        // A panic elsewhere leaves it whole.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(ahead: &mut BytesMut, status: StatusCode, mut headers: HeaderMap) {
    strip_head(&mut headers);
    ordered::remove(&mut headers, |name| *name == header::CONTENT_LENGTH);
    ahead.extend_from_slice(b"HTTP/1.1 ");
    ahead.extend_from_slice(status.as_str().as_bytes());
    ahead.extend_from_slice(b" ");
    ahead.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    ahead.extend_from_slice(b"\r\n");
    for (name, value) in &headers {
        ahead.extend_from_slice(name.as_str().as_bytes());
        ahead.extend_from_slice(b": ");
        ahead.extend_from_slice(value.as_bytes());
        ahead.extend_from_slice(b"\r\n");
    }
    ahead.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const BOUND: Bound = Bound {
        bytes: 1000,
        fields: 10,
    };
    const HINTS: StatusCode = StatusCode::EARLY_HINTS;

    fn link() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, HeaderValue::from_static("</a>"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
        headers.insert("keep-alive", HeaderValue::from_static("5"));
        headers.insert("x-after", HeaderValue::from_static("1"));
        headers
    }

    fn is_too_much(interims: &Interims) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        interims.poll_too_much(&mut cx).is_ready()
    }

    #[test]
    fn they_are_written_in_their_order_without_what_belongs_to_a_hop() {
        let interims = Interims::default();
        let turn = interims.open(false);
        interims.came(turn, HINTS, &link(), BOUND);
        interims.came(turn, StatusCode::PROCESSING, &HeaderMap::new(), BOUND);
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-after: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
        assert_eq!(interims.take().as_deref(), Some(expected.as_bytes()));
        assert_eq!(interims.take(), None);
    }

    #[test]
    fn they_go_ahead_of_their_own_answer_or_nowhere() {
        let interims = Interims::default();
        let first = interims.open(false);
        interims.came(first, HINTS, &link(), BOUND);
        interims.answered();
        interims.passed();
        assert_eq!(interims.take(), None, "the answer went before it");
        let second = interims.open(false);
        interims.came(first, HINTS, &link(), BOUND);
        assert_eq!(interims.take(), None, "it came for another");
        interims.came(second, HINTS, &link(), BOUND);
        interims.passed();
        assert!(interims.take().is_some(), "what passed was no answer yet");
        interims.answered();
        interims.came(second, HINTS, &link(), BOUND);
        assert_eq!(interims.take(), None, "it came after the answer");
    }

    #[test]
    fn who_reads_none_gets_none_and_100_continue_goes_its_own_way() {
        let interims = Interims::default();
        let turn = interims.open(true);
        interims.came(turn, HINTS, &link(), BOUND);
        assert_eq!(interims.take(), None);
        let turn = interims.open(false);
        interims.came(turn, StatusCode::CONTINUE, &HeaderMap::new(), BOUND);
        assert_eq!(interims.take(), None);
    }

    #[test]
    fn they_are_bounded_in_number_and_in_bytes_whoever_reads_them() {
        for is_deaf in [false, true] {
            let interims = Interims::default();
            let turn = interims.open(is_deaf);
            let none = HeaderMap::new();
            let wide = Bound {
                bytes: usize::MAX,
                ..BOUND
            };
            for _ in 0..INTERIM_MAX {
                interims.came(turn, StatusCode::CONTINUE, &none, wide);
            }
            assert!(!is_too_much(&interims));
            interims.came(turn, StatusCode::CONTINUE, &none, wide);
            assert!(is_too_much(&interims));

            let turn = interims.open(is_deaf);
            assert!(!is_too_much(&interims), "another request");
            let mut large = HeaderMap::new();
            let value = "v".repeat(BOUND.bytes - 2 * FIELD_BYTES - 1);
            large.extend(HeaderValue::from_str(&value).map(|value| (header::LINK, value)));
            interims.came(turn, HINTS, &large, BOUND);
            assert!(is_too_much(&interims), "`link` has more than one letter");
        }
    }
}
