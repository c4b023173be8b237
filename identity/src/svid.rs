//! A chain and the key that belongs to it.
use crate::{Key, Leaf};
use rustls::pki_types::CertificateDer;
/// A leaf, its issuers and its key, known to belong together.
pub struct Svid {
    chain: Vec<CertificateDer<'static>>,
    _key: Key,
    leaf: Leaf,
}
impl Svid {
    /// Leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
    /// What the leaf says.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}
/// Why key and chain make no SVID.
#[derive(Debug)]
pub enum SvidError {}
