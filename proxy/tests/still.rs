//! What is open when something new comes into force: what that forbids ends at once, what it allows does not notice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::time::{Duration, Instant};
use support::{ALL, Domain, Member, Raw, inbound, listen, outbound, soon};
use tokio::net::TcpListener;

/// What is promised, from the moment at which a new generation is in force.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

const PROTOCOLS: [&str; 2] = ["tcp", "http"];

/// `orders` behind `storefront`.
struct Pair {
    domain: Domain,
    storefront: Member,
    orders: Member,
    app: TcpListener,
    protocol: &'static str,
}

impl Pair {
    async fn start(protocol: &'static str) -> Self {
        let domain = Domain::new("shop.example");
        let (app, at) = listen().await;
        let orders = Member::start(&domain, "orders", &inbound(at, protocol, ""), ALL).await;
        let besides = outbound(orders.at("web").await, protocol, "");
        let storefront = Member::start(&domain, "storefront", &besides, ALL).await;
        Self {
            domain,
            storefront,
            orders,
            app,
            protocol,
        }
    }
    /// The caller's and the app's end of something long: a connection of bytes, or a request with an answer, both under way.
    async fn long(&self) -> (Raw, Raw) {
        let mut caller = Raw::connect(self.storefront.at("out").await).await;
        let http = self.protocol == "http";
        if http {
            let head = "POST /long HTTP/1.1\r\nhost: orders\r\ncontent-length: 1000\r\n\r\n";
            caller.send(head).await;
        }
        caller.send("hello").await;
        let mut served = Raw::accept(&self.app).await;
        served.until("hello").await;
        if http {
            served
                .send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                .await;
            caller.until("\r\n\r\n").await;
        }
        (caller, served)
    }
}

/// Changes something at a member, and waits until it is in force.
async fn in_force(member: &Member, change: impl FnOnce(&Member)) -> Instant {
    let before = member.running.generation();
    change(member);
    soon("a new generation", member.running.newer_than(before)).await;
    Instant::now()
}

/// Waits for the end of a connection, with or without a reset, and judges how long it took.
async fn ends(mut open: Raw, since: Instant) {
    let mut rest = String::new();
    let reading = tokio::io::AsyncReadExt::read_to_string(&mut open.0, &mut rest);
    let _whichever = soon("the end of what is forbidden", reading).await;
    let took = since.elapsed();
    assert!(took < ENDS_WITHIN, "{took:?}");
    assert_eq!(rest, "");
}

async fn is_open(caller: &mut Raw, served: &mut Raw) {
    caller.send("ping").await;
    assert_eq!(served.bytes(4).await, "ping");
    served.send("pong").await;
    assert_eq!(caller.bytes(4).await, "pong");
}

fn denies(who: &str) -> String {
    format!(
        "{ALL}  - {{ name: keep out, from: [\"spiffe://shop.example/{who}\"], deny: [{{}}] }}\n"
    )
    .replace("rules: [{ name: all", "rules:\n  - { name: all")
    .replace("allow: [{}] }]\n", "allow: [{}] }\n")
}

#[tokio::test]
async fn what_is_open_ends_with_the_policy_that_forbids_it_and_with_no_other() {
    for protocol in PROTOCOLS {
        let pair = Pair::start(protocol).await;
        let (mut caller, mut served) = pair.long().await;

        in_force(&pair.orders, |orders| {
            orders.write("policy.yaml", &denies("stranger"));
        })
        .await;
        is_open(&mut caller, &mut served).await;

        let since = in_force(&pair.orders, |orders| {
            orders.write("policy.yaml", &denies("storefront"));
        })
        .await;
        ends(caller, since).await;
        ends(served, since).await;
        pair.orders
            .counts("countersign_connections{direction=\"inbound\",listener=\"web\"} 0")
            .await;
    }
}

#[tokio::test]
async fn what_is_open_ends_with_the_root_of_whoever_is_at_its_other_end() {
    for (side, protocol) in [("orders", "tcp"), ("storefront", "tcp"), ("orders", "http")] {
        let pair = Pair::start(protocol).await;
        let (mut caller, mut served) = pair.long().await;
        let other = Domain::new("shop.example");
        let member = match side {
            "orders" => &pair.orders,
            _ => &pair.storefront,
        };
        let id = format!("spiffe://shop.example/{side}");
        let renewed = |domain: &Domain, roots: String| {
            let leaf = domain.issuer.leaf(&id);
            in_force(member, move |member| {
                leaf.write_files(&member.path(""), &roots);
            })
        };

        let both = format!(
            "{}{}",
            pair.domain.root.bundle_pem(),
            other.root.bundle_pem()
        );
        renewed(&pair.domain, both).await;
        is_open(&mut caller, &mut served).await;

        let since = renewed(&other, other.root.bundle_pem()).await;
        ends(caller, since).await;
        ends(served, since).await;
    }
}

#[tokio::test]
async fn what_is_open_to_a_service_ends_when_that_is_another_one() {
    let (_elsewhere, other) = listen().await;
    for (changed, protocol) in [
        ("identity", "tcp"),
        ("endpoint", "tcp"),
        ("removed", "tcp"),
        ("kept", "tcp"),
        ("identity", "http"),
        ("removed", "http"),
        ("kept", "http"),
    ] {
        let pair = Pair::start(protocol).await;
        let (mut caller, mut served) = pair.long().await;
        let endpoint = pair.orders.at("web").await;
        let now = outbound(endpoint, protocol, "");
        let now = match changed {
            "identity" => now.replace("shop.example/orders", "shop.example/others"),
            "endpoint" => outbound(other, protocol, ""),
            "removed" => now.replace("orders", "others"),
            _ => now.replace(
                &format!("[\"{endpoint}\"]"),
                &format!("[\"{other}\", \"{endpoint}\"], timeout: 9s"),
            ),
        };

        let since = in_force(&pair.storefront, |storefront| storefront.configure(&now)).await;

        if changed == "kept" {
            is_open(&mut caller, &mut served).await;
        } else {
            ends(caller, since).await;
            ends(served, since).await;
        }
    }
}
