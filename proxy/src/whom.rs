//! To whom something goes on an outbound listener: the service, and what its server must prove.
//!
//! In: a service of the configuration. Out: a [`Whom`], which travels with a request as it was when it was permitted, so that a
//! later snapshot can be asked whether that service is still the same, and the log and metrics say what the hop was.

use config::sidecar::Tls;
use std::sync::Arc;

/// A service, and who must be at the other end of a connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whom {
    /// The service's name.
    pub(crate) service: Arc<str>,
    /// What secures the hop: `mutual`, `server` or `none`.
    pub(crate) tls: &'static str,
    /// What its server must prove: a SPIFFE ID, a name, or nothing; of what was only named, that.
    proves: Arc<str>,
    nobody: Arc<str>,
}

/// What stands for the service where a request names none. No service is called so: parentheses are in no name.
const PASSTHROUGH: &str = "(passthrough)";

impl Whom {
    /// Whoever answers for a host and port that a request named.
    pub(crate) fn passed(host: &str, port: u16) -> Arc<Self> {
        Arc::new(Self {
            service: PASSTHROUGH.into(),
            tls: Tls::None.word(),
            proves: format!("{host}:{port}").into(),
            nobody: Arc::default(),
        })
    }
    /// Whether a request named it, and no service did.
    pub(crate) fn is_passed(&self) -> bool {
        *self.service == *PASSTHROUGH
    }
    /// What tells it from others, in the marks on a request.
    pub(crate) fn marked(&self) -> &str {
        match self.is_passed() {
            true => &self.proves,
            false => &self.service,
        }
    }
    /// The server of a service that is secured so.
    pub(crate) fn of(service: &str, tls: &Tls) -> Arc<Self> {
        let proves = match tls {
            Tls::Mutual { identity } => identity.as_str(),
            Tls::Server { name, .. } => name,
            Tls::None => "",
        };
        Arc::new(Self {
            service: service.into(),
            tls: tls.word(),
            proves: proves.into(),
            nobody: Arc::default(),
        })
    }
    /// The SPIFFE ID of its server; empty outside the mesh.
    pub(crate) fn peer_id(&self) -> &Arc<str> {
        match self.tls {
            "mutual" => &self.proves,
            _ => &self.nobody,
        }
    }
}
