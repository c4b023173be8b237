//! The series of one CA.
use super::expiry::Expiries;
use super::labels::{Capped, Labels};
use super::{Buckets, Held, VALUES_MAX, family, process};
use crate::names;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The registry of one CA. See [`names`] for what each series means.
#[derive(Debug)]
pub struct CaMetrics {
    registry: Registry,
    handshakes: Family<Labels, Counter>,
    issued: Family<Labels, Counter>,
    durations: Histogram,
    streams: Gauge,
    expiries: Arc<Expiries>,
    reasons: Capped,
    /// How handshakes end: apart, so that strangers cannot use up the reasons of calls.
    ends: Capped,
}

impl CaMetrics {
    /// Every family registered, none with a series yet.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let expiries = Arc::new(Expiries::of(&names::CA_EXPIRY));
        registry.register_collector(Box::new(expiries.clone()));
        registry.register_collector(Box::new(process::Process));
        let version = Labels::new(&names::BUILD, [env!("CARGO_PKG_VERSION").into()]);
        registry.register(names::BUILD.family(), names::BUILD.help, Info::new(version));
        let durations = Buckets.new_metric();
        Arc::new(CaMetrics {
            handshakes: family(&mut registry, &names::HANDSHAKES, Family::default()),
            issued: family(&mut registry, &names::CA_ISSUED, Family::default()),
            durations: family(&mut registry, &names::CA_ISSUE_DURATION, durations),
            streams: family(&mut registry, &names::CA_STREAMS, Gauge::default()),
            expiries,
            reasons: Capped::new(VALUES_MAX),
            ends: Capped::new(VALUES_MAX),
            registry,
        })
    }

    /// Counts a handshake: `result` is `ok` or a reason, `group` is empty if it came to none.
    pub fn handshake(&self, result: &str, group: &'static str) {
        let labels = ["server".into(), self.ends.admit(result), group.into()];
        self.handshakes
            .get_or_create(&Labels::new(&names::HANDSHAKES, labels))
            .inc();
    }

    /// Counts a call for a certificate: `result` is `ok` or the reason of the refusal.
    pub fn issued(&self, attestor: &'static str, result: &str) {
        let labels = [attestor.into(), self.reasons.admit(result)];
        self.issued
            .get_or_create(&Labels::new(&names::CA_ISSUED, labels))
            .inc();
    }

    /// Times one that got its certificate.
    pub fn issue_took(&self, duration: Duration) {
        self.durations.observe(duration.as_secs_f64());
    }

    /// Counts an open stream until the guard is dropped.
    pub fn stream(&self) -> Held {
        Held::of(&self.streams)
    }

    /// Says when the certificate in use (`leaf`, `issuer`, `root`) ends; the seconds left are computed at every scrape.
    pub fn set_expiry(&self, what: &'static str, at: SystemTime) {
        self.expiries.set(what, at);
    }

    /// All of it as OpenMetrics text ([`names::METRICS_CONTENT_TYPE`]). Reads `/proc/self`.
    pub fn encode(&self) -> String {
        let mut page = String::with_capacity(4 * 1024);
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_a_ca_did_is_on_its_page() {
        let metrics = CaMetrics::new();
        metrics.issued("join_token", "ok");
        metrics.issued("join_token", "token_spent");
        metrics.issue_took(Duration::from_millis(3));
        metrics.handshake("ok", "X25519");
        metrics.handshake("handshakes_full", "");
        metrics.set_expiry("issuer", SystemTime::now() - Duration::from_secs(5));
        let _open = metrics.stream();

        let page = metrics.encode();

        for line in [
            "countersign_ca_issued_total{attestor=\"join_token\",result=\"ok\"} 1\n",
            "countersign_ca_issued_total{attestor=\"join_token\",result=\"token_spent\"} 1\n",
            "countersign_ca_issue_duration_seconds_count 1\n",
            "countersign_handshakes_total{side=\"server\",result=\"ok\",group=\"X25519\"} 1\n",
            "countersign_handshakes_total{side=\"server\",result=\"handshakes_full\",group=\"\"} 1\n",
            "countersign_ca_streams 1\n",
            "countersign_ca_expiry_seconds{what=\"issuer\"} -5",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
