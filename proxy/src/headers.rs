//! What a hop removes from heads and trailers, and what it sets (RFC 9110 §7.6.1; identity headers).
//!
//! One pass over the names finds what has to go: most requests have nothing, and then nothing is looked up twice.
//! Names compare with `_` as `-`, because many servers fold the two (CGI's `HTTP_X_FORWARDED_CLIENT_CERT`).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The caller's identity, in Envoy's format.
pub(crate) static XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Prefixes that only a proxy of ours or another mesh's would set, to steer or to claim.
const CLAIMS: &[&str] = &["x-countersign-", "x-envoy-", "l5d-", "dapr-caller-"];

/// Never in trailers: framing, routing, authentication, identity (RFC 9110 §6.5.1).
const NOT_IN_TRAILERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Removes what belongs to one hop, and every claim of identity, from a head.
///
/// `TE: trailers` is put back, since HTTP/1 servers send trailers only to who asked (RFC 9110 §6.5.1).
pub(crate) fn strip_head(headers: &mut HeaderMap) {
    let mut found = Found::default();
    for name in headers.keys() {
        found.look(name.as_str());
    }
    if found.nothing() {
        return;
    }
    if found.connection {
        strip_named_by_connection(headers);
    }
    if found.hop {
        let trailers = headers.get_all(header::TE).iter().any(wants_trailers);
        for name in [
            header::CONNECTION,
            header::TE,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ] {
            headers.remove(name);
        }
        headers.remove("keep-alive");
        headers.remove("proxy-connection");
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    if found.claim {
        strip_claims(headers);
    }
}

/// Removes from trailers what must never come in them.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    let bad = |name: &HeaderName| {
        is_claim(name.as_str())
            || NOT_IN_TRAILERS
                .iter()
                .any(|known| same_name(name.as_str(), known))
    };
    let gone: Vec<HeaderName> = trailers.keys().filter(|name| bad(name)).cloned().collect();
    for name in gone {
        trailers.remove(name);
    }
}

#[derive(Default)]
struct Found {
    connection: bool,
    hop: bool,
    claim: bool,
}

impl Found {
    fn look(&mut self, name: &str) {
        match name.as_bytes().first() {
            Some(b'c') if name == "connection" => (self.connection, self.hop) = (true, true),
            Some(b'k') if name == "keep-alive" => self.hop = true,
            Some(b'p') if name == "proxy-connection" => self.hop = true,
            Some(b't') if name == "te" || name == "transfer-encoding" => self.hop = true,
            Some(b'u') if name == "upgrade" => self.hop = true,
            Some(b'x' | b'l' | b'd') if is_claim(name) => self.claim = true,
            _ => {}
        }
    }
    fn nothing(&self) -> bool {
        !(self.connection || self.hop || self.claim)
    }
}

fn is_claim(name: &str) -> bool {
    same_name(name, XFCC.as_str())
        || CLAIMS.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| same_name(start, prefix))
        })
}

/// Whether `name` (lower case, as hyper gives them) is `known` when `_` counts as `-`.
fn same_name(name: &str, known: &str) -> bool {
    name.len() == known.len()
        && name
            .bytes()
            .zip(known.bytes())
            .all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

fn strip_claims(headers: &mut HeaderMap) {
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name.as_str()))
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Fields that `Connection` names belong to the hop too; never those that frame the message or that we set ourselves.
fn strip_named_by_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !matches!(*name, header::CONTENT_LENGTH | header::HOST | header::TE))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

fn wants_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }
    #[track_caller]
    fn check(before: &[(&str, &str)], after: &[(&str, &str)]) {
        let mut headers = map(before);
        strip_head(&mut headers);
        assert_eq!(headers, map(after), "of {before:?}");
    }

    #[test]
    fn what_belongs_to_one_hop_and_what_claims_an_identity_is_removed() {
        check(
            &[("accept", "*/*"), ("host", "orders")],
            &[("accept", "*/*"), ("host", "orders")],
        );
        check(
            &[
                ("connection", "close, x-mine"),
                ("x-mine", "1"),
                ("accept", "a"),
            ],
            &[("accept", "a")],
        );
        check(
            &[
                ("connection", "content-length, host"),
                ("content-length", "3"),
                ("host", "h"),
            ],
            &[("content-length", "3"), ("host", "h")],
        );
        check(
            &[
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "x"),
                ("upgrade", "h2c"),
            ],
            &[],
        );
        check(
            &[("te", "gzip, Trailers"), ("transfer-encoding", "chunked")],
            &[("te", "trailers")],
        );
        check(&[("te", "gzip")], &[]);
        check(
            &[
                ("x-forwarded-client-cert", "URI=spiffe://a/b"),
                ("x_forwarded-client_cert", "URI=spiffe://a/b"),
            ],
            &[],
        );
        check(
            &[
                ("x-envoy-retry-on", "5xx"),
                ("l5d-dst-override", "x"),
                ("dapr-caller-app-id", "x"),
                ("x-countersign-hops", "1"),
            ],
            &[],
        );
        check(
            &[("x-request-id", "1"), ("x-forwarded-for", "1.2.3.4")],
            &[("x-request-id", "1"), ("x-forwarded-for", "1.2.3.4")],
        );
    }

    #[test]
    fn trailers_carry_no_framing_and_no_identity() {
        let mut trailers = map(&[
            ("grpc-status", "0"),
            ("content_length", "9"),
            ("x-forwarded-client-cert", "x"),
            ("host", "evil"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }
}
