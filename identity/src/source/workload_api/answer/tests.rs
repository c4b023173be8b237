#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use mint::Authority;
use proptest::prelude::*;
use std::path::PathBuf;

const ORDERS: &str = "spiffe://shop.example/orders";

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

fn wanted(federated: &[&str]) -> Wanted {
    Wanted {
        socket: PathBuf::from("/run/agent.sock"),
        trust_domain: domain("shop.example"),
        federated: federated.iter().map(|name| domain(name)).collect(),
    }
}

fn sent(minted: &mint::Svid, id: &str, root: &Authority) -> X509svid {
    X509svid {
        spiffe_id: id.to_owned(),
        x509_svid: minted.chain.concat(),
        x509_svid_key: minted.key.pkcs8(),
        bundle: root.root.clone(),
        hint: String::new(),
    }
}

/// A good message, and the root that it leads to.
fn good() -> (X509svidResponse, Authority) {
    let root = Authority::root("shop.example");
    let minted = root.issuer().leaf(ORDERS);
    let answer = X509svidResponse {
        svids: vec![sent(&minted, ORDERS, &root)],
        ..X509svidResponse::default()
    };
    (answer, root)
}

fn judged(answer: &X509svidResponse, wanted: &Wanted) -> Result<Judged, &'static str> {
    judge(&answer.encode_to_vec(), wanted, 1, UnixTime::now()).map_err(|why| why.reason())
}

fn reason(answer: &X509svidResponse) -> Result<String, &'static str> {
    let judged = judged(answer, &wanted(&[]))?;
    Ok(judged.generation.svid().leaf().id.to_string())
}

/// The good message with one thing changed.
fn changed(change: impl FnOnce(&mut X509svid, &Authority)) -> Result<String, &'static str> {
    let (mut answer, root) = good();
    change(&mut answer.svids[0], &root);
    reason(&answer)
}

#[test]
fn a_message_that_a_peer_would_believe_is_a_generation() {
    assert_eq!(reason(&good().0), Ok(ORDERS.to_owned()));
}

/// As SPIRE makes them: more usages than a leaf needs, basicConstraints critical, a subject.
#[test]
fn a_certificate_of_spire_s_template_is_taken() {
    let (mut answer, root) = good();
    let minted = root.issuer().leaf_with(ORDERS, |draft| {
        draft.subject = mint::der::name("SPIRE");
        draft.usages = Some(vec![
            mint::Usage::DigitalSignature,
            mint::Usage::KeyEncipherment,
            mint::Usage::KeyAgreement,
        ]);
        draft.basic = Some(mint::Basic {
            ca: false,
            path_len: None,
            critical: true,
        });
    });
    answer.svids = vec![sent(&minted, ORDERS, &root)];
    assert_eq!(reason(&answer), Ok(ORDERS.to_owned()));
}

#[test]
fn of_several_svids_the_first_of_our_trust_domain_is_ours() {
    let (ours, other) = (
        Authority::root("shop.example"),
        Authority::root("other.example"),
    );
    let of = |root: &Authority, id: &str| sent(&root.issuer().leaf(id), id, root);
    let answer = X509svidResponse {
        svids: vec![
            of(&other, "spiffe://other.example/orders"),
            X509svid {
                spiffe_id: "Spiffe://shop.example/odd".to_owned(),
                ..X509svid::default()
            },
            X509svid {
                hint: "in\nside".to_owned(),
                ..of(&ours, ORDERS)
            },
            of(&ours, "spiffe://shop.example/payments"),
        ],
        ..X509svidResponse::default()
    };
    let judged = judged(&answer, &wanted(&[])).unwrap();
    assert_eq!(judged.generation.svid().leaf().id.as_str(), ORDERS);
    assert_eq!(judged.hint, "in\\nside");
}

#[test]
fn a_message_without_an_identity_of_ours_says_whose_it_has() {
    let none = X509svidResponse::default();
    assert_eq!(reason(&none), Err("workload_api_no_svid"));

    let named = |id: &str| X509svid {
        spiffe_id: id.to_owned(),
        ..X509svid::default()
    };
    let others = X509svidResponse {
        svids: vec![named("spiffe://other.example/a"), named("spiffe://x/b")],
        ..X509svidResponse::default()
    };
    let why = judge(&others.encode_to_vec(), &wanted(&[]), 1, UnixTime::now()).unwrap_err();
    assert_eq!(
        why.to_string(),
        "what the Workload API sent is not used: it is for spiffe://other.example/a and 1 more, and \
         `identity.trustDomain` is `shop.example`; register this workload there, or correct the configuration"
    );
}

#[test]
fn each_field_that_is_not_what_it_says_is_refused_with_its_own_reason() {
    let check = |change: fn(&mut X509svid, &Authority), expected| {
        assert_eq!(changed(change).map(drop), Err(expected));
    };
    check(
        |svid, _| svid.spiffe_id = "spiffe://shop.example/payments".to_owned(),
        "workload_api_other_identity",
    );
    check(
        |svid, _| svid.x509_svid_key = mint::Key::p256().pkcs8(),
        "key_mismatch",
    );
    check(|svid, _| svid.x509_svid_key.clear(), "key_unsupported");
    check(|svid, _| svid.x509_svid_key.truncate(40), "key_unsupported");
    check(|svid, _| svid.x509_svid.clear(), "svid_empty");
    // How long a chain is depends on its signatures: one byte less is always too few.
    check(
        |svid, _| svid.x509_svid.truncate(svid.x509_svid.len() - 1),
        "workload_api_chain",
    );
    check(|svid, _| svid.x509_svid.push(0x30), "workload_api_chain");
    check(|svid, root| svid.x509_svid = root.root.clone(), "ca_leaf");
    check(
        |svid, root| svid.x509_svid.extend(root.root.repeat(6)),
        "chain_too_long",
    );
    check(|svid, _| svid.bundle.clear(), "bundle_empty");
    check(|svid, _| svid.bundle.truncate(300), "workload_api_bundle");
    check(
        |svid, _| svid.bundle = Authority::root("shop.example").root,
        "unknown_issuer",
    );
    check(
        |svid, _| svid.bundle = Authority::root("other.example").root,
        "bundle_of_other_domain",
    );
    check(
        |svid, _| {
            let roots = (0..=ROOTS_MAX).map(|_| Authority::root("shop.example").root);
            svid.bundle = roots.collect::<Vec<_>>().concat();
        },
        "bundle_too_large",
    );
}

#[test]
fn the_message_s_word_for_an_identity_is_not_taken() {
    let (mut answer, root) = good();
    let foreign = Authority::root("other.example");
    // Named ours, and its certificate and roots are others'.
    let minted = foreign.issuer().leaf("spiffe://other.example/orders");
    answer.svids = vec![sent(&minted, ORDERS, &foreign)];
    assert_eq!(reason(&answer), Err("workload_api_other_identity"));
    // Roots of ours vouch for it, and it is of another domain all the same.
    let crossing = root.issuer().leaf("spiffe://other.example/orders");
    answer.svids = vec![sent(&crossing, ORDERS, &root)];
    assert_eq!(reason(&answer), Err("workload_api_other_identity"));
}

#[test]
fn a_leaf_is_taken_in_its_time_and_at_no_other() {
    let (mut answer, root) = good();
    let issuer = root.issuer();
    let mut at = |not_before: i64, not_after: i64| {
        let minted = issuer.leaf_with(ORDERS, |draft| {
            draft.not_before = mint::now_s() + not_before;
            draft.not_after = mint::now_s() + not_after;
        });
        answer.svids = vec![sent(&minted, ORDERS, &root)];
        reason(&answer).map(drop)
    };
    assert_eq!(at(-60, -1), Err("expired"));
    assert_eq!(at(60, 600), Err("not_yet_valid"));
    assert_eq!(at(-60, 60), Ok(()));
}

#[test]
fn a_root_that_is_there_twice_is_there_once() {
    let (mut answer, root) = good();
    answer.svids[0].bundle = root.root.repeat(2);
    let judged = judged(&answer, &wanted(&[])).unwrap();
    let bundle = judged.generation.bundles().get("shop.example").unwrap();
    assert_eq!(bundle.roots().len(), 1);
}

#[test]
fn roots_of_others_are_taken_for_the_domains_that_are_named_and_for_no_others() {
    let (mut answer, _) = good();
    let partner = Authority::root("partner.example");
    answer.federated_bundles.extend([
        ("spiffe://partner.example".to_owned(), partner.root.clone()),
        ("spiffe://stranger.example".to_owned(), partner.root.clone()),
        ("spiffe://broken.example".to_owned(), partner.root.clone()),
        ("plain.example".to_owned(), partner.root),
    ]);
    let wanted = wanted(&["partner.example", "broken.example", "late.example"]);
    let judged = judged(&answer, &wanted).unwrap();
    let believed: Vec<&str> = judged
        .generation
        .bundles()
        .iter()
        .map(|bundle| bundle.trust_domain().as_str())
        .collect();
    assert_eq!(believed, ["partner.example", "shop.example"]);
    assert_eq!(
        judged.unmet,
        [
            Unmet::Unfit(
                domain("broken.example"),
                RootsRefused::Bundle(BundleError::OtherDomain {
                    number: 1,
                    found: domain("partner.example"),
                    wanted: domain("broken.example"),
                })
            ),
            Unmet::NotSent(domain("late.example")),
            Unmet::NotNamed("plain.example".to_owned()),
            Unmet::NotNamed("spiffe://stranger.example".to_owned()),
        ]
    );
}

#[test]
fn what_is_the_same_and_what_is_not_can_be_told_apart() {
    let (mut answer, root) = good();
    let digest = |answer: &X509svidResponse, federated: &[&str]| {
        judged(answer, &wanted(federated)).unwrap().digest
    };
    let first = digest(&answer, &[]);
    let partner = Authority::root("partner.example");
    answer
        .federated_bundles
        .insert("spiffe://partner.example".to_owned(), partner.root);
    assert_eq!(digest(&answer, &[]), first, "nobody wants that domain");
    assert_ne!(digest(&answer, &["partner.example"]), first);
    answer.svids[0]
        .bundle
        .extend(Authority::root("shop.example").root);
    assert_ne!(digest(&answer, &[]), first);
    answer.svids = vec![sent(&root.issuer().leaf(ORDERS), ORDERS, &root)];
    assert_ne!(digest(&answer, &[]), first);
}

#[test]
fn revocation_lists_are_refused_and_not_overlooked() {
    let (mut answer, _) = good();
    answer.crl = vec![vec![0x30, 0]];
    assert_eq!(reason(&answer), Err("workload_api_revocation_lists"));
}

#[test]
fn members_are_counted_before_they_are_made() {
    let refused = |message: &[u8]| {
        judge(message, &wanted(&[]), 1, UnixTime::now())
            .unwrap_err()
            .reason()
    };
    // An empty member each, in two bytes: two million SVIDs, and as many lists.
    assert_eq!(
        refused(&[0x0a, 0].repeat(2_000_000)),
        "workload_api_too_many"
    );
    assert_eq!(
        refused(&[0x12, 0].repeat(2_000_000)),
        "workload_api_too_many"
    );
    assert_eq!(
        refused(&[0x1a, 0].repeat(2_000_000)),
        "workload_api_too_many"
    );
    assert_eq!(refused(&[0x0a, 0].repeat(SVIDS_MAX)), "wrong_trust_domain");
    assert_eq!(refused(&[0x0a, 0xff]), "workload_api_undecodable");
    assert_eq!(refused(b"GET / HTTP/1.1\r\n"), "workload_api_undecodable");
    assert_eq!(refused(b""), "workload_api_no_svid");
}

#[test]
fn every_half_of_a_message_is_refused() {
    let whole = good().0.encode_to_vec();
    for length in 1..whole.len() {
        let half = judge(&whole[..length], &wanted(&[]), 1, UnixTime::now());
        let reason = half.map(drop).map_err(|why| why.reason());
        assert_eq!(reason, Err("workload_api_undecodable"), "{length} bytes");
    }
}

#[test]
fn text_from_outside_stays_one_short_line() {
    assert_eq!(shown("as\r\nis \u{1b}[31m"), "as\\r\\nis \\u{1b}[31m");
    assert_eq!(shown(&"x".repeat(200)), "x".repeat(200));
    assert_eq!(shown(&"x".repeat(100_000)), format!("{}…", "x".repeat(200)));
}

proptest! {
    /// A changed message is taken as what it was, or refused with a reason: nothing panics, and nobody else comes out of it.
    #[test]
    fn a_spoilt_message_is_refused_or_is_who_it_was(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let (mut answer, root) = good();
            answer.federated_bundles.insert("spiffe://partner.example".to_owned(), root.root);
            answer.encode_to_vec()
        });
        let mut spoilt = WHOLE.clone();
        spoilt[at.index(WHOLE.len())] = with;
        let cut = cut.index(2 * WHOLE.len());
        spoilt.truncate(cut.max(1));
        match judge(&spoilt, &wanted(&["partner.example"]), 1, UnixTime::now()) {
            Ok(judged) => prop_assert_eq!(judged.generation.svid().leaf().id.as_str(), ORDERS),
            Err(why) => prop_assert!(!why.reason().is_empty() && !why.to_string().contains('\n')),
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let reason = judge(&bytes, &wanted(&[]), 1, UnixTime::now()).unwrap_err().reason();
        let reasons = ["workload_api_undecodable", "workload_api_no_svid", "wrong_trust_domain"];
        prop_assert!(reasons.contains(&reason), "{}", reason);
    }
}
