//! Our own answers: every cause for which the proxy answers instead of the app, in one table.
//!
//! In: a [`Refusal`], and whether the request was gRPC. Out: an HTTP response that says whose answer it is (RFC 9209
//! `Proxy-Status`), why (a reason that never changes) and whether the app may have seen the request; nothing of the rules.

use crate::reasons::REASONS;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use telemetry::DecisionId;

/// Why the proxy answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Policy said no.
    PolicyDenied,
    /// The peer's leaf, or our own, ended while the connection was kept; or the peer is believed no longer.
    IdentityEnded,
    /// Our own certificate has ended, and there is no newer one.
    OwnIdentityEnded,
    /// The request is malformed, or its path means different things to different readers.
    Malformed,
    /// The target is longer than anybody reads.
    TargetTooLong,
    /// The body is in a transfer coding that is not `chunked` (RFC 9112 §6.1).
    UnknownCoding,
    /// A version of HTTP/1 that is neither 1.0 nor 1.1, or another major version (RFC 9110 §15.6.6).
    UnknownVersion,
    /// The head is larger than `limits.header` or has more fields than `limits.headers`.
    HeadTooLarge,
    /// The request expects what nobody here does.
    Expectation,
    /// The request names no service.
    NoSuchService,
    /// No endpoint takes connections; or the app is not up.
    Unavailable,
    /// The endpoint refused the connection.
    ConnectionRefused,
    /// The connection was not made within `limits.connect`.
    ConnectionTimeout,
    /// The server's certificate is bad, or is not the pinned identity's.
    TlsCertificate,
    /// The TLS handshake failed for another reason.
    TlsProtocol,
    /// The connection died before the response head.
    Terminated,
    /// The server answered what is not HTTP.
    LyingResponse,
    /// The endpoint's name does not resolve.
    DnsError,
    /// The endpoint's name did not resolve in time.
    DnsTimeout,
    /// The endpoint's name resolves to an address that is never a destination.
    ProhibitedAddress,
    /// No response head within `services[].timeout`.
    ReadTimeout,
    /// The request asks for a protocol or for a connection that is not to be had here.
    NotOffered,
    /// One of `limits` is reached, and this is what goes without.
    LimitReached,
    /// The whole answer did not come within `services[].totalTimeout`.
    ResponseTimeout,
    /// The request was here before.
    Loop,
}

/// One line of the table: what is answered for a cause.
struct Row {
    cause: Cause,
    what: &'static str,
    http: StatusCode,
    grpc: u8,
    /// The error type of RFC 9209 §2.3.
    error: &'static str,
}

const TABLE: &[Row] = &[
    row(
        Cause::PolicyDenied,
        "policy denied",
        StatusCode::FORBIDDEN,
        7,
        "http_request_denied",
    ),
    row(
        Cause::IdentityEnded,
        "certificate of a kept connection ended, or no longer believed",
        StatusCode::FORBIDDEN,
        7,
        "http_request_denied",
    ),
    row(
        Cause::OwnIdentityEnded,
        "own certificate ended, no newer one came",
        StatusCode::SERVICE_UNAVAILABLE,
        14,
        "proxy_internal_error",
    ),
    row(
        Cause::Malformed,
        "malformed request, ambiguous path",
        StatusCode::BAD_REQUEST,
        3,
        "http_request_error",
    ),
    row(
        Cause::TargetTooLong,
        "target too long, HTTP/1",
        StatusCode::URI_TOO_LONG,
        3,
        "http_request_error",
    ),
    row(
        Cause::UnknownCoding,
        "transfer coding other than chunked, HTTP/1",
        StatusCode::NOT_IMPLEMENTED,
        12,
        "http_request_error",
    ),
    row(
        Cause::UnknownVersion,
        "version of HTTP other than 1.0 and 1.1, where HTTP/1 is spoken",
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        12,
        "http_request_error",
    ),
    row(
        Cause::HeadTooLarge,
        "head too large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        8,
        "http_request_error",
    ),
    row(
        Cause::Expectation,
        "expectation that is not met",
        StatusCode::EXPECTATION_FAILED,
        3,
        "http_request_error",
    ),
    row(
        Cause::NoSuchService,
        "no such service",
        StatusCode::BAD_GATEWAY,
        12,
        "destination_not_found",
    ),
    row(
        Cause::Unavailable,
        "no endpoint healthy, app not up",
        StatusCode::SERVICE_UNAVAILABLE,
        14,
        "destination_unavailable",
    ),
    row(
        Cause::ConnectionRefused,
        "connect refused",
        StatusCode::BAD_GATEWAY,
        14,
        "connection_refused",
    ),
    row(
        Cause::ConnectionTimeout,
        "connect timed out",
        StatusCode::GATEWAY_TIMEOUT,
        14,
        "connection_timeout",
    ),
    row(
        Cause::TlsCertificate,
        "server's identity not the pinned one, bad certificate",
        StatusCode::BAD_GATEWAY,
        14,
        "tls_certificate_error",
    ),
    row(
        Cause::TlsProtocol,
        "TLS handshake failed otherwise",
        StatusCode::BAD_GATEWAY,
        14,
        "tls_protocol_error",
    ),
    row(
        Cause::Terminated,
        "died before the answer",
        StatusCode::BAD_GATEWAY,
        14,
        "connection_terminated",
    ),
    row(
        Cause::LyingResponse,
        "lying response",
        StatusCode::BAD_GATEWAY,
        14,
        "http_protocol_error",
    ),
    row(
        Cause::DnsError,
        "name not resolved",
        StatusCode::BAD_GATEWAY,
        14,
        "dns_error",
    ),
    row(
        Cause::DnsTimeout,
        "name not resolved in time",
        StatusCode::GATEWAY_TIMEOUT,
        14,
        "dns_timeout",
    ),
    row(
        Cause::ProhibitedAddress,
        "forbidden address",
        StatusCode::BAD_GATEWAY,
        14,
        "destination_ip_prohibited",
    ),
    row(
        Cause::ReadTimeout,
        "no response head in time",
        StatusCode::GATEWAY_TIMEOUT,
        4,
        "connection_read_timeout",
    ),
    row(
        Cause::NotOffered,
        "CONNECT or a protocol that is not offered here",
        StatusCode::NOT_IMPLEMENTED,
        12,
        "http_request_denied",
    ),
    row(
        Cause::LimitReached,
        "limit reached, shed",
        StatusCode::SERVICE_UNAVAILABLE,
        8,
        "proxy_internal_response",
    ),
    row(
        Cause::ResponseTimeout,
        "whole response not in time",
        StatusCode::GATEWAY_TIMEOUT,
        4,
        "http_response_timeout",
    ),
    row(
        Cause::Loop,
        "loop",
        StatusCode::LOOP_DETECTED,
        13,
        "proxy_loop_detected",
    ),
];

const fn row(
    cause: Cause,
    what: &'static str,
    http: StatusCode,
    grpc: u8,
    error: &'static str,
) -> Row {
    Row {
        cause,
        what,
        http,
        grpc,
        error,
    }
}

impl Cause {
    /// Why a request is refused that is malformed, by the status that it deserves.
    pub(crate) fn of(status: u16) -> Self {
        match status {
            414 => Self::TargetTooLong,
            431 => Self::HeadTooLarge,
            501 => Self::UnknownCoding,
            505 => Self::UnknownVersion,
            _ => Self::Malformed,
        }
    }
    fn row(self) -> &'static Row {
        // Few rows, looked at only when something went wrong.
        TABLE
            .iter()
            .find(|row| row.cause == self)
            .unwrap_or(&TABLE[0])
    }
}

/// Whether the request may have reached the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Certainly not: it may be sent again, whatever its method.
    No,
    /// It may have.
    Maybe,
}

/// What shape of answer a request can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Head and body.
    Whole,
    /// The head alone: hyper drops the body of an answer to HEAD in HTTP/1, and sends it in HTTP/2, where it is an error.
    Head,
    /// gRPC.
    TrailersOnly,
}

impl Form {
    /// What a request can take, by its method and its content type.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        if *method == Method::HEAD {
            Self::Head
        } else if is_grpc(headers) {
            Self::TrailersOnly
        } else {
            Self::Whole
        }
    }
}

/// Whether a head says that what follows is gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE);
    content.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A request that gets an answer of ours.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) cause: Cause,
    /// A label that never changes: `details` of `Proxy-Status` and `error` of the body.
    pub(crate) reason: &'static str,
    /// Whether the app may have seen it.
    pub(crate) reached: Reached,
    /// The decision, when policy decided.
    pub(crate) decision: Option<DecisionId>,
    /// The whole explanation, for our own log only; may be empty.
    pub(crate) explanation: Box<str>,
}

impl Refusal {
    /// A refusal of a request that certainly went nowhere.
    pub(crate) fn unsent(cause: Cause, reason: &'static str) -> Self {
        Self {
            cause,
            reason,
            reached: Reached::No,
            decision: None,
            explanation: Box::default(),
        }
    }
    /// A refusal of a request whose bytes may have reached the app.
    pub(crate) fn sent(cause: Cause, reason: &'static str) -> Self {
        Self {
            reached: Reached::Maybe,
            ..Self::unsent(cause, reason)
        }
    }
    /// The same, explained to the operator.
    pub(crate) fn explained(self, explanation: impl std::fmt::Display) -> Self {
        Self {
            explanation: explanation.to_string().into(),
            ..self
        }
    }
    /// The answer. A gRPC request is answered trailers-only with status 200, as its clients expect.
    pub(crate) fn answer(&self, form: Form) -> Response<Full<Bytes>> {
        let row = self.cause.row();
        let grpc = form == Form::TrailersOnly;
        let text = if grpc { String::new() } else { self.body() };
        let length = text.len();
        let mut response = Response::new(match form {
            Form::Whole => Full::new(Bytes::from(text)),
            Form::Head | Form::TrailersOnly => Full::default(),
        });
        let headers = response.headers_mut();
        if form == Form::Head {
            // As the whole answer would say it (RFC 9110 §9.3.2).
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if grpc {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/grpc"),
            );
            insert(headers, "grpc-status", row.grpc.to_string());
            headers.insert("grpc-message", HeaderValue::from_static(self.reason));
        } else {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        let reached = if self.reached == Reached::Maybe { 1 } else { 0 };
        let (error, details) = (row.error, self.reason);
        insert(
            headers,
            "proxy-status",
            format!("countersign; error={error}; details=\"{details}\"; reached=?{reached}"),
        );
        if let Some(decision) = self.decision {
            insert(headers, "countersign-decision-id", decision.to_string());
        }
        if !grpc {
            *response.status_mut() = row.http;
        }
        response
    }
    fn body(&self) -> String {
        match self.decision {
            Some(decision) => format!(
                "{{\"error\":\"{}\",\"decision\":\"{decision}\"}}\n",
                self.reason
            ),
            None => format!("{{\"error\":\"{}\"}}\n", self.reason),
        }
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: String) {
    // Reasons, names and numbers of ours are visible ASCII: a value that is not would be a bug, and is left out rather than a panic.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(name, value);
    }
}

/// The table as Markdown: `docs/reference/errors.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "# Answers of the proxy itself, and their reasons\n\n\
         Generated from the table in `proxy/src/answer.rs` and from `proxy/src/reasons.md`.\n\n\
         Every such answer carries `Proxy-Status: countersign; error=<error>; details=\"<reason>\"; reached=?0|?1` \
         (`reached`: may the request have reached the app) and, when policy decided, `countersign-decision-id`. The body is \
         `{\"error\":\"<reason>\",\"decision\":\"<id>\"}`. A gRPC request is answered with HTTP 200, trailers-only, and the status below.\n\n\
         On the way in, an answer of a sidecar that has no app just now, or whose app did not take the request, also carries \
         `x-countersign-declined` for the sidecar that sent it, which sends the request elsewhere (`services[].retries`) and passes \
         the field on to nobody. A sidecar that closes a quiet HTTP/1 connection to another says the same with a last 408.\n\n\
         | cause | HTTP | gRPC | RFC 9209 error |\n|---|---|---|---|\n",
    );
    for row in TABLE {
        text.push_str(&format!(
            "| {} | {} | {} | `{}` |\n",
            row.what,
            row.http.as_u16(),
            row.grpc,
            row.error
        ));
    }
    text.push_str(TOO_LARGE);
    text.push('\n');
    text.push_str(REASONS);
    text
}

/// What the table cannot say.
const TOO_LARGE: &str = "
## Heads and trailers beyond the limits

Over HTTP/2 `limits.header` counts names, values and 32 bytes for each field (RFC 9113 §6.5.2), of a request's head its \
pseudo-header fields too; over HTTP/1 it counts what was written. Trailers are bounded like heads. None is ever cut and \
passed on as if it were whole.

| what | becomes | reason |
|---|---|---|
| a request's head, HTTP/2 | 431; its connection goes on | `head_too_large`, `too_many_headers` |
| a request's head, HTTP/1 | 431, or 414 where its target is why; its connection ends | `head_too_large`, `too_many_headers`, `target_too_long` |
| a response's head | 502 `http_protocol_error` | `response_head_too_large` |
| a request's trailers | 431, or a reset when the answer has begun; the app sees its request break off | `request_trailers_too_large` |
| a response's trailers | gRPC: RESOURCE_EXHAUSTED with the reason in their place; else over HTTP/2 a reset with ENHANCE_YOUR_CALM, or 502 where that overtakes the head; HTTP/1: the end of the connection before that of the body | `response_trailers_too_large` |
| any of a caller's, HTTP/2, that HPACK writes in more than four times the limit and 8 KiB | GOAWAY with ENHANCE_YOUR_CALM: what follows on that connection could not be read without it | `head_too_large` |
| the same of a server's | the end of that connection, and 502 or a reset for what is under way on it | `upstream_head_too_large` |

`countersign_refused_heads_total` counts request heads that got a 400, 414, 431, 501 for their coding, or 505, and malformed bodies; \
`countersign_limited_total` counts the rest.
";

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
