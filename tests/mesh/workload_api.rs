//! Sidecars whose identity comes from a Workload API: rotated under load, and tried with an agent that means them ill.

use crate::support::agent::{Agent, Call};
use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::ask;
use crate::support::load::{Load, is_told, shown};
use crate::support::mesh::{Domain, allow_all};
use crate::support::pair::{inbound, outbound};
use crate::support::sidecar::Sidecar;
use crate::support::{until, within};
use api::workload::{X509svid, X509svidResponse};
use mint::Svid;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a configuration, and the agent that it names.
struct Workload {
    place: TempDir,
    agent: Agent,
}

impl Workload {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        let agent = Agent::at(&socket(place.path()));
        Workload { place, agent }
    }

    /// Its sidecar, which calls the agent.
    fn start(&self, besides: &str) -> Sidecar {
        let place = self.place.path();
        let text = format!(
            "identity:\n  trustDomain: shop.example\n  workloadApi: {{ socket: \"unix://{}\" }}\nadmin: {{ listen: \
             \"127.0.0.1:0\" }}\nmetrics: {{ listen: \"127.0.0.1:0\" }}\nhealth: {{ listen: \"127.0.0.1:0\" }}\n{besides}",
            socket(place).display()
        );
        std::fs::write(place.join("sidecar.yaml"), text).unwrap();
        let rules = allow_all(&["spiffe://shop.example/storefront"]);
        std::fs::write(place.join("policy.yaml"), rules).unwrap();
        Sidecar::waiting(&place.join("sidecar.yaml"))
    }

    async fn call(&mut self) -> Call {
        within("a call of the sidecar", self.agent.call()).await
    }
}

fn socket(place: &Path) -> PathBuf {
    place.join("agent.sock")
}

fn message(shop: &Domain, who: &str, svid: &Svid) -> X509svidResponse {
    let svid = X509svid {
        spiffe_id: shop.id(who),
        x509_svid: svid.chain.concat(),
        x509_svid_key: svid.key.pkcs8(),
        bundle: shop.root.root.clone(),
        hint: String::new(),
    };
    X509svidResponse {
        svids: vec![svid],
        ..X509svidResponse::default()
    }
}

async fn shows(at: SocketAddr, svid: &Svid) {
    until("the new certificate on the wire", async || {
        (shown(at).await == svid.chain[0]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_rotates_is_taken_under_load_without_one_failed_request() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let shop = Domain::new("shop.example");
    let (mut orders, mut storefront) = (Workload::new(), Workload::new());
    let called = orders.start(&inbound(web.addr, db.addr, "{}"));
    let to_orders = orders.call().await;
    to_orders.message(&message(&shop, "orders", &shop.svid("orders")));
    let (at, db_at) = (called.opened("web"), called.opened("db"));
    let calling = storefront.start(&outbound(at, db_at, "{}", ""));
    let to_storefront = storefront.call().await;
    to_storefront.message(&message(&shop, "storefront", &shop.svid("storefront")));
    calling.opened("http");
    calling.opened("db");
    let load = Load::start(&calling).await;
    let mut told = is_told(&web, "").await;

    for _ in 0..2 {
        let (server, client) = (shop.svid("orders"), shop.svid("storefront"));
        load.more(100).await;
        to_orders.message(&message(&shop, "orders", &server));
        to_storefront.message(&message(&shop, "storefront", &client));
        shows(at, &server).await;
        told = is_told(&web, &told).await;
        load.more(100).await;
    }

    let calls = load.end().await;
    assert!(calls >= 400, "{calls}");
}

/// The most memory that the process ever had, in KiB.
fn peak_kib(sidecar: &Sidecar) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sidecar.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_agent_costs_a_sidecar_neither_its_memory_nor_its_identity_to_come() {
    let web = HttpApp::start().await;
    let shop = Domain::new("shop.example");
    let mut orders = Workload::new();
    let called = orders.start(&inbound(web.addr, web.addr, "{}"));
    let before = peak_kib(&called);
    let started = async |part: &str| {
        until(part, async || {
            let page = ask(called.at("health"), "GET", "localhost", "/started").await;
            page.text().contains(part).then_some(())
        })
        .await;
    };

    // A hundred megabytes, announced as such.
    let call = orders.call().await;
    call.bytes(vec![0, 0x06, 0x40, 0, 0]);
    for _ in 0..100 {
        call.bytes(vec![0; 1 << 20]);
    }
    started("a message of more than 4194304 bytes").await;
    // Two million empty identities in four megabytes.
    let call = orders.call().await;
    let bomb = [0x0a, 0].repeat(2 * 1000 * 1000);
    call.bytes(crate::support::agent::framed(&bomb));
    started("more than 64 identities").await;
    // A key that is somebody else's.
    let call = orders.call().await;
    let mut mixed = message(&shop, "orders", &shop.svid("orders"));
    mixed.svids[0].x509_svid_key = shop.svid("orders").key.pkcs8();
    call.message(&mixed);
    started("the private key does not belong to the certificate").await;

    let grown = peak_kib(&called) - before;
    assert!(grown < 16 * 1024, "{grown} KiB");
    let good = shop.svid("orders");
    orders
        .call()
        .await
        .message(&message(&shop, "orders", &good));
    shows(called.opened("web"), &good).await;
}
