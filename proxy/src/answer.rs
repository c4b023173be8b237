//! Our own answers: every cause for which the proxy answers instead of the app, in one table.
//!
//! In: a [`Refusal`], and whether the request was gRPC. Out: an HTTP response that says whose answer it is (RFC 9209
//! `Proxy-Status`), why (a reason that never changes) and whether the app may have seen the request; nothing of the rules.

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
    /// The head is larger than `limits.header` or has more fields than `limits.headers`.
    HeadTooLarge,
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
        Cause::HeadTooLarge,
        "head too large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        8,
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
    fn row(self) -> &'static Row {
        // Seventeen rows, looked at only when something went wrong.
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
        let content = headers.get(header::CONTENT_TYPE);
        if *method == Method::HEAD {
            Self::Head
        } else if content.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            Self::TrailersOnly
        } else {
            Self::Whole
        }
    }
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
        "# Answers of the proxy itself\n\n\
         Generated from the table in `proxy/src/answer.rs`.\n\n\
         Every such answer carries `Proxy-Status: countersign; error=<error>; details=\"<reason>\"; reached=?0|?1` \
         (`reached`: may the request have reached the app) and, when policy decided, `countersign-decision-id`. The body is \
         `{\"error\":\"<reason>\",\"decision\":\"<id>\"}`. A gRPC request is answered with HTTP 200, trailers-only, and the status below.\n\n\
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
    text
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
