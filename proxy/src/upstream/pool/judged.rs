//! A socket whose server's HTTP/1 is judged byte for byte before hyper reads it.
//!
//! In: what comes from the socket, and what the request under way is. Out: to hyper the same bytes, as far as they are good; a head
//! only whole. At the first [`Fault`] reading fails, after what was good before: no head of an answer was seen then, or its body
//! breaks off. In the common case nothing is copied: bytes are read where hyper wants them and judged there.
//!
//! 1. A request is known here when its first byte goes. Whatever comes before that, or after its answer, answers nobody, and ends
//!    the connection.
//! 2. The end of the connection is hyper's to judge: it refuses one amid a message.

use crate::front::{Asked, Bounds, Fault, Held, Judge, Kind, Respelled, Step};
use crate::headers::Bound;
use crate::spelled::Spelled;
use http::{Method, Request, header};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What both know, who sends requests and who judges answers.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What is about to be sent, as [`code`] writes it; 0: nothing.
    asks: AtomicU8,
    /// How the names of its head are spelled.
    asked_names: Spelled,
    /// How those of the last head that came were.
    answer_names: Spelled,
    fault: OnceLock<Fault>,
}

/// What an answer must fit.
fn code<B>(request: &Request<B>) -> u8 {
    let kind = match *request.method() {
        Method::CONNECT => 1,
        Method::HEAD => 2,
        _ => 3,
    };
    kind | u8::from(request.headers().contains_key(header::UPGRADE)) << 2
}

fn asked(code: u8) -> Option<Asked> {
    let kind = match code & 3 {
        1 => Kind::Connect,
        2 => Kind::Head,
        3 => Kind::Other,
        _ => return None,
    };
    Some(Asked {
        kind,
        wants_upgrade: code & 4 != 0,
    })
}

/// Why an answer is refused whose head is larger than `limits.header` or `limits.headers`.
pub(crate) const RESPONSE_HEAD_TOO_LARGE: &str = "response_head_too_large";
/// The same of trailers.
pub(crate) const RESPONSE_TRAILERS_TOO_LARGE: &str = "response_trailers_too_large";
/// Why an answer is refused that switches to another protocol, and nobody asked for that; [`Fault::UnaskedSwitch`] says the same.
pub(crate) const SWITCHED_UNASKED: &str = "switched_unasked";

impl Said {
    /// This request is sent next, with names that are spelled so.
    pub(super) fn asks<B>(&self, request: &Request<B>, names: &Spelled) {
        self.asked_names.copy(names);
        self.asks.store(code(request), Ordering::Relaxed);
    }
    /// How the names of the answer that came last are spelled. To be asked once.
    pub(super) fn answer_names(&self) -> Vec<u8> {
        self.answer_names.take().unwrap_or_default()
    }
    /// What is wrong with what came.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get().copied()
    }
    /// The same as a label, which is one whatever the server speaks.
    pub(super) fn lie(&self) -> Option<&'static str> {
        Some(match self.fault()? {
            Fault::HeadTooLarge | Fault::TooManyFields => RESPONSE_HEAD_TOO_LARGE,
            Fault::TrailersTooLarge => RESPONSE_TRAILERS_TOO_LARGE,
            fault => fault.reason(),
        })
    }
}

/// A socket under watch.
#[derive(Debug)]
pub(super) struct Judged<S> {
    io: S,
    judge: Judge,
    /// What is sent, with the spelling of its names.
    respelled: Respelled,
    said: Arc<Said>,
    /// What came and was not handed on.
    held: Held,
}

impl<S> Judged<S> {
    /// Watches a socket to a server whose heads, and trailers, may be so large.
    pub(super) fn new(io: S, bound: Bound) -> (Self, Arc<Said>) {
        let said: Arc<Said> = Arc::default();
        let bounds = Bounds {
            head_bytes: bound.bytes,
            fields: bound.fields,
        };
        let judged = Self {
            io,
            judge: Judge::new(bounds),
            respelled: Respelled::default(),
            said: said.clone(),
            held: Held::default(),
        };
        (judged, said)
    }
    /// How many of these bytes may pass.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() {
            match self.judge.judge(&bytes[passed..]) {
                Ok(Step::More) => break,
                Ok(Step::Body(length, _)) => passed += length,
                Ok(Step::Head(length, _)) => {
                    passed += length;
                    self.said.answer_names.put(self.judge.names());
                }
                Err(fault) => {
                    let _first = self.said.fault.set(fault);
                    break;
                }
            }
        }
        passed
    }
    /// Judges what was read from there on. Whether any of it passes.
    fn came(&mut self, buf: &mut ReadBuf<'_>, from: usize) -> bool {
        if !self.held.is_empty() {
            self.held.hold(buf, from);
            let bytes = self.held.take();
            let cleared = self.judge(&bytes);
            self.held.put(bytes, cleared);
            return false;
        }
        let passed = self.judge(&buf.filled()[from..]);
        if from + passed < buf.filled().len() {
            self.held.hold(buf, from + passed);
        }
        passed > 0
    }
    /// The first byte of a request goes.
    fn goes(&mut self) {
        if let Some(asked) = asked(self.said.asks.swap(0, Ordering::Relaxed)) {
            self.judge.ask(asked);
            if let Some(names) = self.said.asked_names.take() {
                self.respelled.spell(names);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Judged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            if this.held.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = this.said.fault() {
                return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, fault)));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            if buf.filled().len() == before || this.came(buf, before) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Judged<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.goes();
        let this = &mut *self;
        this.respelled.poll_write(&mut this.io, cx, bufs)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const BOUND: Bound = Bound {
        bytes: 1024,
        fields: 10,
    };
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// What is read of these pieces, each sent once the one before it was read or held; to a request, if there was one.
    async fn read(is_asked: bool, pieces: &[&str]) -> (String, Option<Fault>) {
        let (near, mut far) = duplex(4096);
        let (mut judged, said) = Judged::new(near, BOUND);
        if is_asked {
            said.asks(&Request::get("/").body(()).unwrap(), &Spelled::default());
            judged.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        let reading = async {
            let mut seen = Vec::new();
            let read = judged.read_to_end(&mut seen).await;
            assert_eq!(read.is_err(), said.fault().is_some());
            (String::from_utf8(seen).unwrap(), said.fault())
        };
        let writing = async {
            for piece in pieces {
                far.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(far);
        };
        tokio::join!(reading, writing).0
    }

    #[tokio::test]
    async fn what_comes_before_a_request_or_after_its_answer_is_not_handed_on() {
        let unsolicited = Some(Fault::Unsolicited);
        assert_eq!(read(false, &[OK]).await, (String::new(), unsolicited));
        assert_eq!(read(false, &[]).await, (String::new(), None));
        assert_eq!(read(true, &[OK]).await, (OK.to_owned(), None));
        assert_eq!(read(true, &[OK, "H"]).await, (OK.to_owned(), unsolicited));
        let both = format!("{OK}{OK}");
        assert_eq!(read(true, &[&both]).await, (OK.to_owned(), unsolicited));
    }

    #[tokio::test]
    async fn bytes_pass_unchanged_however_they_are_cut() {
        let chunked = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nx: \
                       1\r\n\r\n";
        for whole in [OK, chunked] {
            let bytes: Vec<&str> = (0..whole.len()).map(|at| &whole[at..=at]).collect();
            assert_eq!(read(true, &bytes).await, (whole.to_owned(), None));
            assert_eq!(read(true, &[whole]).await, (whole.to_owned(), None));
        }
    }

    #[tokio::test]
    async fn a_bad_body_breaks_off_and_a_bad_head_never_comes() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
        let bad = format!("{head}0x1\r\n");
        let (seen, fault) = read(true, &[&bad]).await;
        assert_eq!(fault, Some(Fault::ChunkSize));
        assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
        assert!(!seen.contains("x1"), "{seen}");
        let bad = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let (head, fields) = bad.split_at(30);
        let two = (String::new(), Some(Fault::TwoLengths));
        assert_eq!(read(true, &[head, fields]).await, two);
    }

    #[test]
    fn what_is_asked_is_known_again() {
        for method in [Method::GET, Method::HEAD, Method::CONNECT, Method::POST] {
            let kind = match method {
                Method::HEAD => Kind::Head,
                Method::CONNECT => Kind::Connect,
                _ => Kind::Other,
            };
            for wants_upgrade in [false, true] {
                let mut request = Request::builder().method(&method);
                if wants_upgrade {
                    request = request.header(header::UPGRADE, "websocket");
                }
                let expected = Asked {
                    kind,
                    wants_upgrade,
                };
                let seen = asked(code(&request.body(()).unwrap()));
                assert_eq!(seen, Some(expected));
            }
        }
        assert_eq!(asked(0), None);
    }
}
