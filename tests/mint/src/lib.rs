//! Certificates as data for tests, with every mistake that a real CA would not make.
//!
//! In: a [`Draft`] whose every field can be wrong, and a key. Out: DER, PEM, files. Nothing is checked, on purpose; the
//! defaults of [`Authority`] are right, so that a test changes the one thing that it is about:
//!
//! ```
//! use countersign_mint::{Authority, San};
//!
//! let root = Authority::root("shop.example");
//! let issuer = root.issuer();
//! let good = issuer.leaf("spiffe://shop.example/orders");
//! let two_names = issuer.leaf_with("spiffe://shop.example/orders", |draft| {
//!     draft.san.get_or_insert_default().push(San::uri("spiffe://shop.example/ledger"));
//! });
//! assert_eq!(good.chain.len(), 2);
//! assert_ne!(good.chain[0], two_names.chain[0]);
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it is only ever part of tests, where a panic is the report"
)]

pub mod der;
pub mod extension;

mod pem;

mod key;

mod draft;

mod files;

mod authority;
mod csr;

pub use authority::Authority;
pub use csr::CsrDraft;
pub use draft::{Draft, now_s};
pub use extension::{Basic, Extension, San, Usage};
pub use files::Svid;
pub use key::Key;
pub use pem::pem;
