//! The endpoints of an app or a service, and how a request comes by a connection to one of them.

use super::endpoint::{Endpoint, Failed};
use super::h2::H2;
use super::lease::{Lease, Link};
use super::rest::is_other;
use super::seen::{Seen, seen};
use super::set::Set;
use super::{UpstreamConfig, h1, h2};
use crate::answer::{Cause, Refusal};
use crate::headers::Bound;
use crate::upstream::{Aim, Connected, DialError, How, Io, Means, SaidBy, dial};
use crate::version::Version;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use identity::{Alpn, Outside};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// An endpoint that takes this long to connect gets company (RFC 8305 §5 names this value): the next is dialled too, and the
/// first that stands is taken.
const COMPANY_AFTER: Duration = Duration::from_millis(250);
/// Dials under way for one request. More would answer a slow network with a flood.
const DIALS_MAX: usize = 2;
/// Endpoints that one request tries. Where so many in a row take nobody, the others will hardly do, and a thousand requests that
/// each try a thousand endpoints would be what keeps them down.
const TRIED_MAX: usize = 16;
/// Why an endpoint that got company rests.
const SLOW: &str = "connect_slow";

/// Why an endpoint rests whose sidecar has no app.
const NO_APP: &str = "app_not_up";

/// The endpoints that one request met in vain: others come before them.
#[derive(Default)]
pub(crate) struct Tried {
    declined: Vec<Arc<Endpoint>>,
    raced: Vec<Arc<Endpoint>>,
}

impl Tried {
    /// The server of this connection declined it.
    pub(crate) fn declined(&mut self, lease: &Lease) {
        self.declined.push(lease.at().clone());
    }
    /// This connection was closed before a byte of it went, or its server did not look at it; others that are kept may be so as well.
    pub(crate) fn raced(&mut self, lease: &Lease) {
        self.raced.push(lease.at().clone());
    }
    fn all(&self) -> Vec<Arc<Endpoint>> {
        self.declined.iter().chain(&self.raced).cloned().collect()
    }
}

/// Endpoints and the connections to them.
pub(crate) struct Upstream {
    config: UpstreamConfig,
    how: How,
    means: Arc<Means>,
    set: Set,
    /// Closes what was kept too long; ends with it.
    reaping: OnceLock<AbortOnDropHandle<()>>,
}

impl Upstream {
    /// An upstream without connections.
    pub(crate) fn new(config: UpstreamConfig, how: How, means: Arc<Means>) -> Arc<Self> {
        let set = Set::new(&config.endpoints, &means.names);
        let upstream = Arc::new(Self {
            config,
            how,
            means,
            set,
            reaping: OnceLock::new(),
        });
        let reaping = tokio::spawn(reap(Arc::downgrade(&upstream), upstream.config.idle));
        // It is new: nobody set it before.
        let _ = upstream.reaping.set(AbortOnDropHandle::new(reaping));
        upstream
    }
    /// What it was made from.
    pub(crate) fn config(&self) -> &UpstreamConfig {
        &self.config
    }
    /// How large the heads and the trailers of its answers may be. What the sidecar of a peer adds (`date`) is not its app's,
    /// which may use all of its own.
    pub(crate) fn answers(&self) -> Bound {
        self.config.answers(matches!(self.how, How::Mutual { .. }))
    }
    /// How it is spoken to.
    pub(crate) fn how(&self) -> &How {
        &self.how
    }
    /// Whom outside the mesh it believes, if that is where it leads.
    pub(crate) fn outside(&self) -> Option<&Arc<Outside>> {
        match &self.how {
            How::Outside(outside) => Some(outside),
            How::App | How::Clear | How::Passthrough | How::Mutual { .. } => None,
        }
    }
    /// What it was made with.
    pub(crate) fn means(&self) -> &Arc<Means> {
        &self.means
    }
    /// How its endpoints stand.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        seen(&self.set, Instant::now())
    }
    /// A connection for one request: a kept one of the endpoint whose turn it is, or a new one to the first endpoint that
    /// takes it. Nothing was sent when dialling failed, so that the next endpoint may be tried whatever the method.
    /// One that this very request has met in vain comes last, and then a new connection to it is made.
    pub(crate) async fn lease(&self, version: Version, tried: &Tried) -> Result<Lease, Refusal> {
        let first = self.first(tried).await;
        if let Some(endpoint) = &first
            && !tried.raced.iter().any(|raced| Arc::ptr_eq(raced, endpoint))
            && let Some(link) = kept(endpoint, version).await
        {
            return Ok(Lease::new(endpoint.clone(), link));
        }
        let dial = |endpoint: Arc<Endpoint>| {
            let dialling = async move {
                let link = match version {
                    Version::Http1 => self.h1(&endpoint).await,
                    Version::Http2 => self.h2(&endpoint).await,
                };
                link.map(|link| Lease::new(endpoint, link))
            };
            dialling.boxed()
        };
        self.dialled(first, &tried.declined, dial).await
    }
    /// A connection of its own, for bytes, and the endpoint as it is logged.
    pub(crate) async fn tcp(&self) -> Result<(Connected, Arc<str>), Refusal> {
        let dial = |endpoint: Arc<Endpoint>| {
            let dialling = async move {
                let mut connected = self.connect(&endpoint, Alpn::None).await?;
                connected.under_way = Some(endpoint.streams.enter());
                Ok((connected, endpoint.label.clone()))
            };
            dialling.boxed()
        };
        let first = self.first(&Tried::default()).await;
        self.dialled(first, &[], dial).await
    }
    /// The endpoint whose turn it is.
    async fn first(&self, tried: &Tried) -> Option<Arc<Endpoint>> {
        if self.set.is_due() {
            self.set.renew(self.config.connect).await;
        }
        let untried = self.set.next(&tried.all());
        let undeclined = || self.set.next(&tried.declined);
        untried.or_else(undeclined).or_else(|| self.set.next(&[]))
    }
    /// Dials endpoints, beginning with this one, until one takes it; when none does, whatever the DNS says by then. Those that
    /// declined do not come after it.
    async fn dialled<'a, T: Send>(
        &'a self,
        first: Option<Arc<Endpoint>>,
        declined: &[Arc<Endpoint>],
        dial: impl Fn(Arc<Endpoint>) -> BoxFuture<'a, Result<T, Arc<DialError>>> + Send,
    ) -> Result<T, Refusal> {
        let (mut next, mut tried) = (first, declined.to_vec());
        let mut under_way = FuturesUnordered::new();
        let (mut last, mut is_renewed) = (None, false);
        loop {
            if let Some(endpoint) = next.take() {
                tried.push(endpoint.clone());
                under_way.push(dial(endpoint));
            }
            let may_try = tried.len() < TRIED_MAX;
            let company = may_try && under_way.len() < DIALS_MAX && self.set.has_more(&tried);
            tokio::select! {
                biased;
                ended = under_way.next() => match ended {
                    Some(Ok(taken)) => return Ok(taken),
                    Some(Err(error)) => last = Some(error),
                    None if is_renewed || !may_try => return Err(self.refusal(last)),
                    None => is_renewed = !self.set.renewed_after_failure(self.config.connect).await || !self.set.has_more(&tried),
                },
                () = tokio::time::sleep(COMPANY_AFTER), if company => {
                    if let Some(slow) = tried.last() {
                        self.rest(slow, SLOW, false);
                    }
                }
            }
            if may_try && under_way.len() < DIALS_MAX {
                next = self.set.next(&tried);
            }
        }
    }
    async fn h1(&self, endpoint: &Endpoint) -> Result<Link, Arc<DialError>> {
        let connected = self.connect(endpoint, Alpn::Http1).await?;
        let link = h1::start(connected, &self.config).await?;
        Ok(Link::H1(Some(link)))
    }
    async fn h2(&self, endpoint: &Endpoint) -> Result<Link, Arc<DialError>> {
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
                endpoint.keep_h2(link.clone());
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
        h2::start(connected, &self.config).await
    }
    fn refusal(&self, last: Option<Arc<DialError>>) -> Refusal {
        last.or_else(|| self.set.missing().map(Arc::new))
            .map_or_else(
                || Refusal::unsent(Cause::Unavailable, "no_endpoint"),
                |error| error.refusal(&self.how),
            )
    }
    async fn connect(&self, endpoint: &Endpoint, alpn: Alpn) -> Result<Connected, DialError> {
        let aim = Aim {
            place: &endpoint.place,
            said_by: match (&self.how, endpoint.is_written) {
                (How::Passthrough, _) => SaidBy::Request,
                (_, true) => SaidBy::Configuration,
                (_, false) => SaidBy::Name,
            },
            written: &endpoint.written,
            own: &self.means.own,
            opened: &endpoint.connections,
            connect: self.config.connect,
            handshake: self.config.handshake,
        };
        let dialled = dial(aim, &self.how, alpn).await;
        let metrics = &self.means.metrics;
        match &dialled {
            Ok(Connected {
                io: Io::Tls(_),
                tls_group,
                ..
            }) => {
                metrics.handshake("client", "ok", tls_group);
            }
            Err(error) if error.is_of_handshake() => {
                metrics.handshake("client", error.reason(&self.how), "");
            }
            // Clear text shakes no hands, and who was not reached did not either.
            Ok(_) | Err(_) => {}
        }
        match &dialled {
            Ok(_) => {
                endpoint.took();
                if !self.config.service.is_empty() {
                    metrics.connected(&self.config.service, self.how.word());
                }
            }
            // That says nothing of the endpoint.
            Err(DialError::OwnEnded(_)) => {}
            Err(error) => {
                self.rest(endpoint, error.reason(&self.how), is_other(error));
                self.set.ask_after_failure();
            }
        }
        dialled
    }
    /// It may end any moment: HTTP/1 connections are kept no more. A request that meets one just as it is closed may have been
    /// seen, and fails; one that finds nobody to connect to was not.
    pub(crate) fn is_about_to_end(&self) {
        self.set
            .members()
            .iter()
            .for_each(|endpoint| endpoint.keep_none());
    }
    /// Whether there is an endpoint that has not declined a request, as the one of this connection has.
    pub(crate) fn has_another(&self, lease: &Lease, tried: &Tried) -> bool {
        let declined: Vec<_> = tried.declined.iter().chain([lease.at()]).cloned().collect();
        self.set.has_more(&declined)
    }
    /// The server of this connection has no app behind it just now.
    pub(crate) fn is_without_app(&self, lease: &Lease) {
        self.rest(lease.at(), NO_APP, false);
        self.set.ask_after_failure();
    }
    /// Its app answered: it has one.
    pub(crate) fn has_app(&self, lease: &Lease) {
        lease.at().ends_rest(NO_APP);
    }
    /// Others come before it for a while.
    fn rest(&self, endpoint: &Endpoint, reason: &'static str, is_other: bool) {
        let service = &self.config.service;
        if endpoint.failed(reason, is_other) && !service.is_empty() {
            self.means.metrics.ejected(service, reason);
            if is_other {
                tracing::warn!(%service, endpoint = %endpoint.label, reason, "endpoint ejected: it is not what its name stands for");
            }
        }
    }
}

/// A connection that is kept.
async fn kept(endpoint: &Endpoint, version: Version) -> Option<Link> {
    match version {
        Version::Http1 => endpoint.kept_h1().await.map(|link| Link::H1(Some(link))),
        Version::Http2 => endpoint.kept_h2().map(Link::h2),
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
        for endpoint in upstream.set.members().iter() {
            endpoint.close_idle(idle);
        }
    }
}
