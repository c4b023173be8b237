//! Bytes between two sockets: no parsing, half-close kept, policy asked before the first byte and whenever it changes.

use crate::abort::{Abort, Abrupt};
use crate::answer::Refusal;
use crate::exchange::{CUT_BY_DRAIN, explained};
use crate::open;
use crate::over::Over;
use crate::snapshot::Snapshot;
use crate::still::Still;
use policy::Denied;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use telemetry::{
    AccessLog, AccessRecord, DecisionId, Direction, RequestLabels, SidecarMetrics, Verdict,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// Per direction. A TLS record is 16 KiB: room for four keeps a fast peer busy.
const BUFFER_BYTES: usize = 64 * 1024;

/// One connection, as it will be told and counted: once, when it is dropped.
pub(crate) struct Connection {
    direction: Direction,
    listener: Arc<str>,
    local_id: Arc<str>,
    metrics: Arc<SidecarMetrics>,
    access_log: Option<AccessLog>,
    started: Instant,
    open: Arc<open::Connection>,
    /// Who is, or must be, at the other end of the network.
    pub(crate) peer_id: Arc<str>,
    /// The service it goes to.
    pub(crate) service: Arc<str>,
    /// The endpoint it went to.
    pub(crate) endpoint: Arc<str>,
    /// What secures the hop to the network: `mutual`, `server` or `none`; empty: nobody was found at its other end.
    pub(crate) tls: &'static str,
    /// The key exchange group of its handshake.
    pub(crate) tls_group: &'static str,
    /// What policy said.
    pub(crate) verdict: Verdict,
    /// The rule that decided.
    pub(crate) rule: String,
    /// The decision's id.
    pub(crate) decision: Option<DecisionId>,
    reason: &'static str,
    error: String,
    request_bytes: u64,
    response_bytes: u64,
}

impl Connection {
    /// A connection on a `tcp` listener.
    pub(crate) fn begin(
        direction: Direction,
        listener: &Arc<str>,
        snapshot: &Snapshot,
        metrics: &Arc<SidecarMetrics>,
        open: &Arc<open::Connection>,
    ) -> Self {
        let nothing: Arc<str> = "".into();
        Self {
            direction,
            listener: listener.clone(),
            local_id: snapshot.local_id.clone(),
            metrics: metrics.clone(),
            access_log: snapshot.access_log.clone(),
            started: Instant::now(),
            open: open.clone(),
            peer_id: nothing.clone(),
            service: nothing.clone(),
            endpoint: nothing,
            tls: "",
            tls_group: "",
            verdict: Verdict::None,
            rule: String::new(),
            decision: None,
            reason: "",
            error: String::new(),
            request_bytes: 0,
            response_bytes: 0,
        }
    }
    /// Policy said no.
    pub(crate) fn denied(mut self, denied: &Denied) {
        self.verdict = Verdict::Denied;
        let rule = denied.rule_to_look_at();
        self.rule = rule.map(ToString::to_string).unwrap_or_default();
        self.reason = denied.reason.label();
        self.error = denied.to_string();
    }
    /// It did not come to an upstream.
    pub(crate) fn failed(mut self, refusal: &Refusal) {
        self.reason = refusal.reason;
        self.error = refusal.explanation.to_string();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        if self.reason == CUT_BY_DRAIN {
            self.reason = self.open.condemned();
            explained(self.reason).clone_into(&mut self.error);
        }
        let labels = RequestLabels {
            direction: self.direction,
            listener: &self.listener,
            service: &self.service,
            peer: &self.peer_id,
            method: "",
            code: 0,
            verdict: self.verdict,
        };
        self.metrics.requests(&labels).observe(duration);
        let Some(access_log) = &self.access_log else {
            return;
        };
        access_log.write(&AccessRecord {
            listener: &self.listener,
            local_id: &self.local_id,
            peer_id: &self.peer_id,
            service: &self.service,
            endpoint: &self.endpoint,
            verdict: self.verdict,
            rule: &self.rule,
            reason: self.reason,
            decision_id: self.decision,
            duration,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            tls: self.tls,
            tls_group: self.tls_group,
            error: &self.error,
            ..AccessRecord::of(self.direction)
        });
    }
}

/// What is told of bytes that are relayed, by who tells it when it is dropped.
pub(crate) trait Told: Unpin {
    /// So many more came from the caller.
    fn came(&mut self, bytes: u64);
    /// So many more went to the caller.
    fn went(&mut self, bytes: u64);
    /// If it ended now, then because of this.
    fn ends(&mut self, reason: &'static str, error: String);
    /// It was permitted, and is not any more.
    fn over(&mut self, over: Over);
}

impl Told for Connection {
    fn came(&mut self, bytes: u64) {
        self.request_bytes += bytes;
    }
    fn went(&mut self, bytes: u64) {
        self.response_bytes += bytes;
    }
    fn ends(&mut self, reason: &'static str, error: String) {
        (self.reason, self.error) = (reason, error);
    }
    /// That it was permitted stays its verdict.
    fn over(&mut self, over: Over) {
        self.reason = over.reason;
        self.error = over.explanation.into();
        if let Some(rule) = over.rule {
            self.rule = rule.to_string();
        }
    }
}

/// Copies both ways until both ends have closed, one fails, or it may not be any more. Who cuts it drops it, and that is told
/// too: with the reason for which its connection was condemned. Whatever ends it but the two sides themselves is no good end
/// for either of them, unless it was told already that the other had said everything.
pub(crate) async fn relay<A, B, T>(caller: A, upstream: B, mut told: T, still: Still)
where
    A: Abort + AsyncRead + AsyncWrite + Unpin,
    B: Abort + AsyncRead + AsyncWrite + Unpin,
    T: Told,
{
    told.ends(CUT_BY_DRAIN, String::new());
    let mut upstream = Abrupt::new(upstream);
    let mut caller = Counted {
        io: Abrupt::new(caller),
        told,
    };
    let copying = tokio::io::copy_bidirectional_with_sizes(
        &mut caller,
        &mut upstream,
        BUFFER_BYTES,
        BUFFER_BYTES,
    );
    let copied = tokio::select! {
        biased;
        copied = copying => copied,
        over = still => return caller.told.over(over),
    };
    match copied {
        Ok(_) => caller.told.ends("", String::new()),
        Err(error) => caller.told.ends("cut", error.to_string()),
    }
}

/// Ends a connection on which nothing was relayed as one that is whole: nothing was cut off, and `close_notify` says so. Who
/// does not read gets the end without it.
pub(crate) async fn close<S: AsyncWrite + Unpin>(mut caller: S) {
    let _ = timeout(CLOSES_WITHIN, caller.shutdown()).await;
}

/// A record of few bytes fits any buffer; who lets it wait for longer is not waited for.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// The caller's socket, counted: what was copied is told also when the copying fails.
struct Counted<S, T> {
    io: S,
    told: T,
}

impl<S: AsyncRead + Unpin, T: Told> AsyncRead for Counted<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.told.came((buf.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, T: Told> AsyncWrite for Counted<S, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.told.went(written as u64);
        Poll::Ready(Ok(written))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
