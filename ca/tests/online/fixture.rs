//! A CA that runs on a real socket with the real record on disk, a clock that can be put ahead, and clients of it.

use api::ca_v1::authority_client::AuthorityClient;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{Enforced, IssueReply, JoinRequest, KeyProof, RenewRequest, WatchRequest};
use config::{Address, SpiffeId, TrustDomain};
use countersign_ca::store::{Ledger, Store};
use countersign_ca::{
    Algorithm, Authority, AuthorityServer, Clock, Dir, Grants, KeyHash, Limits, PublicKey, Rate,
    Revoked, Serial, Terms, Token, serve,
};
use daemon::{bind, drain};
use http::Uri;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::{
    Alpn, Bundle, Bundles, Csr, Generation, Key, Role, SignedStatement, Svid, Verifier,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::CaMetrics;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::codegen::{Body, StdError};

pub(crate) const DOMAIN: &str = "shop.example";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A CA that runs.
pub(crate) struct Ca {
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<AuthorityServer<Store>>,
    pub(crate) bundle: Bundle,
    pub(crate) metrics: Arc<CaMetrics>,
    drain: drain::Drain,
    /// How far its clock for calls is ahead of ours, in seconds.
    ahead_s: Arc<AtomicU64>,
}

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse(DOMAIN).unwrap()
}

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{DOMAIN}{path}")).unwrap()
}

/// A folder with a CA in it that has not been started.
pub(crate) fn made() -> TempDir {
    made_at(SystemTime::now())
}

/// The same, made at another time.
pub(crate) fn made_at(then: SystemTime) -> TempDir {
    let folder = TempDir::new().unwrap();
    let authority = Authority::create(&domain(), Algorithm::P256, then).unwrap();
    Dir::create(&folder.path().join("ca"), &authority).unwrap();
    folder
}

impl Ca {
    pub(crate) const GRANTS: Grants = Grants {
        ttl: Duration::from_secs(3600),
        ttl_max: Duration::from_secs(86_400),
        grace: Duration::from_secs(86_400),
        // By the hour: a slow machine must not win a place back meanwhile.
        per_identity: Rate {
            times: 5,
            per: Duration::from_secs(3600),
        },
        per_source: Rate {
            times: 20,
            per: Duration::from_secs(3600),
        },
    };

    pub(crate) async fn start(folder: &Path) -> Ca {
        Self::start_granting(folder, Duration::from_secs(3600)).await
    }

    pub(crate) async fn start_granting(folder: &Path, ttl: Duration) -> Ca {
        Self::start_with(folder, |grants| grants.ttl = ttl).await
    }

    pub(crate) async fn start_with(folder: &Path, change: impl FnOnce(&mut Grants)) -> Ca {
        let dir = Dir::open(&folder.join("ca")).unwrap();
        let bundle = dir.authority().unwrap().bundle().clone();
        let store = Store::open(dir.path(), &domain()).unwrap();
        let mut grants = Self::GRANTS;
        change(&mut grants);
        let metrics = CaMetrics::new();
        let now = SystemTime::now();
        let server = AuthorityServer::open(dir, store, grants, metrics.clone(), now);
        let ahead_s = Arc::new(AtomicU64::new(0));
        let ahead = ahead_s.clone();
        let clock = Clock::new(move || {
            SystemTime::now() + Duration::from_secs(ahead.load(Ordering::Relaxed))
        });
        let server = Arc::new(server.await.unwrap().by_clock(clock));
        let address = Address::parse("127.0.0.1:0").unwrap();
        let listener = bind::listen(&address).await.unwrap();
        let address = listener.local_addr();
        let (drain, draining) = drain::pair();
        let limits = Limits {
            handshakes: 100,
            handshake: PATIENCE,
        };
        draining.track(serve(listener, draining.clone(), server.clone(), limits));
        Ca {
            address,
            server,
            bundle,
            metrics,
            drain,
            ahead_s,
        }
    }

    /// Puts its clock ahead, for calls; handshakes go on by the system's.
    pub(crate) fn put_ahead(&self, seconds: u64) {
        self.ahead_s.fetch_add(seconds, Ordering::Relaxed);
    }

    /// What its clock for calls shows.
    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.ahead_s.load(Ordering::Relaxed))
    }

    pub(crate) async fn stop(self) {
        assert_eq!(self.drain.start_and_wait(PATIENCE).await, 0);
    }

    pub(crate) async fn token(&self, path: &str, uses: u32) -> String {
        let token = Token::generate().unwrap();
        let terms = Terms::new(id(path), Duration::from_secs(600), uses).unwrap();
        let ledger = self.server.ledger();
        let kept = ledger.create_token(token.hash(), terms, self.now());
        kept.await.unwrap();
        token.to_text().to_string()
    }

    pub(crate) fn stranger(&self) -> ClientConfig {
        let verifier = Arc::new(CaOnly(Verifier::new(Bundles::of(self.bundle.clone()))));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// A connection to the CA, as a stranger or as who holds an SVID.
    pub(crate) async fn client(&self, svid: Option<Svid>) -> Client<impl Calls + use<>> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        self.client_over(tcp, svid).await
    }

    pub(crate) async fn client_over(
        &self,
        tcp: TcpStream,
        svid: Option<Svid>,
    ) -> Client<impl Calls + use<>> {
        let config = match svid {
            None => Arc::new(self.stranger()),
            Some(svid) => {
                let bundles = Bundles::of(self.bundle.clone());
                let generation = Generation::new(1, svid, bundles).unwrap();
                generation.client(&id("/countersign/ca"), Alpn::Http2)
            }
        };
        let name = ServerName::try_from("ca").unwrap();
        let tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
        tokio::spawn(connection);
        let service = tower::service_fn(move |request| {
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        });
        AuthorityClient::with_origin(service, Uri::from_static("https://ca"))
    }

    pub(crate) async fn join(&self, token: &str, key: &Key) -> Result<IssueReply, Status> {
        let mut client = self.client(None).await;
        let reply = client.join(join_request(token, key)).await?;
        Ok(reply.into_inner())
    }

    /// Joins with a fresh token and a fresh key.
    pub(crate) async fn member(&self, path: &str) -> Svid {
        let key = Key::generate().unwrap();
        let reply = self.join(&self.token(path, 1).await, &key).await.unwrap();
        svid(reply, key)
    }
}

pub(crate) type Client<S> = AuthorityClient<S>;

/// What a client needs of its connection.
pub(crate) trait Calls:
    tonic::client::GrpcService<
        tonic::body::Body,
        ResponseBody: Body<Data = bytes::Bytes, Error: Into<StdError> + Send> + Send + 'static,
        Error: Into<StdError>,
    > + Clone
{
}
impl<T> Calls for T where
    T: tonic::client::GrpcService<
            tonic::body::Body,
            ResponseBody: Body<Data = bytes::Bytes, Error: Into<StdError> + Send> + Send + 'static,
            Error: Into<StdError>,
        > + Clone
{
}

pub(crate) fn join_request(token: &str, key: &Key) -> JoinRequest {
    JoinRequest {
        csr: csr(key),
        evidence: Some(Evidence::JoinToken(token.into())),
        ..JoinRequest::default()
    }
}

pub(crate) fn renew_request(key: &Key) -> RenewRequest {
    RenewRequest {
        csr: csr(key),
        ..RenewRequest::default()
    }
}

/// A renewal of an ended certificate, by proof of its key made at a time.
pub(crate) fn proved(of: &Svid, key: &Key, made_at: SystemTime) -> RenewRequest {
    let made_at = made_at.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let (csr, made_at_unix_ms) = (csr(key), i64::try_from(made_at).unwrap());
    let leaf = of.chain()[0].to_vec();
    let message = api::proof::message(&leaf, &csr, made_at_unix_ms);
    let signature = of.key().sign_message(&message).unwrap();
    let proof = KeyProof {
        leaf,
        made_at_unix_ms,
        signature,
    };
    RenewRequest {
        csr,
        proof: Some(proof),
        ..RenewRequest::default()
    }
}

/// For another identity than anybody's: nothing is taken from it but the key.
pub(crate) fn csr(key: &Key) -> Vec<u8> {
    Csr::create(key, &id("/somebody-else"))
        .unwrap()
        .der()
        .to_vec()
}

pub(crate) fn svid(reply: IssueReply, key: Key) -> Svid {
    let chain = reply.chain.into_iter().map(CertificateDer::from).collect();
    Svid::new(chain, key).unwrap()
}

pub(crate) fn reason(status: &Status) -> &str {
    api::refusal::reason(status).unwrap_or("")
}

/// A mark on one certificate.
pub(crate) fn serial_of(svid: &Svid) -> Revoked {
    Revoked::Serial(Serial::from_octets(&serial(svid)).unwrap())
}

/// A mark on its key.
pub(crate) fn key_of(svid: &Svid) -> Revoked {
    let key = PublicKey::from_spki(&svid.key().spki()).unwrap();
    Revoked::Key(KeyHash::of(&key))
}

/// Big-endian.
pub(crate) fn serial(svid: &Svid) -> Vec<u8> {
    let hex = &svid.leaf().serial;
    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(octet).collect()
}

/// Believes the CA, by its identity, and nobody else.
#[derive(Debug)]
struct CaOnly(Verifier);

impl ServerCertVerifier for CaOnly {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(first).chain(others).cloned().collect();
        let peer = self.0.verify(&chain, Role::Server, now).unwrap();
        assert_eq!(peer.id, id("/countersign/ca"));
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("TLS 1.2 is not spoken")
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = &provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

pub(crate) async fn watch<S: Calls>(
    client: &mut Client<S>,
    sequence: u64,
) -> (
    tonic::Streaming<api::ca_v1::WatchReply>,
    mpsc::Sender<WatchRequest>,
) {
    let said = WatchRequest {
        enforced: Some(Enforced {
            statement_sequence: sequence,
            ..Enforced::default()
        }),
        instance: "one".into(),
        ..WatchRequest::default()
    };
    let (saying, said_later) = mpsc::channel(1);
    saying.send(said).await.unwrap();
    let stream = client.watch(Said(said_later)).await.unwrap().into_inner();
    (stream, saying)
}

/// What a client that watches says, until whoever holds the other end lets go.
pub(crate) struct Said(pub(crate) mpsc::Receiver<WatchRequest>);

impl tonic::codegen::tokio_stream::Stream for Said {
    type Item = WatchRequest;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WatchRequest>> {
        self.0.poll_recv(cx)
    }
}

/// What is said to the log on this thread, from warnings on, each with its fields.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub(crate) fn said(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
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

pub(crate) fn signed(given: &api::ca_v1::Statement) -> SignedStatement {
    let signatures = given.signatures.iter().map(|given| identity::Signature {
        root_key_id: given.root_key_id.as_slice().try_into().unwrap(),
        signature: given.signature.clone(),
    });
    SignedStatement::from_parts(given.body.clone(), signatures.collect()).unwrap()
}
