//! Where generations come from.
//!
//! In: `identity` of a sidecar's configuration. Out: a [`Source`], whose generations come through its [`Current`] and whose
//! state through its [`Standing`]. Opening never waits for the network: who comes to be somebody only later starts with an
//! empty [`Current`].

mod standing;

mod chance;

mod grpc;

pub mod ca;

pub mod files;

pub mod workload_api;

pub use standing::{Enforced, Standing, State, Why};

use crate::Current;
use config::sidecar::{Identity, Source as Wanted};
use files::{FilesError, FilesSource};
use std::fmt;

/// Where the identity comes from.
#[derive(Debug)]
pub enum Source {
    /// PEM files that somebody else renews.
    Files(FilesSource),
}

/// Why there is no source: nothing that waiting would mend.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The files are not fit.
    Files(FilesError),
    /// No document names this yet: the configuration refuses it first.
    NotSupported(&'static str),
}

impl Source {
    /// Opens the configured source. What lies on this machine is read now, so this blocks for as long as that takes; nobody
    /// is asked over the network.
    pub fn open(identity: &Identity) -> Result<Self, SourceError> {
        match &identity.source {
            Wanted::Files(files) => {
                FilesSource::open(&identity.trust_domain, files, &identity.federated)
                    .map(Source::Files)
                    .map_err(SourceError::Files)
            }
            Wanted::Ca { .. } => Err(SourceError::NotSupported("ca")),
            Wanted::WorkloadApi(_) => Err(SourceError::NotSupported("workloadApi")),
        }
    }

    /// Where its generations come through.
    pub fn current(&self) -> Current {
        match self {
            Source::Files(files) => files.current(),
        }
    }

    /// What it says of itself, and is told.
    pub fn standing(&self) -> Standing {
        match self {
            Source::Files(files) => files.standing(),
        }
    }

    /// Renews until dropped.
    pub async fn run(self) {
        match self {
            Source::Files(files) => files.run().await,
        }
    }
}

impl SourceError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            SourceError::Files(why) => why.reason(),
            SourceError::NotSupported(_) => "not_supported",
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Files(why) => why.fmt(f),
            SourceError::NotSupported(key) => {
                write!(f, "identity.{key}: not supported yet; use `files`")
            }
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::Files(why) => std::error::Error::source(why),
            SourceError::NotSupported(_) => None,
        }
    }
}
