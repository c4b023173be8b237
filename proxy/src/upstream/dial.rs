//! From an endpoint's place to a connected socket and, for peers, a judged identity.
//!
//! 1. A name, or a request, never leads to loopback, link-local or unspecified addresses, nor to a listener of ours: only an endpoint written
//!    so does. It is judged here, by the address that would be dialled, so that no way to an address comes past it.
//! 2. A peer is judged after every handshake, beside the verifier's own judgement within it; a server outside the mesh too.
//! 3. Nobody is dialled with a certificate of ours that has ended: its reason is ours to tell.
//! 4. How an upstream is spoken to is one value for all that it ever dials: no failure makes it another.
//! 5. Every failure here is before the first byte of a request: it may be tried again, whatever the method.

use super::own::{is_metadata, is_prohibited};
use super::{Io, Open, Opened, Own};
use crate::answer::{Cause, Refusal};
use crate::believed::Believed;
use config::{Address, Endpoint, SpiffeId};
use daemon::socket::Socket;
use identity::{Alpn, Generation, Outside, Peer, Role};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where one endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// At an address.
    Ip(SocketAddr),
    /// At a unix socket.
    Unix(PathBuf),
}

impl Place {
    /// The place that an endpoint is written as; `None`: it is a name.
    pub(crate) fn written(endpoint: &Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::At(Address::Tcp { host, port }) => {
                let ip = host.parse().ok()?;
                Some(Self::Ip(SocketAddr::new(ip, *port)))
            }
            Endpoint::At(Address::Unix(path)) => Some(Self::Unix(path.clone())),
            Endpoint::Srv(_) => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(at) => write!(f, "{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How an upstream is spoken to.
#[derive(Clone)]
pub(crate) enum How {
    /// In clear text, to the app beside us.
    App,
    /// In clear text, to a service: `tls: none`.
    Clear,
    /// In clear text, to where a request says: `unknown: passthrough`. Nothing of it is written in the configuration.
    Passthrough,
    /// In TLS, with a server outside the mesh that shows who it is and is not shown who we are.
    Outside(Arc<Outside>),
    /// In mutual TLS, with a peer that must be `expected`.
    Mutual {
        /// Who we are and whom we believe.
        generation: Arc<Generation>,
        /// The only peer accepted.
        expected: SpiffeId,
        /// What goes into SNI.
        name: ServerName<'static>,
    },
}

impl How {
    /// As the configuration calls it; empty for the app, of which it says nothing.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::App => "",
            Self::Clear | Self::Passthrough => "none",
            Self::Outside(_) => "server",
            Self::Mutual { .. } => "mutual",
        }
    }
    /// Whether a connection that was made so is one that is made like `other`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::App, Self::App)
            | (Self::Clear, Self::Clear)
            | (Self::Passthrough, Self::Passthrough) => true,
            (Self::Outside(one), Self::Outside(other)) => one == other,
            (
                Self::Mutual {
                    generation,
                    expected,
                    name,
                },
                Self::Mutual {
                    generation: generation_too,
                    expected: expected_too,
                    name: name_too,
                },
            ) => {
                Arc::ptr_eq(generation, generation_too)
                    && expected == expected_too
                    && name == name_too
            }
            (
                Self::App
                | Self::Clear
                | Self::Passthrough
                | Self::Outside(_)
                | Self::Mutual { .. },
                _,
            ) => false,
        }
    }
}

/// A socket, and who is at its other end.
pub(crate) struct Connected {
    /// The socket.
    pub(crate) io: Io,
    /// The peer; `None` where nobody has an identity.
    pub(crate) peer: Option<Peer>,
    /// Who is there, to be judged again when others are believed; `None` in clear text.
    pub(crate) server: Option<Arc<Believed>>,
    /// When a leaf on it ends, the other end's or ours; `None` in clear text.
    pub(crate) ends: Option<SystemTime>,
    /// The key exchange group of the handshake; empty in clear text.
    pub(crate) tls_group: &'static str,
    /// The endpoint as it is written in the configuration, whatever address its name led to.
    pub(crate) written: Arc<str>,
    /// Counts it.
    pub(crate) open: Open,
    /// Counts what is under way on it, where that is one thing from its beginning to its end.
    pub(crate) under_way: Option<Open>,
}

/// How a handshake fails with a certificate for which there is no word of its own.
const BAD_CERTIFICATE: &str = "bad_certificate";

/// Why there is none.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name did not resolve.
    Dns(Arc<str>),
    /// It did not in time.
    DnsTimeout,
    /// It resolved to what is never a destination.
    Prohibited(SocketAddr),
    /// We listen there ourselves.
    Own(Place),
    /// The last address tried refused or failed.
    Connect(io::Error),
    /// Not connected in time.
    ConnectTimeout,
    /// The handshake did not end in time.
    HandshakeTimeout,
    /// Our own leaf has ended, and there is no newer one.
    OwnEnded(SystemTime),
    /// The peer is not who it must be.
    Identity(identity::Refused),
    /// The handshake failed otherwise.
    Tls(io::Error),
    /// The peer chose another application protocol than the one that the request speaks.
    Alpn,
}

impl DialError {
    /// The answer for the request that wanted the connection.
    pub(crate) fn refusal(&self, how: &How) -> Refusal {
        let cause = match self {
            // The app beside us is not there (yet): "destination unavailable" is what a caller can act on.
            Self::Connect(_) | Self::ConnectTimeout if matches!(how, How::App) => {
                Cause::Unavailable
            }
            Self::Dns(_) => Cause::DnsError,
            Self::DnsTimeout => Cause::DnsTimeout,
            Self::Prohibited(_) | Self::Own(_) => Cause::ProhibitedAddress,
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Cause::ConnectionRefused
            }
            Self::Connect(_) => Cause::Unavailable,
            Self::ConnectTimeout | Self::HandshakeTimeout => Cause::ConnectionTimeout,
            Self::OwnEnded(_) => Cause::OwnIdentityEnded,
            Self::Identity(_) => Cause::TlsCertificate,
            Self::Tls(error) if identity::handshake_reason(error) == BAD_CERTIFICATE => {
                Cause::TlsCertificate
            }
            Self::Tls(_) | Self::Alpn => Cause::TlsProtocol,
        };
        Refusal::unsent(cause, self.reason(how)).explained(self)
    }
    /// Whether the endpoint was reached, and the handshake with it failed.
    pub(crate) fn is_of_handshake(&self) -> bool {
        matches!(
            self,
            Self::HandshakeTimeout | Self::Identity(_) | Self::Tls(_) | Self::Alpn
        )
    }
    /// A label that never changes.
    pub(crate) fn reason(&self, how: &How) -> &'static str {
        match self {
            Self::Connect(_) | Self::ConnectTimeout if matches!(how, How::App) => "app_not_up",
            Self::Dns(_) => "name_not_resolved",
            Self::DnsTimeout => "name_not_resolved_in_time",
            Self::Prohibited(_) => "address_prohibited",
            Self::Own(_) => "own_listener",
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection_refused"
            }
            Self::Connect(_) => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::OwnEnded(_) => "own_certificate_ended",
            Self::Identity(refused) => refused.reason(),
            Self::Tls(error) => identity::handshake_reason(error),
            Self::Alpn => "other_protocol",
        }
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(error) => write!(f, "its name does not resolve: {error}"),
            Self::DnsTimeout => write!(f, "its name did not resolve in time"),
            Self::Prohibited(at) => write!(
                f,
                "its host leads to {at}, which is never a destination unless an endpoint is written so"
            ),
            Self::Own(at) => write!(f, "{at} is a listener of this sidecar itself"),
            Self::Connect(error) => write!(f, "connecting failed: {error}"),
            Self::ConnectTimeout => write!(f, "connecting took too long"),
            Self::HandshakeTimeout => write!(f, "the TLS handshake took too long"),
            Self::OwnEnded(end) => write!(
                f,
                "our own certificate ended at {}, and no newer one came; /started says why",
                identity::rfc3339(*end)
            ),
            Self::Identity(refused) => write!(f, "its certificate was refused: {refused}"),
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            Self::Alpn => write!(f, "it does not speak the protocol of the request"),
        }
    }
}

impl std::error::Error for DialError {}

/// Who says that a place is one to dial: the less it is known, the fewer places it may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaidBy {
    /// The configuration, which names that very place.
    Configuration,
    /// A name of the configuration, which leads there.
    Name,
    /// A request.
    Request,
}

/// What one dial is about.
#[derive(Clone, Copy)]
pub(crate) struct Aim<'a> {
    /// Where to.
    pub(crate) place: &'a Place,
    /// Who says that this is a place to dial.
    pub(crate) said_by: SaidBy,
    /// Where we listen ourselves.
    pub(crate) own: &'a Own,
    /// As what it is written in the configuration.
    pub(crate) written: &'a Arc<str>,
    /// What counts its connections.
    pub(crate) opened: &'a Opened,
    /// Time to connect.
    pub(crate) connect: Duration,
    /// Time to shake hands.
    pub(crate) handshake: Duration,
}

/// Dials one endpoint: connects, and for peers shakes hands.
pub(crate) async fn dial(aim: Aim<'_>, how: &How, alpn: Alpn) -> Result<Connected, DialError> {
    if let How::Mutual { generation, .. } = how {
        let end = generation.expiry().leaf;
        if end <= SystemTime::now() {
            return Err(DialError::OwnEnded(end));
        }
    }
    // An app is never ourselves; an endpoint may be the listener for our app's callers, and then the app calls itself.
    let is_excused = aim.said_by == SaidBy::Configuration && !matches!(how, How::App);
    allowed(aim, is_excused)?;
    let socket = reach(aim).await?;
    let connected = |io, tls_group| Connected {
        io,
        peer: None,
        server: None,
        ends: None,
        tls_group,
        written: aim.written.clone(),
        open: aim.opened.enter(),
        under_way: None,
    };
    match how {
        How::App | How::Clear | How::Passthrough => Ok(connected(Io::Plain(socket), "")),
        How::Outside(outside) => {
            let config = outside.client(alpn);
            let stream = shake_hands(aim, config, outside.name(), socket, alpn).await?;
            let chain = chain_of(&stream);
            let ends = outside
                .judge(&chain, SystemTime::now())
                .map_err(DialError::Identity)?;
            let server = Believed::outside(outside, chain, ends);
            let group = group_of(&stream);
            Ok(Connected {
                server: Some(Arc::new(server)),
                ends: Some(ends),
                ..connected(Io::Tls(Box::new(stream)), group)
            })
        }
        How::Mutual {
            generation,
            expected,
            name,
        } => {
            let config = generation.client(expected, alpn);
            let stream = shake_hands(aim, config, name, socket, alpn).await?;
            let chain = chain_of(&stream);
            let peer = generation
                .judge_server(Some(&chain), expected)
                .map_err(DialError::Identity)?;
            let group = group_of(&stream);
            let server = Believed::by(generation, Role::Server, chain, peer.not_after);
            Ok(Connected {
                server: Some(Arc::new(server)),
                ends: Some(peer.not_after.min(generation.expiry().leaf)),
                peer: Some(peer),
                ..connected(Io::Tls(Box::new(stream)), group)
            })
        }
    }
}

async fn shake_hands(
    aim: Aim<'_>,
    config: Arc<ClientConfig>,
    name: &ServerName<'static>,
    socket: Socket,
    alpn: Alpn,
) -> Result<TlsStream<Socket>, DialError> {
    let shaking = TlsConnector::from(config).connect(name.clone(), socket);
    let stream = timeout(aim.handshake, shaking)
        .await
        .map_err(|_| DialError::HandshakeTimeout)?
        .map_err(tls_error)?;
    let wanted: Option<&[u8]> = match alpn {
        Alpn::Http2 => Some(b"h2"),
        // A peer without ALPN on an http listener is HTTP/1.1.
        Alpn::Http1 | Alpn::Http | Alpn::None => None,
    };
    if wanted.is_some() && stream.get_ref().1.alpn_protocol() != wanted {
        return Err(DialError::Alpn);
    }
    Ok(stream)
}

fn chain_of(stream: &TlsStream<Socket>) -> Vec<CertificateDer<'static>> {
    let shown = stream.get_ref().1.peer_certificates();
    shown.unwrap_or_default().to_vec()
}

fn group_of(stream: &TlsStream<Socket>) -> &'static str {
    identity::group_name(stream.get_ref().1.negotiated_key_exchange_group())
}

fn tls_error(error: io::Error) -> DialError {
    match crate::secure::refusal_of(&error) {
        Some(refused) => DialError::Identity(refused),
        None => DialError::Tls(error),
    }
}

async fn reach(aim: Aim<'_>) -> Result<Socket, DialError> {
    let connecting = async {
        match aim.place {
            Place::Ip(at) => {
                let socket = TcpStream::connect(at).await?;
                daemon::socket::prepare(&socket)?;
                Ok(Socket::Tcp(socket))
            }
            Place::Unix(path) => Socket::connect_unix(path).await,
        }
    };
    timeout(aim.connect, connecting)
        .await
        .map_err(|_| DialError::ConnectTimeout)?
        .map_err(DialError::Connect)
}

fn allowed(aim: Aim<'_>, is_excused: bool) -> Result<(), DialError> {
    let is_own = match aim.place {
        Place::Ip(at) => aim.own.is_at(*at, is_excused),
        Place::Unix(path) => aim.own.is_socket(path, is_excused),
    };
    if is_own {
        return Err(DialError::Own(aim.place.clone()));
    }
    let Place::Ip(at) = aim.place else {
        return Ok(());
    };
    let is_closed = match aim.said_by {
        SaidBy::Configuration => false,
        SaidBy::Name => is_prohibited(at.ip()),
        SaidBy::Request => is_prohibited(at.ip()) || is_metadata(at.ip()),
    };
    match is_closed {
        true => Err(DialError::Prohibited(*at)),
        false => Ok(()),
    }
}
