//! Who one is: keys, SVIDs, bundles, verification, and TLS configurations per generation.
//!
//! In: PEM files (by [`source::files`]), later the CA and the Workload API. Out: one [`Generation`] at a time, whole, through
//! [`Current`]; and for a peer's chain a [`Peer`], or a [`Refused`] with a reason that never changes.
//!
//! 1. Anchors are chosen by the leaf's own trust domain, never from a merged pool.
//! 2. A generation is taken whole or refused whole; the old one keeps serving.
//! 3. Time comes in as an argument everywhere but in [`source`], in rustls' calls to our verifier and in
//!    [`Generation::judge_client`] and [`Generation::judge_server`], which judge a handshake that has just ended.
//! 4. Secrets have no `Debug` that shows them and are wiped on drop.

mod moment;
pub mod pem;

mod key;

mod csr;

mod written;
mod certificate;
mod facts;
mod issuer;
mod leaf;

mod bundle;
mod svid;

mod statement;

mod renew;

mod state;

mod recent;
mod refused;
mod verify;

mod tls;

mod generation;

pub mod source;

pub use bundle::{Bundle, BundleError, Bundles, DomainTwice, ROOTS_MAX};
pub use certificate::{CERTIFICATE_BYTES_MAX, CHAIN_MAX, Malformed};
pub use csr::{Csr, CsrError};
pub use facts::Facts;
pub use generation::{Alpn, Current, Described, Expiry, Generation, GenerationError};
pub use issuer::IssuerError;
pub use key::{Key, KeyAlgorithm, KeyError};
pub use leaf::{Leaf, LeafError};
pub use moment::rfc3339;
pub use pem::PemError;
pub use refused::Refused;
pub use renew::{APART_MIN, Boot, Due, RETRY_MAX, Retry, SLEEP_MAX, Skew};
/// The types in which certificates and times are handed over.
pub use rustls::pki_types;
pub use state::{Damage, Kept, StateDir, StateError};
pub use statement::{
    CHAIN_STATEMENTS_MAX, FirstContact, ROOT_KEY_ID_BYTES, RootKeyId, STATEMENT_BYTES_MAX,
    Signature, SignedStatement, Statement, StatementRefused, next_sequence, walk,
};
pub use svid::{Svid, SvidError};
pub use tls::{OUTSIDE_ROOTS_MAX, Outside, OutsideError};
pub use tls::{group_name, handshake_reason, is_disbelieved, refusal};
pub use verify::{Peer, Role, Verifier};

#[cfg(test)]
mod reference;
