//! The grammar of names and of the patterns over them.

mod host;
mod path;
mod pattern;
mod spiffe_id;
mod trust_domain;

pub use host::HostPattern;
pub use path::PathPattern;
pub use pattern::{IdPattern, Segment, SegmentPattern};
pub use spiffe_id::SpiffeId;
pub use trust_domain::TrustDomain;

/// Why a name is not one: what was wrong and, where it is one character, its byte offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// One lower-case sentence for the person who wrote the name, such as "`A` at 10 is not allowed in a trust domain".
    pub why: String,
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}
impl std::error::Error for NameError {}
