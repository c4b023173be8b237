//! Connections on `tcp` listeners.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Domain, Raw, callee, caller, listen};

#[tokio::test]
async fn a_connection_that_has_ended_is_counted_at_both_ends() {
    let domain = Domain::new("shop.example");
    let (app, address) = listen().await;
    let orders = callee(&domain, address, "tcp", "").await;
    let storefront = caller(&domain, orders.at("web").await, "tcp").await;

    let mut caller = Raw::connect(storefront.at("out").await).await;
    caller.send("hello").await;
    let mut served = Raw::accept(&app).await;
    assert_eq!(served.bytes(5).await, "hello");
    drop(served);
    assert_eq!(caller.rest().await, "");
    drop(caller);

    let peer = "spiffe://shop.example/storefront";
    let inbound = format!(
        "countersign_requests_total{{direction=\"inbound\",listener=\"web\",service=\"\",peer=\"{peer}\",\
         method=\"\",code=\"\",verdict=\"allowed\"}} 1"
    );
    orders.counts(&inbound).await;
    let peer = "spiffe://shop.example/orders";
    let outbound = format!(
        "countersign_requests_total{{direction=\"outbound\",listener=\"out\",service=\"orders\",peer=\"{peer}\",\
         method=\"\",code=\"\",verdict=\"\"}} 1"
    );
    storefront.counts(&outbound).await;
}
