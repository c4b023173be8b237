//! What a request wants its connection, or its stream of one, to become when it was answered.
//!
//! In: a head, and what stood in its `Upgrade`. Out: a [`Wish`], or the refusal of one that nobody here grants. Pure.
//!
//! 1. Only WebSocket is switched to. Every other token of `Upgrade` is removed and the request is served as HTTP/1.1, as RFC
//!    9110 §7.8 lets any server do: `h2c`, `HTTP/2.0` and `TLS/1.0` would carry requests that no policy sees.
//! 2. Extended CONNECT (RFC 8441) for anything but WebSocket is 501 (RFC 9220 §3): it cannot be served as something else.

use crate::answer::{Cause, Refusal};
use crate::headers::Upgrade;
use http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use http_body::Body;
use hyper::ext::Protocol;

/// What a request wants besides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing.
    Answer,
    /// To speak WebSocket afterwards: by `Upgrade` on HTTP/1, by extended CONNECT on HTTP/2.
    WebSocket,
    /// A connection to somebody else (CONNECT).
    Tunnel,
}

const WEBSOCKET: &str = "websocket";

impl Wish {
    /// Of a request, whose `Upgrade` was removed and said this.
    pub(crate) fn of<B: Body>(request: &Request<B>, upgrade: Upgrade) -> Result<Self, Refusal> {
        if request.method() == Method::CONNECT {
            return match request.extensions().get::<Protocol>() {
                None => Ok(Self::Tunnel),
                Some(protocol) if protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) => {
                    Ok(Self::WebSocket)
                }
                Some(_) => Err(Refusal::unsent(Cause::NotOffered, "protocol_not_offered")),
            };
        }
        // RFC 6455 §4.1: a GET, without a body, of HTTP/1.1.
        let asks = upgrade.websocket
            && request.version() == Version::HTTP_11
            && request.method() == Method::GET
            && request.body().is_end_stream();
        Ok(if asks { Self::WebSocket } else { Self::Answer })
    }
}

/// Says in the head of a request, or of its answer, that this hop switches.
pub(crate) fn say_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http_body_util::Full;

    #[track_caller]
    fn check(
        version: Version,
        method: &str,
        protocol: Option<&'static str>,
        websocket: bool,
        body: &'static str,
        expected: Result<Wish, &'static str>,
    ) {
        let mut request = Request::new(Full::<&[u8]>::from(body.as_bytes()));
        *request.version_mut() = version;
        *request.method_mut() = method.parse().unwrap();
        if let Some(protocol) = protocol {
            let protocol = Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        let upgrade = Upgrade {
            websocket,
            other: false,
        };
        let seen = Wish::of(&request, upgrade).map_err(|refusal| refusal.reason);
        assert_eq!(seen, expected, "{version:?} {method} {protocol:?} {body}");
    }

    #[test]
    fn only_websocket_is_switched_to_and_only_by_a_get_of_http_1_1_without_a_body() {
        let (v10, v11, v2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        check(v11, "GET", None, true, "", Ok(Wish::WebSocket));
        check(v11, "GET", None, false, "", Ok(Wish::Answer));
        check(v11, "GET", None, true, "body", Ok(Wish::Answer));
        check(v11, "POST", None, true, "", Ok(Wish::Answer));
        check(v10, "GET", None, true, "", Ok(Wish::Answer));
        check(v2, "GET", None, true, "", Ok(Wish::Answer));
        let extended = |protocol, expected| check(v2, "CONNECT", protocol, false, "", expected);
        extended(Some("websocket"), Ok(Wish::WebSocket));
        extended(Some("connect-udp"), Err("protocol_not_offered"));
        extended(None, Ok(Wish::Tunnel));
        check(v11, "CONNECT", None, true, "", Ok(Wish::Tunnel));
    }
}
