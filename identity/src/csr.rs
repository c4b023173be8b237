//! A request for a certificate (PKCS#10, RFC 2986).
//!
//! In: the own key and the ID asked for. Out: DER and PEM, signed by that key as proof that we hold it. A CA takes nothing
//! from it but the key and the proof; the SAN is there for those who look.

use crate::{Key, pem};
use config::SpiffeId;
use rcgen::{CertificateParams, DistinguishedName, SanType};
use std::fmt;

/// A signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
}

/// Why no request could be made.
#[derive(Debug)]
pub struct CsrError(rcgen::Error);

impl fmt::Display for CsrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no certificate request could be made: {}; check the key",
            self.0
        )
    }
}
impl std::error::Error for CsrError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Csr {
    /// A request of `key` for `id`: one URI SAN, no subject, no other extension.
    pub fn create(key: &Key, id: &SpiffeId) -> Result<Self, CsrError> {
        let uri = id.as_str().try_into().map_err(CsrError)?;
        Self::signed(key, vec![SanType::URI(uri)])
    }

    /// A request of `key` for whomever the evidence beside it shows: no name in it at all.
    pub fn without_name(key: &Key) -> Result<Self, CsrError> {
        Self::signed(key, Vec::new())
    }

    fn signed(key: &Key, names: Vec<SanType>) -> Result<Self, CsrError> {
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name = DistinguishedName::new();
        wanted.subject_alt_names = names;
        let signed = wanted.serialize_request(key).map_err(CsrError)?;
        Ok(Csr {
            der: signed.der().to_vec(),
        })
    }

    /// The request in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request in PEM.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der).to_string()
    }
}
