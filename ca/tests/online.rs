//! A CA that answers: real sockets, real TLS, the real record on disk, and clients that speak the API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use api::ca_v1::authority_client::AuthorityClient;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{
    Enforced, IssueReply, JoinRequest, RenewRequest, StatementsRequest, WatchRequest,
};
use config::{Address, SpiffeId, TrustDomain};
use countersign_ca::store::{Ledger, Store};
use countersign_ca::{
    Algorithm, Authority, AuthorityServer, Dir, Grants, Limits, Rate, Renewal, Terms, Token,
    Upkeep, serve,
};
use daemon::{bind, drain};
use http::Uri;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::{
    Alpn, Bundle, Bundles, Csr, FirstContact, Generation, Key, Role, SignedStatement, Svid,
    Verifier,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::codegen::{Body, StdError};
use tonic::{Code, Status};

const DOMAIN: &str = "shop.example";
const PATIENCE: Duration = Duration::from_secs(10);

/// A CA that runs.
struct Ca {
    address: SocketAddr,
    server: Arc<AuthorityServer<Store>>,
    bundle: Bundle,
    metrics: Arc<CaMetrics>,
    drain: drain::Drain,
}

fn domain() -> TrustDomain {
    TrustDomain::parse(DOMAIN).unwrap()
}

fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{DOMAIN}{path}")).unwrap()
}

/// A folder with a CA in it that has not been started.
fn made() -> TempDir {
    let folder = TempDir::new().unwrap();
    let authority = Authority::create(&domain(), Algorithm::P256, SystemTime::now()).unwrap();
    Dir::create(&folder.path().join("ca"), &authority).unwrap();
    folder
}

impl Ca {
    async fn start(folder: &Path) -> Ca {
        Self::start_granting(folder, Duration::from_secs(3600)).await
    }

    async fn start_granting(folder: &Path, ttl: Duration) -> Ca {
        let dir = Dir::open(&folder.join("ca")).unwrap();
        let bundle = dir.authority().unwrap().bundle().clone();
        let store = Store::open(dir.path(), &domain()).unwrap();
        let minute = Duration::from_secs(60);
        let grants = Grants {
            ttl,
            ttl_max: Duration::from_secs(86_400),
            per_identity: Rate {
                times: 5,
                per: minute,
            },
            per_source: Rate {
                times: 20,
                per: minute,
            },
        };
        let metrics = CaMetrics::new();
        let now = SystemTime::now();
        let server = AuthorityServer::open(dir, store, grants, metrics.clone(), now);
        let server = Arc::new(server.await.unwrap());
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
        }
    }

    async fn stop(self) {
        assert_eq!(self.drain.start_and_wait(PATIENCE).await, 0);
    }

    async fn token(&self, path: &str, uses: u32) -> String {
        let token = Token::generate().unwrap();
        let terms = Terms::new(id(path), Duration::from_secs(600), uses).unwrap();
        let ledger = self.server.ledger();
        let kept = ledger.create_token(token.hash(), terms, SystemTime::now());
        kept.await.unwrap();
        token.to_text().to_string()
    }

    fn stranger(&self) -> ClientConfig {
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
    async fn client(&self, svid: Option<Svid>) -> Client<impl Calls + use<>> {
        let config = match svid {
            None => Arc::new(self.stranger()),
            Some(svid) => {
                let bundles = Bundles::of(self.bundle.clone());
                let generation = Generation::new(1, svid, bundles).unwrap();
                generation.client(&id("/countersign/ca"), Alpn::Http2)
            }
        };
        let tcp = TcpStream::connect(self.address).await.unwrap();
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

    async fn join(&self, token: &str, key: &Key) -> Result<IssueReply, Status> {
        let mut client = self.client(None).await;
        let reply = client.join(join_request(token, key)).await?;
        Ok(reply.into_inner())
    }

    /// Joins with a fresh token and a fresh key.
    async fn member(&self, path: &str) -> Svid {
        let key = Key::generate().unwrap();
        let reply = self.join(&self.token(path, 1).await, &key).await.unwrap();
        svid(reply, key)
    }
}

type Client<S> = AuthorityClient<S>;

/// What a client needs of its connection.
trait Calls:
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

fn join_request(token: &str, key: &Key) -> JoinRequest {
    JoinRequest {
        csr: csr(key),
        evidence: Some(Evidence::JoinToken(token.into())),
        ..JoinRequest::default()
    }
}

fn renew_request(key: &Key) -> RenewRequest {
    RenewRequest {
        csr: csr(key),
        ..RenewRequest::default()
    }
}

/// For another identity than anybody's: nothing is taken from it but the key.
fn csr(key: &Key) -> Vec<u8> {
    Csr::create(key, &id("/somebody-else"))
        .unwrap()
        .der()
        .to_vec()
}

fn svid(reply: IssueReply, key: Key) -> Svid {
    let chain = reply.chain.into_iter().map(CertificateDer::from).collect();
    Svid::new(chain, key).unwrap()
}

fn reason(status: &Status) -> &str {
    api::refusal::reason(status).unwrap_or("")
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

#[tokio::test]
async fn a_token_admits_one_key_as_often_as_that_key_asks_and_no_other() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let token = ca.token("/orders", 1).await;
    let (key, thief) = (Key::generate().unwrap(), Key::generate().unwrap());

    let first = ca.join(&token, &key).await.unwrap();
    let again = ca.join(&token, &key).await.unwrap();
    let stolen = ca.join(&token, &thief).await.unwrap_err();

    assert_eq!((first.log_index, again.log_index), (0, 1));
    let joined = svid(first, key);
    assert_eq!(joined.leaf().id, id("/orders"));
    assert_eq!(stolen.code(), Code::Unauthenticated);
    assert_eq!(reason(&stolen), "token_spent");
    let page = ca.metrics.encode();
    for counted in ["result=\"ok\"} 2", "result=\"token_spent\"} 1"] {
        assert!(page.contains(counted), "{counted} is not in\n{page}");
    }
    ca.stop().await;
}

#[tokio::test]
async fn every_refusal_of_a_join_says_why() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let key = Key::generate().unwrap();
    let good = join_request(&ca.token("/orders", 1).await, &key);
    let unknown = Token::generate().unwrap().to_text().to_string();
    let reserved = ca.token("/countersign/ca", 1).await;
    let mut client = ca.client(None).await;

    let mut without_proof = good.clone();
    *without_proof.csr.last_mut().unwrap() ^= 1;
    for (request, code, wanted) in [
        (
            JoinRequest {
                evidence: None,
                ..good.clone()
            },
            Code::Unauthenticated,
            "no_evidence",
        ),
        (
            join_request("x", &key),
            Code::Unauthenticated,
            "token_malformed",
        ),
        (
            join_request(&unknown, &key),
            Code::Unauthenticated,
            "token_unknown",
        ),
        (
            join_request(&reserved, &key),
            Code::PermissionDenied,
            "reserved_id",
        ),
        (
            JoinRequest {
                csr: Vec::new(),
                ..good.clone()
            },
            Code::InvalidArgument,
            "csr_empty",
        ),
        (without_proof, Code::InvalidArgument, "csr_proof"),
        (
            JoinRequest {
                instance: "x".repeat(200),
                ..good.clone()
            },
            Code::InvalidArgument,
            "out_of_bounds",
        ),
        (
            JoinRequest {
                instance: "\u{1b}[2J".into(),
                ..good.clone()
            },
            Code::InvalidArgument,
            "instance_malformed",
        ),
    ] {
        let refused = client.join(request).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (code, wanted));
    }

    // None of them spent the token.
    assert!(client.join(good).await.is_ok());
    ca.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_by_its_holder_for_its_own_identity_and_once() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let (next, other) = (Key::generate().unwrap(), Key::generate().unwrap());

    let renewed = client
        .renew(renew_request(&next))
        .await
        .unwrap()
        .into_inner();
    let repeated = client.renew(renew_request(&next)).await;
    let second = client.renew(renew_request(&other)).await.unwrap_err();
    let stranger = ca.client(None).await.renew(renew_request(&other)).await;

    assert!(repeated.is_ok());
    let renewed = svid(renewed, next);
    assert_eq!(renewed.leaf().id, id("/orders"));
    assert_eq!(second.code(), Code::PermissionDenied);
    assert_eq!(reason(&second), "second_successor");
    assert_eq!(reason(&stranger.unwrap_err()), "no_certificate");
    ca.stop().await;
}

#[tokio::test]
async fn a_kept_connection_is_refused_once_its_certificate_has_ended() {
    let folder = made();
    let ca = Ca::start_granting(folder.path(), Duration::from_secs(10)).await;
    let svid = ca.member("/orders").await;
    let ends = svid.leaf().not_after;
    let mut client = ca.client(Some(svid)).await;
    let (mut stream, _saying) = watch(&mut client.clone(), 1).await;
    assert!(stream.message().await.unwrap().is_some());

    let left = ends.duration_since(SystemTime::now()).unwrap();
    tokio::time::sleep(left + Duration::from_millis(1100)).await;
    let key = Key::generate().unwrap();
    let refused = client.renew(renew_request(&key)).await.unwrap_err();
    let cut = timeout(PATIENCE, stream.message()).await.unwrap();

    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(reason(&refused), "expired");
    assert_eq!(reason(&cut.unwrap_err()), "expired");
    ca.stop().await;
}

async fn watch<S: Calls>(
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
struct Said(mpsc::Receiver<WatchRequest>);

impl tonic::codegen::tokio_stream::Stream for Said {
    type Item = WatchRequest;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WatchRequest>> {
        self.0.poll_recv(cx)
    }
}

#[tokio::test]
async fn who_watches_hears_the_state_at_once_and_what_it_enforces_is_known_while_it_is_there() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let mut stranger = ca.client(None).await;

    let (mut stream, saying) = watch(&mut client, 7).await;
    let state = stream.message().await.unwrap().unwrap();
    let refused = stranger.watch(Said(mpsc::channel(1).1)).await.unwrap_err();

    assert!(state.statement.is_some() && state.server_time_unix_ms > 0);
    assert_eq!(reason(&refused), "no_certificate");
    let seen = |wanted: usize, sequence: Option<u64>| {
        let watching = ca.server.watching();
        watching.len() == wanted && watching.first().map(|one| one.statement_sequence) == sequence
    };
    eventually(|| seen(1, Some(7))).await;
    assert_eq!(ca.server.watching()[0].id, id("/orders"));
    drop((stream, saying));
    eventually(|| seen(0, None)).await;
    ca.stop().await;
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, held).await.unwrap();
}

#[tokio::test]
async fn a_stranger_gets_the_statements_and_a_restart_changes_none_of_them() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let token = ca.token("/orders", 1).await;
    let key = Key::generate().unwrap();
    ca.join(&token, &key).await.unwrap();
    let bundle = ca.bundle.clone();
    let mut chains = Vec::new();
    let mut client = ca.client(None).await;
    let all = StatementsRequest { after_sequence: 0 };
    chains.push(client.statements(all).await.unwrap().into_inner());
    drop(client);
    ca.stop().await;

    let ca = Ca::start(folder.path()).await;
    let again = ca.join(&token, &key).await.unwrap();
    let stolen = ca.join(&token, &Key::generate().unwrap()).await;
    let mut client = ca.client(None).await;
    chains.push(client.statements(all).await.unwrap().into_inner());

    assert_eq!(chains[0], chains[1]);
    assert_eq!(again.log_index, 1);
    assert_eq!(reason(&stolen.unwrap_err()), "token_spent");
    let chain: Vec<SignedStatement> = chains[0].statements.iter().map(signed).collect();
    let newest = FirstContact::Bundle(bundle.clone()).walk(&chain).unwrap();
    assert_eq!(newest.statement().bundle().roots(), bundle.roots());
    let after = StatementsRequest {
        after_sequence: chains[0].latest_sequence,
    };
    let none = client.statements(after).await.unwrap().into_inner();
    assert_eq!(none.statements, Vec::new());
    drop(client);
    ca.stop().await;
}

fn signed(given: &api::ca_v1::Statement) -> SignedStatement {
    let signatures = given.signatures.iter().map(|given| identity::Signature {
        root_key_id: given.root_key_id.as_slice().try_into().unwrap(),
        signature: given.signature.clone(),
    });
    SignedStatement::from_parts(given.body.clone(), signatures.collect()).unwrap()
}

#[tokio::test]
async fn a_flood_of_bad_joins_is_turned_away_and_delays_no_renewal() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut member = ca.client(Some(ca.member("/orders").await)).await;
    let unknown = Token::generate().unwrap().to_text().to_string();
    let flood = ca.client(None).await;
    let request = join_request(&unknown, &Key::generate().unwrap());
    let mut refused = Vec::new();

    for _ in 0..200 {
        refused.push(flood.clone().join(request.clone()).await.unwrap_err());
    }
    let began = SystemTime::now();
    let renewed = member.renew(renew_request(&Key::generate().unwrap())).await;
    let took = began.elapsed().unwrap();

    assert!(renewed.is_ok());
    assert!(took < Duration::from_secs(1), "{took:?}");
    let turned_away = refused
        .iter()
        .filter(|status| reason(status) == "source_limit");
    assert!(turned_away.clone().count() > 100);
    for status in turned_away {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(api::refusal::wait(status).is_some());
    }
    ca.stop().await;
}

#[tokio::test]
async fn an_identity_that_joins_too_often_waits_and_others_do_not() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (orders, ledger) = (ca.token("/orders", 9).await, ca.token("/ledger", 1).await);
    for _ in 0..5 {
        ca.join(&orders, &Key::generate().unwrap()).await.unwrap();
    }

    let refused = ca.join(&orders, &Key::generate().unwrap()).await;
    let other = ca.join(&ledger, &Key::generate().unwrap()).await;

    assert_eq!(reason(&refused.unwrap_err()), "identity_limit");
    assert!(other.is_ok());
    ca.stop().await;
}

#[tokio::test]
async fn the_next_issuer_takes_over_by_itself_at_half_life_and_not_before() {
    const DAY: Duration = Duration::from_secs(86_400);
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (now, first) = (SystemTime::now(), ca.server.tls());
    assert_eq!(ca.server.renew_itself(now).unwrap(), Upkeep::default());
    assert!(Arc::ptr_eq(&first, &ca.server.tls()));

    let done = ca.server.renew_itself(now + 4 * DAY).unwrap();

    let (own, issuer) = (true, Renewal::Renewed);
    assert_eq!(done, Upkeep { own, issuer });
    assert!(!Arc::ptr_eq(&first, &ca.server.tls()));
    ca.stop().await;
}

#[tokio::test]
async fn a_ca_whose_root_is_away_renews_its_own_certificate_and_nothing_every_time() {
    const DAY: Duration = Duration::from_secs(86_400);
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let later = SystemTime::now() + 4 * DAY;
    std::fs::remove_file(folder.path().join("ca/root/key.pem")).unwrap();

    let done = ca.server.renew_itself(later).unwrap();
    let tls = ca.server.tls();
    let again = ca.server.renew_itself(later).unwrap();

    let issuer = Renewal::RootAway;
    assert_eq!(done, Upkeep { own: true, issuer });
    assert_eq!(again, Upkeep { own: false, issuer });
    assert!(Arc::ptr_eq(&tls, &ca.server.tls()));
    ca.stop().await;
}

#[tokio::test]
async fn a_ca_whose_folder_is_gone_goes_on_with_the_issuer_that_it_has() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (later, ends) = (
        SystemTime::now() + 4 * Duration::from_secs(86_400),
        ca.server.ends(),
    );
    std::fs::rename(folder.path().join("ca"), folder.path().join("away")).unwrap();

    let failed = ca.server.renew_itself(later).unwrap_err().to_string();

    assert!(failed.contains("ca/root/cert.pem is not read"), "{failed}");
    let now = ca.server.ends();
    assert_eq!(now.issuer, ends.issuer);
    assert!(now.own > later, "it can still shake hands");
    ca.stop().await;
}
