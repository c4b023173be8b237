//! The strict reading of a signing certificate, root or intermediate (X509-SVID §3, §4).
//!
//! In: DER from a file or a stranger. Out: what path validation needs beside webpki, which ignores keyUsage and the
//! constraints of roots; or the first rule that is broken. No clock, no signature.

use crate::certificate::{Certificate, Malformed};
use config::TrustDomain;
use std::fmt;
use std::time::SystemTime;

/// What a signing certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// The subject as raw DER: what a child's issuer must equal.
    pub(crate) subject: Vec<u8>,
    /// The issuer as raw DER.
    pub(crate) issuer: Vec<u8>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// How many intermediates may stand between this certificate and a leaf.
    pub(crate) path_len: Option<u32>,
    /// Whether it constrains the names of everything below it, however far.
    pub(crate) constrains_names: bool,
    /// The trust domain it names, if it names one.
    pub(crate) trust_domain: Option<TrustDomain>,
}

/// Why a certificate may not sign others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerError {
    /// It cannot be read as a certificate.
    Malformed(Malformed),
    /// basicConstraints is absent or says cA=false.
    NotCa,
    /// keyUsage is absent or lacks keyCertSign (X509-SVID §4.3).
    NoKeyCertSign,
    /// It names a URI that is no trust domain's ID: one with a path, say (X509-SVID §4.1), or several.
    Id {
        /// What is wrong with it.
        why: String,
    },
}

impl IssuerError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            IssuerError::Malformed(_) => "issuer_malformed",
            IssuerError::NotCa => "issuer_not_ca",
            IssuerError::NoKeyCertSign => "issuer_without_key_cert_sign",
            IssuerError::Id { .. } => "issuer_id",
        }
    }
}

impl fmt::Display for IssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuerError::Malformed(malformed) => malformed.fmt(f),
            IssuerError::NotCa => {
                f.write_str("it is no signing certificate (basicConstraints without cA=true)")
            }
            IssuerError::NoKeyCertSign => f.write_str("its keyUsage lacks keyCertSign"),
            IssuerError::Id { why } => write!(
                f,
                "its URI is not the ID of a trust domain: {}",
                why.escape_debug()
            ),
        }
    }
}
impl std::error::Error for IssuerError {}

impl Issuer {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, IssuerError> {
        let certificate = Certificate::read(der).map_err(IssuerError::Malformed)?;
        let basic = certificate
            .basic_constraints
            .as_ref()
            .filter(|basic| basic.ca)
            .ok_or(IssuerError::NotCa)?;
        if !certificate
            .key_usage
            .as_ref()
            .is_some_and(|(usage, _)| usage.key_cert_sign())
        {
            return Err(IssuerError::NoKeyCertSign);
        }
        let trust_domain = match certificate.uris.as_slice() {
            [] => None,
            [uri] => Some(
                TrustDomain::parse_id(uri).map_err(|error| IssuerError::Id { why: error.why })?,
            ),
            uris => {
                return Err(IssuerError::Id {
                    why: format!("{} URIs", uris.len()),
                });
            }
        };
        Ok(Issuer {
            subject: certificate.subject().to_vec(),
            issuer: certificate.issuer().to_vec(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            path_len: basic.path_len_constraint,
            constrains_names: certificate.constrains_names,
            trust_domain,
        })
    }
}
