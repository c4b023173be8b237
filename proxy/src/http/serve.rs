//! One HTTP connection, from its first byte to its end.
//!
//! In: an authenticated stream (or an app's), the stack of its listener, limits. The connection ends when the peer leaves,
//! when nothing was asked for `idle`, when a head takes longer than `head`, or, after what is in flight, when `stop` says so or
//! an identity on it has ended. What is then still in flight after `afterExpiry` is cut.

use super::resting::{Graceful, REST, Resting, Serves, Stack};
use super::streams::Streams;
use super::watchdog::{LEAVE, Verdict, Watched};
use crate::abort::Abort;
use crate::exchange::{ASKED_BACK, Facts};
use crate::far_end::FarEnd;
use crate::front::{Ahead, Blocks, Bounds as Judged, Calm, Guarded, too_much_of};
use crate::load::Holding;
use crate::still::Judging;
use crate::trail;
use crate::upgrade::Handover;
use crate::version::Version;
use config::sidecar::{HalfClose, Limits};
use daemon::drain::Draining;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

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

const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// So many streams that were reset before we accepted them are kept at least: they are counted ([`Calm`]), and this only bounds
/// what they hold in between.
const PENDING_RESETS_MIN: usize = 20;

/// A quiet HTTP/1 connection that is asked to end closes after this, or with the answer to the next request: to close it at once
/// would meet the request that its peer is just sending.
const LINGERS: Duration = Duration::from_secs(1);

/// What bounds a connection.
pub(crate) struct Bounds<'a> {
    /// The configured limits.
    pub(crate) limits: &'a Limits,
    /// When an identity on this connection ends: no new request after it.
    pub(crate) ends: Option<SystemTime>,
    /// Its place among all, which may be asked back.
    pub(crate) holding: &'a Holding,
    /// What it means that its client closes its writing half (HTTP/1).
    pub(crate) half_close: HalfClose,
    /// Asked to end.
    pub(crate) stop: Draining,
    /// Where its requests leave what becomes of it.
    pub(crate) handover: Arc<Handover>,
    /// How what is under way is judged by whatever comes into force.
    pub(crate) judging: Judging,
}

/// A connection being served.
pub(crate) type Serving<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Serves one connection to its end. One box, and no async function, which would hold the connection twice: as what it is given and as
/// what it serves.
pub(crate) fn serve<'a, I, S>(
    io: I,
    version: Version,
    stack: S,
    facts: Arc<Facts>,
    bounds: Bounds<'a>,
) -> Serving<'a>
where
    I: Abort + FarEnd + AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Serves,
{
    // What sidecars add for each other is not the caller's: it may use all of its own.
    let header_bytes = bounds.limits.header_bytes + trail::BYTES;
    match version {
        Version::Http1 => Box::pin(http1(io, header_bytes, stack, facts, bounds)),
        Version::Http2 => Box::pin(http2(io, header_bytes, stack, facts, bounds)),
    }
}

fn http1<I, S>(
    io: I,
    header_bytes: usize,
    stack: S,
    facts: Arc<Facts>,
    bounds: Bounds<'_>,
) -> impl Future<Output = ()> + Send
where
    I: Abort + FarEnd + AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Serves,
{
    let judged = Judged {
        head_bytes: header_bytes,
        fields: bounds.limits.headers + trail::FIELDS,
    };
    let io = Ahead::new(io, facts.clone());
    let guarded = Box::new(Guarded::new(io, facts.clone(), judged, bounds.half_close));
    let mut connection = Resting::new(guarded, judged, stack, facts.clone());
    async move {
        drive(Pin::new(&mut connection), Version::Http1, &facts, &bounds).await;
        drop(connection);
        let mut follow = Box::pin(bounds.handover.follow::<Ahead<I>>());
        tokio::select! {
            () = &mut follow => {}
            () = given_up(&facts, bounds.holding) => {}
        }
    }
}

fn http2<I, S>(
    io: I,
    header_bytes: usize,
    stack: S,
    facts: Arc<Facts>,
    bounds: Bounds<'_>,
) -> impl Future<Output = ()> + Send
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Serves,
{
    let limits = bounds.limits;
    let mut builder = http2::Builder::new(Streams::of(&facts, limits.stream_idle));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits.streams).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(Blocks::listed_max(header_bytes))
        .max_pending_accept_reset_streams(limits.streams.max(PENDING_RESETS_MIN))
        .max_send_buf_size(256 * 1024)
        .enable_connect_protocol();
    let io = TokioIo::new(Calm::new(io, facts.clone(), limits));
    let connection = builder.serve_connection(io, Stack(stack));
    async move {
        drive(pin!(connection), Version::Http2, &facts, &bounds).await;
    }
}

/// Resolves when another should have the place of what a connection became: bytes cannot be asked to end after what is in flight.
async fn given_up(facts: &Facts, holding: &Holding) {
    holding.asked_back().await;
    // Before it is dropped, so that it says why.
    facts.condemn(ASKED_BACK);
    facts.limited(ASKED_BACK);
}

async fn drive(
    mut connection: Pin<&mut impl Graceful>,
    version: Version,
    facts: &Facts,
    bounds: &Bounds<'_>,
) {
    let (limits, judging) = (bounds.limits, &bounds.judging);
    let mut news = judging.news();
    let mut watched = Watched::begin(limits, bounds.ends);
    let is_http1 = version == Version::Http1;
    // Who may rest is looked at more often, until it does.
    let soon = || match is_http1 {
        true => rests_in(facts),
        false => Duration::MAX,
    };
    let mut look = pin!(tokio::time::sleep(watched.look_first().min(soon())));
    let (mut stopping, mut lingering, mut ending, mut resting) = (false, false, false, false);
    loop {
        let next = tokio::select! {
            biased;
            moved = moves(connection.as_mut(), resting) => match moved {
                Moved::Stirs => {
                    resting = false;
                    let at = look.deadline().min(Instant::now() + REST);
                    look.as_mut().reset(at);
                    continue;
                }
                Moved::Ends(ended) => {
                    if let Err(error) = ended {
                        told(facts, &error);
                    }
                    return;
                }
            },
            () = bounds.stop.started(), if !stopping && !ending => {
                stopping = true;
                // GOAWAY says in two steps what the peer may still send; HTTP/1 can say it only with an answer.
                lingering = is_http1 && !facts.activity.is_at_work();
                match lingering {
                    true => Verdict::LookAgain(LINGERS),
                    false => Verdict::End(limits.head),
                }
            }
            () = bounds.holding.asked_back(), if !ending => {
                facts.limited(ASKED_BACK);
                Verdict::End(LEAVE)
            }
            () = news.come() => match judging.look(facts) {
                true => Verdict::Cut,
                false => continue,
            },
            () = at_work(facts), if lingering => Verdict::End(limits.head),
            () = look.as_mut() => match lingering {
                true => Verdict::End(limits.head),
                false => watched.verdict(facts, ending),
            },
        };
        match next {
            Verdict::LookAgain(after) => {
                resting = !stopping && !ending && connection.as_mut().rest();
                let after = match resting || stopping || ending {
                    true => after,
                    false => after.min(soon()),
                };
                look.as_mut().reset(Instant::now() + after);
            }
            Verdict::End(look_after) => {
                (lingering, ending) = (false, true);
                facts.leaves();
                connection.as_mut().end();
                look.as_mut()
                    .reset(Instant::now() + watched.until(look_after));
            }
            Verdict::Cut => return,
        }
    }
}

/// What a connection does by itself.
enum Moved {
    /// It rested, and does not any more.
    Stirs,
    /// It has ended.
    Ends(hyper::Result<()>),
}

/// Serves a connection until it has something to say.
async fn moves(mut connection: Pin<&mut impl Graceful>, resting: bool) -> Moved {
    poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Moved::Ends(ended)),
        Poll::Pending if resting && !connection.is_resting() => Poll::Ready(Moved::Stirs),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// When a connection may rest at the earliest, as things are.
fn rests_in(facts: &Facts) -> Duration {
    let quiet = facts.activity.quiet().filter(|quiet| *quiet < REST);
    REST - quiet.unwrap_or_default()
}

/// Resolves while something is under way. It wakes nobody: what began was begun by the connection, which is looked at first.
async fn at_work(facts: &Facts) {
    poll_fn(|_| match facts.activity.is_at_work() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// What h2 ended by itself: counted, since no exchange says so. What hyper refuses on HTTP/1 is the guard's to tell.
fn told(facts: &Facts, error: &hyper::Error) {
    let h2 = std::error::Error::source(error).and_then(|it| it.downcast_ref::<h2::Error>());
    match h2.filter(|it| !it.is_remote()).and_then(h2::Error::reason) {
        Some(h2::Reason::ENHANCE_YOUR_CALM) => {
            facts.limited(too_much_of(facts.activity.last_frame()));
        }
        // Told already, where its peer was; whose preface is wrong hears of nothing.
        Some(h2::Reason::PROTOCOL_ERROR) if !facts.is_condemned() => {
            let error = "HTTP/2 ended its connection without a word: PROTOCOL_ERROR";
            facts.breaks("http2_protocol_error", error);
        }
        _ => {}
    }
}
