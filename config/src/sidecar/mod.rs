//! The sidecar's document.
use crate::{Address, Findings, HostPattern, SpiffeId, TrustDomain};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A valid sidecar document. Paths are absolute or relative to the working directory (already joined with the document's folder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Who this sidecar is.
    pub identity: Identity,
    /// Listeners for calls from the network to the app.
    pub inbound: Vec<Inbound>,
    /// Listeners for calls from the app to the network.
    pub outbound: Vec<Outbound>,
    /// What the app may call. Names are unique, hosts too.
    pub services: Vec<Service>,
    /// The policy's file; always there when there is an inbound listener.
    pub policy: Option<PathBuf>,
    /// Bounds.
    pub limits: Limits,
    /// The admin pages and socket.
    pub admin: Admin,
    /// Where `/metrics` is served.
    pub metrics: Address,
    /// Where `/started`, `/ready` and `/live` are served.
    pub health: Address,
    /// What is reported.
    pub telemetry: Telemetry,
}
/// Who this sidecar is and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its own trust domain.
    pub trust_domain: TrustDomain,
    /// Where key, certificate and bundle come from.
    pub source: Source,
    /// Bundles of other trust domains; no domain twice, never its own.
    pub federated: Vec<Federated>,
}
/// Where the identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM files that somebody else renews.
    Files(Files),
}
/// The three files of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Leaf first, then issuers; PEM.
    pub certificate: PathBuf,
    /// PKCS#8, SEC1 or PKCS#1 PEM.
    pub key: PathBuf,
    /// Roots of the own trust domain; PEM.
    pub bundle: PathBuf,
}
/// Another trust domain and its roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federated {
    /// The other domain.
    pub trust_domain: TrustDomain,
    /// Its roots; PEM.
    pub bundle: PathBuf,
}
/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// Bytes.
    Tcp,
}
/// A listener for calls from the network to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Unique among all listeners.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// Where the app listens.
    pub app: Address,
    /// What both speak.
    pub protocol: Protocol,
}
/// A listener for calls from the app to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Unique among all listeners.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// What the app speaks.
    pub protocol: Protocol,
    /// The only service behind it, an index into [`Sidecar::services`]; always there for `tcp`.
    pub service: Option<usize>,
}
/// Something that the app may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Unique.
    pub name: String,
    /// The authorities under which the app calls it; empty when only bound listeners reach it.
    pub hosts: Vec<HostPattern>,
    /// The only peer accepted behind that name.
    pub identity: SpiffeId,
    /// Where it is reached; never empty.
    pub endpoints: Vec<Address>,
    /// Until the response head; `None`: no bound.
    pub timeout: Option<Duration>,
}
/// Bounds on what a stranger or a slow peer can cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request or response head.
    pub header_bytes: usize,
    /// Number of header fields.
    pub headers: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request head to its last (HTTP/1).
    pub head: Duration,
    /// From the first SYN to a connected socket.
    pub connect: Duration,
    /// An HTTP connection without a request ends after this.
    pub idle: Duration,
}
/// The admin pages (TCP, read-only) and the admin socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Loopback only.
    pub listen: Address,
    /// The unix socket; `None`: there is none.
    pub socket: Option<PathBuf>,
}
/// What is reported, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The access log; `None`: off.
    pub access_log: Option<LogTarget>,
}
/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}
impl Sidecar {
    /// Reads the text of a document; `file` is what findings name and what relative paths start from.
    pub fn parse(_text: &str, _file: &Path) -> Result<Self, Findings> {
        todo!()
    }
    /// Reads a file. A file that cannot be read is a finding too.
    pub fn load(_file: &Path) -> Result<Self, Findings> {
        todo!()
    }
}
