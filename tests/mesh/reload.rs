//! A new configuration or policy: effective within two seconds, or refused whole with every finding.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask};
use crate::support::http::{as_h1, get, h1, whole};
use crate::support::mesh::{COMMON, allow_all};
use crate::support::pair::{Pair, inbound, outbound};
use crate::support::until;
use rustix::process::Signal;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// What the issue promises.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(2);

/// Waits for an effect of what was just written; says how long is too long.
async fn effective(what: &str, seen: impl AsyncFn() -> bool) {
    let written = Instant::now();
    until(what, async || seen().await.then_some(())).await;
    let took = written.elapsed();
    assert!(took < EFFECTIVE_WITHIN, "{what}: after {took:?}");
}

async fn refuses(at: SocketAddr) -> bool {
    TcpStream::connect(at)
        .await
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

struct World {
    web: HttpApp,
    db: EchoApp,
    pair: Pair,
}

async fn world() -> World {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let pair = Pair::around(web.addr, db.addr);
    World { web, db, pair }
}

impl World {
    async fn status(&self, path: &str) -> u16 {
        ask(self.pair.calling.at("http"), "GET", "orders", path)
            .await
            .status
    }

    /// All findings that were told since, and then that nothing changed.
    async fn told(&self, since: usize) -> Vec<String> {
        let lines = until("the end of the findings", async || {
            let lines = self.pair.called.process.err.so_far().split_off(since);
            lines
                .iter()
                .any(|line| line.contains("the configuration in force stays"))
                .then_some(lines)
        })
        .await;
        let message = |line: &String| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["message"]
                .as_str()
                .unwrap()
                .strip_prefix("not taken: ")
                .map(str::to_owned)
        };
        let folder = format!("{}/", self.pair.orders.folder().display());
        lines
            .iter()
            .filter_map(message)
            .map(|line| line.replace(&folder, ""))
            .collect()
    }

    fn lines(&self) -> usize {
        self.pair.called.process.err.so_far().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_holds_also_on_connections_that_are_open() {
    let world = world().await;
    let mut open = h1(world.pair.calling.at("http")).await;
    let mut status = async || {
        open.ready().await.unwrap();
        whole(open.send_request(as_h1(get("/orders"))).await.unwrap())
            .await
            .unwrap()
            .0
    };
    assert_eq!(status().await, 200);

    world
        .pair
        .orders
        .policy(&allow_all(&["spiffe://shop.example/nobody"]));
    effective("the new policy", async || {
        world.status("/orders").await == 403
    })
    .await;
    assert_eq!(status().await, 403);

    world
        .pair
        .orders
        .policy(&allow_all(&["spiffe://shop.example/storefront"]));
    effective("the old policy again", async || {
        world.status("/orders").await == 200
    })
    .await;
    assert_eq!(status().await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_come_and_go_and_those_that_stay_keep_their_connections() {
    let world = world().await;
    let pair = &world.pair;
    let (web, db) = (pair.called.at("web"), pair.called.at("db"));
    let (http, bound) = (pair.calling.at("http"), pair.calling.at("bound"));
    let (mut kept, mut tunnel) = (h1(http).await, Client::connect(pair.calling.at("db")).await);
    assert_eq!(
        whole(kept.send_request(as_h1(get("/"))).await.unwrap())
            .await
            .unwrap()
            .0,
        200
    );
    tunnel.send(b"ping").await.unwrap();
    tunnel.bytes(4).await.unwrap();

    let without = outbound(web, db, "{}", "").replace(
        "  - { name: bound, listen: \"127.0.0.1:0\", protocol: http, service: orders }\n",
        "  - { name: added, listen: \"127.0.0.1:0\", protocol: http, service: orders }\n",
    );
    pair.storefront.configure(&without);
    effective("the end of a listener", async || refuses(bound).await).await;

    assert_eq!(
        ask(pair.calling.at("added"), "GET", "any.host", "/")
            .await
            .status,
        200
    );
    kept.ready().await.unwrap();
    assert_eq!(
        whole(kept.send_request(as_h1(get("/"))).await.unwrap())
            .await
            .unwrap()
            .0,
        200
    );
    tunnel.send(b"ping").await.unwrap();
    assert_eq!(tunnel.bytes(4).await.unwrap(), b"ping");
    assert_eq!((pair.calling.at("http"), world.db.connections()), (http, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_moved_is_found_behind_the_same_listener() {
    let world = world().await;
    assert_eq!(
        (world.status("/before").await, world.web.seen().len()),
        (200, 1)
    );

    let moved = HttpApp::start().await;
    world
        .pair
        .orders
        .configure(&inbound(moved.addr, world.db.addr, "{}"));
    effective("the app's new place", async || {
        world.status("/after").await == 200 && !moved.seen().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfit_configuration_is_refused_whole_with_every_finding_of_it_and_its_policy() {
    let world = world().await;
    let fit = inbound(world.web.addr, world.db.addr, "{}");
    let since = world.lines();

    // First the policy, which alone would be taken.
    world
        .pair
        .orders
        .write("policy2.yaml", "default: allow\nruls: []\n");
    let unfit = fit
        .replace("policy.yaml", "policy2.yaml")
        .replace("limits: {}", "limits: { idle: 5 }");
    world
        .pair
        .orders
        .configure(&format!("{unfit}limts: {{}}\n"));

    let told = world.told(since).await;
    let starts: Vec<_> = told
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        starts,
        [
            "sidecar.yaml:11:17",
            "sidecar.yaml:12:1",
            "policy2.yaml:1:10",
            "policy2.yaml:2:1"
        ],
        "{told:#?}"
    );
    assert_eq!(world.status("/").await, 200);

    let since = world.lines();
    world
        .pair
        .orders
        .configure(&fit.replace("policy.yaml", "policy2.yaml"));
    assert_eq!(world.told(since).await.len(), 2);
    assert_eq!(world.status("/").await, 200);

    // The mistake is in a file that nothing in force names: mending it is seen all the same.
    world.pair.orders.write(
        "policy2.yaml",
        &allow_all(&["spiffe://shop.example/nobody"]),
    );
    effective("the mended policy", async || world.status("/").await == 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_machine_refused_is_tried_again_and_told_once() {
    let world = world().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = taken.local_addr().unwrap();
    let since = world.lines();
    let more = inbound(world.web.addr, world.db.addr, "{}").replace(
        "policy:",
        &format!(
            "  - {{ name: more, listen: \"{at}\", app: \"127.0.0.1:1\", protocol: http }}\npolicy:"
        ),
    );
    world.pair.orders.configure(&more);

    let told = world.told(since).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(&format!("{at}")),
        "it names the address: {told:?}"
    );
    assert_eq!(world.status("/").await, 200);

    drop(taken);
    until("the listener on the port that became free", async || {
        (!refuses(at).await).then_some(())
    })
    .await;
    assert_eq!(world.told(since).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_vanished_is_told_and_the_one_in_force_stays() {
    let world = world().await;
    let since = world.lines();
    std::fs::remove_file(world.pair.orders.path("policy.yaml")).unwrap();

    let told = world.told(since).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("policy.yaml: cannot be read"),
        "{told:?}"
    );
    assert_eq!(world.status("/").await, 200);
    assert!(COMMON.lines().count() == 6, "the lines above count on it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_read_to_its_end_does_not_hold_up_who_asks_for_the_end() {
    let world = world().await;
    let policy = world.pair.orders.path("policy.yaml");
    std::fs::remove_file(&policy).unwrap();
    let made = Command::new("mkfifo").arg(&policy).status().unwrap();
    assert!(made.success(), "{made}");

    let process = &world.pair.called.process;
    process.signal(Signal::HUP);
    // Nothing tells that it was heard: nobody writes into this file.
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.ask_to_end();

    world.pair.called.said("SIGTERM: ending");
    world.pair.called.said("draining");
}
