//! What can be wrong with the place where things are kept, as values.
//!
//! In: what SQLite and the system say. Out: [`Fault`] while the CA runs, [`StoreError`] when it starts.

use crate::disk::DiskError;
use config::TrustDomain;
use rusqlite::ErrorCode;
use std::fmt;
use std::path::PathBuf;

/// Why the store could not do it now. None of these leaves anything half written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As many wait already as may.
    QueueFull {
        /// For what: `joins`, `renewals` or `operators`.
        of: &'static str,
        /// How many wait.
        waiting: usize,
    },
    /// No room on the disk.
    DiskFull,
    /// Another program holds the file.
    Busy,
    /// The disk or its rights failed.
    Disk {
        /// What SQLite says.
        detail: String,
    },
    /// What is there is not what was written.
    Damaged {
        /// What SQLite says.
        detail: String,
    },
    /// The CA is ending.
    Closed,
}

impl Fault {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Fault::QueueFull { .. } => "store_queue_full",
            Fault::DiskFull => "store_disk_full",
            Fault::Busy => "store_busy",
            Fault::Disk { .. } => "store_disk",
            Fault::Damaged { .. } => "store_damaged",
            Fault::Closed => "store_closed",
        }
    }

    /// Whether it is of the surroundings, so that doing the same work in smaller parts would not help.
    pub(crate) fn is_outside(&self) -> bool {
        !matches!(self, Fault::Damaged { .. })
    }
}

impl Fault {
    /// Why, and what to do.
    fn write_why(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::QueueFull { of, waiting } => {
                write!(f, "{waiting} {of} wait for the disk; ask again in a second")
            }
            Fault::DiskFull => {
                f.write_str("the ca's disk is full; make room on it, and it goes on by itself")
            }
            Fault::Busy => f.write_str("another program holds the ca's database; end that program"),
            Fault::Disk { detail } => write!(
                f,
                "the ca's disk failed ({detail}); look at the disk and the rights of its folder"
            ),
            Fault::Damaged { detail } => write!(
                f,
                "the ca's database is not in order ({detail}); check it, or restore a backup"
            ),
            Fault::Closed => f.write_str("the ca is ending; ask again when it is back"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing was recorded: ")?;
        self.write_why(f)
    }
}
impl std::error::Error for Fault {}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let detail = error.to_string();
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Fault::DiskFull,
            // No room for the index of the log that readers share.
            _ if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Fault::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::Busy,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport
                | ErrorCode::OutOfMemory,
            ) => Fault::Disk { detail },
            _ => Fault::Damaged { detail },
        }
    }
}

/// Why there is no store.
#[derive(Debug)]
pub enum StoreError {
    /// Another process serves from this folder.
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// A newer version of this program made it.
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// It is another program's database.
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// It belongs to another trust domain.
    TrustDomain {
        /// The database.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: TrustDomain,
    },
    /// A file could not be made, read or locked.
    Disk(DiskError),
    /// The database could not be opened or brought up to date.
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Fault,
    },
    /// The system gives no thread.
    Thread {
        /// What it says.
        source: std::io::Error,
    },
}

impl StoreError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            StoreError::InUse { .. } => "store_in_use",
            StoreError::Newer { .. } => "store_newer",
            StoreError::Foreign { .. } => "store_foreign",
            StoreError::TrustDomain { .. } => "store_trust_domain",
            StoreError::Disk(_) => "store_disk",
            StoreError::Database { source, .. } => source.reason(),
            StoreError::Thread { .. } => "store_thread",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse { path } => write!(
                f,
                "{} is not opened: another process serves from it; end that one, or name another folder",
                path.display()
            ),
            StoreError::Newer { path, found, known } => write!(
                f,
                "{} is not opened: its schema is {found} and this version knows {known}; run the newer version again",
                path.display()
            ),
            StoreError::Foreign { path } => write!(
                f,
                "{} is not opened: it is another program's database; move it away",
                path.display()
            ),
            StoreError::TrustDomain {
                path,
                found,
                expected,
            } => write!(
                f,
                "{} is not opened: it belongs to the trust domain {found}, not {expected}; name the right folder",
                path.display()
            ),
            StoreError::Disk(source) => fmt::Display::fmt(source, f),
            StoreError::Database { path, source } => {
                write!(f, "{} is not opened: ", path.display())?;
                source.write_why(f)
            }
            StoreError::Thread { source } => write!(
                f,
                "the store is not opened: no thread can be started: {source}; raise the limit of threads"
            ),
        }
    }
}
impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Disk(source) => Some(source),
            StoreError::Database { source, .. } => Some(source),
            StoreError::Thread { source } => Some(source),
            _ => None,
        }
    }
}
impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        StoreError::Disk(error)
    }
}
