//! A refusal as gRPC carries it.

use crate::refusal::{Fault, Refusal};
use api::refusal;
use tonic::{Code, Status};

/// Its code, its reason for programs, its line for people, and the wait or the clock where those help.
pub(crate) fn status(refused: impl Into<Refusal>) -> Status {
    let refused = refused.into();
    let code = match refused.fault() {
        Fault::Request => Code::InvalidArgument,
        Fault::Unauthenticated => Code::Unauthenticated,
        Fault::Denied => Code::PermissionDenied,
        Fault::TooMuch => Code::ResourceExhausted,
        Fault::Passing => Code::Unavailable,
        Fault::Ours => Code::Internal,
    };
    let mut status = refusal::refuse(code, refused.reason(), refused.to_string());
    if let Some(wait) = refused.retry() {
        status = refusal::retry_after(status, wait);
    }
    if let Some(unix_ms) = refused.server_time_unix_ms() {
        status = refusal::at_server_time(status, unix_ms);
    }
    status
}
