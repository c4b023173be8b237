//! Why a connection ends of which a client makes too much, or which begins or goes on as none may.

use super::fields::PSEUDO_IN_TRAILERS;
use super::frame::kind;

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Streams begun and reset (CVE-2023-44487).
    Resets,
    /// Pings (CVE-2019-9512).
    Pings,
    /// Settings (CVE-2019-9515).
    Settings,
    /// Data without data (CVE-2019-9518).
    EmptyData,
    /// Windows opened for nothing (CVE-2019-9511).
    Windows,
    /// Priorities (CVE-2019-9513).
    Priorities,
    /// Frames of a kind that nobody knows.
    Unknown,
    /// A head, or trailers, of more bytes than are looked at.
    Head,
    /// No flood: pseudo-header fields in trailers (RFC 9113 §8.1), which h2 drops.
    Trailers,
    /// No flood: something before settings (RFC 9113 §3.4), which h2 lets pass.
    Unsettled,
}

impl Flood {
    /// Whether a limit is why; else a rule of HTTP/2 is.
    pub(crate) fn is_limit(self) -> bool {
        !matches!(self, Self::Unsettled | Self::Trailers)
    }
    /// The error of RFC 9113 §7 that it is: PROTOCOL_ERROR or ENHANCE_YOUR_CALM.
    pub(crate) fn code(self) -> u8 {
        match self.is_limit() {
            true => 0xb,
            false => 0x1,
        }
    }
    /// A label that never changes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Resets => "reset_flood",
            Self::Pings => "ping_flood",
            Self::Settings => "settings_flood",
            Self::EmptyData => "empty_data_flood",
            Self::Windows => "window_update_flood",
            Self::Priorities => "priority_flood",
            Self::Unknown => "unknown_frame_flood",
            Self::Head => "head_too_large",
            Self::Trailers => PSEUDO_IN_TRAILERS,
            Self::Unsettled => "no_settings",
        }
    }
}

impl std::fmt::Display for Flood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = match self {
            Self::Trailers => return f.write_str("pseudo-header fields in trailers"),
            Self::Unsettled => return f.write_str("its first frame is not SETTINGS"),
            Self::Resets => "limits.resets",
            Self::Head => "limits.header",
            _ => "limits.pings",
        };
        write!(f, "{}: more than {limit} allows", self.reason())
    }
}

impl std::error::Error for Flood {}

/// What hyper found to be too much, by the kind of frame that came last.
pub(crate) fn too_much_of(last: u8) -> &'static str {
    match last {
        kind::CONTINUATION => "continuation_flood",
        kind::HEADERS => "head_too_large",
        kind::DATA => "small_data_flood",
        kind::RST_STREAM => "reset_flood",
        _ => "http2_flood",
    }
}
