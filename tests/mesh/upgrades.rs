//! WebSocket and other Upgrades through the pair of sidecars: what is switched to, what is not, and how it ends.

use crate::support::app::{HttpApp, nobody};
use crate::support::client::{Client, ask, listen};
use crate::support::http::{Flow, get, h2};
use crate::support::pair::{Otherwise, Pair};
use crate::support::{until, within};
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: orders\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Both ends of a connection that was asked for with `ask` and has been answered with `answer`.
async fn through(
    pair: &Pair,
    app: &TcpListener,
    ask: &str,
    answer: &str,
) -> (Client<TcpStream>, Client<TcpStream>, String) {
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(ask.as_bytes()).await.unwrap();
    let mut served = Client::accept(app).await;
    let seen = served.raw_head().await.unwrap();
    served.send(answer.as_bytes()).await.unwrap();
    (client, served, seen)
}

/// The two lines of one request, outbound and inbound.
fn lines(pair: &Pair, path: &str) -> [Value; 2] {
    [&pair.calling, &pair.called].map(|side| side.logged(path, |line| line["path"] == *path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_passes_both_ways_is_told_with_its_bytes_and_is_not_cut_for_its_silence() {
    let (app, at) = listen().await;
    let otherwise = Otherwise {
        limits: "{ head: 200ms, idle: 1s }",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(at, nobody(), otherwise);
    // The server speaks first, in the very packet of its answer.
    let (mut client, mut served, seen) =
        through(&pair, &app, ASK, &format!("{SWITCHED}welcome")).await;

    for line in [
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "\r\nx-forwarded-client-cert: By=spiffe://shop.example/orders;",
    ] {
        assert!(seen.contains(line), "{line:?} of {seen}");
    }
    let answer = client.answer().await.unwrap();
    assert_eq!(
        [
            "connection",
            "upgrade",
            "sec-websocket-accept",
            "content-length"
        ]
        .map(|name| answer.header(name)),
        [
            Some("upgrade"),
            Some("websocket"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            None
        ]
    );
    assert_eq!(answer.status, 101);
    assert_eq!(client.bytes(7).await.unwrap(), b"welcome");
    client.send(b"ping").await.unwrap();
    assert_eq!(served.bytes(4).await.unwrap(), b"ping");
    // Silence for longer than `head` and `idle` together.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    served.send(b"pong").await.unwrap();
    assert_eq!(client.bytes(4).await.unwrap(), b"pong");
    client.half_close().await.unwrap();
    assert_eq!(served.rest().await.unwrap(), b"");
    served.send(b"bye").await.unwrap();
    drop(served);
    assert_eq!(client.rest().await.unwrap(), b"bye");

    for line in lines(&pair, "/chat") {
        let told = [
            "method",
            "status",
            "request_bytes",
            "response_bytes",
            "reason",
        ]
        .map(|key| &line[key]);
        let expected: [Value; 5] = ["GET".into(), 101.into(), 4.into(), 14.into(), Value::Null];
        assert_eq!(told, expected.each_ref(), "{line}");
        assert!(line["duration_ms"].as_f64() >= Some(2500.0), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_after_an_upgrade_request_and_before_its_101_end_the_connection() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: orders\r\n\r\n";
    let (mut client, mut served, seen) =
        through(&pair, &app, &format!("{ASK}{smuggled}"), SWITCHED).await;

    assert!(!seen.contains("smuggled"), "{seen}");
    assert_eq!(served.rest().await.unwrap_or_default(), b"");
    let bytes = client.rest().await.unwrap_or_default();
    let bytes = String::from_utf8_lossy(&bytes);
    assert!(
        bytes.lines().count() <= SWITCHED.lines().count() + 2,
        "{bytes}"
    );
    let line = pair.calling.logged("it", |line| line["path"] == "/chat");
    assert_eq!(line["reason"], "bytes_before_the_answer", "{line}");
    let series = "countersign_refused_heads_total{reason=\"bytes_before_the_answer\"}";
    pair.calling.counts(series, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_upgrade_tokens_are_stripped_and_served_as_http_1_1() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    for upgrade in [
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA",
        "connection: upgrade\r\nupgrade: h2c, TLS/1.0",
        "connection: upgrade\r\nupgrade: bridge/1.0",
        // Not asked of this hop.
        "upgrade: websocket",
    ] {
        let ask = format!("GET /plain HTTP/1.1\r\nhost: orders\r\n{upgrade}\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        let (mut client, _served, seen) = through(&pair, &app, &ask, answer).await;
        assert!(
            !seen.contains("upgrade") && !seen.contains("http2"),
            "{seen}"
        );
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.header("upgrade"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_was_not_asked_for_or_to_something_else_is_a_lying_response() {
    let plain = "GET /chat HTTP/1.1\r\nhost: orders\r\n\r\n";
    let other = SWITCHED.replace("websocket\r\n", "h2c\r\n");
    let both = SWITCHED.replace("websocket\r\n", "websocket, h2c\r\n");
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    for (ask, answer, reason) in [
        (plain, SWITCHED, "switched_unasked"),
        (ASK, &other, "switched_to_another"),
        (ASK, &both, "switched_to_another"),
    ] {
        let (mut client, mut served, _) = through(&pair, &app, ask, answer).await;
        let told = client.answer().await.unwrap();
        let status =
            format!("countersign; error=http_protocol_error; details=\"{reason}\"; reached=?1");
        assert_eq!(
            (told.status, told.header("proxy-status")),
            (502, Some(status.as_str()))
        );
        assert_eq!(served.rest().await.unwrap_or_default(), b"", "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_does_not_switch_answers_as_to_any_request_and_the_connection_is_kept() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let no = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    let (mut client, mut served, _) = through(&pair, &app, ASK, no).await;
    for _ in 0..2 {
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
        client.send(ASK.as_bytes()).await.unwrap();
        assert!(served.raw_head().await.unwrap().contains("websocket"));
        served.send(no.as_bytes()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_decided_as_its_get_and_over_http_2_by_its_path() {
    let app = HttpApp::serving(|request| async move { echo(request).await }).await;
    let otherwise = Otherwise {
        policy: "rules:\n  - { name: chat, from: [\"spiffe://shop.example/storefront\"], allow: [{ methods: [GET], paths: \
                 [/chat, /kept] }] }\n  - { name: kept, from: [\"spiffe://shop.example/**\"], deny: [{ methods: [CONNECT], \
                 paths: [/kept] }] }\n",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(app.addr, nobody(), otherwise);
    let mut client = Client::connect(pair.calling.at("http")).await;
    let other = ASK.replace("/chat", "/other");
    client.send(other.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 403);

    let mut sender = h2(pair.calling.at("http")).await;
    for (path, status) in [("/chat", 200), ("/other", 403), ("/kept", 403)] {
        let answer = sender
            .send_request(extended(path, "websocket"))
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
}

/// Extended CONNECT (RFC 8441).
fn extended(path: &str, protocol: &'static str) -> Request<Flow> {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://orders{path}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static(protocol));
    request.body(Flow::none()).unwrap()
}

/// Opens the stream and gives back what comes on it.
async fn echo(mut request: Request<hyper::body::Incoming>) -> Response<Flow> {
    let mut answer = Response::new(Flow::none());
    if request.extensions().get::<Protocol>().is_none() {
        *answer.status_mut() = hyper::StatusCode::BAD_REQUEST;
        return answer;
    }
    let opened = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(opened.await?);
        let (mut read, mut write) = tokio::io::split(&mut stream);
        tokio::io::copy(&mut read, &mut write).await.ok();
        write.write_all(b"bye").await.ok();
        write.shutdown().await.ok();
        Ok::<_, hyper::Error>(())
    });
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extended_connect_opens_a_stream_end_to_end_beside_others_on_one_connection() {
    let app = HttpApp::serving(|request| async move { echo(request).await }).await;
    let otherwise = Otherwise {
        limits: "{ head: 200ms, idle: 1s }",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(app.addr, nobody(), otherwise);
    let mut sender = h2(pair.calling.at("http")).await;
    let mut open = Vec::new();
    for n in 0..3 {
        let request = extended(&format!("/chat/{n}"), "websocket");
        let mut answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let stream = within("the stream", hyper::upgrade::on(&mut answer)).await;
        open.push(TokioIo::new(stream.unwrap()));
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for (n, mut stream) in open.into_iter().enumerate() {
        stream.write_all(b"ping").await.unwrap();
        let mut came = [0; 4];
        within("an echo", stream.read_exact(&mut came))
            .await
            .unwrap();
        assert_eq!(&came, b"ping");
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        within("the end", stream.read_to_end(&mut rest))
            .await
            .unwrap();
        assert_eq!(rest, b"bye");
        for line in lines(&pair, &format!("/chat/{n}")) {
            let told = [
                "method",
                "status",
                "request_bytes",
                "response_bytes",
                "reason",
            ]
            .map(|key| &line[key]);
            let expected: [Value; 5] = [
                "CONNECT".into(),
                200.into(),
                4.into(),
                7.into(),
                Value::Null,
            ];
            assert_eq!(told, expected.each_ref(), "{line}");
        }
    }
    let other = sender
        .send_request(extended("/udp", "connect-udp"))
        .await
        .unwrap();
    assert_eq!(other.status(), 501);
}

/// A server of HTTP/2 whose settings do not offer extended CONNECT, and how many requests it saw.
async fn offering_nothing() -> (SocketAddr, Arc<AtomicUsize>) {
    let (listener, at) = listen().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let counted = counted.clone();
            let service = service_fn(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { Ok::<_, std::convert::Infallible>(Response::new(Flow::of("here"))) }
            });
            let serving = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(socket), service));
        }
    });
    (at, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extended_connect_to_a_server_that_does_not_offer_it_is_501_and_never_sent() {
    let (app, seen) = offering_nothing().await;
    let pair = Pair::before(app);
    // On a connection that was just made, and on one that is kept.
    for path in ["/first", "/second"] {
        let mut sender = h2(pair.calling.at("http")).await;
        let answer = sender.send_request(extended(path, "websocket")).await;
        let answer = answer.unwrap();
        let told = "countersign; error=http_request_denied; details=\"websocket_not_offered_by_server\"; reached=?0";
        assert_eq!(answer.status(), 501, "{path}");
        assert_eq!(answer.headers()["proxy-status"], told, "{path}");
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    let answer = pair.send(Version::HTTP_2, get("/plain")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

/// Connections open, and what is under way, at the only address of a service.
async fn open_at(pair: &Pair, service: &str) -> [u64; 2] {
    let page = ask(pair.calling.at("admin"), "GET", "localhost", "/endpoints").await;
    let page: Value = serde_json::from_str(&page.text()).unwrap();
    let services = page["services"].as_array().unwrap();
    let found = services.iter().find(|it| it["name"] == service).unwrap();
    let address = &found["endpoints"][0]["addresses"][0];
    ["connections", "streams"].map(|what| address[what].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_and_tunnels_count_at_their_endpoint_as_long_as_they_are_open() {
    let (app, at) = listen().await;
    let (db, db_at) = listen().await;
    let pair = Pair::around(at, db_at);
    let (mut client, served, _) = through(&pair, &app, ASK, SWITCHED).await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    let mut tunnel = Client::connect(pair.calling.at("http")).await;
    let head = b"CONNECT ledger:5432 HTTP/1.1\r\nhost: ledger\r\n\r\nhello";
    tunnel.send(head).await.unwrap();
    assert_eq!(
        tunnel.raw_head().await.unwrap().lines().next(),
        Some("HTTP/1.1 200 OK")
    );
    let mut tunnelled = Client::accept(&db).await;
    assert_eq!(tunnelled.bytes(5).await.unwrap(), b"hello");

    for service in ["orders", "ledger"] {
        assert_eq!(open_at(&pair, service).await, [1, 1], "{service}");
    }

    drop((client, served, tunnel, tunnelled));
    for service in ["orders", "ledger"] {
        until("their end", async || {
            (open_at(&pair, service).await == [0, 0]).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_websocket_outlives_the_word_to_end_and_is_cut_at_the_deadline_by_name() {
    let (app, at) = listen().await;
    let otherwise = Otherwise {
        limits: "{ drainDelay: 0s, drainDeadline: 3s }",
        ..Otherwise::default()
    };
    let mut pair = Pair::around_with(at, nobody(), otherwise);
    let (mut client, mut served, _) = through(&pair, &app, ASK, SWITCHED).await;
    client.answer().await.unwrap();
    pair.calling.process.ask_to_end();
    pair.calling.said("draining: what is open may end");
    client.send(b"ping").await.unwrap();
    assert_eq!(served.bytes(4).await.unwrap(), b"ping");

    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    pair.calling.process.end();
    let line = pair.calling.logged("it", |line| line["path"] == "/chat");
    assert_eq!(
        (line["reason"].as_str(), line["status"].as_u64()),
        (Some("cut_by_drain"), Some(101)),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_forbids_an_open_websocket_ends_it_and_no_other() {
    let policy = |paths: &str| {
        format!(
            "rules:\n  - {{ name: chat, from: [\"spiffe://shop.example/storefront\"], allow: [{{ methods: [GET], paths: \
             [{paths}] }}] }}\n"
        )
    };
    let otherwise = Otherwise {
        policy: &policy("/chat, /kept, /stream"),
        ..Otherwise::default()
    };
    let app = HttpApp::serving(|request| async move { echo(request).await }).await;
    let streams = Pair::around_with(app.addr, nobody(), otherwise);
    let (app, at) = listen().await;
    let otherwise = Otherwise {
        policy: &policy("/chat, /kept"),
        ..Otherwise::default()
    };
    let pair = Pair::around_with(at, nobody(), otherwise);
    let (mut client, _served, _) = through(&pair, &app, ASK, SWITCHED).await;
    client.answer().await.unwrap();
    let ask = ASK.replace("/chat", "/kept");
    let (mut kept, mut kept_at_app, _) = through(&pair, &app, &ask, SWITCHED).await;
    kept.answer().await.unwrap();
    let mut sender = h2(streams.calling.at("http")).await;
    let mut answer = sender
        .send_request(extended("/stream", "websocket"))
        .await
        .unwrap();
    let stream = within("the stream", hyper::upgrade::on(&mut answer)).await;
    let mut stream = TokioIo::new(stream.unwrap());

    pair.orders.policy(&policy("/kept"));
    streams.orders.policy(&policy("/kept"));
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    let mut rest = Vec::new();
    // Whether it says so by a reset or by an end.
    let _ = within("the end", stream.read_to_end(&mut rest)).await;
    for (side, path) in [(&pair.called, "/chat"), (&streams.called, "/stream")] {
        let line = side.logged(path, |line| line["path"] == path);
        assert_eq!(line["reason"], "policy_changed", "{line}");
    }
    kept.send(b"still").await.unwrap();
    assert_eq!(kept_at_app.bytes(5).await.unwrap(), b"still");
}
