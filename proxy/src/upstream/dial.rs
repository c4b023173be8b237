//! From an endpoint's address to a connected socket and, for peers, a judged identity.
//!
//! 1. A name never leads to loopback, link-local or unspecified addresses: only an endpoint written so does.
//! 2. A peer is judged after every handshake, beside the verifier's own judgement within it.
//! 3. Nobody is dialled with a certificate of ours that has ended: its reason is ours to tell.
//! 4. Every failure here is before the first byte of a request: it may be tried again, whatever the method.

use super::Io;
use crate::answer::{Cause, Refusal};
use config::{Address, SpiffeId};
use identity::{Alpn, Generation, Peer};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// How an upstream is spoken to.
#[derive(Clone)]
pub(crate) enum How {
    /// In clear text: only the app beside us.
    Plain,
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

/// A socket, and who is at its other end.
pub(crate) struct Connected {
    /// The socket.
    pub(crate) io: Io,
    /// The peer; `None` for the app.
    pub(crate) peer: Option<Peer>,
    /// When the peer's leaf or ours ends; `None` for the app.
    pub(crate) ends: Option<SystemTime>,
    /// The key exchange group of the handshake.
    pub(crate) tls_group: &'static str,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name did not resolve.
    Dns(io::Error),
    /// It did not in time.
    DnsTimeout,
    /// It resolved to what is never a destination.
    Prohibited(IpAddr),
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
            Self::Connect(_) | Self::ConnectTimeout if matches!(how, How::Plain) => {
                Cause::Unavailable
            }
            Self::Dns(_) => Cause::DnsError,
            Self::DnsTimeout => Cause::DnsTimeout,
            Self::Prohibited(_) => Cause::ProhibitedAddress,
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Cause::ConnectionRefused
            }
            Self::Connect(_) => Cause::Unavailable,
            Self::ConnectTimeout | Self::HandshakeTimeout => Cause::ConnectionTimeout,
            Self::OwnEnded(_) => Cause::OwnIdentityEnded,
            Self::Identity(_) => Cause::TlsCertificate,
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
            Self::Connect(_) | Self::ConnectTimeout if matches!(how, How::Plain) => "app_not_up",
            Self::Dns(_) => "name_not_resolved",
            Self::DnsTimeout => "name_not_resolved_in_time",
            Self::Prohibited(_) => "address_prohibited",
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
            Self::Prohibited(ip) => write!(
                f,
                "its name resolves to {ip}, which is never a destination unless an endpoint is written so"
            ),
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

/// Dials one endpoint: resolves, connects within `connect`, and for peers shakes hands within `handshake`.
pub(crate) async fn dial(
    address: &Address,
    lookups: &Arc<Semaphore>,
    how: &How,
    alpn: Alpn,
    connect: Duration,
    handshake: Duration,
) -> Result<Connected, DialError> {
    if let How::Mutual { generation, .. } = how {
        let end = generation.expiry().leaf;
        if end <= SystemTime::now() {
            return Err(DialError::OwnEnded(end));
        }
    }
    let socket = connect_tcp(address, lookups, connect).await?;
    match how {
        How::Plain => Ok(Connected {
            io: Io::Plain(socket),
            peer: None,
            ends: None,
            tls_group: "",
        }),
        How::Mutual {
            generation,
            expected,
            name,
        } => {
            let config = generation.client(expected, alpn);
            let shaking = TlsConnector::from(config).connect(name.clone(), socket);
            let stream = tokio::time::timeout(handshake, shaking)
                .await
                .map_err(|_| DialError::HandshakeTimeout)?
                .map_err(tls_error)?;
            let session = stream.get_ref().1;
            let peer = generation
                .judge_server(session.peer_certificates(), expected)
                .map_err(DialError::Identity)?;
            let wanted: Option<&[u8]> = match alpn {
                Alpn::Http2 => Some(b"h2"),
                // A peer without ALPN on an http listener is HTTP/1.1.
                Alpn::Http1 | Alpn::Http | Alpn::None => None,
            };
            if wanted.is_some() && session.alpn_protocol() != wanted {
                return Err(DialError::Alpn);
            }
            let tls_group = identity::group_name(session.negotiated_key_exchange_group());
            Ok(Connected {
                io: Io::Tls(Box::new(stream)),
                ends: Some(peer.not_after.min(generation.expiry().leaf)),
                peer: Some(peer),
                tls_group,
            })
        }
    }
}

fn tls_error(error: io::Error) -> DialError {
    match crate::secure::refusal_of(&error) {
        Some(refused) => DialError::Identity(refused),
        None => DialError::Tls(error),
    }
}

async fn connect_tcp(
    address: &Address,
    lookups: &Arc<Semaphore>,
    within: Duration,
) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + within;
    let Address::Tcp { host, port } = address else {
        return Err(DialError::Connect(io::ErrorKind::Unsupported.into()));
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return connect_one(SocketAddr::new(ip, *port), deadline).await;
    }
    let resolved = resolve(host, *port, lookups, deadline).await?;
    let mut last = DialError::Dns(io::ErrorKind::NotFound.into());
    for (at, target) in resolved.iter().copied().enumerate() {
        if host != "localhost" && prohibited(target.ip()) {
            last = DialError::Prohibited(target.ip());
            continue;
        }
        let share = share(Instant::now(), deadline, resolved.len() - at);
        match connect_one(target, share).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Looks a name up. Each look-up holds a thread until the system's resolver gives up, which may be long after we did: it
/// keeps its place that long, so that a resolver which hangs does not take every thread that reads files.
async fn resolve(
    host: &str,
    port: u16,
    lookups: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, DialError> {
    let name = host.to_owned();
    let looking = async {
        // Nobody closes it.
        let place = lookups.clone().acquire_owned().await;
        let looked = tokio::spawn(async move {
            let _place = place;
            let found = tokio::net::lookup_host((name, port)).await;
            found.map(Iterator::collect::<Vec<SocketAddr>>)
        });
        looked.await.unwrap_or_else(|gone| Err(gone.into()))
    };
    timeout_at(deadline, looking)
        .await
        .map_err(|_| DialError::DnsTimeout)?
        .map_err(DialError::Dns)
}

/// Until when the first of so many addresses may be tried: one that swallows what is sent to it leaves time for the others.
fn share(now: Instant, deadline: Instant, addresses: usize) -> Instant {
    let left = deadline.saturating_duration_since(now);
    now + left / u32::try_from(addresses.max(1)).unwrap_or(u32::MAX)
}

async fn connect_one(target: SocketAddr, deadline: Instant) -> Result<TcpStream, DialError> {
    let socket = timeout_at(deadline, TcpStream::connect(target))
        .await
        .map_err(|_| DialError::ConnectTimeout)?
        .map_err(DialError::Connect)?;
    daemon::socket::prepare(&socket).map_err(DialError::Connect)?;
    Ok(socket)
}

/// Whether an address is never where a name of the network may lead.
fn prohibited(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => prohibited(IpAddr::V4(mapped)),
            None => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_multicast()
                    || ip.is_unicast_link_local()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_look_up_that_finds_no_place_gives_up_in_time_and_gives_its_place_back() {
        let soon = || Instant::now() + Duration::from_millis(50);
        let none = Arc::new(Semaphore::new(0));
        let refused = resolve("localhost", 1, &none, soon()).await.unwrap_err();
        assert!(matches!(refused, DialError::DnsTimeout), "{refused}");

        let one = Arc::new(Semaphore::new(1));
        for _ in 0..2 {
            let later = Instant::now() + Duration::from_secs(10);
            let found = resolve("localhost", 1, &one, later).await.unwrap();
            assert!(found.iter().all(|found| found.ip().is_loopback()));
        }
    }

    #[test]
    fn every_address_of_a_name_has_its_share_of_the_time() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(1);
        assert_eq!(share(now, deadline, 1), deadline);
        assert_eq!(share(now, deadline, 4), now + Duration::from_millis(250));
        assert_eq!(share(deadline, now, 4), deadline, "no time is left");
    }

    #[test]
    fn a_name_never_leads_home() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "255.255.255.255",
        ] {
            assert!(prohibited(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!prohibited(ip.parse().unwrap()), "{ip}");
        }
    }
}
