//! For how long a server asks to wait before a request is repeated.

use http::{HeaderMap, HeaderValue, header};
use std::time::{Duration, SystemTime};

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It does not say.
    Unsaid,
    /// At least this long.
    AtLeast(Duration),
    /// It asks not to repeat it, or says what cannot be read: then too.
    Never,
}

/// What an answer says: `grpc-retry-pushback-ms` (gRPC A6), or else `Retry-After` (RFC 9110 §10.2.3).
pub(crate) fn asked_to_wait(headers: &HeaderMap, now: SystemTime) -> Wait {
    if let Some(pushback) = headers.get("grpc-retry-pushback-ms") {
        return number(pushback).map_or(Wait::Never, |ms| Wait::AtLeast(Duration::from_millis(ms)));
    }
    let Some(after) = headers.get(header::RETRY_AFTER) else {
        return Wait::Unsaid;
    };
    if let Some(seconds) = number(after) {
        return Wait::AtLeast(Duration::from_secs(seconds));
    }
    let date = after
        .to_str()
        .ok()
        .and_then(|date| httpdate::parse_http_date(date).ok());
    date.map_or(Wait::Never, |date| {
        Wait::AtLeast(date.duration_since(now).unwrap_or_default())
    })
}

/// Digits alone: a pushback below zero means never.
fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    let plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    plain
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_a_server_asks_for_is_read_and_what_cannot_be_read_forbids() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let (after, pushback) = ("retry-after", "grpc-retry-pushback-ms");
        for (name, value, wait) in [
            ("x", "1", Wait::Unsaid),
            (after, "0", Wait::AtLeast(Duration::ZERO)),
            (after, "120", Wait::AtLeast(Duration::from_secs(120))),
            (
                after,
                "Sun, 06 Nov 1994 08:49:40 GMT",
                Wait::AtLeast(Duration::from_secs(3)),
            ),
            (
                after,
                "Sun, 06 Nov 1994 08:49:00 GMT",
                Wait::AtLeast(Duration::ZERO),
            ),
            (after, "soon", Wait::Never),
            (after, "-1", Wait::Never),
            (after, "1.5", Wait::Never),
            (after, "", Wait::Never),
            (after, "99999999999999999999", Wait::Never),
            (pushback, "250", Wait::AtLeast(Duration::from_millis(250))),
            (pushback, "-1", Wait::Never),
            (pushback, "soon", Wait::Never),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(asked_to_wait(&headers, now), wait, "{name}: {value}");
        }
        let mut both = HeaderMap::new();
        both.insert(after, HeaderValue::from_static("1"));
        both.insert(pushback, HeaderValue::from_static("-1"));
        assert_eq!(asked_to_wait(&both, now), Wait::Never);
    }
}
