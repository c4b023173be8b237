//! At the inbound port: whoever is not a believed caller ends before a byte reaches the app, each with its own reason in the
//! log and in the metric.

use crate::mistakes;
use crate::support::app::EchoApp;
use crate::support::client::Client;
use crate::support::mesh::{COMMON, Domain, Member, allow_all};
use crate::support::sidecar::Sidecar;
use crate::support::{tls, within};
use mint::Svid;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What a stranger does.
#[derive(Clone)]
enum Attempt {
    /// Shakes hands, with this certificate or none, offering this protocol.
    Shakes(Option<Box<Svid>>, &'static str),
    /// Sends these bytes and waits.
    Sends(Vec<u8>),
    /// Sends a good ClientHello, reads what the sidecar says, and never answers.
    StopsHalfWay,
    /// Leaves without a word.
    Leaves,
}

use Attempt::{Leaves, Sends, Shakes, StopsHalfWay};

fn strangers(shop: &Domain, partner: &Domain) -> Vec<(&'static str, Attempt, &'static str)> {
    let good = hello();
    let (half, whole) = (good[..good.len() / 2].to_vec(), tls12_hello());
    let mut all = vec![
        ("no certificate", Shakes(None, ""), "no_certificate"),
        ("TLS 1.2", Sends(whole), "tls_version"),
        (
            "plain HTTP",
            Sends(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n".to_vec()),
            "plain_http",
        ),
        (
            "plain HTTP/2",
            Sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
            "plain_http",
        ),
        ("garbage", Sends(vec![0, 1, 2, 3, 4, 5]), "not_tls"),
        (
            "an SSH server's answer",
            Sends(b"\x80\x2e\x01\x00\x02".to_vec()),
            "not_tls",
        ),
        (
            "garbage in a record",
            Sends(vec![0x16, 3, 1, 0, 5, 9, 9, 9, 9, 9]),
            "tls_malformed",
        ),
        ("silence", Sends(Vec::new()), "silent"),
        ("half a ClientHello", Sends(half), "handshake_timeout"),
        (
            "a handshake stopped half way",
            StopsHalfWay,
            "handshake_timeout",
        ),
        ("a port scan", Leaves, "closed_in_handshake"),
    ];
    for (name, svid, reason) in mistakes::certificates(shop, partner, "storefront") {
        all.push((name, Shakes(Some(Box::new(svid)), ""), reason));
    }
    all
}

/// What a good client says first.
fn hello() -> Vec<u8> {
    let name = ServerName::try_from("orders").unwrap();
    let mut client = ClientConnection::new(tls::client(None, &[]), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A ClientHello of TLS 1.2, right in every other way: ECDHE-ECDSA-AES128-GCM, secp256r1, ecdsa_secp256r1_sha256.
fn tls12_hello() -> Vec<u8> {
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 0x17][..],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 11, 0, 2, 1, 0],
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([
        0,
        0,
        2,
        0xc0,
        0x2b,
        1,
        0,
        0,
        u8::try_from(extensions.len()).unwrap(),
    ]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

/// Makes the attempt to its end, which the sidecar must bring about; says from where it came.
async fn attempt(at: SocketAddr, what: Attempt) -> SocketAddr {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let from = socket.local_addr().unwrap();
    let ends = async {
        match what {
            Shakes(svid, alpn) => {
                let alpn: Vec<&str> = [alpn].into_iter().filter(|alpn| !alpn.is_empty()).collect();
                let name = ServerName::try_from("orders").unwrap();
                let connector =
                    tokio_rustls::TlsConnector::from(tls::client(svid.as_deref(), &alpn));
                let Ok(mut stream) = connector.connect(name, socket).await else {
                    return;
                };
                // In TLS 1.3 the client is done first: it may already speak, and must not be heard.
                let _ = stream
                    .write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
                    .await;
                let answer = stream.read_to_end(&mut Vec::new()).await;
                let alert = answer
                    .as_ref()
                    .err()
                    .and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>().cloned());
                // And hears it, although what it said was never read.
                assert!(
                    matches!(alert, Some(rustls::Error::AlertReceived(_))),
                    "a stranger is told by an alert: {answer:?}"
                );
            }
            Sends(bytes) => {
                socket.write_all(&bytes).await.unwrap();
                let _ = socket.read_to_end(&mut Vec::new()).await;
            }
            StopsHalfWay => {
                socket.write_all(&hello()).await.unwrap();
                let _ = socket.read_to_end(&mut Vec::new()).await;
            }
            Leaves => drop(socket),
        }
    };
    within("the end of a stranger's connection", ends).await;
    from
}

struct World {
    shop: Domain,
    partner: Domain,
    web: EchoApp,
    db: EchoApp,
    sidecar: Sidecar,
    _orders: Member,
}

async fn world() -> World {
    let (shop, partner) = (Domain::new("shop.example"), Domain::new("partner.example"));
    let (web, db) = (EchoApp::start("").await, EchoApp::start("").await);
    let orders = shop.member("orders");
    orders.write("partner.pem", &partner.root.bundle_pem());
    let federated = COMMON.replace(
        "admin:",
        "  federated: [{ trustDomain: partner.example, bundle: partner.pem }]\nadmin:",
    );
    let inbound = format!(
        "inbound:\n  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{}\", protocol: http }}\n  - {{ name: db, listen: \
         \"127.0.0.1:0\", app: \"{}\", protocol: tcp }}\npolicy: {{ file: policy.yaml }}\nlimits: {{ handshake: 2s }}\n",
        web.addr, db.addr
    );
    orders.write("sidecar.yaml", &format!("{federated}{inbound}"));
    orders.policy(&allow_all(&[
        "spiffe://shop.example/**",
        "spiffe://partner.example/**",
    ]));
    let sidecar = orders.start();
    World {
        shop,
        partner,
        web,
        db,
        sidecar,
        _orders: orders,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stranger_ends_before_the_app_hears_of_it_with_its_own_reason() {
    let world = world().await;
    let listeners = ["web", "db"].map(|name| (name, world.sidecar.at(name)));
    let mut cases = Vec::new();
    for (listener, at) in listeners {
        let own = strangers(&world.shop, &world.partner).into_iter();
        cases.extend(own.map(|(name, what, reason)| (listener, at, name, what, reason)));
    }
    let unknown = Shakes(Some(Box::new(world.shop.svid("storefront"))), "spdy/3");
    cases.push((
        "web",
        listeners[0].1,
        "ALPN nobody speaks",
        unknown,
        "no_common_protocol",
    ));

    let mut running = JoinSet::new();
    let mut expected = BTreeMap::new();
    for (listener, at, name, what, reason) in cases {
        *expected.entry(series(reason)).or_insert(0) += 1;
        running.spawn(async move { (listener, name, reason, attempt(at, what).await) });
    }
    for (listener, name, reason, from) in running.join_all().await {
        // The two listeners may well meet the same port of ours.
        let start = format!("{from}: ");
        let line = world
            .sidecar
            .logged(&format!("{name} at {listener}"), |line| {
                line["listener"] == listener
                    && line["error"]
                        .as_str()
                        .is_some_and(|error| error.starts_with(&start))
            });
        let seen = (
            line["reason"].as_str(),
            line["listener"].as_str(),
            line["direction"].as_str(),
        );
        assert_eq!(
            seen,
            (Some(reason), Some(listener), Some("inbound")),
            "{name}: {line}"
        );
        assert!(
            line["peer_id"].is_null() && line["status"].is_null(),
            "{name}: {line}"
        );
    }
    let counted: BTreeMap<String, u64> = world
        .sidecar
        .metrics()
        .await
        .into_iter()
        .filter(|(name, _)| name.starts_with("countersign_handshakes_total"))
        .collect();
    assert_eq!(counted, expected);
    assert_eq!((world.web.connections(), world.db.connections()), (0, 0));
}

fn series(result: &str) -> String {
    format!("countersign_handshakes_total{{side=\"server\",result=\"{result}\",group=\"\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_believed_reaches_the_app_also_from_a_federated_domain() {
    let world = world().await;
    let callers = [world.shop.svid("storefront"), world.partner.svid("billing")];
    for (n, svid) in callers.iter().enumerate() {
        let config = tls::client(Some(svid), &[]);
        let mut db = Client::connect_tls(world.sidecar.at("db"), Arc::clone(&config), "orders")
            .await
            .unwrap();
        db.send(b"ping").await.unwrap();
        assert_eq!(db.bytes(4).await.unwrap(), b"ping");

        let mut web = Client::connect_tls(world.sidecar.at("web"), config, "orders")
            .await
            .unwrap();
        web.send(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
            .await
            .unwrap();
        // The app echoes the request, which is no answer: it has reached it.
        assert_eq!(web.answer().await.unwrap().status, 502);
        assert_eq!(
            (world.db.connections(), world.web.connections()),
            (n as u64 + 1, n as u64 + 1)
        );
    }
    let ok = "countersign_handshakes_total{side=\"server\",result=\"ok\",group=\"X25519MLKEM768\"}";
    assert_eq!(world.sidecar.count(ok).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_caller_that_speaks_first_still_hears_why() {
    let world = world().await;
    let socket = TcpStream::connect(world.sidecar.at("web")).await.unwrap();
    let name = ServerName::try_from("orders").unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls::client(None, &[]));
    let mut stream = connector.connect(name, socket).await.unwrap();
    // The alert is there, not yet read: the caller speaks, as one does that has not looked.
    within("the alert", stream.get_ref().0.readable())
        .await
        .unwrap();
    for part in ["GET / HTTP/1.1\r\n", "host: orders\r\n\r\n"] {
        stream.write_all(part.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
    let heard = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    let heard = heard.get_ref().unwrap().downcast_ref::<rustls::Error>();
    let wanted = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
    assert_eq!(heard, Some(&wanted));
}
