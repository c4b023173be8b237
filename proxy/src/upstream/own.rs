//! Where we listen ourselves, so that nothing of ours is ever our own destination.
//!
//! In: the addresses that our listeners are bound to, as they are, not as they are written: port 0 is a port by then, and a
//! listener on every interface is one at each address of this machine. Out: whether a target is one of them.
//!
//! What a router, a published port of a container or a balancer leads back to us is not seen here: the mark on a request
//! that comes round is (508).

use arc_swap::ArcSwap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where one sidecar listens now.
#[derive(Default)]
pub(crate) struct Own {
    listening: ArcSwap<Vec<Listening>>,
    sockets: ArcSwap<Vec<Listed>>,
}

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// Where it is bound.
    pub(crate) at: SocketAddr,
    /// Whether it is one for calls to our app: an endpoint may be written so, and then the app calls itself.
    pub(crate) inbound: bool,
}

/// A listener on a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its file.
    pub(crate) path: PathBuf,
    /// As in [`Listening`].
    pub(crate) inbound: bool,
}

impl Own {
    /// From now on we listen there, and nowhere else.
    pub(crate) fn listens(&self, now: Vec<Listening>, sockets: Vec<Listed>) {
        self.listening.store(Arc::new(now));
        self.sockets.store(Arc::new(sockets));
    }
    /// The same as [`Self::is_at`] of a unix socket, by whatever path or link.
    pub(crate) fn is_socket(&self, target: &Path, written: bool) -> bool {
        let sockets = self.sockets.load();
        let mut others = sockets.iter().filter(|ours| !(written && ours.inbound));
        others.any(|ours| ours.path == target || is_one_file(&ours.path, target))
    }
    /// Whether dialling this would reach ourselves. `written`: the endpoint is written so in the configuration.
    pub(crate) fn is_at(&self, target: SocketAddr, written: bool) -> bool {
        self.listening.load().iter().any(|ours| {
            ours.at.port() == target.port()
                && !(written && ours.inbound)
                && meet(ours.at.ip(), target.ip())
        })
    }
}

fn is_one_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    file(one).is_some_and(|one| file(other) == Some(one))
}

/// Whether what is sent to `target` comes to a socket bound to `ours`.
fn meet(ours: IpAddr, target: IpAddr) -> bool {
    let (ours, target) = (ours.to_canonical(), reached(target.to_canonical()));
    let every = ours.is_unspecified() && (ours.is_ipv6() || target.is_ipv4());
    ours == target || every && is_this_machine(target)
}

/// Connecting to the unspecified address connects to loopback.
fn reached(target: IpAddr) -> IpAddr {
    match target {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// Whether an address is one of this machine's (of this network namespace's). The kernel says so: to one of its own it sends
/// from that same address. Nothing is sent; it costs three system calls, at a dial whose port is one of ours.
fn is_this_machine(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Any port will do: it is never sent to.
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip().to_canonical() == ip)
}

/// Whether an address is never where a name of the network may lead.
pub(super) fn is_prohibited(ip: IpAddr) -> bool {
    match led_to(ip) {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.octets()[0] == 0
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unicast_link_local()
                // `::127.0.0.1` and its like: deprecated, and no way to anywhere but through a mistake.
                || ip.segments()[..6] == [0; 6]
        }
    }
}

/// The IPv4 address to which an IPv6 one is only another way: mapped, of NAT64 (RFC 6052 §2.1), of 6to4 (RFC 3056 §2).
fn led_to(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else {
        return ip.to_canonical();
    };
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => four(high, low),
        _ => IpAddr::V6(v6),
    }
}

/// Whether an address hands out credentials of the machine in a cloud and is not link-local: no request may name it. Most
/// metadata services are at 169.254.169.254, where nothing leads.
pub(super) fn is_metadata(ip: IpAddr) -> bool {
    match led_to(ip) {
        IpAddr::V4(ip) => METADATA_V4.contains(&ip),
        // AWS (all of its instance services), Google.
        IpAddr::V6(ip) => {
            ip.segments()[..2] == [0xfd00, 0xec2] || ip.segments()[..2] == [0xfd20, 0xce]
        }
    }
}

/// Alibaba, Azure, Oracle.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn own(at: &str, inbound: bool) -> Own {
        let own = Own::default();
        let listening = Listening {
            at: at.parse().unwrap(),
            inbound,
        };
        own.listens(vec![listening], Vec::new());
        own
    }

    #[test]
    fn a_listener_is_found_at_every_address_that_leads_to_it() {
        let check = |listens: &str, target: &str, found: bool| {
            let seen = own(listens, false).is_at(target.parse().unwrap(), false);
            assert_eq!(seen, found, "{target} with a listener on {listens}");
        };
        check("127.0.0.1:15001", "127.0.0.1:15001", true);
        check("127.0.0.1:15001", "[::ffff:127.0.0.1]:15001", true);
        check("127.0.0.1:15001", "0.0.0.0:15001", true);
        check("127.0.0.1:15001", "127.0.0.1:15002", false);
        check("127.0.0.1:15001", "127.0.0.2:15001", false);
        check("0.0.0.0:15006", "127.0.0.2:15006", true);
        check("0.0.0.0:15006", "[::1]:15006", false);
        check("[::]:15006", "[::1]:15006", true);
        check("[::]:15006", "127.0.0.1:15006", true);
        check("0.0.0.0:15006", "198.51.100.1:15006", false);
    }

    #[test]
    fn a_listener_on_every_interface_is_at_this_machines_own_address() {
        // The address from which this machine would leave; without a network there is none to find.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("198.51.100.1:9").is_err() {
            return;
        }
        let ip = socket.local_addr().unwrap().ip();
        assert!(own("0.0.0.0:15006", false).is_at((ip, 15006).into(), false));
        assert!(!own("0.0.0.0:15006", false).is_at((ip, 15007).into(), false));
    }

    #[test]
    fn only_an_inbound_listener_may_be_written_as_an_endpoint() {
        let target = "127.0.0.1:15006".parse().unwrap();
        assert!(!own("127.0.0.1:15006", true).is_at(target, true));
        assert!(own("127.0.0.1:15006", true).is_at(target, false));
        assert!(own("127.0.0.1:15006", false).is_at(target, true));
    }

    #[test]
    fn a_name_never_leads_home() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::127.0.0.1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::1",
        ] {
            assert!(is_prohibited(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_prohibited(ip.parse().unwrap()), "{ip}");
            assert!(!is_metadata(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn what_hands_out_credentials_of_a_machine_is_known_by_its_address() {
        for ip in [
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
        ] {
            assert!(is_metadata(ip.parse().unwrap()), "{ip}");
        }
    }
}
