//! Where generations come from.
//!
//! In: `identity` of a sidecar's configuration. Out: a [`Source`], whose generations come through its [`Current`] and whose
//! state through its [`Standing`]. Opening never waits for the network: who comes to be somebody only later starts with an
//! empty [`Current`].

mod standing;

mod chance;

mod grpc;

pub mod files;

pub mod ca;

pub mod workload_api;

pub use standing::{Enforced, Standing, State, Why};

use crate::Current;
use ca::{CaSource, CaSourceError, Clock};
use config::sidecar::{Identity, Source as Wanted};
use files::{FilesError, FilesSource};
use std::fmt;
use workload_api::{EndpointError, WorkloadApiSource};

/// Where the identity comes from.
#[derive(Debug)]
pub enum Source {
    /// PEM files that somebody else renews.
    Files(FilesSource),
    /// A SPIFFE Workload API issues and renews it.
    WorkloadApi(WorkloadApiSource),
    /// Our CA.
    Ca(Box<CaSource>),
}

/// Why there is no source: nothing that waiting would mend.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The files are not fit.
    Files(FilesError),
    /// Neither the configuration nor the environment says where the Workload API is.
    Endpoint(EndpointError),
    /// The client of the CA cannot begin.
    Ca(CaSourceError),
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
            Wanted::WorkloadApi(api) => {
                WorkloadApiSource::open(&identity.trust_domain, api, |name| std::env::var_os(name))
                    .map(Source::WorkloadApi)
                    .map_err(SourceError::Endpoint)
            }
            Wanted::Ca { ca, state } => {
                let (domain, federated) = (&identity.trust_domain, &identity.federated);
                CaSource::open(domain, ca, state, federated, Clock::system())
                    .map(|source| Source::Ca(Box::new(source)))
                    .map_err(SourceError::Ca)
            }
        }
    }

    /// Where its generations come through.
    pub fn current(&self) -> Current {
        match self {
            Source::Files(files) => files.current(),
            Source::WorkloadApi(api) => api.current(),
            Source::Ca(ca) => ca.current(),
        }
    }

    /// What it says of itself, and is told.
    pub fn standing(&self) -> Standing {
        match self {
            Source::Files(files) => files.standing(),
            Source::WorkloadApi(api) => api.standing(),
            Source::Ca(ca) => ca.standing(),
        }
    }

    /// Renews until dropped.
    pub async fn run(self) {
        match self {
            Source::Files(files) => files.run().await,
            Source::WorkloadApi(api) => api.run().await,
            Source::Ca(ca) => ca.run().await,
        }
    }
}

impl SourceError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            SourceError::Files(why) => why.reason(),
            SourceError::Endpoint(why) => why.reason(),
            SourceError::Ca(why) => why.reason(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Files(why) => why.fmt(f),
            SourceError::Endpoint(why) => why.fmt(f),
            SourceError::Ca(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::Files(why) => std::error::Error::source(why),
            SourceError::Endpoint(_) => None,
            SourceError::Ca(why) => std::error::Error::source(why),
        }
    }
}
