//! From a raw request target to the canonical path that policy decides on.
use std::borrow::Cow;

/// A path whose forms all agree: percent-decoded once where it decodes to an unreserved character; no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical<'a>(Cow<'a, str>);

impl<'a> Canonical<'a> {
    /// Reads the path of a request target, without its query (the caller cuts at the first `?`).
    /// Does not allocate when nothing had to be decoded.
    pub fn of(_raw: &'a [u8]) -> Result<Self, Ambiguous> {
        todo!()
    }
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a path means different things to different readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ambiguous {
    /// Does not start with `/`.
    NotAbsolute,
    /// `.` or `..` as a segment, also when encoded.
    DotSegment,
    /// `//`.
    EmptySegment,
    /// `%2f`.
    EncodedSlash,
    /// `\` or `%5c`.
    Backslash,
    /// `;`, also when encoded: path parameters.
    Parameter,
    /// `%00` or another control character.
    Control,
    /// `%` without two hex digits, or decoding to `%`.
    Percent,
    /// What it decodes to is not UTF-8.
    NotUtf8,
    /// A byte that RFC 3986 does not allow in a path, `#` included.
    NotAllowed,
}
impl Ambiguous {
    /// A label that never changes, for metrics, `details` and logs.
    pub fn reason(&self) -> &'static str {
        todo!()
    }
}
