//! A certificate that differs from what was asked for in any one thing is not released, and the thing is named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use super::*;
use crate::authority::{Algorithm, Authority};
use crate::authorize::{Grant, TTL_MAX};
use crate::csr::Csr;
use crate::key::PublicKey;
use crate::sign::sign;
use config::{SpiffeId, TrustDomain};
use identity::{Bundles, Key};
use std::time::{SystemTime, UNIX_EPOCH};

const NOW_S: u64 = 1_795_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn authority() -> Authority {
    let domain = TrustDomain::parse("shop.example").unwrap();
    Authority::create(&domain, Algorithm::P256, now()).unwrap()
}

fn leaf_template(authority: &Authority) -> Template {
    let id = SpiffeId::parse("spiffe://shop.example/orders").unwrap();
    let request = identity::Csr::create(&Key::generate().unwrap(), &id).unwrap();
    let hour = Duration::from_secs(3600);
    Template::leaf(
        &Grant::decide(authority.trust_domain(), &id, hour, TTL_MAX).unwrap(),
        &Csr::from_der(request.der()).unwrap(),
        Serial::from_random([9; 20]),
        authority.issuer().certificate().validity(),
        now(),
    )
    .unwrap()
}

fn judged(authority: &Authority, signed: Signed) -> Result<Checked, CheckFailed> {
    let peers = Verifier::new(Bundles::of(authority.bundle().clone()));
    check_leaf(signed, authority.issuer(), &peers)
}

#[test]
fn a_leaf_that_says_anything_else_than_asked_is_not_released() {
    type Change = fn(&mut Template);
    let table: &[(&str, Change)] = &[
        ("serial", |asked| {
            asked.serial = Serial::from_random([8; 20]);
        }),
        ("notBefore", |asked| asked.validity.not_before_s += 1),
        ("notAfter", |asked| asked.validity.not_after_s -= 1),
        ("subject", |asked| asked.common_name = Some("orders".into())),
        ("public key", |asked| {
            asked.key = PublicKey::from_spki(&Key::generate().unwrap().spki()).unwrap();
        }),
        ("subjectAltName", |asked| {
            asked.uri = "spiffe://shop.example/order".into();
        }),
        ("keyUsage", |asked| asked.profile = Profile::Issuer),
    ];
    let authority = authority();
    for (field, change) in table {
        let template = leaf_template(&authority);
        let mut signed = sign(template, By::Authority(authority.issuer())).unwrap();
        change(&mut signed.template);

        let outcome = judged(&authority, signed);

        assert_eq!(outcome, Err(CheckFailed::Differs { field }));
    }
}

#[test]
fn a_leaf_with_more_than_was_asked_for_is_not_released() {
    type Change = fn(&mut rcgen::CertificateParams);
    let table: &[(&str, Change)] = &[
        ("number of extensions", |wrong| {
            let extra =
                rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999], vec![5, 0]);
            wrong.custom_extensions.push(extra);
        }),
        ("basicConstraints", |wrong| {
            wrong.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }),
        ("subjectKeyIdentifier", |wrong| {
            wrong.is_ca = rcgen::IsCa::NoCa;
        }),
        ("subjectAltName", |wrong| {
            let name = "orders".try_into().unwrap();
            wrong.subject_alt_names.push(rcgen::SanType::DnsName(name));
        }),
        ("keyUsage", |wrong| {
            wrong.key_usages.push(rcgen::KeyUsagePurpose::KeyCertSign);
        }),
        ("extendedKeyUsage", |wrong| {
            drop(wrong.extended_key_usages.pop());
        }),
        ("authorityKeyIdentifier", |wrong| {
            wrong.use_authority_key_identifier_extension = false;
        }),
        ("serial", |wrong| wrong.serial_number = None),
    ];
    let authority = authority();
    let issuer = authority.issuer();
    for (field, change) in table {
        let template = leaf_template(&authority);
        let mut wrong = crate::sign::parameters(&template).unwrap();
        change(&mut wrong);
        let key = rcgen::SubjectPublicKeyInfo::from_der(template.key.spki()).unwrap();
        let der = wrong.signed_by(&key, issuer.encoder()).unwrap().into();

        let outcome = judged(&authority, Signed { template, der });

        assert_eq!(outcome, Err(CheckFailed::Differs { field }));
    }
}

#[test]
fn a_leaf_by_another_issuer_or_with_a_turned_bit_is_not_released() {
    let (ours, other) = (authority(), authority());
    let by_other = sign(leaf_template(&ours), By::Authority(other.issuer())).unwrap();
    assert_eq!(
        judged(&ours, by_other),
        Err(CheckFailed::Differs { field: "issuer" })
    );

    let whole = sign(leaf_template(&ours), By::Authority(ours.issuer())).unwrap();
    for at in 0..whole.der.len() {
        let mut turned = whole.der.to_vec();
        turned[at] ^= 0x10;
        let signed = Signed {
            template: whole.template.clone(),
            der: turned.into(),
        };

        let outcome = judged(&ours, signed);

        assert!(outcome.is_err(), "octet {at}");
    }
    judged(&ours, whole).unwrap();
}

#[test]
fn an_authority_by_another_key_is_not_released() {
    let domain = TrustDomain::parse("shop.example").unwrap();
    let (ours, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let key = PublicKey::from_spki(&ours.spki()).unwrap();
    let template = Template::root(&domain, &key, Serial::from_random([9; 20]), now()).unwrap();

    let by_other = sign(template.clone(), By::Itself(&other)).unwrap();
    let mut spoiled = sign(template, By::Itself(&ours)).unwrap();
    let mut octets = spoiled.der.to_vec();
    *octets.last_mut().unwrap() ^= 1;
    spoiled.der = octets.into();

    let outcome = check_authority(by_other, By::Itself(&other));
    assert_eq!(
        outcome,
        Err(CheckFailed::Differs {
            field: "public key"
        })
    );
    let outcome = check_authority(spoiled, By::Itself(&ours));
    assert_eq!(outcome, Err(CheckFailed::Signature));
}
