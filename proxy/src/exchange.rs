//! One request from its head to the last byte of its answer: what the log and the metrics will say of it.
//!
//! An [`Exchange`] is made when a request arrives and travels with it through every stage. It reports itself exactly once,
//! when it is dropped: however a request ends, it is counted and logged.

use crate::activity::{Activity, Stream};
use crate::answer::{Cause, Refusal};
use crate::believed::Believed;
use crate::expect::Latch;
use crate::headers::OUTER_WHITESPACE;
use crate::interim::Interims;
use crate::load::{Full, Holder, Load, Probing};
use crate::over::Over;
use crate::trail::Marks;
use crate::under_way::{Claim, Place, UnderWay, Upload};
use crate::whom::Whom;
use crate::wish::Wish;
use bytes::Bytes;
use http::{HeaderValue, Method, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use telemetry::{
    AccessLog, AccessRecord, DecisionId, Direction, Held, InFlight, RequestLabels, RequestSeries,
    SidecarMetrics, Verdict,
};

/// Why something was ended: a certificate on its connection had, longer ago than `limits.afterExpiry`.
pub(crate) const CERTIFICATE_ENDED: &str = "certificate_ended";
/// The process ended, and it was still open at the deadline.
pub(crate) const CUT_BY_DRAIN: &str = "cut_by_drain";

/// Its listener is not configured any more, and it did not end in time.
pub(crate) const LISTENER_REMOVED: &str = "listener_removed";
/// Another has its place: `limits.connections`.
pub(crate) const ASKED_BACK: &str = "connection_asked_back";

/// Why something was ended: nothing moved on it for `limits.streamIdle`.
pub(crate) const STREAM_IDLE: &str = "stream_idle";

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
    /// Who asks, and what it holds.
    holder: Arc<Holder>,
    /// What this connection is doing.
    pub(crate) activity: Activity,
    /// Why it is about to be cut, if it is.
    condemned: OnceLock<&'static str>,
    /// Exchanges that ever began on it.
    begun: AtomicU64,
    /// Those of them that ended.
    ended: AtomicU64,
    /// Those of them that became something else: bytes.
    upgraded: AtomicU64,
    /// What is under way on it.
    pub(crate) under_way: UnderWay,
    /// What is said before answers on it (HTTP/1).
    pub(crate) interims: Interims,
    /// Whether its requests are watched one by one.
    has_streams: AtomicBool,
    /// Whether its peer is a sidecar, as the marks of a request showed.
    of_sidecar: AtomicBool,
    /// Whether it closes without having begun what its peer may just be sending.
    leaves: AtomicBool,
    /// Whether its peer was told that it ends after what is under way.
    ends: AtomicBool,
    /// Series that this connection used: few, so a look-up is a short scan instead of a hash of seven labels.
    series: Mutex<Vec<(Key, RequestSeries)>>,
}

#[derive(Clone, PartialEq)]
struct Key {
    to: Option<Arc<Whom>>,
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
        holder: Arc<Holder>,
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
            holder,
            activity,
            condemned: OnceLock::new(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            upgraded: AtomicU64::new(0),
            under_way: UnderWay::default(),
            interims: Interims::default(),
            has_streams: AtomicBool::new(false),
            of_sidecar: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            series,
        })
    }
    /// The connection is about to be cut: whatever is still open on it gives this reason, the first that was given.
    pub(crate) fn condemn(&self, reason: &'static str) {
        let _first = self.condemned.set(reason);
    }
    /// How many requests on it have not ended, and how many were and are now relayed bytes.
    pub(crate) fn exchanges(&self) -> (u64, u64) {
        let upgraded = self.upgraded.load(Ordering::Relaxed);
        // What ended is read first, so that what ends meanwhile is at worst counted as open.
        let ended = self.ended.load(Ordering::Relaxed);
        let open = self.begun().saturating_sub(ended);
        (open.saturating_sub(upgraded), upgraded)
    }
    /// How many requests ever began on it.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
    /// Whether so many requests have begun on it, and every one has ended.
    pub(crate) fn has_answered(&self, requests: u64) -> bool {
        self.ended.load(Ordering::Relaxed) == requests && self.begun() == requests
    }
    /// From now on whoever spawns its requests watches them one by one: [`Stream::begun`].
    pub(crate) fn watch_streams(&self) {
        self.has_streams.store(true, Ordering::Relaxed);
    }
    /// Its peer is a sidecar, which understands [`Declined`](crate::declined::Declined).
    pub(crate) fn is_of_sidecar(&self) {
        self.of_sidecar.store(true, Ordering::Relaxed);
    }
    /// It ends after what is under way; at once where that is nothing: what its peer may just be sending is not read.
    pub(crate) fn leaves(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.leaves
            .store(!self.activity.is_at_work(), Ordering::Relaxed);
    }
    /// Whether its end was asked for, and is not owed to what its peer did.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }
    /// Whether a sidecar is to be told, before it closes, that nothing more of it was read. Once.
    pub(crate) fn owes_farewell(&self) -> bool {
        self.of_sidecar.load(Ordering::Relaxed)
            && self.leaves.swap(false, Ordering::Relaxed)
            && !self.activity.is_at_work()
    }
    /// A limit refuses or ends one of its requests: counted under its reason, which is given back.
    pub(crate) fn limits_it(&self, reason: &'static str) -> &'static str {
        self.metrics.limited(self.direction, &self.listener, reason);
        reason
    }
    /// A limit ends the connection: counted under its reason, and told.
    pub(crate) fn limited(&self, reason: &'static str) {
        self.limits_it(reason);
        self.tell_limited(reason);
    }
    /// Told, since no exchange comes of it.
    pub(crate) fn tell_limited(&self, reason: &'static str) {
        let listener = &*self.listener;
        tracing::debug!(listener, reason, "a limit ends a connection");
        if let Some(access_log) = &self.access_log {
            access_log.write(&AccessRecord {
                listener,
                local_id: &self.local_id,
                peer_id: self.peer_id.as_deref().unwrap_or_default(),
                reason,
                error: "a limit ends its connection",
                ..AccessRecord::of(self.direction)
            });
        }
    }
    /// A head was refused before it was a request: counted and told here, since no exchange comes of it.
    pub(crate) fn refused_head(&self, reason: &'static str, status: u16) {
        self.metrics.refused_head(reason);
        let listener = &*self.listener;
        tracing::debug!(listener, reason, "refused a head");
        if let Some(access_log) = &self.access_log {
            access_log.write(&AccessRecord {
                listener,
                local_id: &self.local_id,
                peer_id: self.peer_id.as_deref().unwrap_or_default(),
                status,
                reason,
                error: "what it sent is no request",
                tls_group: self.tls_group,
                ..AccessRecord::of(self.direction)
            });
        }
    }
    /// Whether its caller is in clear text: what it asks decides in which room it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.direction == Direction::Inbound && self.peer_id.is_none()
    }
    /// There is no room for a request, which is counted.
    fn full(&self, full: Full) -> Refusal {
        let reason = full.reason();
        self.metrics.limited(self.direction, &self.listener, reason);
        Refusal::unsent(Cause::LimitReached, reason).explained(full)
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
            service: key.to.as_ref().map_or("", |to| &*to.service),
            peer: match (&key.peer, &key.to) {
                (Some(peer), _) => peer,
                (None, Some(to)) => to.peer_id(),
                (None, None) => "",
            },
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

/// What a reason for a cut says to the operator.
pub(crate) fn explained(reason: &str) -> &'static str {
    match reason {
        CERTIFICATE_ENDED => "a certificate on its connection had ended",
        STREAM_IDLE => "nothing moved on it for limits.streamIdle",
        reason if reason.ends_with("_flood") => "its connection was flooded with frames",
        OUTER_WHITESPACE => "a value of its trailers has whitespace around it",
        "pseudo_headers_in_trailers" => "trailers on its connection held pseudo-header fields",
        "no_settings" => "its connection did not begin with SETTINGS",
        "head_too_large" => "a head on its connection had more than four times limits.header",
        reason if reason.ends_with("_too_large") => {
            "it has more than limits.header or limits.headers"
        }
        CUT_BY_DRAIN => "it was still open when the process ended",
        LISTENER_REMOVED => "its listener is not configured any more, and it did not end in time",
        ASKED_BACK => "limits.connections are open, and its place went to who holds fewer",
        _ => "it is not allowed any more",
    }
}

/// The body of a request on its way to an upstream, which may outlive the answer: an app may answer before it has read.
pub(crate) struct Sending {
    facts: Arc<Facts>,
    source: Mutex<Source>,
    stream: Option<Arc<Stream>>,
    bytes: AtomicU64,
    ended: AtomicBool,
    /// Why it goes no further, where that is for us to say.
    refused: OnceLock<(Cause, &'static str)>,
}

/// Why a body did not come to its end.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Where it comes from.
struct Source {
    /// `None`: it has ended, or was cut: nothing more comes.
    incoming: Option<Incoming>,
    /// Who waits for more.
    waker: Option<Waker>,
    /// Its place among what is under way, once the answer has ended before it.
    place: Option<Place>,
}

impl Sending {
    /// The connection is at work until the body has ended, whatever becomes of the answer.
    pub(crate) fn begin(
        facts: &Arc<Facts>,
        stream: Option<Arc<Stream>>,
        incoming: Incoming,
    ) -> Arc<Self> {
        facts.activity.work_began();
        let source = Source {
            incoming: Some(incoming),
            waker: None,
            place: None,
        };
        Arc::new(Self {
            facts: facts.clone(),
            source: Mutex::new(source),
            stream,
            bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            refused: OnceLock::new(),
        })
    }
    /// It breaks a limit, or is not right, and goes no further: counted, once.
    pub(crate) fn refuse(&self, reason: &'static str) {
        if reason == OUTER_WHITESPACE {
            self.is_malformed(reason);
        } else if self.refused.set((Cause::HeadTooLarge, reason)).is_ok() {
            self.facts.limits_it(reason);
        }
    }
    /// It is malformed, and goes no further: counted, once.
    pub(crate) fn is_malformed(&self, reason: &'static str) {
        if self.refused.set((Cause::Malformed, reason)).is_ok() {
            self.facts.metrics.refused_head(reason);
        }
    }
    /// So many more bytes went.
    pub(crate) fn went(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(stream) = &self.stream {
            stream.uploaded.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    /// Nothing more will go. To be called once.
    pub(crate) fn end(&self) {
        let rest = self.source().incoming.take();
        drop(rest);
        self.ended.store(true, Ordering::Release);
        self.facts.activity.work_ended();
        self.facts.under_way.body_ended(|| self.source().place);
    }
    /// The next of it. One that was cut ends with an error, which resets a stream as its caller would have.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut source = self.source();
        let Some(incoming) = &mut source.incoming else {
            let cut = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(cut.into())));
        };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        // hyper takes a stream that its client resets with NO_ERROR for one that ended well (RFC 9113 §8.1 means answers).
        let has_ended = matches!(polled, Poll::Ready(None));
        let is_cut = has_ended && self.stream.is_some() && !incoming.is_end_stream();
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        if polled.is_pending() && !source.waker.as_ref().is_some_and(waits) {
            source.waker = Some(cx.waker().clone());
        }
        if is_cut {
            let cut = h2::Error::from(h2::Reason::CANCEL);
            return Poll::Ready(Some(Err(cut.into())));
        }
        polled.map_err(Into::into)
    }
    /// Whether nothing more comes.
    pub(crate) fn is_end_stream(&self) -> bool {
        let source = self.source();
        source.incoming.as_ref().is_some_and(Body::is_end_stream)
    }
    /// How much may come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let source = self.source();
        source
            .incoming
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload for Sending {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
    fn takes(&self, place: Place) {
        self.source().place = Some(place);
    }
    /// Lets go of where it comes from, whoever holds the other end of it and however long.
    fn cut(&self) {
        let (incoming, waker) = {
            let mut source = self.source();
            (source.incoming.take(), source.waker.take())
        };
        drop(incoming);
        if let Some(waker) = waker {
            waker.wake();
        }
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
    /// When its whole answer must be there.
    pub(crate) until: Option<Instant>,
    /// What sidecars before us left on it.
    pub(crate) marks: Marks,
    /// To whom it goes, on an outbound listener.
    pub(crate) to: Option<Arc<Whom>>,
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
    /// What its body waits behind, if it does.
    pub(crate) latch: Option<Latch>,
    /// What it wants besides an answer.
    pub(crate) wish: Wish,
    /// Bytes from the caller after it got its wish.
    pub(crate) request_bytes: u64,
    /// Bytes of the response body, or to the caller after it got its wish.
    pub(crate) response_bytes: u64,
    /// What went wrong, for the operator.
    pub(crate) error: Cow<'static, str>,
    /// Whether it has room among those of its caller.
    has_room: bool,
    /// Its room among probes.
    probing: Option<Probing>,
    is_upgraded: bool,
    /// Its place among what is under way, since it was permitted.
    place: Option<Place>,
    /// Where its connection's requests are watched one by one.
    stream: Option<Arc<Stream>>,
    _in_flight: Held,
}

impl Exchange {
    /// A request has arrived.
    pub(crate) fn begin(facts: &Arc<Facts>, method: &Method, uri: &Uri) -> Box<Self> {
        facts.activity.work_began();
        facts.begun.fetch_add(1, Ordering::Relaxed);
        Box::new(Self {
            facts: facts.clone(),
            started: Instant::now(),
            method: method.clone(),
            uri: uri.clone(),
            host: None,
            until: None,
            marks: Marks::default(),
            to: None,
            endpoint: None,
            upstream_tls_group: "",
            status: 0,
            verdict: Verdict::None,
            rule: None,
            reason: "",
            decision: None,
            upstream: None,
            sending: None,
            latch: None,
            wish: Wish::Answer,
            request_bytes: 0,
            response_bytes: 0,
            error: Cow::Borrowed(""),
            has_room: false,
            probing: None,
            is_upgraded: false,
            place: None,
            stream: facts
                .has_streams
                .load(Ordering::Relaxed)
                .then(Stream::begin),
            _in_flight: facts.in_flight.enter(),
        })
    }
    /// Room for it among those of its caller, until it is dropped.
    pub(crate) fn take_room(&mut self) -> Result<(), Refusal> {
        let began = self.facts.holder.began();
        began.map_err(|full| self.facts.full(full))?;
        self.has_room = true;
        Ok(())
    }
    /// The same for a probe.
    pub(crate) fn take_room_of_probes(&mut self, load: &Load) -> Result<(), Refusal> {
        let probing = load.probe();
        self.probing = Some(probing.map_err(|full| self.facts.full(full))?);
        Ok(())
    }
    /// It is relayed bytes from now on.
    pub(crate) fn upgraded(&mut self) {
        if !self.is_upgraded {
            self.is_upgraded = true;
            self.facts.upgraded.fetch_add(1, Ordering::Relaxed);
        }
    }
    /// It was permitted by the snapshot of this number, in the task of its connection: later ones judge it again.
    pub(crate) fn permitted(&mut self, permitted_by: u64) {
        self.place = Some(self.facts.under_way.enter(Claim {
            permitted_by,
            method: self.method.clone(),
            uri: self.uri.clone(),
            host: self.host.clone(),
            to: self.to.clone(),
            endpoint: None,
            server: None,
        }));
    }
    /// It goes to this server, and if it is bytes to this endpoint: later snapshots judge that too. The number of the one that
    /// permitted it.
    pub(crate) fn goes(
        &self,
        server: Option<&Arc<Believed>>,
        endpoint: Option<&Arc<str>>,
    ) -> Option<u64> {
        self.facts.under_way.goes(self.place?, server, endpoint)
    }
    /// What it was permitted for.
    pub(crate) fn claim(&self) -> Option<Claim> {
        self.facts.under_way.claim(self.place?)
    }
    /// The connection it came on.
    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }
    /// Whether it asks for a connection to somebody else.
    pub(crate) fn is_connect(&self) -> bool {
        self.method == Method::CONNECT
    }
    /// What is watched of it alone.
    pub(crate) fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.clone()
    }
    /// Why it ended, where nobody has said that yet.
    fn find_reason(&mut self) {
        let stream = self.stream.as_ref();
        let is_stalled = stream.is_some_and(|stream| stream.is_stalled.load(Ordering::Relaxed));
        let ended = if is_stalled {
            Some((STREAM_IDLE, explained(STREAM_IDLE)))
        } else if let Some(reason) = self.facts.condemned.get() {
            Some((*reason, explained(reason)))
        } else if let Some((cause, reason)) = self.body_refused() {
            Some(match cause {
                Cause::Malformed => (reason, "its body is malformed"),
                _ => (reason, explained(reason)),
            })
        } else if self.status == 0 {
            Some(("caller_left", "the caller left before the answer"))
        } else {
            None
        };
        if let Some((reason, error)) = ended {
            (self.reason, self.error) = (reason, Cow::Borrowed(error));
        }
    }
    /// Why its body was refused, if it was.
    pub(crate) fn body_refused(&self) -> Option<(Cause, &'static str)> {
        self.sending.as_ref()?.refused.get().copied()
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
        let to = self.to.as_deref();
        let (service, service_id) = to.map_or(("", ""), |to| (&*to.service, &**to.peer_id()));
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
            request_bytes: self.sending.as_ref().map_or(self.request_bytes, |sending| {
                sending.bytes.load(Ordering::Relaxed)
            }),
            response_bytes: self.response_bytes,
            trace_id: "",
            span_id: "",
            tls: self.tls(),
            tls_group: if facts.tls_group.is_empty() {
                self.upstream_tls_group
            } else {
                facts.tls_group
            },
            error: &self.error,
        });
    }
}

impl Exchange {
    /// What secures the hop to the network; empty where nobody was found at its other end.
    fn tls(&self) -> &'static str {
        let facts = &self.facts;
        match (facts.direction, &self.to) {
            (Direction::Inbound, _) if facts.tls_group.is_empty() => "none",
            (Direction::Inbound, _) => "mutual",
            (Direction::Outbound, Some(to)) => to.tls,
            (Direction::Outbound, None) => "",
        }
    }
    /// It leaves what is under way. One that a snapshot forbade says so, and its body ends with it.
    fn leave(&mut self) {
        let Some(place) = self.place else { return };
        let body = self.sending.clone();
        let body = body.map(|sending| sending as Arc<dyn Upload>);
        let Some(over) = self.facts.under_way.leave(place, body) else {
            return;
        };
        if let Some(sending) = &self.sending {
            sending.cut();
        }
        self.over(over);
    }
    /// The next may have its room.
    pub(crate) fn gives_room_back(&mut self) {
        if std::mem::take(&mut self.has_room) {
            self.facts.holder.ended();
        }
    }
    /// It was permitted, and is not any more: that it was stays its verdict.
    pub(crate) fn over(&mut self, over: Over) {
        self.reason = over.reason;
        self.error = Cow::Owned(over.explanation.into());
        self.rule = over.rule.or_else(|| self.rule.take());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        if let (Some(latch), Some(sending)) = (&self.latch, &self.sending)
            && latch.give_up()
        {
            sending.cut();
        }
        self.leave();
        if self.reason.is_empty() || self.reason == CUT_BY_DRAIN {
            self.find_reason();
        }
        self.gives_room_back();
        let facts = &self.facts;
        facts.activity.work_ended();
        facts.ended.fetch_add(1, Ordering::Relaxed);
        if self.is_upgraded {
            facts.upgraded.fetch_sub(1, Ordering::Relaxed);
        }
        let key = Key {
            to: self.to.take(),
            peer: facts.peer_id.clone(),
            method: self.method.clone(),
            code: self.status,
            verdict: self.verdict,
        };
        facts.observe(&key, duration);
        self.to = key.to;
        if let Some(access_log) = &facts.access_log {
            self.record(access_log, duration);
        }
    }
}
