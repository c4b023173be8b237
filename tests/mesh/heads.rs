//! Heads through the pair of sidecars: what passes unchanged, what is removed, what is added, and how large they may be.

use crate::support::app::{HttpApp, Seen};
use crate::support::client::Client;
use crate::support::http::{Flow, fields, get, request};
use crate::support::pair::Pair;
use crate::support::tls;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, Version};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// Sends one HTTP/1.1 request as it is written here and gives back what the app saw of it.
async fn seen(pair: &Pair, app: &HttpApp, head: &str) -> Seen {
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(head.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{head}{}", answer.text());
    app.seen().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_the_app_as_it_was_meant() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    for (head, target, expected) in [
        (
            "OPTIONS * HTTP/1.1\r\nhost: orders\r\n\r\n",
            "*",
            &[("host", Some("orders"))][..],
        ),
        (
            "GET /a%2Db?q=%2F.. HTTP/1.1\r\nhost: Orders:8080\r\n\r\n",
            "/a%2Db?q=%2F..",
            &[("host", Some("Orders:8080"))],
        ),
        (
            "GET http://orders/abs HTTP/1.1\r\nhost: elsewhere\r\n\r\n",
            "/abs",
            &[("host", Some("orders"))],
        ),
        (
            "GET / HTTP/1.0\r\nhost: orders\r\n\r\n",
            "/",
            &[("host", Some("orders"))],
        ),
        (
            "GET /hop HTTP/1.1\r\nhost: orders\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\nte: gzip\r\nproxy-connection: x\r\nx-kept: yes\r\n\r\n",
            "/hop",
            &[
                ("x-mine", None),
                ("keep-alive", None),
                ("upgrade", None),
                ("te", None),
                ("proxy-connection", None),
                ("connection", None),
                ("x-kept", Some("yes")),
            ],
        ),
        (
            "POST /none HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n",
            "/none",
            &[("content-length", Some("0")), ("transfer-encoding", None)],
        ),
        (
            "POST /five HTTP/1.1\r\nhost: orders\r\ncontent-length: 5\r\n\r\nabcde",
            "/five",
            &[("content-length", Some("5"))],
        ),
        (
            "POST /chunks HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "/chunks",
            &[
                ("content-length", None),
                ("transfer-encoding", Some("chunked")),
            ],
        ),
    ] {
        let seen = seen(&pair, &app, head).await;
        assert_eq!(seen.target, target, "{head}");
        for (name, value) in expected {
            assert_eq!(seen.header(name), *value, "{name} of {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_sees_the_true_caller_and_no_other_in_any_spelling() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let lie = "By=spiffe://shop.example/orders;Hash=00;URI=spiffe://shop.example/admin";
    let spellings = [
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "X-FORWARDED_CLIENT-CERT",
        "x-forwarded_client_cert",
        "x-countersign-peer",
        "X_Countersign-Peer",
        "l5d-client-id",
        "x-envoy-original-path",
        "dapr-caller-app-id",
    ];
    // All at once on HTTP/1.1, named by Connection besides, and straight at the inbound port too.
    let claims: String = spellings
        .iter()
        .map(|name| format!("{name}: {lie}\r\n"))
        .collect();
    let head = format!(
        "GET /claims HTTP/1.1\r\nhost: orders\r\nconnection: x-forwarded-client-cert\r\n{claims}\r\n"
    );
    let through = seen(&pair, &app, &head).await;
    let svid = pair.shop.svid("storefront");
    let mut client = Client::connect_tls(
        pair.called.at("web"),
        tls::client(Some(&svid), &[]),
        "orders",
    )
    .await
    .unwrap();
    client.send(head.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    let straight = app.seen().pop().unwrap();
    let mut claims = request("GET", "/claims", Flow::none());
    let lower: Vec<String> = spellings
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    *claims.headers_mut() = fields(
        &lower
            .iter()
            .map(|name| (name.as_str(), lie))
            .collect::<Vec<_>>(),
    );
    assert_eq!(pair.send(Version::HTTP_2, claims).await.status(), 200);
    let over_h2 = app.seen().pop().unwrap();

    for seen in [through, straight, over_h2] {
        let names: Vec<_> = seen
            .headers
            .keys()
            .map(HeaderName::as_str)
            .filter(|name| *name != "host")
            .collect();
        assert_eq!(
            names,
            [
                "x-request-id",
                "x-forwarded-client-cert",
                "x-countersign-hops"
            ],
            "{seen:?}"
        );
        assert_ne!(seen.header("x-countersign-hops"), Some(lie), "{seen:?}");
        let all: Vec<_> = seen
            .headers
            .get_all("x-forwarded-client-cert")
            .iter()
            .collect();
        let told = all[0].to_str().unwrap();
        assert_eq!(all.len(), 1);
        assert!(
            told.starts_with("By=spiffe://shop.example/orders;Hash=")
                && told.ends_with(";URI=spiffe://shop.example/storefront"),
            "{told}"
        );
    }
}

/// The test's own fields.
fn own(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_up_to_the_limit_pass_and_larger_ones_are_431() {
    let app = HttpApp::serving(|request| async move {
        let mut answer = Response::new(Flow::none());
        // What came goes back, since the limit holds both ways; with `date` and `content-length` it is at most 199.
        *answer.headers_mut() = own(request.headers())
            .take(197)
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        answer
    })
    .await;
    let pair = Pair::before(app.addr);
    let large = |bytes: usize| vec![("x-n".to_owned(), "v".repeat(bytes))];
    let many = |count: usize| {
        (0..count)
            .map(|n| (format!("x-n{n}"), "v".to_owned()))
            .collect::<Vec<_>>()
    };
    for version in VERSIONS {
        for (what, headers, status) in [
            ("100 headers", many(100), 200),
            ("200 headers with Host", many(199), 200),
            ("300 headers", many(300), 431),
            ("60 KiB", large(60 << 10), 200),
            ("70 KiB", large(70 << 10), 431),
        ] {
            let mut request = get("/heads");
            let lines: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            *request.headers_mut() = fields(&lines);
            let answer = pair.send(version, request).await;
            assert_eq!(answer.status(), status, "{version:?}: {what}");
            if status == 200 {
                let back = own(answer.headers()).count();
                assert_eq!(back, headers.len().min(197), "{version:?}: {what}");
            }
        }
    }
}
