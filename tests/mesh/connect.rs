//! The outbound listener as a forward proxy: CONNECT to declared tcp services, and what HTTP/1.0 leaves out.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::Client;
use crate::support::http::{Flow, h2};
use crate::support::pair::{Pair, outbound};
use crate::support::tls;
use crate::support::{until, within};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks for a connection; the answer's status and the reason of a refusal.
async fn connect(at: SocketAddr, head: &str) -> (Client<TcpStream>, u16, String) {
    let mut client = Client::connect(at).await;
    client.send(head.as_bytes()).await.unwrap();
    let head = client.raw_head().await.unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let reason = head.split("details=\"").nth(1).map(str::to_owned);
    let reason = reason.map(|rest| rest.split('"').next().unwrap().to_owned());
    assert!(status != 200 || !head.contains("content-length"), "{head}");
    (client, status, reason.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_to_a_declared_tcp_service_gives_its_bytes_and_is_told_at_its_end() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("hello").await);
    let pair = Pair::around(web.addr, db.addr);
    // A Content-Length is of no meaning there, and the service may be spoken to before the answer came.
    let head = "CONNECT ledger:5432 HTTP/1.1\r\nhost: elsewhere\r\ncontent-length: 0\r\n\r\nping";
    let (mut client, status, _) = connect(pair.calling.at("http"), head).await;
    assert_eq!(status, 200);
    assert_eq!(client.bytes(9).await.unwrap(), b"helloping");
    client.half_close().await.unwrap();
    assert_eq!(client.rest().await.unwrap(), b"");

    let line = pair
        .calling
        .logged("it", |line| line["method"] == "CONNECT");
    let told = [
        "status",
        "host",
        "service",
        "request_bytes",
        "response_bytes",
    ];
    assert_eq!(
        told.map(|key| line[key].to_string()),
        ["200", "\"ledger:5432\"", "\"ledger\"", "4", "9"],
        "{line}"
    );
    let line = pair.called.logged("it", |line| line["listener"] == "db");
    assert_eq!(line["peer_id"], "spiffe://shop.example/storefront");

    // Over HTTP/2 it is a stream, beside others.
    let mut sender = h2(pair.calling.at("http")).await;
    let ask = Request::builder()
        .method(Method::CONNECT)
        .uri("ledger:5432");
    let mut answer = sender
        .send_request(ask.body(Flow::none()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let stream = within("the stream", hyper::upgrade::on(&mut answer)).await;
    let mut stream = TokioIo::new(stream.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut came = [0; 9];
    within("an echo", stream.read_exact(&mut came))
        .await
        .unwrap();
    assert_eq!(&came, b"helloping");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_to_anything_else_is_refused_and_ends_the_connection() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let pair = Pair::around(web.addr, db.addr);
    let at = pair.calling.at("http");
    for (target, more, status, reason) in [
        ("orders:80", "", 502, "connect_to_no_tcp_service"),
        ("nobody:5432", "", 502, "no_such_service"),
        (&db.addr.to_string(), "", 502, "no_such_service"),
        ("ledger", "", 400, "connect_without_port"),
        (
            "ledger:5432",
            "content-length: 4\r\n",
            400,
            "connect_with_body",
        ),
        ("http://ledger:5432/", "", 400, "connect_without_authority"),
    ] {
        // What is said to whom it asked for is no request to us.
        let head = format!(
            "CONNECT {target} HTTP/1.1\r\nhost: x\r\n{more}\r\nGET /after HTTP/1.1\r\nhost: orders\r\n\r\n"
        );
        let (mut client, was, why) = connect(at, &head).await;
        assert_eq!((was, why.as_str()), (status, reason), "{target}");
        let rest = client.rest().await.unwrap_or_default();
        assert!(!rest.windows(5).any(|it| it == b"HTTP/"), "{target}");
    }
    assert_eq!((web.seen().len(), db.connections()), (0, 0));

    // From the network nobody is connected anywhere.
    let svid = pair.shop.svid("storefront");
    let config = tls::client(Some(&svid), &[]);
    let mut client = Client::connect_tls(pair.called.at("web"), config, "orders")
        .await
        .unwrap();
    client
        .send(b"CONNECT ledger:5432 HTTP/1.1\r\nhost: ledger\r\n\r\n")
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 501);
    assert!(answer.text().contains("connect_is_outbound_only"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_host_has_a_port_is_connected_to_under_that_port_only() {
    let db = EchoApp::start("").await;
    let pair = Pair::around(SocketAddr::from(([127, 0, 0, 1], 1)), db.addr);
    let with_port = outbound(pair.called.at("web"), pair.called.at("db"), "{}", "")
        .replace("hosts: [ledger]", "hosts: [\"ledger:5432\"]");
    pair.storefront.configure(&with_port);
    let at = pair.calling.at("http");
    let status = async |port: u16| {
        let head = format!("CONNECT ledger:{port} HTTP/1.1\r\nhost: ledger\r\n\r\n");
        connect(at, &head).await.1
    };
    until("the new configuration", async || {
        (status(22).await == 502).then_some(())
    })
    .await;
    assert_eq!(status(5432).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_passes_with_and_without_host() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    for (listener, host, seen) in [
        ("http", "host: orders\r\n", "orders"),
        ("bound", "host: any.host\r\n", "any.host"),
        // Who names nobody on a listener with `service` asks for that.
        ("bound", "", "orders"),
    ] {
        let mut client = Client::connect(pair.calling.at(listener)).await;
        let ask = format!("GET /old HTTP/1.0\r\n{host}\r\n");
        client.send(ask.as_bytes()).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{listener} {host}: {}", answer.text());
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(client.rest().await.unwrap(), b"", "it ends by close");
        assert_eq!(app.seen().pop().unwrap().header("host"), Some(seen));
    }
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 502);
}
