//! Why something that was under way was ended: labels that never change, and what each says to the operator.

use crate::headers::OUTER_WHITESPACE;

/// A certificate on its connection had, longer ago than `limits.afterExpiry`.
pub(crate) const CERTIFICATE_ENDED: &str = "certificate_ended";
/// The process ended, and it was still open at the deadline.
pub(crate) const CUT_BY_DRAIN: &str = "cut_by_drain";
/// Its listener is not configured any more, and it did not end in time.
pub(crate) const LISTENER_REMOVED: &str = "listener_removed";
/// Another has its place: `limits.connections`.
pub(crate) const ASKED_BACK: &str = "connection_asked_back";
/// Nothing moved on it for `limits.streamIdle`.
pub(crate) const STREAM_IDLE: &str = "stream_idle";

/// What a reason for a cut says to the operator.
pub(crate) fn explained(reason: &str) -> &'static str {
    match reason {
        CERTIFICATE_ENDED => "a certificate on its connection had ended",
        STREAM_IDLE => "nothing moved on it for limits.streamIdle",
        reason if reason.ends_with("_flood") => "its connection was flooded with frames",
        OUTER_WHITESPACE => "a value of its trailers has whitespace around it",
        "pseudo_headers_in_trailers" => "trailers on its connection held pseudo-header fields",
        reason if reason.starts_with("http2") => "its connection broke a rule of HTTP/2",
        "no_settings" => "its connection did not begin with SETTINGS",
        "head_too_large" => "a head on its connection had more than four times limits.header",
        reason if reason.ends_with("_too_large") => {
            "it has more than limits.header or limits.headers"
        }
        CUT_BY_DRAIN => "it was still open when the process ended",
        LISTENER_REMOVED => "its listener is not configured any more, and it did not end in time",
        ASKED_BACK => "limits.connections are open, and its place went to who holds fewer",
        _ => "it is not allowed any more",
    }
}
