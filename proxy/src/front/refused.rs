//! What is said to a client whose bytes are refused before they are a request: told like any refusal, written by ourselves.

use super::http1::{Fault, RequestLine};
use crate::answer::{Cause, Form, Refusal};
use crate::exchange::Facts;
use http::{Method, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

/// Why a connection is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its bytes are at fault.
    Fault(Fault),
    /// It sent bytes of the next protocol, or of the next request, before an Upgrade was granted (CVE-2026-2833).
    Early,
    /// hyper reads a head otherwise than we do.
    Misread,
}

impl Why {
    fn reason(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.reason(),
            Self::Early => "bytes_before_the_answer",
            Self::Misread => "malformed_head",
        }
    }
    /// Counted, logged with what was asked where that was read, and as it is written to the client.
    pub(super) fn tell(self, facts: &Facts, form: Form, asked: Option<RequestLine<'_>>) -> Vec<u8> {
        let cause = match self {
            Self::Fault(fault) => Cause::of(fault.status()),
            Self::Early | Self::Misread => Cause::Malformed,
        };
        let refusal = Refusal::unsent(cause, self.reason());
        let answer = refusal.answer(form);
        let asked = asked.and_then(read);
        facts.refused_head(refusal.reason, answer.status().as_u16(), asked.as_ref());
        written(answer)
    }
}

/// What was asked, as of every other request. `None`: hyper would not read it so.
fn read(line: RequestLine<'_>) -> Option<(Method, Uri)> {
    let method = Method::from_bytes(line.method).ok()?;
    Some((method, Uri::try_from(line.target).ok()?))
}

/// An answer as HTTP/1.1 writes it, the last on its connection.
fn written(answer: Response<Full<bytes::Bytes>>) -> Vec<u8> {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    let has_length = answer.headers().contains_key(http::header::CONTENT_LENGTH);
    let body = whole(answer.into_body());
    if !has_length {
        text.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    let date = httpdate::fmt_http_date(SystemTime::now());
    text.extend_from_slice(format!("connection: close\r\ndate: {date}\r\n\r\n").as_bytes());
    text.extend_from_slice(&body);
    text
}

/// All of a body that is whole already.
fn whole(body: Full<bytes::Bytes>) -> bytes::Bytes {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Poll::Ready(Some(Err(_)) | None) | Poll::Pending => bytes::Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_refusal_is_written_whole_and_as_the_last_of_its_connection() {
        let refusal = Refusal::unsent(Cause::of(501), "unknown_transfer_coding");
        let text = String::from_utf8(written(refusal.answer(Form::Whole))).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        assert_eq!(lines.next(), Some("HTTP/1.1 501 Not Implemented"));
        let lines: Vec<&str> = lines.collect();
        assert!(lines.contains(&"connection: close"), "{text}");
        assert!(lines.contains(&"content-length: 36"), "{text}");
        assert!(
            lines.iter().any(|line| line.starts_with("date: ")),
            "{text}"
        );
        assert!(
            lines.contains(
                &"proxy-status: countersign; error=http_request_error; details=\"unknown_transfer_coding\"; reached=?0"
            ),
            "{text}"
        );
        assert_eq!(body, "{\"error\":\"unknown_transfer_coding\"}\n");
        let head = String::from_utf8(written(refusal.answer(Form::Head))).unwrap();
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(head.matches("content-length: 36").count(), 1, "{head}");
    }
}
