//! Promises are observed, not recited: where one does not hold, that is what is said.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::super::authority::Authority;
use super::super::folder::Folder;
use super::super::traffic::Traffic;
use super::*;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

async fn let_everybody_in(mesh: &Mesh<'_>) {
    let sidecar = mesh.sidecar(Who::Orders).unwrap();
    let before = sidecar.generation();
    let policy = "rules:\n  - { name: all, from: [\"spiffe://shop.example/**\"], allow: [{}] }\n";
    std::fs::write(mesh.folder.file(Who::Orders, "policy.yaml"), policy).unwrap();
    let taken = tokio::time::timeout(PATIENCE, sidecar.newer_than(before)).await;
    taken.unwrap();
}

#[tokio::test]
async fn a_policy_that_lets_everybody_in_breaks_the_promises_of_denial() {
    let folder = Folder::create().unwrap();
    let mesh = Mesh::start(&folder).await.unwrap();
    Promise::Allowed.observe(&mesh).await.unwrap();

    let_everybody_in(&mesh).await;

    for (promise, expected) in [
        (
            Promise::WrongCaller,
            "GET http://orders/orders/tea was answered 200 ",
        ),
        (
            Promise::WrongRoute,
            "DELETE http://orders/orders/tea was answered 200 ",
        ),
    ] {
        let broken = promise.observe(&mesh).await.unwrap_err().to_string();
        assert!(broken.starts_with(expected), "{broken}");
    }
    mesh.end(PATIENCE).await;
}

#[tokio::test]
async fn what_reaches_an_app_past_its_sidecar_breaks_a_promise() {
    let folder = Folder::create().unwrap();
    let mesh = Mesh::start(&folder).await.unwrap();
    Promise::Allowed.observe(&mesh).await.unwrap();
    let (orders, ledger) = watches(&mesh);
    unseen(&mesh, &orders, &ledger).await.unwrap();

    let (orders, ledger) = watches(&mesh);
    let past = TEA.in_clear(mesh.orders.addr()).await;
    answered(&TEA, past, 200).unwrap();

    let broken = unseen(&mesh, &orders, &ledger).await.unwrap_err();
    assert_eq!(
        broken.to_string(),
        "orders saw GET /orders/tea and should have seen nothing"
    );
    mesh.end(PATIENCE).await;
}

#[tokio::test]
async fn a_mesh_without_its_ledger_breaks_the_promise_of_a_call() {
    let folder = Folder::create().unwrap();
    let mut mesh = Mesh::start(&folder).await.unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    // The running ledger ends; what takes its place is nowhere that anybody calls.
    mesh.ledger = shop::Ledger::start(any).await.unwrap();

    let broken = Promise::Allowed.observe(&mesh).await.unwrap_err();

    assert!(
        broken
            .to_string()
            .starts_with("POST http://orders/orders was answered 503 "),
        "{broken}"
    );
    mesh.end(PATIENCE).await;
}

/// Resolves when orders has seen so many more requests.
async fn mesh_has_served(mesh: &Mesh<'_>, more: u64) {
    let wanted = mesh.orders.seen().count() + more;
    while mesh.orders.seen().count() < wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_call_that_fails_under_traffic_is_not_overlooked() {
    let folder = Folder::create().unwrap();
    let mut mesh = Mesh::start(&folder).await.unwrap();
    Promise::Allowed.observe(&mesh).await.unwrap();
    let traffic = Traffic::begin(mesh.at.storefront_out);
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    mesh.ledger = shop::Ledger::start(any).await.unwrap();
    let missed = TEA.in_clear(mesh.at.storefront_out).await.unwrap();
    assert_eq!(missed.status, 503);

    // Each caller has begun its next call by then.
    mesh_has_served(&mesh, 10).await;
    let broken = traffic.end().await.unwrap_err().to_string();

    assert!(
        broken.contains("calls failed, the first with: 503"),
        "{broken}"
    );
    mesh.end(PATIENCE).await;
}

#[tokio::test]
async fn a_ca_whose_port_was_taken_meanwhile_is_told_not_to_be_back() {
    let folder = Folder::create().unwrap();
    let authority = Authority::start(&folder).await.unwrap();
    authority.cut().await;
    let taken = tokio::net::TcpListener::bind(authority.address()).await;

    let why = authority.start_again().await.unwrap_err();

    assert!(
        taken.is_ok() && why.contains(&authority.address().to_string()),
        "{why}"
    );
}
