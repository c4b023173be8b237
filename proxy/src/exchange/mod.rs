//! One request from its head to the last byte of its answer: what the log and the metrics will say of it.
//!
//! An [`Exchange`] is made when a request arrives and travels with it through every stage. It reports itself exactly once,
//! when it is dropped: however a request ends, it is counted and logged.

mod cut;
mod series;
mod facts;
mod sending;

pub(crate) use cut::{
    ASKED_BACK, CERTIFICATE_ENDED, CUT_BY_DRAIN, LISTENER_REMOVED, STREAM_IDLE, explained,
};
pub(crate) use facts::Facts;
pub(crate) use sending::Sending;

use crate::activity::Stream;
use crate::answer::{Cause, Refusal};
use crate::believed::Believed;
use crate::expect::Latch;
use crate::load::{Load, Probing};
use crate::over::Over;
use crate::trail::Marks;
use crate::under_way::{Claim, Place, Upload};
use crate::whom::Whom;
use crate::wish::Wish;
use http::{HeaderValue, Method, Uri};
use series::Key;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use telemetry::{AccessLog, AccessRecord, DecisionId, Direction, Held, Verdict};

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
        let stream = facts.exchange_begins();
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
            stream,
            _in_flight: facts.in_flight.enter(),
        })
    }
    /// Room for it among those of its caller, until it is dropped.
    pub(crate) fn take_room(&mut self) -> Result<(), Refusal> {
        self.facts.take_room()?;
        self.has_room = true;
        Ok(())
    }
    /// The same for a probe.
    pub(crate) fn take_room_of_probes(&mut self, load: &Load) -> Result<(), Refusal> {
        self.probing = Some(self.facts.take_room_of_probes(load)?);
        Ok(())
    }
    /// It is relayed bytes from now on.
    pub(crate) fn upgraded(&mut self) {
        if !std::mem::replace(&mut self.is_upgraded, true) {
            self.facts.exchange_upgraded();
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
        } else if let Some(reason) = self.facts.condemned() {
            Some((reason, explained(reason)))
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
        self.sending.as_ref()?.refused()
    }
    /// Whether the whole request has gone to its upstream.
    pub(crate) fn is_sent(&self) -> bool {
        let sending = self.sending.as_ref();
        sending.is_none_or(|sending| sending.has_ended())
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
            request_bytes: self
                .sending
                .as_ref()
                .map_or(self.request_bytes, |sending| sending.bytes()),
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
            self.facts.gives_room_back();
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
        facts.exchange_ended(self.is_upgraded);
        let key = Key {
            to: self.to.take(),
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
