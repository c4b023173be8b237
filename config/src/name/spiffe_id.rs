//! A workload's name.
use super::{NameError, TrustDomain};
use std::sync::Arc;

/// `spiffe://<trust domain>/<segment>…`, at most 2048 bytes, always with a path (X509-SVID §4.1). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    path_at: usize,
}

impl SpiffeId {
    /// Reads a whole ID; upper case in scheme or trust domain, percent-encoding, userinfo, port, query, fragment, empty, `.` and `..` segments are refused.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The trust domain's name.
    pub fn trust_domain(&self) -> &str {
        &self.text["spiffe://".len()..self.path_at]
    }
    /// The path, with its leading `/`.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }
    /// Whether this ID lies in `domain`.
    pub fn is_in(&self, domain: &TrustDomain) -> bool {
        self.trust_domain() == domain.as_str()
    }
}
impl std::fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
impl std::fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
