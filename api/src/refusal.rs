//! How a refusal travels: a gRPC status, with a label for programs in its metadata.
//!
//! In: a code, a label that never changes, and the line for people. Out: a status; and back, from a status of either side or of
//! a stranger, the label and the time to wait.
//!
//! 1. A label is a short word of `a-z`, digits and `_`; anything else in a stranger's status is not taken for one.
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The metadata with the label.
pub const REASON: &str = "countersign-reason";
/// The metadata that says how long to wait before the same request may succeed, in ms.
pub const RETRY_AFTER_MS: &str = "countersign-retry-after-ms";
/// The metadata with the server's clock, in ms since 1970, where a request was refused because of its time.
pub const SERVER_TIME_UNIX_MS: &str = "countersign-server-time-ms";

/// Longer than any label of ours.
const LABEL_BYTES_MAX: usize = 64;

/// A refusal with its label; the message is `what went wrong: why; what to do`.
pub fn refuse(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(code, message);
    status
        .metadata_mut()
        .insert(REASON, MetadataValue::from_static(reason));
    status
}

/// The same refusal, saying how long to wait: rounded up to whole ms.
pub fn retry_after(mut status: Status, wait: Duration) -> Status {
    let ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    status
        .metadata_mut()
        .insert(RETRY_AFTER_MS, MetadataValue::from(ms));
    status
}

/// The same refusal, saying what the server's clock shows.
pub fn at_server_time(mut status: Status, unix_ms: i64) -> Status {
    status
        .metadata_mut()
        .insert(SERVER_TIME_UNIX_MS, MetadataValue::from(unix_ms));
    status
}

/// The label of a refusal; `None` where the other side gave none, or something that is no label.
pub fn reason(status: &Status) -> Option<&str> {
    let label = status.metadata().get(REASON)?.to_str().ok()?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    ((1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_word)).then_some(label)
}

/// How long the other side asks to wait. Its word only: who waits bounds it.
pub fn wait(status: &Status) -> Option<Duration> {
    number::<u64>(status, RETRY_AFTER_MS).map(Duration::from_millis)
}

/// What the other side's clock showed, in ms since 1970.
pub fn server_time_unix_ms(status: &Status) -> Option<i64> {
    number(status, SERVER_TIME_UNIX_MS)
}

fn number<N: std::str::FromStr>(status: &Status, name: &str) -> Option<N> {
    status.metadata().get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_said_is_heard() {
        let status = refuse(
            Code::ResourceExhausted,
            "too_many",
            "refused: too many; wait",
        );
        let status = retry_after(status, Duration::from_micros(1_500_001));
        let status = at_server_time(status, -5);

        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "refused: too many; wait");
        assert_eq!(reason(&status), Some("too_many"));
        assert_eq!(wait(&status), Some(Duration::from_millis(1501)));
        assert_eq!(server_time_unix_ms(&status), Some(-5));
    }

    fn check(name: &'static str, value: &str, heard: (Option<&str>, Option<u64>, Option<i64>)) {
        let mut status = Status::unavailable("");
        status
            .metadata_mut()
            .insert(name, MetadataValue::try_from(value).unwrap());

        let wait_ms = wait(&status).map(|wait| wait.as_millis().try_into().unwrap());
        let got = (reason(&status), wait_ms, server_time_unix_ms(&status));
        assert_eq!(got, heard, "{name}: {value}");
    }

    #[test]
    fn what_is_no_label_or_no_number_is_not_taken_for_one() {
        check("other", "x", (None, None, None));
        check(REASON, "token_spent", (Some("token_spent"), None, None));
        for value in [
            "",
            "Token",
            "token-spent",
            "a b",
            "x\u{e9}",
            &"x".repeat(65),
        ] {
            check(REASON, value, (None, None, None));
        }
        check(RETRY_AFTER_MS, "0", (None, Some(0), None));
        check(
            SERVER_TIME_UNIX_MS,
            "1790000000000",
            (None, None, Some(1_790_000_000_000)),
        );
        for value in ["", "-", "1.5", "18446744073709551616"] {
            check(RETRY_AFTER_MS, value, (None, None, None));
            check(SERVER_TIME_UNIX_MS, value, (None, None, None));
        }
        check(RETRY_AFTER_MS, "-1", (None, None, None));
    }
}
