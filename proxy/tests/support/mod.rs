//! A caller's and a callee's sidecar in this process, an app whose every byte a test decides, and raw connections.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part; a panic is the report"
)]

use countersign_proxy::{Running, start};
use mint::Authority;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits what must happen soon.
pub(crate) async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, done)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A trust domain.
pub(crate) struct Domain {
    pub(crate) root: Authority,
    pub(crate) issuer: Authority,
}

impl Domain {
    pub(crate) fn new(name: &str) -> Self {
        let root = Authority::root(name);
        let issuer = root.issuer();
        Self { root, issuer }
    }
}

/// What every sidecar here begins with.
const COMMON: &str = "\
identity:
  trustDomain: shop.example
  files: { certificate: svid.pem, key: key.pem, bundle: bundle.pem }
admin: { listen: \"127.0.0.1:0\" }
metrics: { listen: \"127.0.0.1:0\" }
health: { listen: \"127.0.0.1:0\" }
telemetry: { accessLog: { format: none } }
";

/// Everybody of the trust domain may do everything.
pub(crate) const ALL: &str =
    "rules: [{ name: all, from: [\"spiffe://shop.example/**\"], allow: [{}] }]\n";

/// A sidecar and the folder that it reads.
pub(crate) struct Member {
    pub(crate) running: Running,
    folder: TempDir,
}

impl Member {
    pub(crate) async fn start(domain: &Domain, who: &str, besides: &str, policy: &str) -> Self {
        let svid = domain.issuer.leaf(&format!("spiffe://shop.example/{who}"));
        Self::start_as(domain, &svid, besides, policy).await
    }
    pub(crate) async fn start_as(
        domain: &Domain,
        svid: &mint::Svid,
        besides: &str,
        policy: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        svid.write_files(folder.path(), &domain.root.bundle_pem());
        std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        let path = folder.path().join("sidecar.yaml");
        std::fs::write(&path, format!("{COMMON}{besides}")).unwrap();
        let running = start(&path).await.unwrap_or_else(|error| panic!("{error}"));
        Self { running, folder }
    }
    pub(crate) async fn at(&self, listener: &str) -> SocketAddr {
        self.running.address(listener).await.unwrap()
    }
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    pub(crate) fn configure(&self, besides: &str) {
        self.write("sidecar.yaml", &format!("{COMMON}{besides}"));
    }
    /// Puts a file in its place in one step.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(".new"), text).unwrap();
        std::fs::rename(self.path(".new"), self.path(name)).unwrap();
    }
    /// Waits until its metrics hold this line.
    pub(crate) async fn counts(&self, line: &str) {
        for _ in 0..100 {
            let mut socket = Raw::connect(self.at("metrics").await).await;
            socket
                .send("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await;
            let page = socket.rest().await;
            if page.lines().any(|found| found == line) {
                return;
            }
            tokio::time::sleep(PATIENCE / 100).await;
        }
        panic!("its metrics never held {line}");
    }
}

/// `orders`, in front of an app.
pub(crate) async fn callee(domain: &Domain, app: SocketAddr, protocol: &str, more: &str) -> Member {
    Member::start(domain, "orders", &inbound(app, protocol, more), ALL).await
}

/// What `orders` has besides.
pub(crate) fn inbound(app: SocketAddr, protocol: &str, more: &str) -> String {
    format!(
        "inbound: [{{ name: web, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: {protocol} }}]\n\
         policy: {{ file: policy.yaml }}\n{more}"
    )
}

/// `storefront`, which calls `orders` behind these endpoints.
pub(crate) async fn caller(domain: &Domain, endpoint: SocketAddr, protocol: &str) -> Member {
    Member::start(domain, "storefront", &outbound(endpoint, protocol, ""), ALL).await
}

/// What `storefront` has besides.
pub(crate) fn outbound(endpoint: SocketAddr, protocol: &str, more: &str) -> String {
    format!(
        "outbound: [{{ name: out, listen: \"127.0.0.1:0\", protocol: {protocol}, service: orders }}]\n\
         services: [{{ name: orders, hosts: [orders], identity: \"spiffe://shop.example/orders\", endpoints: [\"{endpoint}\"] }}]\n{more}"
    )
}

/// An app: a listener whose connections the test serves.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A connection in bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self(soon("connecting", TcpStream::connect(to)).await.unwrap())
    }
    pub(crate) async fn accept(app: &TcpListener) -> Self {
        Self(
            soon("a connection at the app", app.accept())
                .await
                .unwrap()
                .0,
        )
    }
    pub(crate) async fn send(&mut self, text: &str) {
        soon("sending", self.0.write_all(text.as_bytes()))
            .await
            .unwrap();
    }
    /// Reads until `end` has come, and gives all that came.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut seen = String::new();
        let reading = async {
            while !seen.ends_with(end) {
                let byte = self.0.read_u8().await;
                seen.push(char::from(
                    byte.unwrap_or_else(|error| panic!("{seen:?}: {error}")),
                ));
            }
        };
        if tokio::time::timeout(PATIENCE, reading).await.is_err() {
            panic!("{end:?} did not come, but {seen:?}");
        }
        seen
    }
    /// Reads so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> String {
        let mut seen = vec![0; count];
        soon("bytes", self.0.read_exact(&mut seen)).await.unwrap();
        String::from_utf8(seen).unwrap()
    }
    /// Reads until the other side ends.
    pub(crate) async fn rest(&mut self) -> String {
        let mut seen = Vec::new();
        soon("the end", self.0.read_to_end(&mut seen))
            .await
            .unwrap();
        String::from_utf8(seen).unwrap()
    }
}
