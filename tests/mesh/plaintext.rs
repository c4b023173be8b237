//! Callers in clear text at an inbound listener: heard where `mode: permissive` says so and policy names them, told, and gone
//! with the mode; probes anywhere, and nothing but probes.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask, listen};
use crate::support::http::{get, h2, whole};
use crate::support::mesh::{Domain, Member};
use crate::support::pair::outbound;
use crate::support::sidecar::{Sidecar, text};
use crate::support::{until, within};
use std::net::SocketAddr;
use tokio::net::TcpStream;

const SOURCE: &str = "countersign_plaintext_total{listener=\"web\",source=\"127.0.0.1\"}";

/// `orders`, and before it `storefront` with its own sidecar.
struct Orders {
    member: Member,
    _storefront: Member,
    sidecar: Sidecar,
    calling: Sidecar,
    apps: [SocketAddr; 2],
}

impl Orders {
    fn before(
        web: SocketAddr,
        db: SocketAddr,
        web_more: &str,
        db_more: &str,
        from: &[&str],
    ) -> Self {
        let shop = Domain::new("shop.example");
        let (member, storefront) = (shop.member("orders"), shop.member("storefront"));
        policy(&member, from);
        configure(&member, [web, db], web_more, db_more);
        let sidecar = member.start();
        let (web_in, db_in) = (sidecar.at("web"), sidecar.at("db"));
        storefront.configure(&outbound(web_in, db_in, "{}", ""));
        Orders {
            calling: storefront.start(),
            _storefront: storefront,
            member,
            sidecar,
            apps: [web, db],
        }
    }

    async fn reload(&self, change: impl FnOnce()) {
        let generation = "countersign_config_generation";
        let before = self.sidecar.count(generation).await;
        change();
        self.sidecar.counts(generation, before + 1).await;
    }
}

fn policy(member: &Member, from: &[&str]) {
    member.policy(&format!(
        "rules:\n  - {{ name: all, from: {from:?}, allow: [{{}}] }}\n"
    ));
}

fn configure(member: &Member, [web, db]: [SocketAddr; 2], web_more: &str, db_more: &str) {
    member.configure(&format!(
        "inbound:\n  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{web}\", protocol: http{web_more} }}\n  - {{ name: db, \
         listen: \"127.0.0.1:0\", app: \"{db}\", protocol: tcp{db_more} }}\npolicy: {{ file: policy.yaml }}\n"
    ));
}

const STOREFRONT: &str = "spiffe://shop.example/storefront";
const EVERYBODY: &str = "spiffe://shop.example/**";
const ANYONE: &str = "spiffe://plaintext.invalid/anyone";
const PERMISSIVE: &str = ", mode: permissive";

async fn status(client: &mut Client<TcpStream>, head: &str) -> (u16, String) {
    let request = format!("{head}\r\nhost: orders\r\n\r\n");
    client.send(request.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_text_is_heard_where_it_may_and_only_if_policy_names_it() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let orders = Orders::before(web.addr, db.addr, PERMISSIVE, PERMISSIVE, &[EVERYBODY]);
    orders.sidecar.said("web hears callers in clear text");
    let at = orders.sidecar.at("web");
    assert_eq!(ask(at, "GET", "orders", "/denied").await.status, 403);
    let mut bytes = Client::connect(orders.sidecar.at("db")).await;
    let _ = bytes.send(b"denied").await;
    assert_eq!(bytes.rest().await.unwrap_or_default(), b"");
    assert!(web.seen().is_empty() && db.connections() == 0);

    orders
        .reload(|| policy(&orders.member, &[STOREFRONT, ANYONE]))
        .await;

    let mut client = Client::connect(at).await;
    let head =
        "GET /plain HTTP/1.1\r\nx-forwarded-client-cert: By=x;URI=spiffe://shop.example/storefront";
    assert_eq!(status(&mut client, head).await.0, 200);
    let mut h2 = h2(at).await;
    let answer = within("an answer", h2.send_request(get("/two")))
        .await
        .unwrap();
    assert_eq!(whole(answer).await.unwrap().0, 200);
    let known = ask(orders.calling.at("http"), "GET", "orders", "/known").await;
    assert_eq!(known.status, 200);
    let seen = web.seen();
    let told: Vec<bool> = seen
        .iter()
        .map(|seen| seen.header("x-forwarded-client-cert").is_some())
        .collect();
    assert_eq!(told, [false, false, true]);
    let line = orders
        .sidecar
        .logged("the plain one", |line| line["path"] == "/plain");
    assert_eq!(
        (line["peer_id"].as_str(), line["rule"].as_str()),
        (None, Some("all"))
    );
    orders.sidecar.counts(SOURCE, 3).await;
    let lines = orders.sidecar.process.err.so_far();
    let named = lines.iter().filter(|line| {
        text(line, "source").as_deref() == Some("127.0.0.1")
            && text(line, "listener").as_deref() == Some("web")
    });
    assert_eq!(named.count(), 1, "who is known to come so is told once");

    let mut bytes = Client::connect(orders.sidecar.at("db")).await;
    bytes.send(b"ping").await.unwrap();
    assert_eq!(bytes.bytes(4).await.unwrap(), b"ping");
    orders
        .reload(|| configure(&orders.member, orders.apps, "", ""))
        .await;

    assert_eq!(bytes.rest().await.unwrap_or_default(), b"");
    let (code, body) = status(&mut client, "GET /kept HTTP/1.1").await;
    assert_eq!((code, body.contains("plain_http")), (403, true), "{body}");
    let mut client = Client::connect(at).await;
    let _ = client
        .send(b"GET /new HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await;
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    let known = ask(orders.calling.at("http"), "GET", "orders", "/known").await;
    assert_eq!((known.status, web.seen().len()), (200, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_listener_answers_declared_probes_in_clear_text_and_nothing_else() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let probes = ", probes: [{ path: /healthz }, { path: /up/now }]";
    let orders = Orders::before(web.addr, db.addr, probes, "", &[STOREFRONT]);
    let at = orders.sidecar.at("web");

    let mut kubelet = Client::connect(at).await;
    let head = "GET /healthz HTTP/1.1\r\nuser-agent: kube-probe/1.31\r\naccept: */*\r\nx-original-url: /orders\r\n\
                x-http-method-override: DELETE\r\ncookie: a=b";
    assert_eq!(status(&mut kubelet, head).await.0, 200);
    assert_eq!(ask(at, "HEAD", "orders", "/up/now").await.status, 200);

    for target in [
        "/",
        "/healthz?x=/orders",
        "/healthz/",
        "/healthz/../orders",
        "/%68ealthz",
        "/orders",
    ] {
        let mut client = Client::connect(at).await;
        let (code, body) = status(&mut client, &format!("GET {target} HTTP/1.1")).await;
        assert_eq!(
            (code, body.contains("plain_http")),
            (403, true),
            "{target}: {body}"
        );
    }
    let mut client = Client::connect(at).await;
    let (code, _) = status(
        &mut client,
        "GET /healthz HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket",
    )
    .await;
    assert_eq!(code, 403);
    for other in [
        "POST /healthz HTTP/1.1\r\nhost: orders\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::connect(at).await;
        let _ = client.send(other.as_bytes()).await;
        assert_eq!(client.rest().await.unwrap_or_default(), b"", "{other}");
    }

    let seen = web.seen();
    let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, ["/healthz", "/up/now"]);
    let mut passed: Vec<_> = seen[0].headers.keys().map(|name| name.as_str()).collect();
    passed.sort_unstable();
    let foreign: Vec<_> = passed
        .iter()
        .filter(|name| !["accept", "host", "user-agent"].contains(name))
        .filter(|name| !name.starts_with("x-countersign-"))
        .collect();
    assert!(foreign.is_empty(), "{passed:?}");
    assert_eq!(orders.sidecar.count(SOURCE).await, 0);
    let known = ask(orders.calling.at("http"), "GET", "orders", "/orders").await;
    assert_eq!(known.status, 200);
    until("the line of a probe", async || {
        let line = orders
            .sidecar
            .logged("a probe", |line| line["path"] == "/up/now");
        line["verdict"].is_null().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_passes_where_there_is_no_room_for_any_request() {
    let ((app, at), db) = (listen().await, EchoApp::start("").await);
    let probes = ", probes: [{ path: /healthz }]";
    let orders = Orders::before(at, db.addr, probes, "", &[STOREFRONT]);
    let document = std::fs::read_to_string(orders.member.path("sidecar.yaml")).unwrap();
    let full = format!("{document}limits: {{ inFlight: 1 }}\n");
    orders
        .reload(|| orders.member.write("sidecar.yaml", &full))
        .await;
    let calling = orders.calling.at("http");
    let mut client = Client::connect(calling).await;
    let held = b"GET /held HTTP/1.1\r\nhost: orders\r\n\r\n";
    client.send(held).await.unwrap();
    let mut served = Client::accept(&app).await;
    served.raw_head().await.unwrap();
    assert_eq!(ask(calling, "GET", "orders", "/more").await.status, 503);

    let mut probe = Client::connect(orders.sidecar.at("web")).await;
    let asked = b"GET /healthz HTTP/1.1\r\nhost: orders\r\n\r\n";
    probe.send(asked).await.unwrap();
    let mut probed = Client::accept(&app).await;
    let head = probed.raw_head().await.unwrap();
    assert!(head.starts_with("GET /healthz "), "{head}");
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    probed.send(ok).await.unwrap();
    assert_eq!(probe.answer().await.unwrap().status, 200);
    served.send(ok).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}
