//! A stranger's bytes become a public key whose private half the stranger has proved to hold.
//!
//! In: a certificate signing request (PKCS#10, RFC 2986), DER or PEM. Out: a [`Csr`], or [`CsrRefused`] with a reason that
//! never changes. Pure.
//!
//! 1. Only the public key is taken. Names, usages and every other wish of the requester are never even kept.
//! 2. No byte is left over, inside or behind.
//! 3. The request is signed by the very key that it carries, with SHA-256 or better.

use crate::key::{KeyRefused, KeyType, PublicKey};
use crate::{der, text};
use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
use std::fmt;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

/// The longest request that is looked at, DER or PEM, in bytes. One with RSA 4096 and a few names is about 1.5 KiB.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

const OID_ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const OID_ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// sha256, sha384 and sha512WithRSAEncryption differ in the last byte: 11, 12, 13.
const OID_RSA_PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];

/// A request whose proof of possession held: nothing of it is left but the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    key: PublicKey,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CsrRefused {
    /// No bytes.
    Empty,
    /// More bytes than are looked at.
    TooLarge {
        /// How many there were.
        bytes: usize,
    },
    /// Not one request in PEM.
    Pem,
    /// Not a PKCS#10 request in DER.
    Malformed,
    /// Bytes behind the request, or between its parts.
    LeftOver,
    /// A version other than the only one there is.
    Version,
    /// The key is not of a type and size that we vouch for.
    Key(KeyRefused),
    /// The proof uses an algorithm that is too weak, or does not fit the key.
    ProofAlgorithm {
        /// The algorithm's object identifier, DER content in hex.
        oid: String,
    },
    /// The request is not signed by the key that it carries.
    Proof,
}

impl CsrRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            CsrRefused::Empty => "csr_empty",
            CsrRefused::TooLarge { .. } => "csr_too_large",
            CsrRefused::Pem => "csr_pem",
            CsrRefused::Malformed => "csr_malformed",
            CsrRefused::LeftOver => "csr_left_over",
            CsrRefused::Version => "csr_version",
            CsrRefused::Key(refused) => refused.reason(),
            CsrRefused::ProofAlgorithm { .. } => "csr_proof_algorithm",
            CsrRefused::Proof => "csr_proof",
        }
    }
}

impl fmt::Display for CsrRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let CsrRefused::Key(refused) = self {
            return refused.fmt(f);
        }
        f.write_str("signing request refused: ")?;
        match self {
            CsrRefused::Empty => f.write_str("it is empty; send PKCS#10, DER or PEM"),
            CsrRefused::TooLarge { bytes } => {
                write!(
                    f,
                    "it has {bytes} bytes, more than {CSR_BYTES_MAX}; send the key alone, names are not taken"
                )
            }
            CsrRefused::Pem => {
                f.write_str("it is not one CERTIFICATE REQUEST in PEM; send exactly one")
            }
            CsrRefused::Malformed => {
                f.write_str("it is not PKCS#10 in DER; make it with another tool")
            }
            CsrRefused::LeftOver => {
                f.write_str("bytes are left over in it; make it with another tool")
            }
            CsrRefused::Version => f.write_str("its version is not 1; make it with another tool"),
            CsrRefused::ProofAlgorithm { oid } => {
                write!(
                    f,
                    "it is signed with {oid}; sign it with ECDSA and SHA-256 or SHA-384, or RSA PKCS#1 and SHA-256 to SHA-512"
                )
            }
            CsrRefused::Proof => f.write_str(
                "its signature is not by the key in it; sign it with the private half of that key",
            ),
            CsrRefused::Key(_) => Ok(()),
        }
    }
}
impl std::error::Error for CsrRefused {}

impl Csr {
    /// Reads DER and verifies the proof of possession: about 70 us for P-256.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CsrRefused> {
        bounded(bytes)?;
        let parts = Parts::read(bytes)?;
        let key = PublicKey::from_spki(parts.spki).map_err(CsrRefused::Key)?;
        proof_allowed(parts.proof_algorithm, key.key_type())?;

        let (rest, request) =
            X509CertificationRequest::from_der(bytes).map_err(|_| CsrRefused::Malformed)?;
        // Two readers of the same bytes must see the same key, or one of them proves what the other does not vouch for.
        if !rest.is_empty() || request.certification_request_info.subject_pki.raw != parts.spki {
            return Err(CsrRefused::Malformed);
        }
        request.verify_signature().map_err(|_| CsrRefused::Proof)?;
        Ok(Csr { key })
    }

    /// The key that a request names, without looking whether its holder asks: cheap, and worth nothing but to look up what is
    /// known of that key.
    pub(crate) fn claimed_key(bytes: &[u8]) -> Result<PublicKey, CsrRefused> {
        bounded(bytes)?;
        PublicKey::from_spki(Parts::read(bytes)?.spki).map_err(CsrRefused::Key)
    }

    /// Reads PEM with exactly one request, or else DER.
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CsrRefused> {
        bounded(bytes)?;
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Self::from_der(bytes);
        }
        let mut found = CertificateSigningRequestDer::pem_slice_iter(bytes);
        match (found.next(), found.next()) {
            (Some(Ok(request)), None) => Self::from_der(&request),
            _ => Err(CsrRefused::Pem),
        }
    }

    /// The key, the only thing that is taken.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

fn bounded(bytes: &[u8]) -> Result<(), CsrRefused> {
    match bytes.len() {
        0 => Err(CsrRefused::Empty),
        1..=CSR_BYTES_MAX => Ok(()),
        bytes => Err(CsrRefused::TooLarge { bytes }),
    }
}

/// Where in the request the parts stand that we look at.
struct Parts<'a> {
    spki: &'a [u8],
    proof_algorithm: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, CsrRefused> {
        let nothing_behind = |rest: &[u8]| {
            if rest.is_empty() {
                Ok(())
            } else {
                Err(CsrRefused::LeftOver)
            }
        };
        let take = |input: &mut &'a [u8], tag| der::take(input, tag).ok_or(CsrRefused::Malformed);

        let mut rest = bytes;
        let mut request = take(&mut rest, der::SEQUENCE)?.content;
        nothing_behind(rest)?;
        let mut info = take(&mut request, der::SEQUENCE)?.content;
        let mut proof_algorithm = take(&mut request, der::SEQUENCE)?.content;
        // A signature is whole octets; x509-parser would not mind unused bits.
        if take(&mut request, der::BIT_STRING)?.content.first() != Some(&0) {
            return Err(CsrRefused::Malformed);
        }
        nothing_behind(request)?;

        if take(&mut info, der::INTEGER)?.content != [0] {
            return Err(CsrRefused::Version);
        }
        let _subject = take(&mut info, der::SEQUENCE)?;
        let spki = take(&mut info, der::SEQUENCE)?.whole;
        let _attributes = take(&mut info, der::CONTEXT_0)?;
        nothing_behind(info)?;

        let proof_algorithm = take(&mut proof_algorithm, der::OID)?.content;
        Ok(Parts {
            spki,
            proof_algorithm,
        })
    }
}

fn proof_allowed(oid: &[u8], key_type: KeyType) -> Result<(), CsrRefused> {
    let fits = match key_type {
        KeyType::P256 | KeyType::P384 => oid == OID_ECDSA_SHA256 || oid == OID_ECDSA_SHA384,
        KeyType::Rsa { .. } => matches!(oid.split_last(), Some((11..=13, OID_RSA_PKCS1))),
    };
    if fits {
        Ok(())
    } else {
        Err(CsrRefused::ProofAlgorithm {
            oid: text::hex(oid),
        })
    }
}
