//! Sidecar documents: what is valid, and what is found in one that is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use countersign_config::sidecar::{LogTarget, Protocol, Sidecar, Source};
use countersign_config::{Address, SpiffeId};
use std::path::Path;
use std::time::Duration;

/// The contract's example, as far as it is built.
const WHOLE: &str = r#"
identity:
  trustDomain: shop.example
  files: { certificate: svid.pem, key: key.pem, bundle: /etc/bundle.pem }
  federated: [{ trustDomain: partner.example, bundle: partner.pem }]
inbound:
  - { name: web, listen: "0.0.0.0:15006", app: "127.0.0.1:8080", protocol: http }
  - { name: db, listen: "0.0.0.0:15007", app: "127.0.0.1:5432", protocol: tcp, mode: strict, paths: strict }
outbound:
  - { name: http, listen: "127.0.0.1:15001", protocol: http, unknown: refuse }
  - { name: ledger, listen: "127.0.0.1:15432", protocol: tcp, service: ledger-db }
services:
  - name: orders
    hosts: [orders, orders.shop.svc.cluster.local]
    identity: spiffe://shop.example/orders
    endpoints: ["orders:15006"]
    tls: mutual
    timeout: 2s
  - name: ledger-db
    identity: spiffe://partner.example/ledger
    endpoints: ["ledger:15007", "[::1]:15008"]
policy: { file: policy.yaml }
limits: { header: 128KiB, headers: 100, handshake: 5s, head: 3s, connect: 500ms, idle: 1m30s }
admin: { listen: "127.0.0.1:15100", socket: /run/countersign/admin.sock }
metrics: { listen: "0.0.0.0:15020" }
health: { listen: "0.0.0.0:15021" }
telemetry:
  accessLog: { format: json, to: log/access.json }
"#;

/// The least that is a sidecar; cases are appended.
const LEAST: &str = "identity:\n  trustDomain: shop.example\n  files: { certificate: svid.pem, key: key.pem, bundle: bundle.pem }\n";

fn read(text: &str) -> Result<Sidecar, String> {
    Sidecar::parse(text, Path::new("etc/sidecar.yaml")).map_err(|findings| findings.to_string())
}

/// Findings of [`LEAST`] with `more` behind it, without the file, lines counted from `more`.
fn found(more: &str) -> Vec<String> {
    let lines = LEAST.lines().count();
    match Sidecar::parse(&format!("{LEAST}{more}"), Path::new("sidecar.yaml")) {
        Ok(_) => Vec::new(),
        Err(findings) => findings
            .0
            .iter()
            .map(|f| {
                format!(
                    "{}:{}: {}: {}; {}",
                    f.line.saturating_sub(lines),
                    f.column,
                    f.at,
                    f.what,
                    f.help
                )
            })
            .collect(),
    }
}

#[test]
fn a_whole_document_is_read() {
    let sidecar = read(WHOLE).unwrap();
    let Source::Files(files) = &sidecar.identity.source;
    assert_eq!(files.certificate, Path::new("etc/svid.pem"));
    assert_eq!(files.bundle, Path::new("/etc/bundle.pem"));
    assert_eq!(
        sidecar.identity.federated[0].bundle,
        Path::new("etc/partner.pem")
    );
    assert_eq!(sidecar.inbound[0].protocol, Protocol::Http);
    assert_eq!(
        sidecar.inbound[1].app,
        Address::parse("127.0.0.1:5432").unwrap()
    );
    assert_eq!(
        (sidecar.outbound[0].service, sidecar.outbound[1].service),
        (None, Some(1))
    );
    assert_eq!(
        sidecar.services[0].hosts[1].host(),
        "orders.shop.svc.cluster.local"
    );
    assert_eq!(sidecar.services[0].timeout, Some(Duration::from_secs(2)));
    assert_eq!(
        sidecar.services[1].identity,
        SpiffeId::parse("spiffe://partner.example/ledger").unwrap()
    );
    assert_eq!(
        sidecar.policy.as_deref(),
        Some(Path::new("etc/policy.yaml"))
    );
    assert_eq!(
        (sidecar.limits.header_bytes, sidecar.limits.headers),
        (128 * 1024, 100)
    );
    assert_eq!(
        (sidecar.limits.connect, sidecar.limits.idle),
        (Duration::from_millis(500), Duration::from_secs(90))
    );
    assert_eq!(
        sidecar.admin.socket.as_deref(),
        Some(Path::new("/run/countersign/admin.sock"))
    );
    assert_eq!(
        sidecar.telemetry.access_log,
        Some(LogTarget::File("etc/log/access.json".into()))
    );
}

#[test]
fn the_least_document_has_every_default() {
    let sidecar = read(LEAST).unwrap();
    assert_eq!(
        (sidecar.limits.header_bytes, sidecar.limits.headers),
        (65_536, 200)
    );
    assert_eq!(
        (sidecar.limits.handshake, sidecar.limits.head),
        (Duration::from_secs(10), Duration::from_secs(10))
    );
    assert_eq!(
        (sidecar.limits.connect, sidecar.limits.idle),
        (Duration::from_secs(1), Duration::from_secs(75))
    );
    assert_eq!(sidecar.admin.listen.to_string(), "127.0.0.1:15000");
    assert_eq!(
        (sidecar.metrics.to_string(), sidecar.health.to_string()),
        ("0.0.0.0:15020".into(), "0.0.0.0:15021".into())
    );
    assert_eq!(sidecar.telemetry.access_log, Some(LogTarget::Stdout));
    assert_eq!((sidecar.admin.socket, sidecar.policy), (None, None));
}
