//! Connections to the CA, and the calls over them.
//!
//! In: where the CA is, whom we believe, who we are. Out: a [`Ca`], who proved to be the CA and can be asked for everything;
//! or an [`Unknown`], of whom nothing is believed and who can be asked for statements only. Every wait is bounded.
//!
//! 1. A [`Ca`] presented exactly `spiffe://TRUST-DOMAIN/countersign/ca`, vouched for by roots that we hold.
//! 2. An [`Unknown`] has no method but [`Unknown::statements`], and is shown no certificate of ours.
//! 3. A connection ends with its last handle: nothing of it goes on behind our back.

use super::answer::Answer;
use super::clock::Clock;
use super::failed::Failed;
use crate::source::grpc::Channel;
use crate::{Bundle, Bundles, Svid, Verifier, handshake_reason, refusal, tls};
use api::bounds::REPLY_BYTES_MAX;
use api::ca_v1 as wire;
use api::ca_v1::authority_client::AuthorityClient;
use config::SpiffeId;
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Response, Status, Streaming};

/// The name and the port, a connection and a handshake, each: a CA farther away than this is none.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// Addresses of its name that are tried.
const ADDRESSES_MAX: usize = 8;
/// A call: a CA under load answers late, and one that answers later is asked again anyway.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// After this long without a word on an open stream the CA is asked whether it is still there, and has as long to say so.
const ASKED_AFTER: Duration = Duration::from_secs(15);
const HTTP2: &[&[u8]] = &[b"h2"];

/// Where the CA is and what it must be.
#[derive(Debug)]
pub(super) struct Dial {
    host: String,
    port: u16,
    ca: SpiffeId,
    unproven: tls::Unproven,
    clock: Clock,
}

impl Dial {
    pub(super) fn new(
        host: &str,
        port: u16,
        ca: SpiffeId,
        clock: Clock,
    ) -> Result<Self, rustls::Error> {
        Ok(Dial {
            host: host.to_owned(),
            port,
            ca,
            unproven: tls::Unproven::new(HTTP2)?,
            clock,
        })
    }

    fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whoever is there.
    pub(super) async fn unknown(&self) -> Result<Unknown, Failed> {
        let calls = self.calls(self.unproven.config()).await?;
        Ok(Unknown(calls))
    }

    /// The CA by these roots; `own` is what it is shown.
    pub(super) async fn ca(&self, believed: &Bundle, own: Option<&Svid>) -> Result<Ca, Failed> {
        let verifier = Arc::new(Verifier::new(Bundles::of(believed.clone())));
        let mut config = tls::client_for(&self.ca, &verifier, own, HTTP2)?;
        config.time_provider = Arc::new(self.clock.clone());
        Ok(Ca(self.calls(Arc::new(config)).await?))
    }

    async fn calls(&self, config: Arc<ClientConfig>) -> Result<Calls, Failed> {
        let tcp = self.connect().await?;
        let tls = self.shake_hands(config, tcp).await?;
        let begun = Channel::asking(tls, ASKED_AFTER);
        let channel = self
            .within(CONNECTED_WITHIN, "the start of HTTP/2", begun)
            .await?
            .map_err(|why| self.lost(&why))?;
        let origin = Uri::from_static("https://ca.countersign.invalid");
        let client = AuthorityClient::with_origin(channel, origin)
            .max_decoding_message_size(REPLY_BYTES_MAX);
        Ok(Calls {
            client,
            address: self.address(),
        })
    }

    /// To the first address of the name that takes a connection.
    async fn connect(&self) -> Result<TcpStream, Failed> {
        let not_found = |why| Failed::Resolve {
            address: self.address(),
            why,
        };
        let looked_up = lookup_host((self.host.as_str(), self.port));
        let found = self
            .within(CONNECTED_WITHIN, "the look-up of its name", looked_up)
            .await?
            .map_err(not_found)?;
        let mut failed = not_found(io::Error::other("its name has no address"));
        for address in found.take(ADDRESSES_MAX) {
            let connected = TcpStream::connect(address);
            match self
                .within(CONNECTED_WITHIN, "the connection", connected)
                .await
            {
                Ok(Ok(stream)) => {
                    // A failure here costs milliseconds and nothing else.
                    let _quick = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(why)) => {
                    failed = Failed::Connect {
                        address: self.address(),
                        why,
                    }
                }
                Err(slow) => failed = slow,
            }
        }
        Err(failed)
    }

    async fn shake_hands(
        &self,
        config: Arc<ClientConfig>,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failed> {
        // Nothing is decided by the name; it is there for who passes connections on by it.
        let name = ServerName::try_from(self.host.clone())
            .or_else(|_| ServerName::try_from("ca.countersign.invalid"))
            .map_err(|why| rustls::Error::General(why.to_string()))?;
        let shaken = TlsConnector::from(config).connect(name, tcp);
        let shaken = self
            .within(CONNECTED_WITHIN, "the TLS handshake", shaken)
            .await?;
        shaken.map_err(|why| {
            let address = self.address();
            let of_tls = why
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match of_tls.and_then(refusal) {
                Some(why) => Failed::Impostor { address, why },
                None => Failed::Handshake {
                    address,
                    how: handshake_reason(&why),
                    why,
                },
            }
        })
    }

    /// What a future comes to, if it does in time.
    pub(super) async fn within<T>(
        &self,
        after: Duration,
        doing: &'static str,
        future: impl Future<Output = T>,
    ) -> Result<T, Failed> {
        timeout(after, future).await.map_err(|_| Failed::Slow {
            address: self.address(),
            doing,
            after,
        })
    }

    fn lost(&self, why: &dyn std::error::Error) -> Failed {
        Failed::Lost {
            address: self.address(),
            why: causes(why),
        }
    }
}

/// An error and what it came from, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// Somebody at the CA's address.
#[derive(Debug)]
pub(super) struct Unknown(Calls);

impl Unknown {
    /// The statements after a sequence: to be believed for their signatures alone.
    pub(super) async fn statements(
        &mut self,
        after_sequence: u64,
    ) -> Result<wire::StatementsReply, Failed> {
        self.0.statements(after_sequence).await
    }
}

/// The CA.
#[derive(Clone, Debug)]
pub(super) struct Ca(Calls);

impl Ca {
    /// The statements after a sequence.
    pub(super) async fn statements(
        &mut self,
        after_sequence: u64,
    ) -> Result<wire::StatementsReply, Failed> {
        self.0.statements(after_sequence).await
    }

    /// A first certificate.
    pub(super) async fn join(
        &mut self,
        request: wire::JoinRequest,
    ) -> Result<wire::IssueReply, Failed> {
        let Calls { client, address } = &mut self.0;
        answered(address, client.join(request)).await
    }

    /// The next one.
    pub(super) async fn renew(
        &mut self,
        request: wire::RenewRequest,
    ) -> Result<wire::IssueReply, Failed> {
        let Calls { client, address } = &mut self.0;
        answered(address, client.renew(request)).await
    }

    /// The state to be in, from now on; `said` is what we say of the one we are in.
    pub(super) async fn watch(
        &mut self,
        said: impl Stream<Item = wire::WatchRequest> + Send + 'static,
    ) -> Result<Streaming<wire::WatchReply>, Failed> {
        let Calls { client, address } = &mut self.0;
        answered(address, client.watch(said)).await
    }

    /// What comes first on a stream, and is to come at once.
    pub(super) async fn first<T>(&self, stream: &mut Streaming<T>) -> Result<Option<T>, Failed> {
        let first = async { stream.message().await.map(Response::new) };
        answered(&self.0.address, first).await
    }

    /// The other side closed a stream without a word.
    pub(super) fn ended(&self) -> Failed {
        Failed::Lost {
            address: self.0.address.clone(),
            why: "the stream ended".to_owned(),
        }
    }

    /// What a status on a stream says.
    pub(super) fn failure(&self, status: &Status) -> Failed {
        failure(&self.0.address, status)
    }
}

#[derive(Clone, Debug)]
struct Calls {
    client: AuthorityClient<Channel>,
    address: String,
}

impl Calls {
    async fn statements(&mut self, after_sequence: u64) -> Result<wire::StatementsReply, Failed> {
        let request = wire::StatementsRequest { after_sequence };
        answered(&self.address, self.client.statements(request)).await
    }
}

async fn answered<T>(
    address: &str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failed> {
    match timeout(ANSWERED_WITHIN, call).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(failure(address, &status)),
        Err(_) => Err(Failed::Slow {
            address: address.to_owned(),
            doing: "its answer",
            after: ANSWERED_WITHIN,
        }),
    }
}

fn failure(address: &str, status: &Status) -> Failed {
    match Answer::of(status) {
        Some(answer) => Failed::Answer(answer),
        None => Failed::Lost {
            address: address.to_owned(),
            why: causes(status),
        },
    }
}
