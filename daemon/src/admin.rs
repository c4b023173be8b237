//! Who may look into a running process.
//!
//! In: a listener on loopback or a unix socket, and the pages. Out: pages for those who may. Over TCP a browser may be made
//! to ask for any page by any site (cross-site requests, DNS rebinding), so there `Host` must be loopback, and neither `Origin`
//! nor `Sec-Fetch-Site` may name a page; over the unix socket the kernel says who asks, and only our own user and root may.
//!
//! 1. What changes something is never served over TCP: [`serve_tcp`] answers GET and HEAD.
//! 2. Who calls over the unix socket is known by the kernel's word, before anything is read ([`serve_calls`]).
use crate::accept::Incoming;
use crate::drain::Draining;
pub use crate::pages::BODY_BYTES_MAX;
use crate::pages::{self, Page, Request};
use crate::places::Origin;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::UCred;

/// Why a request over TCP is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It comes from a web page.
    Origin,
    /// It has no Host, several, or one that is not loopback.
    Host,
}

impl Refused {
    /// A label that never changes.
    pub fn reason(self) -> &'static str {
        match self {
            Refused::Origin => "origin_present",
            Refused::Host => "host_not_loopback",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Origin => {
                "refused: requests of web pages are not answered; ask without Origin"
            }
            Refused::Host => "refused: Host is not loopback; ask for localhost or 127.0.0.1",
        })
    }
}

impl std::error::Error for Refused {}

/// Serves admin pages over TCP to those whom [`guard`] lets pass.
pub async fn serve_tcp<L, A, F>(listener: L, draining: Draining, answer: A)
where
    L: Incoming<Peer: Origin, Stream: AsyncRead + AsyncWrite + Unpin>,
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    pages::serve(listener, draining, move |request: Request| {
        let answered = guard(&request).map(|()| answer(request));
        async move {
            match answered {
                Ok(answered) => answered.await,
                Err(refused) => Page::text(StatusCode::FORBIDDEN, refused.to_string()),
            }
        }
    })
    .await;
}

/// Serves admin pages over a unix socket (bound with mode 0600: [`crate::bind::SocketFile`]) to our own user and root.
pub async fn serve_unix<L, A, F>(listener: L, draining: Draining, answer: A)
where
    L: Incoming<Peer = UCred, Stream: AsyncRead + AsyncWrite + Unpin>,
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    let know = ours_and_root(listener.name());
    pages::serve_whom(listener, draining, know, move |request, _| {
        pages::look(request, answer.clone())
    })
    .await;
}

/// Like [`serve_unix`], for what changes something: POST and PUT too, their body at most [`BODY_BYTES_MAX`] and given only whole (empty
/// for GET and HEAD), and with each request the user who sent it.
///
/// An answer that takes longer than 5 s is dropped where it stands: what must be done to its end then, its maker spawns.
pub async fn serve_calls<L, A, F>(listener: L, draining: Draining, answer: A)
where
    L: Incoming<Peer = UCred, Stream: AsyncRead + AsyncWrite + Unpin>,
    A: Fn(http::Request<Bytes>, User) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    let know = ours_and_root(listener.name());
    pages::serve_whom(listener, draining, know, move |request, user| {
        let answer = answer.clone();
        pages::call(request, move |request| answer(request, user))
    })
    .await;
}

/// The user on the other side of a unix socket, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Its uid when it connected.
    pub uid: u32,
}

/// Knows our own user and root; says who else tried.
fn ours_and_root(socket: String) -> impl Fn(&UCred) -> Option<User> + Send {
    let ours = rustix::process::geteuid().as_raw();
    move |peer| {
        let uid = peer.uid();
        if may_ask(uid, ours) {
            return Some(User { uid });
        }
        tracing::warn!("{socket}: user {uid} may not ask; only user {ours} and root may");
        None
    }
}

/// Whether a user may use the unix socket of another.
pub fn may_ask(uid: u32, ours: u32) -> bool {
    uid == ours || uid == 0
}

/// What browsers say of who asks (W3C Fetch Metadata): `none` is a person who typed the address, everything else a page. A
/// picture that a page shows comes without Origin, and with this.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request over TCP pass if its Host, and the authority of its target if it has one, is loopback, and no page asks.
pub fn guard<B>(request: &http::Request<B>) -> Result<(), Refused> {
    let mut sites = request.headers().get_all(SEC_FETCH_SITE).iter();
    if request.headers().contains_key(ORIGIN) || sites.any(|site| site != "none") {
        return Err(Refused::Origin);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refused::Host);
    };
    let host = host
        .to_str()
        .ok()
        .and_then(|host| host.parse::<Authority>().ok())
        .ok_or(Refused::Host)?;
    let target = request.uri().authority();
    if is_loopback(&host) && target.is_none_or(is_loopback) {
        Ok(())
    } else {
        Err(Refused::Host)
    }
}

/// `localhost`, `127.0.0.0/8` or `[::1]`, with or without a port, and nothing before it.
fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host).unwrap_or("@");
    if !(rest.is_empty()
        || rest
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok()))
    {
        return false;
    }
    let address = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| {
        address.is_loopback()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{bind, drain};
    use config::Address;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    fn check(target: &str, headers: &[(&str, &str)], wanted: Result<(), Refused>) {
        let mut request = http::Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(
            guard(&request.body(()).unwrap()),
            wanted,
            "{target} {headers:?}"
        );
    }

    #[test]
    fn only_a_loopback_host_without_an_origin_passes() {
        for host in [
            "localhost",
            "LocalHost:15000",
            "127.0.0.1",
            "127.0.0.1:15000",
            "127.8.8.8:1",
            "[::1]",
            "[::1]:15000",
        ] {
            check("/config", &[("host", host)], Ok(()));
            check(
                "/config",
                &[("host", host), ("origin", "http://evil.example")],
                Err(Refused::Origin),
            );
            check(
                "/config",
                &[("host", host), ("origin", "null")],
                Err(Refused::Origin),
            );
            for (site, wanted) in [
                ("none", Ok(())),
                ("same-origin", Err(Refused::Origin)),
                ("cross-site", Err(Refused::Origin)),
            ] {
                let headers = [("host", host), ("sec-fetch-site", site)];
                check("/config", &headers, wanted);
            }
            check(
                "/config",
                &[("host", host), ("host", "evil.example")],
                Err(Refused::Host),
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "localhost.",
            "127.1",
            "2130706433",
            "0.0.0.0",
            "10.0.0.1:15000",
            "[::]",
            "[::ffff:127.0.0.1]",
            "::1",
            "user@localhost",
            "localhost@evil.example",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost:1:1",
            "",
            " localhost",
        ] {
            check("/config", &[("host", host)], Err(Refused::Host));
        }
        check("/config", &[], Err(Refused::Host));
        check("http://localhost/config", &[("host", "localhost")], Ok(()));
        check(
            "http://evil.example/config",
            &[("host", "localhost")],
            Err(Refused::Host),
        );
    }

    #[test]
    fn only_our_user_and_root_may_ask() {
        for (uid, ours, may) in [
            (1000, 1000, true),
            (0, 1000, true),
            (1001, 1000, false),
            (1000, 0, false),
            (0, 0, true),
        ] {
            assert_eq!(may_ask(uid, ours), may, "{uid} {ours}");
        }
    }

    async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn over_tcp_a_foreign_host_gets_403_and_no_page() {
        let listener = bind::listen(&Address::Tcp {
            host: "127.0.0.1".into(),
            port: 0,
        })
        .await
        .unwrap();
        let address = listener.local_addr();
        let (drain, draining) = drain::pair();
        let secret = |_| async { Page::json("{\"page\":1}") };
        draining.track(serve_tcp(listener, draining.clone(), secret));

        for (host, status) in [("localhost", "200 OK"), ("evil.example", "403 Forbidden")] {
            let stream = TcpStream::connect(address).await.unwrap();
            let answer = ask(
                stream,
                &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            )
            .await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{answer}"
            );
            assert_eq!(answer.contains("\"page\""), host == "localhost", "{answer}");
        }
        assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
    }

    #[tokio::test]
    async fn over_the_unix_socket_our_own_user_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (drain, draining) = drain::pair();
        let listener = bind::unix(&path, 0o600).unwrap();
        draining.track(serve_unix(listener, draining.clone(), |_| async {
            Page::text(StatusCode::OK, "hello")
        }));

        let stream = UnixStream::connect(&path).await.unwrap();
        let answer = ask(
            stream,
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;

        assert!(answer.ends_with("\r\n\r\nhello\n"), "{answer}");
        assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
    }

    #[tokio::test]
    async fn a_call_over_the_unix_socket_comes_with_its_body_and_its_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.sock");
        let (drain, draining) = drain::pair();
        let listener = bind::unix(&path, 0o600).unwrap();
        let echo = |request: http::Request<Bytes>, user: User| async move {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            Page::text(StatusCode::OK, format!("{body} from {}", user.uid))
        };
        draining.track(serve_calls(listener, draining.clone(), echo));

        let stream = UnixStream::connect(&path).await.unwrap();
        let answer = ask(
            stream,
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        )
        .await;

        let ours = rustix::process::geteuid().as_raw();
        let expected = format!("\r\n\r\nhello from {ours}\n");
        assert!(answer.ends_with(&expected), "{answer}");
        assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
    }
}
