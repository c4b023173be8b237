//! Where something listens or is reached.
//!
//! In: text of a document. Out: an [`Address`], or a sentence for the person who wrote it. Nothing is resolved here.

use crate::NameError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// What `sockaddr_un` holds, without the closing NUL (unix(7)).
const UNIX_PATH_BYTES_MAX: usize = 107;
/// RFC 1035 §2.3.4, without the trailing dot.
const HOST_BYTES_MAX: usize = 253;

/// `host:port`, `[v6]:port` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host (name or IP, IPv6 without brackets) and port; port 0 asks the kernel for one (listeners only).
    Tcp {
        /// Name or IP literal.
        host: String,
        /// 0 to 65535.
        port: u16,
    },
    /// A unix socket's absolute path.
    Unix(PathBuf),
}

impl Address {
    /// Reads one; the error is a sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("unix:") {
            Some(path) => unix(
                path.strip_prefix("//")
                    .filter(|path| path.starts_with('/'))
                    .unwrap_or(path),
            ),
            None => tcp(text),
        }
    }

    /// Whether the host is loopback by its literal (127.0.0.0/8, `::1`) or by the name `localhost`. A unix socket is.
    pub fn is_loopback(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost")
                    || host
                        .parse()
                        .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
            }
        }
    }

    /// Whether a listener on `self` and one on `other` want the same port of the same interface, as far as the text
    /// tells: the same host, or one of them every interface. Port 0 never collides.
    pub fn collides(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Unix(one), Address::Unix(two)) => one == two,
            (
                Address::Tcp {
                    host: one,
                    port: one_port,
                },
                Address::Tcp {
                    host: two,
                    port: two_port,
                },
            ) => *one_port != 0 && one_port == two_port && hosts_meet(one, two),
            _ => false,
        }
    }
}

/// Whether two hosts name one interface. An unspecified address is every interface of its family, and `::` of both.
fn hosts_meet(one: &str, two: &str) -> bool {
    let (one, two) = (interface(one), interface(two));
    match (&one, &two) {
        (Ok(one), Ok(two)) => {
            one == two
                || one.is_unspecified() && reaches(one, two)
                || two.is_unspecified() && reaches(two, one)
        }
        (Err(one), Err(two)) => one == two,
        // A name may stand for any interface: only every interface surely meets it.
        (Ok(ip), Err(_)) | (Err(_), Ok(ip)) => ip.is_unspecified(),
    }
}

fn reaches(unspecified: &IpAddr, other: &IpAddr) -> bool {
    unspecified.is_ipv6() || other.is_ipv4() || other.is_unspecified()
}

/// The IP that a host stands for without asking anybody, else its name in lower case.
fn interface(host: &str) -> Result<IpAddr, String> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    host.parse()
        .map(|ip: IpAddr| ip.to_canonical())
        .map_err(|_| host.to_ascii_lowercase())
}

fn unix(path: &str) -> Result<Address, NameError> {
    let why = if !path.starts_with('/') {
        "a unix socket needs an absolute path, such as `unix:/run/app.sock`".into()
    } else if path.starts_with("//") {
        // A URI has its host there, and a socket has none.
        "has two slashes where one or three belong: `unix:/run/app.sock` or `unix:///run/app.sock`"
            .into()
    } else if path.len() > UNIX_PATH_BYTES_MAX {
        format!(
            "the path of a unix socket has at most {UNIX_PATH_BYTES_MAX} bytes, this one has {}",
            path.len()
        )
    } else if path.chars().any(char::is_control) {
        "the path of a unix socket holds no control characters".into()
    } else {
        return Ok(Address::Unix(Path::new(path).to_path_buf()));
    };
    Err(NameError { why })
}

fn tcp(text: &str) -> Result<Address, NameError> {
    let (host, port_text) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest
                .split_once(']')
                .ok_or_else(|| why("`[` is not closed: `[v6]:port`"))?;
            let ip: Ipv6Addr = inside
                .parse()
                .map_err(|_| why("what stands in brackets is no IPv6 address"))?;
            (ip.to_string(), after.strip_prefix(':').ok_or_else(no_port)?)
        }
        None => {
            let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
            if host.contains(':') {
                return Err(why("an IPv6 address stands in brackets: `[v6]:port`"));
            }
            (host.to_string(), port)
        }
    };
    if !host.contains(':') {
        check_host(&host)?;
    }
    Ok(Address::Tcp {
        host,
        port: port(port_text)?,
    })
}

fn why(why: &str) -> NameError {
    NameError { why: why.into() }
}

fn no_port() -> NameError {
    why("has no port: `host:port`")
}

fn port(text: &str) -> Result<u16, NameError> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    match text.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(why("a port is a number from 0 to 65535")),
    }
}

/// A name as resolvers take it, or an IPv4 address of four decimal parts. What ends in digits only is an address, and
/// resolvers read `127.1` or `0x7f.1` in ways that surprise: such forms are refused.
fn check_host(host: &str) -> Result<(), NameError> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return Err(why(
            "has no host: `host:port`; every interface is `0.0.0.0` or `[::]`",
        ));
    }
    if name.len() > HOST_BYTES_MAX {
        return Err(NameError {
            why: format!("a host name has at most {HOST_BYTES_MAX} bytes"),
        });
    }
    if let Some(c) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        return Err(NameError {
            why: format!("`{}` is not allowed in a host name", c.escape_default()),
        });
    }
    if name
        .split('.')
        .any(|label| label.is_empty() || label.len() > 63)
    {
        return Err(why("each label of a host name has 1 to 63 bytes"));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"));
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(why("an IPv4 address has four decimal parts from 0 to 255"));
    }
    Ok(())
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_read_and_write_back() {
        for (text, written) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("orders:15006", "orders:15006"),
            (
                "orders.shop.svc.cluster.local.:80",
                "orders.shop.svc.cluster.local.:80",
            ),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::1]:65535", "[::1]:65535"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(at(text).to_string(), written, "{text}");
            assert_eq!(at(written), at(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("", "has no port: `host:port`"),
            ("orders", "has no port: `host:port`"),
            ("[::1]", "has no port: `host:port`"),
            (
                ":80",
                "has no host: `host:port`; every interface is `0.0.0.0` or `[::]`",
            ),
            ("orders:", "a port is a number from 0 to 65535"),
            ("orders:+80", "a port is a number from 0 to 65535"),
            ("orders:080", "a port is a number from 0 to 65535"),
            ("orders:65536", "a port is a number from 0 to 65535"),
            ("::1:80", "an IPv6 address stands in brackets: `[v6]:port`"),
            ("[::1:80", "`[` is not closed: `[v6]:port`"),
            ("[orders]:80", "what stands in brackets is no IPv6 address"),
            (
                "[fe80::1%eth0]:80",
                "what stands in brackets is no IPv6 address",
            ),
            (
                "http://orders:80",
                "an IPv6 address stands in brackets: `[v6]:port`",
            ),
            ("or ders:80", "` ` is not allowed in a host name"),
            ("a..b:80", "each label of a host name has 1 to 63 bytes"),
            (
                "127.1:80",
                "an IPv4 address has four decimal parts from 0 to 255",
            ),
            (
                "256.0.0.1:80",
                "an IPv4 address has four decimal parts from 0 to 255",
            ),
            (
                "0x7f000001:80",
                "an IPv4 address has four decimal parts from 0 to 255",
            ),
            (
                "2130706433:80",
                "an IPv4 address has four decimal parts from 0 to 255",
            ),
            (
                "unix:app.sock",
                "a unix socket needs an absolute path, such as `unix:/run/app.sock`",
            ),
            (
                "unix://run/app.sock",
                "has two slashes where one or three belong: `unix:/run/app.sock` or `unix:///run/app.sock`",
            ),
        ] {
            assert_eq!(
                Address::parse(text).map_err(|e| e.why),
                Err(why.to_string()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn listeners_collide_on_one_port_of_one_interface() {
        for (one, two, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("localhost:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("Orders:80", "orders:80", true),
            ("0.0.0.0:80", "orders:80", true),
            ("127.0.0.1:80", "orders:80", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "127.0.0.1:80", false),
        ] {
            assert_eq!(at(one).collides(&at(two)), expected, "{one} {two}");
            assert_eq!(at(two).collides(&at(one)), expected, "{two} {one}");
        }
    }

    #[test]
    fn loopback_is_told_by_the_text() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:1", true),
            ("unix:/a", true),
            ("0.0.0.0:1", false),
            ("10.0.0.1:1", false),
            ("orders:1", false),
        ] {
            assert_eq!(at(text).is_loopback(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_reads_writes_back(text in "\\PC*|[a-z0-9.:\\[\\]]{0,20}") {
            if let Ok(address) = Address::parse(&text) {
                proptest::prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
