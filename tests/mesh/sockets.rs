//! Unix sockets wherever an address stands: where the app calls, where peers meet, where the app listens.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask};
use crate::support::http::{get, h2_over, whole};
use crate::support::mesh::{COMMON, Domain, Member, allow_all};
use crate::support::sidecar::Sidecar;
use crate::support::{until, within};
use rustix::process::geteuid;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Makes an app that listens on a port one that listens on a socket.
fn at_socket(path: &Path, app: SocketAddr) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut app = TcpStream::connect(app).await?;
                tokio::io::copy_bidirectional(&mut socket, &mut app).await
            });
        }
    });
}

/// `storefront`, who calls, and `orders`, who is called, with nothing but sockets between and around them.
struct Sockets {
    storefront: Member,
    orders: Member,
}

impl Sockets {
    fn new(web: SocketAddr, db: SocketAddr) -> Self {
        let shop = Domain::new("shop.example");
        let it = Sockets {
            storefront: shop.member("storefront"),
            orders: shop.member("orders"),
        };
        at_socket(&it.orders.path("web-app.sock"), web);
        at_socket(&it.orders.path("db-app.sock"), db);
        it.orders
            .policy(&allow_all(&["spiffe://shop.example/storefront"]));
        let at = |name: &str| format!("\"unix:{}\"", it.orders.path(name).display());
        let (web, db) = (at("web.sock"), at("db.sock"));
        it.orders.configure(&format!(
            "inbound:\n  - {{ name: web, listen: {web}, app: {}, protocol: http }}\n  - {{ name: db, listen: {db}, app: {}, \
             protocol: tcp }}\npolicy: {{ file: policy.yaml }}\n",
            at("web-app.sock"),
            at("db-app.sock"),
        ));
        it.calling("");
        it
    }

    /// Configures the caller, with these keys more at its listeners.
    fn calling(&self, more: &str) {
        let at = |member: &Member, name: &str| format!("\"unix:{}\"", member.path(name).display());
        let identity = "identity: \"spiffe://shop.example/orders\"";
        self.storefront.configure(&format!(
            "outbound:\n  - {{ name: http, listen: {}, protocol: http{more} }}\n  - {{ name: db, listen: {}, protocol: tcp, \
             service: ledger{more} }}\nservices:\n  - {{ name: orders, hosts: [orders], {identity}, endpoints: [{}] }}\n  - {{ \
             name: ledger, {identity}, endpoints: [{}] }}\n",
            at(&self.storefront, "http.sock"),
            at(&self.storefront, "db.sock"),
            at(&self.orders, "web.sock"),
            at(&self.orders, "db.sock"),
        ));
    }

    fn http(&self) -> PathBuf {
        self.storefront.path("http.sock")
    }

    fn db(&self) -> PathBuf {
        self.storefront.path("db.sock")
    }
}

async fn status(client: &mut Client<UnixStream>, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nhost: orders\r\n\r\n");
    client.send(request.as_bytes()).await.unwrap();
    client.answer().await.unwrap().status
}

async fn reload(sidecar: &Sidecar, change: impl FnOnce()) {
    let before = sidecar.count("countersign_config_generation").await;
    change();
    sidecar
        .counts("countersign_config_generation", before + 1)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_bytes_pass_where_every_address_is_a_socket() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("hello").await);
    let sockets = Sockets::new(web.addr, db.addr);
    let (called, calling) = (sockets.orders.start(), sockets.storefront.start());

    let mut client = Client::connect_unix(&sockets.http()).await;
    assert_eq!(status(&mut client, "/one").await, 200);
    let mut h2 = h2_over(UnixStream::connect(sockets.http()).await.unwrap()).await;
    let answer = within("an answer", h2.send_request(get("/two")))
        .await
        .unwrap();
    assert_eq!(whole(answer).await.unwrap().0, 200);
    let mut bytes = Client::connect_unix(&sockets.db()).await;
    assert_eq!(bytes.bytes(5).await.unwrap(), b"hello");
    bytes.send(b"ping").await.unwrap();
    bytes.half_close().await.unwrap();
    assert_eq!(bytes.rest().await.unwrap(), b"ping");

    let seen: Vec<_> = web.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, ["/one", "/two"]);
    let line = called.logged("the request", |line| line["path"] == "/one");
    let app = format!("unix:{}", sockets.orders.path("web-app.sock").display());
    assert_eq!(
        (line["peer_id"].as_str(), line["endpoint"].as_str()),
        (Some("spiffe://shop.example/storefront"), Some(app.as_str())),
        "{line}"
    );
    let ready = ask(called.at("health"), "GET", "localhost", "/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    let line = calling.logged("the request", |line| line["path"] == "/one");
    let endpoint = format!("unix:{}", sockets.orders.path("web.sock").display());
    assert_eq!(line["endpoint"], endpoint.as_str(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_is_made_for_everybody_and_goes_with_its_listener() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let sockets = Sockets::new(web.addr, db.addr);
    // One that a sidecar which was killed left behind.
    drop(std::os::unix::net::UnixListener::bind(sockets.http()).unwrap());

    let calling = sockets.storefront.start();
    for path in [sockets.http(), sockets.db()] {
        let found = std::fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o666, "{path:?}");
    }
    let second = sockets.storefront.path("sidecar.yaml");
    let second = crate::support::process::run(
        crate::support::process::countersign()
            .args(["proxy", "--config"])
            .arg(second),
    );
    assert_eq!(second.code, Some(2), "{}", second.err);
    let taken = format!(
        "{} is taken: another process listens on it",
        sockets.http().display()
    );
    assert!(second.err.contains(&taken), "{}", second.err);

    assert_eq!(calling.process.terminate().code(), Some(0));
    for path in [sockets.http(), sockets.db()] {
        assert!(!path.exists(), "{path:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_processes_of_the_allowed_users_may_call_and_a_reload_ends_what_others_hold() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let sockets = Sockets::new(web.addr, db.addr);
    let uid = geteuid().as_raw();
    sockets.calling(&format!(", allowUids: [{uid}, 4242]"));
    let (_called, calling) = (sockets.orders.start(), sockets.storefront.start());
    let mut client = Client::connect_unix(&sockets.http()).await;
    assert_eq!(status(&mut client, "/allowed").await, 200);
    let mut bytes = Client::connect_unix(&sockets.db()).await;
    bytes.send(b"ping").await.unwrap();
    assert_eq!(bytes.bytes(4).await.unwrap(), b"ping");

    reload(&calling, || sockets.calling(", allowUids: [4242]")).await;

    assert_eq!(bytes.rest().await.unwrap_or_default(), b"");
    assert_eq!(status(&mut client, "/kept").await, 403);
    let mut client = Client::connect_unix(&sockets.http()).await;
    client
        .send(b"GET /new HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.header("proxy-status"),
        Some("countersign; error=http_request_denied; details=\"uid_not_allowed\"; reached=?0")
    );
    let mut bytes = Client::connect_unix(&sockets.db()).await;
    assert_eq!(bytes.rest().await.unwrap_or_default(), b"");

    assert_eq!(web.seen().len(), 1);
    assert_eq!(db.connections(), 1);
    let line = calling.logged("the refused", |line| line["path"] == "/new");
    let (verdict, error) = (line["verdict"].as_str(), line["error"].as_str());
    let told = format!(
        "uid {uid} (pid {}) is none of this listener's allowUids",
        std::process::id()
    );
    assert_eq!((verdict, error), (Some("denied"), Some(told.as_str())));
    let series = "countersign_denials_total{rule=\"\",reason=\"uid_not_allowed\"}";
    until("three denials", async || {
        (calling.count(series).await == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_socket_of_our_own_is_ever_where_a_request_goes_by_whatever_path() {
    let shop = Domain::new("shop.example");
    let (storefront, orders) = (shop.member("storefront"), shop.member("orders"));
    orders.policy(&allow_all(&["spiffe://shop.example/storefront"]));
    let at = |member: &Member, name: &str| format!("\"unix:{}\"", member.path(name).display());
    std::os::unix::fs::symlink(orders.path("admin.sock"), orders.path("link.sock")).unwrap();
    std::os::unix::fs::symlink(orders.folder(), orders.path("here")).unwrap();
    std::os::unix::fs::symlink(storefront.path("out.sock"), storefront.path("link.sock")).unwrap();
    let admin = "admin: { listen: \"127.0.0.1:0\"";
    let with_socket = COMMON.replace(admin, &format!("{admin}, socket: admin.sock"));
    orders.write(
        "sidecar.yaml",
        &format!(
            "{with_socket}inbound:\n  - {{ name: one, listen: {}, app: {}, protocol: http }}\n  - {{ name: two, listen: {}, app: {}, \
             protocol: http }}\npolicy: {{ file: policy.yaml }}\n",
            at(&orders, "one.sock"),
            at(&orders, "here/admin.sock"),
            at(&orders, "two.sock"),
            at(&orders, "link.sock"),
        ),
    );
    let identity = "identity: \"spiffe://shop.example/orders\"";
    storefront.configure(&format!(
        "outbound:\n  - {{ name: out, listen: {}, protocol: http }}\nservices:\n  - {{ name: one, hosts: [one], {identity}, \
         endpoints: [{}] }}\n  - {{ name: two, hosts: [two], {identity}, endpoints: [{}] }}\n  - {{ name: three, hosts: [three], \
         {identity}, endpoints: [{}] }}\n",
        at(&storefront, "out.sock"),
        at(&orders, "one.sock"),
        at(&orders, "two.sock"),
        at(&storefront, "link.sock"),
    ));
    let (called, _calling) = (orders.start(), storefront.start());

    for host in ["one", "two", "three"] {
        let mut client = Client::connect_unix(&storefront.path("out.sock")).await;
        let post = format!("POST /drain HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
        client.send(post.as_bytes()).await.unwrap();
        let answer = client.answer().await.unwrap();
        let said = answer.header("proxy-status").unwrap_or_default();
        let own =
            "countersign; error=destination_ip_prohibited; details=\"own_listener\"; reached=?0";
        assert_eq!((answer.status, said), (502, own), "{host}");
    }
    let ready = ask(called.at("health"), "GET", "localhost", "/started").await;
    assert_eq!(ready.status, 200, "nobody drained it: {}", ready.text());
}
