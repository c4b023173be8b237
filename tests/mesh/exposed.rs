//! An app that listens beyond loopback is reached past its sidecar: noticed, told, and where it must not be, refused.

use crate::support::client::{Answer, Client, ask};
use crate::support::mesh::{Domain, Member, allow_all};
use crate::support::pair::outbound;
use crate::support::sidecar::{Sidecar, text};
use crate::support::until;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An app that answers everything, until it is dropped.
struct App(JoinHandle<()>);

impl App {
    async fn listen(at: &str) -> (Self, u16) {
        let listener = TcpListener::bind(at).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = socket.write_all(answer).await;
            }
        };
        (App(tokio::spawn(serving)), port)
    }

    async fn close(self) {
        self.0.abort();
        let _ = self.0.await;
    }
}

/// `storefront`, who may do everything at `orders`, whose app is at this port.
struct Between {
    _members: [Member; 2],
    calling: Sidecar,
    called: Sidecar,
}

impl Between {
    fn before(port: u16, more: &str) -> Self {
        let shop = Domain::new("shop.example");
        let (storefront, orders) = (shop.member("storefront"), shop.member("orders"));
        orders.policy(&allow_all(&["spiffe://shop.example/storefront"]));
        let inbound = |name, protocol| {
            format!(
                "  - {{ name: {name}, listen: \"127.0.0.1:0\", app: \"127.0.0.1:{port}\", protocol: {protocol}{more} }}\n"
            )
        };
        orders.configure(&format!(
            "inbound:\n{}{}policy: {{ file: policy.yaml }}\n",
            inbound("web", "http"),
            inbound("db", "tcp")
        ));
        let called = orders.start();
        storefront.configure(&outbound(called.at("web"), called.at("db"), "{}", ""));
        let calling = storefront.start();
        Between {
            _members: [storefront, orders],
            calling,
            called,
        }
    }

    async fn ask(&self) -> Answer {
        ask(self.calling.at("http"), "GET", "orders", "/").await
    }

    async fn exposed(&self, value: u64) {
        self.called
            .counts("countersign_app_exposed{listener=\"web\"}", value)
            .await;
    }

    fn warnings(&self) -> usize {
        let lines = self.called.process.err.so_far();
        let about = |line: &&String| {
            let message = text(line, "message").unwrap_or_default();
            message.contains("beyond loopback") && text(line, "listener").as_deref() == Some("web")
        };
        lines.iter().filter(about).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_beyond_loopback_is_told_once_and_again_when_it_comes_back() {
    let (app, port) = App::listen("0.0.0.0:0").await;
    let between = Between::before(port, "");

    let said = between.called.said("listens beyond loopback");
    let who = format!("0.0.0.0:{port} (mesh");
    assert!(said.contains(&who), "{said}");
    between.exposed(1).await;
    assert_eq!(between.ask().await.status, 200);
    assert_eq!(between.called.started().await, "started\n");

    app.close().await;
    let (app, _) = App::listen(&format!("127.0.0.1:{port}")).await;
    between.called.said("reached through this sidecar only");
    between.exposed(0).await;
    assert_eq!(between.warnings(), 1);

    app.close().await;
    let (_app, _) = App::listen(&format!("[::]:{port}")).await;
    between.exposed(1).await;
    until("the second warning", async || {
        (between.warnings() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_loopback_is_required_nothing_reaches_an_app_beyond_it_until_it_is_mended() {
    let (app, port) = App::listen("0.0.0.0:0").await;
    let between = Between::before(port, ", requireLoopback: true");

    let why = format!("the app behind web listens on 0.0.0.0:{port}, past this sidecar");
    until("/started says why", async || {
        between.called.started().await.contains(&why).then_some(())
    })
    .await;
    let answer = between.ask().await;
    assert_eq!(
        (answer.status, answer.header("proxy-status")),
        (
            503,
            Some("countersign; error=destination_unavailable; details=\"app_exposed\"; reached=?0")
        )
    );
    let mut bytes = Client::connect(between.calling.at("db")).await;
    let _ = bytes.send(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(bytes.rest().await.unwrap_or_default(), b"");
    let line = between
        .called
        .logged("the refused bytes", |line| line["listener"] == "db");
    assert_eq!(line["reason"], "app_exposed", "{line}");

    app.close().await;
    let (_app, _) = App::listen(&format!("127.0.0.1:{port}")).await;
    until("/started", async || {
        (between.called.started().await == "started\n").then_some(())
    })
    .await;
    assert_eq!(between.ask().await.status, 200);
    let mut bytes = Client::connect(between.calling.at("db")).await;
    bytes.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(bytes.answer().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_listens_at_the_apps_port_and_is_the_sidecar_itself_is_no_news() {
    let (_app, port) = App::listen("127.0.0.1:0").await;
    let (shop, besides) = (Domain::new("shop.example"), "127.0.0.2");
    let orders = shop.member("orders");
    orders.policy("rules: []\n");
    let at = SocketAddr::new(besides.parse().unwrap(), port);
    orders.configure(&format!(
        "inbound: [{{ name: web, listen: \"{at}\", app: \"127.0.0.1:{port}\", protocol: http, requireLoopback: true }}]\n\
         policy: {{ file: policy.yaml }}\n"
    ));
    let called = orders.start();
    called
        .counts("countersign_app_exposed{listener=\"web\"}", 0)
        .await;
    until("/started", async || {
        (called.started().await == "started\n").then_some(())
    })
    .await;
}
