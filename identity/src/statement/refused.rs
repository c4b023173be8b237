//! Why a statement is not believed.

use crate::BundleError;
use std::fmt;

/// Why a statement, or a chain of them, is not believed. What was believed before stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementRefused {
    /// More bytes than a statement may have.
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// More statements than a chain may have.
    TooMany {
        /// How many.
        statements: usize,
    },
    /// A later version of the encoding, or no statement at all.
    Version,
    /// Not the one encoding of any statement.
    Encoding,
    /// Its roots are no bundle.
    Roots(BundleError),
    /// It is for another trust domain.
    OtherDomain {
        /// The one that it names.
        found: String,
        /// The one that is ours.
        wanted: String,
    },
    /// It is older than what is held, or the chain is not in order.
    Backward {
        /// Its sequence.
        found: u64,
        /// The one held.
        held: u64,
    },
    /// It has the sequence of what is held and says something else.
    Forked {
        /// The sequence of both.
        sequence: u64,
    },
    /// One root's signature is there twice, or there are more of them than roots.
    Signatures,
    /// A root's signature does not fit what is said.
    BadSignature {
        /// The root's key, in hex.
        root_key_id: String,
    },
    /// No root of the statement before signed it.
    NotByHeld {
        /// Its sequence.
        sequence: u64,
    },
    /// A root that it adds did not sign it.
    NotByAdded {
        /// The root's key, in hex.
        root_key_id: String,
    },
    /// A root has a key of a kind that signs no statements.
    RootKey,
    /// Nothing in the chain names all that is trusted at first contact.
    NoneIncludesTrusted,
    /// The chain has no statement in it.
    EmptyChain,
}

impl StatementRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            StatementRefused::TooLarge { .. } => "statement_too_large",
            StatementRefused::TooMany { .. } => "statement_chain_too_long",
            StatementRefused::Version => "statement_version",
            StatementRefused::Encoding => "statement_encoding",
            StatementRefused::Roots(_) => "statement_roots",
            StatementRefused::OtherDomain { .. } => "statement_of_other_domain",
            StatementRefused::Backward { .. } => "statement_backward",
            StatementRefused::Forked { .. } => "statement_forked",
            StatementRefused::Signatures => "statement_signatures",
            StatementRefused::BadSignature { .. } => "statement_bad_signature",
            StatementRefused::NotByHeld { .. } => "statement_not_by_held_root",
            StatementRefused::NotByAdded { .. } => "statement_not_by_added_root",
            StatementRefused::RootKey => "statement_root_key",
            StatementRefused::NoneIncludesTrusted => "statement_without_trusted_roots",
            StatementRefused::EmptyChain => "statement_chain_empty",
        }
    }
}

impl fmt::Display for StatementRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement of roots is not believed: ")?;
        match self {
            StatementRefused::TooLarge { bytes } => write!(
                f,
                "it has {bytes} bytes, at most {} are read",
                super::STATEMENT_BYTES_MAX
            ),
            StatementRefused::TooMany { statements } => write!(
                f,
                "{statements} of them came at once, at most {} are read",
                super::CHAIN_STATEMENTS_MAX
            ),
            StatementRefused::Version => f.write_str(
                "it is in no encoding known to this version; use a version as new as the CA's",
            ),
            StatementRefused::Encoding => f.write_str("it is damaged; ask the CA again"),
            StatementRefused::Roots(why) => write!(f, "{why}"),
            StatementRefused::OtherDomain { found, wanted } => write!(
                f,
                "it is for `{found}`, not for `{wanted}`; check identity.trustDomain and the CA's address"
            ),
            StatementRefused::Backward { found, held } => write!(
                f,
                "its sequence {found} is older than {held}, which is held; \
                 check whether the CA was restored from an old backup"
            ),
            StatementRefused::Forked { sequence } => write!(
                f,
                "two of sequence {sequence} say different things; \
                 check whether two CAs run with one root, and who holds its key"
            ),
            StatementRefused::Signatures => {
                f.write_str("a root's signature is there twice, or there are too many; ask the CA again")
            }
            StatementRefused::BadSignature { root_key_id } => write!(
                f,
                "the signature of root {root_key_id} does not fit it; check the CA's address"
            ),
            StatementRefused::NotByHeld { sequence } => write!(
                f,
                "no root that is trusted now signed statement {sequence}; \
                 check the CA's address, and compare fingerprints with `countersign ca bundle show`"
            ),
            StatementRefused::NotByAdded { root_key_id } => write!(
                f,
                "it adds root {root_key_id}, which did not sign it; check the CA's address"
            ),
            StatementRefused::RootKey => {
                f.write_str("a root's key is of a kind that signs none; use ECDSA P-256 or P-384")
            }
            StatementRefused::NoneIncludesTrusted => f.write_str(
                "none that came names all roots trusted at first contact, signed by them; \
                 check the CA's address, and take bundle or fingerprint anew from `countersign ca bundle show`",
            ),
            StatementRefused::EmptyChain => f.write_str("none came at all; check the CA's address"),
        }
    }
}
impl std::error::Error for StatementRefused {}
