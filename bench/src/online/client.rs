//! A workload, as far as the CA sees one.

use super::{DOMAIN, Failed};
use api::ca_v1::authority_client::AuthorityClient;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{IssueReply, JoinRequest, RenewRequest};
use config::SpiffeId;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::pki_types::{CertificateDer, ServerName, UnixTime};
use identity::{Alpn, Bundle, Bundles, Csr, Generation, Key, Role, Svid, Verifier};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tower::Service;

/// Whom all workloads believe.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    ca: SpiffeId,
    bundles: Bundles,
    verifier: Arc<Verifier>,
    stranger: Arc<ClientConfig>,
}

/// A kept connection. It ends when this is dropped.
pub(super) type Connection = AuthorityClient<Http2>;

/// HTTP/2 over TLS.
#[derive(Clone, Debug)]
pub(super) struct Http2(SendRequest<Body>);

/// A key and the request that proves it.
pub(super) struct Asking {
    pub(super) key: Key,
    csr: Vec<u8>,
}

impl Trust {
    pub(super) fn new(bundle: &Bundle) -> Result<Self, Failed> {
        let ca = SpiffeId::parse(&format!("spiffe://{DOMAIN}/countersign/ca"))?;
        let bundles = Bundles::of(bundle.clone());
        let verifier = Arc::new(Verifier::new(bundles.clone()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let only_the_ca = OnlyTheCa {
            ca: ca.clone(),
            verifier: Arc::clone(&verifier),
            provider: Arc::clone(&provider),
        };
        let mut stranger = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(only_the_ca))
            .with_no_client_auth();
        stranger.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Trust {
            ca,
            bundles,
            verifier,
            stranger: Arc::new(stranger),
        })
    }

    /// Of who has no certificate.
    pub(super) async fn connect(&self, to: SocketAddr) -> Result<Connection, Failed> {
        dial(TcpSocket::new_v4()?, to, Arc::clone(&self.stranger)).await
    }

    /// The same, from an address of this machine.
    pub(super) async fn connect_from(
        &self,
        from: Ipv4Addr,
        to: SocketAddr,
    ) -> Result<Connection, Failed> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        dial(socket, to, Arc::clone(&self.stranger)).await
    }

    /// Of who has one.
    pub(super) async fn connect_as(
        &self,
        member: &Generation,
        to: SocketAddr,
    ) -> Result<Connection, Failed> {
        let config = member.client(&self.ca, Alpn::Http2);
        dial(TcpSocket::new_v4()?, to, config).await
    }

    /// Who it is from now on.
    pub(super) fn member(&self, svid: Svid) -> Result<Generation, Failed> {
        Ok(Generation::new(1, svid, self.bundles.clone())?)
    }

    /// What was answered, if it is what was asked for and peers would believe it.
    pub(super) fn verified(&self, reply: IssueReply, key: Key) -> Result<Svid, Failed> {
        let chain: Vec<_> = reply.chain.into_iter().map(CertificateDer::from).collect();
        for role in [Role::Client, Role::Server] {
            self.verifier.verify(&chain, role, UnixTime::now())?;
        }
        Ok(Svid::new(chain, key)?)
    }
}

impl Asking {
    pub(super) fn new() -> Result<Self, Failed> {
        let key = Key::generate()?;
        // The name in a request is not taken: who asks is told by its token or its certificate.
        let id = SpiffeId::parse(&format!("spiffe://{DOMAIN}/w"))?;
        let csr = Csr::create(&key, &id)?.der().to_vec();
        Ok(Asking { key, csr })
    }

    pub(super) fn with_token(&self, token: &str) -> JoinRequest {
        JoinRequest {
            csr: self.csr.clone(),
            evidence: Some(Evidence::JoinToken(token.to_owned())),
            ..JoinRequest::default()
        }
    }

    /// The same with a request that no key has signed.
    pub(super) fn without_proof(&self, token: &str) -> JoinRequest {
        let mut request = self.with_token(token);
        if let Some(last) = request.csr.last_mut() {
            *last ^= 1;
        }
        request
    }

    pub(super) fn with_certificate(&self) -> RenewRequest {
        RenewRequest {
            csr: self.csr.clone(),
            ..RenewRequest::default()
        }
    }
}

async fn dial(
    socket: TcpSocket,
    to: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<Connection, Failed> {
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("ca")?;
    let tls = TlsConnector::from(config).connect(name, tcp).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    Ok(AuthorityClient::with_origin(
        Http2(sender),
        Uri::from_static("https://ca"),
    ))
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
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
