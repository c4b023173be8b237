//! The outermost layer: every request becomes an [`Exchange`], every refusal an answer.

use crate::answer::{Cause, Form, Refusal};
use crate::declined::Declined;
use crate::exchange::{Exchange, Facts};
use crate::response_body::ResponseBody;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use telemetry::Direction;
use tower::{Layer, Service};

/// A request and what will be told of it.
pub(crate) struct Asked {
    /// As it came.
    pub(crate) request: Request<Incoming>,
    /// What will be told.
    pub(crate) exchange: Box<Exchange>,
}

/// A request that gets our own answer, and what will be told of it.
pub(crate) struct Refused {
    /// Why, and how it is answered.
    pub(crate) refusal: Refusal,
    /// What will be told.
    pub(crate) exchange: Box<Exchange>,
}

/// First in every stack, so that whatever is refused below is counted, logged and answered in one place.
#[derive(Clone)]
pub(crate) struct Observe {
    /// The connection.
    pub(crate) facts: Arc<Facts>,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;
    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            facts: self.facts.clone(),
            inner,
        }
    }
}

/// [`Observe`] over an inner service.
#[derive(Clone)]
pub(crate) struct Observed<S> {
    facts: Arc<Facts>,
    inner: S,
}

impl<S> Service<Request<Incoming>> for Observed<S>
where
    S: Service<Asked, Response = Response<ResponseBody>, Error = Refused>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering<S::Future>;
    /// Always ready: what is full refuses, and does not queue.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let form = Form::of(request.method(), request.headers());
        let exchange = Exchange::begin(&self.facts, request.method(), request.uri());
        Answering {
            inner: self.inner.call(Asked { request, exchange }),
            form,
        }
    }
}

pin_project! {
    /// An answer on its way: the upstream's, or ours.
    pub(crate) struct Answering<F> {
        #[pin]
        inner: F,
        form: Form,
    }
}

impl<F: Future<Output = Result<Response<ResponseBody>, Refused>>> Future for Answering<F> {
    type Output = Result<Response<ResponseBody>, Infallible>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Refused {
            refusal,
            mut exchange,
        } = match ready!(this.inner.poll(cx)) {
            Ok(response) => return Poll::Ready(Ok(response)),
            Err(refused) => refused,
        };
        let is_of_head = matches!(
            refusal.cause,
            Cause::HeadTooLarge | Cause::Malformed | Cause::Expectation
        );
        if is_of_head && exchange.body_refused().is_none() {
            exchange.facts().metrics.refused_head(refusal.reason);
        }
        let mut answer = refusal.answer(*this.form);
        exchange.refused(&refusal, answer.status().as_u16());
        if exchange.facts().direction == Direction::Inbound
            && let Some(declined) = Declined::by(&refusal)
        {
            declined.say(answer.headers_mut());
        }
        if exchange.is_connect() {
            // Its caller may have begun to speak to whom it asked for: none of that may be read as a request.
            let headers = answer.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer.map(|body| ResponseBody::own(body, exchange))))
    }
}

pin_project! {
    /// The future of a layer that decides at once: a refusal, or the inner service's future. No allocation.
    #[project = MaybeReadyProj]
    pub(crate) enum MaybeReady<F, E> {
        /// Refused here.
        Refused { refused: Option<E> },
        /// Passed on.
        Passed { #[pin] inner: F },
    }
}

impl<F, T, E> Future for MaybeReady<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        match self.project() {
            MaybeReadyProj::Refused { refused } => match refused.take() {
                Some(refused) => Poll::Ready(Err(refused)),
                // Polled again after it was ready: a future may do anything then but answer twice.
                None => Poll::Pending,
            },
            MaybeReadyProj::Passed { inner } => inner.poll(cx),
        }
    }
}
