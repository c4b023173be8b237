//! Connections kept for the next request.
//!
//! HTTP/1: a stack per endpoint, last in first out, so that few stay warm. HTTP/2: few connections per endpoint, the one
//! with the fewest streams is taken, another is dialled when all are full. Dialling is shared: a burst on an empty
//! HTTP/2 pool makes one connection, or fails with one failure.

use super::{Connected, DialError, Ending, How, dial};
use crate::answer::Refusal;
use crate::clock::{self, Passed};
use crate::request_body::RequestBody;
use crate::version::Version;
use config::Address;
use http_body::Body;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use identity::Alpn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use telemetry::SidecarMetrics;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

/// Bounds and addresses of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamConfig {
    /// Where it is reached.
    pub(crate) endpoints: Vec<Address>,
    /// Bytes of a response head.
    pub(crate) header_bytes: usize,
    /// Fields of a response head.
    pub(crate) headers: usize,
    /// Time to connect.
    pub(crate) connect: Duration,
    /// Time to shake hands.
    pub(crate) handshake: Duration,
    /// A kept connection is closed after this long without a request. Below the peer's own bound, so that we close first.
    pub(crate) idle: Duration,
    /// How long what is open runs on after an identity on its connection has ended.
    pub(crate) after_expiry: Duration,
}

/// Look-ups of an upstream's names at a time.
const LOOKUPS_MAX: usize = 16;
/// An HTTP/1 connection per request in flight: what a burst leaves behind beyond this many is closed.
const IDLE_H1_MAX: usize = 512;
/// This long before a leaf on it ends, a connection is no longer used: clocks differ, and a request that arrives a moment too
/// late is refused.
const ENDING: Duration = Duration::from_secs(2);
/// How long the task of a connection may take to be ready for its next request. Longer means that its server does not read
/// what was sent to it; the next request does not wait for that, nor for several of these.
const TURN_WITHIN: Duration = Duration::from_millis(5);
/// Connections to one endpoint over HTTP/2; beyond it streams queue in the last ones.
const H2_CONNECTIONS_MAX: usize = 8;
/// Streams on one connection before another is dialled: below the 250 that a sidecar of ours allows, and more than the 100
/// of most servers, where the rest waits in the connection's own queue.
const H2_STREAMS_MAX: usize = 200;
/// Small enough to bound what one slow stream holds, large enough not to throttle a fast one on a local network.
const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Endpoints and the connections to them.
pub(crate) struct Upstream {
    config: UpstreamConfig,
    how: How,
    metrics: Arc<SidecarMetrics>,
    lookups: Arc<Semaphore>,
    endpoints: Vec<Arc<Endpoint>>,
    next: AtomicUsize,
}

/// One endpoint and its connections.
pub(crate) struct Endpoint {
    address: Address,
    label: Arc<str>,
    h1: Mutex<Vec<IdleH1>>,
    h2: Mutex<Vec<Arc<H2>>>,
    /// Held while an HTTP/2 connection is dialled: who waits for it finds the connection instead of dialling another, or
    /// shares the failure instead of dialling once more after everybody before it.
    dialling: tokio::sync::Mutex<Option<Failed>>,
}

/// A dial that failed.
struct Failed {
    at: Instant,
    why: Arc<DialError>,
}

struct IdleH1 {
    link: H1,
    since: Instant,
}

/// An HTTP/1 connection's sending half.
struct H1 {
    sender: http1::SendRequest<RequestBody>,
    tls_group: &'static str,
    ends: Option<SystemTime>,
    cut_at: Option<SystemTime>,
}

struct H2 {
    sender: http2::SendRequest<RequestBody>,
    streams: AtomicUsize,
    /// When its last stream ended, while it has none.
    idle_since: Mutex<Instant>,
    tls_group: &'static str,
    ends: Option<SystemTime>,
    cut_at: Option<SystemTime>,
}

/// A connection in use by one request.
pub(crate) struct Lease {
    endpoint: Arc<Endpoint>,
    link: Link,
}

enum Link {
    H1(Option<H1>),
    H2(Arc<H2>),
}

impl Link {
    /// One more stream on a shared connection.
    fn h2(link: Arc<H2>) -> Self {
        link.streams.fetch_add(1, Ordering::Relaxed);
        Self::H2(link)
    }
}

/// Poisoning means that a panic happened elsewhere while pushing or popping: the list itself is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No new request starts on a connection whose peer's or own leaf has ended, or will have when the request arrives.
fn is_ending(ends: Option<SystemTime>, now: SystemTime) -> bool {
    ends.is_some_and(|ends| ends <= now + ENDING)
}

impl Upstream {
    /// An upstream without connections.
    pub(crate) fn new(config: UpstreamConfig, how: How, metrics: Arc<SidecarMetrics>) -> Arc<Self> {
        let endpoint = |address: &Address| {
            Arc::new(Endpoint {
                address: address.clone(),
                label: address.to_string().into(),
                h1: Mutex::default(),
                h2: Mutex::default(),
                dialling: tokio::sync::Mutex::default(),
            })
        };
        let endpoints = config.endpoints.iter().map(endpoint).collect();
        let upstream = Arc::new(Self {
            config,
            how,
            metrics,
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            endpoints,
            next: AtomicUsize::new(0),
        });
        tokio::spawn(reap(Arc::downgrade(&upstream), upstream.config.idle));
        upstream
    }
    /// What it was made from.
    pub(crate) fn config(&self) -> &UpstreamConfig {
        &self.config
    }
    /// How it is spoken to.
    pub(crate) fn how(&self) -> &How {
        &self.how
    }
    /// A connection for one request: a kept one, or a new one to the first endpoint, from the next in turn, that takes it.
    /// Nothing was sent when dialling failed, so that the next endpoint may be tried whatever the method.
    pub(crate) async fn lease(&self, version: Version) -> Result<Lease, Refusal> {
        let mut last = None;
        for endpoint in self.in_turn() {
            let link = match version {
                Version::Http1 => self.h1(endpoint).await,
                Version::Http2 => self.h2(endpoint).await,
            };
            match link {
                Ok(link) => {
                    return Ok(Lease {
                        endpoint: endpoint.clone(),
                        link,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(self.refusal(last))
    }
    async fn h1(&self, endpoint: &Endpoint) -> Result<Link, Arc<DialError>> {
        if let Some(link) = endpoint.kept_h1().await {
            return Ok(Link::H1(Some(link)));
        }
        let connected = self.connect(endpoint, Alpn::Http1).await?;
        let link = start_h1(connected, &self.config).await?;
        Ok(Link::H1(Some(link)))
    }
    async fn h2(&self, endpoint: &Endpoint) -> Result<Link, Arc<DialError>> {
        if let Some(link) = endpoint.kept_h2() {
            return Ok(Link::h2(link));
        }
        let asked = Instant::now();
        let mut failed = endpoint.dialling.lock().await;
        if let Some(link) = endpoint.kept_h2() {
            return Ok(Link::h2(link));
        }
        if let Some(Failed { at, why }) = &*failed
            && *at >= asked
        {
            return Err(why.clone());
        }
        match self.dial_h2(endpoint).await {
            Ok(link) => {
                lock(&endpoint.h2).push(link.clone());
                Ok(Link::h2(link))
            }
            Err(why) => {
                let why = Arc::new(why);
                *failed = Some(Failed {
                    at: Instant::now(),
                    why: why.clone(),
                });
                Err(why)
            }
        }
    }
    async fn dial_h2(&self, endpoint: &Endpoint) -> Result<Arc<H2>, DialError> {
        let connected = self.connect(endpoint, Alpn::Http2).await?;
        start_h2(connected, &self.config).await
    }
    /// A connection of its own, for bytes.
    pub(crate) async fn tcp(&self) -> Result<(Connected, Arc<str>), Refusal> {
        let mut last = None;
        for endpoint in self.in_turn() {
            match self.connect(endpoint, Alpn::None).await {
                Ok(connected) => return Ok((connected, endpoint.label.clone())),
                Err(error) => last = Some(Arc::new(error)),
            }
        }
        Err(self.refusal(last))
    }
    fn in_turn(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let start = if self.endpoints.len() > 1 {
            self.next.fetch_add(1, Ordering::Relaxed)
        } else {
            0
        };
        let count = self.endpoints.len();
        (0..count).map(move |n| &self.endpoints[(start.wrapping_add(n)) % count])
    }
    fn refusal(&self, last: Option<Arc<DialError>>) -> Refusal {
        last.map_or_else(
            || Refusal::unsent(crate::answer::Cause::Unavailable, "no_endpoint"),
            |error| error.refusal(&self.how),
        )
    }
    async fn connect(&self, endpoint: &Endpoint, alpn: Alpn) -> Result<Connected, DialError> {
        let dialled = dial(
            &endpoint.address,
            &self.lookups,
            &self.how,
            alpn,
            self.config.connect,
            self.config.handshake,
        )
        .await;
        match &dialled {
            Ok(connected) if connected.peer.is_some() => {
                self.metrics.handshake("client", "ok", connected.tls_group);
            }
            Err(error) if error.is_of_handshake() => {
                self.metrics
                    .handshake("client", error.reason(&self.how), "");
            }
            // The app beside us shakes no hands, and who was not reached did not either.
            Ok(_) | Err(_) => {}
        }
        dialled
    }
}

impl UpstreamConfig {
    /// When what is open on a connection is ended, if its identities end.
    fn cut_at(&self, ends: Option<SystemTime>) -> Option<SystemTime> {
        clock::cut_at(ends?, self.after_expiry)
    }
}

async fn start_h1(connected: Connected, config: &UpstreamConfig) -> Result<H1, DialError> {
    let Connected {
        io,
        ends,
        tls_group,
        ..
    } = connected;
    let cut_at = config.cut_at(ends);
    let io = Ending::new(io, Passed::at(cut_at));
    let mut builder = http1::Builder::new();
    builder
        .max_headers(config.headers)
        .max_header_size(config.header_bytes)
        .max_buf_size(config.header_bytes.max(16 * 1024));
    let (sender, connection) = builder
        .handshake::<TokioIo<Ending>, RequestBody>(TokioIo::new(io))
        .await
        .map_err(broken)?;
    // The connection ends by itself when its sender is dropped; what ended it shows in the request it was carrying.
    tokio::spawn(connection);
    Ok(H1 {
        sender,
        tls_group,
        ends,
        cut_at,
    })
}

async fn start_h2(connected: Connected, config: &UpstreamConfig) -> Result<Arc<H2>, DialError> {
    let to_peer = connected.peer.is_some();
    let Connected {
        io,
        ends,
        tls_group,
        ..
    } = connected;
    let cut_at = config.cut_at(ends);
    let io = Ending::new(io, Passed::at(cut_at));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(config.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(256 * 1024);
    if to_peer {
        // Apps take pings for abuse (too_many_pings cuts streams); peers of ours expect them.
        builder
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
    }
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(broken)?;
    tokio::spawn(connection);
    Ok(Arc::new(H2 {
        sender,
        streams: AtomicUsize::new(0),
        idle_since: Mutex::new(Instant::now()),
        tls_group,
        ends,
        cut_at,
    }))
}

fn broken(error: hyper::Error) -> DialError {
    DialError::Connect(std::io::Error::other(error))
}

impl Endpoint {
    async fn kept_h1(&self) -> Option<H1> {
        let now = SystemTime::now();
        let turned = Instant::now() + TURN_WITHIN;
        loop {
            let IdleH1 { mut link, .. } = lock(&self.h1).pop()?;
            if is_ending(link.ends, now) || link.sender.is_closed() {
                continue;
            }
            // Given back when the last byte of the answer came: its task may still have to turn around.
            if link.sender.is_ready()
                || matches!(
                    timeout_at(turned.into(), link.sender.ready()).await,
                    Ok(Ok(()))
                )
            {
                return Some(link);
            }
        }
    }
    fn kept_h2(&self) -> Option<Arc<H2>> {
        let now = SystemTime::now();
        let mut known = lock(&self.h2);
        known.retain(|link| !link.sender.is_closed() && !is_ending(link.ends, now));
        let least = known
            .iter()
            .min_by_key(|link| link.streams.load(Ordering::Relaxed))?;
        let full = least.streams.load(Ordering::Relaxed) >= H2_STREAMS_MAX;
        (!full || known.len() >= H2_CONNECTIONS_MAX).then(|| least.clone())
    }
    fn close_idle(&self, idle: Duration) {
        let now = SystemTime::now();
        lock(&self.h1).retain(|IdleH1 { link, since }| {
            since.elapsed() < idle && !link.sender.is_closed() && !is_ending(link.ends, now)
        });
        lock(&self.h2).retain(|link| {
            let idle = lock(&link.idle_since).elapsed() >= idle || is_ending(link.ends, now);
            let quiet = link.streams.load(Ordering::Relaxed) == 0 && idle;
            !quiet && !link.sender.is_closed()
        });
    }
}

/// Closes what was kept too long, until the upstream is gone.
async fn reap(upstream: Weak<Upstream>, idle: Duration) {
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        for endpoint in &upstream.endpoints {
            endpoint.close_idle(idle);
        }
    }
}

/// A request that was not answered: what became of it.
pub(crate) enum Unanswered {
    /// Not a byte was sent: here it is again.
    Unsent(Box<http::Request<RequestBody>>),
    /// It was handed over, and its server did not look at it and will not.
    Unprocessed(hyper::Error),
    /// It may have reached the app.
    Sent(hyper::Error),
}

/// Whether its server did not look at a request and will not. Either it says so: the stream is above the last that its GOAWAY
/// names (RFC 9113 §6.8; h2 ends those, and only those, with it), or was refused (§8.7). Or the connection ended while the
/// stream waited to be opened: hyper then drops the request unsent and calls that an error of the user, of which a request
/// without a body knows no other.
fn is_unprocessed(error: &hyper::Error, bodyless: bool) -> bool {
    let source = std::error::Error::source(error);
    let Some(said) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return bodyless && error.is_user();
    };
    let refused = said.is_reset() && said.reason() == Some(h2::Reason::REFUSED_STREAM);
    said.is_remote() && (said.is_go_away() || refused)
}

impl Lease {
    /// Sends the request and awaits the response head.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<hyper::body::Incoming>, Unanswered> {
        let bodyless = request.body().is_end_stream();
        let sent = match &mut self.link {
            Link::H1(Some(link)) => link.sender.try_send_request(request).await,
            Link::H1(None) => return Err(Unanswered::Unsent(Box::new(request))),
            Link::H2(link) => link.sender.clone().try_send_request(request).await,
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => {
                self.leave();
                Unanswered::Unsent(Box::new(request))
            }
            None => {
                let error = error.into_error();
                let shared = matches!(self.link, Link::H2(_));
                if shared && is_unprocessed(&error, bodyless) {
                    self.leave();
                    Unanswered::Unprocessed(error)
                } else {
                    Unanswered::Sent(error)
                }
            }
        })
    }
    /// Nobody takes this connection any more: the next attempt must not come to it before its task knows that it ends.
    fn leave(&self) {
        if let Link::H2(link) = &self.link {
            lock(&self.endpoint.h2).retain(|kept| !Arc::ptr_eq(kept, link));
        }
    }
    /// The endpoint, as it is logged.
    pub(crate) fn endpoint(&self) -> &Arc<str> {
        &self.endpoint.label
    }
    /// Whether it was cut because an identity on it ended so long ago.
    pub(crate) fn is_cut(&self) -> bool {
        let cut_at = match &self.link {
            Link::H1(link) => link.as_ref().and_then(|link| link.cut_at),
            Link::H2(link) => link.cut_at,
        };
        cut_at.is_some_and(|cut_at| cut_at <= SystemTime::now())
    }
    /// The key exchange group of its handshake.
    pub(crate) fn tls_group(&self) -> &'static str {
        match &self.link {
            Link::H1(link) => link.as_ref().map_or("", |link| link.tls_group),
            Link::H2(link) => link.tls_group,
        }
    }
    /// The answer has ended: the connection is free. A lease that is dropped without it closes its HTTP/1 connection.
    pub(crate) fn give_back(&mut self) {
        if let Link::H1(link) = &mut self.link
            && let Some(link) = link.take()
            && !link.sender.is_closed()
        {
            let mut kept = lock(&self.endpoint.h1);
            if kept.len() < IDLE_H1_MAX {
                kept.push(IdleH1 {
                    link,
                    since: Instant::now(),
                });
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Link::H2(link) = &self.link
            && link.streams.fetch_sub(1, Ordering::Relaxed) == 1
        {
            *lock(&link.idle_since) = Instant::now();
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
