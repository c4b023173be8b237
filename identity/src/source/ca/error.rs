//! Why there is no client of the CA: nothing that waiting would mend.

use crate::source::files::FilesError;
use crate::{GenerationError, KeyError, StateError};
use config::{NameError, SpiffeId, TrustDomain};
use std::fmt;
use std::path::PathBuf;

/// Why a client of the CA cannot begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaSourceError {
    /// The CA's address is no host and port.
    Address,
    /// The trust domain leaves no room for the CA's own name.
    Name(NameError),
    /// A bundle.
    Files(FilesError),
    /// The state directory.
    State(StateError),
    /// The state directory is of another trust domain.
    OtherDomain {
        /// Which folder.
        path: PathBuf,
        /// Whose certificate lies there.
        found: SpiffeId,
        /// Ours.
        wanted: TrustDomain,
    },
    /// TLS configurations.
    Tls(rustls::Error),
    /// The generation that was kept.
    Generation(GenerationError),
    /// No randomness.
    Random(KeyError),
}

impl CaSourceError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            CaSourceError::Address => "ca_address",
            CaSourceError::Name(_) => "trust_domain_too_long",
            CaSourceError::Files(why) => why.reason(),
            CaSourceError::State(why) => why.reason(),
            CaSourceError::OtherDomain { .. } => "state_of_other_domain",
            CaSourceError::Tls(_) | CaSourceError::Generation(_) => "tls_configuration",
            CaSourceError::Random(why) => why.reason(),
        }
    }
}

impl fmt::Display for CaSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaSourceError::Address => {
                f.write_str("identity.ca.address is no host and port; write such as `ca:8443`")
            }
            CaSourceError::Name(why) => write!(
                f,
                "the CA of this trust domain has no name: {why}; use a shorter identity.trustDomain"
            ),
            CaSourceError::Files(why) => why.fmt(f),
            CaSourceError::State(why) => why.fmt(f),
            CaSourceError::OtherDomain {
                path,
                found,
                wanted,
            } => write!(
                f,
                "{} is not used: the certificate in it is {found}'s, which is not in `{wanted}`; check \
                 identity.trustDomain, or name a new identity.stateDir",
                path.display()
            ),
            CaSourceError::Tls(why) => write!(f, "no TLS configuration could be made: {why}"),
            CaSourceError::Generation(why) => why.fmt(f),
            CaSourceError::Random(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for CaSourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CaSourceError::Name(why) => Some(why),
            CaSourceError::Files(why) => Some(why),
            CaSourceError::State(why) => Some(why),
            CaSourceError::Tls(why) => Some(why),
            CaSourceError::Generation(why) => Some(why),
            CaSourceError::Random(why) => Some(why),
            CaSourceError::Address | CaSourceError::OtherDomain { .. } => None,
        }
    }
}
