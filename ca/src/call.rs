//! Who calls, judged anew for every call.
//!
//! In: what the handshake left, the verifier now in force, the time. Out: the peer, or nobody, or a refusal. A connection may
//! be kept for days; the certificate that opened it, and whom we believe, may not hold that long.

use crate::refusal::Refusal;
use identity::pki_types::{CertificateDer, UnixTime};
use identity::{Peer, Role, Verifier};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) source: IpAddr,
    /// Leaf first; empty if the client showed none.
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

impl Connection {
    /// Who is there, by a certificate that holds now.
    pub(crate) fn peer(&self, verifier: &Verifier, now: SystemTime) -> Result<Peer, Refusal> {
        if self.chain.is_empty() {
            return Err(Refusal::NoCertificate);
        }
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = UnixTime::since_unix_epoch(since);
        Ok(verifier.verify(&self.chain, Role::Client, now)?)
    }
}
