//! `unknown: passthrough`: a request that names no service goes in clear text to where it says, and nowhere that is closed to
//! requests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/dns.rs"]
mod dns;
mod support;

use dns::{Dns, here};
use std::net::SocketAddr;
use support::{ALL, Domain, Member, Raw, soon};
use tokio::net::TcpListener;

/// A server of no mesh, whose connections the test serves.
async fn elsewhere() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((here(), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

const SERVICE: &str = "services: [{ name: orders, hosts: [orders], identity: \"spiffe://shop.example/orders\", endpoints: [\"127.0.0.1:1\"] }]\n";

fn besides(unknown: &str, dns: &Dns) -> String {
    format!(
        "outbound: [{{ name: out, listen: \"0.0.0.0:0\", protocol: http{unknown} }}]\n\
         inbound: [{{ name: web, listen: \"0.0.0.0:0\", app: \"127.0.0.1:9\", protocol: http }}]\n\
         policy: {{ file: policy.yaml }}\n{SERVICE}{}",
        dns.key()
    )
}

const PASSES: &str = ", unknown: passthrough";

async fn passing(dns: &Dns) -> Member {
    let domain = Domain::new("shop.example");
    Member::start(&domain, "storefront", &besides(PASSES, dns), ALL).await
}

/// One request on a connection of its own, which stays open.
async fn send(member: &Member, line: &str, host: &str) -> Raw {
    let at = SocketAddr::from(([127, 0, 0, 1], member.at("out").await.port()));
    let mut socket = Raw::connect(at).await;
    let claim = "x-forwarded-client-cert: URI=spiffe://shop.example/me";
    socket
        .send(&format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\n{claim}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    socket
}

async fn ask(member: &Member, line: &str, host: &str) -> String {
    send(member, line, host).await.rest().await
}

fn refused(answer: &str, error: &str, reason: &str) {
    let status = format!("countersign; error={error}; details=\"{reason}\"; reached=?0");
    let number = match error {
        "http_request_error" => 400,
        _ => 502,
    };
    let line = format!("HTTP/1.1 {number} ");
    assert!(answer.starts_with(&line), "{reason}: {answer}");
    assert!(answer.contains(&status), "{reason}: {answer}");
}

#[tokio::test]
async fn what_names_no_service_goes_in_clear_text_to_the_host_that_it_names() {
    let dns = Dns::start().await;
    let storefront = passing(&dns).await;
    let (server, at) = elsewhere().await;
    dns.addresses("api.test", 60, &[here()]);

    for host in [format!("api.test:{}", at.port()), at.to_string()] {
        for line in ["GET /a?b=1".to_owned(), format!("GET http://{host}/a?b=1")] {
            let mut client = send(&storefront, &line, &host).await;
            let mut came = Raw::accept(&server).await;
            let head = came.until("\r\n\r\n").await;
            came.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine")
                .await;

            assert!(head.starts_with("GET /a?b=1 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
            assert!(!head.contains("x-forwarded-client-cert"), "{head}");
            let answer = client.rest().await;
            assert!(answer.ends_with("fine"), "{answer}");
        }
    }
    let counted =
        "countersign_upstream_connections_total{service=\"(passthrough)\",tls=\"none\"} 4";
    storefront.counts(counted).await;
    // What is a service stays one, and its server has to prove who it is.
    let answer = ask(&storefront, "GET /", "orders").await;
    refused(&answer, "connection_refused", "connection_refused");
}

#[tokio::test]
async fn no_request_leads_to_loopback_to_metadata_or_to_what_is_no_destination() {
    let dns = Dns::start().await;
    let storefront = passing(&dns).await;
    dns.addresses("home.test", 60, &["127.0.0.1".parse().unwrap()]);
    dns.addresses("cloud.test", 60, &["169.254.169.254".parse().unwrap()]);
    dns.addresses("aws.test", 60, &["fd00:ec2::254".parse().unwrap()]);
    for host in [
        "127.0.0.1:8080",
        "127.9.9.9",
        "localhost:8080",
        "LOCALHOST.",
        "0.0.0.0:8080",
        "[::1]:8080",
        "[::]:8080",
        "[::ffff:127.0.0.1]:8080",
        "[::127.0.0.1]:8080",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]:8080",
        "224.0.0.1",
        "255.255.255.255",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "168.63.129.16",
        "home.test:8080",
        "cloud.test",
        "aws.test",
    ] {
        for line in ["GET /".to_owned(), format!("GET http://{host}/")] {
            let answer = ask(&storefront, &line, host).await;
            refused(&answer, "destination_ip_prohibited", "address_prohibited");
        }
    }
    // Numbers that some resolvers take for addresses are no names.
    for host in ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"] {
        let answer = ask(&storefront, "GET /", host).await;
        refused(&answer, "http_request_error", "bad_host");
    }
}

#[tokio::test]
async fn no_request_leads_to_a_listener_of_ours() {
    let dns = Dns::start().await;
    let storefront = passing(&dns).await;
    dns.addresses("here.test", 60, &[here()]);

    for listener in ["out", "web"] {
        let port = storefront.at(listener).await.port();
        for host in [
            SocketAddr::new(here(), port).to_string(),
            format!("here.test:{port}"),
        ] {
            let answer = ask(&storefront, "GET /", &host).await;
            refused(&answer, "destination_ip_prohibited", "own_listener");
        }
    }
}

#[tokio::test]
async fn neither_tunnels_nor_what_asks_for_tls_are_passed_through() {
    let dns = Dns::start().await;
    let storefront = passing(&dns).await;
    let (server, at) = elsewhere().await;
    let host = at.to_string();

    let tunnel = ask(&storefront, &format!("CONNECT {host}"), &host).await;
    let https = ask(&storefront, &format!("GET https://{host}/"), &host).await;
    let nowhere = ask(&storefront, "GET /", &format!("{}:0", here())).await;

    refused(&tunnel, "destination_not_found", "no_such_service");
    refused(&https, "destination_not_found", "passthrough_is_clear_text");
    refused(&nowhere, "http_request_error", "bad_port");
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(100), server.accept());
    assert!(nobody.await.is_err(), "it was called");
}

#[tokio::test]
async fn what_was_passed_through_ends_when_nothing_is_any_more_or_its_host_is_a_service() {
    let dns = Dns::start().await;
    let storefront = passing(&dns).await;
    let (server, at) = elsewhere().await;
    let host = at.to_string();
    let declared = besides(PASSES, &dns).replace(
        "hosts: [orders]",
        &format!("hosts: [orders, \"{}\"]", here()),
    );
    for next in [besides("", &dns), declared] {
        let mut client = send(&storefront, "GET /open", &host).await;
        let mut came = Raw::accept(&server).await;
        came.until("\r\n\r\n").await;
        came.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            .await;
        client.until("half").await;

        storefront.configure(&next);

        assert_eq!(client.rest().await, "");
        let ended = soon("its end", came.0.readable()).await;
        ended.unwrap();
        let answer = ask(&storefront, "GET /", &host).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        storefront.configure(&besides(PASSES, &dns));
        let passes = async {
            while !ask(&storefront, "GET /", "127.0.0.1")
                .await
                .contains("address_prohibited")
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon("the way back", passes).await;
    }
}
