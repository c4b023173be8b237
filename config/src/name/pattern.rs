//! Patterns over segments: exact, `{segment}` (one non-empty segment), or a trailing `/**`. The same for paths and identities.
use super::{NameError, SpiffeId, TrustDomain};
use std::sync::Arc;

/// One place of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly these bytes; may be empty only as the last one (`/x/`).
    Exact(Arc<str>),
    /// `{name}`: any one non-empty segment.
    Any(Arc<str>),
}

/// A pattern over an absolute path of segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentPattern {
    text: Arc<str>,
    segments: Arc<[Segment]>,
    below: bool,
}

impl SegmentPattern {
    /// Assembles a pattern whose parts were checked by the grammar of what it stands in.
    pub(super) fn new(_text: &str, _segments: Vec<Segment>, _below: bool) -> Self {
        todo!()
    }
    /// The places before `/**`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
    /// Whether it ends in `/**`: it then matches what the segments match and all below.
    pub fn below(&self) -> bool {
        self.below
    }
    /// Whether `path` (absolute) matches. Does not allocate.
    pub fn matches(&self, _path: &str) -> bool {
        todo!()
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A pattern over SPIFFE IDs: an exact trust domain and a pattern over the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdPattern {
    text: Arc<str>,
    trust_domain: TrustDomain,
    path: SegmentPattern,
}

impl IdPattern {
    /// Reads such as `spiffe://shop.example/staging/**`.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
    /// Whether `id` matches. Does not allocate.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        id.is_in(&self.trust_domain) && self.path.matches(id.path())
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The trust domain, always exact.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
    /// The pattern over the path.
    pub fn path(&self) -> &SegmentPattern {
        &self.path
    }
}
