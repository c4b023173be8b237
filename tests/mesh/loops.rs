//! Requests that would come round again: refused at the first repeat, whatever lies between.

use crate::support::client::{Client, ask};
use crate::support::http::{Flow, get, whole};
use crate::support::mesh::{Domain, allow_all};
use crate::support::pair::{Otherwise, Pair};
use crate::support::until;
use hyper::Version;
use hyper::header::HeaderValue;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::net::{TcpListener, TcpStream};

/// An app that passes every byte on to where it is told to, later.
struct Passing {
    at: SocketAddr,
    on: Arc<OnceLock<SocketAddr>>,
    connections: Arc<AtomicU64>,
}

impl Passing {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let on: Arc<OnceLock<SocketAddr>> = Arc::default();
        let connections: Arc<AtomicU64> = Arc::default();
        let (told, count) = (on.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let on = *told.get().expect("a test says where before it asks");
                tokio::spawn(async move {
                    if let Ok(mut other) = TcpStream::connect(on).await {
                        // A connection that ends is no mistake of the app.
                        let _ = tokio::io::copy_bidirectional(&mut socket, &mut other).await;
                    }
                });
            }
        });
        Passing {
            at,
            on,
            connections,
        }
    }

    fn on(&self, at: SocketAddr) {
        self.on.set(at).expect("it is told once");
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

const LOOP: &str = "countersign; error=proxy_loop_detected; details=\"loop\"; reached=?0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_around_two_sidecars_and_an_app_ends_at_the_first_repeat() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let app = Passing::start().await;
        let pair = Pair::before(app.at);
        app.on(pair.calling.at("http"));

        let answer = pair.send(version, get("/round")).await;
        let told = answer.headers()["proxy-status"].clone();
        assert_eq!(
            (answer.status().as_u16(), told),
            (508, HeaderValue::from_static(LOOP))
        );
        assert_eq!(
            app.connections(),
            1,
            "{version:?}: it came round more than once"
        );
        let line = pair
            .calling
            .logged("the repeat", |line| line["reason"] == "loop");
        assert_eq!(
            (&line["status"], &line["path"]),
            (&508.into(), &"/round".into())
        );

        let mut call = get("/pkg.Service/Method");
        let grpc = HeaderValue::from_static("application/grpc");
        call.headers_mut().insert("content-type", grpc);
        let answer = pair.send(version, call).await;
        assert_eq!(answer.headers()["grpc-status"], "13");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_through_ones_own_sidecar_ends_at_the_first_repeat() {
    let app = Passing::start().await;
    let shop = Domain::new("shop.example");
    let orders = shop.member("orders");
    orders.policy(&allow_all(&["spiffe://shop.example/orders"]));
    let inbound = format!(
        "inbound:\n  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{}\", protocol: http }}\npolicy: {{ file: policy.yaml }}\n",
        app.at
    );
    orders.configure(&inbound);
    let called = orders.start();
    // The same member once more, since a port is known only when it is open.
    let caller = shop.member("orders");
    caller.configure(&format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n  - {{ name: orders, hosts: \
         [orders], identity: \"spiffe://shop.example/orders\", endpoints: [\"{}\"] }}\n",
        called.at("web")
    ));
    let calling = caller.start();
    app.on(calling.at("http"));

    let answer = ask(calling.at("http"), "GET", "orders", "/").await;
    assert_eq!(
        (answer.status, answer.header("proxy-status")),
        (508, Some(LOOP))
    );
    assert_eq!(app.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_of_a_stranger_refuse_nobody_else_and_do_not_go_on() {
    let app = crate::support::app::HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let mut forged = get("/forged");
    let headers = forged.headers_mut();
    headers.insert("x-countersign-hops", HeaderValue::from_static("x, y"));
    headers.insert("x-countersign-attempt", HeaderValue::from_static("-1"));
    headers.insert("x_countersign_hops", HeaderValue::from_static("z"));
    headers.insert("x-countersign-other", HeaderValue::from_static("z"));
    let answer = pair.send(Version::HTTP_11, forged).await;
    assert_eq!(answer.status(), 200);
    let seen = app.seen().remove(0);
    let hops = seen.header("x-countersign-hops").unwrap();
    assert!(
        hops.len() == 33 && !hops.contains(['x', 'y', 'z']),
        "{hops}"
    );
    assert_eq!(seen.header("x-countersign-attempt"), Some("2"));
    assert_eq!(seen.header("x_countersign_hops"), None);
    assert_eq!(seen.header("x-countersign-other"), None);

    // As many as nobody has come: refused, and only this one.
    let hops = ["0123456789abcdef"; 40].join(",");
    let mut far = get("/far");
    far.headers_mut()
        .insert("x-countersign-hops", HeaderValue::from_str(&hops).unwrap());
    let answer = pair.send(Version::HTTP_2, far).await;
    assert_eq!(answer.status(), 508);
    let (status, _, _) = whole(pair.send(Version::HTTP_2, get("/next")).await)
        .await
        .unwrap();
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_again_and_a_chain_that_comes_by_twice_are_no_loop() {
    // An app that asks itself for something else through the same sidecars, with all headers that it got.
    let app = Passing::start().await;
    let pair = Pair::around_with(app.at, app.at, Otherwise::default());
    let real = crate::support::app::HttpApp::start().await;
    app.on(real.addr);
    for _ in 0..3 {
        let answer = pair.send(Version::HTTP_11, get("/same")).await;
        assert_eq!(answer.status(), 200);
    }
    let first = real.seen().remove(0);
    let mut next = crate::support::http::request("GET", "/another", Flow::none());
    let hops = first.headers["x-countersign-hops"].clone();
    next.headers_mut()
        .insert("x-countersign-hops", hops.clone());
    assert_eq!(pair.send(Version::HTTP_11, next).await.status(), 200);
    let longer = real.seen().pop().unwrap();
    let longer = longer.header("x-countersign-hops").unwrap();
    assert!(longer.starts_with(hops.to_str().unwrap()) && longer.len() == 67);

    let mut again = get("/same");
    again.headers_mut().insert("x-countersign-hops", hops);
    assert_eq!(pair.send(Version::HTTP_11, again).await.status(), 508);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_may_use_all_the_fields_and_bytes_that_the_limits_name() {
    let app = crate::support::app::HttpApp::start().await;
    let limits = "{ headers: 20, header: 8KiB }";
    let pair = Pair::around_with(
        app.addr,
        app.addr,
        Otherwise {
            limits,
            ..Otherwise::default()
        },
    );
    for (fields, status) in [(19, 200), (20, 431)] {
        let mut client = Client::connect(pair.calling.at("http")).await;
        let mut head = String::from("GET /f HTTP/1.1\r\nhost: orders\r\n");
        for n in 0..fields {
            head.push_str(&format!("x-{n}: 1\r\n"));
        }
        client.send(format!("{head}\r\n").as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, status, "{fields}");
    }
    let mut client = Client::connect(pair.calling.at("http")).await;
    let head = format!(
        "GET /b HTTP/1.1\r\nhost: orders\r\nx: {}\r\n\r\n",
        "b".repeat(8 * 1024 - 60)
    );
    client.send(head.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_of_bytes_ends_at_the_limit_of_connections_and_leaves_nothing_behind() {
    // Nothing in bytes says where they were: each round is a connection like any other.
    let app = Passing::start().await;
    let web = crate::support::app::HttpApp::start().await;
    let limits = "{ connections: 20 }";
    let pair = Pair::around_with(
        web.addr,
        app.at,
        Otherwise {
            limits,
            ..Otherwise::default()
        },
    );
    app.on(pair.calling.at("db"));

    let mut client = Client::connect(pair.calling.at("db")).await;
    client.send(b"round and round").await.unwrap();

    // It brings back nothing but its end, and is gone when its first caller is.
    let _ = client.rest().await;
    drop(client);
    assert!(
        (1..=20).contains(&app.connections()),
        "{}",
        app.connections()
    );
    let series = |direction, listener| {
        format!(
            "countersign_limited_total{{direction=\"{direction}\",listener=\"{listener}\",reason=\"connections_full\"}}"
        )
    };
    until("a limit that is told", async || {
        let full = pair.calling.count(&series("outbound", "db")).await
            + pair.called.count(&series("inbound", "db")).await;
        (full > 0).then_some(())
    })
    .await;
    until("room for everybody", async || {
        let mut client = Client::connect(pair.calling.at("http")).await;
        let head = b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
        let _ = client.send(head).await;
        let answered = client.answer().await.is_ok_and(|it| it.status == 200);
        answered.then_some(())
    })
    .await;
}
