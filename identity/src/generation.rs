//! One immutable generation of identity, and the current one.
use crate::{Peer, Refused, Svid, Verifier};
use config::SpiffeId;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// An SVID, the bundles and everything derived from them.
pub struct Generation {
    number: u64,
    svid: Svid,
    verifier: Arc<Verifier>,
}

/// Which protocols a TLS configuration offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /** `http/1.1` */
    Http1,
    /** `h2` */
    Http2,
    /** Servers: `h2`, then `http/1.1` */
    Http,
    /** None at all. */
    None,
}

impl Generation {
    /// Grows by one with every generation of this process, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
    /// The own SVID.
    pub fn svid(&self) -> &Svid {
        &self.svid
    }
    /// The verifier of this generation.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }
    /// The server configuration (client certificate required, TLS 1.3 only, no early data, no resumption across generations).
    pub fn server(&self, _alpn: Alpn) -> Arc<ServerConfig> {
        todo!()
    }
    /// The client configuration that accepts only `expected`. Built at first use per (expected, alpn) and kept for the generation.
    pub fn client(&self, _expected: &SpiffeId, _alpn: Alpn) -> Arc<ClientConfig> {
        todo!()
    }
    /// Judges a finished handshake's peer again (full or resumed), at the wall clock: decision 4. `chain` is `peer_certificates()`.
    pub fn judge_client(
        &self,
        _chain: Option<&[rustls::pki_types::CertificateDer<'_>]>,
    ) -> Result<Peer, Refused> {
        todo!()
    }
    /// The same for a server that must be `expected`.
    pub fn judge_server(
        &self,
        _chain: Option<&[rustls::pki_types::CertificateDer<'_>]>,
        _expected: &SpiffeId,
    ) -> Result<Peer, Refused> {
        todo!()
    }
}

/// The current generation: cheap to load, can be awaited.
#[derive(Clone)]
pub struct Current {
    _inner: Arc<()>,
}
impl Current {
    /// The generation now in force.
    pub fn load(&self) -> Arc<Generation> {
        todo!()
    }
    /// Resolves when a generation newer than `seen` is in force.
    pub async fn newer_than(&self, _seen: u64) -> Arc<Generation> {
        todo!()
    }
}
