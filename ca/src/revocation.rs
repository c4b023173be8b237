//! What is no longer believed before its end.
//!
//! Values only. Who may set a mark is not decided here, and none is ever taken away.
//!
//! 1. Marks are counted by an epoch from 1 without gaps: who knows an epoch knows which marks it lacks.
//! 2. A mark on a key or an identity is about every certificate of it, also of those to come.

use crate::record::KeyHash;
use crate::template::Serial;
use config::SpiffeId;
use std::fmt;

/// What a mark is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// One certificate.
    Serial(Serial),
    /// Every certificate of a key.
    Key(KeyHash),
    /// Every certificate of an identity.
    Id(SpiffeId),
}

impl Revoked {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "revoked"
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is issued: ")?;
        match self {
            Revoked::Serial(serial) => write!(f, "certificate {serial} is revoked; ")?,
            Revoked::Key(key) => write!(f, "the key with hash {key} is revoked; ")?,
            Revoked::Id(id) => {
                return write!(f, "{id} is revoked; ask the operator of the CA");
            }
        }
        f.write_str("make a new key and join with a token")
    }
}
impl std::error::Error for Revoked {}

/// A mark as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place among all marks, counted from 1.
    pub epoch: u64,
    /// What it is about.
    pub what: Revoked,
    /// When it was set: a second since 1970.
    pub at_s: u64,
}
