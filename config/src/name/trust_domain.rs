//! A trust domain: the first half of every SPIFFE ID.
use super::NameError;
use std::sync::Arc;

/// 1 to 255 bytes of `a-z 0-9 . - _` (SPIFFE-ID §2.1). Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Reads the bare name, such as `shop.example`.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
    /// Reads the ID of the trust domain itself, such as `spiffe://shop.example`, as signing certificates may carry it.
    pub fn parse_id(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl std::fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
