//! A chain that a peer sends: known certificates in any order, and the fuzzer's own.

use super::bytes::Rest;
use super::certificate::signed;
use super::known::{GOOD, KNOWN, NOW_S, named};
use config::TrustDomain;
use identity::pki_types::{CertificateDer, UnixTime};
use identity::{Bundle, Bundles, CHAIN_MAX, Role, Verifier};
use std::time::Duration;

/// A chain is believed if and only if its leaf is one of the good ones, in its time, with the issuers that it needs; by who
/// knows them already as by who does not.
pub fn check(data: &[u8]) {
    let mut rest = Rest(data);
    let first = rest.octet().unwrap_or(0);
    let role = match first & 1 {
        0 => Role::Client,
        _ => Role::Server,
    };
    let second = NOW_S - 61 + [0, 1, 61, 62, 3661, 3662][usize::from(first >> 1) % 6];
    let now = UnixTime::since_unix_epoch(Duration::from_secs(second));
    let mut strange = false;
    let mut chain = Vec::new();
    while let Some(which) = rest.octet() {
        if which < 0xf0 {
            chain.push(CertificateDer::from(
                KNOWN[usize::from(which) % KNOWN.len()].der,
            ));
        } else if let Some(bytes) = rest.piece() {
            strange = true;
            chain.push(CertificateDer::from(bytes));
        }
    }

    let fresh = verifier();
    let judged = fresh.verify(&chain, role, now);
    let experienced = verifier();
    let good = UnixTime::since_unix_epoch(Duration::from_secs(NOW_S));
    for (leaf, issuers) in GOOD {
        let chain: Vec<_> = std::iter::once(&leaf)
            .chain(issuers)
            .map(|name| named(name))
            .collect();
        assert!(experienced.verify(&chain, role, good).is_ok(), "{leaf}");
    }
    assert_eq!(
        experienced.verify(&chain, role, now),
        judged,
        "with experience"
    );
    assert_eq!(fresh.verify(&chain, role, now), judged, "a second time");

    let in_time = (NOW_S - 60..=NOW_S + 3600).contains(&second);
    let leaf = chain.first().and_then(|leaf| signed(leaf));
    let leaf = leaf.and_then(|leaf| {
        GOOD.iter()
            .find(|(name, _)| signed(&named(name)) == Some(leaf))
    });
    if judged.is_ok() {
        assert!(in_time && leaf.is_some(), "{judged:?}");
    }
    if !strange {
        let sent = |name: &&str| chain[1..].contains(&named(name));
        let whole = leaf.is_some_and(|(_, issuers)| issuers.iter().all(sent));
        let expected = in_time && whole && chain.len() <= CHAIN_MAX;
        assert_eq!(judged.is_ok(), expected, "{judged:?}");
    }
}

fn verifier() -> Verifier {
    let bundle = |domain: &str, root: &str| {
        let domain = TrustDomain::parse(domain).expect("a domain");
        Bundle::from_roots(domain, vec![named(root)]).expect("a root")
    };
    let mut bundles = Bundles::of(bundle("shop.example", "shop-root"));
    bundles
        .add(bundle("other.example", "other-root"))
        .expect("another domain");
    Verifier::new(bundles)
}
