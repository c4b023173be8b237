//! An HTTP/1 connection that hyper serves while something is asked on it, and that otherwise rests outside of it.
//!
//! What hyper holds of a quiet connection is several times what the connection itself needs. So after [`REST`] without a request it is
//! taken from hyper, and given to a new one when something comes. What is kept meanwhile is what the connection is: how hyper serves it
//! is said anew each time.

use crate::exchange::Facts;
use crate::far_end::FarEnd;
use crate::front::{Back, Bounds, Guarded, Lent};
use crate::response_body::ResponseBody;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

/// So long nothing was asked on a connection that rests: longer than between the requests of who is at work.
pub(super) const REST: Duration = Duration::from_secs(1);

/// A stack that serves the requests of a connection.
pub(crate) trait Serves:
    Service<
        Request<Incoming>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Unpin
    + 'static
{
}

impl<S> Serves for S where
    S: Service<
            Request<Incoming>,
            Response = Response<ResponseBody>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Unpin
        + 'static
{
}

/// hyper's view of a stack: a clone per request, which is a few reference counts.
pub(super) struct Stack<S>(pub(super) S);

impl<S: Service<Request<Incoming>> + Clone> hyper::service::Service<Request<Incoming>>
    for Stack<S>
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;
    fn call(&self, request: Request<Incoming>) -> S::Future {
        // Our layers are always ready: what is full refuses.
        self.0.clone().call(request)
    }
}

/// The same for HTTP/1, where hyper keeps the place of a request's future also while there is no request: four KiB of a connection
/// that is quiet, unless it is boxed.
struct BoxedStack<S>(Stack<S>);

impl<S> hyper::service::Service<Request<Incoming>> for BoxedStack<S>
where
    S: Service<Request<Incoming>> + Clone,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.0.call(request))
    }
}

/// What a connection can be asked besides to go on.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// To end after what is in flight.
    fn end(self: Pin<&mut Self>);
    /// To take less room, if nothing has been asked for a while. Whether it does.
    fn rest(self: Pin<&mut Self>) -> bool {
        false
    }
    /// Whether it takes less room now.
    fn is_resting(&self) -> bool {
        false
    }
}

/// How hyper serves HTTP/1. The guard speaks first, and says more: hyper is told of slightly larger bounds.
fn builder(judged: Bounds) -> http1::Builder {
    let more_bytes = judged.head_bytes + 1024;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(judged.fields + 1)
        .max_header_size(more_bytes)
        .max_buf_size(more_bytes.max(16 * 1024));
    builder
}

type Serving<I, S> = http1::UpgradeableConnection<TokioIo<Lent<I>>, BoxedStack<S>>;

enum State<I, S>
where
    S: Serves,
{
    /// hyper has it.
    Serves(Pin<Box<Serving<I, S>>>),
    /// Nobody has.
    Rests(Box<Guarded<I>>),
    /// It has ended.
    Over,
}

/// One such connection.
pub(super) struct Resting<I, S>
where
    S: Serves,
{
    state: State<I, S>,
    back: Back<I>,
    judged: Bounds,
    stack: S,
    facts: Arc<Facts>,
}

impl<I, S> Resting<I, S>
where
    I: FarEnd + AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Serves,
{
    /// Serves a connection that begins, and whose heads are bounded so.
    pub(super) fn new(
        guarded: Box<Guarded<I>>,
        judged: Bounds,
        stack: S,
        facts: Arc<Facts>,
    ) -> Self {
        Self {
            state: State::Rests(guarded),
            back: Back::new(),
            judged,
            stack,
            facts,
        }
    }
    /// hyper gets it.
    fn serve(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Over);
        self.state = match state {
            State::Rests(guarded) => {
                let io = TokioIo::new(self.back.lend(guarded));
                let stack = BoxedStack(Stack(self.stack.clone()));
                let serving = builder(self.judged).serve_connection(io, stack);
                State::Serves(Box::pin(serving.with_upgrades()))
            }
            state => state,
        };
    }
}

impl<I, S> Future for Resting<I, S>
where
    I: FarEnd + AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Serves,
{
    type Output = hyper::Result<()>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Serves(serving) => return serving.as_mut().poll(cx),
                State::Rests(guarded) => ready!(guarded.poll_stirs(cx)),
                State::Over => return Poll::Ready(Ok(())),
            }
            this.serve();
        }
    }
}

impl<I, S> Graceful for Resting<I, S>
where
    I: FarEnd + AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Serves,
{
    fn end(mut self: Pin<&mut Self>) {
        // hyper knows how.
        self.serve();
        if let State::Serves(serving) = &mut self.state {
            serving.as_mut().graceful_shutdown();
        }
    }
    fn rest(mut self: Pin<&mut Self>) -> bool {
        let this = &mut *self;
        if matches!(this.state, State::Serves(_)) && this.facts.activity.has_rested(REST) {
            // What hyper drops comes back.
            this.state = State::Over;
            if let Some(guarded) = this.back.take() {
                this.state = State::Rests(guarded);
                this.facts.rest();
            }
        }
        this.is_resting()
    }
    fn is_resting(&self) -> bool {
        matches!(self.state, State::Rests(_))
    }
}
