//! Listeners that a reload changes where they are: the socket stays, and so does what is open and still allowed.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask};
use crate::support::http::{as_h1, get, h1, whole};
use crate::support::mesh::COMMON;
use crate::support::pair::{Pair, outbound};
use crate::support::sidecar::Sidecar;
use crate::support::until;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpStream;

/// A port that nobody has now.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A pair whose called side listens at ports that are written down.
struct Fixed {
    web: SocketAddr,
    db: SocketAddr,
    apps: (HttpApp, EchoApp),
    pair: Pair,
}

impl Fixed {
    async fn start() -> Self {
        let apps = (HttpApp::start().await, EchoApp::start("").await);
        let it = Fixed {
            web: free_port(),
            db: free_port(),
            pair: Pair::around(apps.0.addr, apps.1.addr),
            apps,
        };
        it.pair
            .storefront
            .configure(&outbound(it.web, it.db, "{}", ""));
        it.inbound("web", "db", "[web, db]");
        until("the ports", async || {
            let open = async |at| TcpStream::connect(at).await.is_ok();
            (open(it.web).await && open(it.db).await && it.status().await == 200).then_some(())
        })
        .await;
        it
    }
    /// The called side, its listeners of these names; what storefront may is said of `listeners`.
    fn inbound(&self, web: &str, db: &str, listeners: &str) {
        self.pair.orders.policy(&format!(
            "rules:\n  - {{ name: all, from: [\"spiffe://shop.example/storefront\"], allow: [{{ listeners: {listeners} }}] }}\n"
        ));
        self.pair.orders.configure(&format!(
            "inbound:\n  - {{ name: {web}, listen: \"{}\", app: \"{}\", protocol: http }}\n  - {{ name: {db}, listen: \"{}\", \
             app: \"{}\", protocol: tcp }}\npolicy: {{ file: policy.yaml }}\n",
            self.web, self.apps.0.addr, self.db, self.apps.1.addr
        ));
    }
    async fn status(&self) -> u16 {
        ask(self.pair.calling.at("http"), "GET", "orders", "/")
            .await
            .status
    }
}

async fn listeners(sidecar: &Sidecar) -> Vec<String> {
    let status = ask(sidecar.at("admin"), "GET", "localhost", "/status").await;
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    let listeners = status["listeners"].as_array().unwrap().iter();
    listeners
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_with_another_name_keeps_what_is_open_and_policy_knows_it_by_the_new_one() {
    let fixed = Fixed::start().await;
    let calling = &fixed.pair.calling;
    let mut kept = h1(calling.at("http")).await;
    let mut asked = async || {
        kept.ready().await.unwrap();
        let answer = kept.send_request(as_h1(get("/"))).await.unwrap();
        whole(answer).await.unwrap().0
    };
    assert_eq!(asked().await, 200);
    let mut bytes = Client::connect(calling.at("db")).await;
    bytes.send(b"ping").await.unwrap();
    assert_eq!(bytes.bytes(4).await.unwrap(), b"ping");
    let before = fixed
        .pair
        .called
        .count(
            "countersign_handshakes_total{side=\"server\",result=\"ok\",group=\"X25519MLKEM768\"}",
        )
        .await;

    // Neither the new policy nor the new configuration alone would be taken: each names what only the other has.
    fixed.inbound("api", "ledger", "[api, ledger]");
    until("the new names", async || {
        (listeners(&fixed.pair.called).await == ["api", "ledger"]).then_some(())
    })
    .await;

    assert_eq!(asked().await, 200);
    bytes.send(b"more").await.unwrap();
    assert_eq!(bytes.bytes(4).await.unwrap(), b"more");
    let after = fixed
        .pair
        .called
        .count(
            "countersign_handshakes_total{side=\"server\",result=\"ok\",group=\"X25519MLKEM768\"}",
        )
        .await;
    assert_eq!(before, after, "nobody had to shake hands again");
    // Who comes now is counted and logged under the new name.
    assert_eq!(fixed.status().await, 200);
    let mut new = Client::connect(calling.at("db")).await;
    new.send(b"ping").await.unwrap();
    assert_eq!(new.bytes(4).await.unwrap(), b"ping");
    drop(new);
    fixed
        .pair
        .called
        .logged("ledger", |line| line["listener"] == "ledger");

    // What policy no longer says of the new name ends.
    fixed.inbound("api", "ledger", "[api]");
    let ended = bytes.rest().await.map_err(|error| error.kind());
    assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(asked().await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_use_of_an_address_changes_nobody_who_calls_is_refused() {
    let app = EchoApp::start("").await;
    let pair = Pair::around(app.addr, app.addr);
    let (at, swapped, other) = (free_port(), free_port(), free_port());
    let (web, db) = (pair.called.at("web"), pair.called.at("db"));
    let services = outbound(web, db, "{}", "");
    let (_, services) = services.split_once("services:").unwrap();
    let configure = |one: &str, pages: [SocketAddr; 2]| {
        let free = "listen: \"127.0.0.1:0\"";
        let page = |name: &str, at: SocketAddr| {
            (
                format!("{name}: {{ {free} }}"),
                format!("{name}: {{ listen: \"{at}\" }}"),
            )
        };
        let (metrics, health) = (page("metrics", pages[0]), page("health", pages[1]));
        let common = COMMON
            .replace(&metrics.0, &metrics.1)
            .replace(&health.0, &health.1);
        let text = format!("{common}outbound: [{{ name: {one} }}]\nservices:{services}");
        pair.storefront.write("sidecar.yaml", &text);
    };
    let tcp = format!("it, listen: \"{at}\", protocol: tcp, service: ledger");
    let http = format!("it, listen: \"{at}\", protocol: http");
    configure(&tcp, [swapped, other]);
    until("the listener", async || TcpStream::connect(at).await.ok()).await;

    // Somebody who calls all the time, at the listener and at a page.
    let (over, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let callers: Vec<_> = [at, swapped]
        .map(|at| {
            let (over, refused) = (over.clone(), refused.clone());
            tokio::spawn(async move {
                while !over.load(Relaxed) {
                    refused.fetch_add(usize::from(TcpStream::connect(at).await.is_err()), Relaxed);
                    // Often enough to meet every gap, and seldom enough to leave the machine to the others.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            })
        })
        .into();
    let said =
        |page: SocketAddr| async move { ask(page, "GET", "localhost", "/metrics").await.status };
    for _ in 0..3 {
        configure(&http, [other, swapped]);
        until("HTTP at the address", async || {
            let mut client = Client::connect(at).await;
            client
                .send(b"GET / HTTP/1.1\r\nhost: nobody\r\n\r\n")
                .await
                .ok()?;
            let answer = client.answer().await.ok()?;
            (answer.status == 502 && said(other).await == 200).then_some(())
        })
        .await;
        configure(&tcp, [swapped, other]);
        until("bytes at the address", async || {
            let mut client = Client::connect(at).await;
            client.send(b"ping\r\n\r\n").await.ok()?;
            let echo = client.bytes(4).await.ok()?;
            (echo == b"ping" && said(swapped).await == 200).then_some(())
        })
        .await;
    }
    over.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(refused.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 30 s"]
async fn what_outlives_its_listener_is_cut_after_half_a_minute_and_says_why() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let pair = Pair::around(web.addr, db.addr);
    let (was, at) = (pair.called.at("web"), pair.called.at("db"));
    let mut bytes = Client::connect(pair.calling.at("db")).await;
    bytes.send(b"ping").await.unwrap();
    assert_eq!(bytes.bytes(4).await.unwrap(), b"ping");

    let text = outbound(was, at, "{}", "");
    let line = "  - { name: db, listen: \"127.0.0.1:0\", protocol: tcp, service: ledger }\n";
    assert!(text.contains(line));
    pair.storefront.configure(&text.replace(line, ""));

    let line =
        pair.calling
            .process
            .out
            .wait_for_within(Duration::from_secs(50), "its line", |line| {
                let line: Value = serde_json::from_str(line).unwrap();
                (line["listener"] == "db").then_some(line)
            });
    assert_eq!(line["reason"], "listener_removed", "{line}");
    assert_eq!(
        line["error"],
        "its listener is not configured any more, and it did not end in time"
    );
    // Cut, and so reset: no good end.
    let _ended = bytes.rest().await;
}
