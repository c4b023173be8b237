//! The word of a sidecar to the one that sent it a request: the request did not come to the app, and will not.
//!
//! In: a refusal of ours, on the way in. Out: a mark on its answer, and what such a mark says to who gets it. A caller that is no
//! sidecar of ours has `Proxy-Status` for the same.
//!
//! 1. Only a sidecar gives its word: what an app says so is removed from its answer like every claim of ours, and to its own
//!    sidecar it says nothing.
//! 2. What was declined may be sent elsewhere whatever its method: its server, whose identity was judged, says that nobody saw it.

use crate::answer::{Cause, Reached, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue};

static DECLINED: HeaderName = HeaderName::from_static("x-countersign-declined");

/// What a sidecar is told on an HTTP/1 connection of which nothing more is read (RFC 9110 §15.5.9): a request that it was just
/// sending gets this for an answer, and where it sent none the connection is closed anyway.
pub(crate) const FAREWELL: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\
    x-countersign-declined: unprocessed\r\nproxy-status: countersign; error=connection_terminated; details=\"connection_closing\"; \
    reached=?0\r\n\r\n";

/// Why a request was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// There is no app just now, and the next request would meet none either.
    Unavailable,
    /// The app did not take this one.
    Unprocessed,
}

impl Declined {
    /// What a refusal is to who sent the request; `None`: it would be refused elsewhere too, or it may have been seen.
    pub(crate) fn by(refusal: &Refusal) -> Option<Self> {
        match (refusal.reached, refusal.cause) {
            (Reached::No, Cause::Unavailable) => Some(Self::Unavailable),
            (Reached::No, Cause::Terminated) => Some(Self::Unprocessed),
            _ => None,
        }
    }
    /// Says it on an answer.
    pub(crate) fn say(self, headers: &mut HeaderMap) {
        let said = match self {
            Self::Unavailable => "unavailable",
            Self::Unprocessed => "unprocessed",
        };
        headers.insert(DECLINED.clone(), HeaderValue::from_static(said));
    }
    /// What an answer says.
    pub(crate) fn said(headers: &HeaderMap) -> Option<Self> {
        match headers.get(&DECLINED)?.as_bytes() {
            b"unavailable" => Some(Self::Unavailable),
            b"unprocessed" => Some(Self::Unprocessed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_seen_or_would_be_refused_elsewhere_is_not_declined() {
        let check = |refusal: Refusal, declined| {
            let mut headers = HeaderMap::new();
            if let Some(declined) = Declined::by(&refusal) {
                declined.say(&mut headers);
            }
            assert_eq!(Declined::said(&headers), declined, "{refusal:?}");
        };
        check(
            Refusal::unsent(Cause::Unavailable, "app_not_up"),
            Some(Declined::Unavailable),
        );
        check(
            Refusal::unsent(Cause::Terminated, "not_processed"),
            Some(Declined::Unprocessed),
        );
        check(
            Refusal::sent(Cause::Terminated, "closed_before_response"),
            None,
        );
        check(Refusal::sent(Cause::Unavailable, "x"), None);
        check(Refusal::unsent(Cause::PolicyDenied, "no_rule"), None);
        check(Refusal::unsent(Cause::LimitReached, "in_flight"), None);
        check(Refusal::unsent(Cause::Malformed, "bad_target"), None);
    }
}
