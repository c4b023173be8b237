//! Every mistake that a certificate can have, with the reason for which it must be refused: one table for both ends.

use crate::support::mesh::Domain;
use mint::extension::SERVER_AUTH;
use mint::{Basic, San, Svid, Usage, now_s};

/// Two trust domains that believe each other, and certificates for `who` of the first with one mistake each.
pub(crate) fn certificates(
    shop: &Domain,
    partner: &Domain,
    who: &str,
) -> Vec<(&'static str, Svid, &'static str)> {
    let id = &shop.id(who);
    let issuer = &shop.issuer;
    let issued = |usages: Vec<Usage>| {
        shop.root
            .issuer_with(|draft| draft.usages = Some(usages))
            .leaf(id)
    };
    let basic = |ca| {
        Some(Basic {
            ca,
            path_len: None,
            critical: true,
        })
    };
    let elsewhere = Domain::new("elsewhere.example");
    let alone = Svid {
        chain: vec![shop.svid(who).chain.remove(0)],
        ..shop.svid(who)
    };
    vec![
        ("self-signed", Svid::self_signed(id), "self_signed"),
        (
            "other CA",
            Domain::new("shop.example").svid(who),
            "unknown_issuer",
        ),
        (
            "other trust domain",
            elsewhere.svid(who),
            "unknown_trust_domain",
        ),
        (
            "under another domain's root",
            partner.issuer.leaf(id),
            "foreign_root",
        ),
        (
            "another domain's under ours",
            issuer.leaf(&partner.id(who)),
            "foreign_root",
        ),
        (
            "expired",
            issuer.leaf_with(id, |it| it.not_after = now_s() - 5),
            "expired",
        ),
        (
            "not yet valid",
            issuer.leaf_with(id, |it| it.not_before = now_s() + 600),
            "not_yet_valid",
        ),
        (
            "two URI SANs",
            issuer.leaf_with(id, |it| it.san.get_or_insert_default().push(San::uri(id))),
            "two_uri_sans",
        ),
        (
            "no SAN",
            issuer.leaf_with(id, |it| it.san = None),
            "no_uri_san",
        ),
        (
            "CA:TRUE",
            issuer.leaf_with(id, |it| {
                it.basic = basic(true);
            }),
            "ca_leaf",
        ),
        (
            "no digitalSignature",
            issuer.leaf_with(id, |it| it.usages = Some(vec![Usage::KeyAgreement])),
            "no_digital_signature",
        ),
        (
            "no basicConstraints",
            issuer.leaf_with(id, |it| it.basic = None),
            "no_basic_constraints",
        ),
        (
            "EKU with only serverAuth",
            issuer.leaf_with(id, |it| it.purposes = Some(vec![SERVER_AUTH.into()])),
            "bad_eku",
        ),
        ("intermediate missing", alone, "issuer_missing"),
        (
            "issuer without keyCertSign",
            issued(vec![Usage::CrlSign]),
            "issuer_without_key_cert_sign",
        ),
        (
            "issuer that is no CA",
            shop.root
                .issuer_with(|it| {
                    it.basic = basic(false);
                })
                .leaf(id),
            "issuer_not_ca",
        ),
        (
            "a signature of another key",
            issuer.leaf_with(id, |it| it.spoil_signature = true),
            "bad_signature",
        ),
        (
            "another's certificate, without its key",
            Svid {
                key: mint::Key::p256(),
                ..shop.svid(who)
            },
            "bad_signature",
        ),
    ]
}
