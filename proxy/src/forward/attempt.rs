//! A request, sent until an upstream has it or nobody will: what is decided in `retry`, done.

use super::Way;
use crate::answer::{Cause, Reached, Refusal};
use crate::exchange::{CERTIFICATE_ENDED, Exchange};
use crate::request_body::{RequestBody, Spare};
use crate::retry::{Allowed, Answered, Asked, Outcome, Verdict, decide};
use crate::retry::{asked_to_wait, chance, is_unavailable};
use crate::trail::mark_attempt;
use crate::upstream::{Lease, RESPONSE_HEAD_TOO_LARGE, Tried, Unanswered};
use crate::version::Version;
use crate::wish::Wish;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

/// The refusal is `None` when time ran out.
pub(super) type Attempted = Result<(Response<Incoming>, Lease), Option<Refusal>>;

/// What one sending came to.
enum Sent {
    /// An answer.
    Answered(Box<(Response<Incoming>, Lease)>),
    /// None, and what the caller will be told if that is all. With the request, when it was not used up.
    Unanswered(Outcome, Refusal, Option<Box<Request<RequestBody>>>),
}

impl Sent {
    fn outcome(&self, way: &Way<'_>, tried: &Tried) -> Outcome {
        match self {
            Self::Unanswered(outcome, ..) => *outcome,
            Self::Answered(answer) => {
                let (status, headers) = (answer.0.status(), answer.0.headers());
                if let Some(declined) = way.heard(headers, &answer.1, tried) {
                    return declined;
                }
                if !is_unavailable(status, headers) {
                    return Outcome::Final;
                }
                Outcome::Answered(Answered {
                    unavailable: true,
                    wait: asked_to_wait(headers, SystemTime::now()),
                })
            }
        }
    }
    /// The request once more, when it came back.
    fn returned(&mut self) -> Option<Request<RequestBody>> {
        match self {
            Self::Unanswered(_, _, request) => request.take().map(|request| *request),
            Self::Answered(_) => None,
        }
    }
    fn end(self) -> Attempted {
        match self {
            Self::Answered(answer) => Ok(*answer),
            Self::Unanswered(_, refusal, _) => Err(Some(refusal)),
        }
    }
}

/// Sends it, and again as long as `retry` says so. `reached` says at every moment whether any sending may have reached the app.
pub(super) async fn attempt(
    request: Request<RequestBody>,
    exchange: &mut Exchange,
    way: &Way<'_>,
    deadline: Option<Instant>,
    reached: &mut Reached,
) -> Attempted {
    let again = Again::of(&request, way);
    let method = request.method().clone();
    let (mut races, mut retries, mut tried) = (0, 0, Tried::default());
    let mut request = request;
    loop {
        let before = *reached;
        let mut sent = send(request, exchange, way, &mut tried, reached).await;
        let outcome = sent.outcome(way, &tried);
        match outcome {
            Outcome::Final => return sent.end(),
            // Its server says so.
            Outcome::Declined | Outcome::Elsewhere => {
                *reached = before;
                if let Sent::Answered(answer) = &sent {
                    tried.declined(&answer.1);
                }
            }
            _ => {}
        }
        let returned = sent.returned();
        let asked = Asked {
            method: &method,
            is_retry: exchange.marks.is_retry(),
            repeatable: returned.is_some() || again.as_ref().is_some_and(Again::is_whole),
            races,
            retries,
            left: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let verdict = decide(way.allowed, asked, outcome, chance());
        let wait = match verdict {
            Verdict::No => return sent.end(),
            Verdict::Anew => None,
            Verdict::Again(wait) => {
                let paid = way.pay(exchange, outcome);
                if !paid {
                    return sent.end();
                }
                Some(wait)
            }
        };
        let Some(mut next) = returned.or_else(|| again.as_ref().map(Again::request)) else {
            return sent.end();
        };
        match wait {
            None if outcome == Outcome::Raced => races += 1,
            None => {
                retries += 1;
                if outcome == Outcome::Elsewhere {
                    way.count(exchange, outcome, true);
                }
            }
            Some(wait) => {
                retries += 1;
                mark_attempt(next.headers_mut(), retries + 1);
                let whole = again.as_ref().is_none_or(|again| again.body.is_empty());
                set_aside(sent, wait, whole).await;
            }
        }
        request = next;
    }
}

/// Waits, and meanwhile reads what is left of an answer that nobody will see, so that its connection can be used again.
async fn set_aside(sent: Sent, wait: Duration, is_request_gone: bool) {
    let until = tokio::time::Instant::now() + wait;
    if let Sent::Answered(answer) = sent {
        let (response, mut lease) = *answer;
        let mut body = response.into_body();
        let small = body
            .size_hint()
            .upper()
            .is_some_and(|upper| upper <= SMALL_BYTES);
        let rest = async {
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                frame?;
            }
            Ok::<_, hyper::Error>(())
        };
        if small
            && is_request_gone
            && let Ok(Ok(())) = tokio::time::timeout_at(until, rest).await
        {
            lease.give_back();
        }
    }
    tokio::time::sleep_until(until).await;
}

/// An answer that says no is a line or a page; reading more costs more than another connection.
const SMALL_BYTES: u64 = 64 * 1024;

/// Sends it once.
async fn send(
    request: Request<RequestBody>,
    exchange: &mut Exchange,
    way: &Way<'_>,
    tried: &mut Tried,
    reached: &mut Reached,
) -> Sent {
    let before = *reached;
    let mut lease = match way.upstream.lease(way.version, tried).await {
        Ok(lease) => lease,
        Err(refusal) => {
            let outcome = match refusal.cause {
                // Ours to mend, or never to be tried.
                Cause::OwnIdentityEnded | Cause::ProhibitedAddress => Outcome::Final,
                _ => Outcome::NotConnected,
            };
            let refusal = Refusal {
                reached: before,
                ..refusal
            };
            return Sent::Unanswered(outcome, refusal, Some(Box::new(request)));
        }
    };
    if let Some(server) = lease.server()
        && let Err(over) = way.handover.goes(exchange, server)
    {
        let refused = Refusal::unsent(Cause::TlsCertificate, over.reason);
        let refused = Refusal {
            reached: before,
            ..refused.explained(over.explanation)
        };
        return Sent::Unanswered(Outcome::Final, refused, None);
    }
    exchange.endpoint = Some(lease.endpoint().clone());
    exchange.upstream_tls_group = lease.tls_group();
    let handshake = way.upstream.config().handshake;
    if exchange.wish == Wish::WebSocket && !lease.takes_websocket(handshake).await {
        let refusal = Refusal {
            reached: before,
            ..Refusal::unsent(Cause::NotOffered, "websocket_not_offered_by_server")
        };
        let why = "its HTTP/2 settings do not offer extended CONNECT (RFC 8441)";
        let request = Some(Box::new(request));
        return Sent::Unanswered(Outcome::Final, refusal.explained(why), request);
    }
    let began = Instant::now();
    *reached = Reached::Maybe;
    let unanswered = match lease.send(request, &exchange.facts().asked_names).await {
        Ok(response) => {
            exchange.upstream = Some(began.elapsed());
            return Sent::Answered(Box::new((response, lease)));
        }
        Err(unanswered) => unanswered,
    };
    let unsent = |cause, reason| Refusal {
        reached: before,
        ..Refusal::unsent(cause, reason)
    };
    if let Some(said) = lease.disbelief() {
        *reached = before;
        let refused = unsent(Cause::TlsCertificate, "refused_by_peer").explained(said);
        return Sent::Unanswered(Outcome::Final, refused, None);
    }
    match unanswered {
        Unanswered::Unsent(back) => {
            *reached = before;
            tried.raced(&lease);
            let closed = unsent(Cause::Unavailable, "connections_closed");
            Sent::Unanswered(Outcome::Raced, closed, Some(back))
        }
        Unanswered::Unprocessed(error) => {
            *reached = before;
            // A server that ends says so on new connections, too: others come first.
            tried.raced(&lease);
            let declined = unsent(Cause::Terminated, "not_processed").explained(Told(&error));
            Sent::Unanswered(Outcome::Declined, declined, None)
        }
        Unanswered::Sent(error) if lease.is_cut() => {
            let cut = Refusal::sent(Cause::Terminated, CERTIFICATE_ENDED);
            Sent::Unanswered(Outcome::Final, cut.explained(Told(&error)), None)
        }
        Unanswered::Sent(error) => {
            if let Some(reason) = lease.lied(exchange.facts()) {
                let refusal = Refusal::sent(Cause::LyingResponse, reason);
                return Sent::Unanswered(Outcome::Final, refusal.explained(Told(&error)), None);
            }
            let refusal = unanswered_by(&error);
            let lost = refusal.cause == Cause::Terminated && !error.is_user() && !lease.was_heard();
            let outcome = if lost { Outcome::Lost } else { Outcome::Final };
            Sent::Unanswered(outcome, refusal, None)
        }
    }
}

/// A second copy of a request that may have to be sent again after its server has it. Costs a copy of the head, and so is not
/// made where that cannot come to pass: an app over HTTP/1 declines nothing.
struct Again {
    head: Request<()>,
    body: Spare,
}

impl Again {
    fn of(request: &Request<RequestBody>, way: &Way<'_>) -> Option<Self> {
        if way.version != Version::Http2 && matches!(way.allowed, Allowed::ToApp) {
            return None;
        }
        let body = request.body().spare()?;
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        // What it wishes its connection to become, and who waits for interim answers.
        *head.extensions_mut() = request.extensions().clone();
        Some(Self { head, body })
    }
    fn is_whole(&self) -> bool {
        self.body.is_whole()
    }
    fn request(&self) -> Request<RequestBody> {
        self.head.clone().map(|()| self.body.body())
    }
}

fn unanswered_by(error: &hyper::Error) -> Refusal {
    let refusal = if error.is_parse_too_large() {
        Refusal::sent(Cause::LyingResponse, RESPONSE_HEAD_TOO_LARGE)
    } else if error.is_parse() || is_found_wrong(error) {
        Refusal::sent(Cause::LyingResponse, "malformed_response")
    } else {
        Refusal::sent(Cause::Terminated, "closed_before_response")
    };
    refusal.explained(Told(error))
}

/// Whether h2 found what came to be none of HTTP/2.
fn is_found_wrong(error: &hyper::Error) -> bool {
    let h2 = std::error::Error::source(error).and_then(|it| it.downcast_ref::<h2::Error>());
    h2.is_some_and(h2::Error::is_library)
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
