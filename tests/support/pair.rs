//! The pair of sidecars between `storefront`, who calls, and `orders`, who is called.

use super::client::Client;
use super::http::{Flow, as_h1, h1, h2};
use super::mesh::{Domain, Member, allow_all};
use super::sidecar::Sidecar;
use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

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

    /// Before an app that speaks HTTP; nothing listens behind `db`.
    pub fn before(web: SocketAddr) -> Self {
        Self::around(web, SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    /// Sends a request through both, on a connection of its own.
    pub async fn send(&self, version: Version, request: Request<Flow>) -> Response<Incoming> {
        let at = self.calling.at("http");
        let answer = match version {
            Version::HTTP_2 => h2(at).await.send_request(request).await,
            _ => h1(at).await.send_request(as_h1(request)).await,
        };
        answer.unwrap_or_else(|error| panic!("{version:?}: {error}"))
    }

    /// Sends what a client asks, byte for byte, to an app that is this test: the client's end, and the app's with the head read.
    pub async fn asked(
        &self,
        app: &TcpListener,
        ask: &str,
    ) -> (Client<TcpStream>, Client<TcpStream>) {
        let mut client = Client::connect(self.calling.at("http")).await;
        client
            .send(ask.as_bytes())
            .await
            .expect("the sidecar reads");
        let mut served = Client::accept(app).await;
        served.raw_head().await.expect("the app is asked");
        (client, served)
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
