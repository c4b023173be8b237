//! Signed statements of whom a trust domain believes: the only way in which its roots change.
//!
//! In: roots, a sequence and keys of roots; or bytes of a stranger and what is held already. Out: a [`SignedStatement`] that
//! may be believed, or a [`StatementRefused`]. Pure: no clock, no I/O. Not here: how statements travel and where they lie.
//!
//! 1. Statement N+1 is believed if a root of N signed it and every root that it adds did (The Update Framework, §5.3.4). So
//!    who holds an issuer's key, or poses as the CA, changes nothing.
//! 2. Nobody ever goes backward: a sequence grows, and one sequence says one thing.
//! 3. A statement has one encoding; what does not read as exactly that is refused.
//! 4. What vouches for the first statement (a bundle, or a fingerprint) stands as the statement before it: a root that it
//!    names signed, every other root too, and none that it names is missing.

/// Bytes of an encoded statement at most: 64 P-384 roots of 1 KiB fit four times.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024;

/// Statements of a chain at most: one a week for twenty years.
pub const CHAIN_STATEMENTS_MAX: usize = 1024;

mod refused;

mod body;

mod signed;

mod chain;

pub use body::{Statement, next_sequence};
pub use chain::{FirstContact, walk};
pub use refused::StatementRefused;
pub use signed::{ROOT_KEY_ID_BYTES, RootKeyId, Signature, SignedStatement};

#[cfg(test)]
mod tests;
