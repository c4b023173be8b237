//! What is minted rightly reads rightly, by a parser that is not ours.
#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_mint as mint;
use mint::{Authority, CsrDraft, Key, San, extension};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

fn certificate(der: &[u8]) -> X509Certificate<'_> {
    let (rest, read) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty());
    read
}

#[test]
fn a_leaf_its_issuer_and_its_root_are_signed_by_one_another() {
    for key in [Key::p256(), Key::p384(), Key::rsa()] {
        let root = Authority::root_with("shop.example", key, |_| {});
        let issuer = root.issuer();
        let leaf = issuer.leaf("spiffe://shop.example/orders");
        let [first, second] = leaf.chain.as_slice() else {
            unreachable!("leaf and issuer")
        };
        let (top, middle, end) = (
            certificate(&root.root),
            certificate(second),
            certificate(first),
        );
        top.verify_signature(None).unwrap();
        middle.verify_signature(Some(top.public_key())).unwrap();
        end.verify_signature(Some(middle.public_key())).unwrap();
        assert_eq!(
            middle
                .basic_constraints()
                .unwrap()
                .unwrap()
                .value
                .path_len_constraint,
            Some(0)
        );
        assert!(end.key_usage().unwrap().unwrap().value.digital_signature());
        assert!(end.validity().is_valid());
        assert_eq!(end.public_key().raw, leaf.key.spki());
    }
}

#[test]
fn a_mistake_is_minted_as_it_was_asked_for() {
    let root = Authority::root("shop.example");
    let spoilt = root.leaf_with("spiffe://shop.example/orders", |draft| {
        draft.spoil_signature = true;
    });
    let issuer = certificate(&root.root);
    assert!(
        certificate(&spoilt.chain[0])
            .verify_signature(Some(issuer.public_key()))
            .is_err()
    );
    let trailing = root.leaf_with("spiffe://shop.example/orders", |draft| {
        draft.trailing = vec![7];
    });
    assert_eq!(
        X509Certificate::from_der(&trailing.chain[0]).unwrap().0,
        [7]
    );
}

#[test]
fn a_request_proves_its_key_and_may_ask_for_anything() {
    let key = Key::p256();
    let mut draft = CsrDraft::of(&key);
    draft.extensions = vec![extension::san(
        &[San::uri("spiffe://evil.example/admin")],
        false,
    )];
    let der = draft.sign(&key);
    let (_, read) = X509CertificationRequest::from_der(&der).unwrap();
    read.verify_signature().unwrap();
    assert_eq!(read.requested_extensions().unwrap().count(), 1);
    draft.spoil_signature = true;
    let der = draft.sign(&key);
    let (_, read) = X509CertificationRequest::from_der(&der).unwrap();
    assert!(read.verify_signature().is_err());
}

#[test]
#[ignore = "needs openssl: apt-get install openssl"]
fn openssl_finds_a_minted_chain_right_and_a_spoilt_one_wrong() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    let check = |leaf: mint::Svid, good: bool| {
        leaf.write_files(dir.path(), &root.bundle_pem());
        let done = std::process::Command::new("openssl")
            .args(["verify", "-x509_strict", "-CAfile", "bundle.pem"])
            .args(["-untrusted", "svid.pem", "svid.pem"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(done.status.success(), good, "{done:?}");
    };
    check(issuer.leaf("spiffe://shop.example/orders"), true);
    check(
        issuer.leaf_with("spiffe://shop.example/orders", |draft| {
            draft.spoil_signature = true;
        }),
        false,
    );
}
