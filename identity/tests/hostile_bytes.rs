//! Parsers that meet a stranger's bytes end in a value or a reason, never in a panic; and no change of a single byte of a
//! believed chain is believed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use countersign_identity::{Bundle, Facts, Key, Leaf, Role, Verifier, pem};
use mint::{Authority, San};
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use std::sync::LazyLock;
use support::{at, bundles, ders, domain};

const ORDERS: &str = "spiffe://shop.example/orders";

struct World {
    verifier: Verifier,
    chain: Vec<Vec<u8>>,
    root: Vec<u8>,
    key: String,
    now: i64,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let root = Authority::root("shop.example");
    let minted = root.issuer().leaf_with(ORDERS, |draft| {
        let names = draft.san.get_or_insert_default();
        names.extend([
            San::dns("orders"),
            San::Ip(vec![10, 0, 0, 1]),
            San::Email("a@b".into()),
        ]);
    });
    World {
        verifier: Verifier::new(bundles(&[&root])),
        key: minted.key.pem(),
        chain: minted.chain,
        root: root.root,
        now: mint::now_s(),
    }
});

/// One way to spoil bytes.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Swap(usize, usize),
}

impl Spoil {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match self {
            Spoil::Flip(at, bits) => bytes
                .iter_mut()
                .skip(at % length)
                .take(1)
                .for_each(|byte| *byte ^= bits),
            Spoil::Cut(at) => bytes.truncate(at % length),
            Spoil::Insert(at, more) => {
                drop(bytes.splice(at % length..at % length, more.iter().copied()));
            }
            Spoil::Swap(one, other) if bytes.len() > 1 => bytes.swap(one % length, other % length),
            Spoil::Swap(..) => {}
        }
    }
}

fn spoils() -> impl Strategy<Value = Vec<Spoil>> {
    let one = prop_oneof![
        6 => (any::<usize>(), 1u8..).prop_map(|(at, bits)| Spoil::Flip(at, bits)),
        1 => any::<usize>().prop_map(Spoil::Cut),
        2 => (any::<usize>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, more)| Spoil::Insert(at, more)),
        1 => any::<(usize, usize)>().prop_map(|(one, other)| Spoil::Swap(one, other)),
    ];
    prop::collection::vec(one, 1..5)
}

fn read_all(bytes: &[u8]) {
    let _ = Leaf::parse(bytes);
    let _ = Facts::read(bytes);
    let _ = Key::from_pkcs8(bytes);
    let _ = Bundle::from_roots(
        domain("shop.example"),
        vec![CertificateDer::from(bytes.to_vec())],
    );
    let _ = pem::certificates(bytes);
    let _ = Key::from_pem(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_certificates_never_panic_and_are_never_believed(which in 0usize..2, spoils in spoils()) {
        let mut chain = WORLD.chain.clone();
        spoils.iter().for_each(|spoil| spoil.apply(&mut chain[which]));
        read_all(&chain[which]);
        prop_assume!(chain != WORLD.chain);
        for role in [Role::Client, Role::Server] {
            let believed = WORLD.verifier.verify(&ders(&chain), role, at(WORLD.now));
            prop_assert!(believed.is_err(), "{believed:?} of {spoils:?}");
        }
    }

    #[test]
    fn spoilt_roots_and_keys_never_panic(spoils in spoils()) {
        for mut bytes in [WORLD.root.clone(), WORLD.key.clone().into_bytes()] {
            spoils.iter().for_each(|spoil| spoil.apply(&mut bytes));
            read_all(&bytes);
        }
    }

    #[test]
    fn bytes_at_random_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
    }
}

/// Every byte of leaf and issuer, one after the other, in three ways.
#[test]
fn no_byte_of_a_chain_is_free() {
    for which in 0..WORLD.chain.len() {
        for at_byte in 0..WORLD.chain[which].len() {
            for bits in [0x01, 0x20, 0x80] {
                let mut chain = WORLD.chain.clone();
                chain[which][at_byte] ^= bits;
                let believed = WORLD
                    .verifier
                    .verify(&ders(&chain), Role::Client, at(WORLD.now));
                assert!(
                    believed.is_err(),
                    "certificate {which}, byte {at_byte}, bits {bits:02x}"
                );
            }
        }
    }
}
