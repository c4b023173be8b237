//! A workload, as far as a CA sees one: it joins, renews and watches, and believes nothing that it did not verify.

use api::ca_v1::authority_client::AuthorityClient;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{IssueReply, JoinRequest, RenewRequest, WatchRequest};
use bytes::Bytes;
use config::SpiffeId;
use http::{Request, Response, Uri};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::pki_types::{CertificateDer, ServerName, UnixTime};
use identity::{Alpn, Bundle, Bundles, Csr, Generation, Key, Role, Svid, Verifier};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;

/// Whom workloads believe.
#[derive(Clone)]
pub struct Trust {
    ca: SpiffeId,
    bundles: Bundles,
    verifier: Arc<Verifier>,
    stranger: Arc<ClientConfig>,
}

/// A kept connection to the CA.
pub type Connection = AuthorityClient<Http2>;

/// HTTP/2 over TLS.
#[derive(Clone)]
pub struct Http2 {
    sender: SendRequest<Body>,
    gate: Option<Arc<Gate>>,
}

/// Holds back what calls say after their heads.
#[derive(Default)]
pub struct Gate {
    /// The head of a call is on its way.
    pub begun: Notify,
    /// Lets it go on.
    pub open: Notify,
}

impl Trust {
    /// By the roots of one trust domain.
    pub fn new(bundle: &Bundle) -> Self {
        let domain = bundle.trust_domain();
        let ca = SpiffeId::parse(&format!("spiffe://{domain}/countersign/ca")).unwrap();
        let bundles = Bundles::of(bundle.clone());
        let verifier = Arc::new(Verifier::new(bundles.clone()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let only_the_ca = OnlyTheCa {
            ca: ca.clone(),
            verifier: Arc::clone(&verifier),
            provider: Arc::clone(&provider),
        };
        let mut stranger = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(only_the_ca))
            .with_no_client_auth();
        stranger.alpn_protocols = vec![b"h2".to_vec()];
        Trust {
            ca,
            bundles,
            verifier,
            stranger: Arc::new(stranger),
        }
    }

    /// A connection of who has no certificate.
    pub async fn stranger(&self, to: SocketAddr) -> io::Result<Connection> {
        dial(to, Arc::clone(&self.stranger)).await
    }

    /// A connection of who has one.
    pub async fn member(&self, who: &Member, to: SocketAddr) -> io::Result<Connection> {
        let generation = Generation::new(1, who.svid(), self.bundles.clone()).unwrap();
        dial(to, generation.client(&self.ca, Alpn::Http2)).await
    }

    /// Two clients of one connection of who has no certificate: one says heads and then waits at the gate, one does not.
    pub async fn half_said(
        &self,
        to: SocketAddr,
        gate: &Arc<Gate>,
    ) -> io::Result<(Connection, Connection)> {
        let whole = http2(to, Arc::clone(&self.stranger)).await?;
        let gate = Some(Arc::clone(gate));
        let half = Http2 {
            gate,
            ..whole.clone()
        };
        Ok((client(half), client(whole)))
    }

    /// What was answered, if peers would believe it.
    pub fn believed(&self, reply: IssueReply, key: &Key) -> Member {
        let chain: Vec<_> = reply.chain.into_iter().map(CertificateDer::from).collect();
        for role in [Role::Client, Role::Server] {
            self.verifier.verify(&chain, role, UnixTime::now()).unwrap();
        }
        let key = copy(key);
        Member { chain, key }
    }
}

/// Who has a certificate.
#[derive(Debug)]
pub struct Member {
    chain: Vec<CertificateDer<'static>>,
    key: Key,
}

impl Member {
    /// Whose chain and key these are, whoever issued them.
    pub fn of(chain: Vec<CertificateDer<'static>>, key: Key) -> Self {
        Member { chain, key }
    }

    /// The same as what a proxy is made of.
    pub fn svid(&self) -> Svid {
        Svid::new(self.chain.clone(), copy(&self.key)).unwrap()
    }

    /// Its serial, in lower-case hex.
    pub fn serial(&self) -> String {
        self.svid().leaf().serial.clone()
    }
}

fn copy(key: &Key) -> Key {
    Key::from_pem(key.to_pem().as_bytes()).unwrap()
}

/// What who joins with a token sends.
pub fn join(token: &str, key: &Key) -> JoinRequest {
    JoinRequest {
        csr: csr(key),
        evidence: Some(Evidence::JoinToken(token.to_owned())),
        ..JoinRequest::default()
    }
}

/// What who renews sends.
pub fn renewal(key: &Key) -> RenewRequest {
    RenewRequest {
        csr: csr(key),
        ..RenewRequest::default()
    }
}

/// The name in a request is not taken: who asks is told by its token or its certificate.
fn csr(key: &Key) -> Vec<u8> {
    let anybody = SpiffeId::parse("spiffe://shop.example/anybody").unwrap();
    Csr::create(key, &anybody).unwrap().der().to_vec()
}

/// Why the CA refused.
pub fn reason(status: &Status) -> &str {
    api::refusal::reason(status).unwrap_or("")
}

async fn dial(to: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Connection> {
    http2(to, config).await.map(client)
}

fn client(over: Http2) -> Connection {
    AuthorityClient::with_origin(over, Uri::from_static("https://ca"))
}

async fn http2(to: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Http2> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("ca").unwrap();
    let tls = TlsConnector::from(config).connect(name, tcp).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(Http2 { sender, gate: None })
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let request = match self.gate.clone() {
            None => request,
            Some(gate) => request.map(|body| {
                let opened = Box::pin(async move {
                    gate.begun.notify_one();
                    gate.open.notified().await;
                });
                Body::new(HeldBack {
                    opened: Some(opened),
                    body,
                })
            }),
        };
        Box::pin(self.sender.send_request(request))
    }
}

/// A body that waits at a gate.
struct HeldBack {
    opened: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    body: Body,
}

impl hyper::body::Body for HeldBack {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(opened) = &mut self.opened {
            ready!(opened.as_mut().poll(cx));
            self.opened = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// What a client that watches says, until whoever holds the other end lets go.
pub struct Said(pub mpsc::Receiver<WatchRequest>);

impl tonic::codegen::tokio_stream::Stream for Said {
    type Item = WatchRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchRequest>> {
        self.0.poll_recv(cx)
    }
}

/// Believes the CA, by its identity, and nobody else.
#[derive(Debug)]
struct OnlyTheCa {
    ca: SpiffeId,
    verifier: Arc<Verifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyTheCa {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(first).chain(others).cloned().collect();
        let peer = self.verifier.verify(&chain, Role::Server, now);
        let peer = peer.map_err(|refused| rustls::Error::General(refused.to_string()))?;
        if peer.id == self.ca {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(format!("{} answers", peer.id)))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
