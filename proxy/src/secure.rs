//! The inbound handshake: a socket becomes an authenticated peer, or ends with its own reason before a byte reaches the app.

use crate::metered::Metered;
use identity::{Alpn, Generation, Peer, Refused};
use rustls::pki_types::CertificateDer;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A peer that proved who it is.
pub(crate) struct Authenticated {
    /// The session: a KiB and more, which every future that it is handed to would hold.
    pub(crate) stream: Box<TlsStream<Metered>>,
    /// Who it is.
    pub(crate) peer: Peer,
    /// What it showed for that, leaf first: to be judged again when whom we believe changes.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Whether it asked for HTTP/2. No ALPN on an http listener is HTTP/1.1.
    pub(crate) http2: bool,
    /// The key exchange group.
    pub(crate) tls_group: &'static str,
}

/// Who is at the other end of an accepted socket.
pub(crate) enum Heard {
    /// Somebody who proved who it is.
    Known(Box<Authenticated>),
    /// Somebody in clear text, of whom nothing was read yet.
    Plain(Metered),
}

/// Why a handshake did not end well.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// There are as many handshakes as `limits.handshakes` allows, and its source has as many of them as any.
    Full,
    /// The peer sent nothing in time.
    Silent,
    /// It began and did not finish in time.
    TimedOut,
    /// It speaks HTTP in clear text.
    PlainHttp,
    /// It speaks something else.
    NotTls,
    /// Our own certificate has ended, and there is no newer one: nobody is served with it, whoever it is.
    OwnEnded(SystemTime),
    /// Its certificate was refused.
    Identity(Refused),
    /// The handshake failed otherwise, or the socket did.
    Handshake(io::Error),
}

impl Unproven {
    /// A label that never changes.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Full => "handshakes_full",
            Self::Silent => "silent",
            Self::TimedOut => "handshake_timeout",
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::OwnEnded(_) => "own_certificate_ended",
            Self::Identity(refused) => refused.reason(),
            Self::Handshake(error) => identity::handshake_reason(error),
        }
    }
}

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "as many handshakes are under way as limits.handshakes allows"
            ),
            Self::Silent => write!(f, "it sent nothing in time"),
            Self::TimedOut => write!(f, "it did not finish the TLS handshake in time"),
            Self::PlainHttp => write!(f, "it speaks HTTP in clear text: call through a sidecar"),
            Self::NotTls => write!(f, "it does not speak TLS"),
            Self::OwnEnded(end) => write!(
                f,
                "our own certificate ended at {}, and no newer one came; /started says why",
                identity::rfc3339(*end)
            ),
            Self::Identity(refused) => write!(f, "{refused}"),
            Self::Handshake(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl std::error::Error for Unproven {}

/// Shakes hands within `within`, and judges the peer again when it is done. Who does not begin a handshake is given back where its
/// first byte is `plain`.
pub(crate) async fn accept(
    socket: Metered,
    generation: &Arc<Generation>,
    alpn: Alpn,
    within: Duration,
    plain: impl FnOnce(u8) -> bool,
) -> Result<Heard, Unproven> {
    let deadline = tokio::time::Instant::now() + within;
    let first = tokio::time::timeout_at(deadline, first_byte(&socket))
        .await
        .map_err(|_| Unproven::Silent)??;
    match first {
        0x16 => {}
        byte if plain(byte) => return Ok(Heard::Plain(socket)),
        byte if byte.is_ascii_alphabetic() => return Err(Unproven::PlainHttp),
        _ => return Err(Unproven::NotTls),
    }
    let own = generation.expiry().leaf;
    if is_last_second(own, SystemTime::now()) {
        return Err(Unproven::OwnEnded(own));
    }
    let shaking = TlsAcceptor::from(generation.server(alpn))
        .accept(socket)
        .into_fallible();
    let shaken = tokio::time::timeout_at(deadline, shaking)
        .await
        .map_err(|_| Unproven::TimedOut)?;
    // It shook hands all the same: what it was shown tells it why.
    let own_ended = (own <= SystemTime::now()).then_some(Unproven::OwnEnded(own));
    let stream = match (shaken, own_ended) {
        (Ok(_), Some(ended)) => return Err(ended),
        (Ok(stream), None) => stream,
        (Err((error, socket)), ended) => {
            linger(socket).await;
            return Err(ended.unwrap_or_else(|| unproven(error)));
        }
    };
    let session = stream.get_ref().1;
    let peer = generation
        .judge_client(session.peer_certificates())
        .map_err(Unproven::Identity)?;
    let chain = session.peer_certificates().unwrap_or_default().to_vec();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let tls_group = identity::group_name(session.negotiated_key_exchange_group());
    Ok(Heard::Known(Box::new(Authenticated {
        stream: Box::new(stream),
        peer,
        chain,
        http2,
        tls_group,
    })))
}

/// Whether a certificate has ended for us and not yet for its peers: they believe it to the end of its last second (RFC 5280
/// §4.1.2.5). They are not let through the handshake, so that they know that nothing of what they want was done.
fn is_last_second(end: SystemTime, now: SystemTime) -> bool {
    now.duration_since(end)
        .is_ok_and(|since| since < Duration::from_secs(1))
}

/// The first byte, left in the socket: it tells TLS from clear text and from garbage.
async fn first_byte(socket: &Metered) -> Result<u8, Unproven> {
    let mut byte = [0];
    match socket.peek(&mut byte).await {
        Ok(0) => Err(Unproven::Handshake(io::ErrorKind::UnexpectedEof.into())),
        Ok(_) => Ok(byte[0]),
        Err(error) => Err(Unproven::Handshake(error)),
    }
}

/// What a refused peer may still send, and for how long, so that it hears why.
const LINGER_BYTES_MAX: u64 = 64 * 1024;
const LINGER: Duration = Duration::from_millis(500);

/// Closes so that the alert arrives. A TLS 1.3 client sends its request before it hears that its certificate was refused: closing
/// with that unread would send a reset, which overtakes the alert in the peer's socket, and nobody would know why.
async fn linger(mut socket: Metered) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let drained =
        async { tokio::io::copy(&mut socket.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await };
    // Whether it hung up or not: it had its time.
    let _ = tokio::time::timeout(LINGER, drained).await;
}

fn unproven(error: io::Error) -> Unproven {
    match refusal_of(&error) {
        Some(refused) => Unproven::Identity(refused),
        None => Unproven::Handshake(error),
    }
}

/// The refusal of a certificate inside of what the TLS stream reports.
pub(crate) fn refusal_of(error: &io::Error) -> Option<Refused> {
    identity::refusal(error.get_ref()?.downcast_ref::<rustls::Error>()?)
}
