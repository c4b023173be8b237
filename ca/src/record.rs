//! What is kept of every certificate, for ever, and who may succeed whom.
//!
//! In: the facts of a certificate that is about to leave. Out: an [`Entry`] with its canonical bytes, the hashes over them, and
//! the decision [`succeed`]. Pure. Not here: where entries are kept, and the certificate itself, which nobody needs again.
//!
//! 1. An entry is at most [`ENTRY_BYTES_MAX`] bytes, and its encoding names its version: what is hashed never changes.
//! 2. The hash of an entry is RFC 6962 §2.1's of a leaf, so that a Merkle tree over the record can be computed at any time.
//! 3. A certificate has one successor. Those that were issued for one key on one ground are one *generation*: a lost answer
//!    makes twins, and a twin must not be a second way to a successor.

use crate::authority::Authority;
use crate::authorize::Grant;
use crate::check::Checked;
use crate::csr::Csr;
use crate::key::PublicKey;
use crate::template::{Serial, Validity};
use crate::text;
use aws_lc_rs::digest::{Context, SHA256, digest};
use config::SpiffeId;
use std::fmt;

/// The longest canonical encoding of an entry.
pub const ENTRY_BYTES_MAX: usize = 256;
/// The longest name of an instance.
pub const INSTANCE_BYTES_MAX: usize = 128;

const VERSION: u8 = 1;

/// SHA-256 of a public key's SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a key.
    pub fn of(key: &PublicKey) -> Self {
        KeyHash(sha256(key.spki()))
    }

    /// Reads one back.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        KeyHash(bytes)
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0))
    }
}
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// What a workload calls the instance that it runs as: text to read, never to decide by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance(String);

/// Why a name of an instance is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceRefused {
    /// Too long.
    Length {
        /// In bytes.
        bytes: usize,
    },
    /// It has a control character, which would play with the terminal of whoever lists it.
    Control,
}

impl InstanceRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "instance_malformed"
    }
}
impl fmt::Display for InstanceRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstanceRefused::Length { bytes } => write!(
                f,
                "instance refused: its name has {bytes} bytes; use at most {INSTANCE_BYTES_MAX}"
            ),
            InstanceRefused::Control => f.write_str(
                "instance refused: its name has a control character; use printable text",
            ),
        }
    }
}
impl std::error::Error for InstanceRefused {}

impl Instance {
    /// Takes a name; an empty one says that there is none.
    pub fn parse(name: &str) -> Result<Self, InstanceRefused> {
        if name.len() > INSTANCE_BYTES_MAX {
            return Err(InstanceRefused::Length { bytes: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Err(InstanceRefused::Control);
        }
        Ok(Instance(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The facts of a certificate that is about to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its serial.
    pub serial: Serial,
    /// Whom it names.
    pub id: SpiffeId,
    /// Its key.
    pub key: KeyHash,
    /// The key identifier of the issuer that signed it.
    pub issuer: [u8; 20],
    /// From when until when.
    pub validity: Validity,
    /// When it was issued: a second since 1970. Not `not_before`, which is earlier.
    pub issued_at_s: u64,
    /// Which instance of the workload asked.
    pub instance: Instance,
}

impl Leaf {
    /// Of what an authority just made of a grant and a request, at this second; of an instance without a name.
    pub(crate) fn made(
        checked: &Checked,
        by: &Authority,
        grant: &Grant,
        csr: &Csr,
        now_s: u64,
    ) -> Self {
        Leaf {
            serial: checked.serial(),
            id: grant.id().clone(),
            key: KeyHash::of(csr.key()),
            issuer: by.issuer().certificate().key().id(),
            validity: checked.validity(),
            issued_at_s: now_s,
            instance: Instance::default(),
        }
    }
}

/// On what ground a certificate was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A join token was shown.
    JoinToken,
    /// The holder of this certificate asked for its successor, over mTLS.
    Renewal {
        /// Whose successor.
        parent: Serial,
    },
    /// The same by proof of the key, after the certificate's end.
    Grace {
        /// Whose successor.
        parent: Serial,
    },
    /// An operator wanted it so, over the admin socket or in the CA's folder.
    Operator {
        /// Which user of the CA's machine that was, by the kernel's word.
        uid: u32,
    },
}

impl Ground {
    /// Whose successor it is, unless a lineage begins.
    pub fn parent(self) -> Option<Serial> {
        match self {
            Ground::JoinToken | Ground::Operator { .. } => None,
            Ground::Renewal { parent } | Ground::Grace { parent } => Some(parent),
        }
    }

    /// A label that never changes.
    pub fn label(self) -> &'static str {
        match self {
            Ground::JoinToken => "join_token",
            Ground::Renewal { .. } => "renewal",
            Ground::Grace { .. } => "grace",
            Ground::Operator { .. } => "operator",
        }
    }

    fn code(self) -> u8 {
        match self {
            Ground::JoinToken => 1,
            Ground::Renewal { .. } => 2,
            Ground::Grace { .. } => 3,
            Ground::Operator { .. } => 4,
        }
    }
}

/// One entry of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, counted from 0 without gaps.
    pub index: u64,
    /// On what ground.
    pub ground: Ground,
    /// The certificate's serial.
    pub serial: Serial,
    /// SHA-256 of the SPIFFE ID, which may be longer than an entry.
    pub id: [u8; 32],
    /// The certificate's key.
    pub key: KeyHash,
    /// The key identifier of its issuer.
    pub issuer: [u8; 20],
    /// When it was issued: a second since 1970.
    pub issued_at_s: u64,
    /// From when until when.
    pub validity: Validity,
    /// SHA-256 of the instance's name.
    pub instance: [u8; 32],
    /// SHA-256 of what was shown: the token, the certificate or proof that was renewed by, or an operator's signing request.
    pub evidence: [u8; 32],
}

impl Entry {
    /// Of a certificate, at a place, on a ground.
    pub fn of(leaf: &Leaf, index: u64, ground: Ground, evidence: [u8; 32]) -> Self {
        Entry {
            index,
            ground,
            serial: leaf.serial,
            id: sha256(leaf.id.as_str().as_bytes()),
            key: leaf.key,
            issuer: leaf.issuer,
            issued_at_s: leaf.issued_at_s,
            validity: leaf.validity,
            instance: sha256(leaf.instance.as_str().as_bytes()),
            evidence,
        }
    }

    /// The canonical bytes, version 1: all integers big-endian, in the order of the fields, then what the ground has of its
    /// own: the parent of a renewal, the uid of an operator. 202 bytes, 222 with a parent, 206 with an operator.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_BYTES_MAX);
        bytes.extend([VERSION, self.ground.code()]);
        bytes.extend(self.index.to_be_bytes());
        bytes.extend(self.serial.octets());
        bytes.extend(self.id);
        bytes.extend(self.key.bytes());
        bytes.extend(self.issuer);
        bytes.extend(self.issued_at_s.to_be_bytes());
        bytes.extend(self.validity.not_before_s.to_be_bytes());
        bytes.extend(self.validity.not_after_s.to_be_bytes());
        bytes.extend(self.instance);
        bytes.extend(self.evidence);
        match self.ground {
            Ground::JoinToken => {}
            Ground::Renewal { parent } | Ground::Grace { parent } => bytes.extend(parent.octets()),
            Ground::Operator { uid } => bytes.extend(uid.to_be_bytes()),
        }
        bytes
    }

    /// Reads the canonical bytes back; `None` if they are no entry of version 1, whole and with nothing behind.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let [version, code] = take(input)?;
        let entry = |input: &mut &[u8]| {
            Some(Entry {
                index: u64::from_be_bytes(take(input)?),
                ground: Ground::JoinToken,
                serial: Serial::from_octets(&take::<20>(input)?)?,
                id: take(input)?,
                key: KeyHash(take(input)?),
                issuer: take(input)?,
                issued_at_s: u64::from_be_bytes(take(input)?),
                validity: Validity {
                    not_before_s: u64::from_be_bytes(take(input)?),
                    not_after_s: u64::from_be_bytes(take(input)?),
                },
                instance: take(input)?,
                evidence: take(input)?,
            })
        };
        if version != VERSION {
            return None;
        }
        let mut entry = entry(input)?;
        let parent = |input: &mut &[u8]| Serial::from_octets(&take::<20>(input)?);
        entry.ground = match code {
            1 => Ground::JoinToken,
            2 => Ground::Renewal {
                parent: parent(input)?,
            },
            3 => Ground::Grace {
                parent: parent(input)?,
            },
            4 => Ground::Operator {
                uid: u32::from_be_bytes(take(input)?),
            },
            _ => return None,
        };
        bytes.is_empty().then_some(entry)
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*taken)
}

/// RFC 6962 §2.1: the hash of a leaf of the tree.
pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    hashed(&[&[0], entry])
}

/// The hash over the whole record up to an entry, from the one before and the entry's own; 32 zeros before the first. The
/// prefix keeps it apart from leaves (0) and nodes (1) of the tree.
pub fn running_hash(before: &[u8; 32], leaf_hash: &[u8; 32]) -> [u8; 32] {
    hashed(&[&[2], before, leaf_hash])
}

fn hashed(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// SHA-256, as what was shown goes into the record.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// What is known of a certificate whose successor is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent<G> {
    pub(crate) serial: Serial,
    pub(crate) id: SpiffeId,
    pub(crate) key: KeyHash,
    /// The successor of its generation, and a serial of it.
    pub(crate) successor: Option<(G, KeyHash, Serial)>,
}

/// A succession that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Succession<G> {
    /// A new generation.
    First,
    /// Another certificate for the successor that there is: its answer was lost.
    Again(G),
}

/// Why a certificate has no such successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineageRefused {
    /// No certificate of this serial was recorded.
    Unknown {
        /// Which serial.
        parent: Serial,
    },
    /// It names another identity.
    Identity {
        /// Which one.
        parent: SpiffeId,
    },
    /// The new key is the old one.
    KeyNotNew,
    /// Another key succeeded it already: two hold the key of one certificate.
    SecondSuccessor {
        /// Whose successor was asked for.
        parent: Serial,
        /// Who succeeded it.
        successor: Serial,
    },
}

impl LineageRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            LineageRefused::Unknown { .. } => "parent_unknown",
            LineageRefused::Identity { .. } => "parent_identity",
            LineageRefused::KeyNotNew => "key_not_new",
            LineageRefused::SecondSuccessor { .. } => "second_successor",
        }
    }
}
impl fmt::Display for LineageRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("renewal refused: ")?;
        match self {
            LineageRefused::Unknown { parent } => write!(
                f,
                "the ca has no record of certificate {parent}; join again with a token"
            ),
            LineageRefused::Identity { parent } => write!(
                f,
                "the certificate names {parent}; ask for the same identity, or join with a token"
            ),
            LineageRefused::KeyNotNew => {
                f.write_str("it asks for the key of the certificate that it renews; make a new key")
            }
            LineageRefused::SecondSuccessor { parent, successor } => write!(
                f,
                "certificate {parent} was renewed with another key already (as {successor}), so two hold its key; \
                 find out which one is yours, revoke, and join again with a token"
            ),
        }
    }
}
impl std::error::Error for LineageRefused {}

/// Whether a certificate may have this successor.
pub(crate) fn succeed<G>(
    parent: Parent<G>,
    id: &SpiffeId,
    key: &KeyHash,
) -> Result<Succession<G>, LineageRefused> {
    if parent.id != *id {
        return Err(LineageRefused::Identity { parent: parent.id });
    }
    if parent.key == *key {
        return Err(LineageRefused::KeyNotNew);
    }
    match parent.successor {
        None => Ok(Succession::First),
        Some((generation, of, _)) if of == *key => Ok(Succession::Again(generation)),
        Some((_, _, successor)) => Err(LineageRefused::SecondSuccessor {
            parent: parent.serial,
            successor,
        }),
    }
}

#[cfg(test)]
mod tests;
