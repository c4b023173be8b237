//! Which way leads from a leaf to a root where several seem to, or none: the ideas of BetterTLS (paths) and of x509-limbo (RFC 5280),
//! for SPIFFE's chains.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use countersign_identity::{Bundle, Bundles, Refused, Role, Verifier};
use mint::extension::{CLIENT_AUTH, SERVER_AUTH, permitted_dns_domain, permitted_uri_host};
use mint::{Authority, Basic, Draft, Extension, Key, San, Svid, Usage, der, now_s};
use support::{at, bundles, ders, domain};

const ORDERS: &str = "spiffe://shop.example/orders";

/// What a fresh verifier says, by the label of its refusal; "believed" if there is none.
fn said(roots: &[&Authority], minted: &Svid, role: Role) -> &'static str {
    let verifier = Verifier::new(bundles(roots));
    label(verifier.verify(&ders(&minted.chain), role, at(now_s())))
}

fn label<T>(verdict: Result<T, Refused>) -> &'static str {
    verdict.map_or_else(|refused| refused.reason(), |_| "believed")
}

#[track_caller]
fn check(root: &Authority, minted: &Svid, expected: &str) {
    for role in [Role::Client, Role::Server] {
        assert_eq!(said(&[root], minted, role), expected, "as {role:?}");
    }
}

/// Another certificate of an authority, by `by`: same name, same key.
fn certified(by: &Authority, of: &Authority, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::authority(&of.trust_domain, "", &of.key);
    draft.subject = of.subject.clone();
    draft.issuer = by.subject.clone();
    draft.authority_key_id = Some(by.key.id());
    change(&mut draft);
    draft.sign(&by.key)
}

/// A leaf, and behind it these.
fn behind(issuer: &Authority, certificates: &[&[u8]]) -> Svid {
    let mut minted = issuer.leaf(ORDERS);
    minted.chain.truncate(1);
    minted
        .chain
        .extend(certificates.iter().map(|certificate| certificate.to_vec()));
    minted
}

fn ended(draft: &mut Draft) {
    draft.not_before = now_s() - 7200;
    draft.not_after = now_s() - 60;
}

/// An issuer that may have others below it.
fn upper(of: &Authority) -> Authority {
    of.issuer_with(|draft| draft.basic.as_mut().unwrap().path_len = None)
}

fn path_len(most: u8) -> impl FnOnce(&mut Draft) {
    move |draft| draft.basic.as_mut().unwrap().path_len = Some(most)
}

#[test]
fn a_good_way_is_found_beside_one_that_has_ended() {
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    let old = certified(&root, &issuer, ended);
    for order in [[&old, &issuer.certificate], [&issuer.certificate, &old]] {
        let minted = behind(&issuer, &order.map(Vec::as_slice));
        check(&root, &minted, "believed");
    }
    check(&root, &behind(&issuer, &[&old]), "issuer_expired");
}

#[test]
fn a_longer_way_is_found_beside_a_shorter_that_leads_nowhere() {
    let root = Authority::root("shop.example");
    let stranger = Authority::root("shop.example");
    let between = upper(&root);
    let issuer = between.issuer();
    let astray = certified(&stranger, &issuer, |_| {});
    for order in [
        [&astray, &issuer.certificate, &between.certificate],
        [&between.certificate, &issuer.certificate, &astray],
        [&issuer.certificate, &astray, &between.certificate],
    ] {
        let minted = behind(&issuer, &order.map(Vec::as_slice));
        check(&root, &minted, "believed");
    }
}

#[test]
fn who_has_an_issuer_s_name_and_another_key_stands_in_nobody_s_way() {
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    let namesake = Authority {
        key: Key::p256(),
        ..issuer.clone()
    };
    let decoys = [(); 3].map(|()| certified(&root, &namesake, |_| {}));
    let [one, two, three] = &decoys;
    let minted = behind(&issuer, &[one, two, three, &issuer.certificate]);
    check(&root, &minted, "believed");
    let minted = behind(&issuer, &[one, two, three]);
    check(&root, &minted, "bad_signature");
}

#[test]
fn roots_of_one_name_and_different_keys_are_each_believed_for_their_own() {
    let one = Authority::root("shop.example");
    let other = Authority::root_with("shop.example", Key::p384(), |draft| {
        draft.subject = one.subject.clone();
        draft.issuer = one.subject.clone();
    });
    for order in [[&one, &other], [&other, &one]] {
        let roots = ders(&order.map(|root| root.root.clone()));
        let bundle = Bundle::from_roots(domain("shop.example"), roots).unwrap();
        let verifier = Verifier::new(Bundles::of(bundle));
        for root in order {
            for minted in [root.leaf(ORDERS), root.issuer().leaf(ORDERS)] {
                let verdict = verifier.verify(&ders(&minted.chain), Role::Client, at(now_s()));
                assert_eq!(label(verdict), "believed");
            }
        }
    }
}

/// RFC 5280 §4.2.1.9: of an issuer, so many others may follow it before the leaf.
#[test]
fn path_lengths_hold_to_the_last_issuer() {
    let root = Authority::root_with("shop.example", Key::p256(), path_len(2));
    let exact = root.issuer_with(path_len(1)).issuer_with(path_len(0));
    check(&root, &exact.leaf(ORDERS), "believed");
    let wide = root.issuer_with(path_len(9)).issuer_with(path_len(9));
    check(&root, &wide.leaf(ORDERS), "believed");
    check(&root, &wide.issuer().leaf(ORDERS), "path_len");
    let narrow = root.issuer_with(path_len(0)).issuer_with(path_len(9));
    check(&root, &narrow.leaf(ORDERS), "path_len");
    // One that has an issuer's own name counts like any other: nobody renews a key below itself here.
    let issuer = root.issuer();
    let renewed = Authority {
        subject: issuer.subject.clone(),
        ..issuer.issuer_with(|draft| draft.subject = issuer.subject.clone())
    };
    assert_ne!(
        said(&[&root], &renewed.leaf(ORDERS), Role::Client),
        "believed"
    );
}

#[test]
fn issuers_that_vouch_for_each_other_vouch_for_nobody() {
    let root = Authority::root("shop.example");
    let stranger = Authority::root("shop.example");
    let (one, two) = (upper(&stranger), upper(&stranger));
    let of_one = certified(&two, &one, |_| {});
    let of_two = certified(&one, &two, |_| {});
    check(&root, &behind(&one, &[&of_one, &of_two]), "unknown_issuer");
    let by_itself = certified(&one, &one, |_| {});
    check(&root, &behind(&one, &[&by_itself]), "unknown_issuer");
}

/// Whoever sends certificates of one name and key, each signed by each, makes a thicket of ways: it ends soon, and nowhere.
#[test]
fn a_thicket_of_ways_ends() {
    let root = Authority::root("shop.example");
    let lost = upper(&Authority::root("shop.example"));
    let thicket = [(); 5].map(|()| certified(&lost, &lost, |_| {}));
    let minted = behind(&lost, &thicket.each_ref().map(Vec::as_slice));
    check(&root, &minted, "unknown_issuer");
}

/// All of a chain holds now, or none of it does (RFC 5280 §6.1.3); that one part began or ends before another is nobody's matter.
#[test]
fn parts_of_a_chain_may_begin_and_end_in_any_order() {
    let root = Authority::root("shop.example");
    let young = root.issuer_with(|draft| draft.not_before = now_s() - 5);
    let minted = young.leaf_with(ORDERS, |draft| draft.not_before = now_s() - 600);
    check(&root, &minted, "believed");
    let short = root.issuer_with(|draft| draft.not_after = now_s() + 60);
    let minted = short.leaf_with(ORDERS, |draft| draft.not_after = now_s() + 6000);
    check(&root, &minted, "believed");
}

/// RFC 5280 §4.2.1.1 calls it a help to find a way; names and signatures decide.
#[test]
fn an_authority_key_id_decides_nothing() {
    let root = Authority::root("shop.example");
    let wrong = root.issuer().leaf_with(ORDERS, |draft| {
        draft.authority_key_id = Some(vec![7; 20]);
    });
    check(&root, &wrong, "believed");
    let none = root.issuer_with(|draft| {
        draft.authority_key_id = None;
        draft.subject_key_id = None;
    });
    check(&root, &none.leaf(ORDERS), "believed");
}

/// RFC 5280 §4.2.1.10, on any certificate above.
#[test]
fn constraints_on_names_hold_wherever_they_stand() {
    let within = |name: &str| {
        let name = San::dns(name);
        move |draft: &mut Draft| draft.san.get_or_insert_default().push(name)
    };
    let constrained = |draft: &mut Draft| draft.extra.push(permitted_dns_domain("shop.internal"));
    let root = Authority::root_with("shop.example", Key::p256(), constrained);
    let plain = Authority::root("shop.example");
    let above = plain.issuer_with(|draft| {
        draft.basic.as_mut().unwrap().path_len = None;
        constrained(draft);
    });
    let cases = [
        (&root, root.issuer()),
        (&plain, plain.issuer_with(constrained)),
        (&plain, above.issuer()),
    ];
    for (root, issuer) in cases {
        check(root, &issuer.leaf(ORDERS), "believed");
        for (name, expected) in [
            ("orders.shop.internal", "believed"),
            ("shop.internal", "believed"),
            ("orders.shop.example", "name_constraints"),
            ("ordersshop.internal", "name_constraints"),
        ] {
            let minted = issuer.leaf_with(ORDERS, within(name));
            check(root, &minted, expected);
        }
    }
}

/// SPIFFE leaves their meaning open, and readers differ: a constraint on URIs is never taken for met.
#[test]
fn a_constraint_on_uris_is_met_by_no_id() {
    let root = Authority::root("shop.example");
    for host in ["shop.example", ".shop.example", "elsewhere.example"] {
        let issuer = root.issuer_with(|draft| draft.extra.push(permitted_uri_host(host)));
        check(&root, &issuer.leaf(ORDERS), "name_constraints");
    }
}

#[test]
fn an_issuer_is_read_as_strictly_as_a_leaf() {
    let root = Authority::root("shop.example");
    let unknown = |critical| Extension::new("1.3.6.1.4.1.99999.1", critical, vec![5, 0]);
    let checked = |change: &dyn Fn(&mut Draft), expected| {
        check(&root, &root.issuer_with(change).leaf(ORDERS), expected);
    };
    checked(&|draft| draft.extra.push(unknown(false)), "believed");
    checked(&|draft| draft.extra.push(unknown(true)), "issuer_malformed");
    checked(
        &|draft| draft.extra.extend([unknown(false), unknown(false)]),
        "issuer_malformed",
    );
    checked(&|draft| draft.serial = vec![1; 21], "issuer_malformed");
    checked(&|draft| draft.trailing = vec![0], "issuer_malformed");
    checked(&|draft| draft.version = None, "issuer_malformed");
    checked(
        &|draft| draft.not_after = draft.not_before - 1,
        "issuer_malformed",
    );
    checked(
        &|draft| draft.inner_algorithm = Some(Key::p384().algorithm()),
        "bad_signature",
    );
    checked(&|draft| draft.spoil_signature = true, "bad_signature");
    checked(
        &|draft| draft.usages = Some(vec![Usage::KeyCertSign]),
        "believed",
    );
}

#[test]
fn a_purpose_of_an_issuer_binds_what_is_below_it() {
    let root = Authority::root("shop.example");
    let callers = root.issuer_with(|draft| draft.purposes = Some(vec![CLIENT_AUTH.into()]));
    let minted = callers.leaf(ORDERS);
    assert_eq!(said(&[&root], &minted, Role::Client), "believed");
    assert_eq!(said(&[&root], &minted, Role::Server), "issuer_eku");
}

#[test]
fn what_is_a_root_or_an_issuer_is_nobody_s_leaf() {
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    let alone = |certificate: &[u8], key: &Key| Svid {
        chain: vec![certificate.to_vec()],
        key: key.clone(),
    };
    for authority in [&root, &issuer] {
        let minted = alone(&authority.certificate, &authority.key);
        check(&root, &minted, "ca_leaf");
    }
    // Also where it has the name of a workload.
    let named = root.issuer_with(|draft| draft.san = Some(vec![San::uri(ORDERS)]));
    check(&root, &alone(&named.certificate, &named.key), "ca_leaf");
}

/// RFC 5280 §4.1.2.2 asks that serials be positive, and that readers take others with good grace.
#[test]
fn odd_serials_are_read() {
    let root = Authority::root("shop.example");
    for (serial, expected) in [
        (vec![1], "believed"),
        (vec![0x7f; 20], "believed"),
        (vec![0], "believed"),
        (vec![0xff], "believed"),
        (vec![], "bad_encoding"),
        (vec![0, 1], "bad_encoding"),
        (vec![1; 21], "bad_serial"),
    ] {
        let minted = root
            .issuer()
            .leaf_with(ORDERS, |draft| draft.serial = serial.clone());
        check(&root, &minted, expected);
    }
}

/// What DER forbids of an extension's value, and of a leaf's own statement about itself.
#[test]
fn values_that_are_not_der_are_refused() {
    let root = Authority::root("shop.example");
    let checked = |change: &dyn Fn(&mut Draft), expected| {
        check(&root, &root.issuer().leaf_with(ORDERS, change), expected);
    };
    let basic = |value: Vec<u8>| {
        move |draft: &mut Draft| {
            draft.basic = None;
            draft
                .extra
                .push(Extension::new("2.5.29.19", true, value.clone()));
        }
    };
    // FALSE where it is the default is odd, and a leaf all the same to every reader.
    checked(&basic(der::sequence(&[&[1, 1, 0]])), "believed");
    // Not TRUE as DER writes it: to some readers a CA.
    checked(&basic(der::sequence(&[&[1, 1, 1]])), "bad_encoding");
    checked(&basic(der::sequence(&[&[1, 2, 0, 0]])), "bad_encoding");
    checked(
        &basic([der::sequence(&[]), vec![0]].concat()),
        "trailing_bytes",
    );
    // A length in more octets than it needs.
    checked(&basic(vec![0x30, 0x81, 0]), "bad_encoding");
    checked(&basic(vec![0x30, 0x80, 0, 0]), "bad_encoding");
    // A key usage that is no bits, and one that is of another class.
    let usage = |value: &'static [u8]| {
        move |draft: &mut Draft| {
            draft.usages = None;
            draft
                .extra
                .push(Extension::new("2.5.29.15", true, value.to_vec()));
        }
    };
    checked(&usage(&[3, 2, 7, 0x80]), "believed");
    checked(&usage(&[0x83, 2, 7, 0x80]), "bad_encoding");
    checked(&usage(&[0x23, 4, 3, 2, 7, 0x80]), "bad_encoding");
    checked(&usage(&[4, 2, 7, 0x80]), "bad_encoding");
    // Nor are names and purposes in what is no sequence.
    let named = San::uri(ORDERS);
    let names = mint::extension::san(&[named], true).value;
    for (at, other) in [(0, 0x31), (0, 0xb0), (0, 0x10)] {
        let mut value = names.clone();
        value[at] = other;
        checked(
            &|draft| {
                draft.san = None;
                draft
                    .extra
                    .push(Extension::new("2.5.29.17", true, value.clone()));
            },
            "bad_san_entry",
        );
    }
    let purposes =
        mint::extension::extended_key_usage(&[CLIENT_AUTH.into(), SERVER_AUTH.into()], false);
    let mut value = purposes.value;
    value[0] = 0xb0;
    checked(
        &|draft| {
            draft.purposes = None;
            draft
                .extra
                .push(Extension::new("2.5.29.37", false, value.clone()));
        },
        "bad_encoding",
    );
    // A path's length is for those who sign.
    checked(
        &|draft| {
            draft.basic = Some(Basic {
                ca: false,
                path_len: Some(0),
                critical: true,
            });
        },
        "believed",
    );
}
