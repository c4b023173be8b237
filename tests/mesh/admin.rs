//! Who may look into a running sidecar, and who may change it: the admin port, which any web page may make a browser ask, and
//! the admin socket, which only our own user opens.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Answer, Client, ask};
use crate::support::mesh::{COMMON, Domain, Member, allow_all};
use crate::support::pair::{Pair, inbound};
use crate::support::process::{countersign, run};
use crate::support::sidecar::{Sidecar, text};
use crate::support::until;
use serde_json::Value;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// `orders` with an admin socket.
fn with_socket(app: SocketAddr) -> (Member, Sidecar) {
    let orders = Domain::new("shop.example").member("orders");
    orders.policy(&allow_all(&["spiffe://shop.example/storefront"]));
    orders.write("sidecar.yaml", &configured(app, "admin.sock"));
    let sidecar = orders.start();
    (orders, sidecar)
}

fn configured(app: SocketAddr, socket: &str) -> String {
    let admin = "admin: { listen: \"127.0.0.1:0\"";
    let common = COMMON.replace(admin, &format!("{admin}, socket: {socket}"));
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    format!("{common}{}", inbound(app, nobody, "{ drainDelay: 0s }"))
}

/// Exactly this head at an address; `None`: the connection was ended without an answer.
async fn answered(at: SocketAddr, head: &str) -> Option<Answer> {
    let mut client = Client::connect(at).await;
    client.send(head.as_bytes()).await.unwrap();
    client.answer().await.ok()
}

async fn check(at: SocketAddr, head: &str, status: u16, told: &str) {
    let head = format!("{head}\r\nconnection: close\r\n\r\n");
    let answer = answered(at, &head).await;
    let answer = answer.unwrap_or_else(|| panic!("no answer: {head}"));
    assert_eq!(answer.status, status, "{head}{}", answer.text());
    assert!(answer.text().contains(told), "{head}{}", answer.text());
}

const HOST: &str = "Host is not loopback";
const ORIGIN: &str = "requests of web pages are not answered";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_answers_only_who_means_this_machine() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let at = pair.called.at("admin");
    let port = at.port();
    let get = |host: &str| format!("GET /certs HTTP/1.1\r\nhost: {host}");

    for host in [
        "localhost".to_owned(),
        "LOCALHOST".into(),
        format!("localhost:{port}"),
        "127.0.0.1".into(),
        format!("127.0.0.1:{port}"),
        "127.0.0.2".into(),
        "[::1]".into(),
        format!("[::1]:{port}"),
    ] {
        check(at, &get(&host), 200, "\"chain\"").await;
    }
    let with_port = |host: &str| format!("{host}:{port}");
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "evil.example.localhost",
        "localhost.",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::1%25lo]",
        "[fe80::1]",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        check(at, &get(host), 403, HOST).await;
        check(at, &get(&with_port(host)), 403, HOST).await;
    }
    for host in [
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:",
        "localhost:x",
        "::1",
        "",
    ] {
        let head = format!("{}\r\nconnection: close\r\n\r\n", get(host));
        let answer = answered(at, &head).await;
        let status = answer.map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 403)), "{host:?}: {status:?}");
    }
    let two = "GET /certs HTTP/1.1\r\nhost: localhost\r\nhost: evil.example";
    check(at, two, 403, HOST).await;
    check(
        at,
        "GET /certs HTTP/1.1\r\nhost: localhost\r\nhost: localhost",
        403,
        HOST,
    )
    .await;
    check(at, "GET /certs HTTP/1.1\r\naccept: */*", 403, HOST).await;
    check(at, "GET /certs HTTP/1.0\r\naccept: */*", 403, HOST).await;
    let absolute = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nhost: {host}");
    check(
        at,
        &absolute("http://localhost/certs", "localhost"),
        200,
        "\"chain\"",
    )
    .await;
    check(
        at,
        &absolute("http://evil.example/certs", "localhost"),
        403,
        HOST,
    )
    .await;
    check(
        at,
        &absolute("http://localhost/certs", "evil.example"),
        403,
        HOST,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_answers_no_web_page_and_changes_nothing() {
    let app = HttpApp::start().await;
    let (_orders, sidecar) = with_socket(app.addr);
    let at = sidecar.at("admin");
    let get = |more: &str| format!("GET /certs HTTP/1.1\r\nhost: localhost\r\n{more}");

    for origin in [
        "null",
        "http://evil.example",
        "http://localhost",
        "https://127.0.0.1",
        "",
    ] {
        check(at, &get(&format!("origin: {origin}")), 403, ORIGIN).await;
    }
    for site in ["cross-site", "same-site", "same-origin"] {
        check(at, &get(&format!("sec-fetch-site: {site}")), 403, ORIGIN).await;
    }
    // Typed into a browser's bar by the person before it.
    check(at, &get("sec-fetch-site: none"), 200, "\"chain\"").await;

    for page in [
        "/certs",
        "/config",
        "/connections",
        "/drain",
        "/logging",
        "/shutdown",
        "/",
    ] {
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY",
        ] {
            let head = format!("{method} {page} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0");
            check(at, &head, 405, "only GET and HEAD").await;
        }
        let connect = answered(
            at,
            "CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        )
        .await;
        assert!(connect.is_none_or(|answer| matches!(answer.status, 400 | 403 | 405)));
    }
    for page in ["/drain", "/logging", "/shutdown"] {
        let answer = ask(at, "GET", "localhost", page).await;
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.text(),
            format!("{page}: only over the admin socket (`admin.socket`)\n")
        );
    }
    let head = "HEAD /certs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut client = Client::connect(at).await;
    client.send(head.as_bytes()).await.unwrap();
    let told = String::from_utf8(client.rest().await.unwrap()).unwrap();
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
    assert!(told.ends_with("\r\n\r\n"), "a head alone: {told}");
    let preface = answered(at, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(preface.is_none_or(|answer| answer.status >= 400));
    let started = sidecar.started().await;
    assert!(!started.contains("drain"), "{started}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_port_is_never_the_target_of_a_service_or_of_a_request() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let pair = Pair::around(web.addr, db.addr);
    let http = pair.calling.at("http");
    for sidecar in [&pair.calling, &pair.called] {
        let admin = sidecar.at("admin");
        let by_name = ask(http, "GET", &admin.to_string(), "/config").await;
        assert_eq!(
            (by_name.status, by_name.header("proxy-status").is_some()),
            (502, true)
        );
        let absolute = format!("GET http://{admin}/config HTTP/1.1\r\nhost: orders\r\n\r\n");
        assert_eq!(
            answered(http, &absolute).await.map(|it| it.status),
            Some(502)
        );
        let connect = format!("CONNECT {admin} HTTP/1.1\r\nhost: {admin}\r\n\r\n");
        assert_eq!(
            answered(http, &connect).await.map(|it| it.status),
            Some(502)
        );
    }

    // As an endpoint it is refused where the port is written down, and where it is found out only when it is dialled.
    let member = Domain::new("shop.example").member("loop");
    let outbound = |endpoint: &str| {
        format!(
            "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n  - {{ name: it, hosts: [it], \
             identity: \"spiffe://shop.example/it\", endpoints: [\"{endpoint}\"] }}\n"
        )
    };
    member.configure(&outbound("127.0.0.1:1"));
    let sidecar = member.start();
    member.configure(&outbound(&sidecar.at("admin").to_string()));
    let http = sidecar.at("http");
    let refused = until("the new endpoint", async || {
        let answer = ask(http, "GET", "it", "/config").await;
        let status = answer.header("proxy-status")?;
        status
            .contains("destination_ip_prohibited")
            .then_some(answer.status)
    })
    .await;
    assert_eq!(refused, 502);
}

async fn call(path: &Path, method: &str, page: &str, body: &str) -> (u16, String) {
    let mut client = Client::connect_unix(path).await;
    let length = body.len();
    let request = format!(
        "{method} {page} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    client.send(request.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_admin_socket_the_log_is_filtered_otherwise_and_says_who_asked() {
    let app = HttpApp::start().await;
    let (orders, sidecar) = with_socket(app.addr);
    let socket = orders.path("admin.sock");
    let filter = async |method: &str, body: &str| {
        let (status, told) = call(&socket, method, "/logging", body).await;
        let told: Value = serde_json::from_str(&told).unwrap_or(told.into());
        (
            status,
            told["filter"]
                .as_str()
                .map_or(told.to_string(), str::to_owned),
        )
    };
    // A caller in clear text is told of at `debug` alone.
    let refused = async || {
        let _ended = answered(sidecar.at("web"), "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    };
    let told = || {
        let lines = sidecar.process.err.so_far();
        lines
            .iter()
            .filter(|line| line.contains("handshake refused"))
            .count()
    };

    assert_eq!(filter("GET", "").await, (200, "info".into()));
    refused().await;
    assert_eq!(told(), 0);
    assert_eq!(
        filter("PUT", "info,proxy=debug\n").await,
        (200, "info,proxy=debug".into())
    );
    refused().await;
    sidecar.said("handshake refused");
    let changed = sidecar.process.err.wait_for("who asked", |line| {
        let is = text(line, "message")?.starts_with("the log has another filter");
        is.then(|| serde_json::from_str::<Value>(line).unwrap())
    });
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(
        (&changed["uid"], &changed["level"]),
        (&uid.into(), &"WARN".into())
    );
    assert_eq!(
        (&changed["before"], &changed["after"]),
        (&"info".into(), &"info,proxy=debug".into())
    );

    for (body, why) in [
        (
            "loud",
            "`loud` is not one of off, error, warn, info, debug, trace",
        ),
        ("proxy=loud", "write levels such as `info,proxy=debug`"),
        ("", "there is no filter"),
        (&*"a=info,".repeat(200), "a filter has at most 1024 bytes"),
    ] {
        let (status, told) = filter("POST", body).await;
        assert_eq!(status, 400, "{body}");
        assert!(told.contains(why), "{body}: {told}");
    }
    assert_eq!(filter("GET", "").await, (200, "info,proxy=debug".into()));

    assert_eq!(filter("POST", "off").await, (200, "off".into()));
    sidecar.process.err.wait_for("the silence", |line| {
        (text(line, "after")? == "off").then_some(())
    });
    let before = told();
    refused().await;
    assert_eq!(filter("PUT", "error").await.0, 200);
    assert_eq!(told(), before);
    // What only shows something is not posted to.
    assert_eq!(call(&socket, "POST", "/certs", "").await.0, 405);
    assert_eq!(call(&socket, "DELETE", "/logging", "").await.0, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_socket_is_ours_alone_goes_with_us_and_takes_nobodys_place() {
    let app = HttpApp::start().await;
    let (orders, mut sidecar) = with_socket(app.addr);
    let path = orders.path("admin.sock");
    let found = std::fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.mode() & 0o777, 0o600);

    // Another cannot have it while we listen.
    let mut second = countersign();
    second
        .args(["proxy", "--config"])
        .arg(orders.path("sidecar.yaml"));
    let ran = run(&mut second);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let taken = format!("{} is taken: another process listens on it", path.display());
    assert!(ran.err.contains(&taken), "{}", ran.err);
    assert_eq!(call(&path, "GET", "/status", "").await.0, 200);

    // Moved by a reload, the old file goes with the old socket.
    orders.write("sidecar.yaml", &configured(app.addr, "moved.sock"));
    let moved = orders.path("moved.sock");
    until("the move", async || {
        (moved.exists() && !path.exists()).then_some(())
    })
    .await;
    assert_eq!(call(&moved, "GET", "/status", "").await.0, 200);
    sidecar.process.ask_to_end();
    assert_eq!(sidecar.process.end().code(), Some(0));
    assert!(!moved.exists());

    // What nobody listens on is replaced; what is no socket stays.
    drop(UnixListener::bind(&moved).unwrap());
    assert!(moved.exists());
    let sidecar = orders.start();
    assert_eq!(call(&moved, "GET", "/status", "").await.0, 200);
    drop(sidecar);
    std::fs::remove_file(&moved).unwrap();
    std::fs::write(&moved, "somebody's").unwrap();
    let mut third = countersign();
    third
        .args(["proxy", "--config"])
        .arg(orders.path("sidecar.yaml"));
    let ran = run(&mut third);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(
        ran.err.contains("a file that is no socket stands there"),
        "{}",
        ran.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_served_over_unix_sockets_where_the_configuration_says_so() {
    let app = HttpApp::start().await;
    let orders = Domain::new("shop.example").member("orders");
    orders.policy(&allow_all(&["spiffe://shop.example/storefront"]));
    let at = |name: &str| format!("unix:{}", orders.path(name).display());
    let mut text = configured(app.addr, "admin.sock");
    for page in ["admin", "metrics", "health"] {
        let listen = format!("{page}: {{ listen: \"");
        let socket = at(&format!("{page}-pages"));
        text = text.replace(
            &format!("{listen}127.0.0.1:0"),
            &format!("{listen}{socket}"),
        );
    }
    orders.write("sidecar.yaml", &text);
    let mut sidecar = orders.start();

    let ask = async |name: &str, page: &str, host: &str| {
        let mut client = Client::connect_unix(&orders.path(name)).await;
        let head = format!("GET {page} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        client.send(head.as_bytes()).await.unwrap();
        client.answer().await.unwrap()
    };
    assert_eq!(
        ask("health-pages", "/started", "x").await.text(),
        "started\n"
    );
    let metrics = ask("metrics-pages", "/metrics", "x").await.text();
    assert!(
        metrics.contains("countersign_config_generation 1"),
        "{metrics}"
    );
    assert_eq!(ask("admin-pages", "/certs", "localhost").await.status, 200);
    assert_eq!(
        ask("admin-pages", "/certs", "evil.example").await.status,
        403
    );
    assert_eq!(
        ask("admin-pages", "/shutdown", "localhost").await.status,
        404
    );
    let mut status = countersign();
    let ran = run(status.args([
        "status",
        "--expect",
        "started",
        "--admin",
        &at("admin-pages"),
    ]));
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));

    sidecar.process.ask_to_end();
    assert_eq!(sidecar.process.end().code(), Some(0));
    for name in ["admin-pages", "metrics-pages", "health-pages", "admin.sock"] {
        assert!(!orders.path(name).exists(), "{name} goes with it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_which_others_could_replace_the_admin_socket_is_told() {
    let app = HttpApp::start().await;
    let (orders, sidecar) = with_socket(app.addr);
    let others = orders.path("others");
    std::fs::create_dir(&others).unwrap();
    let warned = || {
        let lines = sidecar.process.err.so_far();
        lines
            .iter()
            .filter(|line| line.contains("may put a socket of their own"))
            .count()
    };
    for (n, (mode, warns)) in [(0o755, 0), (0o1777, 0), (0o777, 1), (0o770, 2)]
        .into_iter()
        .enumerate()
    {
        std::fs::set_permissions(&others, Permissions::from_mode(mode)).unwrap();
        let socket = format!("others/{n}.sock");
        orders.write("sidecar.yaml", &configured(app.addr, &socket));
        let path = orders.path(&socket);
        until("the socket", async || path.exists().then_some(())).await;
        assert_eq!(call(&path, "GET", "/status", "").await.0, 200);
        until("what is told", async || (warned() == warns).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root: it asks as another user; .ci/run runs it"]
async fn the_apps_user_cannot_use_the_admin_socket_even_where_it_is_open_to_all() {
    let app = HttpApp::start().await;
    let (orders, sidecar) = with_socket(app.addr);
    let path = orders.path("admin.sock");
    let open = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    // Nobody else can reach the binary of a build below somebody's home.
    let copy = orders.path("countersign");
    std::fs::copy(countersign().get_program(), &copy).unwrap();
    open(orders.folder());
    let drain = || {
        let mut command = std::process::Command::new(&copy);
        command.uid(65_534).gid(65_534).current_dir("/");
        run(command.args(["drain", "--admin"]).arg(&path))
    };

    let closed = drain();
    open(&path);
    let unheard = drain();

    let start = format!("{}: ", path.display());
    assert_eq!((closed.code, unheard.code), (Some(3), Some(3)));
    assert_eq!(
        closed.err.strip_prefix(&start),
        Some(
            "the sidecar is not asked: this user may not open its socket; run as root or as the sidecar's own user\n"
        )
    );
    assert_eq!(
        unheard.err.strip_prefix(&start),
        Some(
            "no answer: the connection was closed; ask as root or as the sidecar's own user, nobody else is heard\n"
        )
    );
    sidecar.said("user 65534 may not ask");
    let started = sidecar.started().await;
    assert!(!started.contains("drain"), "{started}");
}
