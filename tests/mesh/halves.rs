//! Clients of HTTP/1 that close their writing half and wait (`clientHalfClose`): they get their answers where they may, whoever is
//! really gone is noticed all the same, and between sidecars an end is always an end.

use crate::support::app::HttpApp;
use crate::support::client::{Client, listen};
use crate::support::mesh::{Domain, Member};
use crate::support::sidecar::Sidecar;
use crate::support::{tls, within};
use hyper::Response;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// At its own sidecar.
    Own,
    /// There, over a unix socket.
    Unix,
    /// At the app's sidecar, in clear text.
    Plain,
    /// There, with a certificate of its own and without a sidecar.
    Proven,
}

const ENTRIES: [Entry; 4] = [Entry::Own, Entry::Unix, Entry::Plain, Entry::Proven];

const ALLOW: &str = ", clientHalfClose: allow";
const ABORT: &str = ", clientHalfClose: abort";

/// Both sidecars before one app.
struct Mesh {
    shop: Domain,
    storefront: Member,
    _orders: Member,
    calling: Sidecar,
    called: Sidecar,
    unix: PathBuf,
}

fn outbound(unix: &Path, called: &Sidecar, half_close: &str) -> String {
    let (unix, web, db) = (unix.display(), called.at("web"), called.at("db"));
    let identity = "identity: \"spiffe://shop.example/orders\"";
    format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http{half_close} }}\n  - {{ name: unix, listen: \
         \"unix:{unix}\", protocol: http{half_close} }}\n  - {{ name: db, listen: \"127.0.0.1:0\", protocol: tcp, service: ledger }}\n\
         services:\n  - {{ name: orders, hosts: [orders], {identity}, endpoints: [\"{web}\"] }}\n  - {{ name: ledger, hosts: \
         [ledger], {identity}, endpoints: [\"{db}\"] }}\n"
    )
}

impl Mesh {
    fn before(app: SocketAddr, calling: &str, called: &str) -> Self {
        let shop = Domain::new("shop.example");
        let (storefront, orders) = (shop.member("storefront"), shop.member("orders"));
        let from = "\"spiffe://shop.example/storefront\", \"spiffe://plaintext.invalid/anyone\"";
        orders.policy(&format!(
            "rules:\n  - {{ name: all, from: [{from}], allow: [{{}}] }}\n"
        ));
        orders.configure(&format!(
            "inbound:\n  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: http, mode: permissive{called} }}\n  \
             - {{ name: db, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: tcp }}\npolicy: {{ file: policy.yaml }}\n"
        ));
        let called = orders.start();
        let unix = storefront.path("out.sock");
        storefront.configure(&outbound(&unix, &called, calling));
        Mesh {
            calling: storefront.start(),
            called,
            shop,
            storefront,
            _orders: orders,
            unix,
        }
    }

    /// The sidecar that this client speaks to.
    fn first(&self, entry: Entry) -> &Sidecar {
        match entry {
            Entry::Own | Entry::Unix => &self.calling,
            Entry::Plain | Entry::Proven => &self.called,
        }
    }

    /// One that resets its connection when it is dropped, where there are resets.
    async fn client(&self, entry: Entry) -> Client<Box<dyn Stream>> {
        let tcp = async |at: SocketAddr| {
            let socket = within("connecting", TcpStream::connect(at)).await.unwrap();
            socket.set_zero_linger().unwrap();
            socket
        };
        Client::over(match entry {
            Entry::Own => Box::new(tcp(self.calling.at("http")).await),
            Entry::Unix => Box::new(UnixStream::connect(&self.unix).await.unwrap()),
            Entry::Plain => Box::new(tcp(self.called.at("web")).await),
            Entry::Proven => {
                let config = tls::client(Some(&self.shop.svid("storefront")), &["http/1.1"]);
                let socket = tcp(self.called.at("web")).await;
                let name = ServerName::try_from("orders").unwrap();
                let shaking = TlsConnector::from(config).connect(name, socket);
                Box::new(within("the handshake", shaking).await.unwrap())
            }
        })
    }

    /// A client that asked this and closed its half, and the app's end of it with the head read.
    async fn asked_and_closed(
        &self,
        app: &TcpListener,
        entry: Entry,
        ask: &str,
    ) -> (Client<Box<dyn Stream>>, Client<TcpStream>) {
        let mut client = self.client(entry).await;
        client.send(ask.as_bytes()).await.unwrap();
        let mut served = Client::accept(app).await;
        served.raw_head().await.unwrap();
        client.half_close().await.unwrap();
        (client, served)
    }
}

fn get(path: &str, version: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nhost: orders\r\n\r\n")
}

async fn app_of_targets() -> HttpApp {
    HttpApp::answering(|seen| Response::new(seen.target.clone().into())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closed_its_half_behind_three_requests_gets_three_answers_and_the_end() {
    let app = app_of_targets().await;
    let mesh = Mesh::before(app.addr, ALLOW, ALLOW);
    for entry in ENTRIES {
        let mut client = mesh.client(entry).await;
        let asks = ["/1", "/2", "/3"].map(|path| get(path, "1.1")).concat();
        client.send(asks.as_bytes()).await.unwrap();
        client.half_close().await.unwrap();
        for path in ["/1", "/2", "/3"] {
            let answer = client.answer().await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, path));
        }
        assert_eq!(client.rest().await.unwrap(), b"", "{entry:?}");

        // One that has no more than a version of long ago.
        let mut old = mesh.client(entry).await;
        old.send(get("/old", "1.0").as_bytes()).await.unwrap();
        old.half_close().await.unwrap();
        let answer = old.answer().await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "/old"));
        assert_eq!(old.rest().await.unwrap(), b"", "{entry:?}");
    }
    assert_eq!(app.seen().len(), 4 * ENTRIES.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_comes_whole_to_who_closed_its_half() {
    let (app, at) = listen().await;
    let mesh = Mesh::before(at, ALLOW, ALLOW);
    for entry in ENTRIES {
        let (mut client, mut served) = mesh
            .asked_and_closed(&app, entry, &get("/slow", "1.1"))
            .await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        served.send(head.as_bytes()).await.unwrap();
        client.raw_head().await.unwrap();
        for part in [b"one", b"two", b"end"] {
            served.send(part).await.unwrap();
            assert_eq!(client.bytes(3).await.unwrap(), part, "{entry:?}");
        }
        assert_eq!(client.rest().await.unwrap(), b"", "{entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closed_its_half_and_is_gone_ends_what_it_asked_though_no_answer_began() {
    let (app, at) = listen().await;
    let mesh = Mesh::before(at, ALLOW, ALLOW);
    for entry in ENTRIES {
        let path = format!("/{entry:?}");
        let (mut client, mut served) = mesh.asked_and_closed(&app, entry, &get(&path, "1.1")).await;
        // Its sidecar has seen the end of the half before it passes this on.
        served
            .send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .await
            .unwrap();
        let hints = client.raw_head().await.unwrap();
        assert!(hints.starts_with("HTTP/1.1 103 "), "{entry:?}: {hints}");
        drop(client);
        assert_eq!(served.rest().await.unwrap_or_default(), b"", "{entry:?}");
        let line = mesh
            .first(entry)
            .logged(&path, |line| line["path"] == *path);
        assert_eq!(
            (line["reason"].as_str(), line["status"].as_u64()),
            (Some("caller_left"), None),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_connection_became_behind_a_closed_half_speaks_to_its_end() {
    let (app, at) = listen().await;
    let mesh = Mesh::before(at, ALLOW, ALLOW);
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for entry in ENTRIES {
        let ask = format!("GET /chat HTTP/1.1\r\nhost: orders\r\n{websocket}");
        let (mut client, mut served) = mesh.asked_and_closed(&app, entry, &ask).await;
        served.send(switched.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 101, "{entry:?}");
        assert_eq!(served.rest().await.unwrap(), b"", "{entry:?}");
        served.send(b"bye").await.unwrap();
        drop(served);
        assert_eq!(client.rest().await.unwrap(), b"bye", "{entry:?}");
    }
    let mut client = mesh.client(Entry::Own).await;
    client
        .send(b"CONNECT ledger:5432 HTTP/1.1\r\nhost: ledger:5432\r\n\r\nquery")
        .await
        .unwrap();
    client.half_close().await.unwrap();
    let mut served = Client::accept(&app).await;
    assert_eq!(served.rest().await.unwrap(), b"query");
    served.send(b"rows").await.unwrap();
    drop(served);
    let head = client.raw_head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.rest().await.unwrap(), b"rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_may_not_who_closes_its_half_has_left() {
    let (app, at) = listen().await;
    for half_close in [ABORT, ""] {
        let mesh = Mesh::before(at, half_close, half_close);
        for entry in ENTRIES {
            let path = format!("/{entry:?}");
            let (mut client, mut served) =
                mesh.asked_and_closed(&app, entry, &get(&path, "1.1")).await;
            assert_eq!(served.rest().await.unwrap_or_default(), b"", "{entry:?}");
            assert_eq!(client.rest().await.unwrap_or_default(), b"", "{entry:?}");
            let line = mesh
                .first(entry)
                .logged(&path, |line| line["path"] == *path);
            assert_eq!(line["reason"], "caller_left", "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_sidecars_an_end_is_that_of_the_caller_whatever_the_second_allows() {
    let (app, at) = listen().await;
    let mesh = Mesh::before(at, ABORT, ALLOW);
    let (_client, mut served) = mesh
        .asked_and_closed(&app, Entry::Own, &get("/far", "1.1"))
        .await;
    assert_eq!(served.rest().await.unwrap_or_default(), b"");
    let line = mesh
        .called
        .logged("the request", |line| line["path"] == "/far");
    assert_eq!(line["reason"], "caller_left", "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_its_client_closes_before_its_end_is_cut_short_and_never_ends_well() {
    let (app, at) = listen().await;
    for half_close in [ALLOW, ABORT] {
        let mesh = Mesh::before(at, half_close, half_close);
        for entry in ENTRIES {
            for framing in ["content-length: 99", "transfer-encoding: chunked"] {
                let path = format!("/{entry:?}/{}", framing.len());
                let ask =
                    format!("POST {path} HTTP/1.1\r\nhost: orders\r\n{framing}\r\n\r\n4\r\nhalf");
                let (mut client, mut served) = mesh.asked_and_closed(&app, entry, &ask).await;
                let rest = served.rest().await.unwrap_or_default();
                assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 99, "{rest:?}");
                let answer = client.answer().await.unwrap();
                let status = answer.header("proxy-status").unwrap_or_default();
                assert_eq!(answer.status, 400, "{answer:?}");
                assert!(status.contains("details=\"cut_short\""), "{status}");
                assert_eq!(client.rest().await.unwrap_or_default(), b"");
                let line = mesh
                    .first(entry)
                    .logged(&path, |line| line["path"] == *path);
                assert_eq!(line["reason"], "cut_short", "{line}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_gone_amid_its_body_is_logged_as_cut_short() {
    let (app, at) = listen().await;
    let mesh = Mesh::before(at, "", "");
    for entry in ENTRIES {
        let path = format!("/{entry:?}");
        let mut client = mesh.client(entry).await;
        let ask = format!("POST {path} HTTP/1.1\r\nhost: orders\r\ncontent-length: 9\r\n\r\nhalf");
        client.send(ask.as_bytes()).await.unwrap();
        let mut served = Client::accept(&app).await;
        served.raw_head().await.unwrap();
        assert_eq!(served.bytes(4).await.unwrap(), b"half");
        drop(client);
        assert_eq!(served.rest().await.unwrap_or_default(), b"", "{entry:?}");
        let line = mesh
            .first(entry)
            .logged(&path, |line| line["path"] == *path);
        assert_eq!(line["reason"], "cut_short", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_allows_it_holds_for_connections_that_begin_after_it() {
    let (app, at) = listen().await;
    let mesh = Mesh::before(at, ABORT, ABORT);
    let generation = "countersign_config_generation";
    let mut kept = mesh.client(Entry::Own).await;
    kept.send(get("/first", "1.1").as_bytes()).await.unwrap();
    let mut served = Client::accept(&app).await;
    served.raw_head().await.unwrap();
    let before = mesh.calling.count(generation).await;
    mesh.storefront
        .configure(&outbound(&mesh.unix, &mesh.called, ALLOW));
    mesh.calling.counts(generation, before + 1).await;

    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (mut client, mut also_served) = mesh
        .asked_and_closed(&app, Entry::Own, &get("/second", "1.1"))
        .await;
    also_served.send(ok).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");
    assert_eq!(client.rest().await.unwrap(), b"");
    kept.half_close().await.unwrap();
    assert_eq!(kept.rest().await.unwrap_or_default(), b"");
    assert_eq!(served.rest().await.unwrap_or_default(), b"");
}
