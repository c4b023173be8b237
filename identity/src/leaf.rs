//! The strict reading of an X509-SVID leaf (X509-SVID §2, §4).
//!
//! In: DER from a stranger. Out: what the leaf says, or the first rule it breaks. No clock, no signature: those are
//! [`crate::Verifier`]'s.
//!
//! 1. Exactly one URI SAN, and it is a SPIFFE ID with a path (§2, §5.2).
//! 2. basicConstraints is there and says cA=false (§4.1; independent validators refuse a leaf without it).
//! 3. keyUsage is there, critical, with digitalSignature and with neither keyCertSign nor cRLSign (§4.3).
//! 4. extKeyUsage is absent, or has both serverAuth and clientAuth (§4.4).

use crate::certificate::{Certificate, Malformed};
use config::SpiffeId;
use std::fmt;
use std::time::SystemTime;
use x509_parser::extensions::{ExtendedKeyUsage, KeyUsage};

/// What a valid leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The one URI SAN.
    pub id: SpiffeId,
    /// From when.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// Serial number, lower-case hex without leading zeros of DER.
    pub serial: String,
}

/// Why a leaf is none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeafError {
    /// It cannot be read as a certificate.
    Malformed(Malformed),
    /// There is no basicConstraints extension.
    NoBasicConstraints,
    /// It says cA=true: a signing certificate never authenticates.
    Ca,
    /// No URI among the subject alternative names.
    NoUriSan,
    /// More than one.
    TwoUriSans {
        /// How many.
        uris: usize,
    },
    /// The URI is no SPIFFE ID of a workload.
    NotSpiffe {
        /// What is wrong with it.
        why: String,
    },
    /// There is no keyUsage extension.
    NoKeyUsage,
    /// keyUsage is not critical.
    KeyUsageNotCritical,
    /// keyUsage lacks digitalSignature.
    NoDigitalSignature,
    /// keyUsage has keyCertSign or cRLSign.
    SigningKeyUsage,
    /// extKeyUsage is there and lacks serverAuth or clientAuth.
    Eku {
        /// The one that is missing, or the first of the two.
        missing: &'static str,
    },
}

impl LeafError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            LeafError::Malformed(malformed) => malformed.reason(),
            LeafError::NoBasicConstraints => "no_basic_constraints",
            LeafError::Ca => "ca_leaf",
            LeafError::NoUriSan => "no_uri_san",
            LeafError::TwoUriSans { .. } => "two_uri_sans",
            LeafError::NotSpiffe { .. } => "not_a_spiffe_id",
            LeafError::NoKeyUsage => "no_key_usage",
            LeafError::KeyUsageNotCritical => "key_usage_not_critical",
            LeafError::NoDigitalSignature => "no_digital_signature",
            LeafError::SigningKeyUsage => "signing_key_usage",
            LeafError::Eku { .. } => "bad_eku",
        }
    }
}

impl fmt::Display for LeafError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeafError::Malformed(malformed) => malformed.fmt(f),
            LeafError::NoBasicConstraints => f.write_str("it has no basicConstraints"),
            LeafError::Ca => {
                f.write_str("it is a signing certificate (cA=true), and those never authenticate")
            }
            LeafError::NoUriSan => {
                f.write_str("it names no URI among its subject alternative names")
            }
            LeafError::TwoUriSans { uris } => {
                write!(f, "it names {uris} URIs, an SVID names exactly one")
            }
            LeafError::NotSpiffe { why } => {
                write!(f, "its URI is no SPIFFE ID: {}", why.escape_debug())
            }
            LeafError::NoKeyUsage => f.write_str("it has no keyUsage"),
            LeafError::KeyUsageNotCritical => f.write_str("its keyUsage is not critical"),
            LeafError::NoDigitalSignature => f.write_str("its keyUsage lacks digitalSignature"),
            LeafError::SigningKeyUsage => f.write_str("its keyUsage has keyCertSign or cRLSign"),
            LeafError::Eku { missing } => write!(f, "its extended key usage lacks {missing}"),
        }
    }
}
impl std::error::Error for LeafError {}

impl Leaf {
    /// Reads a leaf; the first broken rule is the error. Costs a few microseconds.
    pub fn parse(der: &[u8]) -> Result<Self, LeafError> {
        Leaf::of(&Certificate::read(der).map_err(LeafError::Malformed)?)
    }

    pub(crate) fn of(certificate: &Certificate<'_>) -> Result<Self, LeafError> {
        match &certificate.basic_constraints {
            None => return Err(LeafError::NoBasicConstraints),
            Some(basic) if basic.ca => return Err(LeafError::Ca),
            Some(_) => {}
        }
        let id = the_one_id(&certificate.uris)?;
        check_key_usage(certificate.key_usage.as_ref())?;
        check_extended_key_usage(certificate.extended_key_usage.as_ref())?;
        Ok(Leaf {
            id,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            serial: certificate.serial(),
        })
    }
}

fn the_one_id(uris: &[&str]) -> Result<SpiffeId, LeafError> {
    match uris {
        [] => Err(LeafError::NoUriSan),
        [uri] => SpiffeId::parse(uri).map_err(|error| LeafError::NotSpiffe { why: error.why }),
        uris => Err(LeafError::TwoUriSans { uris: uris.len() }),
    }
}

fn check_key_usage(usage: Option<&(KeyUsage, bool)>) -> Result<(), LeafError> {
    match usage {
        None => Err(LeafError::NoKeyUsage),
        Some((usage, _)) if !usage.digital_signature() => Err(LeafError::NoDigitalSignature),
        Some((usage, _)) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(LeafError::SigningKeyUsage)
        }
        Some((_, false)) => Err(LeafError::KeyUsageNotCritical),
        Some((_, true)) => Ok(()),
    }
}

fn check_extended_key_usage(usage: Option<&ExtendedKeyUsage<'_>>) -> Result<(), LeafError> {
    match usage {
        Some(usage) if !usage.server_auth => Err(LeafError::Eku {
            missing: "serverAuth",
        }),
        Some(usage) if !usage.client_auth => Err(LeafError::Eku {
            missing: "clientAuth",
        }),
        _ => Ok(()),
    }
}
