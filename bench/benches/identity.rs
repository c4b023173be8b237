//! What believing a peer costs: a chain of three (leaf, issuer, root) of P-256.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set itself up has nothing to say"
)]

use config::TrustDomain;
use divan::{Bencher, black_box};
use identity::pki_types::{CertificateDer, UnixTime};
use identity::{Bundle, Bundles, Leaf, Role, Verifier};
use mint::Authority;

const ORDERS: &str = "spiffe://shop.example/orders";

fn main() {
    divan::main();
}

fn ders(chain: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    chain.iter().cloned().map(CertificateDer::from).collect()
}

fn verifier(root: &Authority) -> Verifier {
    let domain = TrustDomain::parse(&root.trust_domain).unwrap();
    let bundle = Bundle::from_roots(domain, ders(std::slice::from_ref(&root.root))).unwrap();
    Verifier::new(Bundles::of(bundle))
}

/// The strict reading alone.
#[divan::bench]
fn read_a_leaf(bencher: Bencher<'_, '_>) {
    let minted = Authority::root("shop.example").leaf(ORDERS);
    bencher.bench(|| Leaf::parse(black_box(&minted.chain[0])));
}

/// Nothing of the chain was seen before.
#[divan::bench]
fn verify_the_whole_path(bencher: Bencher<'_, '_>) {
    let root = Authority::root("shop.example");
    let chain = ders(&root.issuer().leaf(ORDERS).chain);
    bencher
        .with_inputs(|| verifier(&root))
        .bench_refs(|verifier| {
            verifier
                .verify(&chain, Role::Client, UnixTime::now())
                .unwrap()
        });
}

/// The issuer is known, the leaf is new: every workload's first call, and its first after a renewal.
#[divan::bench]
fn verify_a_leaf_of_a_known_issuer(bencher: Bencher<'_, '_>) {
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    let verifier = verifier(&root);
    let verify = |chain: &[CertificateDer<'_>]| {
        verifier
            .verify(chain, Role::Client, UnixTime::now())
            .unwrap()
    };
    verify(&ders(&issuer.leaf(ORDERS).chain));
    bencher
        .with_inputs(|| ders(&issuer.leaf(ORDERS).chain))
        .bench_refs(|chain| verify(chain));
}

/// The very chain was verified before: the second verdict of every handshake, and peers that call again.
#[divan::bench]
fn verify_a_known_chain(bencher: Bencher<'_, '_>) {
    let root = Authority::root("shop.example");
    let chain = ders(&root.issuer().leaf(ORDERS).chain);
    let verifier = verifier(&root);
    bencher.bench(|| {
        verifier
            .verify(black_box(&chain), Role::Client, UnixTime::now())
            .unwrap()
    });
}
