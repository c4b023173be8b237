//! Who calls, judged anew for every call.
//!
//! In: what the handshake left, the verifier now in force, the time. Out: the caller, or nobody, or a refusal. A connection may
//! be kept for days; the certificate that opened it, and whom we believe, may not hold that long.

use crate::refusal::Refusal;
use crate::shown::ShownLeaf;
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
    /// What the leaf says, if it may be one of ours.
    leaf: Option<ShownLeaf>,
}

/// Who is there.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) peer: Peer,
    pub(crate) leaf: &'a ShownLeaf,
}

impl Connection {
    pub(crate) fn new(source: IpAddr, chain: Vec<CertificateDer<'static>>) -> Self {
        let leaf = chain.first().and_then(|leaf| ShownLeaf::read(leaf));
        Connection {
            source,
            chain,
            leaf,
        }
    }

    /// Who is there, by a certificate that holds now.
    pub(crate) fn caller(
        &self,
        verifier: &Verifier,
        now: SystemTime,
    ) -> Result<Caller<'_>, Refusal> {
        if self.chain.is_empty() {
            return Err(Refusal::NoCertificate);
        }
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = UnixTime::since_unix_epoch(since);
        let peer = verifier.verify(&self.chain, Role::Client, now)?;
        let leaf = self.leaf.as_ref().ok_or(Refusal::ForeignSerial)?;
        Ok(Caller { peer, leaf })
    }
}
