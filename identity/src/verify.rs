//! A peer's chain becomes a [`Peer`] or a [`Refused`].
use config::SpiffeId;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::SystemTime;

/// Which end of a handshake the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /** It called us. */
    Client,
    /** We called it. */
    Server,
}

/// A peer whose chain was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub id: SpiffeId,
    /// When its leaf ends.
    pub not_after: SystemTime,
    /// The leaf's serial, lower-case hex.
    pub serial: String,
    /// SHA-256 of the leaf's DER.
    pub leaf_sha256: [u8; 32],
}

/// Why a peer was not believed. [`Refused::reason`] never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No certificate was sent.
    NoCertificate,
}
impl Refused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        todo!()
    }
}
impl std::fmt::Display for Refused {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::error::Error for Refused {}

/// Verifies chains against the bundles of one generation; caches issuers.
pub struct Verifier {}
impl Verifier {
    /// Verifies a chain, leaf first, at a given time.
    pub fn verify(
        &self,
        _chain: &[CertificateDer<'_>],
        _role: Role,
        _now: UnixTime,
    ) -> Result<Peer, Refused> {
        todo!()
    }
}
