//! Calls, as apps and strangers make them: one request on a connection of its own.
//!
//! In: what to ask, and where. Out: the answer, or how it stayed away; never later than [`ANSWER_WITHIN`].

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A call takes milliseconds; only a machine that does much else needs more.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request, without the connection it goes over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// Further headers.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'static str,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Nothing came back.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The other side ended it.
    Ended(Box<dyn Error + Send + Sync>),
    /// It took too long.
    Late,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Late => write!(f, "no answer within {} s", ANSWER_WITHIN.as_secs()),
            NoAnswer::Ended(why) => {
                // The innermost cause is what the other side did.
                let mut cause: &(dyn Error + 'static) = why.as_ref();
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                write!(f, "{cause}")
            }
        }
    }
}

impl Answer {
    /// A header, if it is there and readable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<'a> Call<'a> {
    /// A request of a method, to a host, for a path.
    pub(crate) const fn new(method: &'a str, host: &'a str, path: &'a str) -> Self {
        Call {
            method,
            host,
            path,
            headers: &[],
            body: "",
        }
    }
    /// Made in clear text.
    pub(crate) async fn in_clear(&self, to: SocketAddr) -> Result<Answer, NoAnswer> {
        within(async { self.over(TcpStream::connect(to).await?).await }).await
    }
    /// Made over TLS.
    pub(crate) async fn over_tls(
        &self,
        to: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> Result<Answer, NoAnswer> {
        within(async {
            let name = ServerName::try_from(self.host.to_owned())?;
            let socket = TcpStream::connect(to).await?;
            self.over(TlsConnector::from(config).connect(name, socket).await?)
                .await
        })
        .await
    }

    async fn over<S>(&self, stream: S) -> Result<Answer, Box<dyn Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header("host", self.host)
            .header("connection", "close");
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from_static(self.body.as_bytes())))?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            })
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // It may end with its only answer; what it read is still to be had.
            _ = connection => exchange.await,
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.host, self.path)
    }
}

/// What a server that speaks first says on a new connection, until it pauses or ends it; empty when it ends it at once.
pub(crate) async fn greeting(to: SocketAddr) -> Result<String, NoAnswer> {
    within(async {
        // A reset is an end like any other, also where it overtakes the connecting.
        let mut socket = match TcpStream::connect(to).await {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(String::new()),
            connected => connected?,
        };
        let mut said = [0; 256];
        let count = socket.read(&mut said).await.unwrap_or(0);
        Ok(String::from_utf8_lossy(&said[..count]).into_owned())
    })
    .await
}

async fn within<T>(
    what: impl Future<Output = Result<T, Box<dyn Error + Send + Sync>>>,
) -> Result<T, NoAnswer> {
    match tokio::time::timeout(ANSWER_WITHIN, what).await {
        Ok(done) => done.map_err(NoAnswer::Ended),
        Err(_) => Err(NoAnswer::Late),
    }
}

/// The same configuration for somebody who has no certificate to show.
pub(crate) fn without_certificate(config: &ClientConfig) -> ClientConfig {
    let mut bare = config.clone();
    bare.client_auth_cert_resolver = Arc::new(Nothing);
    bare
}

#[derive(Debug)]
struct Nothing;

impl ResolvesClientCert for Nothing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }
    fn has_certs(&self) -> bool {
        false
    }
}
