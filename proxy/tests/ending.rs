//! How a sidecar ends.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;
use support::{Domain, callee, listen};

#[tokio::test]
async fn when_a_sidecar_has_ended_its_addresses_are_free() {
    let domain = Domain::new("shop.example");
    let (_app, address) = listen().await;
    let orders = callee(&domain, address, "http", "").await;
    let mut addresses = Vec::new();
    for listener in ["web", "admin", "metrics", "health"] {
        addresses.push(orders.at(listener).await);
    }

    orders.running.end(Duration::from_secs(5)).await;

    for address in addresses {
        std::net::TcpListener::bind(address).unwrap();
    }
}
