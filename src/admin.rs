//! Asking a running sidecar: over its admin socket, or, where it only shows something, at its admin pages.
//!
//! In: a door and a path. Out: the JSON of the answer, or a line that says why there is none and what to do.

use crate::asking::{Door, Unanswered, exchange};
use crate::failure::Failure;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use std::io::ErrorKind;
use std::time::Duration;

/// How long one call may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Far more than an answer has.
const BYTES_MAX: usize = 64 * 1024;

/// Why there is no answer.
pub(crate) enum Asked {
    Unanswered(Unanswered),
    /// It is no answer of a sidecar.
    Unexpected(String),
}

impl Asked {
    pub(crate) fn failure(&self, door: &Door) -> Failure {
        let start = match door {
            Door::Socket(_) => "name the `admin.socket` of a running sidecar with --admin",
            Door::Pages(..) => {
                "name the `admin.listen` or `admin.socket` of a running sidecar with --admin"
            }
        };
        let why = match self {
            Asked::Unanswered(Unanswered::Connect(error)) => match error.kind() {
                ErrorKind::NotFound => {
                    format!("no sidecar to be asked: there is no such socket; {start}")
                }
                ErrorKind::ConnectionRefused => {
                    format!("no sidecar to be asked: nobody listens there; {start}")
                }
                ErrorKind::PermissionDenied => {
                    "the sidecar is not asked: this user may not open its socket; run as root or as the sidecar's own user".to_owned()
                }
                _ => format!("the sidecar is not asked: {error}; {start}"),
            },
            Asked::Unanswered(Unanswered::Ended) => {
                "no answer: the connection was closed; ask as root or as the sidecar's own user, nobody else is heard".to_owned()
            }
            Asked::Unanswered(Unanswered::Slow) => format!(
                "no answer within {} s; look at the sidecar's log, and ask again",
                WITHIN.as_secs()
            ),
            Asked::Unanswered(Unanswered::NotHttp) => {
                format!("unexpected answer: it is no HTTP; {start}")
            }
            Asked::Unanswered(Unanswered::Large) => {
                format!("unexpected answer: it has more than {BYTES_MAX} bytes; {start}")
            }
            Asked::Unexpected(what) => format!("unexpected answer: {what}; {start}"),
        };
        Failure::Unreachable(format!("{door}: {why}"))
    }
}

/// What the sidecar answers, as JSON.
pub(crate) async fn ask(door: &Door, method: Method, path: &str) -> Result<Value, Asked> {
    let request = Request::builder().method(method).uri(path);
    let request = request
        .header("host", "localhost")
        .body(Full::new(Bytes::new()));
    let request = request.map_err(|error| Asked::Unexpected(error.to_string()))?;
    let answered = exchange(door, request, WITHIN, BYTES_MAX).await;
    let (status, body) = answered.map_err(Asked::Unanswered)?;
    if status != StatusCode::OK {
        return Err(Asked::Unexpected(format!("HTTP {}", status.as_u16())));
    }
    serde_json::from_slice(&body).map_err(|_| Asked::Unexpected("it is no JSON".into()))
}

/// Where an answer is awaited.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| {
        Failure::Unfit(format!(
            "cannot wait for an answer: {error}; is a limit of open files reached?"
        ))
    })
}
