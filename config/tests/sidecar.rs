//! Sidecar documents: what is valid, and what is found in one that is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use countersign_config::sidecar::{
    FirstContact, LogTarget, On, Protocol, Retries, Sidecar, Source, State, Tls,
};
use countersign_config::{Address, SpiffeId, TrustDomain};
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
    totalTimeout: 10s
    retries: { attempts: 3, on: [503, reset], methods: [GET, POST] }
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
    let Source::Files(files) = &sidecar.identity.source else {
        panic!("not files: {:?}", sidecar.identity.source)
    };
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
        sidecar.services[1].tls.identity(),
        Some(&SpiffeId::parse("spiffe://partner.example/ledger").unwrap())
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
    assert_eq!(sidecar.limits.after_expiry, Duration::from_secs(86_400));
    assert_eq!(sidecar.admin.listen.to_string(), "127.0.0.1:15000");
    assert_eq!(
        (sidecar.metrics.to_string(), sidecar.health.to_string()),
        ("0.0.0.0:15020".into(), "0.0.0.0:15021".into())
    );
    assert_eq!(sidecar.telemetry.access_log, Some(LogTarget::Stdout));
    assert_eq!((sidecar.admin.socket, sidecar.policy), (None, None));
}

#[test]
fn each_mistake_is_one_finding_at_its_place() {
    const WEB: &str = "inbound:\n  - { name: web, listen: \"0.0.0.0:15006\", app: \"127.0.0.1:8080\", protocol: http }\npolicy: { file: p.yaml }\n";
    const ORDERS: &str = "services:\n  - name: orders\n    identity: spiffe://shop.example/orders\n    endpoints: [\"orders:15006\"]\n";
    let outside = |tls: &str| {
        format!("services:\n  - name: orders\n    endpoints: [\"orders:15006\"]\n    {tls}\n")
    };
    let listens = |listen: &str| {
        format!("outbound:\n  - {{ name: http, listen: \"{listen}\", protocol: http }}\n")
    };
    for (more, finding) in [
        // Keys.
        ("limts: {}\n".into(), "1:1: : unknown key `limts`; did you mean `limits`?"),
        (
            "health: { port: 80 }\n".into(),
            "1:11: health: unknown key `port`; known here: listen",
        ),
        ("limits: { handshake: 1s, handshake: 2s }\n".into(), "1:26: : the key `handshake` stands twice; keep one of the two"),
        ("metrics: { listen: \"0.0.0.0:1\", merge: x }\n".into(), "1:33: metrics.merge: not supported yet; remove it"),
        (
            "services:\n  - name: orders\n    idenitty: spiffe://shop.example/orders\n    endpoints: [\"orders:15006\"]\n".into(),
            "3:5: services[0]: unknown key `idenitty`; did you mean `identity`?",
        ),
        (
            "services:\n  - name: orders\n    endpoints: [\"orders:15006\"]\n".into(),
            "2:5: services[0]: `identity` is missing; add `identity: spiffe://shop.example/orders`",
        ),
        // Kinds.
        ("limits: 12\n".into(), "1:9: limits: is the number `12`; wanted a mapping with header, headers, handshake, head, connect, idle, afterExpiry, retryBuffer, connections, inFlight, streams, perIdentity, drainDelay, drainDeadline, resets, pings, streamIdle, firstByte, connectionAge, handshakes, memory"),
        ("limits:\n".into(), "1:7: limits: has no value; wanted a mapping with header, headers, handshake, head, connect, idle, afterExpiry, retryBuffer, connections, inFlight, streams, perIdentity, drainDelay, drainDeadline, resets, pings, streamIdle, firstByte, connectionAge, handshakes, memory"),
        ("limits: { headers: \"200\" }\n".into(), "1:20: limits.headers: is the text `200`; wanted a whole number from 16 to 1000"),
        ("limits: { headers: true }\n".into(), "1:20: limits.headers: is the truth value `true`; wanted a whole number from 16 to 1000"),
        ("services: orders\n".into(), "1:11: services: is the text `orders`; wanted a list"),
        ("services: []\n".into(), "1:11: services: is an empty list; name at least one, or remove the key"),
        (
            format!("{ORDERS}    hosts: [12]\n"),
            "5:13: services[0].hosts[0]: is the number `12`; wanted a host such as `orders` or `orders:8080`; quote it if it is meant as text",
        ),
        // Values.
        (
            "limits: { handshake: 10 }\n".into(),
            "1:22: limits.handshake: `10`: has no unit: one of `ms`, `s`, `m`, `h`, `d`; wanted a duration such as `10s` from 100ms to 5m",
        ),
        ("limits: { idle: 25h }\n".into(), "1:17: limits.idle: `25h` is too large; wanted a duration such as `10s` from 1s to 24h"),
        ("limits: { header: 1KiB }\n".into(), "1:19: limits.header: `1KiB` is too small; wanted a size such as `64KiB` from 8KiB to 1MiB"),
        ("limits: { headers: 100000 }\n".into(), "1:20: limits.headers: `100000` is too large; wanted a whole number from 16 to 1000"),
        (listens("15001"), "2:27: outbound[0].listen: `15001`: has no port: `host:port`; wanted `host:port`, `[v6]:port` or `unix:/path`"),
        (
            listens("unix:x.sock"),
            "2:27: outbound[0].listen: `unix:x.sock`: a unix socket needs an absolute path, such as `unix:/run/app.sock`; wanted `host:port`, `[v6]:port` or `unix:/path`",
        ),
        (
            WEB.replace("http }", "http, requireLoopback: yes }"),
            "2:99: inbound[0].requireLoopback: is the text `yes`; wanted `true` or `false`",
        ),
        (
            WEB.replace("127.0.0.1:8080", "app:8080").replace("http }", "http, requireLoopback: true }"),
            "2:48: inbound[0].app: `app:8080` is not loopback; wanted an app on `127.0.0.1`, `[::1]` or a unix socket, or no `requireLoopback`",
        ),
        (
            WEB.replace("http }", "tcp, clientHalfClose: abort }"),
            "2:98: inbound[0].clientHalfClose: `clientHalfClose` at a tcp listener; halves of bytes close one by one anyway: remove it",
        ),
        (
            "outbound: [{ name: http, listen: \"127.0.0.1:1\", protocol: http, clientHalfClose: wait }]\n".into(),
            "1:82: outbound[0].clientHalfClose: is the text `wait`; wanted `allow` or `abort`",
        ),
        (
            "health: { listen: \"unix:x.sock\" }\n".into(),
            "1:19: health.listen: `unix:x.sock`: a unix socket needs an absolute path, such as `unix:/run/app.sock`; wanted `host:port`, `[v6]:port` or `unix:/path`",
        ),
        (
            "admin: { listen: \"unix:/run/x.sock\", socket: /run/x.sock }\n".into(),
            "1:46: admin.socket: `unix:/run/x.sock` meets `unix:/run/x.sock`, where admin listens; give each listener an address of its own",
        ),
        (
            "outbound: [{ name: http, listen: \"127.0.0.1:1\", protocol: http, allowUids: [1000] }]\n".into(),
            "1:76: outbound[0].allowUids: `allowUids` where `listen` is a port; listen on a unix socket such as `unix:/run/countersign/out.sock`, or remove `allowUids`: of who calls a port the kernel says nothing",
        ),
        (
            "outbound: [{ name: http, listen: \"unix:/out\", protocol: http, allowUids: [4294967295] }]\n".into(),
            "1:75: outbound[0].allowUids[0]: `4294967295` is too large; wanted a whole number from 0 to 4294967294",
        ),
        (
            ORDERS.replace("orders:15006", "srv:orders:15006"),
            "4:17: services[0].endpoints[0]: `srv:orders:15006`: SRV records say the port: `srv:NAME`; wanted `host:port`, `[v6]:port`, `unix:/path` or `srv:NAME`",
        ),
        (
            ORDERS.replace("orders:15006", "srv:"),
            "4:17: services[0].endpoints[0]: `srv:`: `srv:` names no records, such as `srv:_mesh._tcp.orders.example`; wanted `host:port`, `[v6]:port`, `unix:/path` or `srv:NAME`",
        ),
        (
            "dns: { servers: [ns.example] }\n".into(),
            "1:18: dns.servers[0]: `ns.example`: is no IP address: a name would have to be asked of the very servers that it names; wanted an IP address, with or without a port",
        ),
        (
            ORDERS.replace("orders:15006", "orders:0"),
            "4:17: services[0].endpoints[0]: `orders:0`: nobody is reached at port 0; wanted `host:port`, `[v6]:port`, `unix:/path` or `srv:NAME`",
        ),
        (
            format!("{ORDERS}    hosts: [\"{{name}}.svc\"]\n"),
            "5:13: services[0].hosts[0]: `{name}.svc`: `{…}` in a host: not supported yet; wanted a host such as `orders` or `orders:8080`",
        ),
        (
            format!("{ORDERS}    tls: none\n"),
            "3:15: services[0].identity: `identity` where `tls` is `none`; nobody proves one there: remove it, or say `tls: mutual`",
        ),
        (
            format!("{ORDERS}    tls: {{ server: {{ roots: x.pem }} }}\n"),
            "3:15: services[0].identity: `identity` where `tls` is `server`; nobody proves one there: remove it, or say `tls: mutual`",
        ),
        (
            outside("tls: server"),
            "4:10: services[0].tls: `server` without `roots`; say who may vouch for it: `tls: { server: { roots: FILE } }`",
        ),
        (
            outside("tls: { server: { sni: orders } }"),
            "4:20: services[0].tls.server: `roots` is missing; add `roots: partner-roots.pem`",
        ),
        (
            outside("tls: { server: { roots: x.pem, sni: \"orders:443\" } }"),
            "4:41: services[0].tls.server.sni: `orders:443`: `:` is not allowed in a name; wanted a DNS name such as `api.example.com`, or an IP address",
        ),
        (
            outside("tls: { server: { roots: x.pem, sni: 10.0.0 } }"),
            "4:41: services[0].tls.server.sni: `10.0.0`: ends in a number; wanted a DNS name such as `api.example.com`, or an IP address",
        ),
        (
            outside("tls: { server: { roots: x.pem } }").replace("orders:15006", "a:1\", \"b:1"),
            "4:10: services[0].tls: `endpoints` do not name one host; add `sni:` with the name that the server's certificate holds",
        ),
        (
            outside("tls: { server: { roots: x.pem } }").replace("orders:15006", "srv:_a._tcp.b"),
            "4:10: services[0].tls: `endpoints` do not name one host; add `sni:` with the name that the server's certificate holds",
        ),
        (
            outside("tls: 1.2"),
            "4:10: services[0].tls: is the number `1.2`; wanted `mutual`, `none` or `server: { roots: FILE }`; quote it if it is meant as text",
        ),
        (
            "outbound: [{ name: x, listen: \"127.0.0.1:1\", protocol: tcp, service: orders, unknown: passthrough }]\n".to_owned() + ORDERS,
            "1:87: outbound[0].unknown: `unknown: passthrough` at a tcp listener; bytes name no destination, and without redirection they came with none: remove it, and name the one service behind it by `service`",
        ),
        (
            "outbound: [{ name: x, listen: \"127.0.0.1:1\", protocol: http, service: orders, unknown: passthrough }]\n".to_owned() + ORDERS,
            "1:88: outbound[0].unknown: `unknown: passthrough` beside `service`; everything goes to that service, whatever it names: remove one of the two",
        ),
        (format!("{ORDERS}    tls: mutal\n"), "5:10: services[0].tls: is the text `mutal`; did you mean `mutual`?"),
        (WEB.replace("http }", "http, mode: lax }"), "2:88: inbound[0].mode: is the text `lax`; wanted `strict` or `permissive`"),
        (
            WEB.replace("http }", "tcp, probes: [{ path: /healthz }] }"),
            "2:89: inbound[0].probes: `probes` at a tcp listener; bytes have no paths: remove it",
        ),
        (
            WEB.replace("http }", "http, probes: [{ path: \"/x/**\" }] }"),
            "2:99: inbound[0].probes[0].path: `/x/**`: is a pattern: whoever has no identity calls one path; wanted a path such as `/healthz`",
        ),
        (
            "  federated: [{ trustDomain: plaintext.invalid, bundle: x.pem }]\n".into(),
            "1:30: identity.federated[0].trustDomain: `plaintext.invalid`: is kept for callers in clear text; wanted a trust domain such as `shop.example`",
        ),
        ("telemetry: { accessLog: { to: \"\" } }\n".into(), "1:31: telemetry.accessLog.to: ``: is empty; wanted `stdout` or the path of a file"),
        // Agreement.
        (
            format!("{}  - {{ name: http, listen: \"127.0.0.1:15002\", protocol: http }}\n", listens("127.0.0.1:15001")),
            "3:13: outbound[1].name: `http` is also the name at outbound[0].name; each name stands once",
        ),
        (
            format!("{ORDERS}{}", &ORDERS["services:\n".len()..]),
            "5:11: services[1].name: `orders` is also the name at services[0].name; each name stands once",
        ),
        (
            format!("{ORDERS}    hosts: [a]\n{}    hosts: [b, A]\n", &ORDERS["services:\n".len()..].replace("name: orders", "name: two")),
            "9:16: services[1].hosts[1]: `A` is also the host at services[0].hosts[0]; each host belongs to one service",
        ),
        (
            format!("{}  - {{ name: two, listen: \"127.0.0.1:15001\", protocol: http }}\n", listens("0.0.0.0:15001")),
            "3:26: outbound[1].listen: `127.0.0.1:15001` meets `0.0.0.0:15001`, where outbound[0] listens; give each listener an address of its own",
        ),
        (
            listens("127.0.0.1:15000"),
            "2:27: outbound[0].listen: `127.0.0.1:15000` meets `127.0.0.1:15000`, where admin listens by default; give each listener an address of its own",
        ),
        (
            WEB.replace("127.0.0.1:8080", "127.0.0.1:15006"),
            "2:48: inbound[0].app: `127.0.0.1:15006` is where inbound[0] listens; name the address of the app: this would call ourselves",
        ),
        (
            listens("127.0.0.1:15001").replace("protocol: http", "protocol: tcp"),
            "2:5: outbound[0]: a tcp listener without `service`; bytes name no host: add `service:` with the name of the service behind it",
        ),
        (
            format!("{ORDERS}{}", listens("127.0.0.1:15001").replace("http }", "http, service: ordres }")),
            "6:71: outbound[0].service: there is no service `ordres`; did you mean `orders`?",
        ),
        (
            WEB.lines().take(2).map(|line| format!("{line}\n")).collect(),
            "2:3: inbound: an inbound listener without a policy; add `policy: { file: policy.yaml }`: no policy means no",
        ),
        (
            ORDERS.replace("shop.example", "other.example"),
            "3:15: services[0].identity: `other.example` is a trust domain whose roots are not known; wanted an identity of the own trust domain, or of one under `identity.federated`",
        ),
        (
            "admin: { listen: \"0.0.0.0:15000\" }\n".into(),
            "1:18: admin.listen: `0.0.0.0:15000` is not loopback; wanted a loopback address such as `127.0.0.1:15000`, or a unix socket: these pages tell the whole configuration",
        ),
    ] {
        assert_eq!(found(&more), [finding], "{more}");
    }
}

#[test]
fn federated_domains_are_others_and_each_stands_once() {
    let with = |domains: &[&str]| {
        let items: Vec<_> = domains
            .iter()
            .map(|domain| format!("    - {{ trustDomain: {domain}, bundle: b.pem }}\n"))
            .collect();
        found(&format!("  federated:\n{}", items.concat()))
    };
    assert_eq!(with(&["a.example", "b.example"]), [""; 0]);
    assert_eq!(
        with(&["a.example", "shop.example"]),
        [
            "3:22: identity.federated[1].trustDomain: `shop.example` is the own trust domain; remove it: its roots are those of `identity`"
        ]
    );
    assert_eq!(
        with(&["a.example", "a.example"]),
        [
            "3:22: identity.federated[1].trustDomain: `a.example` is federated twice; put all of its roots into one bundle"
        ]
    );
}

#[test]
fn what_is_not_built_yet_is_known_and_refused() {
    for more in [
        "revocationStaleness: { after: 1h, then: warn }",
        "telemetry: { otlp: { endpoint: \"http://collector:4318\" } }",
        "telemetry: { sampling: { ratio: 0.1 } }",
        "metrics: { merge: \"http://127.0.0.1:8080/metrics\" }",
        "policy: { file: policy.yaml, shadow: next.yaml }",
    ] {
        let found = found(&format!("{more}\n"));
        assert!(
            found.len() == 1 && found[0].contains(": not supported yet; "),
            "{more}: {found:?}"
        );
    }
    let more = "inbound: [{ name: web, listen: \"0.0.0.0:1\", app: \"127.0.0.1:2\", protocol: http, xfcc: { appendFrom: [] } }]\npolicy: { file: p }\n";
    let found = found(more);
    assert!(
        found.len() == 1 && found[0].contains(": not supported yet; "),
        "{found:?}"
    );
}

#[test]
fn how_a_service_outside_the_mesh_is_secured_is_read() {
    let tls = |tls: &str, endpoints: &str| {
        let text =
            format!("{LEAST}services: [{{ name: x, endpoints: [{endpoints}], tls: {tls} }}]\n");
        read(&text).unwrap().services.remove(0).tls
    };
    let server = |name: &str| Tls::Server {
        name: name.into(),
        roots: "etc/x.pem".into(),
    };
    assert_eq!(tls("none", "\"db:5432\""), Tls::None);
    let by_default = "{ server: { roots: x.pem } }";
    assert_eq!(
        tls(by_default, "\"API.example:443\""),
        server("api.example")
    );
    assert_eq!(
        tls(by_default, "\"a.example:1\", \"a.example:2\""),
        server("a.example")
    );
    assert_eq!(
        tls(by_default, "\"[2001:db8::1]:443\""),
        server("2001:db8::1")
    );
    let named = "{ server: { roots: x.pem, sni: api.example } }";
    assert_eq!(
        tls(named, "\"srv:_api._tcp.example\""),
        server("api.example")
    );
}

/// Findings of one service with `more` keys.
fn of_service(more: &str) -> Vec<String> {
    found(&format!(
        "services: [{{ name: x, identity: spiffe://shop.example/x, endpoints: [\"x:1\"], {more} }}]\n"
    ))
}

#[test]
fn retries_are_read_with_their_defaults_and_their_words() {
    let sidecar = read(WHOLE).unwrap();
    let written = Retries {
        attempts: 3,
        on: vec![On::Unavailable, On::Reset],
        methods: Some(vec!["GET".into(), "POST".into()]),
    };
    assert_eq!(sidecar.services[0].retries, Some(written));
    assert_eq!(
        sidecar.services[0].total_timeout,
        Some(Duration::from_secs(10))
    );
    assert_eq!(sidecar.services[1].retries, None);
    assert_eq!(sidecar.limits.retry_buffer_bytes, 64 * 1024);

    let least = WHOLE.replace(
        "retries: { attempts: 3, on: [503, reset], methods: [GET, POST] }",
        "retries: {}",
    );
    let defaults = Retries {
        attempts: 2,
        on: vec![On::ConnectFailure, On::Reset, On::Unavailable],
        methods: None,
    };
    assert_eq!(read(&least).unwrap().services[0].retries, Some(defaults));

    for quoted in ["on: [\"503\"]", "on: [connect-failure, '503', reset]"] {
        assert_eq!(of_service(&format!("retries: {{ {quoted} }}")), [""; 0]);
    }
    for (more, what) in [
        ("retries: { attempts: 0 }", "`0` is too small"),
        ("retries: { attempts: 6 }", "`6` is too large"),
        ("retries: { on: [] }", "is an empty list"),
        ("retries: { on: [5xx] }", "`5xx`"),
        ("retries: { on: [504] }", "504"),
        ("retries: { methods: [get] }", "case matters"),
        ("totalTimeout: 0s", "`0s` is too small"),
        ("totalTimeout: 10", "has no unit"),
    ] {
        let found = of_service(more);
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{more}: {found:?}"
        );
    }
}

/// Findings of an identity with `source` in it, without the file.
fn identity(source: &str) -> Vec<String> {
    let text = format!("identity:\n  trustDomain: shop.example\n{source}");
    let findings = match Sidecar::parse(&text, Path::new("sidecar.yaml")) {
        Ok(_) => return Vec::new(),
        Err(findings) => findings,
    };
    let line = |f: &countersign_config::Finding| {
        format!(
            "{}:{}: {}: {}; {}",
            f.line - 2,
            f.column,
            f.at,
            f.what,
            f.help
        )
    };
    findings.0.iter().map(line).collect()
}

const FILES: &str = "  files: { certificate: svid.pem, key: key.pem, bundle: bundle.pem }\n";
const CA: &str = "  ca: { address: \"ca:8443\", bundle: b.pem, joinToken: { file: token } }\n";

#[test]
fn an_identity_from_a_ca_names_its_files_and_keeps_nothing_unless_told_where() {
    let of = |keys: &str| {
        let text = format!("identity:\n  trustDomain: shop.example\n{keys}");
        match read(&text).unwrap().identity.source {
            Source::Ca { ca, state } => (ca, state),
            other => panic!("not a CA: {other:?}"),
        }
    };
    let (ca, state) = of(CA);
    assert_eq!(ca.address, Address::parse("ca:8443").unwrap());
    assert_eq!(ca.join_token.file_name(), Some("token".as_ref()));
    let FirstContact::Bundle(bundle) = &ca.first_contact else {
        panic!("no bundle: {ca:?}")
    };
    assert_eq!(bundle.file_name(), Some("b.pem".as_ref()));
    assert_eq!(state, State::Memory);
    assert_eq!(of(&format!("{CA}  stateDir: memory\n")).1, State::Memory);
    assert_eq!(
        of(&format!("{CA}  stateDir: /var/lib/x\n")).1,
        State::Folder("/var/lib/x".into())
    );
}

#[test]
fn a_workload_api_has_a_socket_or_the_environment_s_and_names_whom_it_may_bring_along() {
    let of = |source: &str| {
        let text = format!("identity:\n  trustDomain: shop.example\n  workloadApi: {source}\n");
        let sidecar = read(&text).unwrap();
        assert!(sidecar.identity.federated.is_empty());
        let Source::WorkloadApi(api) = sidecar.identity.source else {
            panic!("not a Workload API: {:?}", sidecar.identity.source)
        };
        (api.socket, api.federated)
    };
    assert_eq!(of("{}"), (None, Vec::new()));
    let (socket, federated) = of(
        "{ socket: \"unix:///run/agent.sock\" }\n  federated: [{ trustDomain: a.example }, { trustDomain: b.example }]",
    );
    assert_eq!(socket.as_deref(), Some(Path::new("/run/agent.sock")));
    let federated: Vec<&str> = federated.iter().map(TrustDomain::as_str).collect();
    assert_eq!(federated, ["a.example", "b.example"]);
}

#[test]
fn roots_of_others_are_in_files_unless_a_workload_api_brings_them() {
    let api = "  workloadApi: {}\n";
    for (source, finding) in [
        (
            format!("{FILES}  federated: [{{ trustDomain: a.example }}]\n"),
            "2:15: identity.federated[0]: `bundle` is missing; add `bundle: partner.pem`",
        ),
        (
            format!("{api}  federated: [{{ trustDomain: a.example, bundle: a.pem }}]\n"),
            "2:49: identity.federated[0].bundle: stands beside `workloadApi`, which brings the roots along; remove it, and federate the workload's registration with that trust domain",
        ),
        (
            format!(
                "{api}  federated: [{{ trustDomain: a.example }}, {{ trustDomain: a.example }}]\n"
            ),
            "2:58: identity.federated[1].trustDomain: `a.example` is federated twice; put all of its roots into one bundle",
        ),
        (
            format!("{api}  stateDir: memory\n"),
            "2:13: identity.stateDir: stands beside `workloadApi`, which keeps nothing; remove it: it is for `ca` only",
        ),
    ] {
        assert_eq!(identity(&source), [finding]);
    }
}

#[test]
fn an_identity_has_one_source_and_each_mistake_in_it_one_finding() {
    let fingerprint = |text: &str| {
        format!(
            "  ca: {{ address: \"ca:8443\", fingerprint: \"{text}\", joinToken: {{ file: token }} }}\n"
        )
    };
    let of_ca = |keys: &str| format!("  ca: {{ {keys} }}\n");
    for (source, finding) in [
        (
            "".into(),
            "0:3: identity: none of `files`, `ca`, `workloadApi` is there; add one of them",
        ),
        (
            format!("{FILES}{CA}"),
            "2:7: identity.ca: `ca` stands beside `files`; keep one of the two",
        ),
        (
            format!("{CA}{FILES}"),
            "2:10: identity.files: `files` stands beside `ca`; keep one of the two",
        ),
        (
            format!("{FILES}  stateDir: /var/lib/countersign\n"),
            "2:13: identity.stateDir: stands beside `files`, which keeps nothing; remove it: it is for `ca` only",
        ),
        (
            format!("{CA}  stateDir: \"\"\n"),
            "2:13: identity.stateDir: ``: is empty; wanted `memory` or the path of a folder",
        ),
        (
            of_ca("address: \"ca:8443\", joinToken: { file: token }"),
            "1:7: identity.ca: none of `bundle`, `fingerprint` is there; add one of them",
        ),
        (
            of_ca(&format!(
                "address: \"ca:8443\", bundle: b.pem, fingerprint: \"sha256:{}\", joinToken: {{ file: token }}",
                "ab".repeat(32)
            )),
            "1:57: identity.ca.fingerprint: `fingerprint` stands beside `bundle`; keep one of the two",
        ),
        (
            fingerprint("ab"),
            "1:42: identity.ca.fingerprint: `ab`: does not begin with `sha256:`; wanted `sha256:` and 64 hexadecimal digits",
        ),
        (
            fingerprint("sha256:ab"),
            "1:42: identity.ca.fingerprint: `sha256:ab`: has 2 hexadecimal digits; wanted `sha256:` and 64 hexadecimal digits",
        ),
        (
            fingerprint("sha256:AB:CD"),
            "1:42: identity.ca.fingerprint: `sha256:AB:CD`: `:` is no hexadecimal digit; wanted `sha256:` and 64 hexadecimal digits",
        ),
        (
            of_ca("address: ca, bundle: b.pem, joinToken: { file: token }"),
            "1:18: identity.ca.address: `ca`: has no port: `host:port`; wanted `host:port` or `[v6]:port`",
        ),
        (
            of_ca("address: \"ca:8443\", bundle: b.pem"),
            "1:7: identity.ca: `joinToken` is missing; add `joinToken: { file: /run/secrets/join-token }`",
        ),
        (
            of_ca("address: \"ca:8443\", bundle: b.pem, joinToken: {}"),
            "1:55: identity.ca.joinToken: `file` is missing; add `file: /run/secrets/join-token`",
        ),
        (
            of_ca("address: \"ca:8443\", bundle: b.pem, kubernetes: { tokenFile: t }"),
            "1:44: identity.ca.kubernetes: not supported yet; remove it",
        ),
        (
            "  workloadApi: { socket: \"/run/agent.sock\" }\n".into(),
            "1:26: identity.workloadApi.socket: `/run/agent.sock`: is no unix socket; wanted a unix socket such as `unix:///run/spire/agent.sock`",
        ),
        (
            "  workloadApi: { socket: \"unix:agent.sock\" }\n".into(),
            "1:26: identity.workloadApi.socket: `unix:agent.sock`: a unix socket needs an absolute path, such as `unix:/run/app.sock`; wanted a unix socket such as `unix:///run/spire/agent.sock`",
        ),
    ] {
        assert_eq!(identity(&source), [finding], "{source}");
    }
}

#[test]
fn a_token_that_stands_in_the_document_is_refused_and_not_repeated() {
    let source = "  ca: { address: \"ca:8443\", bundle: b.pem, joinToken: s3cret }\n";
    let found = identity(source).concat();
    assert!(
        found.contains("joinToken: stands here itself; write it into a file"),
        "{found}"
    );
    assert!(!found.contains("s3cret"), "{found}");
}

#[test]
fn twelve_mistakes_are_twelve_findings_at_their_lines() {
    let text = r#"identity:
  trustDomain: Shop.example
  files: { certificate: svid.pem, key: key.pem }
inbound:
  - name: web
    listen: "0.0.0.0"
    app: "127.0.0.1:8080"
    protocol: https
    requireLoopback: yes
outbound:
  - { name: web, listen: "127.0.0.1:15001", protocol: http, servce: orders }
  - { name: db, listen: "127.0.0.1:15001", protocol: tcp, service: ledger }
services:
  - name: orders
    identity: spiffe://shop.example/orders
    endpoints: []
    timeout: 2
limits:
  head: 1ms
policy: { file: policy.yaml }
"#;
    let findings = Sidecar::parse(text, Path::new("sidecar.yaml")).unwrap_err();
    let lines: Vec<usize> = findings.0.iter().map(|finding| finding.line).collect();
    assert_eq!(
        lines,
        [2, 3, 6, 8, 9, 11, 11, 12, 12, 16, 17, 19],
        "{findings}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_finding_about_the_whole() {
    let findings = Sidecar::load(Path::new("/nonexistent/sidecar.yaml")).unwrap_err();
    assert_eq!(
        findings.to_string(),
        "/nonexistent/sidecar.yaml: cannot be read: No such file or directory (os error 2); check the path and its permissions"
    );
}
