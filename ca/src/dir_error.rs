//! Why an authority's folder could not be made or used.

use crate::authority::IssueError;
use crate::disk::DiskError;
use crate::signer::SignerUnfit;
use crate::stated::NotStated;
use identity::{KeyError, StatementRefused};
use std::fmt;
use std::path::PathBuf;

/// The format of folders that this version writes and reads.
pub(crate) const FORMAT: &str = "1";

/// Why a folder could not be made or used.
#[derive(Debug)]
pub enum DirError {
    /// Something is already there.
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// The place is a mount point, which nothing can be moved onto.
    MountPoint {
        /// Where.
        path: PathBuf,
    },
    /// No authority lives there.
    NoAuthority {
        /// Where.
        path: PathBuf,
    },
    /// A newer version of this program made it.
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A key can be read by others than its owner.
    Readable {
        /// The key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file could not be read or written.
    Disk(DiskError),
    /// A file is not a PEM of what it should be.
    Pem {
        /// Which file.
        path: PathBuf,
    },
    /// A key file holds none that we can use.
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A certificate is not what it should be.
    Unfit {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SignerUnfit,
    },
    /// The first statement cannot be read.
    Statement {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: StatementRefused,
    },
    /// The first statement could not be made.
    NotStated(NotStated),
    /// The next issuer could not be made.
    Issue(IssueError),
}

impl DirError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            DirError::Occupied { .. } => "dir_occupied",
            DirError::MountPoint { .. } => "dir_mount_point",
            DirError::NoAuthority { .. } => "dir_no_authority",
            DirError::Format { .. } => "dir_format",
            DirError::Readable { .. } => "dir_key_readable",
            DirError::Disk(_) => "dir_disk",
            DirError::Pem { .. } => "dir_pem",
            DirError::Key { .. } => "dir_key",
            DirError::Unfit { source, .. } => source.reason(),
            DirError::Statement { source, .. } => source.reason(),
            DirError::NotStated(error) => error.reason(),
            DirError::Issue(source) => source.reason(),
        }
    }
}

impl fmt::Display for DirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirError::Occupied { path } => {
                write!(
                    f,
                    "{} is not touched: something is there already; name a new folder",
                    path.display()
                )
            }
            DirError::MountPoint { path } => {
                let path = path.display();
                write!(
                    f,
                    "{path} cannot be used: it is a mount point, which nothing can be moved onto; \
                     name a folder below it, such as {path}/ca"
                )
            }
            DirError::NoAuthority { path } => {
                let path = path.display();
                write!(
                    f,
                    "{path} is no CA: it has no file `format`; \
                     make one with `countersign ca init --trust-domain TD --dir {path}`"
                )
            }
            DirError::Format { path, found } => {
                let path = path.display();
                write!(
                    f,
                    "{path} says {found:?}: this version knows {FORMAT:?}; \
                     use the version that wrote it, or a newer one"
                )
            }
            DirError::Readable { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "{path} is not used: its mode {mode:04o} lets others read it; \
                     run `chmod 600 {path}`, and think about who may have a copy"
                )
            }
            DirError::Disk(error) => error.fmt(f),
            DirError::Pem { path } => {
                write!(
                    f,
                    "{} is not read: it does not hold exactly one PEM of its kind; restore it from a backup",
                    path.display()
                )
            }
            DirError::Key { path, source } => write!(f, "{}: {source}", path.display()),
            DirError::Unfit { path, source } => write!(f, "{}: {source}", path.display()),
            DirError::Statement { path, source } => {
                write!(f, "{}: {source}; restore it from a backup", path.display())
            }
            DirError::NotStated(error) => error.fmt(f),
            DirError::Issue(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DirError::Disk(error) => error.source(),
            DirError::Key { source, .. } => Some(source),
            DirError::Unfit { source, .. } => Some(source),
            DirError::Statement { source, .. } => Some(source),
            DirError::NotStated(error) => error.source(),
            DirError::Issue(error) => error.source(),
            _ => None,
        }
    }
}
impl From<DiskError> for DirError {
    fn from(error: DiskError) -> Self {
        DirError::Disk(error)
    }
}
impl From<IssueError> for DirError {
    fn from(error: IssueError) -> Self {
        DirError::Issue(error)
    }
}
impl From<NotStated> for DirError {
    fn from(error: NotStated) -> Self {
        DirError::NotStated(error)
    }
}
