//! `/connections`: who is connected, and what they did so far.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask};
use crate::support::http::{as_h1, get, h1, h2, whole};
use crate::support::mesh::allow_all;
use crate::support::pair::{Otherwise, Pair};
use crate::support::sidecar::Sidecar;
use crate::support::{tls, until};
use serde_json::Value;
use tokio::net::TcpStream;

async fn shown(sidecar: &Sidecar, query: &str) -> Vec<Value> {
    let page = format!("/connections{query}");
    let answer = ask(sidecar.at("admin"), "GET", "localhost", &page).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(page["note"], Value::Null);
    page["connections"].as_array().unwrap().clone()
}

fn of<'a>(all: &'a [Value], listener: &str, protocol: &str) -> &'a Value {
    let is = |it: &&Value| it["listener"] == listener && it["protocol"] == protocol;
    all.iter().find(is).unwrap_or_else(|| panic!("{all:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_connected_is_shown_with_who_it_is_and_what_it_did() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let pair = Pair::around(web.addr, db.addr);
    let http = pair.calling.at("http");
    let mut kept = h1(http).await;
    for _ in 0..3 {
        kept.ready().await.unwrap();
        let answer = kept.send_request(as_h1(get("/"))).await.unwrap();
        assert_eq!(whole(answer).await.unwrap().0, 200);
    }
    let mut streams = h2(http).await;
    let answer = streams.send_request(get("/")).await.unwrap();
    assert_eq!(whole(answer).await.unwrap().0, 200);
    let mut bytes = Client::connect(pair.calling.at("db")).await;
    bytes.send(b"ping").await.unwrap();
    assert_eq!(bytes.bytes(4).await.unwrap(), b"ping");
    let silent = TcpStream::connect(pair.called.at("web")).await.unwrap();

    let out = until("the end of what was asked", async || {
        let out = shown(&pair.calling, "").await;
        let open = |it: &Value| it["requests"]["inFlight"].as_u64().unwrap_or_default();
        (out.len() == 3 && out.iter().all(|it| open(it) == 0)).then_some(out)
    })
    .await;
    let first = of(&out, "http", "http/1.1");
    assert_eq!(
        (&first["direction"], &first["peer"]),
        (&"outbound".into(), &Value::Null)
    );
    assert_eq!(first["requests"]["begun"], 3);
    assert_eq!(of(&out, "http", "h2")["requests"]["begun"], 1);
    assert!(
        first["peerAddress"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let tcp = of(&out, "db", "tcp");
    assert_eq!((&tcp["bytesIn"], &tcp["bytesOut"]), (&4.into(), &4.into()));
    assert_eq!(
        (&tcp["peer"], &tcp["requests"]),
        (&"spiffe://shop.example/orders".into(), &Value::Null)
    );

    let came = until("the silent one", async || {
        let came = shown(&pair.called, "").await;
        (came.len() == 4).then_some(came)
    })
    .await;
    let certs = ask(pair.calling.at("admin"), "GET", "localhost", "/certs").await;
    let certs: Value = serde_json::from_slice(&certs.body).unwrap();
    for (listener, protocol) in [("web", "http/1.1"), ("web", "h2"), ("db", "tcp")] {
        let it = of(&came, listener, protocol);
        assert_eq!(it["peer"], "spiffe://shop.example/storefront");
        assert_eq!(it["notAfter"], certs["chain"][0]["notAfter"]);
        assert!(
            it["bytesIn"].as_u64().unwrap() > 1000,
            "a handshake is counted: {it:#}"
        );
    }
    let unknown = of(&came, "web", "unknown");
    let at = silent.local_addr().unwrap().to_string();
    assert_eq!(
        (&unknown["peerAddress"], &unknown["bytesIn"]),
        (&at.into(), &0.into())
    );
    assert_eq!(shown(&pair.called, "?listener=db").await.len(), 1);

    drop((kept, streams, bytes, silent));
    until("their end", async || {
        shown(&pair.calling, "").await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_the_port_that_a_listener_got() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let status = ask(pair.called.at("admin"), "GET", "localhost", "/status").await;
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    let at = |name: &str| pair.called.at(name).to_string();
    assert_eq!(status["listeners"][0]["address"], at("web"));
    assert_eq!(status["listeners"][1]["address"], at("db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_a_connection_of_bytes_goes_to_who_holds_fewer_and_it_says_so() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let ids = ["storefront", "billing"].map(|who| format!("spiffe://shop.example/{who}"));
    let otherwise = Otherwise {
        policy: &allow_all(&[&ids[0], &ids[1]]),
        limits: "{ connections: 10 }",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(web.addr, db.addr, otherwise);
    let connect = async |who: &str| {
        let config = tls::client(Some(&pair.shop.svid(who)), &[]);
        let dialled = Client::connect_tls(pair.called.at("db"), config, "orders").await;
        let mut client = dialled.unwrap();
        client.send(b"ping").await.unwrap();
        assert_eq!(client.bytes(4).await.unwrap(), b"ping");
        client
    };
    let mut oldest = connect("storefront").await;
    let mut others = Vec::new();
    for _ in 1..10 {
        others.push(connect("storefront").await);
    }

    let mut next = connect("billing").await;

    // It hears an end, clean or not: bytes cannot be asked to end.
    let _ended = oldest.rest().await;
    let line = pair
        .called
        .logged("the one that was cut", |line| line["listener"] == "db");
    assert_eq!(
        (&line["reason"], &line["peer_id"]),
        (&"connection_asked_back".into(), &ids[0].as_str().into())
    );
    assert_eq!(
        (&line["verdict"], &line["request_bytes"]),
        (&"allowed".into(), &4.into())
    );
    let series = "countersign_limited_total{direction=\"inbound\",listener=\"db\",reason=\"connection_asked_back\"}";
    pair.called.counts(series, 1).await;
    for client in others.iter_mut().chain([&mut next]) {
        client.send(b"ping").await.unwrap();
        assert_eq!(client.bytes(4).await.unwrap(), b"ping");
    }
}
