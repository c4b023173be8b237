//! Why a peer is not believed: the whole space of answers, each with a label that never changes.
//!
//! Callers count and log by [`Refused::reason`]; the peer sees nothing of it but a TLS alert.

use crate::moment::rfc3339;
use crate::{IssuerError, LeafError};
use config::SpiffeId;
use std::fmt;
use std::time::SystemTime;

/// Why a peer was not believed. [`Refused::reason`] never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No certificate was sent.
    NoCertificate,
    /// More certificates than [`crate::CHAIN_MAX`].
    ChainTooLong {
        /// How many.
        certificates: usize,
    },
    /// The first certificate is no valid leaf.
    Leaf(LeafError),
    /// There is no bundle for the leaf's trust domain.
    UnknownTrustDomain {
        /// Who it claims to be.
        id: SpiffeId,
    },
    /// The leaf has ended.
    Expired {
        /// When.
        not_after: SystemTime,
        /// What our clock said.
        now: SystemTime,
    },
    /// The leaf is not valid yet.
    NotYetValid {
        /// From when it is.
        not_before: SystemTime,
        /// What our clock said.
        now: SystemTime,
    },
    /// The leaf is signed by itself.
    SelfSigned {
        /// Who it claims to be.
        id: SpiffeId,
    },
    /// The leaf's issuer was not sent, and no root has its name: an intermediate is missing, or it comes from elsewhere.
    IssuerMissing {
        /// Who the leaf claims to be.
        id: SpiffeId,
    },
    /// The chain leads to a root that is not among the leaf's trust domain's.
    UnknownIssuer,
    /// The chain names a root of another trust domain than the leaf's: that root vouches for its own names only.
    ForeignRoot {
        /// Who the leaf claims to be.
        id: SpiffeId,
        /// Whose root it is.
        root_of: String,
    },
    /// A certificate between leaf and root may not sign.
    Issuer(IssuerError),
    /// A certificate between leaf and root, or the root, has ended.
    IssuerExpired {
        /// When.
        not_after: SystemTime,
        /// What our clock said.
        now: SystemTime,
    },
    /// A certificate between leaf and root, or the root, is not valid yet.
    IssuerNotYetValid {
        /// From when it is.
        not_before: SystemTime,
        /// What our clock said.
        now: SystemTime,
    },
    /// More certificates stand between root and leaf than one of them allows.
    PathLength,
    /// An issuer may not issue for TLS (its extended key usage).
    IssuerEku,
    /// An issuer constrains names in a way that the leaf breaks, or that cannot be checked.
    NameConstraints,
    /// A signature is not the one of the issuer that it names.
    BadSignature,
    /// A signature of an algorithm, or by a key of a kind, that is not accepted.
    UnsupportedSignature,
    /// webpki refused for a reason that has no line of its own here.
    Path {
        /// Which.
        why: webpki::Error,
    },
    /// The chain is good, and the peer is somebody else than who was called.
    WrongIdentity {
        /// Who was called.
        expected: SpiffeId,
        /// Who answered.
        found: SpiffeId,
    },
    /// A server outside the mesh is vouched for, and is not of the name that was called.
    WrongName {
        /// Which was called.
        expected: String,
        /// Which its certificate holds, as rustls tells them; the sender's to choose.
        found: Vec<String>,
    },
}

/// Names of a server that are told.
const FOUND_SHOWN: usize = 5;

impl Refused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::NoCertificate => "no_certificate",
            Refused::ChainTooLong { .. } => "chain_too_long",
            Refused::Leaf(why) => why.reason(),
            Refused::UnknownTrustDomain { .. } => "unknown_trust_domain",
            Refused::Expired { .. } => "expired",
            Refused::NotYetValid { .. } => "not_yet_valid",
            Refused::SelfSigned { .. } => "self_signed",
            Refused::IssuerMissing { .. } => "issuer_missing",
            Refused::UnknownIssuer => "unknown_issuer",
            Refused::ForeignRoot { .. } => "foreign_root",
            Refused::Issuer(why) => why.reason(),
            Refused::IssuerExpired { .. } => "issuer_expired",
            Refused::IssuerNotYetValid { .. } => "issuer_not_yet_valid",
            Refused::PathLength => "path_len",
            Refused::IssuerEku => "issuer_eku",
            Refused::NameConstraints => "name_constraints",
            Refused::BadSignature => "bad_signature",
            Refused::UnsupportedSignature => "unsupported_signature",
            Refused::Path { .. } => "bad_path",
            Refused::WrongIdentity { .. } => "wrong_identity",
            Refused::WrongName { .. } => "wrong_name",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoCertificate => f.write_str("no certificate: the peer sent none; it needs an SVID of its own"),
            Refused::ChainTooLong { certificates } => write!(
                f,
                "the chain is too long: {certificates} certificates, at most {} are read; send leaf and intermediates only",
                crate::CHAIN_MAX
            ),
            Refused::Leaf(why) => write!(f, "not an X509-SVID: {why}; issue one as the SPIFFE standard has it"),
            Refused::UnknownTrustDomain { id } => {
                write!(f, "unknown trust domain: no bundle for the one of {id}; add it under `federated` if it is wanted")
            }
            Refused::Expired { not_after, now } => ended(f, "the certificate", *not_after, *now),
            Refused::NotYetValid { not_before, now } => not_begun(f, "the certificate", *not_before, *now),
            Refused::SelfSigned { id } => {
                write!(f, "self-signed: nobody but itself vouches for {id}; have it issued by its trust domain's CA")
            }
            Refused::IssuerMissing { id } => write!(
                f,
                "issuer missing: {id} came without the certificate of its issuer, which is no root here either; send leaf and intermediates"
            ),
            Refused::UnknownIssuer => f.write_str(
                "unknown issuer: the chain leads to no root of the leaf's trust domain, or outside the mesh of `roots`; check which CA issued it and whether the bundle is current",
            ),
            Refused::ForeignRoot { id, root_of } => {
                write!(f, "foreign root: {id} is vouched for by a root of `{root_of}`, which may only name its own; check the issuer")
            }
            Refused::Issuer(why) => write!(f, "an issuer may not sign: {why}; issue it again with what it lacks"),
            Refused::IssuerExpired { not_after, now } => ended(f, "an issuer", *not_after, *now),
            Refused::IssuerNotYetValid { not_before, now } => not_begun(f, "an issuer", *not_before, *now),
            Refused::PathLength => f.write_str(
                "path too long: an issuer allows fewer certificates below it (pathLenConstraint); issue the leaf higher up",
            ),
            Refused::IssuerEku => {
                f.write_str("an issuer may not issue for TLS: its extended key usage lacks it; issue it again without the extension")
            }
            Refused::NameConstraints => {
                f.write_str("constrained names: an issuer constrains them in a way that the leaf breaks or that cannot be checked; issue it again without")
            }
            Refused::BadSignature => {
                f.write_str("bad signature: a certificate is not signed by the key of the issuer it names; check that issuer and bundle belong together")
            }
            Refused::UnsupportedSignature => {
                f.write_str("unsupported signature: its algorithm is not accepted; use ECDSA P-256 or P-384 with SHA-2")
            }
            Refused::Path { why } => write!(f, "no valid path to a root: {why:?}; check the chain"),
            Refused::WrongIdentity { expected, found } => {
                write!(f, "wrong identity: {expected} was called and {found} answered; check the service's endpoints and `identity`")
            }
            Refused::WrongName { expected, found } => {
                let shown = found.iter().take(FOUND_SHOWN).map(|name| name.escape_debug().to_string());
                let names = shown.collect::<Vec<_>>().join(", ");
                let names = if names.is_empty() { "no name" } else { &names };
                write!(f, "wrong name: {expected} was called and the server proves {names}; check the service's endpoints and `sni`")
            }
        }
    }
}
impl std::error::Error for Refused {}

fn ended(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    not_after: SystemTime,
    now: SystemTime,
) -> fmt::Result {
    let (ended, now) = (rfc3339(not_after), rfc3339(now));
    write!(
        f,
        "{what} has expired: it ended at {ended}, now is {now}; renew it, or check this clock"
    )
}

fn not_begun(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    not_before: SystemTime,
    now: SystemTime,
) -> fmt::Result {
    let (begins, now) = (rfc3339(not_before), rfc3339(now));
    write!(
        f,
        "{what} is not valid yet: it begins at {begins}, now is {now}; check both clocks"
    )
}
