//! The call that stays open.
//!
//! In: the path of a socket. Out: [`Answers`], message by message as bytes, or [`CallError`]. Nothing is judged here.
//!
//! 1. A message is bounded by its announced length, before any of it is stored.
//! 2. No text of the other side reaches a log unescaped or longer than a line.

use super::answer::{MESSAGE_BYTES_MAX, shown};
use crate::source::grpc::Channel;
use bytes::{Buf, Bytes};
use http::Uri;
use http::uri::PathAndQuery;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::{AsciiMetadataValue, MetadataKey};
use tonic::{Code, Request, Status};

/// The one call that is made.
const FETCH_X509_SVID: &str = "/SpiffeWorkloadAPI/FetchX509SVID";

/// What proves that the caller speaks of its own accord, and not a browser for it (Workload Endpoint §3).
const HEADER: &str = "workload.spiffe.io";

/// An open call.
#[derive(Debug)]
pub(super) struct Answers {
    stream: Streaming<Bytes>,
    /// The call ends with it.
    _channel: tonic::client::Grpc<Channel>,
}

/// Why there is no call, or no more message of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody is there to be called.
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The agent has no identity for this process.
    Denied {
        /// Its words.
        said: String,
    },
    /// The agent is there and not ready.
    Unavailable {
        /// Its words.
        said: String,
    },
    /// A message of more than [`MESSAGE_BYTES_MAX`].
    TooLarge,
    /// The connection broke.
    Lost {
        /// How.
        why: String,
    },
    /// The call ended with another status.
    Status {
        /// Which.
        code: Code,
        /// The other side's words, or our library's.
        said: String,
    },
    /// The call ended in order.
    Ended,
}

impl CallError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            CallError::Socket { .. } => "workload_api_socket",
            CallError::Denied { .. } => "workload_api_denied",
            CallError::Unavailable { .. } => "workload_api_unavailable",
            CallError::TooLarge => "workload_api_too_large",
            CallError::Lost { .. } => "workload_api_lost",
            CallError::Status { .. } => "workload_api_status",
            CallError::Ended => "workload_api_ended",
        }
    }

    /// Whether an agent answered, if not with an identity.
    pub(super) fn was_answered(&self) -> bool {
        matches!(
            self,
            CallError::Denied { .. } | CallError::TooLarge | CallError::Status { .. }
        )
    }

    fn of(status: &Status) -> Self {
        let said = shown(status.message());
        match status.code() {
            // What the library makes of a broken connection has a cause, what the other side says has none.
            _ if std::error::Error::source(status).is_some() => CallError::Lost { why: said },
            Code::PermissionDenied => CallError::Denied { said },
            Code::Unavailable => CallError::Unavailable { said },
            // The library's code for it, and none that the standard gives the other side.
            Code::OutOfRange => CallError::TooLarge,
            code => CallError::Status { code, said },
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Socket { path, why } => socket(f, path, why),
            CallError::Denied { said } => write!(
                f,
                "the Workload API has no identity for this process ({said}); register it with selectors that fit its user, unit, pod or container"
            ),
            CallError::Unavailable { said } => write!(
                f,
                "the Workload API is not ready ({said}); look at the agent's log if this stays"
            ),
            CallError::TooLarge => write!(
                f,
                "the Workload API sent a message of more than {MESSAGE_BYTES_MAX} bytes; register this workload for fewer identities and trust domains"
            ),
            CallError::Lost { why } => write!(
                f,
                "the connection to the Workload API broke ({why}); if this stays, look whether `identity.workloadApi.socket` is an agent's"
            ),
            CallError::Status { code: Code::Unimplemented, .. } => f.write_str(
                "whoever listens there does not serve the Workload API; name an agent's socket in `identity.workloadApi.socket`",
            ),
            CallError::Status { code, said } => write!(
                f,
                "the Workload API answered {code:?} ({said}); look at the agent's log"
            ),
            CallError::Ended => {
                f.write_str("the Workload API ended the call; look at the agent's log if this stays")
            }
        }
    }
}

fn socket(f: &mut fmt::Formatter<'_>, path: &Path, why: &io::Error) -> fmt::Result {
    let at = path.display();
    match why.kind() {
        io::ErrorKind::NotFound => write!(
            f,
            "{at}: no such socket; start the agent, or correct `identity.workloadApi.socket`"
        ),
        io::ErrorKind::PermissionDenied => write!(
            f,
            "{at}: permission denied; let the user that runs this process use the agent's socket"
        ),
        io::ErrorKind::ConnectionRefused => {
            write!(f, "{at}: nobody listens there; start the agent")
        }
        _ => write!(f, "{at}: {why}; check the agent's socket"),
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CallError::Socket { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl Answers {
    /// Dials and makes the call. The first message may still be on its way.
    pub(super) async fn open(path: &Path) -> Result<Self, CallError> {
        let socket = UnixStream::connect(path)
            .await
            .map_err(|why| CallError::Socket {
                path: path.to_owned(),
                why,
            })?;
        let channel = Channel::over(socket).await.map_err(|why| CallError::Lost {
            why: shown(&why.to_string()),
        })?;
        let mut client =
            tonic::client::Grpc::with_origin(channel, Uri::from_static("http://localhost"))
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|why| CallError::Lost {
            why: shown(&why.to_string()),
        })?;
        let mut request = Request::new(());
        request.metadata_mut().insert(
            MetadataKey::from_static(HEADER),
            AsciiMetadataValue::from_static("true"),
        );
        let path = PathAndQuery::from_static(FETCH_X509_SVID);
        let reply = client.server_streaming(request, path, AsBytes).await;
        Ok(Answers {
            stream: reply.map_err(|status| CallError::of(&status))?.into_inner(),
            _channel: client,
        })
    }

    /// The next message. Nothing is lost when it is not awaited to its end.
    pub(super) async fn next(&mut self) -> Result<Bytes, CallError> {
        match self.stream.message().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(CallError::Ended),
            Err(status) => Err(CallError::of(&status)),
        }
    }
}

/// Requests are empty, answers stay bytes: they are bounded and judged before they are decoded.
#[derive(Clone, Copy, Debug)]
struct AsBytes;

impl Codec for AsBytes {
    type Encode = ();
    type Decode = Bytes;
    type Encoder = AsBytes;
    type Decoder = AsBytes;

    fn encoder(&mut self) -> AsBytes {
        AsBytes
    }

    fn decoder(&mut self) -> AsBytes {
        AsBytes
    }
}

impl Encoder for AsBytes {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
