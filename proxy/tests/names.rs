//! Endpoints that are names: where they lead, when they are looked up again, and where no name may lead.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/dns.rs"]
mod dns;
mod support;

use dns::{Dns, Record, here};
use std::time::Duration;
use support::{ALL, Domain, Member, Raw, listen, soon};

/// A sidecar in front of an app that answers with a word.
struct Served {
    member: Member,
    port: u16,
}

async fn served(domain: &Domain, who: &str, word: &'static str) -> Served {
    let (app, at) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = app.accept().await {
            tokio::spawn(async move {
                let mut socket = Raw(socket);
                loop {
                    socket.until("\r\n\r\n").await;
                    let length = word.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{word}");
                    socket.send(&answer).await;
                }
            });
        }
    });
    let besides = format!(
        "inbound: [{{ name: web, listen: \"0.0.0.0:0\", app: \"{at}\", protocol: http }}]\npolicy: {{ file: policy.yaml }}\n"
    );
    let member = Member::start(domain, who, &besides, ALL).await;
    let port = member.at("web").await.port();
    Served { member, port }
}

/// `storefront`, which calls `orders` at this endpoint, and asks this server for names.
async fn storefront(domain: &Domain, dns: &Dns, endpoint: &str) -> Member {
    let besides = format!(
        "outbound: [{{ name: out, listen: \"127.0.0.1:0\", protocol: http }}]\n\
         services: [{{ name: orders, hosts: [orders], identity: \"spiffe://shop.example/orders\", endpoints: [\"{endpoint}\"] }}]\n{}",
        dns.key()
    );
    Member::start(domain, "storefront", &besides, ALL).await
}

/// One request on a connection of its own; the whole answer.
async fn ask(member: &Member, host: &str) -> String {
    let mut socket = Raw::connect(member.at("out").await).await;
    socket
        .send(&format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    socket.rest().await
}

/// Asks until this is in the answer.
async fn comes_to(member: &Member, text: &str) {
    let asking = async {
        while !ask(member, "orders").await.contains(text) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(text, asking).await;
}

fn says(answer: &str, status: &str, error: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("countersign; error={error}; reached=?0")),
        "{answer}"
    );
}

const NAME: &str = "_mesh._tcp.orders.test";

/// Publishes records that lead to these ports of this machine, by priority.
fn leads(dns: &Dns, ttl_s: u32, ports: &[(u16, u16)]) {
    dns.addresses("host.test", ttl_s, &[here()]);
    let record = |(priority, port): &(u16, u16)| Record::Srv(*priority, *port, "host.test".into());
    let records: Vec<Record> = ports.iter().map(record).collect();
    dns.publish(NAME, ttl_s, &records);
}

#[tokio::test]
async fn a_name_leads_elsewhere_once_its_answer_has_ended() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let (old, new) = (
        served(&domain, "orders", "old").await,
        served(&domain, "orders", "new").await,
    );
    leads(&dns, 1, &[(0, old.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;
    assert!(ask(&storefront, "orders").await.ends_with("old"));

    leads(&dns, 1, &[(0, new.port)]);

    comes_to(&storefront, "new").await;
    assert!(ask(&storefront, "orders").await.ends_with("new"));
}

#[tokio::test]
async fn an_answer_is_not_asked_for_again_while_it_holds() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let orders = served(&domain, "orders", "orders").await;
    leads(&dns, 60, &[(0, orders.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;

    for _ in 0..20 {
        assert!(ask(&storefront, "orders").await.ends_with("orders"));
    }

    assert_eq!(dns.asked(NAME), 1);
}

#[tokio::test]
async fn a_wrong_identity_is_ejected_and_its_name_looked_up_again_at_once() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let (ledger, orders) = (
        served(&domain, "ledger", "ledger").await,
        served(&domain, "orders", "orders").await,
    );
    leads(&dns, 300, &[(0, ledger.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;
    let refused = ask(&storefront, "orders").await;
    says(
        &refused,
        "502",
        "tls_certificate_error; details=\"wrong_identity\"",
    );
    storefront
        .counts("countersign_ejections_total{service=\"orders\",reason=\"wrong_identity\"} 1")
        .await;

    leads(&dns, 300, &[(0, orders.port)]);
    // An answer that came just now is not asked for again.
    tokio::time::sleep(Duration::from_millis(1100)).await;

    let answered = ask(&storefront, "orders").await;
    assert!(answered.ends_with("orders"), "{answered}");
    assert_eq!(dns.asked(NAME), 2, "its answer held for minutes yet");
}

#[tokio::test]
async fn a_wrong_identity_among_several_fails_no_request() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let (ledger, orders) = (
        served(&domain, "ledger", "ledger").await,
        served(&domain, "orders", "orders").await,
    );
    leads(&dns, 300, &[(0, ledger.port), (0, orders.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;

    for _ in 0..10 {
        let answered = ask(&storefront, "orders").await;
        assert!(answered.ends_with("orders"), "{answered}");
    }

    storefront
        .counts("countersign_ejections_total{service=\"orders\",reason=\"wrong_identity\"} 1")
        .await;
}

#[tokio::test]
async fn a_spare_is_used_only_while_what_is_wanted_more_fails() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let (first, spare) = (
        served(&domain, "orders", "first").await,
        served(&domain, "orders", "spare").await,
    );
    leads(&dns, 300, &[(20, spare.port), (10, first.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;
    for _ in 0..5 {
        assert!(ask(&storefront, "orders").await.ends_with("first"));
    }

    first.member.running.end(Duration::ZERO).await;

    comes_to(&storefront, "spare").await;
}

#[tokio::test]
async fn hosts_of_one_priority_are_called_as_often_as_they_weigh() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let (light, heavy) = (
        served(&domain, "orders", "light").await,
        served(&domain, "orders", "heavy").await,
    );
    dns.addresses("host.test", 300, &[here()]);
    let record = |weight, port| Record::Weighed(0, weight, port, "host.test".into());
    dns.publish(NAME, 300, &[record(10, light.port), record(30, heavy.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;

    let mut times = 0_usize;
    for _ in 0..40 {
        times += usize::from(ask(&storefront, "orders").await.ends_with("light"));
    }

    // A dial takes a turn of its own, so that it is not one in four exactly.
    assert!((6..=14).contains(&times), "{times} of 40");
    let page = page(&storefront, "/endpoints").await;
    let addresses = &page["services"][0]["endpoints"][0]["addresses"];
    let weights = [&addresses[0]["weight"], &addresses[1]["weight"]];
    let mut weights = weights.map(|weight| weight.as_f64().unwrap() as u64);
    weights.sort_unstable();
    assert_eq!(weights, [10, 30]);
}

#[tokio::test]
async fn what_was_known_stays_in_use_while_nobody_answers() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let orders = served(&domain, "orders", "orders").await;
    leads(&dns, 1, &[(0, orders.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;
    assert!(ask(&storefront, "orders").await.ends_with("orders"));

    dns.fail(NAME);
    let before = dns.asked(NAME);
    let asked = async {
        while dns.asked(NAME) < before + 3 {
            assert!(ask(&storefront, "orders").await.ends_with("orders"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("a server that is asked again and again", asked).await;
    assert!(ask(&storefront, "orders").await.ends_with("orders"));

    // That there is nothing any more is an answer.
    dns.forget(NAME);
    comes_to(&storefront, "name_not_resolved").await;
}

#[tokio::test]
async fn a_name_that_is_not_there_and_one_that_nobody_answers_for_are_told_apart() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let missing = storefront(&domain, &dns, "missing.test:15006").await;
    says(
        &ask(&missing, "orders").await,
        "502",
        "dns_error; details=\"name_not_resolved\"",
    );

    dns.silence("silent.test");
    let silent = storefront(&domain, &dns, "silent.test:15006").await;
    for _ in 0..2 {
        says(
            &ask(&silent, "orders").await,
            "504",
            "dns_timeout; details=\"name_not_resolved_in_time\"",
        );
    }
}

#[tokio::test]
async fn both_families_of_a_name_are_tried() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let orders = served(&domain, "orders", "orders").await;
    // Nobody is at the documentation's addresses (RFC 3849).
    dns.addresses("both.test", 300, &["2001:db8::1".parse().unwrap(), here()]);
    let storefront = storefront(&domain, &dns, &format!("both.test:{}", orders.port)).await;

    for _ in 0..10 {
        assert!(ask(&storefront, "orders").await.ends_with("orders"));
    }
}

#[tokio::test]
async fn localhost_is_this_machine_in_both_families() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    dns.addresses("localhost", 300, &["198.51.100.1".parse().unwrap()]);
    let app = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let port = app.local_addr().unwrap().port();
    let besides = format!(
        "inbound: [{{ name: web, listen: \"127.0.0.1:0\", app: \"localhost:{port}\", protocol: tcp }}]\npolicy: {{ file: policy.yaml }}\n{}",
        dns.key()
    );
    let orders = Member::start(&domain, "orders", &besides, ALL).await;
    let caller = support::caller(&domain, orders.at("web").await, "tcp").await;

    let mut caller = Raw::connect(caller.at("out").await).await;
    caller.send("hello").await;

    assert_eq!(Raw::accept(&app).await.bytes(5).await, "hello");
    assert_eq!(dns.asked("localhost"), 0);
}

/// A sidecar with listeners of every kind on every interface, which calls a service for each name.
async fn exposed(domain: &Domain, dns: &Dns, names: &[&str]) -> Member {
    let service = |name: &&str| {
        format!(
            "  - {{ name: {name}, hosts: [{name}], identity: \"spiffe://shop.example/{name}\", endpoints: [\"srv:{name}.test\"] }}\n"
        )
    };
    let services: String = names.iter().map(service).collect();
    let besides = format!(
        "outbound:\n  - {{ name: out, listen: \"0.0.0.0:0\", protocol: http }}\n  - {{ name: bytes, listen: \"0.0.0.0:0\", protocol: tcp, service: {first} }}\n\
         inbound: [{{ name: web, listen: \"0.0.0.0:0\", app: \"127.0.0.1:9\", protocol: http }}]\n\
         policy: {{ file: policy.yaml }}\nservices:\n{services}{key}",
        first = names[0],
        key = dns.key(),
    );
    Member::start(domain, "storefront", &besides, ALL).await
}

#[tokio::test]
async fn no_name_leads_to_a_listener_of_ours() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let listeners = ["web", "out", "bytes"];
    let storefront = exposed(&domain, &dns, &listeners).await;
    dns.addresses("host.test", 300, &[here()]);
    for listener in listeners {
        let port = storefront.at(listener).await.port();
        dns.publish(
            &format!("{listener}.test"),
            300,
            &[Record::Srv(0, port, "host.test".into())],
        );
    }

    for listener in listeners {
        let answer = ask(&storefront, listener).await;
        says(
            &answer,
            "502",
            "destination_ip_prohibited; details=\"own_listener\"",
        );
    }
}

#[tokio::test]
async fn no_name_leads_to_loopback_or_to_what_is_no_destination() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let storefront = storefront(&domain, &dns, "home.test:15006").await;
    for ip in [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
    ] {
        dns.addresses("home.test", 1, &[ip.parse().unwrap()]);
        let prohibited = async {
            // What the name led to before may be in use for a second yet.
            loop {
                let answer = ask(&storefront, "orders").await;
                says(
                    &answer,
                    "502",
                    "destination_ip_prohibited; details=\"address_prohibited\"",
                );
                let page = page(&storefront, "/endpoints").await;
                if page["services"][0]["endpoints"][0]["addresses"][0]["address"]
                    == format!("{}", std::net::SocketAddr::new(ip.parse().unwrap(), 15006))
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon(ip, prohibited).await;
    }
}

/// An admin page.
async fn page(member: &Member, path: &str) -> serde_json::Value {
    let mut socket = Raw::connect(member.at("admin").await).await;
    socket
        .send(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ))
        .await;
    let answer = socket.rest().await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn the_admin_page_tells_where_a_name_leads_and_what_is_ejected() {
    let domain = Domain::new("shop.example");
    let dns = Dns::start().await;
    let (ledger, orders) = (
        served(&domain, "ledger", "ledger").await,
        served(&domain, "orders", "orders").await,
    );
    leads(&dns, 200, &[(10, ledger.port), (20, orders.port)]);
    let storefront = storefront(&domain, &dns, &format!("srv:{NAME}")).await;
    assert!(ask(&storefront, "orders").await.ends_with("orders"));

    let page = page(&storefront, "/endpoints").await;

    let service = &page["services"][0];
    assert_eq!(service["name"], "orders");
    let endpoint = &service["endpoints"][0];
    assert_eq!(endpoint["endpoint"], format!("srv:{NAME}"));
    let left = endpoint["secondsLeft"].as_u64().unwrap();
    assert!((190..=200).contains(&left), "{left}");
    let [wrong, right] = endpoint["addresses"].as_array().unwrap().as_slice() else {
        panic!("{page:#}")
    };
    assert_eq!(wrong["address"], format!("{}:{}", here(), ledger.port));
    assert_eq!(wrong["ejected"]["reason"], "wrong_identity");
    assert_eq!(wrong["connections"], 0);
    assert_eq!(right["priority"], 20);
    assert!(right["ejected"].is_null());
    assert_eq!(right["connections"], 1);
    assert_eq!(right["streams"], 0);
    assert_eq!(page["apps"], serde_json::json!([]));
}
