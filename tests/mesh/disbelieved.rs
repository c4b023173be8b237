//! What is open to a server whose root its caller takes away: it ends at once, by whatever protocol it is open.

use crate::support::client::Client;
use crate::support::http::{Flow, as_h1, frame, h1, h2, request};
use crate::support::mesh::Domain;
use crate::support::pair::{Otherwise, Pair, outbound};
use crate::support::traffic::Apps;
use crate::support::within;
use hyper::Version;
use hyper::body::Incoming;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What is promised, from the moment at which the new generation is in force.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const GENERATION: &str = "countersign_config_generation";

async fn is_open(client: &mut Client<TcpStream>) {
    client.send(b"on").await.unwrap();
    assert_eq!(client.bytes(2).await.unwrap(), b"on");
}

/// A connection of bytes, by CONNECT.
async fn tunnel(pair: &Pair) -> Client<TcpStream> {
    let mut client = Client::connect(pair.calling.at("http")).await;
    let ask = b"CONNECT ledger:5432 HTTP/1.1\r\nhost: ledger:5432\r\n\r\n";
    client.send(ask).await.unwrap();
    assert!(client.raw_head().await.unwrap().contains(" 200 "));
    is_open(&mut client).await;
    client
}

async fn websocket(pair: &Pair) -> Client<TcpStream> {
    let mut client = Client::connect(pair.calling.at("http")).await;
    let ask =
        b"GET /chat HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    client.send(ask).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 101);
    is_open(&mut client).await;
    client
}

/// A call whose both bodies go on.
async fn stream(pair: &Pair, version: Version) -> (crate::support::http::Pen, Incoming) {
    let (pen, flow) = Flow::open();
    let (at, ask) = (pair.calling.at("http"), request("POST", "/both", flow));
    let sent = async {
        match version {
            Version::HTTP_2 => h2(at).await.send_request(ask).await,
            _ => h1(at).await.send_request(as_h1(ask)).await,
        }
    };
    let mut answer = within("an answer", sent).await.unwrap().into_body();
    pen.data("on").await;
    assert!(frame(&mut answer).await.unwrap().is_ok());
    (pen, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_open_to_a_server_ends_when_its_root_is_taken_away() {
    let apps = Apps::start().await;
    let pair = Pair::around(apps.web.addr, apps.db.addr);
    let mut bytes = Client::connect(pair.calling.at("db")).await;
    is_open(&mut bytes).await;
    let mut tunnel = tunnel(&pair).await;
    let mut websocket = websocket(&pair).await;
    let one = stream(&pair, Version::HTTP_11).await;
    let two = stream(&pair, Version::HTTP_2).await;

    // A policy, a route or a certificate that others believe changes nothing of that.
    let before = pair.calling.count(GENERATION).await;
    let renewed = pair.shop.svid("storefront");
    renewed.write_files(pair.storefront.folder(), &pair.shop.root.bundle_pem());
    pair.calling.counts(GENERATION, before + 1).await;
    for client in [&mut bytes, &mut tunnel, &mut websocket] {
        is_open(client).await;
    }

    let other = Domain::new("shop.example");
    let known = other.svid("storefront");
    known.write_files(pair.storefront.folder(), &other.root.bundle_pem());
    pair.calling.counts(GENERATION, before + 2).await;
    let since = Instant::now();

    // With or without a reset.
    let mut took = Vec::new();
    let _whichever = within("bytes", bytes.rest()).await;
    took.push(("bytes", since.elapsed()));
    let _whichever = within("a tunnel", tunnel.rest()).await;
    took.push(("a tunnel", since.elapsed()));
    let _whichever = within("a WebSocket", websocket.rest()).await;
    took.push(("a WebSocket", since.elapsed()));
    for (what, (_pen, mut answer)) in [("HTTP/1", one), ("HTTP/2", two)] {
        while frame(&mut answer).await.is_some_and(|frame| frame.is_ok()) {}
        took.push((what, since.elapsed()));
    }
    assert!(took.iter().all(|(_, took)| *took < ENDS_WITHIN), "{took:?}");
    for path in ["/chat", "/both"] {
        let line = pair.calling.logged(path, |line| line["path"] == path);
        assert_eq!(line["reason"], "unknown_issuer", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_ends_when_its_endpoint_is_its_services_no_more() {
    let apps = Apps::start().await;
    let pair = Pair::around_with(apps.web.addr, apps.db.addr, Otherwise::default());
    let mut gone = tunnel(&pair).await;
    let mut kept = websocket(&pair).await;

    let (web, db) = (pair.called.at("web"), pair.called.at("web"));
    let before = pair.calling.count(GENERATION).await;
    pair.storefront.configure(&outbound(web, db, "{}", ""));
    pair.calling.counts(GENERATION, before + 1).await;

    let _whichever = within("a tunnel", gone.rest()).await;
    is_open(&mut kept).await;
    let line = pair
        .calling
        .logged("it", |line| line["method"] == "CONNECT");
    assert_eq!(line["reason"], "service_changed", "{line}");
}
