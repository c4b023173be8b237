//! The guard between a client's socket and hyper: only whole heads that were judged pass, one request at a time.
//!
//! In: what comes from the socket. Out: to hyper the same bytes, as far as [`Requests`] has judged them; to a client whose bytes are
//! refused an answer of ours ([`Why`]). In the common case nothing is copied: bytes are read where hyper wants them and judged there.
//!
//! 1. A head is handed on once it is whole and good, and the answers to those before it have been flushed.
//! 2. A bad head never comes to hyper. The answers before it go out whole, then ours, and to hyper the connection has ended.
//! 3. A bad body breaks off: whoever reads it never sees a good end.
//! 4. What hyper would say by itself to a head that it does not take is not said: we do.
//! 5. Bytes after an Upgrade request and before its answer are no request; after CONNECT nothing is.
//! 6. A client that closed its half and may wait has the end of its connection only after its last answer ([`Half`]).

use super::half::Half;
use super::held::Held;
use super::http1::{Bounds, End, Fault, Framing, Kind, RequestHead, RequestLine, Requests, Step};
use super::last::Last;
use super::refused::Why;
use super::respelled::Respelled;
use crate::abort::Abort;
use crate::answer::Form;
use crate::declined::FAREWELL;
use crate::exchange::Facts;
use crate::far_end::FarEnd;
use config::sidecar::HalfClose;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection under watch.
pub(crate) struct Guarded<S> {
    stream: S,
    facts: Arc<Facts>,
    requests: Requests,
    state: State,
    held: Held,
    half: Half,
    /// Heads that were handed on.
    heads: u64,
    /// Whether something was written and not flushed.
    is_writing: bool,
    /// What is written, with the spelling of its names.
    respelled: Respelled,
    /// Who wants to read on once what is under way was answered.
    waits: Option<Waker>,
    leaving: Leaving,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A head, or its first byte is awaited.
    Head,
    /// A body.
    Body,
    /// Nothing: a request has ended, and its answer comes first. What may follow it.
    Answer(Follows),
    /// Nothing any more, and the client is told why once what it asked before was answered.
    Refused(Why),
    /// Nothing any more: a body broke off.
    Broken(Fault),
    /// Whatever comes: it is not HTTP any more.
    Open,
}

/// What may follow a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    /// The next, at any time.
    Request,
    /// The next, or another protocol, once it was answered.
    Protocol,
    /// Another connection's bytes, or nothing.
    Tunnel,
}

/// So much of what ends a rest is read at once: most heads.
const STIRS_BYTES: usize = 2048;

/// How far a connection is that is being closed.
enum Leaving {
    /// It is not, as far as is known here.
    Not,
    /// What is left of the farewell is being written.
    Says(&'static [u8]),
    /// What is left of a refusal is, from there on.
    Refuses(Vec<u8>, usize),
    /// It is closed.
    Closes(Last),
}

impl<S> Guarded<S> {
    /// Puts the guard before a stream.
    pub(crate) fn new(stream: S, facts: Arc<Facts>, bounds: Bounds, half_close: HalfClose) -> Self {
        Self {
            stream,
            facts,
            requests: Requests::new(bounds),
            state: State::Head,
            held: Held::default(),
            half: Half::new(half_close),
            heads: 0,
            is_writing: false,
            respelled: Respelled::default(),
            waits: None,
            leaving: Leaving::Not,
        }
    }
    /// Takes the guard away: what follows is not HTTP. `None`: the client has sent something already.
    pub(crate) fn into_inner(self) -> Option<S> {
        self.held.is_empty().then_some(self.stream)
    }
    /// Lets everything pass from now on, beginning with what was read already.
    pub(crate) fn opened(mut self, read: &[u8]) -> Self {
        self.state = State::Open;
        self.half.is_answered();
        self.held.clear_after(read);
        self
    }
    /// Whether every request that was handed on was answered, and all of that was flushed.
    fn is_answered(&self) -> bool {
        self.facts.has_answered(self.heads) && !self.is_writing
    }
    /// Whether nothing is asked, and nothing that hyper had is left.
    fn is_at_rest(&self) -> bool {
        let nothing_follows = matches!(
            self.state,
            State::Head | State::Answer(Follows::Request | Follows::Protocol)
        );
        nothing_follows && self.held.is_empty() && self.is_answered()
    }
    /// How many of these bytes may pass; what follows them changes what is read.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() && matches!(self.state, State::Head | State::Body) {
            match self.requests.judge(&bytes[passed..]) {
                Ok(Step::More) => break,
                Ok(Step::Head(length, head)) => {
                    passed += length;
                    self.begin(head);
                }
                Ok(Step::Body(length, end)) => {
                    passed += length;
                    if end == End::Here {
                        self.state = State::Answer(Follows::Request);
                    }
                }
                Err(fault) => {
                    self.state = match self.state {
                        State::Body => State::Broken(fault),
                        _ => State::Refused(Why::Fault(fault)),
                    };
                }
            }
        }
        passed
    }
    fn begin(&mut self, head: RequestHead) {
        self.heads += 1;
        self.facts.asked_names.put(self.requests.names());
        self.facts.answer_names.put(Vec::new());
        self.state = match (head.framing, head.kind, head.wants_upgrade) {
            (_, Kind::Connect, _) => State::Answer(Follows::Tunnel),
            (Framing::None, _, true) => State::Answer(Follows::Protocol),
            (Framing::None, _, false) => State::Answer(Follows::Request),
            _ => State::Body,
        };
    }
    /// What is read next, now that what was asked is answered.
    fn answered(&mut self, follows: Follows) {
        let holds = !self.held.is_empty();
        self.half.is_answered();
        self.state = match follows {
            Follows::Protocol if holds => State::Refused(Why::Early),
            Follows::Request | Follows::Protocol | Follows::Tunnel => State::Head,
        };
        if holds {
            // They came while another request was under way: the time of this one begins now.
            self.facts.activity.bytes_came();
        }
    }
    /// To be woken once what is under way was answered.
    fn wait(&mut self, cx: &Context<'_>) {
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.waits.as_ref().is_some_and(waits) {
            self.waits = Some(cx.waker().clone());
        }
    }
}

impl<S: FarEnd + AsyncRead + Unpin> Guarded<S> {
    /// Reads what is there where hyper wants it. How many bytes that were.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<usize>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let came = buf.filled().len() - before;
        if came > 0 {
            self.facts.activity.rests(false);
            self.facts.activity.bytes_came();
        }
        Poll::Ready(Ok(came))
    }
    /// Reads on in a head or a body. `false`: nothing may pass, and what is read has changed or is to be read further.
    fn poll_judged(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<bool>> {
        let before = buf.filled().len();
        match ready!(self.poll_more(cx, buf)) {
            Ok(0) | Err(_) if self.state == State::Body => {
                self.state = State::Broken(Fault::Cut);
                return Poll::Ready(Ok(false));
            }
            Ok(0) => return Poll::Ready(Ok(true)),
            came => came?,
        };
        if !self.held.is_empty() {
            self.held.hold(buf, before);
            self.judge_held();
            return Poll::Ready(Ok(false));
        }
        let passed = self.judge(&buf.filled()[before..]);
        if before + passed < buf.filled().len() {
            self.held.hold(buf, before + passed);
        }
        Poll::Ready(Ok(passed > 0))
    }
    fn judge_held(&mut self) {
        let bytes = self.held.take();
        let cleared = self.judge(&bytes);
        self.held.put(bytes, cleared);
    }
    /// Waits, while nobody else has the connection and nothing is asked on it, until something comes, which is held, or it ends.
    pub(crate) fn poll_stirs(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Answer(follows) = self.state {
            self.answered(follows);
        }
        let mut bytes = [MaybeUninit::uninit(); STIRS_BYTES];
        let mut buf = ReadBuf::uninit(&mut bytes);
        // An end, good or not, is read again by whoever has it next.
        let came = ready!(self.poll_more(cx, &mut buf));
        if came.is_ok_and(|came| came > 0) {
            self.held.hold(&mut buf, 0);
            self.judge_held();
        }
        Poll::Ready(())
    }
    /// Waits for an answer. Meanwhile the client may leave, and what else it sends is held.
    fn poll_wait(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let reads = self.held.is_empty() && !self.half.is_closed();
        if reads && !matches!(self.state, State::Refused(_)) {
            let before = buf.filled().len();
            let came = ready!(self.poll_more(cx, buf))?;
            if came == 0 && !self.half.closes(&self.stream, &self.facts) {
                return Poll::Ready(Ok(()));
            }
            self.held.hold(buf, before);
        }
        if self.half.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        self.wait(cx);
        Poll::Pending
    }
}

impl<S: FarEnd + AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
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
            match this.state {
                State::Answer(_) | State::Refused(_) if !this.is_answered() => {
                    return this.poll_wait(cx, buf);
                }
                // Said here: hyper has nothing under way, and would drop a connection of which an Upgrade was asked without a word.
                State::Refused(_) => return this.poll_leave(cx),
                State::Answer(Follows::Tunnel) => return Poll::Ready(Ok(())),
                State::Answer(follows) => {
                    this.answered(follows);
                    if this.state == State::Head {
                        this.judge_held();
                    }
                }
                State::Broken(fault) => {
                    return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, fault)));
                }
                State::Open => return this.poll_more(cx, buf).map_ok(|_| ()),
                State::Head | State::Body => {
                    if ready!(this.poll_judged(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// How it closes: with a refusal, with a last word to a sidecar that may be sending a request, or without a word.
    fn leave(&mut self) -> Leaving {
        match self.state {
            State::Refused(why) if self.is_answered() || why == Why::Misread => {
                let form = match self.requests.kind() {
                    Kind::Head => Form::Head,
                    Kind::Connect | Kind::Other => Form::Whole,
                };
                Leaving::Refuses(why.tell(&self.facts, form, self.asked(why)), 0)
            }
            State::Refused(_) | State::Broken(_) => Leaving::Closes(Last::default()),
            _ if self.facts.owes_farewell() => Leaving::Says(FAREWELL),
            _ => Leaving::Not,
        }
    }
    /// What a refused head asks, as far as that can be said: all of it is held, since nothing of it passed.
    fn asked(&self, why: Why) -> Option<RequestLine<'_>> {
        match why {
            Why::Fault(_) => self.requests.asked(self.held.kept()),
            Why::Early | Why::Misread => None,
        }
    }
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            match &mut self.leaving {
                Leaving::Not => match self.leave() {
                    Leaving::Not => return Pin::new(&mut self.stream).poll_shutdown(cx),
                    leaving => self.leaving = leaving,
                },
                Leaving::Says([]) => {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                    self.leaving = Leaving::Closes(Last::default());
                }
                Leaving::Says(rest) => {
                    let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest));
                    *rest = rest.get(some(written)?..).unwrap_or_default();
                }
                Leaving::Refuses(text, at) if *at < text.len() => {
                    let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &text[*at..]));
                    *at += some(written)?;
                }
                Leaving::Refuses(..) => {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                    self.leaving = Leaving::Closes(Last::default());
                }
                Leaving::Closes(last) => return last.poll(&mut self.stream, cx),
            }
        }
    }
    /// Writes what hyper writes, an answer's names spelled as they came.
    fn poll_respelled(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.is_writing = true;
        if let Some(names) = self.facts.answer_names.take() {
            self.respelled.spell(names);
        }
        let written = ready!(self.respelled.poll_write(&mut self.stream, cx, bufs))?;
        self.facts.activity.moved();
        Poll::Ready(Ok(written))
    }
    /// Whether hyper says something by itself: a head was handed on of which it made no request.
    fn is_misread(&mut self) -> bool {
        let is_misread = self.facts.begun() < self.heads && self.state != State::Open;
        if is_misread {
            self.state = State::Refused(Why::Misread);
        }
        is_misread
    }
}

/// Some bytes, or an error.
fn some(written: Result<usize>) -> Result<usize> {
    match written? {
        0 => Err(ErrorKind::WriteZero.into()),
        some => Ok(some),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        if self.is_misread() {
            return Poll::Ready(Ok(buf.len()));
        }
        self.poll_respelled(cx, &[IoSlice::new(buf)])
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if self.is_misread() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        self.poll_respelled(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_writing = false;
        self.facts.activity.rests(self.is_at_rest());
        if self.waits.is_some() && self.is_answered() {
            // hyper thinks that there is nothing to be read.
            self.waits.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.state {
            State::Open => Pin::new(&mut self.stream).poll_shutdown(cx),
            _ => self.poll_leave(cx),
        }
    }
}

impl<S: Abort> Abort for Guarded<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}
