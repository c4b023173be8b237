//! The grammar of names and of the patterns over them.
//!
//! In: text that a person or a certificate wrote. Out: a valid name, or a [`NameError`] that says which character at
//! which offset is wrong and what to write instead. Nothing is repaired in silence.
//!
//! 1. A value of these types keeps to its grammar.  2. Matching never allocates.

mod trust_domain;
mod spiffe_id;
mod pattern;
mod path;
mod host;

pub use host::HostPattern;
pub use path::PathPattern;
pub use pattern::{IdPattern, Segment, SegmentPattern};
pub use spiffe_id::{PLAINTEXT, SpiffeId};
pub use trust_domain::TrustDomain;

/// Why a name is not one: what was wrong and, where it is one character, its byte offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// One lower-case sentence for the person who wrote the name, such as "`A` at 10 is not allowed in a trust domain".
    pub why: String,
}

impl NameError {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }

    /// About the character of `text` that begins at byte `offset`; `what` continues the sentence.
    fn at(text: &str, offset: usize, what: &str) -> Self {
        match text.get(offset..).and_then(|rest| rest.chars().next()) {
            Some(found) => Self::new(format!("`{}` at {offset} {what}", found.escape_debug())),
            None => Self::new(format!("the end at {offset} {what}")),
        }
    }
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}
impl std::error::Error for NameError {}
