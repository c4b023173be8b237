//! Ten thousand leaves, of every kind that is issued: each passes our verifier and webpki's, and no two share a serial.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use config::{SpiffeId, TrustDomain};
use countersign_ca::{Algorithm, Authority, Csr, ISSUER_LIFE_S};
use identity::{Bundles, Key, Refused, Role, Verifier};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::cell::RefCell;
use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LEAVES: u32 = 10_000;
const BORN_S: u64 = 1_795_000_000;

fn at(unix_s: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_s)
}

/// Requests are made once: making keys and proofs is not what is tried here.
fn requests(id: &SpiffeId) -> Vec<Csr> {
    let p256 = (0..12).map(|_| Key::generate().unwrap());
    let p384 = (0..4).map(|_| Key::generate_p384().unwrap());
    p256.chain(p384)
        .map(|key| Csr::from_der(identity::Csr::create(&key, id).unwrap().der()).unwrap())
        .collect()
}

fn ids() -> impl Strategy<Value = SpiffeId> {
    let segment =
        "[a-zA-Z0-9._-]{1,24}".prop_filter("not a segment", |text| text != "." && text != "..");
    prop::collection::vec(segment, 1..12).prop_map(|segments| {
        SpiffeId::parse(&format!("spiffe://shop.example/{}", segments.join("/"))).unwrap()
    })
}

/// What a peer that knows nothing but the root would ask of webpki.
fn webpki_believes(chain: &[CertificateDer<'_>; 2], root: &CertificateDer<'_>, unix_s: u64) {
    for usage in [
        webpki::KeyUsage::client_auth(),
        webpki::KeyUsage::server_auth(),
    ] {
        webpki::EndEntityCert::try_from(&chain[0])
            .unwrap()
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[webpki::anchor_from_trusted_cert(root).unwrap()],
                &chain[1..],
                UnixTime::since_unix_epoch(Duration::from_secs(unix_s)),
                usage,
                None,
                None,
            )
            .expect("webpki believes it");
    }
}

#[test]
fn every_leaf_passes_our_verifier_and_webpki_and_serials_never_repeat() {
    let domain = TrustDomain::parse("shop.example").unwrap();
    let requests = requests(&SpiffeId::parse("spiffe://shop.example/asked").unwrap());
    let authorities = [Algorithm::P256, Algorithm::P384]
        .map(|root| Authority::create(&domain, root, at(BORN_S)).unwrap());
    let peers = authorities
        .each_ref()
        .map(|ca| Verifier::new(Bundles::of(ca.bundle().clone())));
    let serials = RefCell::new(HashSet::new());
    let mut runner = TestRunner::new(Config {
        cases: LEAVES,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (
        ids(),
        10..=86_400_u64,
        0..ISSUER_LIFE_S,
        0..requests.len(),
        0..20_usize,
    );

    let ran = runner.run(&cases, |(id, ttl_s, age_s, request, authority)| {
        // One in twenty under the P-384 root, whose signature costs far more.
        let which = usize::from(authority == 0);
        let (ca, peers) = (&authorities[which], &peers[which]);
        let now_s = BORN_S + age_s;
        let csr = &requests[request];

        let leaf = ca
            .certify(csr, &id, Duration::from_secs(ttl_s), at(now_s))
            .unwrap();

        let issuer = ca.issuer().certificate();
        let end_s = issuer.validity().not_after_s.min(now_s + ttl_s);
        let start_s = issuer.validity().not_before_s.max(now_s - 60);
        prop_assert_eq!(leaf.validity().not_before_s, start_s);
        prop_assert_eq!(leaf.validity().not_after_s, end_s);
        let chain = [leaf.der().clone(), issuer.der().clone()];
        for unix_s in [start_s, end_s] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
            for role in [Role::Client, Role::Server] {
                let peer = peers.verify(&chain, role, time).unwrap();
                prop_assert_eq!(&peer.id, &id);
                prop_assert_eq!(peer.serial, leaf.serial().to_string());
            }
        }
        let late = UnixTime::since_unix_epoch(Duration::from_secs(end_s + 1));
        let ended = matches!(
            peers.verify(&chain, Role::Client, late),
            Err(Refused::Expired { .. })
        );
        prop_assert!(ended);
        webpki_believes(&chain, ca.root().certificate().der(), now_s);
        prop_assert!(
            serials.borrow_mut().insert(leaf.serial()),
            "a serial came twice"
        );
        Ok(())
    });

    ran.unwrap();
    assert_eq!(serials.borrow().len(), LEAVES as usize);
}
