//! Patterns over HTTP paths, as the policy writes them.
use super::{NameError, SegmentPattern};

/// A pattern over canonical request paths: absolute, of the canonical alphabet (what a canonical path can never hold is refused here, since it could never match).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(SegmentPattern);

impl PathPattern {
    /// Reads such as `/orders/{id}` or `/static/**`.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
    /// Whether a canonical path matches. Does not allocate.
    pub fn matches(&self, canonical: &str) -> bool {
        self.0.matches(canonical)
    }
    /// The segments.
    pub fn segments(&self) -> &SegmentPattern {
        &self.0
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
