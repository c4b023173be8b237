#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn serial(seed: u8) -> Serial {
    Serial::from_random([seed; 20])
}

fn leaf() -> Leaf {
    Leaf {
        serial: serial(0x42),
        id: SpiffeId::parse("spiffe://shop.example/orders").unwrap(),
        key: KeyHash::from_bytes([3; 32]),
        issuer: [4; 20],
        validity: Validity {
            not_before_s: 940,
            not_after_s: 4600,
        },
        issued_at_s: 1000,
        instance: Instance::parse("orders-7f9c").unwrap(),
    }
}

#[test]
fn the_encoding_of_version_1_never_changes() {
    let sha256 = |text: &str| text::hex(&sha256(text.as_bytes()));
    let check = |ground: Ground, code: &str, of_its_own: &str| {
        let expected = [
            "01".to_owned(),                        // version
            code.to_owned(),                        // ground
            "0000000000000102".to_owned(),          // index
            "42".repeat(20),                        // serial
            sha256("spiffe://shop.example/orders"), // identity
            "03".repeat(32),                        // key
            "04".repeat(20),                        // issuer
            "00000000000003e8".to_owned(),          // issued at
            "00000000000003ac".to_owned(),          // not before
            "00000000000011f8".to_owned(),          // not after
            sha256("orders-7f9c"),                  // instance
            "09".repeat(32),                        // evidence
            of_its_own.to_owned(),
        ]
        .concat();
        let entry = Entry::of(&leaf(), 258, ground, [9; 32]);
        assert_eq!(text::hex(&entry.encode()), expected, "{ground:?}");
        let kept: Vec<u8> = (0..expected.len() / 2)
            .map(|at| u8::from_str_radix(&expected[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        assert_eq!(Entry::decode(&kept), Some(entry), "{ground:?}");
    };
    let parent = serial(0x51);
    check(Ground::JoinToken, "01", "");
    check(Ground::Renewal { parent }, "02", &"51".repeat(20));
    check(Ground::Grace { parent }, "03", &"51".repeat(20));
    check(Ground::Operator { uid: 1000 }, "04", "000003e8");
}

#[test]
fn an_entry_is_never_longer_than_it_may_be() {
    let long = SpiffeId::parse(&format!("spiffe://shop.example/{}", "a".repeat(2000))).unwrap();
    let leaf = Leaf {
        id: long,
        instance: Instance::parse(&"i".repeat(INSTANCE_BYTES_MAX)).unwrap(),
        ..leaf()
    };
    let length = |ground| Entry::of(&leaf, u64::MAX, ground, [9; 32]).encode().len();

    assert_eq!(length(Ground::JoinToken), 202);
    let parent = serial(1);
    assert_eq!(length(Ground::Renewal { parent }), 222);
    assert_eq!(length(Ground::Operator { uid: u32::MAX }), 206);
    const { assert!(222 <= ENTRY_BYTES_MAX) };
}

proptest! {
    #[test]
    fn an_entry_is_read_back_and_nothing_else_is(
        index in any::<u64>(),
        octets in any::<[u8; 20]>(),
        (id, key, issuer) in any::<([u8; 32], [u8; 32], [u8; 20])>(),
        (issued_at_s, not_before_s, not_after_s) in any::<(u64, u64, u64)>(),
        (instance, evidence, parent) in any::<([u8; 32], [u8; 32], [u8; 20])>(),
        (code, uid) in (1_u8..5, any::<u32>()),
        extra in any::<u8>(),
    ) {
        let parent = Serial::from_random(parent);
        let ground = match code {
            1 => Ground::JoinToken,
            2 => Ground::Renewal { parent },
            3 => Ground::Grace { parent },
            _ => Ground::Operator { uid },
        };
        let entry = Entry {
            index, ground, serial: Serial::from_random(octets), id, key: KeyHash(key), issuer, issued_at_s,
            validity: Validity { not_before_s, not_after_s }, instance, evidence,
        };
        let bytes = entry.encode();

        prop_assert_eq!(Entry::decode(&bytes), Some(entry));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Entry::decode(&bytes[..cut]), None);
        }
        prop_assert_eq!(Entry::decode(&[&bytes[..], &[extra]].concat()), None);
        prop_assert_eq!(Entry::decode(&[&[2], &bytes[1..]].concat()), None);
        prop_assert_eq!(Entry::decode(&[&[1, code + 4], &bytes[2..]].concat()), None);
    }
}

#[test]
fn hashes_are_those_of_rfc_6962() {
    // The leaf of no bytes, as in the test vectors of certificate transparency.
    assert_eq!(
        text::hex(&leaf_hash(&[])),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_ne!(running_hash(&[0; 32], &leaf_hash(&[])), [0; 32]);
}

#[test]
fn an_instance_is_short_and_printable() {
    assert_eq!(Instance::parse("").unwrap().as_str(), "");
    assert_eq!(Instance::parse("köln-1").unwrap().as_str(), "köln-1");
    assert_eq!(
        Instance::parse(&"i".repeat(129)),
        Err(InstanceRefused::Length { bytes: 129 })
    );
    assert_eq!(Instance::parse("a\x1b[2J"), Err(InstanceRefused::Control));
}

#[test]
fn a_certificate_has_one_successor() {
    let orders = leaf().id;
    let ledger = SpiffeId::parse("spiffe://shop.example/ledger").unwrap();
    let key = |seed| KeyHash::from_bytes([seed; 32]);
    let check = |successor: Option<u8>, id: &SpiffeId, seed, expected| {
        let parent = Parent {
            serial: serial(1),
            id: orders.clone(),
            key: key(1),
            successor: successor.map(|seed| ('g', key(seed), serial(2))),
        };
        assert_eq!(succeed(parent, id, &key(seed)), expected);
    };

    check(None, &orders, 2, Ok(Succession::First));
    check(Some(2), &orders, 2, Ok(Succession::Again('g')));
    check(None, &orders, 1, Err(LineageRefused::KeyNotNew));
    check(
        Some(2),
        &orders,
        3,
        Err(LineageRefused::SecondSuccessor {
            parent: serial(1),
            successor: serial(2),
        }),
    );
    check(
        None,
        &ledger,
        2,
        Err(LineageRefused::Identity {
            parent: orders.clone(),
        }),
    );
}
