//! Why a state directory cannot be used.

use crate::{KeyError, StatementRefused, SvidError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a state directory cannot be used, or a generation not be kept.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The system did not let us.
    Disk {
        /// Such as `written`.
        done: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Another process has it.
    Owned {
        /// Which folder.
        path: PathBuf,
    },
    /// Another user made it.
    Owner {
        /// What.
        path: PathBuf,
        /// Its user's number.
        owner: u32,
        /// Ours.
        ours: u32,
    },
    /// Others may read or write it.
    Mode {
        /// What.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// Not of our making.
    Foreign {
        /// What.
        path: PathBuf,
    },
    /// A newer version of this program made it.
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A file is not what was written.
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: Damage,
    },
}

/// What is wrong with a file of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It is no key.
    Key(KeyError),
    /// It is no SVID of the key beside it.
    Svid(SvidError),
    /// It is no statement.
    Statement(StatementRefused),
    /// It is no time.
    Issued,
}

impl StateError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            StateError::Disk { .. } => "state_disk",
            StateError::Owned { .. } => "state_owned",
            StateError::Owner { .. } => "state_owner",
            StateError::Mode { .. } => "state_mode",
            StateError::Foreign { .. } => "state_foreign",
            StateError::Format { .. } => "state_format",
            StateError::Damaged { .. } => "state_damaged",
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Disk { done, path, why } => {
                write!(f, "{} is not {done}: {why}; {}", path.display(), todo(why))
            }
            StateError::Owned { path } => write!(
                f,
                "{} is not used: another process has it; end that one, or give each an identity.stateDir of its own",
                path.display()
            ),
            StateError::Owner { path, owner, ours } => write!(
                f,
                "{} is not used: it belongs to user {owner}, and this is user {ours}; run as its owner, or name a new identity.stateDir",
                path.display()
            ),
            StateError::Mode { path, mode, wanted } => {
                let path = path.display();
                write!(
                    f,
                    "{path} is not used: its mode {mode:04o} lets others at it; run `chmod {wanted:o} {path}`, \
                     and think about who may have a copy of the key"
                )
            }
            StateError::Foreign { path } => write!(
                f,
                "{} is not used: it is not of our making; name a new identity.stateDir",
                path.display()
            ),
            StateError::Format { path, found } => write!(
                f,
                "{} says {found:?}: this version knows {:?}; use the version that wrote it, or a newer one",
                path.display(),
                super::FORMAT
            ),
            StateError::Damaged { path, why } => {
                write!(f, "{} is not read: ", path.display())?;
                match why {
                    Damage::Key(why) => write!(f, "{why}")?,
                    Damage::Svid(why) => write!(f, "{why}")?,
                    Damage::Statement(why) => write!(f, "{why}")?,
                    Damage::Issued => f.write_str("it is no number of milliseconds")?,
                }
                f.write_str(
                    "; to begin anew, name an empty identity.stateDir and give a new join token",
                )
            }
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StateError::Disk { why, .. } => Some(why),
            StateError::Damaged { why, .. } => match why {
                Damage::Key(why) => Some(why),
                Damage::Svid(why) => Some(why),
                Damage::Statement(why) => Some(why),
                Damage::Issued => None,
            },
            _ => None,
        }
    }
}

fn todo(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::NotFound => "make the folder above it, or name another",
        io::ErrorKind::NotADirectory => "name a folder",
        io::ErrorKind::PermissionDenied => "run as its owner, or name another",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room",
        io::ErrorKind::ReadOnlyFilesystem => "name a place that can be written",
        _ => "look at this path",
    }
}

/// Names the path and the deed in an error of the system.
pub(super) fn on<T>(
    done: &'static str,
    path: &Path,
    result: io::Result<T>,
) -> Result<T, StateError> {
    result.map_err(|why| StateError::Disk {
        done,
        path: path.to_owned(),
        why,
    })
}
