//! Callers in clear text, who have no identity: whoever probes, and, with `mode: permissive`, whoever has no sidecar yet.
//!
//! In: the first byte of a connection, a request's head, the configuration in force. Out: whether it is heard at all, whether
//! a request is a probe, and who still comes so: counted, and told once an hour for each address.
//!
//! 1. A probe is a GET or HEAD whose target is, byte for byte, a path of the configuration; nothing that could make an app
//!    serve another one goes with it.
//! 2. Whatever else comes in clear text is decided by policy, and only a rule that names [`config::PLAINTEXT`] lets it pass.

use config::PLAINTEXT;
use config::sidecar::{Inbound, Mode, Protocol};
use daemon::places::{Origin, Source};
use daemon::socket::Peer;
use http::{HeaderMap, Method, Request, Version, header};
use http_body::Body;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use telemetry::SidecarMetrics;

/// Why a request in clear text is refused where policy is not even asked.
pub(crate) const PLAIN_HTTP: &str = "plain_http";
/// The same of bytes.
pub(crate) const CLEAR_TEXT: &str = "clear_text";

/// Whether a connection in clear text that begins with this byte is heard.
pub(crate) fn is_heard(inbound: &Inbound, first: u8) -> bool {
    match (inbound.protocol, inbound.mode) {
        (Protocol::Tcp, Mode::Permissive) => true,
        (Protocol::Tcp, Mode::Strict) => false,
        (Protocol::Http, Mode::Permissive) => first.is_ascii_alphabetic(),
        // GET and HEAD.
        (Protocol::Http, Mode::Strict) => {
            !inbound.probes.is_empty() && matches!(first, b'G' | b'H')
        }
    }
}

/// Whether a request in clear text is a probe.
pub(crate) fn is_probe<B: Body>(request: &Request<B>, probes: &[String]) -> bool {
    let target = request.uri().path_and_query();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.version(), Version::HTTP_10 | Version::HTTP_11)
        && request.uri().authority().is_none()
        && request.body().is_end_stream()
        && target.is_some_and(|target| probes.iter().any(|probe| probe == target.as_str()))
}

/// What of a probe's head goes to the app: frameworks take method and path from fields of other names.
pub(crate) fn head_of_probe(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in [header::HOST, header::USER_AGENT, header::ACCEPT] {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

/// Somebody in clear text.
#[derive(Debug)]
pub(crate) struct Plain {
    /// From where: an address, or a user of this machine.
    pub(crate) source: Arc<str>,
    told: Arc<Told>,
    counted: AtomicBool,
}

impl Plain {
    /// Who came from there.
    pub(crate) fn new(from: Peer, told: &Arc<Told>) -> Self {
        let source = match from {
            Peer::Tcp(address) => address.ip().to_canonical().to_string(),
            Peer::Unix { uid, .. } => format!("uid {uid}"),
        };
        Self {
            source: source.into(),
            told: told.clone(),
            counted: AtomicBool::new(false),
        }
    }
    /// For whom its connection is counted: as the places of handshakes are, since whoever has a network of IPv6 has no end of
    /// addresses.
    pub(crate) fn holder(from: Peer) -> Arc<str> {
        let holder = match from.source() {
            Source::Network(address) => format!("{PLAINTEXT} {address}"),
            Source::User(uid) => format!("{PLAINTEXT} uid {uid}"),
        };
        holder.into()
    }
    /// It asked for more than a probe, and policy is asked: its connection is counted, and told if that is news.
    pub(crate) fn asks(&self, listener: &str, metrics: &SidecarMetrics) {
        if self.counted.swap(true, Ordering::Relaxed) {
            return;
        }
        metrics.plaintext(listener, &self.source);
        if self.told.is_news(&self.source, Instant::now()) {
            tracing::warn!(
                listener,
                source = &*self.source,
                "a caller in clear text from {}: give it a sidecar, so that {listener} can be strict",
                self.source
            );
        }
    }
}

/// How long who was told of is no news.
const NEWS_AFTER: Duration = Duration::from_secs(3600);
/// How many are remembered; beyond, the log stays silent and the metric says `other`.
const SOURCES_MAX: usize = 1000;

/// Whom the log was told of.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<Arc<str>, Instant>>);

impl Told {
    fn is_news(&self, source: &Arc<str>, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= NEWS_AFTER;
        match told.get(source) {
            Some(at) if !is_old(at) => return false,
            Some(_) => {}
            None if told.len() >= SOURCES_MAX => {
                told.retain(|_, at| !is_old(at));
                if told.len() >= SOURCES_MAX {
                    return false;
                }
            }
            None => {}
        }
        told.insert(source.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http_body_util::Full;

    #[track_caller]
    fn check(version: Version, method: &str, target: &str, body: &'static str, expected: bool) {
        let request = Request::builder().version(version).method(method);
        let request = request.uri(target);
        let request = request.body(Full::<&[u8]>::from(body.as_bytes())).unwrap();
        let probes = ["/healthz".to_owned(), "/up/now".to_owned()];
        assert_eq!(is_probe(&request, &probes), expected, "{method} {target}");
    }

    #[test]
    fn a_probe_is_exactly_what_was_declared() {
        let v11 = Version::HTTP_11;
        check(v11, "GET", "/healthz", "", true);
        check(v11, "HEAD", "/up/now", "", true);
        check(Version::HTTP_10, "GET", "/healthz", "", true);
        for target in [
            "/",
            "/healthz/",
            "/healthz?",
            "/healthz?a=b",
            "/Healthz",
            "/%68ealthz",
            "//healthz",
            "/healthz;x",
            "/healthz/../admin",
            "/up",
            "http://orders/healthz",
        ] {
            check(v11, "GET", target, "", false);
        }
        check(v11, "POST", "/healthz", "", false);
        check(v11, "GET", "/healthz", "body", false);
        check(Version::HTTP_2, "GET", "/healthz", "", false);
    }

    #[test]
    fn who_has_a_network_of_ipv6_is_one_holder_however_many_addresses_it_uses() {
        let holder = |text: &str| Plain::holder(Peer::Tcp(text.parse().unwrap()));
        assert_eq!(holder("[2001:db8::1]:1"), holder("[2001:db8::ffff:2]:2"));
        assert_ne!(holder("[2001:db8::1]:1"), holder("[2001:db8:0:1::1]:1"));
        assert_ne!(holder("10.0.0.1:1"), holder("10.0.0.2:1"));
    }

    #[test]
    fn who_was_told_of_is_no_news_for_an_hour_and_memory_is_bounded() {
        let (told, now) = (Told::default(), Instant::now());
        let source = |n: usize| Arc::from(n.to_string());
        assert!(told.is_news(&source(0), now));
        assert!(!told.is_news(&source(0), now + NEWS_AFTER / 2));
        assert!(told.is_news(&source(0), now + NEWS_AFTER));
        for n in 1..SOURCES_MAX {
            assert!(told.is_news(&source(n), now), "{n}");
        }
        assert!(!told.is_news(&source(SOURCES_MAX), now));
        assert!(told.is_news(&source(SOURCES_MAX), now + NEWS_AFTER));
    }
}
