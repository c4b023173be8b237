//! A CA that can be stopped and started again at one address, a workload that lives in a task, and a wire between them that can
//! be cut.

use config::sidecar::{self, Federated, State};
use config::{Address, SpiffeId, TrustDomain};
use countersign_ca::store::{Ledger, StatementSignature, Store, StoredStatement};
use countersign_ca::{
    Algorithm, Authority, AuthorityServer, Dir, Grants, Limits, Rate, Root, Terms, Token, serve,
};
use daemon::{bind, drain};
use identity::source::Standing;
use identity::source::ca::{CaSource, Clock};
use identity::{Bundle, Current, Generation, Key, SignedStatement, Statement};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const DOMAIN: &str = "shop.example";
pub(crate) const ORDERS: &str = "/orders";
/// Longer than anything takes that is waited for: two leaves of ten seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse(DOMAIN).unwrap()
}

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{DOMAIN}{path}")).unwrap()
}

/// A folder with a CA in it, and all that a workload keeps.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// With a CA that has not been started.
    pub(crate) fn new() -> Self {
        let place = Place {
            folder: TempDir::new().unwrap(),
        };
        let authority = Authority::create(&domain(), Algorithm::P256, SystemTime::now()).unwrap();
        Dir::create(&place.ca(), &authority).unwrap();
        place.trust(authority.bundle());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca")
    }

    /// What the workload trusts at first contact.
    pub(crate) fn trust(&self, bundle: &Bundle) {
        std::fs::write(self.path("bundle.pem"), bundle.to_pem()).unwrap();
    }

    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.path("token"), token).unwrap();
    }

    /// How the workload meets the CA.
    pub(crate) fn meets(&self, address: SocketAddr) -> sidecar::Ca {
        sidecar::Ca {
            address: Address::parse(&address.to_string()).unwrap(),
            first_contact: sidecar::FirstContact::Bundle(self.path("bundle.pem")),
            join_token: self.path("token"),
        }
    }

    pub(crate) fn state(&self) -> State {
        State::Folder(self.path("state"))
    }

    /// A workload without a state directory.
    pub(crate) fn workload(&self, address: SocketAddr) -> Workload {
        Workload::start(&self.meets(address), &State::Memory)
    }

    /// A workload with one.
    pub(crate) fn lasting(&self, address: SocketAddr) -> Workload {
        Workload::start(&self.meets(address), &self.state())
    }
}

/// The place's authority, as who stole its keys has it.
pub(crate) fn stolen(place: &Place) -> Authority {
    Dir::open(&place.ca()).unwrap().authority().unwrap()
}

/// Another authority of the same trust domain.
pub(crate) fn another() -> Authority {
    Authority::create(&domain(), Algorithm::P256, SystemTime::now()).unwrap()
}

fn root_key(authority: &Authority) -> &Key {
    let Root::Here(signer) = authority.root() else {
        panic!("the root is away");
    };
    signer.key()
}

/// A statement that names the roots of some, signed by the roots of some.
pub(crate) fn stated(sequence: u64, named: &[&Authority], by: &[&Authority]) -> SignedStatement {
    let roots = named
        .iter()
        .flat_map(|one| one.bundle().roots().to_vec())
        .collect();
    let bundle = Bundle::from_roots(domain(), roots).unwrap();
    let statement = Statement::new(&bundle, sequence, 5).unwrap();
    let keys: Vec<&Key> = by.iter().map(|one| root_key(one)).collect();
    SignedStatement::sign(statement, &keys).unwrap()
}

/// As the record keeps it.
pub(crate) fn stored(statement: &SignedStatement) -> StoredStatement {
    let signatures = statement
        .signatures()
        .iter()
        .map(|given| StatementSignature {
            root_key_id: given.root_key_id.to_vec(),
            signature: given.signature.clone(),
        });
    StoredStatement {
        sequence: statement.statement().sequence(),
        body: statement.body().to_vec(),
        signatures: signatures.collect(),
    }
}

/// A CA that runs.
pub(crate) struct Ca {
    /// How far its clock is ahead, in ms.
    ahead_ms: Arc<AtomicU64>,
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<AuthorityServer<Store>>,
    pub(crate) bundle: Bundle,
    pub(crate) metrics: Arc<CaMetrics>,
    drain: drain::Drain,
}

impl Ca {
    pub(crate) async fn start(place: &Place) -> Ca {
        Self::start_at(place, "127.0.0.1:0", HOUR).await
    }

    /// Where it was before, or anywhere.
    pub(crate) async fn start_at(place: &Place, address: &str, ttl: Duration) -> Ca {
        let dir = Dir::open(&place.ca()).unwrap();
        let bundle = dir.authority().unwrap().bundle().clone();
        let store = Store::open(dir.path(), &domain()).unwrap();
        let many = Rate {
            times: 1000,
            per: Duration::from_secs(60),
        };
        let grants = Grants {
            ttl,
            ttl_max: Duration::from_secs(86_400),
            grace: DAY,
            per_identity: many,
            per_source: many,
        };
        let metrics = CaMetrics::new();
        let now = SystemTime::now();
        let server = AuthorityServer::open(dir, store, grants, metrics.clone(), now);
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let ahead = ahead_ms.clone();
        let clock = countersign_ca::Clock::new(move || {
            SystemTime::now() + Duration::from_millis(ahead.load(Ordering::SeqCst))
        });
        let server = Arc::new(server.await.unwrap().by_clock(clock));
        let listener = bind::listen(&Address::parse(address).unwrap())
            .await
            .unwrap();
        let address = listener.local_addr();
        let (drain, draining) = drain::pair();
        let limits = Limits {
            handshakes: 100,
            handshake: PATIENCE,
        };
        draining.track(serve(listener, draining.clone(), server.clone(), limits));
        Ca {
            ahead_ms,
            address,
            server,
            bundle,
            metrics,
            drain,
        }
    }

    /// Lets time pass for the CA, which renews its own certificate in it.
    pub(crate) fn passes(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        let ahead = self.ahead_ms.fetch_add(ms, Ordering::SeqCst) + ms;
        let now = SystemTime::now() + Duration::from_millis(ahead);
        self.server.renew_itself(now).unwrap();
    }

    /// How often a renewal or a join was answered with this.
    pub(crate) fn answered(&self, result: &str) -> u64 {
        answered(&self.metrics, result)
    }

    /// How many connections were opened to it.
    pub(crate) fn connected(&self) -> u64 {
        counted(&self.metrics, "countersign_handshakes_total{", "ok")
    }

    pub(crate) async fn stop(self) {
        assert_eq!(self.drain.start_and_wait(PATIENCE).await, 0);
    }

    pub(crate) async fn token(&self, path: &str) -> String {
        self.token_at(path, Duration::ZERO).await
    }

    /// One that is made so much later.
    pub(crate) async fn token_at(&self, path: &str, later: Duration) -> String {
        let token = Token::generate().unwrap();
        let terms = Terms::new(id(path), Duration::from_secs(600), 1).unwrap();
        let ledger = self.server.ledger();
        let kept = ledger.create_token(token.hash(), terms, SystemTime::now() + later);
        kept.await.unwrap();
        token.to_text().to_string()
    }

    /// How many were issued.
    pub(crate) fn issued(&self) -> u64 {
        issued(&self.metrics)
    }
}

fn issued(metrics: &CaMetrics) -> u64 {
    answered(metrics, "ok")
}

fn answered(metrics: &CaMetrics, result: &str) -> u64 {
    counted(metrics, "countersign_ca_issued_total{", result)
}

fn counted(metrics: &CaMetrics, name: &str, result: &str) -> u64 {
    let (page, wanted) = (metrics.encode(), format!("result=\"{result}\""));
    let counted = page
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(&wanted))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counted.sum()
}

/// A workload that lives until dropped.
pub(crate) struct Workload {
    pub(crate) current: Current,
    pub(crate) standing: Standing,
    pub(crate) clock: Clock,
    life: JoinHandle<()>,
}

impl Workload {
    pub(crate) fn start(ca: &sidecar::Ca, state: &State) -> Self {
        Self::start_with(ca, state, &[], Clock::system())
    }

    pub(crate) fn start_with(
        ca: &sidecar::Ca,
        state: &State,
        federated: &[Federated],
        clock: Clock,
    ) -> Self {
        let open = || CaSource::open(&domain(), ca, state, federated, clock.clone());
        let mut opened = open();
        // What a killed workload was writing is written before its folder is free.
        while opened
            .as_ref()
            .is_err_and(|why| why.reason() == "state_owned")
        {
            std::thread::sleep(Duration::from_millis(10));
            opened = open();
        }
        let source = opened.unwrap();
        Workload {
            current: source.current(),
            standing: source.standing(),
            clock,
            life: tokio::spawn(source.run()),
        }
    }

    /// The first generation after `seen`.
    pub(crate) async fn newer_than(&self, seen: u64) -> Arc<Generation> {
        let newer = timeout(PATIENCE, self.current.newer_than(seen)).await;
        newer.unwrap_or_else(|_| panic!("no identity: {:?}", self.standing.load()))
    }

    /// What it says once it says this.
    pub(crate) async fn says(&self, reason: &str) -> String {
        let said = timeout(PATIENCE, async {
            let mut state = self.standing.load();
            loop {
                match &state.why {
                    Some(why) if why.reason == reason => return why.text.clone(),
                    _ => state = self.standing.changed(&state).await,
                }
            }
        });
        said.await
            .unwrap_or_else(|_| panic!("never {reason}: {:?}", self.standing.load()))
    }

    /// Ends it as a crash would: nothing is said to anybody.
    pub(crate) async fn kill(mut self) {
        self.life.abort();
        let _aborted = (&mut self.life).await;
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.life.abort();
    }
}

pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, held).await.unwrap();
}

pub(crate) fn sha256(der: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref());
    hash
}

/// A wire to the CA that breaks once: when the first certificate has been issued, and before its reply passes.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    cut: Arc<AtomicBool>,
    _passing: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn losing_the_first_reply(ca: &Ca) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let (to, metrics, was_cut) = (ca.address, ca.metrics.clone(), cut.clone());
        let passing = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(to).await.unwrap();
                tokio::spawn(pass(near, far, metrics.clone(), was_cut.clone()));
            }
        });
        Wire {
            address,
            cut,
            _passing: passing,
        }
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

async fn pass(near: TcpStream, far: TcpStream, metrics: Arc<CaMetrics>, cut: Arc<AtomicBool>) {
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let there = tokio::spawn(async move {
        let _ended = tokio::io::copy(&mut near_in, &mut far_out).await;
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = far_in.read(&mut buffer).await {
        if issued(&metrics) > 0 && !cut.swap(true, Ordering::SeqCst) {
            break;
        }
        if near_out.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    there.abort();
}

/// Resolves when a state directory keeps this statement.
pub(crate) async fn is_kept(state: &Path, sequence: u64) {
    let found = || {
        let bytes = std::fs::read(state.join("current/statement")).ok()?;
        let statement = SignedStatement::from_bytes(&bytes).unwrap();
        Some(statement.statement().sequence())
    };
    eventually(|| found() == Some(sequence)).await;
}

/// The newest sequence that a CA states.
pub(crate) async fn newest(ca: &Ca) -> u64 {
    let all = ca.server.ledger().statements(0, 64).await.unwrap();
    all.last().unwrap().sequence
}
