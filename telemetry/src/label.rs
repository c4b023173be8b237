//! The words that metrics and log share for what happened.
use crate::names::METHOD_OTHER;

/// Which way a request goes, seen from the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the network to the app.
    Inbound,
    /// From the app to the network.
    Outbound,
}

impl Direction {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// What policy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// Policy was not asked: outbound requests are not judged, refused heads never get that far.
    None,
}

impl Verdict {
    /// The label; empty when policy was not asked.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Allowed => "allowed",
            Verdict::Denied => "denied",
            Verdict::None => "",
        }
    }
}

/// The label of a method: itself if RFC 9110 or RFC 5789 (PATCH) knows it, empty where there is none (tcp), else one
/// common word, as a stranger may send as many methods as there are words.
pub(crate) fn method(method: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or(METHOD_OTHER)
}
