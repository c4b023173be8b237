//! `policy explain` says of a request what the sidecar did with it: the same verdict, in the same words.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::Client;
use crate::support::pair::{Otherwise, Pair};
use crate::support::process::{countersign, run};
use crate::support::tls;
use serde_json::Value;

const POLICY: &str = "\
default: deny
rules:
  - name: storefront reads orders
    from: [\"spiffe://shop.example/storefront\"]
    allow:
      - { methods: [GET, HEAD], paths: [\"/orders\", \"/orders/{id}\"] }
      - { hosts: [orders], methods: [POST], paths: [\"/orders\"], listeners: [web] }
  - name: everybody looks at pictures
    from: [\"spiffe://shop.example/**\"]
    allow: [{ paths: [\"/static/**\"] }]
  - name: staging stays out
    from: [\"spiffe://shop.example/staging/**\"]
    deny: [{}]
  - name: methods
    from: [\"spiffe://shop.example/storefront\"]
    allow: [{ methods: [OPTIONS] }]
";

/// Who, method, host, path, and the status that comes of it.
const CASES: &[(&str, &str, &str, &str, u16)] = &[
    ("storefront", "GET", "orders", "/orders", 200),
    ("storefront", "HEAD", "orders", "/orders/7", 200),
    ("storefront", "GET", "elsewhere", "/orders/7?all=yes", 200),
    ("storefront", "POST", "orders", "/orders", 200),
    ("storefront", "OPTIONS", "orders", "*", 200),
    ("storefront", "POST", "elsewhere", "/orders", 403),
    ("storefront", "DELETE", "orders", "/orders/7", 403),
    ("storefront", "GET", "orders", "/orders/7/items", 403),
    ("storefront", "GET", "orders", "/Orders", 403),
    ("storefront", "GET", "orders", "/orders/", 403),
    ("storefront", "get", "orders", "/orders", 403),
    ("storefront", "GET", "orders", "/%6frders", 200),
    ("storefront", "GET", "orders", "/orders/../admin", 400),
    ("storefront", "GET", "orders", "/orders%2f7", 400),
    ("storefront", "GET", "orders", "//orders", 400),
    ("ledger", "GET", "orders", "/static/logo.png", 200),
    ("ledger", "GET", "orders", "/orders", 403),
    ("staging/orders", "GET", "orders", "/static/logo.png", 403),
];

fn explained(
    pair: &Pair,
    (who, method, host, path, _): &(&str, &str, &str, &str, u16),
) -> (Option<i32>, Value) {
    let ran = run(countersign()
        .args([
            "policy",
            "explain",
            "-o",
            "json",
            "--listener",
            "web",
            "--from",
            &pair.shop.id(who),
        ])
        .args([
            "--method", method, "--host", host, "--path", path, "--policy",
        ])
        .arg(pair.orders.path("policy.yaml")));
    (
        ran.code,
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_is_what_was_done_in_the_same_words() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let otherwise = Otherwise {
        policy: POLICY,
        ..Otherwise::default()
    };
    let pair = Pair::around_with(web.addr, db.addr, otherwise);
    for (n, case @ (who, method, host, path, status)) in CASES.iter().enumerate() {
        let config = tls::client(Some(&pair.shop.svid(who)), &["http/1.1"]);
        let mut client = Client::connect_tls(pair.called.at("web"), config, "orders")
            .await
            .unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        client.send(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&client.rest().await.unwrap()).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{case:?}: {answer}"
        );

        let line = pair
            .called
            .process
            .out
            .wait_for_nth("the request's line", n);
        let line: Value = serde_json::from_str(&line).unwrap();
        let (code, explained) = explained(&pair, case);
        assert_eq!(code, Some(i32::from(*status != 200)), "{case:?}");
        assert_eq!(line["verdict"], explained["verdict"], "{case:?}: {line}");
        assert_eq!(
            (&line["reason"], &line["error"]),
            (&explained["reason"], &explained["why"]),
            "{case:?}: {line}"
        );
        match *status {
            200 => assert_eq!(line["rule"], explained["rule"], "{case:?}"),
            status => assert_eq!(explained["status"], status, "{case:?}: {explained}"),
        }
        assert!(line["decision_id"].is_string(), "{line}");
        let told = answer.contains(&format!(
            "countersign-decision-id: {}",
            line["decision_id"].as_str().unwrap()
        ));
        assert_eq!(told, *status != 200, "{case:?}: {answer}");
    }
    let allowed = CASES.iter().filter(|(.., status)| *status == 200).count();
    assert_eq!(web.seen().len(), allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_call_of_grpc_is_told_in_its_own_way() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let otherwise = Otherwise {
        policy: POLICY,
        ..Otherwise::default()
    };
    let pair = Pair::around_with(web.addr, db.addr, otherwise);
    let mut call = crate::support::http::get("/shop.Orders/List");
    *call.method_mut() = hyper::Method::POST;
    *call.headers_mut() =
        crate::support::http::fields(&[("content-type", "application/grpc"), ("te", "trailers")]);

    let answer = pair.send(hyper::Version::HTTP_2, call).await;

    let held = |name: &str| {
        answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (answer.status().as_u16(), held("grpc-status").as_str()),
        (200, "7")
    );
    assert_eq!(held("content-type"), "application/grpc");
    assert!(
        held("proxy-status").starts_with("countersign; error=http_request_denied; "),
        "{}",
        held("proxy-status")
    );
    let line = pair
        .called
        .logged("the denial", |line| line["path"] == "/shop.Orders/List");
    assert_eq!(
        (line["verdict"].as_str(), line["decision_id"].as_str()),
        (
            Some("denied"),
            Some(held("countersign-decision-id").as_str())
        )
    );
    assert!(web.seen().is_empty());
}
