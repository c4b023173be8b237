//! From what is minted to what identity takes.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its part; a panic is the report"
)]

/// Shared with the tests of whole systems.
#[path = "../../../tests/support/agent.rs"]
pub(crate) mod agent;

use config::{SpiffeId, TrustDomain};
use countersign_identity::{Bundle, Bundles, Generation, Key, Svid};
use mint::Authority;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::{Duration, SystemTime};

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub(crate) fn domain(text: &str) -> TrustDomain {
    TrustDomain::parse(text).unwrap()
}

pub(crate) fn ders(chain: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    chain.iter().cloned().map(CertificateDer::from).collect()
}

pub(crate) fn bundle(root: &Authority) -> Bundle {
    Bundle::from_roots(
        domain(&root.trust_domain),
        ders(std::slice::from_ref(&root.root)),
    )
    .unwrap()
}

pub(crate) fn bundles(roots: &[&Authority]) -> Bundles {
    let mut bundles = Bundles::default();
    for root in roots {
        bundles.add(bundle(root)).unwrap();
    }
    bundles
}

pub(crate) fn svid(minted: &mint::Svid) -> Svid {
    Svid::new(
        ders(&minted.chain),
        Key::from_pkcs8(&minted.key.pkcs8()).unwrap(),
    )
    .unwrap()
}

pub(crate) fn generation(minted: &mint::Svid, roots: &[&Authority]) -> Generation {
    Generation::new(1, svid(minted), bundles(roots)).unwrap()
}

pub(crate) fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
}

pub(crate) fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
}
