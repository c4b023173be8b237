//! The pair of sidecars between `storefront`, who calls, and `orders`, who is called, with identities that a CA issues and
//! renews. All three are the real binary.

use super::ca::{Ca, Home};
use super::mesh::{Member, allow_all};
use super::pair::{inbound, outbound};
use super::sidecar::Sidecar;
use std::fs;
use std::net::SocketAddr;

/// `storefront`'s sidecar listens on `http` and `db`; that of `orders` on `web` and `db`.
pub struct Joined {
    pub home: Home,
    /// Where the CA is, whether it runs or not.
    pub ca_at: SocketAddr,
    pub storefront: Member,
    pub orders: Member,
    /// What the CA's document has besides.
    terms: String,
}

impl Joined {
    /// A CA whose leaves live so long, and two members with a token each. The CA runs; no sidecar does.
    pub async fn new(leaf_ttl: &str) -> (Self, Ca) {
        let home = Home::new();
        let terms = format!("leaf: {{ ttl: {leaf_ttl} }}\n");
        home.configure(&terms);
        let (storefront, orders) = (Member::empty(), Member::empty());
        for (member, path) in [(&storefront, "/storefront"), (&orders, "/orders")] {
            member.write("token", &home.token(path, 1).await);
        }
        let ca = home.serve();
        let ca_at = ca.at("ca");
        // Whoever comes back is found where it was.
        home.configure_at(&ca_at.to_string(), &terms);
        let joined = Joined {
            home,
            ca_at,
            storefront,
            orders,
            terms,
        };
        (joined, ca)
    }

    /// The CA again, where it was.
    pub fn serve(&self) -> Ca {
        self.home.configure_at(&self.ca_at.to_string(), &self.terms);
        self.home.serve()
    }

    /// What every document here begins with.
    pub fn identity(&self) -> String {
        let bundle = self.home.path("ca/bundle.pem");
        format!(
            "identity:\n  trustDomain: shop.example\n  stateDir: state\n  ca: {{ address: \"{}\", bundle: {bundle:?}, \
             joinToken: {{ file: token }} }}\n{PAGES}",
            self.ca_at
        )
    }

    /// Writes what `orders` is, in front of these apps.
    pub fn configure_orders(&self, web: SocketAddr, db: SocketAddr, limits: &str) {
        let policy = allow_all(&["spiffe://shop.example/storefront"]);
        fs::write(self.orders.path("policy.yaml"), policy).expect("a file of a test");
        let text = format!("{}{}", self.identity(), inbound(web, db, limits));
        self.orders.write("sidecar.yaml", &text);
    }

    /// Starts both around these apps, each with its first identity.
    pub fn around(&self, web: SocketAddr, db: SocketAddr, limits: &str) -> (Sidecar, Sidecar) {
        self.configure_orders(web, db, limits);
        let called = self.orders.start();
        let services = outbound(called.at("web"), called.at("db"), limits, "");
        let text = format!("{}{services}", self.identity());
        self.storefront.write("sidecar.yaml", &text);
        (self.storefront.start(), called)
    }
}

/// Pages of a sidecar, where the kernel likes.
pub const PAGES: &str = "\
admin: { listen: \"127.0.0.1:0\" }
metrics: { listen: \"127.0.0.1:0\" }
health: { listen: \"127.0.0.1:0\" }
";
