//! The real binary as a CA.

use super::process::{Lines, Process, countersign};
use super::sidecar::{listening, text};
use super::workload::Trust;
use ca::store::{Ledger, Store};
use ca::{Algorithm, Authority, Dir, Terms, Token};
use config::{SpiffeId, TrustDomain};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The trust domain of every CA here.
pub const DOMAIN: &str = "shop.example";

/// Where a CA lives that may run or not: `ca`, made, and `ca.yaml`.
pub struct Home {
    place: PathBuf,
    /// Whom its clients believe.
    pub trust: Trust,
    _gone_when_dropped: Option<TempDir>,
}

impl Home {
    /// A new CA in a folder of its own.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut home = Self::in_folder(folder.path());
        home._gone_when_dropped = Some(folder);
        home
    }

    /// A new CA in a folder that somebody else removes.
    pub fn in_folder(place: &Path) -> Self {
        let authority = Authority::create(&domain(), Algorithm::P256, SystemTime::now()).unwrap();
        Dir::create(&place.join("ca"), &authority).unwrap();
        let home = Home {
            place: place.to_owned(),
            trust: Trust::new(authority.bundle()),
            _gone_when_dropped: None,
        };
        home.configure("");
        home
    }

    /// Writes its document, with these lines besides what a test always needs.
    pub fn configure(&self, more: &str) {
        self.configure_at("127.0.0.1:0", more);
    }

    /// The same, to listen there.
    pub fn configure_at(&self, listen: &str, more: &str) {
        let free = "\"127.0.0.1:0\"";
        let text = format!(
            "trustDomain: {DOMAIN}\ndir: ca\nlisten: \"{listen}\"\nadmin: {{ socket: ca.sock }}\n\
             metrics: {{ listen: {free} }}\nhealth: {{ listen: {free} }}\n{more}"
        );
        fs::write(self.path("ca.yaml"), text).unwrap();
    }

    /// A file of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// The record, while no CA runs.
    pub fn store(&self) -> Store {
        Store::open(&self.path("ca"), &domain()).unwrap()
    }

    /// A new token for that path, made while no CA runs.
    pub async fn token(&self, path: &str, uses: u32) -> String {
        token(&self.store(), path, uses).await
    }

    /// Starts it.
    pub fn serve(&self) -> Ca {
        Ca::start(&self.path("ca.yaml"))
    }
}

/// A new token in a record.
pub async fn token(store: &Store, path: &str, uses: u32) -> String {
    let token = Token::generate().unwrap();
    let terms = Terms::new(id(path), Duration::from_secs(3600), uses).unwrap();
    let kept = store.create_token(token.hash(), terms, SystemTime::now());
    kept.await.unwrap();
    token.to_text().to_string()
}

/// Its trust domain.
pub fn domain() -> TrustDomain {
    TrustDomain::parse(DOMAIN).unwrap()
}

/// An identity of it.
pub fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{DOMAIN}{path}")).unwrap()
}

/// `countersign ca serve --config FILE`, started. Ends when it is dropped.
pub struct Ca {
    /// The process and its output.
    pub process: Process,
}

impl Ca {
    /// Starts it and waits until it says that it has started. Panics with its log if it does not.
    pub fn start(config: &Path) -> Self {
        let process = Self::begin(config);
        assert!(
            started_or_ended(&process.err),
            "it did not start: {:#?}",
            process.err.so_far()
        );
        Ca { process }
    }

    /// Only begins to start it.
    pub fn begin(config: &Path) -> Process {
        let mut command = countersign();
        command
            .args(["--log-format", "json", "ca", "serve", "--config"])
            .arg(config);
        Process::start(&mut command)
    }

    /// Where it listens: `ca`, `metrics` or `health`.
    pub fn at(&self, listener: &str) -> SocketAddr {
        at(&self.process.err, listener)
    }

    /// The first line of its log, past or future, whose message holds `part`.
    pub fn said(&self, part: &str) -> String {
        self.process.err.wait_for(part, |line| {
            text(line, "message").filter(|message| message.contains(part))
        })
    }
}

/// Waits until it says that it has started (true) or ends without having.
pub fn started_or_ended(log: &Lines) -> bool {
    let started = |line: &str| (text(line, "message")? == "started").then_some(());
    log.first_or_end(started).is_some()
}

/// Where one that has started listens.
pub fn at(log: &Lines, listener: &str) -> SocketAddr {
    log.wait_for(listener, |line| {
        let (name, address) = listening(line)?;
        (name == listener).then_some(address)
    })
}
