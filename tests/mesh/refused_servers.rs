//! From the outbound sidecar: a server that is not the pinned identity, or not believed at all, gets no byte of a request.

use crate::mistakes;
use crate::support::client::{Answer, Client, ask};
use crate::support::mesh::{COMMON, Domain, Member};
use crate::support::sidecar::Sidecar;
use crate::support::tls;
use mint::Svid;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a server does with whoever connects.
#[derive(Clone)]
enum Server {
    /// Shakes hands with this certificate and protocol; counts what it then hears.
    Shows(Box<Svid>, &'static str),
    /// Sends these bytes and waits; an empty answer is silence.
    Says(&'static [u8]),
    /// Closes when it was greeted.
    Closes,
}

use Server::{Closes, Says, Shows};

/// ServerHello of TLS 1.2: version, random, no session id, ECDHE-ECDSA-AES128-GCM, no compression, no extension.
const TLS12_HELLO: &[u8] = &[
    0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0xc0, 0x2b, 0,
];

/// The error of RFC 9209, and the status that goes with it.
const CERTIFICATE: (u16, &str) = (502, "tls_certificate_error");
const PROTOCOL: (u16, &str) = (502, "tls_protocol_error");
const TIMEOUT: (u16, &str) = (504, "connection_timeout");

struct Case {
    name: &'static str,
    server: Server,
    row: (u16, &'static str),
    reason: &'static str,
}

fn cases(shop: &Domain, partner: &Domain) -> Vec<Case> {
    let case = |name, server, row, reason| Case {
        name,
        server,
        row,
        reason,
    };
    let mut all = vec![
        case(
            "somebody else",
            Shows(Box::new(shop.svid("ledger")), ""),
            CERTIFICATE,
            "wrong_identity",
        ),
        case(
            "a server in clear text",
            Says(b"HTTP/1.1 200 OK\r\n\r\n"),
            PROTOCOL,
            "not_tls",
        ),
        case("silence", Says(b""), TIMEOUT, "handshake_timeout"),
        case("TLS 1.2", Says(TLS12_HELLO), PROTOCOL, "tls_version"),
        case("who closes", Closes, PROTOCOL, "closed_in_handshake"),
    ];
    for (name, svid, reason) in mistakes::certificates(shop, partner, "orders") {
        all.push(case(name, Shows(Box::new(svid), ""), CERTIFICATE, reason));
    }
    all
}

/// Serves until the test ends; counts the bytes of requests that it could read.
async fn serve(server: Server, heard: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(meet(socket, server.clone(), Arc::clone(&heard)));
        }
    });
    at
}

async fn meet(mut socket: TcpStream, server: Server, heard: Arc<AtomicU64>) {
    match server {
        Shows(svid, alpn) => {
            let alpn: Vec<&str> = [alpn].into_iter().filter(|alpn| !alpn.is_empty()).collect();
            let Ok(mut stream) = TlsAcceptor::from(tls::server(&svid, &alpn))
                .accept(socket)
                .await
            else {
                return;
            };
            let mut bytes = Vec::new();
            // However the connection ends: what came before counts.
            let _ = stream.read_to_end(&mut bytes).await;
            heard.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            // Without it the end would be no good one.
            let _ = stream.shutdown().await;
        }
        Says(bytes) => {
            let _ = socket.write_all(bytes).await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
        Closes => {
            // Unread bytes would turn the end into a reset.
            let _ = socket.read(&mut vec![0; 64 * 1024]).await;
        }
    }
}

struct World {
    sidecar: Sidecar,
    heard: Arc<AtomicU64>,
    _storefront: Member,
}

/// A sidecar that calls every one of the servers as `orders`: by host on `http`, by its own listener on `tcp-N`.
async fn world(shop: &Domain, partner: &Domain, servers: impl Iterator<Item = Server>) -> World {
    let heard = Arc::new(AtomicU64::default());
    let (mut services, mut outbound) = (String::new(), String::new());
    for (n, server) in servers.enumerate() {
        let at = serve(server, Arc::clone(&heard)).await;
        services.push_str(&format!(
            "  - {{ name: s{n}, hosts: [s{n}], identity: \"spiffe://shop.example/orders\", endpoints: [\"{at}\"] }}\n"
        ));
        outbound.push_str(&format!(
            "  - {{ name: tcp-{n}, listen: \"127.0.0.1:0\", protocol: tcp, service: s{n} }}\n"
        ));
    }
    let storefront = shop.member("storefront");
    storefront.write("partner.pem", &partner.root.bundle_pem());
    let federated = "  federated: [{ trustDomain: partner.example, bundle: partner.pem }]\nadmin:";
    storefront.write(
        "sidecar.yaml",
        &format!(
            "{}outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\n{outbound}services:\n{services}limits: \
             {{ handshake: 2s }}\n",
            COMMON.replace("admin:", federated)
        ),
    );
    World {
        sidecar: storefront.start(),
        heard,
        _storefront: storefront,
    }
}

fn expected(case: &Case, answer: &Answer) {
    let Case {
        name,
        row: (status, error),
        reason,
        ..
    } = case;
    let proxy_status = format!("countersign; error={error}; details=\"{reason}\"; reached=?0");
    assert_eq!(
        (answer.status, answer.header("proxy-status")),
        (*status, Some(proxy_status.as_str())),
        "{name}"
    );
    assert_eq!(
        answer.text(),
        format!("{{\"error\":\"{reason}\"}}\n"),
        "{name}"
    );
}

fn series(result: &str, group: &str) -> String {
    format!("countersign_handshakes_total{{side=\"client\",result=\"{result}\",group=\"{group}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_believed_hears_no_byte_of_a_request() {
    let (shop, partner) = (Domain::new("shop.example"), Domain::new("partner.example"));
    let cases = cases(&shop, &partner);
    let world = world(
        &shop,
        &partner,
        cases.iter().map(|case| case.server.clone()),
    )
    .await;
    let (sidecar, http) = (&world.sidecar, world.sidecar.at("http"));

    // All at once, so that what takes the whole of `limits.handshake` takes it once.
    let asked = cases.iter().enumerate().map(|(n, _)| {
        let tcp = sidecar.at(&format!("tcp-{n}"));
        tokio::spawn(async move {
            let answer = ask(http, "GET", &format!("s{n}"), "/orders").await;
            let mut tcp = Client::connect(tcp).await;
            // It may be closed before or after it was written to.
            let _ = tcp.send(b"SELECT 1").await;
            (answer, tcp.rest().await.unwrap_or_default())
        })
    });
    let asked: Vec<_> = asked.collect();
    let mut counts = BTreeMap::new();
    for (n, (case, asked)) in cases.iter().zip(asked).enumerate() {
        let (answer, bytes) = asked.await.unwrap();
        expected(case, &answer);
        assert_eq!(bytes, b"", "{}", case.name);
        for listener in ["http".to_owned(), format!("tcp-{n}")] {
            let service = format!("s{n}");
            let line = sidecar.logged(case.name, |line| {
                line["service"] == *service && line["listener"] == *listener
            });
            assert_eq!(line["reason"], case.reason, "{}: {line}", case.name);
            assert!(
                line["error"]
                    .as_str()
                    .is_some_and(|error| !error.is_empty()),
                "{}: {line}",
                case.name
            );
        }
        *counts.entry(series(case.reason, "")).or_insert(0) += 2;
    }
    let counted = sidecar
        .metrics()
        .await
        .into_iter()
        .filter(|(name, _)| name.starts_with("countersign_handshakes_total"));
    assert_eq!(counted.collect::<BTreeMap<_, _>>(), counts);
    assert_eq!(world.heard.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pinned_server_hears_the_request_and_its_handshake_is_counted() {
    let (shop, partner) = (Domain::new("shop.example"), Domain::new("partner.example"));
    let server = Shows(Box::new(shop.svid("orders")), "http/1.1");
    let world = world(&shop, &partner, [server].into_iter()).await;

    let mut client = Client::connect(world.sidecar.at("tcp-0")).await;
    client.send(b"SELECT 1").await.unwrap();
    client.half_close().await.unwrap();
    client.rest().await.unwrap();

    assert_eq!(world.heard.load(Ordering::Relaxed), 8);
    assert_eq!(
        world.sidecar.count(&series("ok", "X25519MLKEM768")).await,
        1
    );
}
