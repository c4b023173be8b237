//! Two replicas of servers of another make, restarted one after the other while clients of another make call without a pause:
//! grpcio (`fruits.py`) and Python's `websockets` (`talk.py`).

use crate::support::mesh::Domain;
use crate::support::process::{Process, part};
use crate::support::replica::{App, Order, Replica, before, told_of_ends};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const FRUITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/fruits.py");
const TALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/talk.py");
const ORDERS: [Order; 3] = [Order::SidecarFirst, Order::AtOnce, Order::Run];

fn fruits(at: SocketAddr) -> Command {
    let mut command = part("python");
    command.args([FRUITS, "serve", &at.to_string()]);
    command
}

fn talk(at: SocketAddr) -> Command {
    let mut command = part("python");
    command.args([TALK, "serve", &at.to_string()]);
    command
}

/// Restarts both in turn, as often as there is time and at least twice each, under the load of this script. What came of that,
/// and the replicas.
async fn rolls(order: Order, at_least: Duration, app: App, script: &str) -> (Value, [Replica; 2]) {
    let shop = Domain::new("shop.example");
    let mut replicas = [
        Replica::start(&shop, order, app).await,
        Replica::start(&shop, order, app).await,
    ];
    let (storefront, calling) = before(&shop, &replicas);
    let to = calling.at("http").to_string();
    let mut load = Process::start(part("python").args([script, "load", &to]));
    load.out
        .wait_for("the load", |line| (line == "calling").then_some(()));

    let (began, mut restarts) = (Instant::now(), 0);
    while restarts < 4 || began.elapsed() < at_least {
        replicas[restarts % 2].restart().await;
        restarts += 1;
    }

    load.ask_to_end();
    let told: Value = load
        .out
        .wait_for("what came of it", |line| serde_json::from_str(line).ok());
    assert!(load.end().success(), "{order:?}");
    println!("{order:?}: {restarts} restarts in {:?}", began.elapsed());
    if told["failed"].as_array().is_some_and(|it| !it.is_empty()) {
        // Shown where the test fails.
        let of_replicas = replicas.iter().flat_map(Replica::told_of_ends);
        for line in told_of_ends(&storefront).into_iter().chain(of_replicas) {
            println!("{line}");
        }
    }
    (told, replicas)
}

/// Nothing failed but what an app had and did not answer, which only one can do that is told while it is called.
fn is_failed_by_apps_alone(order: Order, told: &Value, replicas: &[Replica]) {
    let failed = told["failed"].as_array().unwrap();
    let left: Vec<String> = replicas.iter().flat_map(Replica::left_by_app).collect();
    // What grpcio's server answers to calls that come while it ends. To one in some 50 000 it says nothing, and to nobody that it
    // took it: without sidecars too, where a client waits until its own deadline.
    let refused = |failed: &&Value| {
        *failed == "order: CANCELLED CANCELLED" || *failed == "stream: CANCELLED CANCELLED"
    };
    let failed: Vec<&Value> = match order {
        Order::AtOnce => failed.iter().filter(|failed| !refused(failed)).collect(),
        Order::SidecarFirst | Order::Run => failed.iter().collect(),
    };
    assert!(left.is_empty() || order == Order::AtOnce, "{left:#?}");
    assert!(
        failed.len() <= left.len(),
        "{order:?}: {failed:#?}; {left:#?}"
    );
}

async fn grpc_rolls(order: Order, at_least: Duration) {
    let (told, replicas) = rolls(order, at_least, fruits, FRUITS).await;

    is_failed_by_apps_alone(order, &told, &replicas);
    let asked = told["orders"].as_array().unwrap().iter();
    let mut asked: Vec<&str> = asked.map(|order| order.as_str().unwrap()).collect();
    let printed = replicas.iter().flat_map(|replica| &replica.printed);
    let printed: Vec<String> = printed.flat_map(|lines| lines.so_far()).collect();
    let took = printed.iter().filter_map(|line| line.strip_prefix("took "));
    let mut took: Vec<&str> = took.collect();
    asked.sort_unstable();
    took.sort_unstable();
    let times = took.len();
    took.dedup();
    assert_eq!(took.len(), times, "{order:?}: an order came twice");
    took.retain(|order| asked.contains(order));
    assert!(
        took == asked,
        "{order:?}: {} orders came, and {} were made",
        took.len(),
        asked.len()
    );
    println!(
        "{order:?}: {} calls, {} streams",
        asked.len(),
        told["streams"]
    );
    assert!(
        asked.len() > 100 && told["streams"].as_u64().unwrap() > 10,
        "{order:?}"
    );
}

async fn websockets_roll(order: Order, at_least: Duration) {
    let (told, replicas) = rolls(order, at_least, talk, TALK).await;

    println!(
        "{order:?}: {} WebSockets, {} messages, ended with {}",
        told["opened"], told["messages"], told["codes"]
    );
    is_failed_by_apps_alone(order, &told, &replicas);
    // Six talk, and each replica was restarted twice.
    assert!(told["opened"].as_u64().unwrap() > 12, "{order:?}: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn replicas_of_grpcs_own_make_are_restarted_in_each_order_and_no_call_fails() {
    for order in ORDERS {
        grpc_rolls(order, Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn who_talks_by_websocket_is_let_in_again_at_once_while_replicas_are_restarted() {
    for order in ORDERS {
        websockets_roll(order, Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 3 min, and needs pip grpcio: .ci/parts"]
async fn a_minute_of_restarts_of_grpcs_own_make_in_each_order_fails_no_call() {
    for order in ORDERS {
        grpc_rolls(order, Duration::from_secs(60)).await;
    }
}
