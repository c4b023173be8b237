//! What became of a look at the files that somebody asked for.

use config::Finding;
use std::fmt;

/// What became of a look at the configuration and its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They are what is in force.
    Unchanged,
    /// They are in force, in this generation.
    Taken {
        /// Its number.
        generation: u64,
    },
    /// They are read whole, and wait for their first identity.
    Waiting,
    /// They were refused whole, for all of this, and what was in force stays.
    Refused(Vec<Finding>),
    /// The sidecar is ending: nothing is taken any more.
    Ending,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => f.write_str("nothing differs from what is in force"),
            Self::Taken { generation } => write!(f, "in force in generation {generation}"),
            Self::Waiting => f.write_str("read, and waiting for its first identity"),
            Self::Refused(findings) => write!(
                f,
                "refused with {} findings; what is in force stays",
                findings.len()
            ),
            Self::Ending => f.write_str("ending: nothing is taken any more"),
        }
    }
}
