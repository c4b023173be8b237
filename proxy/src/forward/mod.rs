//! A request on its way to an upstream, and its answer back.
//!
//! In: a request that a stage before vouches for, its upstream, its deadline. Out: the upstream's answer, streaming, or a
//! refusal that says whether the request may have reached the app. Only what was certainly not sent is sent again.

mod address;
mod attempt;
mod interim;
mod received;
mod tunnel;

use crate::answer::{Cause, Reached, Refusal};
use crate::authority::Authority;
use crate::declined::Declined;
use crate::exchange::Exchange;
use crate::expect::{Gate, Latch};
use crate::http::Refused;
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;
use crate::retry::{Allowed, Budget, Outcome};
use crate::snapshot::Service;
use crate::trail::Trail;
use crate::upgrade::Handover;
use crate::upstream::{How, Lease, Tried, Upstream};
use crate::version::Version;
use crate::wish::Wish;
use address::address;
use attempt::attempt;
use http::{HeaderMap, Request, Response, uri};
use hyper::body::Incoming;
use interim::Heard;
use received::received;
use std::pin::pin;
use std::time::{Duration, Instant};

pub(crate) use tunnel::tunnel;

/// Where a request goes, and how.
pub(crate) struct Way<'a> {
    /// The app, or a service.
    pub(crate) upstream: &'a Upstream,
    /// What the client spoke, and so what this hop speaks.
    pub(crate) version: Version,
    /// Until the response head.
    pub(crate) timeout: Option<Duration>,
    /// Until the last byte of the answer.
    pub(crate) total_timeout: Option<Duration>,
    /// When it is sent again.
    pub(crate) allowed: Allowed<'a>,
    /// What that may cost.
    pub(crate) budget: Option<&'a Budget>,
    /// How much of a body is kept for that.
    pub(crate) keep_bytes: usize,
    /// Where what becomes of the caller's connection is left.
    pub(crate) handover: &'a Handover,
}

impl<'a> Way<'a> {
    /// To the app beside us.
    pub(crate) fn to_app(upstream: &'a Upstream, version: Version, handover: &'a Handover) -> Self {
        Self {
            upstream,
            version,
            timeout: None,
            total_timeout: None,
            allowed: Allowed::ToApp,
            budget: None,
            keep_bytes: 0,
            handover,
        }
    }
    /// To a service.
    pub(crate) fn to_service(
        service: &'a Service,
        version: Version,
        handover: &'a Handover,
    ) -> Self {
        Self {
            upstream: &service.upstream,
            version,
            timeout: service.timeout,
            total_timeout: service.total_timeout,
            allowed: service
                .retries
                .as_ref()
                .map_or(Allowed::Default, Allowed::By),
            budget: Some(&service.budget),
            keep_bytes: service.keep_bytes,
            handover,
        }
    }
    /// What a service's sidecar says of a request that did not come to its app; `None`: it does not say so, or there is nobody
    /// else to ask. An endpoint without an app rests.
    fn heard(&self, headers: &HeaderMap, lease: &Lease, tried: &Tried) -> Option<Outcome> {
        // The app beside us and whoever is outside the mesh may write what they like.
        if !matches!(self.upstream.how(), How::Mutual { .. }) {
            return None;
        }
        match Declined::said(headers) {
            None => {
                self.upstream.has_app(lease);
                None
            }
            Some(Declined::Unprocessed) => Some(Outcome::Declined),
            Some(Declined::Unavailable) => {
                self.upstream.is_without_app(lease);
                let another = self.upstream.has_another(lease, tried);
                another.then_some(Outcome::Elsewhere)
            }
        }
    }
    /// Where TLS ends at the server itself, the scheme is the one of that (RFC 9113 §8.3.1): it believes no other.
    fn scheme(&self) -> Option<uri::Scheme> {
        self.upstream.outside().map(|_| uri::Scheme::HTTPS)
    }
    /// Takes one retry from what there is, and counts that, or that there was none left.
    fn pay(&self, exchange: &Exchange, outcome: Outcome) -> bool {
        let paid = self
            .budget
            .is_some_and(|budget| budget.spend(Instant::now()));
        self.count(exchange, outcome, paid);
        paid
    }
    fn count(&self, exchange: &Exchange, outcome: Outcome, paid: bool) {
        let service = exchange.to.as_ref().map_or("", |to| &*to.service);
        let result = if paid { "sent" } else { "no_budget" };
        let metrics = &exchange.facts().metrics;
        metrics.retried(service, outcome.label(), result);
    }
    /// When time runs out, and what is said then.
    fn deadline(&self, now: Instant) -> Option<(Instant, Cause, &'static str)> {
        let head = (self.timeout, Cause::ReadTimeout, "no_response_head_in_time");
        let whole = (
            self.total_timeout,
            Cause::ResponseTimeout,
            "no_response_in_time",
        );
        [head, whole]
            .into_iter()
            .filter_map(|(within, cause, reason)| Some((now + within?, cause, reason)))
            .min_by_key(|(at, ..)| *at)
    }
}

/// Forwards one request.
pub(crate) async fn forward(
    mut request: Request<Incoming>,
    mut exchange: Box<Exchange>,
    authority: Option<Authority>,
    way: Way<'_>,
) -> Result<Response<ResponseBody>, Refused> {
    let caller = (exchange.wish != Wish::Answer).then(|| hyper::upgrade::on(&mut request));
    let (gate, latch, heard) = match way.version {
        Version::Http1 => {
            let (gate, latch) = Gate::before(&request).unzip();
            let word = latch.as_ref().map(Latch::word);
            let bound = way.upstream.answers();
            let heard = Heard::of(&mut request, &exchange, word, bound);
            (gate, latch, Some(heard))
        }
        Version::Http2 => (None, None, None),
    };
    exchange.latch = latch;
    let (parts, body) = request.into_parts();
    let bound = way.upstream.config().bound();
    let (body, sending) = RequestBody::new(body, gate, &exchange, bound, way.keep_bytes);
    exchange.sending = sending;
    let mut request = Request::from_parts(parts, body);
    if let Err(refusal) = address(&mut request, authority.as_ref(), way.version, way.scheme()) {
        return Err(Refused { refusal, exchange });
    }
    if let Err(refusal) = mark(&mut request, &exchange, way.handover.trail()) {
        return Err(Refused { refusal, exchange });
    }
    let mut reached = Reached::No;
    let now = Instant::now();
    exchange.until = way.total_timeout.map(|within| now + within);
    if let Some(budget) = way.budget {
        budget.earn();
    }
    let deadline = way.deadline(now);
    let at = deadline.map(|(at, ..)| at);
    let answered = {
        // Pinned in one place: a future that is passed on by value takes its room again wherever it goes.
        let mut attempts = pin!(attempt(request, &mut exchange, &way, at, &mut reached));
        let attempts = async {
            match &heard {
                None => attempts.as_mut().await,
                Some(heard) => heard.unless_too_much(attempts.as_mut()).await,
            }
        };
        match at {
            None => attempts.await,
            Some(at) => tokio::time::timeout_at(at.into(), attempts)
                .await
                .unwrap_or(Err(None)),
        }
    };
    drop(heard);
    match answered {
        Ok((response, lease)) => received(response, lease, exchange, caller, &way),
        Err(refusal) => {
            if let Some((cause, reason)) = exchange.body_refused() {
                let refusal = Refusal {
                    reached,
                    ..Refusal::unsent(cause, reason)
                };
                return Err(Refused { refusal, exchange });
            }
            let late = || {
                let (cause, reason) = deadline.map_or(
                    (Cause::ReadTimeout, "no_response_head_in_time"),
                    |(_, cause, reason)| (cause, reason),
                );
                Refusal {
                    reached,
                    ..Refusal::unsent(cause, reason)
                }
            };
            Err(Refused {
                refusal: refusal.unwrap_or_else(late),
                exchange,
            })
        }
    }
}

/// Marks that it was here; refuses it when it was before.
fn mark(
    request: &mut Request<RequestBody>,
    exchange: &Exchange,
    trail: &Trail,
) -> Result<(), Refusal> {
    let facts = exchange.facts();
    // To whom: on the way in there is one app behind a listener.
    let whom = match &exchange.to {
        Some(to) => to.marked(),
        None => &*facts.listener,
    };
    let direction = facts.direction.as_str();
    let mut headers = std::mem::take(request.headers_mut());
    let target = request.uri().path_and_query();
    let target = target.map_or("", uri::PathAndQuery::as_str);
    let what = [direction, whom, request.method().as_str(), target];
    let marked = trail.mark(&exchange.marks, what, &mut headers);
    *request.headers_mut() = headers;
    marked.map_err(|lost| Refusal::unsent(Cause::Loop, lost.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// It is made and moved for every request.
    #[test]
    fn the_future_of_a_request_is_small() {
        let bytes = bytes_of(forward);
        assert!(bytes <= 5 * 1024, "{bytes} bytes");
    }
}
