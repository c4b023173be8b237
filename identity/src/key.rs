//! A private key.
//!
//! In: randomness, or PEM (PKCS#8, SEC1, PKCS#1). Out: signatures, the public key, and PEM that is wiped on drop. It never
//! appears in `Debug`, and no public function hands out its bytes except as PEM.

use crate::pem;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rcgen::PublicKeyData;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Which kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on P-256: what leaves and issuers use unless told otherwise.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519; read from files, never made.
    Ed25519,
    /// RSA of 2048 to 8192 bits; read from files, never made.
    Rsa,
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyAlgorithm::P256 => "P-256",
            KeyAlgorithm::P384 => "P-384",
            KeyAlgorithm::Ed25519 => "Ed25519",
            KeyAlgorithm::Rsa => "RSA",
        })
    }
}

/// A private key in PKCS#8 DER, wiped on drop; `Debug` shows only its algorithm.
pub struct Key {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
}

enum Pair {
    Ecdsa(KeyAlgorithm, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Why a key could not be read, made or used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The text holds no private key.
    NoKey,
    /// The text holds a damaged or half-written one, or one that is encrypted.
    Damaged,
    /// It is a key, but of a kind, curve or size that is not used here.
    Unsupported,
    /// The library could not make a key.
    Generate,
    /// The library could not sign.
    Sign,
}

impl KeyError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            KeyError::NoKey => "no_key",
            KeyError::Damaged => "key_damaged",
            KeyError::Unsupported => "key_unsupported",
            KeyError::Generate => "key_generate",
            KeyError::Sign => "key_sign",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::NoKey => "no private key in it; give an unencrypted PEM of PKCS#8, SEC1 or PKCS#1",
            KeyError::Damaged => "the private key cannot be decoded; write the whole file again",
            KeyError::Unsupported => "the private key is of a kind not used here; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more",
            KeyError::Generate => "no key could be made: the system gave no randomness; check /dev/urandom",
            KeyError::Sign => "the key could not sign; check that the key is whole",
        })
    }
}
impl std::error::Error for KeyError {}

impl Key {
    /// A new P-256 key.
    pub fn generate() -> Result<Self, KeyError> {
        Self::generate_ecdsa(KeyAlgorithm::P256, &ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    /// A new P-384 key.
    pub fn generate_p384() -> Result<Self, KeyError> {
        Self::generate_ecdsa(KeyAlgorithm::P384, &ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    fn generate_ecdsa(
        kind: KeyAlgorithm,
        curve: &'static EcdsaSigningAlgorithm,
    ) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(curve).map_err(|_| KeyError::Generate)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        Ok(Key {
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            pair: Pair::Ecdsa(kind, pair),
        })
    }

    /// Reads the first private key of a PEM text: PKCS#8, SEC1 or PKCS#1, unencrypted.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        use rustls::pki_types::pem::Error;
        let mut der = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
            Error::NoItemsFound => KeyError::NoKey,
            _ => KeyError::Damaged,
        })?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(pkcs8) => Self::from_pkcs8(pkcs8.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(sec1) => Self::from_sec1(sec1.secret_sec1_der()),
            PrivateKeyDer::Pkcs1(pkcs1) => Self::from_pkcs1(pkcs1.secret_pkcs1_der()),
            _ => Err(KeyError::Unsupported),
        };
        der.zeroize();
        key
    }

    /// Reads PKCS#8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pkcs8 = || Zeroizing::new(der.to_vec());
        for (kind, curve) in CURVES {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, der) {
                return Ok(Key {
                    pkcs8: pkcs8(),
                    pair: Pair::Ecdsa(kind, pair),
                });
            }
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Key {
                pkcs8: pkcs8(),
                pair: Pair::Ed25519(pair),
            });
        }
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Unsupported)?;
        Ok(Key {
            pkcs8: pkcs8(),
            pair: Pair::Rsa(pair),
        })
    }

    fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        let (kind, pair) = CURVES
            .into_iter()
            .find_map(|(kind, curve)| {
                Some((kind, EcdsaKeyPair::from_private_key_der(curve, der).ok()?))
            })
            .ok_or(KeyError::Unsupported)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Unsupported)?;
        Ok(Key {
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            pair: Pair::Ecdsa(kind, pair),
        })
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_der(der).map_err(|_| KeyError::Unsupported)?;
        let pkcs8 = pair.as_der().map_err(|_| KeyError::Unsupported)?;
        Ok(Key {
            pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()),
            pair: Pair::Rsa(pair),
        })
    }

    /// The same key once more, for a request that may have to be repeated with it.
    pub(crate) fn again(&self) -> Result<Self, KeyError> {
        Self::from_pkcs8(&self.pkcs8)
    }

    /// PKCS#8 PEM, wiped on drop.
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode("PRIVATE KEY", &self.pkcs8)
    }

    /// Which kind of key this is.
    pub fn kind(&self) -> KeyAlgorithm {
        match &self.pair {
            Pair::Ecdsa(kind, _) => *kind,
            Pair::Ed25519(_) => KeyAlgorithm::Ed25519,
            Pair::Rsa(_) => KeyAlgorithm::Rsa,
        }
    }

    /// The public half as SubjectPublicKeyInfo DER.
    pub fn spki(&self) -> Vec<u8> {
        self.subject_public_key_info()
    }

    /// Signs: ECDSA with SHA-256 (P-256) or SHA-384 (P-384) in DER, Ed25519, or RSA PKCS#1 v1.5 with SHA-256.
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(_, pair) => Ok(pair
                .sign(&random, message)
                .map_err(|_| KeyError::Sign)?
                .as_ref()
                .to_vec()),
            Pair::Ed25519(pair) => Ok(pair
                .try_sign(message)
                .map_err(|_| KeyError::Sign)?
                .as_ref()
                .to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
        }
    }

    /// The key as rustls wants it.
    pub(crate) fn for_tls(&self) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()));
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
    }
}

const CURVES: [(KeyAlgorithm, &EcdsaSigningAlgorithm); 2] = [
    (KeyAlgorithm::P256, &ECDSA_P256_SHA256_ASN1_SIGNING),
    (KeyAlgorithm::P384, &ECDSA_P384_SHA384_ASN1_SIGNING),
];

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.kind())
    }
}

/// So that rcgen signs with our key and never holds a copy of it.
impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(_, pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.kind() {
            KeyAlgorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            KeyAlgorithm::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_message(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
