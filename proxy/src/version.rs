//! Which version of HTTP a hop speaks.

/// What the client spoke, end to end: a hop never translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}
