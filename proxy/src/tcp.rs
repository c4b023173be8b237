//! Bytes between two sockets: no parsing, half-close kept, policy asked once before the first byte.

use crate::answer::Refusal;
use crate::clock::Passed;
use crate::exchange::CERTIFICATE_ENDED;
use crate::snapshot::Snapshot;
use policy::Denied;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use telemetry::{
    AccessLog, AccessRecord, DecisionId, Direction, RequestLabels, SidecarMetrics, Verdict,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    /// Who is, or must be, at the other end of the network.
    pub(crate) peer_id: Arc<str>,
    /// The service it goes to.
    pub(crate) service: Arc<str>,
    /// The endpoint it went to.
    pub(crate) endpoint: Arc<str>,
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
    ) -> Self {
        let nothing: Arc<str> = "".into();
        Self {
            direction,
            listener: listener.clone(),
            local_id: snapshot.local_id.clone(),
            metrics: metrics.clone(),
            access_log: snapshot.access_log.clone(),
            started: Instant::now(),
            peer_id: nothing.clone(),
            service: nothing.clone(),
            endpoint: nothing,
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
            tls_group: self.tls_group,
            error: &self.error,
            ..AccessRecord::of(self.direction)
        });
    }
}

/// Copies both ways until both ends have closed, one fails, or it is cut. A drain that loses its patience drops it, and that is told too.
pub(crate) async fn relay<A, B>(caller: A, mut upstream: B, mut connection: Connection, cut: Passed)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    connection.reason = "cut_by_drain";
    let mut caller = Counted {
        io: caller,
        connection,
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
        () = cut => {
            caller.connection.reason = CERTIFICATE_ENDED;
            caller.connection.error = "a certificate on it had ended".into();
            return;
        }
    };
    caller.connection.reason = if copied.is_ok() { "" } else { "cut" };
    if let Err(error) = copied {
        caller.connection.error = error.to_string();
    }
}

/// The caller's socket, counted: what was copied is told also when the copying fails.
struct Counted<S> {
    io: S,
    connection: Connection,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.connection.request_bytes += (buf.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.connection.response_bytes += written as u64;
        Poll::Ready(Ok(written))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
