//! One request from its head to the last byte of its answer: what the log and the metrics will say of it.
//!
//! An [`Exchange`] is made when a request arrives and travels with it through every stage. It reports itself exactly once,
//! when it is dropped: however a request ends, it is counted and logged.

use crate::activity::Activity;
use crate::answer::Refusal;
use http::{HeaderValue, Method, Uri};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telemetry::{
    AccessLog, AccessRecord, DecisionId, Direction, Held, InFlight, RequestLabels, RequestSeries,
    SidecarMetrics, Verdict,
};

/// Why something was ended: a certificate on its connection had, longer ago than `limits.afterExpiry`.
pub(crate) const CERTIFICATE_ENDED: &str = "certificate_ended";

/// What all exchanges of one connection share.
pub(crate) struct Facts {
    /// Which way the listener looks.
    pub(crate) direction: Direction,
    /// The listener's name.
    pub(crate) listener: Arc<str>,
    /// Our own identity when the connection began.
    pub(crate) local_id: Arc<str>,
    /// The caller, on inbound connections.
    pub(crate) peer_id: Option<Arc<str>>,
    /// Key exchange group of the inbound handshake.
    pub(crate) tls_group: &'static str,
    /// Where all are counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
    /// Where all are logged, if anywhere.
    pub(crate) access_log: Option<AccessLog>,
    /// Requests of this listener now in flight.
    pub(crate) in_flight: InFlight,
    /// What this connection is doing.
    pub(crate) activity: Activity,
    /// Whether it was cut because a certificate on it had ended.
    cut: AtomicBool,
    /// Series that this connection used: few, so a look-up is a short scan instead of a hash of seven labels.
    series: Mutex<Vec<(Key, RequestSeries)>>,
}

#[derive(Clone, PartialEq)]
struct Key {
    service: Option<Arc<str>>,
    peer: Option<Arc<str>>,
    method: Method,
    code: u16,
    verdict: Verdict,
}

/// A connection's series are forgotten beyond this many: methods are the caller's to invent.
const SERIES_KEPT_MAX: usize = 64;

impl Facts {
    /// The facts of a new connection.
    pub(crate) fn new(
        direction: Direction,
        listener: Arc<str>,
        local_id: Arc<str>,
        peer: Option<(Arc<str>, &'static str)>,
        metrics: Arc<SidecarMetrics>,
        access_log: Option<AccessLog>,
    ) -> Arc<Self> {
        let in_flight = metrics.in_flight(direction, &listener);
        let (peer_id, tls_group) = peer.map_or((None, ""), |(id, group)| (Some(id), group));
        let (activity, series) = (Activity::new(), Mutex::default());
        Arc::new(Self {
            direction,
            listener,
            local_id,
            peer_id,
            tls_group,
            metrics,
            access_log,
            in_flight,
            activity,
            cut: AtomicBool::new(false),
            series,
        })
    }
    /// The connection is about to be cut because a certificate on it has ended: whatever is still open on it says so.
    pub(crate) fn certificate_ended(&self) {
        self.cut.store(true, Ordering::Release);
    }
    fn observe(&self, key: &Key, took: Duration) {
        let mut known = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, series)) = known.iter().find(|(have, _)| have == key) {
            series.observe(took);
            return;
        }
        let labels = RequestLabels {
            direction: self.direction,
            listener: &self.listener,
            service: key.service.as_deref().unwrap_or_default(),
            peer: key.peer.as_deref().unwrap_or_default(),
            method: key.method.as_str(),
            code: key.code,
            verdict: key.verdict,
        };
        let series = self.metrics.requests(&labels);
        series.observe(took);
        if known.len() >= SERIES_KEPT_MAX {
            known.clear();
        }
        known.push((key.clone(), series));
    }
}

/// The body of a request on its way to an upstream, which may outlive the answer: an app may answer before it has read.
pub(crate) struct Sending {
    facts: Arc<Facts>,
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Sending {
    /// The connection is at work until the body has ended, whatever becomes of the answer.
    pub(crate) fn begin(facts: &Arc<Facts>) -> Arc<Self> {
        facts.activity.work_began();
        Arc::new(Self {
            facts: facts.clone(),
            bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }
    /// So many more bytes went.
    pub(crate) fn went(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    /// Nothing more will go. To be called once.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.facts.activity.work_ended();
    }
}

/// One request and its answer, as they will be told.
pub(crate) struct Exchange {
    facts: Arc<Facts>,
    started: Instant,
    method: Method,
    uri: Uri,
    /// The authority, once it was read.
    pub(crate) host: Option<HeaderValue>,
    /// The service it goes to, and that service's identity.
    pub(crate) service: Option<(Arc<str>, Arc<str>)>,
    /// The endpoint it went to.
    pub(crate) endpoint: Option<Arc<str>>,
    /// Key exchange group of the upstream handshake.
    pub(crate) upstream_tls_group: &'static str,
    /// The status that went to the caller; 0: none did.
    pub(crate) status: u16,
    /// What policy said.
    pub(crate) verdict: Verdict,
    /// The rule that decided.
    pub(crate) rule: Option<Arc<str>>,
    /// Why it was refused, as a label.
    pub(crate) reason: &'static str,
    /// The decision's id.
    pub(crate) decision: Option<DecisionId>,
    /// From sending to the response head.
    pub(crate) upstream: Option<Duration>,
    /// The request's body, when it has one.
    pub(crate) sending: Option<Arc<Sending>>,
    /// Bytes of the response body.
    pub(crate) response_bytes: u64,
    /// What went wrong, for the operator.
    pub(crate) error: Cow<'static, str>,
    _in_flight: Held,
}

impl Exchange {
    /// A request has arrived.
    pub(crate) fn begin(facts: &Arc<Facts>, method: &Method, uri: &Uri) -> Box<Self> {
        facts.activity.work_began();
        Box::new(Self {
            facts: facts.clone(),
            started: Instant::now(),
            method: method.clone(),
            uri: uri.clone(),
            host: None,
            service: None,
            endpoint: None,
            upstream_tls_group: "",
            status: 0,
            verdict: Verdict::None,
            rule: None,
            reason: "",
            decision: None,
            upstream: None,
            sending: None,
            response_bytes: 0,
            error: Cow::Borrowed(""),
            _in_flight: facts.in_flight.enter(),
        })
    }
    /// The connection it came on.
    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }
    /// Whether the whole request has gone to its upstream.
    pub(crate) fn is_sent(&self) -> bool {
        let sending = self.sending.as_ref();
        sending.is_none_or(|sending| sending.ended.load(Ordering::Acquire))
    }
    /// It gets an answer of ours.
    pub(crate) fn refused(&mut self, refusal: &Refusal, status: u16) {
        self.status = status;
        self.reason = refusal.reason;
        self.error = Cow::Owned(refusal.explanation.to_string());
    }
    fn record(&self, access_log: &AccessLog, duration: Duration) {
        let facts = &self.facts;
        let host = self
            .host
            .as_ref()
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let (service, service_id) = self
            .service
            .as_ref()
            .map_or(("", ""), |(name, id)| (&**name, &**id));
        access_log.write(&AccessRecord {
            direction: facts.direction,
            listener: &facts.listener,
            local_id: &facts.local_id,
            peer_id: facts.peer_id.as_deref().unwrap_or(service_id),
            method: self.method.as_str(),
            path: self.uri.path(),
            host,
            service,
            endpoint: self.endpoint.as_deref().unwrap_or_default(),
            status: self.status,
            verdict: self.verdict,
            rule: self.rule.as_deref().unwrap_or_default(),
            reason: self.reason,
            decision_id: self.decision,
            duration,
            upstream: self.upstream,
            request_bytes: self
                .sending
                .as_ref()
                .map_or(0, |sending| sending.bytes.load(Ordering::Relaxed)),
            response_bytes: self.response_bytes,
            trace_id: "",
            span_id: "",
            tls_group: if facts.tls_group.is_empty() {
                self.upstream_tls_group
            } else {
                facts.tls_group
            },
            error: &self.error,
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        if self.reason.is_empty() && self.facts.cut.load(Ordering::Acquire) {
            (self.reason, self.error) = (
                CERTIFICATE_ENDED,
                Cow::Borrowed("a certificate on its connection had ended"),
            );
        }
        if self.status == 0 && self.reason.is_empty() {
            (self.reason, self.error) = (
                "caller_left",
                Cow::Borrowed("the caller left before the answer"),
            );
        }
        let facts = &self.facts;
        facts.activity.work_ended();
        let (service, service_id) = self.service.take().unzip();
        let peer = facts.peer_id.clone().or(service_id);
        let key = Key {
            service,
            peer,
            method: self.method.clone(),
            code: self.status,
            verdict: self.verdict,
        };
        facts.observe(&key, duration);
        self.service = key.service.zip(key.peer);
        if let Some(access_log) = &facts.access_log {
            self.record(access_log, duration);
        }
    }
}
