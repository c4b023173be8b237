//! What goes wrong at either end of a request through the pair: answered as the contract says, logged, and nothing is left.

use crate::support::app::{HttpApp, app_of_pens};
use crate::support::client::{Client, ask};
use crate::support::http::{Flow, as_h1, frame, get, h1, h2, request, whole};
use crate::support::mesh::{Domain, Member};
use crate::support::pair::{Otherwise, Pair, outbound};
use crate::support::{until, within};
use hyper::Version;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// An HTTP/1.1 app that reads a request's head, writes `answer` and closes; keeps silent for good if there is none.
async fn app_that(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            match answer {
                Some(answer) => {
                    let _ = socket.write_all(answer.as_bytes()).await;
                    let _ = socket.shutdown().await;
                }
                None => kept.push(socket),
            }
        }
    });
    at
}

fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_which_an_app_fails_has_its_answer() {
    let proxy_status = |error, reason, reached| {
        format!("countersign; error={error}; details=\"{reason}\"; reached=?{reached}")
    };
    for (name, app, service, status, told) in [
        (
            "not up",
            nobody(),
            "",
            503,
            proxy_status("destination_unavailable", "app_not_up", 0),
        ),
        (
            "dies before the answer",
            app_that(Some("")).await,
            "",
            502,
            proxy_status("connection_terminated", "closed_before_response", 1),
        ),
        (
            "speaks something else",
            app_that(Some("SSH-2.0-x\r\n\r\n")).await,
            "",
            502,
            proxy_status("http_protocol_error", "bad_status_line", 1),
        ),
        (
            "says nothing",
            app_that(None).await,
            // Long enough for the first handshake on a busy machine: what is waited for is the app.
            ", timeout: 3s",
            504,
            proxy_status("connection_read_timeout", "no_response_head_in_time", 1),
        ),
    ] {
        let otherwise = Otherwise {
            service,
            ..Otherwise::default()
        };
        let pair = Pair::around_with(app, nobody(), otherwise);
        let answer = ask(pair.calling.at("http"), "GET", "orders", "/").await;
        assert_eq!(
            (answer.status, answer.header("proxy-status")),
            (status, Some(told.as_str())),
            "{name}"
        );
        let line = pair.calling.logged(name, |line| line["path"] == "/");
        assert_eq!(line["status"], status, "{name}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_is_cut_for_the_caller_too_and_never_looks_whole() {
    let app = app_that(Some(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ))
    .await;
    let pair = Pair::before(app);
    let mut client = Client::connect(pair.calling.at("http")).await;
    client
        .send(b"GET /cut HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await
        .unwrap();
    let bytes = client.rest().await.unwrap_or_default();
    assert!(
        !bytes.ends_with(b"0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
    let line = pair.called.logged("the cut", |line| line["path"] == "/cut");
    assert_eq!(
        (line["reason"].as_str(), line["status"].as_u64()),
        (Some("response_cut"), Some(200)),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_is_noticed_at_the_app() {
    let (app, mut calls) = app_of_pens().await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        let path = format!("/left/{version:?}");
        let mut answer = pair.send(version, get(&path)).await;
        let pen = within("a call", calls.recv()).await.unwrap();
        pen.data("first").await;
        frame(answer.body_mut()).await.unwrap().unwrap();
        drop(answer);
        // Writing shows to an app that nobody reads any more.
        let writing = async { while pen.data("more").await {} };
        within("the end of reading at the app", writing).await;
        pair.called.logged(&path, |line| line["path"] == *path);
    }
    for side in [&pair.calling, &pair.called] {
        until("no request in flight", async || {
            let series = side.metrics().await;
            let left = series
                .iter()
                .filter(|(name, _)| name.starts_with("countersign_requests_in_flight"));
            left.map(|(_, value)| value)
                .all(|value| *value == 0)
                .then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_head_is_cut_and_a_quiet_connection_ends_after_idle() {
    let app = HttpApp::start().await;
    let otherwise = Otherwise {
        limits: "{ head: 300ms, idle: 1s }",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(app.addr, nobody(), otherwise);
    let at = pair.calling.at("http");

    let mut slow = Client::connect(at).await;
    slow.send(b"GET / HTTP/1.1\r\nhost: ord").await.unwrap();
    let began = Instant::now();
    let dripping = async {
        while slow.send(b"e").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the end of a head that never ends", dripping).await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(app.seen().is_empty());

    let mut quiet = Client::connect(at).await;
    quiet
        .send(b"GET /quiet HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(quiet.answer().await.unwrap().status, 200);
    assert_eq!(quiet.rest().await.unwrap(), b"", "it ends without a word");
    pair.calling
        .counts(
            "countersign_refused_heads_total{reason=\"head_timeout\"}",
            1,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_closes_after_every_answer_fails_no_request() {
    let app = app_that(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let pair = Pair::before(app);
    let mut client = Client::connect(pair.calling.at("http")).await;
    for n in 0..100 {
        client
            .send(format!("GET /{n} HTTP/1.1\r\nhost: orders\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "request {n}"
        );
        // The end of the app's connection and the next request are on their way at once.
        tokio::time::sleep(Duration::from_millis(n % 3)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_nobody_is_told_and_a_bound_listener_asks_for_no_host() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let unknown = ask(pair.calling.at("http"), "GET", "nobody", "/").await;
    let told = "countersign; error=destination_not_found; details=\"no_such_service\"; reached=?0";
    assert_eq!(
        (unknown.status, unknown.header("proxy-status")),
        (502, Some(told))
    );
    assert_eq!(
        ask(pair.calling.at("bound"), "GET", "any.host.at.all", "/")
            .await
            .status,
        200
    );
    assert_eq!(app.seen()[0].header("host"), Some("any.host.at.all"));

    let mut sender = h2(pair.calling.at("bound")).await;
    let answer = sender
        .send_request(request("POST", "/h2", Flow::of("abc")))
        .await
        .unwrap();
    let (status, body, _) = whole(answer).await.unwrap();
    assert_eq!((status, &body[..]), (200, &b"abc"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_whom_the_called_does_not_believe_is_told_so_and_that_nothing_was_done() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let elsewhere = Domain::new("shop.example");
    let roots = [&elsewhere, &pair.shop].map(|domain| domain.root.bundle_pem());
    let storefront = Member::new(&elsewhere.svid("storefront"), &roots.concat());
    let called = |listener| pair.called.at(listener);
    storefront.configure(&outbound(called("web"), called("db"), "{}", ""));
    let calling = storefront.start();
    let told = "countersign; error=tls_certificate_error; details=\"refused_by_peer\"; reached=?0";

    // Whether the refusal comes before, while or after the request is written is chance.
    for n in 0..40 {
        let body = Flow::of(vec![b'x'; n * 4000]);
        let request = request("POST", "/", body);
        let at = calling.at("http");
        let answer = match n % 2 {
            0 => h1(at).await.send_request(as_h1(request)).await,
            _ => h2(at).await.send_request(request).await,
        };
        let answer = answer.unwrap();
        let (status, ours) = (answer.status(), &answer.headers()["proxy-status"]);
        assert_eq!(
            (status.as_u16(), ours.to_str().unwrap()),
            (502, told),
            "{n}"
        );
    }

    calling.logged("why", |line| {
        line["reason"] == "refused_by_peer" && line["error"] == "received fatal alert: UnknownCA"
    });
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_tries_some_of_many_endpoints_and_not_all_of_them() {
    // It takes connections and shakes no hands, at every address of loopback.
    let server = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let dialled = Arc::new(AtomicUsize::new(0));
    let counted = dialled.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = server.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(socket);
        }
    });
    let endpoints: Vec<_> = (1..=100).map(|n| format!("127.0.0.{n}:{port}")).collect();
    let storefront = Domain::new("shop.example").member("storefront");
    storefront.configure(&format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n  - {{ name: orders, hosts: [orders], \
         identity: \"spiffe://shop.example/orders\", endpoints: {endpoints:?} }}\n"
    ));
    let sidecar = storefront.start();

    let answer = ask(sidecar.at("http"), "GET", "orders", "/").await;

    assert_eq!(answer.status, 502);
    assert_eq!(dialled.load(Ordering::Relaxed), 16);
}
