//! A request on its way to an upstream, and its answer back.
//!
//! In: a request that a stage before vouches for, its upstream, its deadline. Out: the upstream's answer, streaming, or a
//! refusal that says whether the request may have reached the app. Only what was certainly not sent is sent again.

use crate::answer::{Cause, Reached, Refusal};
use crate::authority::Authority;
use crate::exchange::{CERTIFICATE_ENDED, Exchange};
use crate::headers::strip_head;
use crate::http::Refused;
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;
use crate::upstream::{Lease, Unanswered, Upstream};
use crate::version::Version;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri};
use hyper::body::Incoming;
use std::time::{Duration, Instant};

/// A kept connection may be closed by its server at the moment of taking it; each such race costs one attempt, and a server
/// that loses this many in a row is down.
const ATTEMPTS_MAX: usize = 4;

/// Where a request goes, and how.
pub(crate) struct Way<'a> {
    /// The app, or a service.
    pub(crate) upstream: &'a Upstream,
    /// What the client spoke, and so what this hop speaks.
    pub(crate) version: Version,
    /// Until the response head.
    pub(crate) timeout: Option<Duration>,
}

/// Forwards one request.
pub(crate) async fn forward(
    request: Request<Incoming>,
    mut exchange: Box<Exchange>,
    authority: Option<Authority>,
    way: Way<'_>,
) -> Result<Response<ResponseBody>, Refused> {
    let (parts, body) = request.into_parts();
    let (body, sending) = RequestBody::new(body, exchange.facts());
    exchange.sending = sending;
    let mut request = Request::from_parts(parts, body);
    if let Err(refusal) = address(&mut request, authority.as_ref(), way.version) {
        return Err(Refused { refusal, exchange });
    }
    let mut reached = Reached::No;
    let attempts = attempt(request, &mut exchange, &way, &mut reached);
    let answered = match way.timeout {
        None => attempts.await,
        Some(within) => tokio::time::timeout(within, attempts)
            .await
            .unwrap_or(Err(None)),
    };
    match answered {
        Ok((response, lease)) => received(response, lease, exchange, way.upstream),
        Err(refusal) => {
            let late = || Refusal {
                reached,
                ..Refusal::unsent(Cause::ReadTimeout, "no_response_head_in_time")
            };
            Err(Refused {
                refusal: refusal.unwrap_or_else(late),
                exchange,
            })
        }
    }
}

/// The refusal is `None` when time ran out.
type Attempted = Result<(Response<Incoming>, Lease), Option<Refusal>>;

async fn attempt(
    mut request: Request<RequestBody>,
    exchange: &mut Exchange,
    way: &Way<'_>,
    reached: &mut Reached,
) -> Attempted {
    for _ in 0..ATTEMPTS_MAX {
        let mut lease = way.upstream.lease(way.version).await.map_err(Some)?;
        exchange.endpoint = Some(lease.endpoint().clone());
        exchange.upstream_tls_group = lease.tls_group();
        let sent = Instant::now();
        *reached = Reached::Maybe;
        let again = again(&request, way.version);
        match lease.send(request).await {
            Ok(response) => {
                exchange.upstream = Some(sent.elapsed());
                return Ok((response, lease));
            }
            Err(Unanswered::Unsent(back)) => {
                *reached = Reached::No;
                request = *back;
            }
            Err(Unanswered::Unprocessed(error)) => {
                *reached = Reached::No;
                let lost = Refusal::unsent(Cause::Terminated, "not_processed");
                request = again.ok_or_else(|| Some(lost.explained(Told(&error))))?;
            }
            Err(Unanswered::Sent(error)) if lease.is_cut() => {
                let cut = Refusal::sent(Cause::Terminated, CERTIFICATE_ENDED);
                return Err(Some(cut.explained(Told(&error))));
            }
            Err(Unanswered::Sent(error)) => return Err(Some(unanswered(&error))),
        }
    }
    Err(Some(Refusal::unsent(
        Cause::Unavailable,
        "connections_closed",
    )))
}

/// A second copy of a request that its server may decline after it was sent, as servers do that end an HTTP/2 connection
/// (nginx after a thousand streams). Only of one without a body: a body goes once.
fn again(request: &Request<RequestBody>, version: Version) -> Option<Request<RequestBody>> {
    if version != Version::Http2 {
        return None;
    }
    let mut again = Request::new(request.body().again()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

fn unanswered(error: &hyper::Error) -> Refusal {
    let refusal = if error.is_parse_too_large() {
        Refusal::sent(Cause::LyingResponse, "response_head_too_large")
    } else if error.is_parse() {
        Refusal::sent(Cause::LyingResponse, "malformed_response")
    } else {
        Refusal::sent(Cause::Terminated, "closed_before_response")
    };
    refusal.explained(Told(error))
}

/// hyper says the cause of an error only in its source.
struct Told<'a>(&'a hyper::Error);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        match std::error::Error::source(self.0) {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// Writes the target in the form of the hop: origin form and `Host` on HTTP/1, scheme and authority on HTTP/2.
fn address(
    request: &mut Request<RequestBody>,
    authority: Option<&Authority>,
    version: Version,
) -> Result<(), Refusal> {
    let bad = |_| Refusal::unsent(Cause::Malformed, "bad_target");
    match version {
        Version::Http1 => {
            *request.version_mut() = http::Version::HTTP_11;
            if request.uri().authority().is_some() {
                let path = request
                    .uri()
                    .path_and_query()
                    .cloned()
                    .unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
                let mut parts = uri::Parts::default();
                parts.path_and_query = Some(path);
                *request.uri_mut() = Uri::from_parts(parts)
                    .map_err(|_| Refusal::unsent(Cause::Malformed, "bad_target"))?;
                if let Some(authority) = authority {
                    request
                        .headers_mut()
                        .insert(header::HOST, authority.text().clone());
                }
            } else if !request.headers().contains_key(header::HOST) {
                // HTTP/1.0 may come without; HTTP/1.1 must not go without (RFC 9112 §3.2).
                request
                    .headers_mut()
                    .insert(header::HOST, HeaderValue::from_static(""));
            }
        }
        Version::Http2 => {
            *request.version_mut() = http::Version::HTTP_2;
            if request.uri().scheme().is_none() || request.uri().authority().is_none() {
                let mut parts = request.uri().clone().into_parts();
                parts.scheme.get_or_insert(uri::Scheme::HTTP);
                if parts.authority.is_none() {
                    let named =
                        authority.ok_or_else(|| Refusal::unsent(Cause::Malformed, "no_host"))?;
                    let named = uri::Authority::try_from(named.text().as_bytes()).map_err(bad)?;
                    parts.authority = Some(named);
                }
                *request.uri_mut() = Uri::from_parts(parts)
                    .map_err(|_| Refusal::unsent(Cause::Malformed, "bad_target"))?;
            }
            // What `:authority` says is not said twice.
            request.headers_mut().remove(header::HOST);
        }
    }
    Ok(())
}

fn received(
    response: Response<Incoming>,
    lease: Lease,
    mut exchange: Box<Exchange>,
    upstream: &Upstream,
) -> Result<Response<ResponseBody>, Refused> {
    let lie = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // We never forward an Upgrade: who switches all the same has not understood the request.
        Some("switched_unasked")
    } else if response.headers().len() > upstream.config().headers {
        // hyper counts them on HTTP/1 only.
        Some("response_head_too_large")
    } else {
        None
    };
    if let Some(reason) = lie {
        let refusal = Refusal::sent(Cause::LyingResponse, reason);
        return Err(Refused { refusal, exchange });
    }
    exchange.status = response.status().as_u16();
    let (mut parts, body) = response.into_parts();
    strip_head(&mut parts.headers);
    parts.version = http::Version::default();
    let body = ResponseBody::upstream(body, lease, exchange);
    Ok(Response::from_parts(parts, body))
}
