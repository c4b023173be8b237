//! The public keys that we vouch for.
//!
//! In: a SubjectPublicKeyInfo in DER. Out: a [`PublicKey`] of an allowed type and size, or [`KeyRefused`]. Pure. Private keys
//! are [`identity::Key`].
//!
//! Allowed in a leaf are P-256, P-384 and RSA of 2048 to 4096 bits with exponent 65537: what every SPIFFE implementation
//! issues and every TLS stack verifies. Ed25519 is not: Envoy refuses it by default, so that such a leaf would fail in
//! handshakes, far from its cause.

use crate::{der, text};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use std::fmt;

/// The smallest RSA modulus that is vouched for, in bits.
pub const RSA_BITS_MIN: usize = 2048;
/// The largest, in bits: verifying costs every peer the square of it.
pub const RSA_BITS_MAX: usize = 4096;

const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// The type of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
}

/// A public key of an allowed type and size, in its one canonical encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    key_type: KeyType,
}

/// Why a public key is not vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRefused {
    /// Not a SubjectPublicKeyInfo in DER, or one that could be written in more than one way.
    Malformed,
    /// Neither elliptic-curve nor RSA.
    Algorithm {
        /// The algorithm's object identifier, DER content in hex.
        oid: String,
    },
    /// An elliptic curve other than P-256 and P-384.
    Curve,
    /// An RSA modulus outside the bounds.
    RsaSize {
        /// Length of the modulus.
        bits: usize,
    },
    /// An RSA exponent other than 65537.
    RsaExponent,
}

impl KeyRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            KeyRefused::Malformed => "key_malformed",
            KeyRefused::Algorithm { .. } => "key_algorithm",
            KeyRefused::Curve => "key_curve",
            KeyRefused::RsaSize { .. } => "key_rsa_size",
            KeyRefused::RsaExponent => "key_rsa_exponent",
        }
    }
}

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("public key refused: ")?;
        match self {
            KeyRefused::Malformed => {
                f.write_str("it is not canonical DER; make the request with another tool")
            }
            KeyRefused::Algorithm { oid } => {
                write!(f, "algorithm {oid} is not allowed; use P-256, P-384 or RSA")
            }
            KeyRefused::Curve => f.write_str("its curve is not allowed; use P-256 or P-384"),
            KeyRefused::RsaSize { bits } => {
                write!(
                    f,
                    "RSA of {bits} bits is not allowed; use {RSA_BITS_MIN} to {RSA_BITS_MAX}, or P-256"
                )
            }
            KeyRefused::RsaExponent => {
                f.write_str("its RSA exponent is not 65537; make an ordinary RSA key, or P-256")
            }
        }
    }
}
impl std::error::Error for KeyRefused {}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). Whether a point lies on its curve is left to the first signature.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyRefused> {
        let key_type = key_type(spki).ok_or(KeyRefused::Malformed)??;
        Ok(PublicKey {
            spki: spki.to_vec(),
            key_type,
        })
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Type and size.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The key identifier of SKI and AKI: SHA-256 of the SubjectPublicKeyInfo, cut to 20 bytes (RFC 7093 §2, method 4).
    pub fn id(&self) -> [u8; 20] {
        let mut id = [0; 20];
        id.copy_from_slice(&digest(&SHA256, &self.spki).as_ref()[..20]);
        id
    }

    /// Whether its holder signed this: ECDSA in DER with SHA-256 (P-256) or SHA-384 (P-384), RSA PKCS#1 v1.5 with SHA-256.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self.key_type {
            KeyType::P256 => &ECDSA_P256_SHA256_ASN1,
            KeyType::P384 => &ECDSA_P384_SHA384_ASN1,
            KeyType::Rsa { .. } => &RSA_PKCS1_2048_8192_SHA256,
        };
        let verified = |key| UnparsedPublicKey::new(algorithm, key).verify(message, signature);
        key_bits(&self.spki).is_some_and(|key| verified(key).is_ok())
    }
}

/// The key alone, without its algorithm.
fn key_bits(spki: &[u8]) -> Option<&[u8]> {
    let mut parts = der::only(spki, der::SEQUENCE)?.content;
    der::take(&mut parts, der::SEQUENCE)?;
    let (_, key) = der::only(parts, der::BIT_STRING)?.content.split_first()?;
    Some(key)
}

/// `None` if malformed.
fn key_type(spki: &[u8]) -> Option<Result<KeyType, KeyRefused>> {
    let mut parts = der::only(spki, der::SEQUENCE)?.content;
    let mut algorithm = der::take(&mut parts, der::SEQUENCE)?.content;
    let (unused_bits, key) = der::only(parts, der::BIT_STRING)?.content.split_first()?;
    if *unused_bits != 0 {
        return None;
    }
    let oid = der::take(&mut algorithm, der::OID)?.content;
    let parameters = algorithm;
    if oid == OID_EC_PUBLIC_KEY {
        let point = |length, key_type| (key.len() == length && key[0] == 4).then_some(Ok(key_type));
        match der::only(parameters, der::OID)?.content {
            OID_P256 => point(65, KeyType::P256),
            OID_P384 => point(97, KeyType::P384),
            _ => Some(Err(KeyRefused::Curve)),
        }
    } else if oid == OID_RSA {
        if parameters == der::NULL {
            rsa(key)
        } else {
            None
        }
    } else {
        Some(Err(KeyRefused::Algorithm {
            oid: text::hex(oid),
        }))
    }
}

fn rsa(key: &[u8]) -> Option<Result<KeyType, KeyRefused>> {
    let mut parts = der::only(key, der::SEQUENCE)?.content;
    let modulus = der::take(&mut parts, der::INTEGER)?.content;
    let exponent = der::only(parts, der::INTEGER)?.content;
    let magnitude = match modulus {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => rest,
        [1..=0x7f, ..] => modulus,
        _ => return None, // negative, zero, or with needless zeros in front
    };
    let bits = magnitude.len() * 8 - magnitude[0].leading_zeros() as usize;
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Some(Err(KeyRefused::RsaSize { bits }));
    }
    if exponent != [1, 0, 1] {
        return Some(Err(KeyRefused::RsaExponent));
    }
    Some(Ok(KeyType::Rsa { bits }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_of_every_kind_verifies_what_it_signed_and_nothing_else() {
        for key in [mint::Key::p256(), mint::Key::p384(), mint::Key::rsa()] {
            let public = PublicKey::from_spki(&key.spki()).unwrap();
            let signature = key.sign(b"this");

            assert!(public.verifies(b"this", &signature), "{public:?}");
            assert!(!public.verifies(b"that", &signature));
            assert!(!public.verifies(b"this", &signature[1..]));
            assert!(!public.verifies(b"this", &[]));
            let other = PublicKey::from_spki(&mint::Key::p256().spki()).unwrap();
            assert!(!other.verifies(b"this", &signature));
        }
    }
}
