//! CA documents: what is valid, and what is found in one that is not.
#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_config::ca::{Ca, Limits};
use countersign_config::unit::Rate;
use countersign_config::{Address, TrustDomain};
use std::path::Path;
use std::time::Duration;

const LEAST: &str = "trustDomain: shop.example\ndir: state\n";

fn read(text: &str) -> Result<Ca, String> {
    Ca::parse(text, Path::new("etc/ca.yaml")).map_err(|findings| findings.to_string())
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn by_default() -> Ca {
    Ca {
        trust_domain: TrustDomain::parse("shop.example").unwrap(),
        dir: "etc/state".into(),
        listen: address("0.0.0.0:8443"),
        admin_socket: "/run/countersign/ca.sock".into(),
        leaf_ttl: Duration::from_secs(3600),
        leaf_ttl_max: Duration::from_secs(86_400),
        grace_renewal: Duration::from_secs(86_400),
        limits: Limits {
            per_identity: Rate::parse("10/m").unwrap(),
            per_source: Rate::parse("100/s").unwrap(),
            handshakes: 500,
        },
        metrics: address("0.0.0.0:9464"),
        health: address("0.0.0.0:15021"),
    }
}

#[test]
fn a_document_is_read_with_its_defaults() {
    assert_eq!(read(LEAST), Ok(by_default()));
}

#[test]
fn each_key_is_read_alone() {
    let check = |key: &str, change: fn(&mut Ca)| {
        let mut expected = by_default();
        change(&mut expected);
        assert_eq!(read(&format!("{LEAST}{key}\n")), Ok(expected), "{key}");
    };
    check("listen: \"127.0.0.1:0\"", |ca| {
        ca.listen = address("127.0.0.1:0");
    });
    check("admin: { socket: ca.sock }", |ca| {
        ca.admin_socket = "etc/ca.sock".into();
    });
    check("leaf: { ttl: 2h }", |ca| {
        ca.leaf_ttl = Duration::from_secs(7200);
    });
    check("leaf: { ttl: 10s, maxTtl: 10s }", |ca| {
        (ca.leaf_ttl, ca.leaf_ttl_max) = (Duration::from_secs(10), Duration::from_secs(10));
    });
    check("graceRenewal: 0s", |ca| ca.grace_renewal = Duration::ZERO);
    check("limits: { perIdentity: 1/h }", |ca| {
        ca.limits.per_identity = Rate::parse("1/h").unwrap();
    });
    check("limits: { perSource: 5/s }", |ca| {
        ca.limits.per_source = Rate::parse("5/s").unwrap();
    });
    check("limits: { handshakes: 10 }", |ca| ca.limits.handshakes = 10);
    check("metrics: { listen: \"127.0.0.1:0\" }", |ca| {
        ca.metrics = address("127.0.0.1:0");
    });
    check("health: { listen: \"[::1]:1\" }", |ca| {
        ca.health = address("[::1]:1");
    });
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
            "3:14: leaf.ttl: `1s` is too small; wanted a duration such as `10s` from 10s to 3d",
        ),
        (
            &format!("{LEAST}graceRenewal: 31d\n"),
            "3:15: graceRenewal: `31d` is too large; wanted a duration such as `10s` from 0s to 30d",
        ),
        (
            &format!("{LEAST}limits: {{ perIdentity: 10 }}\n"),
            "3:24: limits.perIdentity: is the number `10`; wanted a rate such as `10/m`; quote it if it is meant as text",
        ),
        (
            &format!("{LEAST}limits: {{ perSource: 100/d }}\n"),
            "3:22: limits.perSource: `100/d`: says not in what time: `/s`, `/m` or `/h` after the number; wanted a rate such as `10/m`",
        ),
        (
            &format!("{LEAST}limits: {{ perSource: 0/s }}\n"),
            "3:22: limits.perSource: `0/s`: is not from 1 to 1000000; wanted a rate such as `10/m`",
        ),
        (
            &format!("{LEAST}limits: {{ handshakes: 1 }}\n"),
            "3:23: limits.handshakes: `1` is too small; wanted a whole number from 10 to 10000",
        ),
        (
            &format!("{LEAST}listen: \"unix:/x\"\n"),
            "3:9: listen: `unix:/x`: a unix socket here: not supported yet; wanted `host:port` or `[v6]:port`",
        ),
        (
            &format!("{LEAST}listen: \"127.0.0.1:9464\"\n"),
            "3:9: listen: `127.0.0.1:9464` meets `0.0.0.0:9464`, where metrics listens by default; \
             give each listener an address of its own",
        ),
        (
            &format!("{LEAST}metrics: {{ listen: \"a:1\" }}\nhealth: {{ listen: \"a:1\" }}\n"),
            "4:19: health.listen: `a:1` meets `a:1`, where metrics listens; give each listener an address of its own",
        ),
        (
            &format!("{LEAST}admin: {{ listen: \"127.0.0.1:1\" }}\n"),
            "3:10: admin: unknown key `listen`; known here: socket",
        ),
        (
            "- a\n",
            "1:1: is a list; wanted a mapping with trustDomain, dir, listen, admin, leaf, graceRenewal, limits, metrics, health",
        ),
    ] {
        assert_eq!(read(text), Err(format!("etc/ca.yaml:{finding}")), "{text}");
    }
}

#[test]
fn what_is_not_built_yet_is_known_and_refused() {
    for (key, value) in [
        ("ackDeadline", "24h"),
        ("crl", "{ listen: \"0.0.0.0:8080\" }"),
        ("roles", "[{ uid: 1000, role: rotator }]"),
        ("telemetry", "{}"),
    ] {
        let finding = format!("etc/ca.yaml:3:1: {key}: not supported yet; remove it");
        assert_eq!(read(&format!("{LEAST}{key}: {value}\n")), Err(finding));
    }
}
