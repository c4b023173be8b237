//! CA documents: what is valid, and what is found in one that is not.
#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_config::TrustDomain;
use countersign_config::ca::Ca;
use std::path::Path;
use std::time::Duration;

const LEAST: &str = "trustDomain: shop.example\ndir: state\n";

fn read(text: &str) -> Result<Ca, String> {
    Ca::parse(text, Path::new("etc/ca.yaml")).map_err(|findings| findings.to_string())
}

#[test]
fn a_document_is_read_with_its_defaults() {
    let expected = Ca {
        trust_domain: TrustDomain::parse("shop.example").unwrap(),
        dir: "etc/state".into(),
        leaf_ttl: Duration::from_secs(3600),
        leaf_ttl_max: Duration::from_secs(86_400),
    };
    assert_eq!(read(LEAST), Ok(expected.clone()));
    let longer = Ca {
        leaf_ttl: Duration::from_secs(7200),
        ..expected
    };
    assert_eq!(read(&format!("{LEAST}leaf: {{ ttl: 2h }}\n")), Ok(longer));
}

#[test]
fn each_mistake_is_one_finding_at_its_place() {
    for (text, finding) in [
        (
            "dir: x\n",
            "1:1: `trustDomain` is missing; add `trustDomain: shop.example`",
        ),
        (
            "trustDomain: shop.example\n",
            "1:1: `dir` is missing; add `dir: /var/lib/countersign-ca`",
        ),
        (
            "trust-domain: shop.example\ndir: x\n",
            "1:1: unknown key `trust-domain`; did you mean `trustDomain`?",
        ),
        (
            &format!("{LEAST}leaf: {{ ttl: 25h }}\n"),
            "3:14: leaf.ttl: `ttl` (1d1h) is longer than `maxTtl` (1d); shorten the one or lengthen the other",
        ),
        (
            &format!("{LEAST}leaf: {{ maxTtl: 30m }}\n"),
            "3:17: leaf.maxTtl: `ttl` (1h) is longer than `maxTtl` (30m); shorten the one or lengthen the other",
        ),
        (
            &format!("{LEAST}leaf: {{ ttl: 1s }}\n"),
            "3:14: leaf.ttl: `1s` is too small; wanted a duration such as `10s` from 1m to 30d",
        ),
        (
            "- a\n",
            "1:1: is a list; wanted a mapping with trustDomain, dir, leaf",
        ),
    ] {
        assert_eq!(read(text), Err(format!("etc/ca.yaml:{finding}")), "{text}");
    }
}

#[test]
fn what_only_a_serving_ca_needs_is_known_and_refused() {
    for (key, value) in [
        ("listen", "\"0.0.0.0:8443\""),
        ("admin", "{ socket: /run/countersign/ca.sock }"),
        ("graceRenewal", "24h"),
        ("limits", "{ perIdentity: 10/m }"),
        ("ackDeadline", "24h"),
        ("crl", "{ listen: \"0.0.0.0:8080\" }"),
        ("roles", "[{ uid: 1000, role: rotator }]"),
        ("metrics", "{ listen: \"0.0.0.0:9464\" }"),
        ("health", "{ listen: \"0.0.0.0:15021\" }"),
        ("telemetry", "{}"),
    ] {
        let finding = format!("etc/ca.yaml:3:1: {key}: not supported yet; remove it");
        assert_eq!(read(&format!("{LEAST}{key}: {value}\n")), Err(finding));
    }
}
