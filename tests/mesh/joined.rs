//! Identities that a CA issues and renews, through the real binary: under load, with the CA away, asleep, and from nothing.

use crate::support::ca::Ca;
use crate::support::client::{Client, ask};
use crate::support::joined::Joined;
use crate::support::load::shown;
use crate::support::sidecar::Sidecar;
use crate::support::traffic::{Apps, Traffic};
use crate::support::{until, within};
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;

/// Two sidecars that joined, around apps, and their CA.
struct Mesh {
    joined: Joined,
    ca: Ca,
    apps: Apps,
    calling: Sidecar,
    called: Sidecar,
}

async fn mesh(leaf_ttl: &str, limits: &str) -> Mesh {
    let (joined, ca) = Joined::new(leaf_ttl).await;
    let apps = Apps::start().await;
    let (calling, called) = joined.around(apps.web.addr, apps.db.addr, limits);
    Mesh {
        joined,
        ca,
        apps,
        calling,
        called,
    }
}

impl Mesh {
    async fn traffic(&self) -> Traffic {
        Traffic::start(self.calling.at("http"), self.calling.at("db")).await
    }
    /// A request through both; its status.
    async fn call(&self) -> u16 {
        ask(self.calling.at("http"), "GET", "orders", "/")
            .await
            .status
    }
}

/// Waits until another leaf than this is shown.
async fn changed(at: SocketAddr, from: &[u8]) -> Vec<u8> {
    until("another certificate on the wire", async || {
        let now = shown(at).await;
        (now != from).then_some(now)
    })
    .await
}

fn signal(sidecar: &Sidecar, signal: Signal) {
    let pid = i32::try_from(sidecar.process.id())
        .ok()
        .and_then(Pid::from_raw);
    kill_process(pid.unwrap(), signal).unwrap();
}

/// What must hold of leaves that are renewed under load: nothing fails, nothing is cut, and the wire shows others.
async fn renewed_under_load(leaf_ttl: &str, renewals: usize) {
    let mesh = mesh(leaf_ttl, "{}").await;
    let traffic = mesh.traffic().await;
    let mut leaf = shown(mesh.called.at("web")).await;

    for _ in 0..renewals {
        leaf = changed(mesh.called.at("web"), &leaf).await;
    }
    traffic.more(100).await;

    assert_eq!(traffic.failed(), []);
    assert_eq!(traffic.cut(), []);
    assert!(
        mesh.apps.certificates() >= renewals,
        "{}",
        mesh.apps.certificates()
    );
    let answered = traffic.end().await;
    assert!(answered > 100, "{answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_are_renewed_under_load_and_nothing_fails_or_is_cut() {
    renewed_under_load("10s", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 3 min"]
async fn leaves_of_half_a_minute_are_renewed_for_three_minutes() {
    renewed_under_load("30s", 12).await;
}

/// When the leaf that a sidecar has now ends.
async fn leaf_ends(sidecar: &Sidecar) -> SystemTime {
    let now = SystemTime::now();
    let metrics = sidecar.metrics_text().await;
    let series = "countersign_expiry_seconds{what=\"leaf\"} ";
    let left = metrics.lines().find_map(|line| line.strip_prefix(series));
    let left: f64 = left.unwrap().parse().unwrap();
    let end = now + Duration::from_secs_f64(left);
    // It is a whole second; asking took a moment.
    let since_1970 = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970.as_secs_f64().round() as u64)
}

/// The first end of the two leaves that are in use now.
async fn first_end(mesh: &Mesh) -> SystemTime {
    leaf_ends(&mesh.calling)
        .await
        .min(leaf_ends(&mesh.called).await)
}

/// Traffic, and the first end of the leaves under which all of it began.
async fn between_renewals(mesh: &Mesh) -> (Traffic, SystemTime) {
    loop {
        let ends = first_end(mesh).await;
        let traffic = mesh.traffic().await;
        traffic.more(50).await;
        if first_end(mesh).await == ends {
            return (traffic, ends);
        }
        traffic.end().await;
    }
}

/// With no time after expiry, the long ones end with the certificates under which they began, and nothing else does.
async fn long_ones_end(leaf_ttl: &str) {
    let mesh = mesh(leaf_ttl, "{ afterExpiry: 0s }").await;
    let (traffic, ends) = between_renewals(&mesh).await;

    let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left).await;
    let cut = until("the end of both long ones", async || {
        Some(traffic.cut()).filter(|cut| cut.len() == 2)
    });
    let cut = cut.await;
    traffic.more(300).await;

    assert_eq!(traffic.failed(), []);
    for (what, at) in cut {
        let late = at.duration_since(ends);
        let late = late.unwrap_or_else(|early| panic!("{what} ended too early: {early}"));
        assert!(
            late < Duration::from_millis(1500),
            "{what} ended {late:?} after its certificate"
        );
    }
    mesh.calling.logged("why the long stream ended", |line| {
        line["path"] == "/stream" && line["reason"] == "certificate_ended"
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_time_after_expiry_the_long_ones_end_and_nothing_else() {
    long_ones_end("10s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 1 min"]
async fn with_no_time_after_expiry_the_long_ones_end_with_leaves_of_half_a_minute() {
    long_ones_end("30s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_goes_on_without_a_ca_until_leaves_end_and_renewals_resume_when_it_is_back() {
    let mut mesh = mesh("10s", "{}").await;
    let traffic = mesh.traffic().await;
    traffic.more(100).await;
    mesh.ca.process.kill();
    let killed = SystemTime::now();

    // The caller has renewed at half life at the latest: what it holds lives so long yet.
    let first = until("the first failure", async || {
        traffic.failed().first().cloned()
    })
    .await;
    let lived = first.1.duration_since(killed).unwrap();
    assert!(
        lived > Duration::from_millis(3500),
        "{first:?} {lived:?} after the CA went"
    );
    until("a caller that is told why", async || {
        let failed = traffic.failed();
        let told = failed
            .iter()
            .any(|(what, _)| what.contains("own_certificate_ended"));
        told.then_some(())
    })
    .await;
    let started = mesh.calling.started().await;
    assert!(
        started.starts_with("not started: identity: the certificate ended at "),
        "{started}"
    );
    let metrics = mesh.calling.metrics_text().await;
    assert!(
        metrics.contains("\ncountersign_ca_reachable 0.0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\ncountersign_expiry_seconds{what=\"leaf\"} -"),
        "{metrics}"
    );
    assert_eq!(traffic.cut(), [], "what was open runs on");

    mesh.ca = mesh.joined.serve();
    until("calls again", async || {
        (mesh.call().await == 200).then_some(())
    })
    .await;
    assert_eq!(mesh.calling.started().await, "started\n");
    let failed = traffic.failed().len();
    let leaf = shown(mesh.called.at("web")).await;
    changed(mesh.called.at("web"), &leaf).await;
    // One that began before both were back may still be told.
    assert!(
        traffic.failed().len() <= failed + 9,
        "{:?}",
        traffic.failed().split_off(failed)
    );
    assert_eq!(traffic.cut(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_with_its_state_serves_at_once_though_the_ca_is_away() {
    let mut mesh = mesh("5m", "{}").await;
    assert_eq!(mesh.call().await, 200);
    let leaf = shown(mesh.called.at("web")).await;
    mesh.ca.process.kill();
    let Mesh {
        joined,
        calling,
        called,
        apps,
        ..
    } = mesh;
    let (at, failed) = (called.at("web"), calling.process.terminate());
    assert!(failed.success());
    drop(called);

    // Both again, and the called one where it was not before: port 0 is another each time.
    let (calling, called) = joined.around(apps.web.addr, apps.db.addr, "{}");
    assert_ne!(called.at("web"), at);
    let answer = ask(calling.at("http"), "GET", "orders", "/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        shown(called.at("web")).await,
        leaf,
        "what it held is what it shows"
    );
    assert_eq!(called.started().await, "started\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_was_stopped_beyond_its_leaf_comes_back_alone() {
    let mesh = mesh("10s", "{}").await;
    assert_eq!(mesh.call().await, 200);
    let leaf = shown(mesh.called.at("web")).await;

    signal(&mesh.called, Signal::STOP);
    tokio::time::sleep(Duration::from_millis(11_500)).await;
    signal(&mesh.called, Signal::CONT);

    until("a call again", async || {
        (mesh.call().await == 200).then_some(())
    })
    .await;
    assert_ne!(shown(mesh.called.at("web")).await, leaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_while_the_ca_is_away_waits_says_why_and_lets_nobody_in() {
    let (joined, mut ca) = Joined::new("5m").await;
    ca.process.kill();
    let apps = Apps::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let web = free.local_addr().unwrap();
    drop(free);
    joined.configure_orders(apps.web.addr, apps.db.addr, "{}");
    let config = std::fs::read_to_string(joined.orders.path("sidecar.yaml")).unwrap();
    let listen = |to: &str| config.replacen("name: web, listen: \"127.0.0.1:0\"", to, 1);
    let fixed = listen(&format!("name: web, listen: \"{web}\""));
    joined.orders.write("sidecar.yaml", &fixed);

    let orders = Sidecar::waiting(&joined.orders.path("sidecar.yaml"));
    let why = until("a reason", async || {
        let started = orders.started().await;
        started.contains("the CA").then_some(started)
    })
    .await;
    assert!(why.starts_with("not started: identity: "), "{why}");
    assert!(
        why.contains("; listeners: they open with the first identity"),
        "{why}"
    );
    let refused = TcpStream::connect(web).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let certs = ask(orders.at("admin"), "GET", "localhost", "/certs")
        .await
        .text();
    let certs: serde_json::Value = serde_json::from_str(&certs).unwrap();
    assert_eq!(
        (&certs["source"], &certs["state"]),
        (&"ca".into(), &"waiting".into())
    );
    assert!(
        certs["why"]["text"].is_string() && certs["id"].is_null(),
        "{certs}"
    );
    assert!(
        orders
            .metrics_text()
            .await
            .contains("\ncountersign_ca_reachable 0.0\n")
    );

    let _ca = joined.serve();
    orders.said("started");
    assert_eq!(orders.started().await, "started\n");
    shown(web).await;
    let metrics = orders.metrics_text().await;
    assert!(
        metrics.contains("\ncountersign_ca_reachable 1.0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\ncountersign_clock_skew_seconds "),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_from_elsewhere_is_taken_with_its_first_certificate_and_the_old_serves_until_then()
 {
    let (joined, mut ca) = Joined::new("5m").await;
    ca.process.kill();
    let apps = Apps::start().await;
    joined.configure_orders(apps.web.addr, apps.db.addr, "{}");
    let from_ca = std::fs::read_to_string(joined.orders.path("sidecar.yaml")).unwrap();
    let other = crate::support::mesh::Domain::new("shop.example");
    let svid = other.svid("orders");
    svid.write_files(joined.orders.folder(), &other.root.bundle_pem());
    joined.orders.configure(&crate::support::pair::inbound(
        apps.web.addr,
        apps.db.addr,
        "{}",
    ));
    let orders = joined.orders.start();
    assert_eq!(shown(orders.at("web")).await, svid.chain[0]);

    // It has a new listener, too: whoever calls that is refused, not left waiting.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let third = free.local_addr().unwrap();
    drop(free);
    let listener = format!(
        "inbound:\n  - {{ name: third, listen: \"{third}\", app: \"{}\", protocol: tcp }}",
        apps.db.addr
    );
    let from_ca = from_ca.replacen("inbound:", &listener, 1);
    joined.orders.write("sidecar.yaml", &from_ca);
    orders.said("new configuration read; it waits for its first identity");
    assert_eq!(shown(orders.at("web")).await, svid.chain[0]);
    let refused = TcpStream::connect(third).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let _ca = joined.serve();
    let leaf = changed(orders.at("web"), &svid.chain[0]).await;
    orders.said("new configuration in force");
    assert_eq!(shown(third).await, leaf);
}

/// A connection that is kept across a renewal: what is idle ends with its generation, what is under way is finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_ends_idle_connections_of_before_and_no_request_in_flight() {
    let mesh = mesh("10s", "{}").await;
    let mut caller = Client::connect(mesh.calling.at("http")).await;
    let head = b"POST /long HTTP/1.1\r\nhost: orders\r\ncontent-length: 8\r\n\r\nfour";
    caller.send(head).await.unwrap();
    let answer = within("the head", async {
        let mut seen = String::new();
        while !seen.ends_with("four") {
            seen.push(char::from(caller.bytes(1).await.unwrap()[0]));
        }
        seen
    });
    assert!(answer.await.starts_with("HTTP/1.1 200"));
    assert_eq!(mesh.call().await, 200);
    let open = "countersign_connections{direction=\"inbound\",listener=\"web\"}";
    mesh.called.counts(open, 2).await;

    let certificates = mesh.apps.certificates();
    until("a call with a new certificate", async || {
        assert_eq!(mesh.call().await, 200);
        (mesh.apps.certificates() > certificates).then_some(())
    })
    .await;
    // The new one, and the old one's request under way; the old idle one is gone.
    mesh.called.counts(open, 2).await;
    caller.send(b"more").await.unwrap();
    assert_eq!(caller.bytes(4).await.unwrap(), b"more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_where_the_ca_is_is_mended_without_a_restart() {
    let (joined, _ca) = Joined::new("10s").await;
    let apps = Apps::start().await;
    joined.configure_orders(apps.web.addr, apps.db.addr, "{}");
    let right = std::fs::read_to_string(joined.orders.path("sidecar.yaml")).unwrap();
    let wrong = right.replacen(&joined.ca_at.to_string(), "127.0.0.1:1", 1);
    joined.orders.write("sidecar.yaml", &wrong);
    let orders = Sidecar::waiting(&joined.orders.path("sidecar.yaml"));
    orders.said("still without an identity");

    // The same state directory, which the source with the mistake holds.
    joined.orders.write("sidecar.yaml", &right);
    orders.said("started");

    // From now on it is an identity in force that holds it: whoever takes it over goes on with that.
    let leaf = shown(orders.at("web")).await;
    let taken = async |many: usize| {
        until("the next configuration", async || {
            let lines = orders.process.err.so_far();
            let taken = lines
                .iter()
                .filter(|line| line.contains("new configuration in force"));
            (taken.count() == many).then_some(())
        })
        .await;
    };
    taken(1).await;
    joined.orders.write("sidecar.yaml", &wrong);
    taken(2).await;
    assert_eq!(orders.started().await, "started\n");
    joined.orders.write("sidecar.yaml", &right);
    taken(3).await;
    changed(orders.at("web"), &leaf).await;

    // One that is not fit leaves the directory to who has it, and is told once.
    let unfit = right.replacen("ca/bundle.pem", "ca/nowhere.pem", 1);
    assert_ne!(unfit, right);
    joined.orders.write("sidecar.yaml", &unfit);
    orders.said("nowhere.pem");
    let leaf = shown(orders.at("web")).await;
    changed(orders.at("web"), &leaf).await;
}
