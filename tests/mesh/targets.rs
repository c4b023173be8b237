//! Where no request and no connection may go, and no loop is gone round twice.
//!
//! Every target that is forbidden, and every loop, with the tests that hold it. Where no file is named, they are in this one;
//! that each is there is a test, too.
//!
//! | target | is refused | by |
//! |---|---|---|
//! | an address, a name or a port of the request's choosing: `Host`, absolute form, `:authority` | 502 `no_such_service` | `a_request_chooses_no_address` |
//! | the same by CONNECT; a service that is not declared `tcp`; CONNECT from the network | 502, 501 | `connect.rs`: `connect_to_anything_else_is_refused_and_ends_the_connection` |
//! | with `unknown: passthrough`, all that is closed to names, and metadata services | 502 `address_prohibited` | `proxy/tests/passthrough.rs`: `no_request_leads_to_loopback_to_metadata_or_to_what_is_no_destination` |
//! | with it, any listener of ours, the inbound ones too | 502 `own_listener` | `proxy/tests/passthrough.rs`: `no_request_leads_to_a_listener_of_ours` |
//! | with it, tunnels, and `https` in clear text | refused | `proxy/tests/passthrough.rs`: `neither_tunnels_nor_what_asks_for_tls_are_passed_through` |
//! | a declared service under another port than its host names | 502 | `connect.rs`: `a_service_whose_host_has_a_port_is_connected_to_under_that_port_only` |
//! | what `x-forwarded-host`, `l5d-dst-override` and their like name | nothing: they steer nothing | `a_request_chooses_no_address` |
//! | user information before an authority | 400 `userinfo` | `a_request_chooses_no_address` |
//! | loopback, link-local, unspecified, multicast and mapped addresses behind a name, also one that led elsewhere before | 502 `address_prohibited` | `proxy/tests/names.rs`: `no_name_leads_to_loopback_or_to_what_is_no_destination`; all kinds: `proxy/src/upstream/own.rs`: `a_name_never_leads_home` |
//! | our own listeners of every kind behind a name, at whichever address of this machine | 502 `own_listener` | `proxy/tests/names.rs`: `no_name_leads_to_a_listener_of_ours`; all addresses: `proxy/src/upstream/own.rs`: `a_listener_is_found_at_every_address_that_leads_to_it` |
//! | our own outbound listeners and pages, also where an endpoint is written so | 502 `own_listener` | `an_endpoint_that_is_written_so_is_no_listener_of_ours_but_the_inbound_one` |
//! | our own outbound unix sockets, by whatever path | at start, or `own_listener` | `no_path_leads_to_a_unix_socket_of_ours` |
//! | any listener of ours as the app behind one | at start, or `own_listener` | `an_app_is_never_a_listener_of_ours` |
//! | `localhost` by whatever a DNS server says | this machine | `proxy/tests/names.rs`: `localhost_is_this_machine_in_both_families` |
//! | a loop of requests around two sidecars and an app, each version and gRPC | 508 `loop` at the first repeat | `loops.rs`: `a_loop_around_two_sidecars_and_an_app_ends_at_the_first_repeat` |
//! | a loop through the app's own sidecar | 508 `loop` | `loops.rs`: `a_loop_through_ones_own_sidecar_ends_at_the_first_repeat` |
//! | a loop whose every round asks for something else | 508 `too_many_hops` | `proxy/src/trail.rs`: `a_loop_whose_rounds_differ_ends_too_and_marks_stay_bounded` |
//! | marks that a stranger wrote | no loop of anybody else's | `loops.rs`: `marks_of_a_stranger_refuse_nobody_else_and_do_not_go_on` |
//! | a loop of connections in bytes around two sidecars and an app | bounded, not refused: no byte of ours is in them | `loops.rs`: `a_loop_of_bytes_ends_at_the_limit_of_connections_and_leaves_nothing_behind` |

use crate::support::app::HttpApp;
use crate::support::client::{Client, listen};
use crate::support::here;
use crate::support::http::{Flow, get, h2};
use crate::support::mesh::{Domain, Member};
use crate::support::pair::Pair;
use crate::support::sidecar::Sidecar;
use hyper::Request;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::net::TcpListener as Canary;

#[test]
fn every_target_in_the_table_has_its_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = include_str!("targets.rs").lines();
    let rows = rows.filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    let mut tests = 0;
    for row in rows {
        let mut file = "targets.rs";
        let by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for named in by.split('`').skip(1).step_by(2) {
            if named.ends_with(".rs") {
                file = named;
                continue;
            }
            let folder = if file.contains('/') { "" } else { "tests/mesh" };
            let text = std::fs::read_to_string(root.join(folder).join(file)).unwrap();
            assert!(text.contains(&format!("fn {named}()")), "{named} in {file}");
            tests += 1;
        }
    }
    assert!(tests >= 20, "the table was not read: {tests}");
}

/// Nobody has called it.
fn is_untouched(canary: &Canary) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    canary.poll_accept(&mut cx).is_pending()
}

const NO_SUCH: &str =
    "countersign; error=destination_not_found; details=\"no_such_service\"; reached=?0";

const BAD_HOST: &str = "countersign; error=http_request_error; details=\"bad_host\"; reached=?0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_chooses_no_address() {
    let app = HttpApp::start().await;
    let (canary, at) = listen().await;
    let pair = Pair::before(app.addr);
    let calling = pair.calling.at("http");
    let port = at.port();
    // Some take a name that ends in a number for an address.
    let numbers = [format!("2130706433:{port}"), format!("orders.{at}")];
    let targets = [
        at.to_string(),
        format!("localhost:{port}"),
        format!("127.0.0.1.:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("0.0.0.0:{port}"),
        "169.254.169.254".to_owned(),
        pair.calling.at("admin").to_string(),
        pair.called.at("web").to_string(),
        calling.to_string(),
    ];
    let refused = numbers.iter().map(|target| (target, 400, BAD_HOST));
    let unknown = targets.iter().map(|target| (target, 502, NO_SUCH));
    for (target, status, why) in unknown.chain(refused) {
        for head in [
            format!("GET / HTTP/1.1\r\nhost: {target}\r\n\r\n"),
            format!("GET http://{target}/ HTTP/1.1\r\nhost: orders\r\n\r\n"),
            format!("GET http://{target}/ HTTP/1.0\r\n\r\n"),
        ] {
            let mut client = Client::connect(calling).await;
            client.send(head.as_bytes()).await.unwrap();
            let answer = client.answer().await.unwrap();
            let told = (answer.status, answer.header("proxy-status"));
            assert_eq!(told, (status, Some(why)), "{head}");
        }
        let request = Request::builder().uri(format!("http://{target}/"));
        let request = request.body(Flow::none()).unwrap();
        let answer = h2(calling).await.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{target}");
        assert_eq!(answer.headers()["proxy-status"], why, "{target}");
    }
    let mut client = Client::connect(calling).await;
    let head = format!("GET / HTTP/1.1\r\nhost: orders@{at}\r\n\r\n");
    client.send(head.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("userinfo"));
    assert_eq!(app.seen().len(), 0);

    let mut steered = get("/steered");
    for name in [
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-server",
        "x-original-host",
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-original-dst-host",
        "l5d-dst-override",
        "l5d-dst-canonical",
        "dapr-app-id",
        "proxy-connection",
    ] {
        steered
            .headers_mut()
            .insert(name, at.to_string().parse().unwrap());
    }
    let answer = pair.send(hyper::Version::HTTP_11, steered).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(app.seen().len(), 1);
    assert!(is_untouched(&canary), "somebody was steered");
}

/// A port that nobody uses just now, and that the kernel gives to nobody who asks for any.
fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 200).unwrap() * 50;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_written_so_is_no_listener_of_ours_but_the_inbound_one() {
    let app = HttpApp::start().await;
    let member = Domain::new("shop.example").member("orders");
    member.policy(&crate::support::mesh::allow_all(&[
        "spiffe://shop.example/orders",
    ]));
    let kinds = ["http", "bytes", "admin", "metrics", "health", "web"];
    let ports: Vec<u16> = kinds.iter().map(|_| free()).collect();
    let [http, bytes, admin, metrics, health, web] = ports[..] else {
        panic!("as many as kinds")
    };
    let mut services = String::new();
    for (kind, port) in kinds.iter().zip(&ports) {
        for (how, ip) in [("loopback", IpAddr::from([127, 0, 0, 1])), ("here", here())] {
            let endpoint = SocketAddr::new(ip, *port);
            services += &format!(
                "  - {{ name: {kind}-{how}, hosts: [{kind}-{how}], identity: \"spiffe://shop.example/orders\", endpoints: [\"{endpoint}\"] }}\n"
            );
        }
    }
    member.write(
        "sidecar.yaml",
        &format!(
            "identity: {{ trustDomain: shop.example, files: {{ certificate: svid.pem, key: key.pem, bundle: bundle.pem }} }}\n\
             admin: {{ listen: \"127.0.0.1:{admin}\" }}\n\
             metrics: {{ listen: \"0.0.0.0:{metrics}\" }}\n\
             health: {{ listen: \"0.0.0.0:{health}\" }}\n\
             inbound: [{{ name: web, listen: \"0.0.0.0:{web}\", app: \"{app}\", protocol: http }}]\n\
             outbound:\n  - {{ name: http, listen: \"0.0.0.0:{http}\", protocol: http }}\n  - {{ name: bytes, listen: \"0.0.0.0:{bytes}\", \
             protocol: tcp, service: bytes-loopback }}\n\
             policy: {{ file: policy.yaml }}\nservices:\n{services}",
            app = app.addr
        ),
    );
    let sidecar = member.start();
    let ask = async |host: &str| {
        let mut client = Client::connect(sidecar.at("http")).await;
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        client.send(head.as_bytes()).await.unwrap();
        let answer = client.answer().await.unwrap();
        let told = answer.header("proxy-status").unwrap_or_default();
        (answer.status, told.to_owned())
    };

    for kind in &kinds[..5] {
        for how in ["loopback", "here"] {
            let (status, told) = ask(&format!("{kind}-{how}")).await;
            // The admin page is not at this machine's address.
            if (*kind, how) == ("admin", "here") {
                assert!(told.contains("connection_refused"), "{kind} {how}: {told}");
                continue;
            }
            let expected = "countersign; error=destination_ip_prohibited; details=\"own_listener\"; reached=?0";
            assert_eq!((status, &*told), (502, expected), "{kind} {how}");
        }
    }
    // The app may call itself, since somebody wrote so.
    for how in ["loopback", "here"] {
        assert_eq!(ask(&format!("web-{how}")).await.0, 200, "{how}");
    }
    let mut client = Client::connect(sidecar.at("bytes")).await;
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    is_logged(&sidecar, "bytes");
}

/// The connection at this listener ended because it would have come to one of ours.
fn is_logged(sidecar: &Sidecar, listener: &str) {
    sidecar.logged(&format!("own_listener at {listener}"), |line| {
        line["listener"] == *listener && line["reason"] == "own_listener"
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_leads_to_a_unix_socket_of_ours() {
    let member = Domain::new("shop.example").member("storefront");
    let (socket, link) = (member.path("out.sock"), member.path("link.sock"));
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    member.configure(&format!(
        "outbound: [{{ name: out, listen: \"unix:{}\", protocol: tcp, service: self }}]\n\
         services: [{{ name: self, hosts: [self], identity: \"spiffe://shop.example/self\", endpoints: [\"unix:{}\"] }}]\n",
        socket.display(),
        link.display()
    ));
    let sidecar = member.start();

    let mut client = Client::connect_unix(&socket).await;

    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    is_logged(&sidecar, "out");
}

/// `orders`, where anybody may call in clear text, and whose app is its own listener.
fn its_own_app(member: &Member, protocol: &str) -> (Sidecar, SocketAddr) {
    let anyone = "spiffe://plaintext.invalid/anyone";
    member.policy(&crate::support::mesh::allow_all(&[anyone]));
    let at = SocketAddr::new(here(), free());
    member.configure(&format!(
        "inbound: [{{ name: web, listen: \"0.0.0.0:{}\", app: \"{at}\", protocol: {protocol}, mode: permissive }}]\n\
         policy: {{ file: policy.yaml }}\n",
        at.port()
    ));
    (member.start(), at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_never_a_listener_of_ours() {
    let shop = Domain::new("shop.example");
    let member = shop.member("orders");
    let (sidecar, at) = its_own_app(&member, "tcp");

    let mut client = Client::connect(at).await;
    client.send(b"hello").await.unwrap();

    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    is_logged(&sidecar, "web");
    drop(sidecar);

    let member = shop.member("orders");
    let (sidecar, at) = its_own_app(&member, "http");
    let mut client = Client::connect(at).await;
    let head = b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    client.send(head).await.unwrap();

    assert_eq!(client.answer().await.unwrap().status, 502);
    is_logged(&sidecar, "web");
}
