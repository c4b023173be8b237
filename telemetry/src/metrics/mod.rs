//! The series of one sidecar.
//!
//! In: what happened, through handles that were resolved once and are kept where they are used. Out: OpenMetrics text.
//! It reads `/proc/self` when asked for that text and nothing else, ever.
//!
//! 1. A handle costs an atomic or a short lock of its own; only making one looks anything up.
//! 2. A label whose values come from outside holds [`VALUES_MAX`] of them, then [`OTHER`]; [`SERIES_MAX`] bounds their product.

mod labels;

mod expiry;
mod known;
mod process;

mod ca;

pub use ca::CaMetrics;

use crate::label::{self, Direction, Verdict};
use crate::names::{self, Metric, OTHER};
use expiry::Expiries;
use known::Known;
use labels::{Capped, Labels};
use prometheus_client::encoding::{EncodeMetric, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric as Registrable, Registry};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// How many values a label from outside may have: the contract's number for peers and services.
const VALUES_MAX: usize = 100;
/// How many status codes: more than RFC 9110 has, fewer than a server that plays with us could send.
const CODES_MAX: usize = 64;
/// How many series of requests in all: 100 peers that each use ten methods and codes; some 5 MB when full.
const SERIES_MAX: usize = 10_000;
/// From half a millisecond, which an added hop may cost, to the ten seconds after which callers have left.
const BUCKETS_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What names a series of requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestLabels<'a> {
    /// Which way.
    pub direction: Direction,
    /// The listener's name.
    pub listener: &'a str,
    /// The service called; empty if none.
    pub service: &'a str,
    /// The verified SPIFFE ID of the other side; empty if there is none.
    pub peer: &'a str,
    /// The method as it came; empty on tcp.
    pub method: &'a str,
    /// The status that the caller got; 0 on tcp.
    pub code: u16,
    /// What policy said.
    pub verdict: Verdict,
}

/// Makes histograms of durations.
#[derive(Clone, Debug)]
struct Buckets;
impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS_SECONDS)
    }
}

/// The registry of one sidecar. See [`names`] for what each series means.
#[derive(Debug)]
pub struct SidecarMetrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, Buckets>,
    in_flight: Family<Labels, Gauge>,
    connections: Family<Labels, Gauge>,
    denials: Family<Labels, Counter>,
    handshakes: Family<Labels, Counter>,
    refused_heads: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    limited: Family<Labels, Counter>,
    ejections: Family<Labels, Counter>,
    upstream_connections: Family<Labels, Counter>,
    dropped: Family<Labels, Counter>,
    app_exposed: Family<Labels, Gauge>,
    plaintext: Family<Labels, Counter>,
    sources: Capped,
    generation: Gauge,
    expiries: Arc<Expiries>,
    reachable: Arc<Known>,
    skew: Arc<Known>,
    listeners: Capped,
    services: Capped,
    peers: Capped,
    codes: Capped,
    rules: Capped,
    reasons: Capped,
    groups: Capped,
    request_series: AtomicUsize,
}

impl SidecarMetrics {
    /// Every family registered, none with a series yet.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let expiries = Arc::new(Expiries::of(&names::EXPIRY));
        let reachable = Arc::new(Known::of(&names::CA_REACHABLE));
        let skew = Arc::new(Known::of(&names::CLOCK_SKEW));
        registry.register_collector(Box::new(expiries.clone()));
        registry.register_collector(Box::new(reachable.clone()));
        registry.register_collector(Box::new(skew.clone()));
        registry.register_collector(Box::new(process::Process));
        let version = Labels::new(&names::BUILD, [env!("CARGO_PKG_VERSION").into()]);
        registry.register(names::BUILD.family(), names::BUILD.help, Info::new(version));
        Arc::new(SidecarMetrics {
            requests: family(&mut registry, &names::REQUESTS, Family::default()),
            durations: family(
                &mut registry,
                &names::REQUEST_DURATION,
                Family::new_with_constructor(Buckets),
            ),
            in_flight: family(&mut registry, &names::REQUESTS_IN_FLIGHT, Family::default()),
            denials: family(&mut registry, &names::DENIALS, Family::default()),
            handshakes: family(&mut registry, &names::HANDSHAKES, Family::default()),
            connections: family(&mut registry, &names::CONNECTIONS, Family::default()),
            refused_heads: family(&mut registry, &names::REFUSED_HEADS, Family::default()),
            retries: family(&mut registry, &names::RETRIES, Family::default()),
            limited: family(&mut registry, &names::LIMITED, Family::default()),
            generation: family(&mut registry, &names::CONFIG_GENERATION, Gauge::default()),
            ejections: family(&mut registry, &names::EJECTIONS, Family::default()),
            upstream_connections: family(
                &mut registry,
                &names::UPSTREAM_CONNECTIONS,
                Family::default(),
            ),
            dropped: family(&mut registry, &names::DROPPED, Family::default()),
            app_exposed: family(&mut registry, &names::APP_EXPOSED, Family::default()),
            plaintext: family(&mut registry, &names::PLAINTEXT, Family::default()),
            sources: Capped::new(VALUES_MAX),
            expiries,
            reachable,
            skew,
            listeners: Capped::new(VALUES_MAX),
            services: Capped::new(VALUES_MAX),
            peers: Capped::new(VALUES_MAX),
            codes: Capped::new(CODES_MAX),
            rules: Capped::new(VALUES_MAX),
            reasons: Capped::new(VALUES_MAX),
            groups: Capped::new(VALUES_MAX),
            request_series: AtomicUsize::new(0),
            registry,
        })
    }

    /// The handle for these requests. Peers and services beyond 100 are `other`, unknown methods `_OTHER`; where all
    /// series are taken, peer, service, method and code are `other` together. Looks up: keep the handle.
    pub fn requests(&self, labels: &RequestLabels<'_>) -> RequestSeries {
        let direction = Cow::Borrowed(labels.direction.as_str());
        let verdict = Cow::Borrowed(labels.verdict.as_str());
        let listener = self.listeners.admit(labels.listener);
        let service = self.services.admit(labels.service);
        let peer = self.peers.admit(labels.peer);
        let method = Cow::Borrowed(label::method(labels.method));
        let code = self.code(labels.code);

        let timed = Labels::new(
            &names::REQUEST_DURATION,
            [
                direction.clone(),
                listener.clone(),
                service.clone(),
                verdict.clone(),
            ],
        );
        let exact = Labels::new(
            &names::REQUESTS,
            [
                direction.clone(),
                listener.clone(),
                service,
                peer,
                method,
                code,
                verdict.clone(),
            ],
        );
        let count = self.counted(exact, || {
            let other = || Cow::Borrowed(OTHER);
            Labels::new(
                &names::REQUESTS,
                [
                    direction,
                    listener,
                    other(),
                    other(),
                    other(),
                    other(),
                    verdict,
                ],
            )
        });
        RequestSeries {
            count,
            duration: self.durations.get_or_create_owned(&timed),
        }
    }

    fn code(&self, code: u16) -> Cow<'static, str> {
        match code {
            0 => Cow::Borrowed(""),
            200 => Cow::Borrowed("200"),
            code => self.codes.admit(&code.to_string()),
        }
    }

    /// The series with these labels, or the one for the rest when there are too many already.
    fn counted(&self, labels: Labels, rest: impl FnOnce() -> Labels) -> Counter {
        if let Some(known) = self.requests.get(&labels) {
            return known.clone();
        }
        // Two threads may both pass at the edge: the bound is on memory, not on a number.
        if self.request_series.fetch_add(1, Ordering::Relaxed) < SERIES_MAX {
            self.requests.get_or_create_owned(&labels)
        } else {
            self.request_series.fetch_sub(1, Ordering::Relaxed);
            self.requests.get_or_create_owned(&rest())
        }
    }

    /// The handle that counts requests under way at a listener.
    pub fn in_flight(&self, direction: Direction, listener: &str) -> InFlight {
        let labels = [direction.as_str().into(), self.listeners.admit(listener)];
        InFlight(
            self.in_flight
                .get_or_create_owned(&Labels::new(&names::REQUESTS_IN_FLIGHT, labels)),
        )
    }

    /// The handle that counts open connections of a listener.
    pub fn connections(&self, direction: Direction, listener: &str) -> Connections {
        let labels = [direction.as_str().into(), self.listeners.admit(listener)];
        Connections(
            self.connections
                .get_or_create_owned(&Labels::new(&names::CONNECTIONS, labels)),
        )
    }

    /// Counts a denial by the rule that denied, or came nearest (empty if none did).
    pub fn denied(&self, rule: &str, reason: &str) {
        let labels = Labels::new(
            &names::DENIALS,
            [self.rules.admit(rule), self.reasons.admit(reason)],
        );
        self.denials.get_or_create(&labels).inc();
    }

    /// Counts a handshake: `side` is `server` or `client`, `result` is `ok` or a reason, `group` is empty if it came to none.
    pub fn handshake(&self, side: &str, result: &str, group: &str) {
        let labels = [
            self.reasons.admit(side),
            self.reasons.admit(result),
            self.groups.admit(group),
        ];
        self.handshakes
            .get_or_create(&Labels::new(&names::HANDSHAKES, labels))
            .inc();
    }

    /// Counts a request to a service that was sent again (`result` is `sent`) or that there was no budget for (`no_budget`).
    pub fn retried(&self, service: &str, on: &'static str, result: &'static str) {
        let labels = [self.services.admit(service), on.into(), result.into()];
        self.retries
            .get_or_create(&Labels::new(&names::RETRIES, labels))
            .inc();
    }

    /// Counts a head that was refused before policy was asked.
    pub fn refused_head(&self, reason: &str) {
        let labels = Labels::new(&names::REFUSED_HEADS, [self.reasons.admit(reason)]);
        self.refused_heads.get_or_create(&labels).inc();
    }

    /// Counts a connection or a request that a limit refused or ended.
    pub fn limited(&self, direction: Direction, listener: &str, reason: &str) {
        let labels = [
            direction.as_str().into(),
            self.listeners.admit(listener),
            self.reasons.admit(reason),
        ];
        self.limited
            .get_or_create(&Labels::new(&names::LIMITED, labels))
            .inc();
    }

    /// Counts an endpoint of a service that is left alone for a while.
    pub fn ejected(&self, service: &str, reason: &'static str) {
        let labels = [self.services.admit(service), self.reasons.admit(reason)];
        self.ejections
            .get_or_create(&Labels::new(&names::EJECTIONS, labels))
            .inc();
    }

    /// Counts a connection made to a service, secured so.
    pub fn connected(&self, service: &str, tls: &'static str) {
        let labels = [self.services.admit(service), tls.into()];
        self.upstream_connections
            .get_or_create(&Labels::new(&names::UPSTREAM_CONNECTIONS, labels))
            .inc();
    }

    /// Says when the certificate in use (`leaf`, `issuer`, `root`) ends; the seconds left are computed at every scrape.
    /// `None`: there is none.
    pub fn set_expiry(&self, what: &'static str, at: Option<SystemTime>) {
        match at {
            Some(at) => self.expiries.set(what, at),
            None => self.expiries.unset(what),
        }
    }

    /// Says whether who issues the identity answered when last asked; `None`: nobody is asked.
    pub fn set_ca_reachable(&self, reachable: Option<bool>) {
        self.reachable
            .set(reachable.map(|yes| f64::from(u8::from(yes))));
    }

    /// Says how far this machine's clock is ahead of the CA's, in seconds; `None`: not measured.
    pub fn set_clock_skew(&self, ahead_s: Option<f64>) {
        self.skew.set(ahead_s);
    }

    /// Says whether the app behind a listener is reached past the sidecar; `None`: that cannot be told.
    pub fn set_app_exposed(&self, listener: &str, exposed: Option<bool>) {
        let labels = Labels::new(&names::APP_EXPOSED, [self.listeners.admit(listener)]);
        match exposed {
            Some(exposed) => {
                let gauge = self.app_exposed.get_or_create_owned(&labels);
                gauge.set(i64::from(exposed));
            }
            None => drop(self.app_exposed.remove(&labels)),
        }
    }

    /// Counts a connection in clear text that was heard.
    pub fn plaintext(&self, listener: &str, source: &str) {
        let labels = [self.listeners.admit(listener), self.sources.admit(source)];
        let labels = Labels::new(&names::PLAINTEXT, labels);
        self.plaintext.get_or_create(&labels).inc();
    }

    /// Says which snapshot is in force.
    pub fn set_generation(&self, generation: u64) {
        self.generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// The handle that counts what telemetry lost, such as [`names::DROPPED_ACCESS_LOG`].
    pub fn dropped(&self, what: &'static str) -> Dropped {
        Dropped(
            self.dropped
                .get_or_create_owned(&Labels::new(&names::DROPPED, [what.into()])),
        )
    }

    /// All of it as OpenMetrics text ([`names::METRICS_CONTENT_TYPE`]). Reads `/proc/self`.
    pub fn encode(&self) -> String {
        let mut page = String::with_capacity(16 * 1024);
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a String does not fail; should a collector, half a page would read as counters reset.
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }
}

/// Registers a metric under its name in the table and hands it back.
fn family<M: Registrable + EncodeMetric + Clone>(
    registry: &mut Registry,
    metric: &Metric,
    family: M,
) -> M {
    registry.register(metric.family(), metric.help, family.clone());
    family
}

/// Counts and times the requests of one series.
#[derive(Clone, Debug)]
pub struct RequestSeries {
    count: Counter,
    duration: Histogram,
}

impl RequestSeries {
    /// Counts one request that took this long.
    pub fn observe(&self, duration: Duration) {
        self.count.inc();
        self.duration.observe(duration.as_secs_f64());
    }
}

/// Requests under way at one listener.
#[derive(Clone, Debug)]
pub struct InFlight(Gauge);

impl InFlight {
    /// Counts one more until the guard is dropped.
    pub fn enter(&self) -> Held {
        Held::of(&self.0)
    }
}

/// Open connections of one listener.
#[derive(Clone, Debug)]
pub struct Connections(Gauge);

impl Connections {
    /// Counts one more until the guard is dropped.
    pub fn enter(&self) -> Held {
        Held::of(&self.0)
    }
}

/// One that is counted as long as this lives.
#[derive(Debug)]
#[must_use = "it is counted only as long as this lives"]
pub struct Held(Gauge);

impl Held {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Held(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts what telemetry lost of one kind.
#[derive(Clone, Debug)]
pub struct Dropped(Counter);

impl Dropped {
    /// Counts this many.
    pub fn add(&self, lost: u64) {
        if lost > 0 {
            self.0.inc_by(lost);
        }
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests;
