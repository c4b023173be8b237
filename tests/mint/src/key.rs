//! Keys to sign with.

use crate::der::{self, oid, sequence, tag, tlv};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::fmt;
use std::sync::Arc;

/// A key pair; clones share it.
#[derive(Clone)]
pub struct Key {
    pair: Arc<Pair>,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    /// A new P-256 key, which signs with SHA-256.
    pub fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Key {
            pair: Arc::new(Pair::P256(pair)),
        }
    }

    /// A new P-384 key, which signs with SHA-384.
    pub fn p384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        Key {
            pair: Arc::new(Pair::P384(pair)),
        }
    }

    /// A new RSA key of 2048 bits; takes a while.
    pub fn rsa() -> Self {
        Key {
            pair: Arc::new(Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        }
    }

    /// SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        let ec = |curve: &str, point: &[u8]| {
            let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid(curve)]);
            sequence(&[&algorithm, &der::bit_string(point)])
        };
        match &*self.pair {
            Pair::P256(pair) => ec("1.2.840.10045.3.1.7", pair.public_key().as_ref()),
            Pair::P384(pair) => ec("1.3.132.0.34", pair.public_key().as_ref()),
            Pair::Rsa(pair) => {
                let algorithm = sequence(&[&oid("1.2.840.113549.1.1.1"), &tlv(tag::NULL, &[])]);
                sequence(&[&algorithm, &der::bit_string(pair.public_key().as_ref())])
            }
        }
    }

    /// The key identifier of RFC 5280 §4.2.1.2 (1): SHA-1 of the public key's bits.
    pub fn id(&self) -> Vec<u8> {
        let bits = match &*self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        };
        digest(&SHA1_FOR_LEGACY_USE_ONLY, bits).as_ref().to_vec()
    }

    /// The AlgorithmIdentifier of this key's signatures.
    pub fn algorithm(&self) -> Vec<u8> {
        match &*self.pair {
            Pair::P256(_) => sequence(&[&oid("1.2.840.10045.4.3.2")]),
            Pair::P384(_) => sequence(&[&oid("1.2.840.10045.4.3.3")]),
            Pair::Rsa(_) => sequence(&[&oid("1.2.840.113549.1.1.11"), &tlv(tag::NULL, &[])]),
        }
    }

    /// A signature over `message`.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// PKCS#8 DER.
    pub fn pkcs8(&self) -> Vec<u8> {
        match &*self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.as_der().unwrap().as_ref().to_vec(),
        }
    }

    /// SEC1 DER of an elliptic-curve key: what `openssl ecparam -genkey` writes.
    pub fn sec1(&self) -> Vec<u8> {
        match &*self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.private_key().as_der().unwrap().as_ref().to_vec()
            }
            Pair::Rsa(_) => Vec::new(),
        }
    }

    /// PKCS#8 PEM.
    pub fn pem(&self) -> String {
        crate::pem("PRIVATE KEY", &self.pkcs8())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.pair {
            Pair::P256(_) => "Key(P-256)",
            Pair::P384(_) => "Key(P-384)",
            Pair::Rsa(_) => "Key(RSA)",
        })
    }
}
