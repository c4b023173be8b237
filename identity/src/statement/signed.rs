//! A statement with the signatures that make others believe it.
//!
//! As one piece, for the disk: 4 octets of length and the statement's encoding, 1 octet of number, and for each signature the
//! key identifier, 2 octets of length and the signature; all big-endian.

use super::body::Rest;
use super::{STATEMENT_BYTES_MAX, Statement, StatementRefused};
use crate::certificate::{Certificate, hex, sha256};
use crate::{Key, KeyAlgorithm, KeyError, ROOTS_MAX};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, VerificationAlgorithm,
};
use std::collections::BTreeMap;
use x509_parser::oid_registry as oid;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Octets of a [`RootKeyId`].
pub const ROOT_KEY_ID_BYTES: usize = 32;

/// Which root signed: SHA-256 of its SubjectPublicKeyInfo.
pub type RootKeyId = [u8; ROOT_KEY_ID_BYTES];

/// Signatures at most: every root of a full bundle is replaced by another.
const SIGNATURES_MAX: usize = 2 * ROOTS_MAX;

/// Octets of one signature at most: ECDSA on P-384 has 104 in DER.
const SIGNATURE_BYTES_MAX: usize = 128;

/// A root's signature over the encoding of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose.
    pub root_key_id: RootKeyId,
    /// ECDSA in DER; SHA-256 with P-256, SHA-384 with P-384.
    pub signature: Vec<u8>,
}

/// A statement and its signatures, read but not yet believed.
#[derive(Clone, Debug)]
pub struct SignedStatement {
    statement: Statement,
    body: Vec<u8>,
    signatures: Vec<Signature>,
}

impl PartialEq for SignedStatement {
    fn eq(&self, other: &Self) -> bool {
        (&self.body, &self.signatures) == (&other.body, &other.signatures)
    }
}
impl Eq for SignedStatement {}

impl SignedStatement {
    /// Signs a statement with the keys of roots: one of the statement before, and every one that is added.
    pub fn sign(statement: Statement, keys: &[&Key]) -> Result<Self, KeyError> {
        let body = statement.encode();
        let signatures = keys
            .iter()
            .map(|key| match key.kind() {
                KeyAlgorithm::P256 | KeyAlgorithm::P384 => Ok(Signature {
                    root_key_id: sha256(&key.spki()),
                    signature: key.sign_message(&body)?,
                }),
                _ => Err(KeyError::Unsupported),
            })
            .collect::<Result<_, _>>()?;
        Ok(SignedStatement {
            statement,
            body,
            signatures,
        })
    }

    /// Reads what came over the wire.
    pub fn from_parts(body: Vec<u8>, signatures: Vec<Signature>) -> Result<Self, StatementRefused> {
        let statement = Statement::decode(&body)?;
        let too_long = |given: &Signature| given.signature.len() > SIGNATURE_BYTES_MAX;
        if signatures.len() > SIGNATURES_MAX || signatures.iter().any(too_long) {
            return Err(StatementRefused::Signatures);
        }
        Ok(SignedStatement {
            statement,
            body,
            signatures,
        })
    }

    /// What is stated.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The encoding of what is stated.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Who signed.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// As one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Lengths fit: they are bounded where statements are made and read.
        let mut bytes = u32::try_from(self.body.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes()
            .to_vec();
        bytes.extend_from_slice(&self.body);
        bytes.push(u8::try_from(self.signatures.len()).unwrap_or(u8::MAX));
        for given in &self.signatures {
            let length = u16::try_from(given.signature.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&given.root_key_id);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&given.signature);
        }
        bytes
    }

    /// Reads one piece.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementRefused> {
        let (body, signatures) = pieces(bytes).ok_or(StatementRefused::Encoding)?;
        Self::from_parts(body, signatures)
    }

    /// Whether this may be believed by who holds roots with these certificates: invariant 1.
    pub(super) fn believed_with<'a>(
        &self,
        held: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), StatementRefused> {
        let held = root_keys(held)?;
        let own = root_keys(self.statement.bundle().roots().iter().map(AsRef::as_ref))?;
        let mut signed: Vec<RootKeyId> = Vec::with_capacity(self.signatures.len());
        for given in &self.signatures {
            if signed.contains(&given.root_key_id) {
                return Err(StatementRefused::Signatures);
            }
            // A root that we know nothing of, such as one of a statement that we slept through, says nothing to us.
            if let Some(root) = held
                .get(&given.root_key_id)
                .or_else(|| own.get(&given.root_key_id))
            {
                root.verify(&self.body, given)?;
                signed.push(given.root_key_id);
            }
        }
        if !held.keys().any(|id| signed.contains(id)) {
            let sequence = self.statement.sequence();
            return Err(StatementRefused::NotByHeld { sequence });
        }
        let added = own
            .keys()
            .find(|id| !held.contains_key(*id) && !signed.contains(id));
        match added {
            Some(id) => Err(StatementRefused::NotByAdded {
                root_key_id: hex(id),
            }),
            None => Ok(()),
        }
    }
}

fn pieces(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Signature>)> {
    let mut rest = Rest(bytes);
    let length = usize::try_from(u32::from_be_bytes(rest.array()?)).ok()?;
    let body = rest.take(length.min(STATEMENT_BYTES_MAX + 1))?.to_vec();
    let count = rest.octet()?;
    let mut signatures = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let root_key_id = rest.array()?;
        let length = usize::from(u16::from_be_bytes(rest.array()?));
        let signature = rest.take(length)?.to_vec();
        signatures.push(Signature {
            root_key_id,
            signature,
        });
    }
    rest.0.is_empty().then_some((body, signatures))
}

struct RootKey(ParsedPublicKey);

impl RootKey {
    fn read(spki: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
        let algorithm: &'static dyn VerificationAlgorithm = match curve {
            curve if curve == oid::OID_EC_P256 => &ECDSA_P256_SHA256_ASN1,
            curve if curve == oid::OID_NIST_EC_P384 => &ECDSA_P384_SHA384_ASN1,
            _ => return None,
        };
        let point = spki.subject_public_key.data.as_ref();
        aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, point)
            .parse()
            .ok()
            .map(RootKey)
    }

    fn verify(&self, body: &[u8], given: &Signature) -> Result<(), StatementRefused> {
        self.0
            .verify_sig(body, &given.signature)
            .map_err(|_| StatementRefused::BadSignature {
                root_key_id: hex(&given.root_key_id),
            })
    }
}

fn root_keys<'a>(
    roots: impl IntoIterator<Item = &'a [u8]>,
) -> Result<BTreeMap<RootKeyId, RootKey>, StatementRefused> {
    roots
        .into_iter()
        .map(|root| {
            let read = Certificate::read(root).map_err(|_| StatementRefused::Encoding)?;
            let spki = read.x509.public_key();
            let key = RootKey::read(spki).ok_or(StatementRefused::RootKey)?;
            Ok((sha256(spki.raw), key))
        })
        .collect()
}
