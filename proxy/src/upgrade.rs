//! What follows an answer that made a connection, or a stream of one, speak another protocol: bytes, relayed both ways.
//!
//! In: a request that was granted its [`Wish`](crate::wish::Wish), and both of its sides. Out: its exchange, told once, at the
//! end, with the bytes of both ways and the reason if it was not the two sides' own.
//!
//! 1. Nothing is relayed before the answer went out. Who sends bytes of WebSocket before it was granted is cut
//!    (CVE-2026-2833): they may be a request that nobody checked.
//! 2. HTTP/1: the connection's own task relays, so that whatever bounds or ends the connection holds for what it became.
//!    HTTP/2: a task for each stream, which ends with the connection, and which the drain knows.
//! 3. Silence is no reason to end: `limits.idle` is for who may ask and does not.

use crate::abort::Abort;
use crate::believed::Believed;
use crate::exchange::Exchange;
use crate::far_end::FarEnd;
use crate::front::Lent;
use crate::over::Over;
use crate::still::{Judging, Still};
use crate::tcp::{Told, relay};
use crate::trail::Trail;
use crate::upstream::{Connected, Lease};
use crate::version::Version;
use crate::wish::Wish;
use daemon::drain::Draining;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite};

/// A request that was granted its wish.
pub(crate) struct Granted {
    /// What will be told.
    pub(crate) exchange: Box<Exchange>,
    /// The caller's side, once our answer went out.
    pub(crate) caller: OnUpgrade,
    /// The upstream's side.
    pub(crate) upstream: Far,
}

/// The upstream's side of what was granted.
pub(crate) enum Far {
    /// A connection, or a stream, that was switched as well. The lease holds its place.
    Switched(OnUpgrade, Lease),
    /// A connection of its own, and when it is cut because an identity on it ended.
    Dialled(Box<Connected>, Option<SystemTime>),
}

impl Far {
    fn cut_at(&self) -> Option<SystemTime> {
        match self {
            Self::Switched(_, lease) => lease.cut_at(),
            Self::Dialled(_, cut_at) => *cut_at,
        }
    }
}

impl Granted {
    /// Relays on an HTTP/1 connection that was served over `I`.
    async fn over_http1<I>(self, still: Still)
    where
        I: Abort + FarEnd + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some((caller, mut granted)) = self.answered().await else {
            return;
        };
        let parts = match caller.downcast::<TokioIo<Lent<I>>>() {
            Ok(parts) => parts,
            // It is what it was served over.
            Err(caller) => return granted.relay(TokioIo::new(caller), still).await,
        };
        let read = parts.read_buf;
        let Some(guarded) = parts.io.into_inner().keep() else {
            return;
        };
        if granted.exchange.wish == Wish::Tunnel {
            // Whom it asked for may be spoken to at once (RFC 9110 §9.3.6): it was told nothing else.
            return granted.relay(guarded.opened(&read), still).await;
        }
        match guarded.into_inner().filter(|_| read.is_empty()) {
            Some(caller) => granted.relay(caller, still).await,
            None => {
                granted.exchange.facts().metrics.refused_head(EARLY);
                let error = "it sent bytes of the next protocol before that was granted";
                granted.exchange.ends(EARLY, error.to_owned());
            }
        }
    }
    /// Relays on a stream of HTTP/2.
    async fn over_http2(self, still: Still) {
        if let Some((caller, granted)) = self.answered().await {
            granted.relay(TokioIo::new(caller), still).await;
        }
    }
    /// Waits until the answer went out; the caller may leave before.
    async fn answered(mut self) -> Option<(Upgraded, Self)> {
        let left = "the caller left before it was answered".to_owned();
        self.exchange.ends("caller_left", left);
        let caller = (&mut self.caller).await.ok()?;
        Some((caller, self))
    }
    async fn relay(self, caller: impl Abort + AsyncRead + AsyncWrite + Unpin, still: Still) {
        let Self {
            mut exchange,
            upstream,
            ..
        } = self;
        exchange.upgraded();
        match upstream {
            // What counts it goes when all of it does.
            Far::Dialled(upstream, _) => {
                let Connected {
                    io,
                    open: _open,
                    under_way: _under_way,
                    ..
                } = *upstream;
                relay(caller, io, exchange, still).await;
            }
            // The lease is held until the end.
            Far::Switched(upstream, _lease) => match upstream.await {
                Ok(upstream) => relay(caller, TokioIo::new(upstream), exchange, still).await,
                Err(error) => exchange.ends("cut", error.to_string()),
            },
        }
    }
}

/// A stream of HTTP/2 is reset when it is dropped.
impl Abort for TokioIo<Upgraded> {
    fn abort(&self) {}
}

/// Sent before it was granted.
const EARLY: &str = "bytes_before_the_answer";

impl Told for Box<Exchange> {
    fn came(&mut self, bytes: u64) {
        self.request_bytes += bytes;
    }
    fn went(&mut self, bytes: u64) {
        self.response_bytes += bytes;
    }
    fn ends(&mut self, reason: &'static str, error: String) {
        (self.reason, self.error) = (reason, error.into());
    }
    fn over(&mut self, over: Over) {
        Exchange::over(self, over);
    }
}

/// Where a connection's requests leave what becomes of it. One a connection.
pub(crate) struct Handover {
    judging: Judging,
    stop: Draining,
    cut_at: Option<SystemTime>,
    left: Mutex<Option<Box<(Granted, Still)>>>,
}

impl Handover {
    /// What requests on this connection are marked with.
    pub(crate) fn trail(&self) -> &Trail {
        &self.judging.world().trail
    }
    /// For a connection whose requests are judged so, that ends with this drain, and on which what is open is cut at that moment.
    pub(crate) fn new(judging: Judging, stop: Draining, cut_at: Option<SystemTime>) -> Self {
        Self {
            judging,
            stop,
            cut_at,
            left: Mutex::default(),
        }
    }
    /// A request goes to this server. It was permitted before that was known: what came into force since judges it now.
    pub(crate) fn goes(&self, exchange: &Exchange, server: &Arc<Believed>) -> Result<(), Over> {
        let permitted_by = exchange.goes(Some(server), None);
        let now = self.judging.world().snapshot();
        match permitted_by {
            Some(number) if number == now.number => Ok(()),
            Some(_) | None => now.believes(server, exchange.to.as_deref()),
        }
    }
    /// An HTTP/1 connection becomes this once its answer went out; a stream of HTTP/2 does so beside the others.
    pub(crate) fn take(&self, version: Version, granted: Granted) {
        let still = self.still(&granted);
        match version {
            Version::Http1 => *self.left() = Some(Box::new((granted, still))),
            Version::Http2 => {
                self.stop.track(granted.over_http2(still));
            }
        }
    }
    fn still(&self, granted: &Granted) -> Still {
        let cut_at = self
            .cut_at
            .into_iter()
            .chain(granted.upstream.cut_at())
            .min();
        self.judging.still(&granted.exchange, cut_at)
    }
    /// After HTTP/1 has ended on a connection that was served over `I`: what it became, to its end.
    pub(crate) async fn follow<I>(&self)
    where
        I: Abort + FarEnd + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let left = self.left().take();
        if let Some(left) = left {
            let (granted, still) = *left;
            granted.over_http1::<I>(still).await;
        }
    }
    fn left(&self) -> MutexGuard<'_, Option<Box<(Granted, Still)>>> {
        // Poisoning means that a panic happened elsewhere: what is in it is whole.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
