//! Who vouches: a signing request becomes a certificate that was checked before anybody gets it.
//!
//! In: an identity and a public key whose holder proved to have the private half. Out: an X509-SVID. Not here: policy
//! between workloads.
//!
//! The path of every certificate, one file a stage, each type made only by the stage before:
//!
//! ```text
//! bytes -csr-> Csr -authorize-> Grant -template-> Template -sign-> Signed -check-> Checked -store-> Recorded
//! ```
//!
//! Online the same path begins with a call and ends in the record:
//!
//! ```text
//! Connection -attest-> Attested … Checked -record-> Recorded -> reply
//! ```
//!
//! 1. Nothing of a requester's stands in a certificate but the key.
//! 2. Time and randomness come into the stages as arguments; [`Authority`] draws the randomness, its caller reads the clock.
//! 3. A key is written to disk only with mode 0600, and an authority only whole.

mod der;
mod text;

mod key;

mod csr;

mod authorize;

mod template;

mod signer;

mod sign;

mod check;

mod authority;

mod disk;

mod stated;

mod dir_error;

mod dir;

mod deliver;

mod token;

mod record;

mod revocation;

pub mod store;

mod clock;

mod shown;

mod proof;

mod refusal;

mod vouch;

mod spiffe_bundle;

mod turns;

mod budget;

mod answer;

mod lines;

mod call;

mod attest;

mod enforced;

mod window;

mod server_error;

mod first_statement;

mod in_force;

mod authority_server;

mod issuance;

mod status;

mod watch;

mod grpc;

mod in_turn;

mod doors;

mod serve;

pub mod admin;

#[cfg(test)]
mod fixture;

mod upkeep;

mod start_error;

mod running;

pub use authority::{Algorithm, Authority, IssueError, Issued, Root};
pub use authority_server::{AuthorityServer, Grants, Upkeep};
pub use authorize::{Grant, NotGranted, TTL_DEFAULT, TTL_MAX, TTL_MIN};
pub use check::{CheckFailed, Checked, check_authority, check_leaf};
pub use clock::Clock;
pub use config::unit::Rate;
pub use csr::{CSR_BYTES_MAX, Csr, CsrRefused};
pub use deliver::Delivery;
pub use dir::{Dir, Renewal};
pub use dir_error::DirError;
pub use disk::DiskError;
pub use enforced::Watching;
pub use in_force::Ends;
pub use key::{KeyRefused, KeyType, PublicKey, RSA_BITS_MAX, RSA_BITS_MIN};
pub use proof::ProofRefused;
pub use record::{
    ENTRY_BYTES_MAX, Entry, Ground, INSTANCE_BYTES_MAX, Instance, InstanceRefused, KeyHash, Leaf,
    LineageRefused, leaf_hash, running_hash,
};
pub use refusal::{Fault, Refusal};
pub use revocation::{Mark, Revoked};
pub use running::{Running, start};
pub use serve::{Limits, serve};
pub use server_error::ServerError;
pub use sign::{By, SignFailed, Signed, sign};
pub use signer::{AuthorityCertificate, Signer, SignerUnfit};
pub use spiffe_bundle::{REFRESH_HINT_S, spiffe_bundle};
pub use start_error::StartError;
pub use stated::NotStated;
pub use template::{
    BACKDATED_S, ISSUER_LIFE_S, NotNow, Profile, ROOT_LIFE_S, Serial, Template, Validity, short_id,
};
pub use text::date;
pub use token::{
    NoRandomness, TOKEN_PREFIX, TOKEN_TTL_DEFAULT, TOKEN_TTL_MAX, TOKEN_USES_MAX, Terms,
    TermsRefused, Token, TokenHash, TokenMalformed, TokenRefused,
};
pub use vouch::{Vouched, Wanted, vouch};
