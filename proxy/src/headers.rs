//! What a hop removes from heads and trailers, and what it sets (RFC 9110 §7.6.1; identity headers).
//!
//! One pass over the names finds what has to go: most requests have nothing, and then nothing is looked up twice.
//! Names compare with `_` as `-`, because many servers fold the two (CGI's `HTTP_X_FORWARDED_CLIENT_CERT`).

use crate::ordered;
use config::sidecar::Limits;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The caller's identity, in Envoy's format.
pub(crate) static XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Prefixes that only a proxy of ours or another mesh's would set, to steer or to claim.
const CLAIMS: &[&str] = &["x-countersign-", "x-envoy-", "l5d-", "dapr-caller-"];

/// What belongs to one hop and needs no other look.
const HOP: &[&str] = &["keep-alive", "proxy-connection", "transfer-encoding"];

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

/// Removes what belongs to one hop, and every claim of identity, from a head; the rest stays in its order.
///
/// `TE: trailers` stays, since HTTP/1 servers send trailers only to who asked (RFC 9110 §6.5.1). What `Upgrade` said, which is
/// removed with the rest, is given back.
pub(crate) fn strip_head(headers: &mut HeaderMap) -> Upgrade {
    let mut found = Found::default();
    for name in headers.keys() {
        found.look(name);
    }
    if found == Found::default() {
        return Upgrade::default();
    }
    let (mut upgrade, mut named) = (Upgrade::default(), Vec::new());
    if found.connection {
        if found.upgrade {
            upgrade = Upgrade::read(headers);
        }
        named = named_by_connection(headers);
    }
    let trailers = found.te && say_only_trailers(headers);
    ordered::remove(headers, |name| match Kind::of(name) {
        Kind::EndToEnd => named.contains(name),
        Kind::Te => !trailers,
        Kind::Connection | Kind::Upgrade | Kind::Hop | Kind::Claim => true,
    });
    upgrade
}

/// Says on HTTP/1 that `TE`, where there is one, is for the next hop alone (RFC 9110 §10.1.4). To a head that was stripped, and
/// may switch.
pub(crate) fn say_te(headers: &mut HeaderMap) {
    if !headers.contains_key(header::TE) {
        return;
    }
    let named = match headers.contains_key(header::CONNECTION) {
        true => HeaderValue::from_static("upgrade, te"),
        false => HeaderValue::from_static("te"),
    };
    headers.insert(header::CONNECTION, named);
}

/// What a head says about switching to another protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// `Upgrade` names WebSocket.
    pub(crate) websocket: bool,
    /// It names something else, besides or instead.
    pub(crate) other: bool,
}

impl Upgrade {
    /// `Upgrade` means something only where `Connection` names it too (RFC 9110 §7.8).
    fn read(headers: &HeaderMap) -> Self {
        let named = headers.get_all(header::CONNECTION);
        let mut read = Self::default();
        if !named.iter().any(|value| lists(value, b"upgrade")) {
            return read;
        }
        for value in headers.get_all(header::UPGRADE) {
            for token in value.as_bytes().split(|byte| *byte == b',') {
                match token.trim_ascii() {
                    b"" => {}
                    token if token.eq_ignore_ascii_case(b"websocket") => read.websocket = true,
                    _ => read.other = true,
                }
            }
        }
        read
    }
}

/// Removes from trailers what must never come in them.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    ordered::remove(trailers, |name| {
        is_claim(name.as_str())
            || NOT_IN_TRAILERS
                .iter()
                .any(|known| same_name(name.as_str(), known))
    });
}

/// What h2 lets pass in a head, and RFC 9113 does not; the label of it never changes.
///
/// A value has no whitespace around it (§8.2.1): another reader would cut it off, and see another value. A length is said once,
/// in digits (RFC 9110 §8.6): h2 takes one of nothing for zero, and two that are alike for one.
pub(crate) fn fault_of_fields(fields: &HeaderMap) -> Option<&'static str> {
    if has_outer_whitespace(fields) {
        return Some(OUTER_WHITESPACE);
    }
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let (length, second) = (lengths.next()?, lengths.next());
    if second.is_some() {
        return Some("two_content_lengths");
    }
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    (!is_number).then_some("bad_content_length")
}

/// Whether a value begins or ends with what another reader would cut off.
pub(crate) fn has_outer_whitespace(fields: &HeaderMap) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut values = fields.values().map(HeaderValue::as_bytes);
    values.any(|value| is_blank(value.first()) || is_blank(value.last()))
}

/// Why a head or trailers of HTTP/2 are refused whose values have whitespace around them.
pub(crate) const OUTER_WHITESPACE: &str = "outer_whitespace";

/// How large a head or trailers may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// `limits.header`, counted as RFC 9113 §6.5.2 does.
    pub(crate) bytes: usize,
    /// `limits.headers`.
    pub(crate) fields: usize,
}

impl Bound {
    /// What these limits say.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            bytes: limits.header_bytes,
            fields: limits.headers,
        }
    }
    /// Why these are too many, or too large; `besides` is what stands beside them.
    pub(crate) fn broken_by(self, fields: &HeaderMap, besides: usize) -> Option<TooMuch> {
        if fields.len() > self.fields {
            return Some(TooMuch::Fields);
        }
        let listed = |(name, value): (&HeaderName, &HeaderValue)| {
            name.as_str().len() + value.len() + FIELD_BYTES
        };
        let bytes = fields.iter().map(listed).sum::<usize>() + besides;
        (bytes > self.bytes).then_some(TooMuch::Bytes)
    }
}

/// What a field costs besides its name and its value (RFC 9113 §6.5.2).
pub(crate) const FIELD_BYTES: usize = 32;

/// Of what there is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// More than `limits.headers`.
    Fields,
    /// More than `limits.header`.
    Bytes,
}

/// Whose a field is.
enum Kind {
    /// Who sent it and who is meant.
    EndToEnd,
    Connection,
    Te,
    Upgrade,
    /// Another that belongs to one hop.
    Hop,
    /// Only a proxy of ours or another mesh's would set it.
    Claim,
}

impl Kind {
    fn of(name: &HeaderName) -> Self {
        let name = name.as_str();
        match name.as_bytes().first() {
            Some(b'c') if name == "connection" => Self::Connection,
            Some(b't') if name == "te" => Self::Te,
            Some(b'k' | b'p' | b't') if HOP.contains(&name) => Self::Hop,
            Some(b'u') if name == "upgrade" => Self::Upgrade,
            Some(b'x' | b'l' | b'd') if is_claim(name) => Self::Claim,
            Some(b'c' | b't') if is_framing_variable(name) => Self::Hop,
            _ => Self::EndToEnd,
        }
    }
}

#[derive(Default, PartialEq, Eq)]
struct Found {
    connection: bool,
    te: bool,
    upgrade: bool,
    other: bool,
}

impl Found {
    fn look(&mut self, name: &HeaderName) {
        match Kind::of(name) {
            Kind::EndToEnd => {}
            Kind::Connection => self.connection = true,
            Kind::Te => self.te = true,
            Kind::Upgrade => self.upgrade = true,
            Kind::Hop | Kind::Claim => self.other = true,
        }
    }
}

fn is_claim(name: &str) -> bool {
    same_name(name, XFCC.as_str())
        || CLAIMS.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| same_name(start, prefix))
        })
}

/// Whether servers that hand fields on as variables (CGI, WSGI, Rack) take it for what frames a message, though nobody else does.
fn is_framing_variable(name: &str) -> bool {
    ["content-length", "transfer-encoding"]
        .into_iter()
        .any(|known| name != known && same_name(name, known))
}

/// Whether `name` (lower case, as hyper gives them) is `known` when `_` counts as `-`.
fn same_name(name: &str, known: &str) -> bool {
    name.len() == known.len()
        && name
            .bytes()
            .zip(known.bytes())
            .all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

/// Fields that `Connection` names belong to the hop too; never those that frame the message or that we set ourselves.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    // What these name goes anyway; no field of the name `close` is known, and nobody keeps a client from sending one.
    let is_usual = |token: &[u8]| {
        let usual = [&b"keep-alive"[..], b"upgrade"];
        usual.iter().any(|usual| token.eq_ignore_ascii_case(usual))
            || token.eq_ignore_ascii_case(b"close") && !headers.contains_key("close")
    };
    let named = headers.get_all(header::CONNECTION).iter();
    named
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !is_usual(token))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !matches!(*name, header::CONTENT_LENGTH | header::HOST | header::TE))
        .collect()
}

/// Whether `TE` asks for trailers: then it says that and nothing else from now on.
fn say_only_trailers(headers: &mut HeaderMap) -> bool {
    let mut said = headers.get_all(header::TE).iter();
    if !said.any(|value| lists(value, b"trailers")) {
        return false;
    }
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    true
}

/// Whether a comma-separated list holds this token.
fn lists(value: &HeaderValue, wanted: &[u8]) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
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
            &[("connection", "Close"), ("close", "1"), ("accept", "a")],
            &[("accept", "a")],
        );
        check(&[("close", "1")], &[("close", "1")]);
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
                ("content_length", "5"),
                ("transfer_encoding", "chunked"),
                ("content-length", "3"),
                ("content_type", "a"),
            ],
            &[("content-length", "3"), ("content_type", "a")],
        );
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
    fn upgrade_means_something_only_where_connection_names_it_too() {
        for (lines, websocket, other) in [
            (&[("upgrade", "websocket")][..], false, false),
            (&[("connection", "upgrade")], false, false),
            (
                &[
                    ("connection", "keep-alive, Upgrade"),
                    ("upgrade", "WebSocket"),
                ],
                true,
                false,
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c, websocket,")],
                true,
                true,
            ),
            (
                &[
                    ("connection", "upgrade, http2-settings"),
                    ("upgrade", "h2c"),
                ],
                false,
                true,
            ),
            (
                &[("connection", "close"), ("upgrade", "websocket")],
                false,
                false,
            ),
        ] {
            let mut headers = map(lines);
            let expected = Upgrade { websocket, other };
            assert_eq!(strip_head(&mut headers), expected, "{lines:?}");
            assert!(headers.is_empty(), "{headers:?}");
        }
    }

    #[test]
    fn fields_are_bounded_in_number_and_in_bytes_with_what_stands_beside_them() {
        let fields = map(&[("a", "1"), ("a", "2"), ("bcd", "3456")]);
        // 34 + 34 + 39.
        let check = |bytes, fields_max, besides, expected| {
            let bound = Bound {
                bytes,
                fields: fields_max,
            };
            assert_eq!(bound.broken_by(&fields, besides), expected, "{bound:?}");
        };
        check(107, 3, 0, None);
        check(106, 3, 0, Some(TooMuch::Bytes));
        check(107, 3, 1, Some(TooMuch::Bytes));
        check(107, 2, 0, Some(TooMuch::Fields));
        check(0, 0, 0, Some(TooMuch::Fields));
        let none = Bound {
            bytes: 0,
            fields: 0,
        };
        assert_eq!(none.broken_by(&HeaderMap::new(), 0), None);
    }

    #[test]
    fn what_h2_lets_pass_has_its_reason() {
        for (lines, expected) in [
            (&[("x", "a b"), ("content-length", "0")][..], None),
            (&[("x", "")], None),
            (&[("x", " a")], Some("outer_whitespace")),
            (&[("x", "a\t")], Some("outer_whitespace")),
            (&[("x", " ")], Some("outer_whitespace")),
            (&[("content-length", "")], Some("bad_content_length")),
            (&[("content-length", "1a")], Some("bad_content_length")),
            (
                &[("content-length", "1"), ("content-length", "1")],
                Some("two_content_lengths"),
            ),
        ] {
            assert_eq!(fault_of_fields(&map(lines)), expected, "{lines:?}");
        }
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
