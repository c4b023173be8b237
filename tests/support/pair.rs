//! The pair of sidecars between `storefront`, who calls, and `orders`, who is called.

use super::mesh::{Domain, Member, allow_all};
use super::sidecar::Sidecar;
use std::net::SocketAddr;

/// `storefront`'s sidecar listens on `http` (by host), `bound` (all to orders) and `db` (TCP); that of `orders` on `web` and
/// `db`. One host, `orders`, one service for each protocol.
pub struct Pair {
    pub shop: Domain,
    pub storefront: Member,
    pub orders: Member,
    pub calling: Sidecar,
    pub called: Sidecar,
}

/// What a test has otherwise.
pub struct Otherwise<'a> {
    pub policy: &'a str,
    /// `limits` of both.
    pub limits: &'a str,
    /// Further keys of the service `orders`.
    pub service: &'a str,
}

impl Default for Otherwise<'_> {
    fn default() -> Self {
        Otherwise {
            policy: "",
            limits: "{}",
            service: "",
        }
    }
}

impl Pair {
    /// Around these apps; storefront may do everything.
    pub fn around(web: SocketAddr, db: SocketAddr) -> Self {
        Self::around_with(web, db, Otherwise::default())
    }

    pub fn around_with(web: SocketAddr, db: SocketAddr, otherwise: Otherwise<'_>) -> Self {
        let Otherwise {
            policy,
            limits,
            service,
        } = otherwise;
        let shop = Domain::new("shop.example");
        let (storefront, orders) = (shop.member("storefront"), shop.member("orders"));
        orders.policy(&match policy {
            "" => allow_all(&["spiffe://shop.example/storefront"]),
            policy => policy.to_owned(),
        });
        orders.configure(&inbound(web, db, limits));
        let called = orders.start();
        storefront.configure(&outbound(
            called.at("web"),
            called.at("db"),
            limits,
            service,
        ));
        let calling = storefront.start();
        Pair {
            shop,
            storefront,
            orders,
            calling,
            called,
        }
    }
}

/// The part of a configuration by which orders is called.
pub fn inbound(web: SocketAddr, db: SocketAddr, limits: &str) -> String {
    format!(
        "inbound:\n  - {{ name: web, listen: \"127.0.0.1:0\", app: \"{web}\", protocol: http }}\n  - {{ name: db, listen: \
         \"127.0.0.1:0\", app: \"{db}\", protocol: tcp }}\npolicy: {{ file: policy.yaml }}\nlimits: {limits}\n"
    )
}

/// The part of a configuration by which storefront calls orders.
pub fn outbound(web: SocketAddr, db: SocketAddr, limits: &str, service: &str) -> String {
    let identity = "identity: \"spiffe://shop.example/orders\"";
    format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\n  - {{ name: bound, listen: \"127.0.0.1:0\", \
         protocol: http, service: orders }}\n  - {{ name: db, listen: \"127.0.0.1:0\", protocol: tcp, service: ledger }}\n\
         services:\n  - {{ name: orders, hosts: [orders], {identity}, endpoints: [\"{web}\"]{service} }}\n  - {{ name: \
         ledger, hosts: [ledger], {identity}, endpoints: [\"{db}\"] }}\nlimits: {limits}\n"
    )
}
