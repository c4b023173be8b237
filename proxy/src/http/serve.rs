//! One HTTP connection, from its first byte to its end.
//!
//! In: an authenticated stream (or an app's), the stack of its listener, limits. The connection ends when the peer leaves,
//! when nothing was asked for `idle`, when a head takes longer than `head`, or, after what is in flight, when `stop` says so or
//! an identity on it has ended. What is then still in flight after `afterExpiry` is cut.

use crate::activity::Watch;
use crate::clock;
use crate::exchange::Facts;
use crate::front::Guarded;
use crate::response_body::ResponseBody;
use crate::version::Version;
use config::sidecar::Limits;
use daemon::drain::Draining;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tower::Service;

/// hyper's view of a stack: a clone per request, which is a few reference counts.
struct Stack<S>(S);

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

/// How a connection is asked to end after what is in flight.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn end(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B, E> Graceful for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Streams that one connection may have open: `limits.streams` of the contract; each costs memory before it is refused.
const STREAMS_MAX: u32 = 250;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Streams that were reset before we accepted them (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;

/// So long before an identity on it ends, a connection is asked to end. Callers stop using it a second earlier still, and nobody
/// who goes by a clock half as wrong meets a connection that its server is just closing.
const ENDING: Duration = Duration::from_secs(1);

/// What bounds a connection.
pub(crate) struct Bounds<'a> {
    /// The configured limits.
    pub(crate) limits: &'a Limits,
    /// When an identity on this connection ends: no new request after it.
    pub(crate) ends: Option<SystemTime>,
    /// Asked to end.
    pub(crate) stop: Draining,
}

/// Serves one connection to its end.
pub(crate) async fn serve<I, S>(
    io: I,
    version: Version,
    stack: S,
    facts: &Arc<Facts>,
    bounds: Bounds<'_>,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let limits = bounds.limits;
    match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_headers(limits.headers)
                .max_header_size(limits.header_bytes)
                .max_buf_size(limits.header_bytes.max(16 * 1024));
            let io = TokioIo::new(Guarded::new(io, facts.clone()));
            drive(builder.serve_connection(io, Stack(stack)), facts, bounds).await;
        }
        Version::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
                .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
                .max_send_buf_size(256 * 1024);
            drive(
                builder.serve_connection(TokioIo::new(io), Stack(stack)),
                facts,
                bounds,
            )
            .await;
        }
    }
}

async fn drive(connection: impl Graceful, facts: &Facts, bounds: Bounds<'_>) {
    let Bounds { limits, ends, stop } = bounds;
    let began = SystemTime::now();
    let ends = ends.map(|end| Ends::of(end, limits.after_expiry, began));
    let mut connection = pin!(connection);
    let first = until(ends, limits.head.min(limits.idle));
    let mut look = pin!(tokio::time::sleep(first));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    told(facts, &error);
                }
                return;
            }
            () = stop.started(), if !ending => {
                ending = true;
                connection.as_mut().end();
            }
            () = look.as_mut() => match verdict(facts, limits, ends, ending) {
                Verdict::LookAgain(after) => look.as_mut().reset(Instant::now() + after),
                Verdict::End => {
                    ending = true;
                    connection.as_mut().end();
                    look.as_mut().reset(Instant::now() + until(ends, limits.head));
                }
                Verdict::Cut => return,
            }
        }
    }
}

enum Verdict {
    LookAgain(Duration),
    End,
    Cut,
}

fn verdict(facts: &Facts, limits: &Limits, ends: Option<Ends>, ending: bool) -> Verdict {
    let now = SystemTime::now();
    let ended = ends.is_some_and(|ends| ends.ask <= now);
    if ends.is_some_and(|ends| ends.cut.is_some_and(|cut| cut <= now)) {
        facts.certificate_ended();
        return Verdict::Cut;
    }
    match facts.activity.watch(limits.head, limits.idle) {
        Watch::HeadTooSlow => {
            facts.metrics.refused_head("head_timeout");
            Verdict::Cut
        }
        // Asked to end once already, and the peer keeps the quiet connection open.
        Watch::Idle if ending => Verdict::Cut,
        Watch::Idle => Verdict::End,
        Watch::LookAgain(_) if ended && !ending => Verdict::End,
        Watch::LookAgain(after) => Verdict::LookAgain(until(ends, after)),
    }
}

/// At most so long; where identities end, no longer than until the next thing happens because of that, nor than the wall
/// clock may go unseen.
fn until(ends: Option<Ends>, at_most: Duration) -> Duration {
    let now = SystemTime::now();
    let moments = ends.into_iter().flat_map(|ends| [Some(ends.ask), ends.cut]);
    let next = moments
        .flatten()
        .filter_map(|moment| clock::wait(moment, now))
        .min();
    next.map_or(at_most, |next| next.min(at_most))
}

/// What an identity that ends does to its connection, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    /// It is asked to end after what is in flight.
    ask: SystemTime,
    /// What is still in flight is cut; `None`: never.
    cut: Option<SystemTime>,
}

impl Ends {
    /// Of an identity that ends then, on a connection that began at `began`: one that was made so late has its time.
    fn of(end: SystemTime, after_expiry: Duration, began: SystemTime) -> Self {
        let early = end.checked_sub(ENDING).filter(|early| *early > began);
        Self {
            ask: early.unwrap_or(end),
            cut: clock::cut_at(end, after_expiry),
        }
    }
}

/// What hyper refused by itself: counted, since no exchange came of it.
fn told(facts: &Facts, error: &hyper::Error) {
    let reason = if error.is_parse_too_large() {
        "head_too_large"
    } else if error.is_parse() {
        "malformed_head"
    } else {
        return;
    };
    facts.metrics.refused_head(reason);
    tracing::debug!(listener = &*facts.listener, %error, "refused a head");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_asked_to_end_a_second_early_unless_it_only_just_began() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        for (end_ms, began_ms, asked_ms) in [
            (10_000, 0, 9_000),
            (10_000, 8_999, 9_000),
            (10_000, 9_000, 10_000),
            (10_000, 9_999, 10_000),
        ] {
            let ends = Ends::of(at(end_ms), Duration::from_secs(5), at(began_ms));
            let wanted = Ends {
                ask: at(asked_ms),
                cut: Some(at(end_ms + 5_000)),
            };
            assert_eq!(ends, wanted, "{end_ms} {began_ms}");
        }
    }
}
