//! Whom the verifier believes, and the exact reason for everybody else. The numbers are the invariants of `verify.rs` and
//! `leaf.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use countersign_identity::{IssuerError, LeafError, Malformed, Peer, Refused, Role, Verifier};
use mint::extension::{
    CLIENT_AUTH, CODE_SIGNING, SERVER_AUTH, permitted_dns_domain, permitted_uri_host,
};
use mint::{Authority, Draft, Extension, Key, San, Svid, Usage, der, now_s};
use support::{at, bundles, ders, id, moment};

const ORDERS: &str = "spiffe://shop.example/orders";

/// A shop, a partner whose bundle we hold, and a stranger.
struct World {
    root: Authority,
    issuer: Authority,
    partner: Authority,
    stranger: Authority,
    verifier: Verifier,
    now: i64,
}

fn world() -> World {
    let root = Authority::root("shop.example");
    let partner = Authority::root("partner.example");
    World {
        issuer: root.issuer(),
        stranger: Authority::root("shop.example"),
        verifier: Verifier::new(bundles(&[&root, &partner])),
        now: now_s(),
        root,
        partner,
    }
}

impl World {
    fn verify(&self, minted: &Svid) -> Result<Peer, Refused> {
        self.verify_at(minted, self.now)
    }

    /// Both ends are judged alike, and a second look, by memory, is judged like the first.
    fn verify_at(&self, minted: &Svid, now: i64) -> Result<Peer, Refused> {
        let chain = ders(&minted.chain);
        let first = self.verifier.verify(&chain, Role::Client, at(now));
        for role in [Role::Server, Role::Client, Role::Server] {
            assert_eq!(
                self.verifier.verify(&chain, role, at(now)),
                first,
                "as {role:?}"
            );
        }
        first
    }

    #[track_caller]
    fn check(&self, minted: &Svid, expected: Refused, reason: &str) {
        assert_eq!(self.verify(minted), Err(expected.clone()));
        assert_eq!(expected.reason(), reason);
        let line = expected.to_string();
        assert!(
            !line.contains('\n') && line.contains(": ") && line.contains("; "),
            "{line}"
        );
    }

    #[track_caller]
    fn check_leaf(&self, change: impl FnOnce(&mut Draft), expected: LeafError, reason: &str) {
        let minted = self.issuer.leaf_with(ORDERS, change);
        self.check(&minted, Refused::Leaf(expected), reason);
    }

    #[track_caller]
    fn check_issuer(&self, change: impl FnOnce(&mut Draft), expected: Refused, reason: &str) {
        let minted = self.root.issuer_with(change).leaf(ORDERS);
        self.check(&minted, expected, reason);
    }
}

#[test]
fn an_svid_of_a_known_trust_domain_is_believed() {
    let world = world();
    let minted = world.issuer.leaf(ORDERS);
    let peer = world.verify(&minted).unwrap();
    assert_eq!(peer.id, id(ORDERS));
    assert_eq!(
        peer.not_after
            .duration_since(moment(world.now))
            .unwrap()
            .as_secs()
            / 60,
        60
    );
    assert_eq!(peer.serial.len(), 32);

    for key in [Key::p384(), Key::rsa()] {
        let root = Authority::root_with("shop.example", key.clone(), |_| {});
        let verifier = Verifier::new(bundles(&[&root]));
        let straight = root.leaf_of(key.clone(), ORDERS, |_| {});
        let deep = root.issuer_with(|draft| draft.basic.as_mut().unwrap().path_len = None);
        let deep = deep.issuer().leaf_of(key, ORDERS, |_| {});
        for minted in [straight, deep] {
            let peer = verifier.verify(&ders(&minted.chain), Role::Server, at(world.now));
            assert_eq!(peer.unwrap().id, id(ORDERS));
        }
    }
}

#[test]
fn what_the_standard_leaves_open_is_believed() {
    let world = world();
    let believed = |change: fn(&mut Draft)| {
        let minted = world.issuer.leaf_with(ORDERS, change);
        assert_eq!(world.verify(&minted).unwrap().id, id(ORDERS));
    };
    believed(|draft| draft.purposes = None);
    believed(|draft| {
        draft
            .purposes
            .get_or_insert_default()
            .push(CODE_SIGNING.into());
    });
    believed(|draft| {
        draft
            .san
            .get_or_insert_default()
            .push(San::dns("orders.shop.svc"));
    });
    believed(|draft| {
        draft
            .san
            .get_or_insert_default()
            .push(San::Ip(vec![10, 0, 0, 1]));
    });
    believed(|draft| draft.subject = der::name("orders"));
    believed(|draft| {
        draft
            .usages
            .get_or_insert_default()
            .push(Usage::KeyAgreement);
    });
    believed(|draft| draft.authority_key_id = None);
    believed(|draft| {
        draft
            .extra
            .push(Extension::new("1.3.6.1.4.1.99999.1", false, vec![5, 0]));
    });
    let with_root = {
        let mut minted = world.issuer.leaf(ORDERS);
        minted.chain.push(world.root.root.clone());
        minted
    };
    assert_eq!(world.verify(&with_root).unwrap().id, id(ORDERS));
}

#[test]
fn a_peer_without_a_certificate_has_its_own_reason() {
    let world = world();
    let none = Svid {
        chain: Vec::new(),
        key: Key::p256(),
    };
    world.check(&none, Refused::NoCertificate, "no_certificate");
}

#[test]
fn the_rules_of_a_leaf_are_refused_one_by_one() {
    let world = world();
    world.check_leaf(|draft| draft.san = None, LeafError::NoUriSan, "no_uri_san");
    world.check_leaf(
        |draft| draft.san = Some(vec![San::dns("orders.shop.example")]),
        LeafError::NoUriSan,
        "no_uri_san",
    );
    world.check_leaf(
        |draft| {
            draft
                .san
                .get_or_insert_default()
                .push(San::uri("spiffe://shop.example/ledger"));
        },
        LeafError::TwoUriSans { uris: 2 },
        "two_uri_sans",
    );
    world.check_leaf(
        |draft| {
            draft
                .san
                .get_or_insert_default()
                .push(San::uri("https://shop.example/"));
        },
        LeafError::TwoUriSans { uris: 2 },
        "two_uri_sans",
    );
    world.check_leaf(
        |draft| draft.basic.as_mut().unwrap().ca = true,
        LeafError::Ca,
        "ca_leaf",
    );
    world.check_leaf(
        |draft| draft.basic = None,
        LeafError::NoBasicConstraints,
        "no_basic_constraints",
    );
    world.check_leaf(
        |draft| draft.usages = None,
        LeafError::NoKeyUsage,
        "no_key_usage",
    );
    world.check_leaf(
        |draft| draft.usages = Some(vec![Usage::KeyEncipherment]),
        LeafError::NoDigitalSignature,
        "no_digital_signature",
    );
    world.check_leaf(
        |draft| draft.usages = Some(vec![]),
        LeafError::NoDigitalSignature,
        "no_digital_signature",
    );
    for signing in [Usage::KeyCertSign, Usage::CrlSign] {
        world.check_leaf(
            |draft| draft.usages.get_or_insert_default().push(signing),
            LeafError::SigningKeyUsage,
            "signing_key_usage",
        );
    }
    world.check_leaf(
        |draft| draft.usages_critical = false,
        LeafError::KeyUsageNotCritical,
        "key_usage_not_critical",
    );
    let purposes = |purposes: &'static [&'static str]| {
        move |draft: &mut Draft| {
            draft.purposes = Some(purposes.iter().map(|it| it.to_string()).collect());
        }
    };
    world.check_leaf(
        purposes(&[SERVER_AUTH]),
        LeafError::Eku {
            missing: "clientAuth",
        },
        "bad_eku",
    );
    world.check_leaf(
        purposes(&[CLIENT_AUTH]),
        LeafError::Eku {
            missing: "serverAuth",
        },
        "bad_eku",
    );
    world.check_leaf(
        purposes(&[CODE_SIGNING]),
        LeafError::Eku {
            missing: "serverAuth",
        },
        "bad_eku",
    );
}

#[test]
fn a_uri_that_is_no_workload_is_refused() {
    let world = world();
    for uri in [
        "",
        "https://shop.example/orders",
        "spiffe://shop.example",
        "spiffe://shop.example/",
        "spiffe://shop.example/orders/",
        "spiffe://shop.example/../orders",
        "SPIFFE://shop.example/orders",
        "spiffe://Shop.example/orders",
        "spiffe://shop.example:443/orders",
        "spiffe://user@shop.example/orders",
        "spiffe://shop.example/orders?admin",
        "spiffe://shop.example/%6frders",
        "spiffe://shop.example/orders\n",
    ] {
        let minted = world.issuer.leaf(uri);
        let refused = world.verify(&minted).unwrap_err();
        assert!(
            matches!(refused, Refused::Leaf(LeafError::NotSpiffe { .. })),
            "{uri:?}: {refused:?}"
        );
        assert_eq!(refused.reason(), "not_a_spiffe_id");
        assert!(
            !refused.to_string().contains('\n'),
            "{uri:?} must not break the line"
        );
    }
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let world = world();
    let check = |change: &dyn Fn(&mut Draft), expected: Malformed, reason| {
        world.check_leaf(change, LeafError::Malformed(expected), reason);
    };
    let garbage = Svid {
        chain: vec![b"certificate".to_vec()],
        key: Key::p256(),
    };
    let malformed = |why| Refused::Leaf(LeafError::Malformed(why));
    world.check(&garbage, malformed(Malformed::Encoding), "bad_encoding");
    let large = Svid {
        chain: vec![vec![0x30; 16 * 1024 + 1]],
        key: Key::p256(),
    };
    world.check(
        &large,
        malformed(Malformed::TooLarge {
            bytes: 16 * 1024 + 1,
        }),
        "certificate_too_large",
    );
    check(
        &|draft| draft.trailing = vec![0],
        Malformed::TrailingBytes,
        "trailing_bytes",
    );
    check(
        &|draft| draft.version = None,
        Malformed::Version,
        "bad_version",
    );
    check(
        &|draft| draft.version = Some(1),
        Malformed::Version,
        "bad_version",
    );
    check(
        &|draft| draft.serial = vec![1; 21],
        Malformed::Serial,
        "bad_serial",
    );
    check(
        &|draft| draft.not_after = draft.not_before - 1,
        Malformed::Validity,
        "bad_validity",
    );
    let spoilt = |place: &[u8], octet: usize, other: u8| {
        let mut svid = world.issuer.leaf(ORDERS);
        let mut places = svid.chain[0].windows(place.len());
        let at = places.position(|found| found == place).unwrap();
        svid.chain[0][at + octet] = other;
        svid
    };
    // The tag of a time in another class, or of one that is put together of others.
    for other in [0x57, 0x37] {
        let svid = spoilt(&[0x30, 30, 0x17, 13], 2, other);
        world.check(&svid, malformed(Malformed::Validity), "bad_validity");
    }
    // Of a name.
    for other in [0xa6, 0x06, 0xc6] {
        let svid = spoilt(&[0x30, 0x1e, 0x86, 0x1c], 2, other);
        world.check(&svid, malformed(Malformed::SanEntry), "bad_san_entry");
    }
    // The tag of something else in place of an object identifier's: of a usage, and of the extension of names.
    let usage = [0x30, 20, 0x06, 0x08, 0x2b];
    let names = [0x06, 0x03, 0x55, 0x1d, 0x11];
    for svid in [spoilt(&usage, 2, 0x07), spoilt(&names, 0, 0x07)] {
        world.check(&svid, malformed(Malformed::Encoding), "bad_encoding");
    }
    check(
        &|draft| {
            // As many as the bytes that are read of one certificate hold, none of them twice.
            let odd = |n| Extension::new(&format!("1.3.6.{n}"), false, vec![]);
            draft.extra.extend((0..1200).map(odd));
        },
        Malformed::TooManyExtensions { extensions: 1205 },
        "too_many_extensions",
    );
    check(
        &|draft| {
            draft.extra.push(mint::extension::san(
                &[San::uri("spiffe://shop.example/b")],
                false,
            ));
        },
        Malformed::DuplicateExtension {
            oid: "2.5.29.17".into(),
        },
        "duplicate_extension",
    );
    check(
        &|draft| {
            draft
                .extra
                .push(Extension::new("1.3.6.1.4.1.99999.1", true, vec![5, 0]));
        },
        Malformed::UnknownCriticalExtension {
            oid: "1.3.6.1.4.1.99999.1".into(),
        },
        "unknown_critical_extension",
    );
    check(
        &|draft| {
            draft
                .san
                .get_or_insert_default()
                .push(San::Raw(der::implicit(2, &[0xff, 0xfe])));
        },
        Malformed::SanEntry,
        "bad_san_entry",
    );
    check(
        &|draft| {
            draft
                .san
                .get_or_insert_default()
                .push(San::Ip(vec![10, 0, 0, 0, 1]));
        },
        Malformed::SanEntry,
        "bad_san_entry",
    );
    check(
        &|draft| {
            draft.usages = None;
            let value = [
                mint::extension::key_usage(&[Usage::DigitalSignature], true).value,
                vec![0],
            ]
            .concat();
            draft.extra.push(Extension::new("2.5.29.15", true, value));
        },
        Malformed::TrailingBytes,
        "trailing_bytes",
    );
}

#[test]
fn anchors_are_those_of_the_leaf_s_own_trust_domain() {
    let world = world();
    // Another CA of the same name for the trust domain, with and without an issuer between.
    let other = world.stranger.issuer().leaf(ORDERS);
    world.check(&other, Refused::UnknownIssuer, "unknown_issuer");
    world.check(
        &world.stranger.leaf(ORDERS),
        Refused::IssuerMissing { id: id(ORDERS) },
        "issuer_missing",
    );
    world.check(
        &Svid::self_signed(ORDERS),
        Refused::SelfSigned { id: id(ORDERS) },
        "self_signed",
    );
    // A trust domain nobody told us of.
    let foreign = "spiffe://elsewhere.example/orders";
    let elsewhere = Authority::root("elsewhere.example").issuer().leaf(foreign);
    world.check(
        &elsewhere,
        Refused::UnknownTrustDomain { id: id(foreign) },
        "unknown_trust_domain",
    );
    // The shop's leaf under the partner's root, and the other way round.
    let expected = Refused::ForeignRoot {
        id: id(ORDERS),
        root_of: "partner.example".into(),
    };
    world.check(
        &world.partner.leaf(ORDERS),
        expected.clone(),
        "foreign_root",
    );
    world.check(
        &world.partner.issuer().leaf(ORDERS),
        expected,
        "foreign_root",
    );
    let theirs = "spiffe://partner.example/billing";
    let expected = Refused::ForeignRoot {
        id: id(theirs),
        root_of: "shop.example".into(),
    };
    world.check(&world.issuer.leaf(theirs), expected, "foreign_root");
    assert_eq!(
        world
            .verify(&world.partner.issuer().leaf(theirs))
            .unwrap()
            .id,
        id(theirs)
    );
}

#[test]
fn an_issuer_known_for_one_trust_domain_is_not_known_for_another() {
    let world = world();
    world.verify(&world.issuer.leaf(ORDERS)).unwrap();
    let theirs = "spiffe://partner.example/billing";
    let expected = Refused::ForeignRoot {
        id: id(theirs),
        root_of: "shop.example".into(),
    };
    world.check(&world.issuer.leaf(theirs), expected, "foreign_root");
}

#[test]
fn a_chain_with_a_hole_is_refused_even_when_its_issuer_is_known() {
    let world = world();
    let mut minted = world.issuer.leaf(ORDERS);
    world.verify(&minted).unwrap();
    minted.chain.truncate(1);
    world.check(
        &minted,
        Refused::IssuerMissing { id: id(ORDERS) },
        "issuer_missing",
    );
    let upper = world
        .root
        .issuer_with(|draft| draft.basic.as_mut().unwrap().path_len = None);
    let mut minted = upper.issuer().leaf(ORDERS);
    minted.chain.pop();
    world.check(&minted, Refused::UnknownIssuer, "unknown_issuer");
}

/// Invariant 4.
#[test]
fn an_experienced_verifier_refuses_what_a_fresh_one_refuses() {
    let world = world();
    let upper = world.root.issuer_with(|draft| {
        draft.basic.as_mut().unwrap().path_len = None;
        draft.extra.push(permitted_dns_domain("shop.internal"));
    });
    let issuer = upper.issuer();
    assert_eq!(world.verify(&issuer.leaf(ORDERS)).unwrap().id, id(ORDERS));
    // Its issuer is known by now, and the constraint stands above that.
    let outside = issuer.leaf_with(ORDERS, |draft| {
        let names = draft.san.get_or_insert_default();
        names.push(San::dns("bank.example"));
    });
    world.check(&outside, Refused::NameConstraints, "name_constraints");
    // Nor does a known issuer mend a chain with a hole above it.
    let upper = world
        .root
        .issuer_with(|draft| draft.basic.as_mut().unwrap().path_len = None);
    let issuer = upper.issuer();
    assert_eq!(world.verify(&issuer.leaf(ORDERS)).unwrap().id, id(ORDERS));
    let mut cut = issuer.leaf(ORDERS);
    cut.chain.pop();
    world.check(&cut, Refused::UnknownIssuer, "unknown_issuer");
}

#[test]
fn issuers_need_not_be_sent_in_order() {
    let world = world();
    let upper = world
        .root
        .issuer_with(|draft| draft.basic.as_mut().unwrap().path_len = None);
    let mut minted = upper.issuer().leaf(ORDERS);
    minted.chain.swap(1, 2);
    minted.chain.insert(1, world.stranger.root.clone());
    assert_eq!(world.verify(&minted).unwrap().id, id(ORDERS));
}

#[test]
fn validity_is_judged_against_the_given_clock_every_time() {
    let world = world();
    let (begins, ends) = (world.now - 60, world.now + 600);
    let minted = world.issuer.leaf_with(ORDERS, |draft| {
        draft.not_before = begins;
        draft.not_after = ends;
    });
    world.verify(&minted).unwrap();
    // Both ends belong to it.
    world.verify_at(&minted, begins).unwrap();
    world.verify_at(&minted, ends).unwrap();
    let late = Refused::Expired {
        not_after: moment(ends),
        now: moment(ends + 1),
    };
    assert_eq!(world.verify_at(&minted, ends + 1), Err(late.clone()));
    assert_eq!(late.reason(), "expired");
    let early = Refused::NotYetValid {
        not_before: moment(begins),
        now: moment(begins - 1),
    };
    assert_eq!(world.verify_at(&minted, begins - 1), Err(early.clone()));
    assert_eq!(early.reason(), "not_yet_valid");
}

#[test]
fn an_issuer_or_root_that_has_ended_vouches_for_nobody() {
    let world = world();
    let ends = world.now + 600;
    let minted = world
        .root
        .issuer_with(|draft| draft.not_after = ends)
        .leaf(ORDERS);
    world.verify(&minted).unwrap();
    let expected = Refused::IssuerExpired {
        not_after: moment(ends),
        now: moment(ends + 1),
    };
    assert_eq!(world.verify_at(&minted, ends + 1), Err(expected.clone()));
    assert_eq!(expected.reason(), "issuer_expired");
    world.check_issuer(
        |draft| draft.not_before = world.now + 5,
        Refused::IssuerNotYetValid {
            not_before: moment(world.now + 5),
            now: moment(world.now),
        },
        "issuer_not_yet_valid",
    );

    let root = Authority::root_with("shop.example", Key::p256(), |draft| draft.not_after = ends);
    let verifier = Verifier::new(bundles(&[&root]));
    for minted in [root.leaf(ORDERS), root.issuer().leaf(ORDERS)] {
        let chain = ders(&minted.chain);
        let verify = |now| verifier.verify(&chain, Role::Client, at(now));
        assert_eq!(verify(ends).unwrap().id, id(ORDERS));
        let expected = Refused::IssuerExpired {
            not_after: moment(ends),
            now: moment(ends + 1),
        };
        assert_eq!(verify(ends + 1), Err(expected));
    }
}

#[test]
fn a_root_renewed_with_its_key_takes_over_from_the_old_one() {
    let world = world();
    let ends = world.now + 600;
    let old = Authority::root_with("shop.example", Key::p256(), |draft| draft.not_after = ends);
    let new = Authority::root_with("shop.example", old.key.clone(), |draft| {
        draft.subject = old.subject.clone();
        draft.issuer = old.subject.clone();
    });
    let roots = ders(&[old.root.clone(), new.root]);
    let bundle =
        countersign_identity::Bundle::from_roots(support::domain("shop.example"), roots).unwrap();
    let verifier = Verifier::new(countersign_identity::Bundles::of(bundle));
    let chain = ders(&old.issuer().leaf(ORDERS).chain);
    for now in [world.now, ends + 1] {
        assert_eq!(
            verifier.verify(&chain, Role::Client, at(now)).unwrap().id,
            id(ORDERS)
        );
    }
}

#[test]
fn an_issuer_that_may_not_sign_signs_nothing() {
    let world = world();
    let issuer = |why| Refused::Issuer(why);
    world.check_issuer(
        |draft| draft.usages = Some(vec![Usage::DigitalSignature, Usage::CrlSign]),
        issuer(IssuerError::NoKeyCertSign),
        "issuer_without_key_cert_sign",
    );
    world.check_issuer(
        |draft| draft.usages = None,
        issuer(IssuerError::NoKeyCertSign),
        "issuer_without_key_cert_sign",
    );
    world.check_issuer(
        |draft| draft.basic = None,
        issuer(IssuerError::NotCa),
        "issuer_not_ca",
    );
    world.check_issuer(
        |draft| {
            draft.basic = Some(mint::Basic {
                ca: false,
                path_len: None,
                critical: true,
            });
        },
        issuer(IssuerError::NotCa),
        "issuer_not_ca",
    );
    world.check_issuer(
        |draft| draft.version = Some(1),
        issuer(IssuerError::Malformed(Malformed::Version)),
        "issuer_malformed",
    );
    world.check_issuer(
        |draft| draft.purposes = Some(vec![CODE_SIGNING.into()]),
        Refused::IssuerEku,
        "issuer_eku",
    );
    world.check_issuer(
        |draft| draft.extra.push(permitted_uri_host("elsewhere.example")),
        Refused::NameConstraints,
        "name_constraints",
    );
    let named = world
        .root
        .issuer_with(|draft| draft.san = Some(vec![San::uri(ORDERS)]))
        .leaf(ORDERS);
    assert_eq!(world.verify(&named).unwrap_err().reason(), "issuer_id");
    // A workload that signs: the leaf of another as issuer.
    let workload = world.issuer.leaf(ORDERS);
    let mut forged = Authority {
        key: workload.key.clone(),
        ..world.issuer.clone()
    };
    forged.subject = der::name("");
    forged.chain = workload.chain;
    let forged = forged.leaf("spiffe://shop.example/ledger");
    world.check(&forged, issuer(IssuerError::NotCa), "issuer_not_ca");
}

#[test]
fn a_path_is_no_longer_than_its_issuers_allow() {
    let world = world();
    let below = world.issuer.issuer().leaf(ORDERS);
    world.check(&below, Refused::PathLength, "path_len");
    let root = Authority::root_with("shop.example", Key::p256(), |draft| {
        draft.basic.as_mut().unwrap().path_len = Some(0);
    });
    let verifier = Verifier::new(bundles(&[&root]));
    let verify = |minted: &Svid| verifier.verify(&ders(&minted.chain), Role::Client, at(world.now));
    assert_eq!(verify(&root.leaf(ORDERS)).unwrap().id, id(ORDERS));
    assert_eq!(
        verify(&root.issuer().leaf(ORDERS)),
        Err(Refused::PathLength)
    );
    let mut long = world.issuer.leaf(ORDERS);
    long.chain.resize(7, world.root.root.clone());
    world.check(
        &long,
        Refused::ChainTooLong { certificates: 7 },
        "chain_too_long",
    );
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let world = world();
    let spoilt = world
        .issuer
        .leaf_with(ORDERS, |draft| draft.spoil_signature = true);
    world.check(&spoilt, Refused::BadSignature, "bad_signature");
    // By an issuer that is known already.
    world.verify(&world.issuer.leaf(ORDERS)).unwrap();
    let forged = Authority {
        key: Key::p256(),
        ..world.issuer.clone()
    }
    .leaf(ORDERS);
    world.check(&forged, Refused::BadSignature, "bad_signature");
    let forged = Authority {
        key: Key::p256(),
        ..world.root.clone()
    }
    .issuer()
    .leaf(ORDERS);
    world.check(&forged, Refused::BadSignature, "bad_signature");
    let lying = world.issuer.leaf_with(ORDERS, |draft| {
        draft.inner_algorithm = Some(Key::p384().algorithm());
    });
    world.check(&lying, Refused::BadSignature, "bad_signature");
}
