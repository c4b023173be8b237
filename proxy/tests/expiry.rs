//! Certificates that end while connections are open: nothing new starts on them, and what is open has its time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::time::{Duration, SystemTime};
use support::{ALL, Domain, Member, Raw, inbound, listen, outbound, soon};
use tokio::net::TcpListener;

/// Long enough to start two sidecars and to call, short enough to wait for.
const LIFE_S: i64 = 4;
const LONG: i64 = 3600;

/// `orders` behind `storefront`, each with a leaf of so many seconds and its own `limits`.
struct Pair {
    storefront: Member,
    orders: Member,
    app: TcpListener,
    /// When the first of the leaves ends.
    ends: SystemTime,
}

async fn pair(protocol: &str, caller: (i64, &str), callee: (i64, &str)) -> Pair {
    let domain = Domain::new("shop.example");
    let (app, at) = listen().await;
    let start = mint::now_s();
    let svid = |who: &str, life_s| {
        let id = format!("spiffe://shop.example/{who}");
        domain
            .issuer
            .leaf_with(&id, |draft| draft.not_after = start + life_s)
    };
    let limits = |limits: &str| match limits {
        "" => String::new(),
        limits => format!("limits: {{ {limits} }}\n"),
    };
    let besides = inbound(at, protocol, &limits(callee.1));
    let orders = Member::start_as(&domain, &svid("orders", callee.0), &besides, ALL).await;
    let besides = outbound(orders.at("web").await, protocol, &limits(caller.1));
    let storefront = Member::start_as(&domain, &svid("storefront", caller.0), &besides, ALL).await;
    let first = u64::try_from(start + caller.0.min(callee.0)).unwrap();
    Pair {
        storefront,
        orders,
        app,
        ends: SystemTime::UNIX_EPOCH + Duration::from_secs(first),
    }
}

impl Pair {
    /// The caller's and the app's end of something long that has begun.
    async fn begin(&self, protocol: &str) -> (Raw, Raw) {
        let mut caller = Raw::connect(self.storefront.at("out").await).await;
        let ask = "GET /long HTTP/1.1\r\nhost: orders\r\n\r\n";
        caller.send(ask).await;
        let mut served = Raw::accept(&self.app).await;
        served.until("\r\n\r\n").await;
        match protocol {
            "http" => {
                served
                    .send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
                    .await;
            }
            _ => served.send("first").await,
        }
        caller.until("first").await;
        (caller, served)
    }
    /// A request on a connection of its own, and its answer's head.
    async fn ask(&self) -> String {
        let mut caller = Raw::connect(self.storefront.at("out").await).await;
        caller.send("GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await;
        caller.until("\r\n\r\n").await
    }
    /// The end of the first leaf, in everybody's eyes: a certificate holds to the end of its last second.
    async fn ended(&self) {
        let ended = self.ends + Duration::from_millis(1050);
        let left = ended.duration_since(SystemTime::now());
        tokio::time::sleep(left.unwrap_or_default()).await;
    }
}

async fn page(member: &Member, listener: &str, path: &str) -> String {
    let mut socket = Raw::connect(member.at(listener).await).await;
    let ask = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.send(&ask).await;
    socket.rest().await
}

#[tokio::test]
async fn what_is_open_runs_on_and_nothing_new_is_served_with_a_certificate_that_has_ended() {
    for protocol in ["http", "tcp"] {
        let pair = pair(protocol, (LONG, ""), (LIFE_S, "")).await;
        let (mut caller, mut served) = pair.begin(protocol).await;
        pair.ended().await;

        served.send("later").await;
        caller.until("later").await;

        if protocol == "http" {
            let refused = pair.ask().await;
            assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
            assert!(
                refused.contains("error=tls_certificate_error; details=\"expired\""),
                "{refused}"
            );
        } else {
            let mut refused = Raw::connect(pair.storefront.at("out").await).await;
            assert_eq!(refused.rest().await, "");
        }
        pair.orders
            .counts("countersign_handshakes_total{side=\"server\",result=\"own_certificate_ended\",group=\"\"} 1")
            .await;
        let ready = page(&pair.orders, "health", "/ready").await;
        assert!(
            ready.contains("not ready: identity: the certificate ended at "),
            "{ready}"
        );
        let certs = page(&pair.orders, "admin", "/certs").await;
        assert!(
            certs.contains("\"state\": \"ended\"") && certs.contains("\"source\": \"files\""),
            "{certs}"
        );
    }
}

#[tokio::test]
async fn who_calls_with_an_own_certificate_that_has_ended_is_told_so_before_anybody_is_dialled() {
    let pair = pair("http", (LIFE_S, ""), (LONG, "")).await;
    let (mut caller, mut served) = pair.begin("http").await;
    pair.ended().await;

    let refused = pair.ask().await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let says = "error=proxy_internal_error; details=\"own_certificate_ended\"; reached=?0";
    assert!(refused.contains(says), "{refused}");

    served.send("later").await;
    caller.until("later").await;
    // And on the same connection of the app, which no certificate stands behind.
    caller.send("GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    let refused = caller.until("\r\n\r\n").await;
    assert!(refused.contains(says), "{refused}");
}

/// Whichever side has the limit, ends it: `0s` is the very second.
#[tokio::test]
async fn with_no_time_after_expiry_what_is_open_ends_with_the_certificate() {
    let none = "afterExpiry: 0s";
    for protocol in ["http", "tcp"] {
        for (caller, callee) in [
            ((LONG, none), (LIFE_S, "")),
            ((LIFE_S, ""), (LONG, none)),
            ((LIFE_S, none), (LIFE_S, none)),
        ] {
            let pair = pair(protocol, caller, callee).await;
            let (mut long, _served) = pair.begin(protocol).await;
            assert!(
                SystemTime::now() < pair.ends,
                "the machine is too slow for a leaf of {LIFE_S} s"
            );

            // A cut answer is no whole answer, and its connection ends with or without a reset.
            let mut rest = String::new();
            let reading = tokio::io::AsyncReadExt::read_to_string(&mut long.0, &mut rest);
            let _whichever = soon("the end of what was open", reading).await;
            assert_eq!(rest, "");
            let late = SystemTime::now().duration_since(pair.ends).unwrap();
            assert!(late < Duration::from_secs(2), "{late:?} after the end");
        }
    }
}

#[tokio::test]
async fn what_is_open_has_its_time_after_expiry_and_no_more() {
    let three = "afterExpiry: 3s";
    let pair = pair("http", (LONG, three), (LIFE_S, three)).await;
    let (mut caller, mut served) = pair.begin("http").await;
    pair.ended().await;
    served.send("la").await;
    caller.until("la").await;

    let mut rest = String::new();
    let reading = tokio::io::AsyncReadExt::read_to_string(&mut caller.0, &mut rest);
    let _whichever = soon("the end of what was open", reading).await;
    let after = SystemTime::now().duration_since(pair.ends).unwrap();
    assert!(
        after >= Duration::from_secs(3) && after < Duration::from_secs(5),
        "{after:?}"
    );
}
