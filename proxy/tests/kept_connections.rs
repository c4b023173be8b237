//! Connections to apps and peers that are kept for the next request.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Domain, Raw, callee, caller, listen, soon};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An app may answer before it has read the request, and its caller may go on sending for as long as it likes.
#[tokio::test]
async fn a_request_never_waits_for_the_body_of_another() {
    let domain = Domain::new("shop.example");
    let (app, address) = listen().await;
    let orders = callee(&domain, address, "http", "").await;
    let storefront = caller(&domain, orders.at("web").await, "http").await;
    let door = storefront.at("out").await;

    let mut slow = Raw::connect(door).await;
    slow.send("POST /early HTTP/1.1\r\nhost: orders\r\ncontent-length: 1000\r\n\r\nabc")
        .await;
    let mut early = Raw::accept(&app).await;
    early.until("\r\n\r\n").await;
    early.send(OK).await;
    slow.until("ok").await;

    let mut next = Raw::connect(door).await;
    next.send("GET /next HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await;
    let mut other = Raw::accept(&app).await;
    other.until("\r\n\r\n").await;
    other.send(OK).await;
    next.until("ok").await;

    // And the slow one is still heard to its end.
    slow.send(&"d".repeat(997)).await;
    assert_eq!(early.bytes(1000).await, format!("abc{}", "d".repeat(997)));
}

#[tokio::test]
async fn requests_one_after_another_share_a_connection() {
    let domain = Domain::new("shop.example");
    let (app, address) = listen().await;
    let orders = callee(&domain, address, "http", "").await;
    let storefront = caller(&domain, orders.at("web").await, "http").await;

    let mut caller = Raw::connect(storefront.at("out").await).await;
    caller
        .send("POST /1 HTTP/1.1\r\nhost: orders\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    let mut served = Raw::accept(&app).await;
    served.until("abc").await;
    served.send(OK).await;
    caller.until("ok").await;
    for _ in 0..20 {
        caller.send("GET /2 HTTP/1.1\r\nhost: orders\r\n\r\n").await;
        served.until("\r\n\r\n").await;
        served.send(OK).await;
        caller.until("ok").await;
    }
}

#[tokio::test]
async fn a_root_that_is_taken_away_takes_kept_connections_with_it() {
    let (domain, other) = (Domain::new("shop.example"), Domain::new("shop.example"));
    let (app, address) = listen().await;
    let orders = callee(&domain, address, "http", "").await;
    let storefront = caller(&domain, orders.at("web").await, "http").await;
    let mut caller = Raw::connect(storefront.at("out").await).await;
    caller.send("GET /1 HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    let mut served = Raw::accept(&app).await;
    served.until("\r\n\r\n").await;
    served.send(OK).await;
    caller.until("ok").await;

    let before = orders.running.generation();
    let svid = other.issuer.leaf("spiffe://shop.example/orders");
    svid.write_files(&orders.path(""), &other.root.bundle_pem());
    soon("a new identity", orders.running.newer_than(before)).await;

    caller.send("GET /2 HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    let answer = caller.until("}").await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{answer}");
    assert!(answer.contains("reached=?0"), "{answer}");
}
