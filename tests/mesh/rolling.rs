//! Two replicas of a service, restarted one after the other under load of every kind: whatever the order in which a sidecar
//! and its app end and start, no request fails, and none that changes something comes twice.

use crate::support::callers::Callers;
use crate::support::graceful::{command, serve_if_asked, took};
use crate::support::mesh::Domain;
use crate::support::replica::{Order, Replica, before, told_of};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// The app of a replica is this program, running this test, which is none.
const APP: &str = "rolling::an_app";

#[test]
fn an_app() {
    serve_if_asked();
}

fn app(at: SocketAddr) -> Command {
    command(APP, at)
}

async fn rolls(order: Order, at_least: Duration, rounds: usize) {
    let shop = Domain::new("shop.example");
    let mut replicas = [
        Replica::start(&shop, order, app).await,
        Replica::start(&shop, order, app).await,
    ];
    let (storefront, calling) = before(&shop, &replicas);
    let callers = Callers::start(calling.at("http")).await;
    callers.more(50).await;

    let (began, mut restarts) = (Instant::now(), 0);
    while restarts < 2 * rounds || began.elapsed() < at_least {
        replicas[restarts % 2].restart().await;
        callers.more(50).await;
        restarts += 1;
    }

    let told = callers.end().await;
    println!(
        "{order:?}: {restarts} restarts in {:?}: {} calls, {} streams, {} WebSockets; failed: {}",
        began.elapsed(),
        told.answered,
        told.streams,
        told.sockets,
        told.failed.len()
    );
    let told_of = |path: &str| {
        let of_replicas = replicas.iter().flat_map(|replica| replica.told_of(path));
        let told: Vec<String> = told_of(&storefront, path)
            .into_iter()
            .chain(of_replicas)
            .collect();
        told
    };
    // An app that stops listening just as somebody connects drops that: nobody can know whether it was read.
    let left: Vec<String> = replicas.iter().flat_map(Replica::left_by_app).collect();
    assert!(left.is_empty() || order == Order::AtOnce, "{left:#?}");
    let paths = told.failed.iter().flat_map(|why| why.split([' ', ':']));
    let of_failed: Vec<String> = paths
        .filter(|word| word.starts_with('/'))
        .flat_map(told_of)
        .collect();
    assert!(
        told.failed.len() <= left.len() && left.len() <= restarts,
        "{order:?}: {:#?}; {left:#?}; {of_failed:#?}",
        told.failed
    );
    let (mut came, mut posted) = (Vec::new(), told.posted);
    let printed = replicas.iter().flat_map(|replica| &replica.printed);
    printed.for_each(|lines| came.extend(took(lines)));
    came.sort();
    posted.sort();
    let twice = came.windows(2).filter(|two| two[0] == two[1]);
    let of_twice: Vec<String> = twice.flat_map(|two| told_of(&two[0])).collect();
    let times = came.len();
    came.dedup();
    assert_eq!(came.len(), times, "a POST came twice: {of_twice:#?}");
    // What was read by an app that then did not answer came, and was not answered.
    came.retain(|path| posted.contains(path));
    assert!(
        came == posted,
        "{} POSTs came to the apps, and {} were made",
        came.len(),
        posted.len()
    );
    let least = u64::try_from(restarts).unwrap() / 2;
    assert!(told.sockets >= least, "{} WebSockets", told.sockets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_sidecars_end_before_their_apps_are_restarted_without_a_failure() {
    rolls(Order::SidecarFirst, Duration::ZERO, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_sidecars_end_with_their_apps_are_restarted_without_a_failure() {
    rolls(Order::AtOnce, Duration::ZERO, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_under_run_are_restarted_without_a_failure() {
    rolls(Order::Run, Duration::ZERO, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 3 min"]
async fn a_minute_of_restarts_in_each_order_fails_nothing() {
    for order in [Order::SidecarFirst, Order::AtOnce, Order::Run] {
        rolls(order, Duration::from_secs(60), 2).await;
    }
}
