//! Services outside the mesh: in clear text (`tls: none`) and in ordinary TLS (`tls: server`). They hear what they are to hear
//! and nothing of identities; who is not believed hears nothing; and nothing of it is ever a way out for `tls: mutual`.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask};
use crate::support::here;
use crate::support::http::{Flow, as_h1, get, h1, h2, whole};
use crate::support::mesh::{Domain, Member};
use crate::support::sidecar::Sidecar;
use crate::support::tls;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use mint::{Authority, San, Svid, now_s};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];
const NAME: &str = "api.partner.example";

/// What a request came with.
#[derive(Clone, Debug)]
struct Came {
    version: Version,
    scheme: Option<String>,
    headers: hyper::HeaderMap,
    /// How many certificates its client showed.
    certificates: usize,
    sni: Option<String>,
    tls: Option<rustls::ProtocolVersion>,
}

/// A server outside the mesh, that answers `fine` and remembers.
struct Server {
    at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, came) = (listener.local_addr().unwrap(), Arc::default());
        let remembered = Arc::clone(&came);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let accepting = TlsAcceptor::from(Arc::clone(&config)).accept(socket);
                tokio::spawn(serve(accepting, Arc::clone(&remembered)));
            }
        });
        Server { at, came }
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

async fn serve(
    accepting: tokio_rustls::Accept<tokio::net::TcpStream>,
    came: Arc<Mutex<Vec<Came>>>,
) {
    // Who does not believe it leaves here.
    let Ok(stream) = accepting.await else { return };
    let session = stream.get_ref().1;
    let first = Came {
        version: Version::HTTP_09,
        scheme: None,
        headers: hyper::HeaderMap::new(),
        certificates: session.peer_certificates().unwrap_or_default().len(),
        sni: session.server_name().map(str::to_owned),
        tls: session.protocol_version(),
    };
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        came.lock().unwrap().push(Came {
            version: request.version(),
            scheme: request.uri().scheme_str().map(str::to_owned),
            headers: request.headers().clone(),
            ..first.clone()
        });
        let endless = request.uri().path() == "/endless";
        async move {
            let (pen, body) = Flow::open();
            pen.data(if endless { "half" } else { "fine" }).await;
            if endless {
                // It ends with its connection, and no sooner.
                std::mem::forget(pen);
            }
            Ok::<_, hyper::Error>(Response::new(body))
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // A connection that the test cuts is no mistake of the server.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// A certificate as servers outside have it: for a DNS name, of no trust domain.
fn named(authority: &Authority, name: &str) -> Svid {
    authority.leaf_with("", |draft| draft.san = Some(vec![San::dns(name)]))
}

/// A member, and the sidecar that calls `endpoint` as `partner` with `tls`: by host `orders` on `http`, as bytes on `db`.
fn calling(shop: &Domain, roots_pem: &str, tls: &str, endpoint: SocketAddr) -> (Member, Sidecar) {
    let member = shop.member("storefront");
    member.write("roots.pem", roots_pem);
    member.configure(&outbound(tls, endpoint));
    let sidecar = member.start();
    (member, sidecar)
}

fn outbound(tls: &str, endpoint: SocketAddr) -> String {
    format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\n  - {{ name: db, listen: \"127.0.0.1:0\", \
         protocol: tcp, service: partner }}\nservices:\n  - {{ name: partner, hosts: [orders], endpoints: [\"{endpoint}\"], {tls} }}\n"
    )
}

const BY_NAME: &str = "tls: { server: { sni: api.partner.example, roots: roots.pem } }";

/// Asks in this version, with claims of an identity that nobody outside is to hear of.
async fn call(at: SocketAddr, version: Version) -> (u16, Bytes) {
    let mut request = get("/x");
    for name in ["x-forwarded-client-cert", "l5d-client-id", "x-mine"] {
        request.headers_mut().insert(name, "me".parse().unwrap());
    }
    let answer = match version {
        Version::HTTP_2 => h2(at).await.send_request(request).await,
        _ => h1(at).await.send_request(as_h1(request)).await,
    };
    let (status, body, _) = whole(answer.unwrap()).await.unwrap();
    (status, body)
}

/// Every header that says who somebody is.
fn claims(headers: &hyper::HeaderMap) -> Vec<&str> {
    let claim = |name: &&str| name.contains("client") || name.contains("spiffe");
    headers
        .keys()
        .map(|name| name.as_str())
        .filter(claim)
        .collect()
}

fn connections(tls: &str) -> String {
    format!("countersign_upstream_connections_total{{service=\"partner\",tls=\"{tls}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_in_clear_text_hears_what_its_client_spoke_and_no_identity() {
    let shop = Domain::new("shop.example");
    let app = HttpApp::start().await;
    let (_member, sidecar) = calling(&shop, "", "tls: none", app.addr);

    for version in VERSIONS {
        let (status, _) = call(sidecar.at("http"), version).await;

        assert_eq!(status, 200, "{version:?}");
        let seen = app.seen().pop().unwrap();
        assert_eq!(seen.version, version);
        assert_eq!(seen.header("x-mine"), Some("me"));
        assert_eq!(claims(&seen.headers), [""; 0], "{version:?}");
    }
    let line = sidecar.logged("a request", |line| line["path"] == "/x");
    assert_eq!(
        (&line["tls"], &line["service"]),
        (&"none".into(), &"partner".into())
    );
    assert!(line.get("peer_id").is_none(), "{line}");
    assert_eq!(sidecar.count(&connections("none")).await, 2);
    let page = ask(sidecar.at("admin"), "GET", "localhost", "/endpoints").await;
    assert!(page.text().contains("\"tls\": \"none\""), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_in_clear_text_to_who_is_there_and_the_log_says_so() {
    let shop = Domain::new("shop.example");
    let app = EchoApp::start("hello ").await;
    let (_member, sidecar) = calling(&shop, "", "tls: none", app.addr);

    let mut client = Client::connect(sidecar.at("db")).await;
    client.send(b"SELECT 1").await.unwrap();
    client.half_close().await.unwrap();

    assert_eq!(client.rest().await.unwrap(), b"hello SELECT 1");
    let line = sidecar.logged("the connection", |line| line["listener"] == "db");
    assert_eq!(
        (&line["tls"], &line["reason"]),
        (&"none".into(), &().into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_in_clear_text_is_no_app_of_ours() {
    let shop = Domain::new("shop.example");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let (_member, sidecar) = calling(&shop, "", "tls: none", nobody);

    let answer = ask(sidecar.at("http"), "GET", "orders", "/x").await;

    assert_eq!(
        (answer.status, answer.text().as_str()),
        (502, "{\"error\":\"connection_refused\"}\n")
    );
}

/// A server that would take a certificate of the mesh if it were shown one.
fn curious(svid: &Svid, shop: &Domain, alpn: &[&str]) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(shop.root.certificate.clone()))
        .unwrap();
    let asks = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = (*tls::server(svid, alpn)).clone();
    let resolver = Arc::clone(&config.cert_resolver);
    config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(asks)
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outside_proves_its_name_and_is_shown_no_certificate() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let svid = named(&public.issuer, NAME);
    let server = Server::start(curious(&svid, &shop, &["h2", "http/1.1"])).await;
    let roots = public.root.bundle_pem();
    let (_member, sidecar) = calling(&shop, &roots, BY_NAME, server.at);

    for version in VERSIONS {
        let answer = call(sidecar.at("http"), version).await;

        assert_eq!(answer, (200, Bytes::from("fine")), "{version:?}");
        let came = server.came().pop().unwrap();
        assert_eq!((came.version, came.certificates), (version, 0));
        assert_eq!(came.sni.as_deref(), Some(NAME));
        assert_eq!(claims(&came.headers), [""; 0], "{version:?}");
        assert_eq!(came.headers["x-mine"], "me");
        if version == Version::HTTP_2 {
            assert_eq!(came.scheme.as_deref(), Some("https"));
        }
    }
    let line = sidecar.logged("a request", |line| line["path"] == "/x");
    assert_eq!(
        (&line["tls"], &line["tls_group"]),
        (&"server".into(), &"X25519MLKEM768".into())
    );
    assert!(line.get("peer_id").is_none(), "{line}");
    assert_eq!(sidecar.count(&connections("server")).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outside_that_ends_at_tls_1_2_is_spoken_to_and_a_peer_in_the_mesh_never_is() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let old = |svid: &Svid| {
        let newer = tls::server(svid, &[]);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let older = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&newer.cert_resolver));
        Arc::new(older)
    };
    let outside = Server::start(old(&named(&public.issuer, NAME))).await;
    let inside = Server::start(old(&shop.svid("orders"))).await;
    let roots = public.root.bundle_pem();
    let (_one, to_outside) = calling(&shop, &roots, BY_NAME, outside.at);
    let mutual = "identity: \"spiffe://shop.example/orders\"";
    let (_other, to_inside) = calling(&shop, "", mutual, inside.at);

    let answer = call(to_outside.at("http"), Version::HTTP_11).await;
    let refused = ask(to_inside.at("http"), "GET", "orders", "/x").await;

    assert_eq!(answer, (200, Bytes::from("fine")));
    let version = outside.came().pop().unwrap().tls;
    assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(refused.text(), "{\"error\":\"tls_version\"}\n");
    assert_eq!(inside.came().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outside_that_is_not_believed_hears_nothing_and_each_reason_has_its_name() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let stranger = Domain::new("public.example");
    let at = |begins: i64, ends: i64| {
        public.issuer.leaf_with("", |draft| {
            draft.san = Some(vec![San::dns(NAME)]);
            (draft.not_before, draft.not_after) = (now_s() + begins, now_s() + ends);
        })
    };
    let of_client = public.issuer.leaf_with("", |draft| {
        draft.san = Some(vec![San::dns(NAME)]);
        draft.purposes = Some(vec![mint::extension::CLIENT_AUTH.into()]);
    });
    for (svid, reason) in [
        (named(&public.issuer, "www.partner.example"), "wrong_name"),
        // Of the mesh, and no DNS name.
        (public.svid("orders"), "wrong_name"),
        (named(&stranger.issuer, NAME), "unknown_issuer"),
        // The mesh's own roots vouch for nobody outside.
        (named(&shop.issuer, NAME), "unknown_issuer"),
        (at(-7200, -3600), "expired"),
        (at(3600, 7200), "not_yet_valid"),
        (of_client, "bad_certificate"),
    ] {
        let server = Server::start(tls::server(&svid, &["h2", "http/1.1"])).await;
        let roots = public.root.bundle_pem();
        let (_member, sidecar) = calling(&shop, &roots, BY_NAME, server.at);

        let answer = ask(sidecar.at("http"), "GET", "orders", "/x").await;
        let mut bytes = Client::connect(sidecar.at("db")).await;
        let _ = bytes.send(b"SELECT 1").await;

        assert_eq!(bytes.rest().await.unwrap_or_default(), b"", "{reason}");
        let status =
            format!("countersign; error=tls_certificate_error; details=\"{reason}\"; reached=?0");
        assert_eq!(
            (answer.status, answer.header("proxy-status")),
            (502, Some(status.as_str())),
            "{reason}"
        );
        for listener in ["http", "db"] {
            let line = sidecar.logged(reason, |line| line["listener"] == *listener);
            assert_eq!(
                (&line["reason"], &line["tls"]),
                (&reason.into(), &"server".into())
            );
        }
        let failed = format!(
            "countersign_handshakes_total{{side=\"client\",result=\"{reason}\",group=\"\"}}"
        );
        assert_eq!(sidecar.count(&failed).await, 2, "{reason}");
        assert_eq!(server.came().len(), 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outside_is_called_by_the_host_of_its_endpoint_unless_told_otherwise() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let by_address = public.issuer.leaf_with("", |draft| {
        draft.san = Some(vec![San::Ip(vec![127, 0, 0, 1])]);
    });
    let server = Server::start(tls::server(&by_address, &["http/1.1"])).await;
    let roots = public.root.bundle_pem();
    let tls = "tls: { server: { roots: roots.pem } }";
    let (_member, sidecar) = calling(&shop, &roots, tls, server.at);

    let answer = call(sidecar.at("http"), Version::HTTP_11).await;

    assert_eq!(answer, (200, Bytes::from("fine")));
    assert_eq!(server.came().pop().unwrap().sni, None);
}

/// Waits until the next snapshot is in force.
async fn reloaded(sidecar: &Sidecar, change: impl FnOnce()) {
    let generation = "countersign_config_generation";
    let before = sidecar.count(generation).await;
    change();
    sidecar.counts(generation, before + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_in_one_way_ends_when_the_service_is_secured_in_another() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let app = EchoApp::start("hello").await;
    let (member, sidecar) = calling(&shop, &public.root.bundle_pem(), "tls: none", app.addr);
    for tls in [BY_NAME, "identity: \"spiffe://shop.example/orders\""] {
        let mut client = Client::connect(sidecar.at("db")).await;
        assert_eq!(client.bytes(5).await.unwrap(), b"hello", "{tls}");

        reloaded(&sidecar, || member.configure(&outbound(tls, app.addr))).await;

        assert_eq!(client.rest().await.unwrap_or_default(), b"", "{tls}");
        sidecar.logged("its end", |line| line["reason"] == "service_changed");
        // Clear text behind it is no TLS: nobody is spoken to, and nothing falls back.
        let answer = ask(sidecar.at("http"), "GET", "orders", "/x").await;
        assert_eq!(answer.status, 502, "{tls}");
        reloaded(&sidecar, || {
            member.configure(&outbound("tls: none", app.addr));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roots_are_watched_and_a_server_of_theirs_that_is_not_believed_any_more_is_left() {
    let (shop, public) = (Domain::new("shop.example"), Domain::new("public.example"));
    let other = Domain::new("other.example");
    let server = Server::start(tls::server(&named(&public.issuer, NAME), &["http/1.1"])).await;
    let roots = public.root.bundle_pem();
    let (member, sidecar) = calling(&shop, &roots, BY_NAME, server.at);
    let mut open = Client::connect(sidecar.at("db")).await;
    open.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(open.answer().await.unwrap().text(), "fine");

    let mut endless = Client::connect(sidecar.at("http")).await;
    let request = b"GET /endless HTTP/1.1\r\nhost: orders\r\n\r\n";
    endless.send(request).await.unwrap();
    endless.raw_head().await.unwrap();

    // One more root beside it: whoever is still believed stays.
    let both = format!("{roots}{}", other.root.bundle_pem());
    reloaded(&sidecar, || member.write("roots.pem", &both)).await;
    open.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(open.answer().await.unwrap().text(), "fine");
    assert_eq!(call(sidecar.at("http"), Version::HTTP_11).await.0, 200);

    reloaded(&sidecar, || {
        member.write("roots.pem", &other.root.bundle_pem());
    })
    .await;

    assert_eq!(open.rest().await.unwrap_or_default(), b"");
    endless.rest().await.unwrap_or_default();
    for listener in ["db", "http"] {
        sidecar.logged("its end", |line| {
            line["listener"] == *listener && line["reason"] == "unknown_issuer"
        });
    }
    // Kept connections are of those roots too, and none is used again.
    let answer = ask(sidecar.at("http"), "GET", "orders", "/x").await;
    assert_eq!(answer.text(), "{\"error\":\"unknown_issuer\"}\n");
    let place = member.path("roots.pem");
    member.write("roots.pem", "nothing");
    let said = sidecar.said("not taken");
    assert!(said.contains(&place.display().to_string()), "{said}");
    assert!(
        said.contains("no `-----BEGIN CERTIFICATE-----` in it"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_sidecar_may_say_of_a_request_is_not_believed_of_a_server_outside() {
    let shop = Domain::new("shop.example");
    let app = HttpApp::answering(|_| {
        let answer = Response::builder()
            .status(503)
            .header("x-countersign-declined", "unprocessed");
        answer.body(Full::default()).unwrap()
    })
    .await;
    let (_member, sidecar) = calling(&shop, "", "tls: none", app.addr);

    for version in VERSIONS {
        let (status, _) = call(sidecar.at("http"), version).await;
        assert_eq!(status, 503, "{version:?}");
    }

    // Sent once each: it may have been looked at.
    assert_eq!(app.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_no_service_is_let_through_only_where_the_listener_says_so() {
    let server = TcpListener::bind((here(), 0)).await.unwrap();
    let host = server.local_addr().unwrap().to_string();
    let member = Domain::new("shop.example").member("storefront");
    member.configure(
        "outbound:\n  - { name: shut, listen: \"127.0.0.1:0\", protocol: http }\n  - { name: open, listen: \"127.0.0.1:0\", \
         protocol: http, unknown: passthrough }\n",
    );
    let sidecar = member.start();

    let shut = ask(sidecar.at("shut"), "GET", &host, "/x").await;
    let admin = ask(
        sidecar.at("open"),
        "GET",
        &sidecar.at("admin").to_string(),
        "/x",
    )
    .await;
    let serving = async {
        let mut came = Client::accept(&server).await;
        let head = came.raw_head().await.unwrap();
        came.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine")
            .await
            .unwrap();
        head
    };
    let at = sidecar.at("open");
    let (open, head) = tokio::join!(ask(at, "GET", &host, "/x"), serving);

    assert_eq!(shut.text(), "{\"error\":\"no_such_service\"}\n");
    assert_eq!(admin.status, 502, "{admin:?}");
    let status = admin.header("proxy-status").unwrap();
    assert!(
        status.contains("error=destination_ip_prohibited"),
        "{status}"
    );
    assert_eq!((open.status, open.text().as_str()), (200, "fine"));
    assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
    let line = sidecar.logged("what was let through", |line| line["status"] == 200);
    for (field, wanted) in [
        ("service", "(passthrough)"),
        ("tls", "none"),
        ("host", &host),
        ("endpoint", &host),
    ] {
        assert_eq!(line[field], *wanted, "{line}");
    }
    let metrics = sidecar.metrics_text().await;
    assert!(metrics.contains("service=\"(passthrough)\""), "{metrics}");
}
