//! An identity from a Workload API that others made, and our certificates before the readers of others who know SPIFFE.
//!
//! The agent is grpcio with the SPIFFE project's own messages (`agent.py`); what it serves is issued by our CA, as files.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::ask;
use crate::support::load::{Load, is_told, shown};
use crate::support::mesh::allow_all;
use crate::support::pair::{inbound, outbound};
use crate::support::process::{Process, countersign, part, run};
use crate::support::sidecar::Sidecar;
use crate::support::until;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/agent.py");

/// Python with what `.ci/parts` puts beside what cargo builds.
pub(crate) fn python() -> Command {
    part("python")
}

fn ca(place: &Path, line: &str) {
    let ran = run(countersign()
        .current_dir(place)
        .arg("ca")
        .args(line.split(' ')));
    assert_eq!(ran.code, Some(0), "ca {line}: {}", ran.err);
}

/// A workload: its agent's folder, its socket, and a sidecar that knows nothing but the socket.
struct Workload {
    name: &'static str,
    place: PathBuf,
    issued: u32,
}

impl Workload {
    fn new(domain: &Path, name: &'static str) -> Self {
        let place = domain.join(name);
        fs::create_dir_all(place.join("partners")).unwrap();
        let mut workload = Workload {
            name,
            place,
            issued: 0,
        };
        workload.issue("1h");
        workload.mode("serve");
        workload
    }

    /// Puts a new certificate and key before the agent, in one step.
    fn issue(&mut self, ttl: &str) {
        self.issued += 1;
        let (name, out) = (self.name, format!("issued-{}", self.issued));
        let domain = self.place.parent().unwrap();
        let id = format!("spiffe://shop.example/{name}");
        ca(
            domain,
            &format!("issue --dir ca --id {id} --ttl {ttl} --out {name}/{out}"),
        );
        symlink(out, self.place.join("next")).unwrap();
        fs::rename(self.place.join("next"), self.place.join("current")).unwrap();
    }

    fn mode(&self, mode: &str) {
        fs::write(self.place.join("mode.new"), mode).unwrap();
        fs::rename(self.place.join("mode.new"), self.place.join("mode")).unwrap();
    }

    fn agent(&self) -> Process {
        let agent = Process::start(
            python()
                .arg(AGENT)
                .arg(self.place.join("agent.sock"))
                .arg(&self.place),
        );
        agent
            .out
            .wait_for("the agent", |line| (line == "listening").then_some(()));
        agent
    }

    fn sidecar(&self, besides: &str) -> Sidecar {
        let config = self.place.join("sidecar.yaml");
        let socket = self.place.join("agent.sock");
        let text = format!(
            "identity:\n  trustDomain: shop.example\n  workloadApi: {{ socket: \"unix://{}\" }}\nadmin: {{ listen: \
             \"127.0.0.1:0\" }}\nmetrics: {{ listen: \"127.0.0.1:0\" }}\nhealth: {{ listen: \"127.0.0.1:0\" }}\n{besides}",
            socket.display()
        );
        fs::write(config, text).unwrap();
        fs::write(
            self.place.join("policy.yaml"),
            allow_all(&["spiffe://shop.example/storefront"]),
        )
        .unwrap();
        Sidecar::waiting(&self.place.join("sidecar.yaml"))
    }
}

fn domain() -> TempDir {
    let place = TempDir::new().unwrap();
    ca(place.path(), "init --trust-domain shop.example --dir ca");
    place
}

async fn started(sidecar: &Sidecar) -> (u16, String) {
    let answer = ask(sidecar.at("health"), "GET", "localhost", "/started").await;
    (answer.status, answer.text())
}

/// Waits until `/started` says this.
async fn says(sidecar: &Sidecar, part: &str) {
    until(part, async || {
        started(sidecar).await.1.contains(part).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip spiffe and grpcio: .ci/parts"]
async fn two_sidecars_of_an_agent_call_each_other_through_every_rotation_without_a_failed_request()
{
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let domain = domain();
    let mut orders = Workload::new(domain.path(), "orders");
    let mut storefront = Workload::new(domain.path(), "storefront");
    let _agents = [orders.agent(), storefront.agent()];
    let called = orders.sidecar(&inbound(web.addr, db.addr, "{}"));
    let (at, db_at) = (called.opened("web"), called.opened("db"));
    let calling = storefront.sidecar(&outbound(at, db_at, "{}", ""));
    calling.opened("http");
    calling.opened("db");
    let load = Load::start(&calling).await;

    let (mut seen, mut told) = (shown(at).await, is_told(&web, "").await);
    for _ in 0..3 {
        load.more(100).await;
        orders.issue("1h");
        storefront.issue("1h");
        seen = until("the new certificate on the wire", async || {
            let now = shown(at).await;
            (now != seen).then_some(now)
        })
        .await;
        told = is_told(&web, &told).await;
        load.more(100).await;
    }

    let calls = load.end().await;
    assert!(calls >= 600, "{calls}");
    let failed = calling.metrics().await;
    let failed: Vec<_> = failed
        .iter()
        .filter(|(name, _)| name.contains("method=\"GET\"") && !name.contains("code=\"200\""))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip spiffe and grpcio: .ci/parts"]
async fn a_sidecar_waits_for_its_agent_says_why_and_outlives_it() {
    let web = HttpApp::start().await;
    let domain = domain();
    let mut orders = Workload::new(domain.path(), "orders");
    let called = orders.sidecar(&inbound(web.addr, web.addr, "{}"));
    says(&called, "agent.sock: no such socket; start the agent").await;
    assert_eq!(started(&called).await.0, 503);

    orders.mode("unavailable");
    let agent = orders.agent();
    says(&called, "is not ready (the agent is starting)").await;
    orders.mode("denied");
    says(
        &called,
        "has no identity for this process (no identity issued)",
    )
    .await;
    orders.mode("serve");
    let at = called.opened("web");
    let first = shown(at).await;
    assert_eq!(started(&called).await.0, 200);

    // Gone, and what it gave still serves; back, with something newer.
    drop(agent);
    called.said("the identity was not renewed: ");
    assert_eq!(shown(at).await, first);
    orders.issue("1h");
    let agent = orders.agent();
    until("the new certificate on the wire", async || {
        (shown(at).await != first).then_some(())
    })
    .await;

    // Denied from now on: the old identity ends with its leaf, and so does the sidecar's word that it is up.
    orders.issue("10s");
    let last = shown(at).await;
    until("the last certificate on the wire", async || {
        (shown(at).await != last).then_some(())
    })
    .await;
    orders.mode("denied");
    says(&called, "the certificate ended at ").await;
    assert_eq!(started(&called).await.0, 503);
    orders.mode("serve");
    orders.issue("1h");
    until("a good end", async || {
        (started(&called).await.0 == 200).then_some(())
    })
    .await;
    drop(agent);
}

/// A file of the example, with the agent's socket where the test has it and free ports.
fn example(workload: &Workload, name: &str, ports: &[(&str, String)]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/spire");
    let mut text = fs::read_to_string(source.join(name)).unwrap();
    let socket = workload.place.join("agent.sock");
    let listen = [
        "15000", "15020", "15021", "15200", "15220", "15221", "15001",
    ];
    let free = listen.map(|port| (port, "127.0.0.1:0".to_owned()));
    for (port, to) in free.iter().chain(ports) {
        text = text.replace(&format!("127.0.0.1:{port}"), to);
    }
    text = text.replace("/run/spire/sockets/agent.sock", socket.to_str().unwrap());
    let path = workload.place.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip spiffe and grpcio: .ci/parts"]
async fn the_example_for_spire_does_what_it_says() {
    let web = HttpApp::start().await;
    let domain = domain();
    let orders = Workload::new(domain.path(), "orders");
    let storefront = Workload::new(domain.path(), "storefront");
    ca(
        domain.path(),
        "init --trust-domain partner.example --dir partner",
    );
    fs::copy(
        domain.path().join("partner/bundle.pem"),
        orders.place.join("partners/partner.example.pem"),
    )
    .unwrap();
    example(&orders, "policy.yaml", &[]);
    let called = Sidecar::waiting(&example(
        &orders,
        "orders.yaml",
        &[
            ("8080", web.addr.to_string()),
            ("15006", "127.0.0.1:0".to_owned()),
        ],
    ));
    // The order does not matter: the sidecar is there first.
    let _agents = [orders.agent(), storefront.agent()];
    let at = called.opened("web");
    let calling = Sidecar::waiting(&example(
        &storefront,
        "storefront.yaml",
        &[("15006", at.to_string())],
    ));
    let http = calling.opened("http");

    assert_eq!(ask(http, "GET", "orders", "/orders/7").await.status, 200);
    assert_eq!(ask(http, "GET", "orders", "/invoices").await.status, 403);
    let certs = ask(called.at("admin"), "GET", "localhost", "/certs").await;
    let certs: serde_json::Value = serde_json::from_str(&certs.text()).unwrap();
    let believed: Vec<&String> = certs["bundles"].as_object().unwrap().keys().collect();
    assert_eq!(believed, ["partner.example", "shop.example"]);

    // The registration federates no more: what is not sent any more is not believed any more.
    fs::remove_file(orders.place.join("partners/partner.example.pem")).unwrap();
    called.said(
        "trust domain `partner.example` is not believed: the Workload API sends no roots of it",
    );
    until("the own trust domain alone", async || {
        let certs = ask(called.at("admin"), "GET", "localhost", "/certs").await;
        let certs: serde_json::Value = serde_json::from_str(&certs.text()).ok()?;
        (certs["bundles"].as_object()?.len() == 1).then_some(())
    })
    .await;
}
