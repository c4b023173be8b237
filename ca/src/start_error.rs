//! Why a CA does not start, in one line for the person who starts it.

use crate::dir_error::DirError;
use crate::server_error::ServerError;
use crate::store::StoreError;
use config::TrustDomain;
use daemon::bind::BindError;
use std::fmt;
use std::path::PathBuf;

/// Why there is no CA that runs.
#[derive(Debug)]
pub enum StartError {
    /// No authority lives in the folder, or it cannot be used.
    Dir(DirError),
    /// The authority of the folder speaks for another trust domain than the configuration.
    TrustDomain {
        /// The folder.
        dir: PathBuf,
        /// Whose it is.
        found: TrustDomain,
        /// What the configuration says.
        expected: TrustDomain,
    },
    /// The record cannot be opened, or another process serves from it.
    Store(StoreError),
    /// A socket could not be bound.
    Bind {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        source: BindError,
    },
    /// It cannot sign or answer.
    Server(ServerError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Dir(error) => error.fmt(f),
            StartError::TrustDomain {
                dir,
                found,
                expected,
            } => write!(
                f,
                "{} is not served: it speaks for {found}, and `trustDomain` is {expected}; name its own folder or its own domain",
                dir.display()
            ),
            StartError::Store(error) => error.fmt(f),
            StartError::Bind { key, source } => write!(f, "{key}: {source}"),
            StartError::Server(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Dir(error) => error.source(),
            StartError::TrustDomain { .. } => None,
            StartError::Store(error) => error.source(),
            StartError::Bind { source, .. } => Some(source),
            StartError::Server(error) => error.source(),
        }
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for StartError {
            fn from(error: $error) -> Self {
                StartError::$variant(error)
            }
        }
    )*};
}
from!(Dir(DirError), Store(StoreError), Server(ServerError));
