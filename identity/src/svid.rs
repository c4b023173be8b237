//! A chain and the key that belongs to it.
//!
//! In: certificates and a key. Out: an [`Svid`] whose leaf is a valid leaf and whose key is the leaf's. Whether the chain
//! leads to a root, and whether it is valid now, is [`crate::Verifier`]'s to say.

use crate::certificate::Certificate;
use crate::pem::{self, PemError};
use crate::{Key, Leaf, LeafError};
use rustls::pki_types::CertificateDer;
use std::fmt;

/// A leaf, its issuers and its key, known to belong together.
#[derive(Debug)]
pub struct Svid {
    chain: Vec<CertificateDer<'static>>,
    key: Key,
    leaf: Leaf,
}

/// Why key and chain make no SVID.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SvidError {
    /// The text holds no readable certificates.
    Pem(PemError),
    /// There is no certificate in the chain.
    Empty,
    /// More certificates than [`crate::CHAIN_MAX`]: no peer would read them.
    TooLong {
        /// How many.
        certificates: usize,
    },
    /// The first certificate is no valid leaf.
    Leaf(LeafError),
    /// The key is another one than the leaf's.
    KeyMismatch,
}

impl SvidError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            SvidError::Pem(why) => why.reason(),
            SvidError::Empty => "svid_empty",
            SvidError::TooLong { .. } => "chain_too_long",
            SvidError::Leaf(why) => why.reason(),
            SvidError::KeyMismatch => "key_mismatch",
        }
    }
}

impl fmt::Display for SvidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SvidError::Pem(why) => why.fmt(f),
            SvidError::Empty => f.write_str("no certificate in it"),
            SvidError::TooLong { certificates } => {
                write!(
                    f,
                    "{certificates} certificates in it, at most {} are sent",
                    crate::CHAIN_MAX
                )
            }
            SvidError::Leaf(why) => write!(f, "its first certificate is no X509-SVID: {why}"),
            SvidError::KeyMismatch => {
                f.write_str("the private key does not belong to the certificate")
            }
        }
    }
}
impl std::error::Error for SvidError {}

impl Svid {
    /// Puts a chain (leaf first, root optional) and its key together.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: Key) -> Result<Self, SvidError> {
        if chain.len() > crate::CHAIN_MAX {
            return Err(SvidError::TooLong {
                certificates: chain.len(),
            });
        }
        let first = chain.first().ok_or(SvidError::Empty)?;
        let read =
            Certificate::read(first).map_err(|why| SvidError::Leaf(LeafError::Malformed(why)))?;
        let leaf = Leaf::of(&read).map_err(SvidError::Leaf)?;
        if read.x509.public_key().raw != key.spki() {
            return Err(SvidError::KeyMismatch);
        }
        Ok(Svid { chain, key, leaf })
    }

    /// The same from the PEM of a chain.
    pub fn from_pem(chain: &[u8], key: Key) -> Result<Self, SvidError> {
        Self::new(pem::certificates(chain).map_err(SvidError::Pem)?, key)
    }

    /// Leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// What the leaf says.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The leaf's private key.
    pub fn key(&self) -> &Key {
        &self.key
    }
}
