//! What there is to listen for, as a configuration has it.
//!
//! 1. Two descriptions of one address and use are one listener: a name alone makes no other.

use crate::upstream;
use crate::which::{Described, Which, is_any_port};
use config::Address;
use config::sidecar::Sidecar;
use std::path::PathBuf;
use telemetry::Direction;

/// What a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Description {
    /// From the network to the app.
    Inbound(Which),
    /// From the app to the network.
    Outbound(Which),
    /// `/metrics`.
    Metrics(Address),
    /// `/started`, `/ready`, `/live`.
    Health(Address),
    /// The admin pages.
    Admin(Address),
    /// The admin socket.
    AdminSocket(PathBuf),
}

impl Description {
    /// Everything that a configuration asks for.
    pub(crate) fn all(config: &Sidecar) -> Vec<Self> {
        let inbound = config.inbound.iter().map(|it| Self::Inbound(it.which()));
        let outbound = config.outbound.iter();
        let outbound = outbound.map(|it| Self::Outbound(it.which()));
        let pages = [
            Self::Metrics(config.metrics.clone()),
            Self::Health(config.health.clone()),
            Self::Admin(config.admin.listen.clone()),
        ];
        let socket = config
            .admin
            .socket
            .iter()
            .map(|path| Self::AdminSocket(path.clone()));
        inbound.chain(outbound).chain(pages).chain(socket).collect()
    }
    /// Whether both are one listener, of which one may have another name.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inbound(one), Self::Inbound(two)) => one.is_same(two),
            (Self::Outbound(one), Self::Outbound(two)) => one.is_same(two),
            _ => self == other,
        }
    }
    /// Whether both listen at one address, whatever for.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        // Port 0 is another port every time.
        let address = self.address().filter(|address| !is_any_port(address));
        address.is_some() && address == other.address()
    }
    /// Its name in logs.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Inbound(which) | Self::Outbound(which) => &which.name,
            Self::Metrics(_) => "metrics",
            Self::Health(_) => "health",
            Self::Admin(_) => "admin",
            Self::AdminSocket(_) => "admin socket",
        }
    }
    /// Which way it looks; `None`: it carries no traffic.
    pub(crate) fn direction(&self) -> Option<Direction> {
        match self {
            Self::Inbound(..) => Some(Direction::Inbound),
            Self::Outbound(..) => Some(Direction::Outbound),
            Self::Metrics(_) | Self::Health(_) | Self::Admin(_) | Self::AdminSocket(_) => None,
        }
    }
    /// Whether it does.
    pub(crate) fn carries_traffic(&self) -> bool {
        self.direction().is_some()
    }
    /// Where it is on a unix socket, if it is.
    pub(crate) fn socket(&self) -> Option<upstream::Listed> {
        let path = match (self, self.address()) {
            (Self::AdminSocket(path), _) | (_, Some(Address::Unix(path))) => path.clone(),
            _ => return None,
        };
        let inbound = matches!(self, Self::Inbound(..));
        Some(upstream::Listed { path, inbound })
    }
    /// Where it listens, unless that is nobody else's business.
    pub(crate) fn address(&self) -> Option<&Address> {
        match self {
            Self::Inbound(which) | Self::Outbound(which) => Some(&which.listen),
            Self::Metrics(address) | Self::Health(address) | Self::Admin(address) => Some(address),
            Self::AdminSocket(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use config::sidecar::Protocol::{Http, Tcp};

    #[test]
    fn a_name_makes_no_other_listener_but_a_use_does() {
        let at = |text: &str| Address::parse(text).unwrap();
        let web = |name: &str, listen: &str, protocol| Which::new(name, &at(listen), protocol);
        let inbound = Description::Inbound(web("web", "0.0.0.0:1", Http));
        for (other, same, there) in [
            (
                Description::Inbound(web("api", "0.0.0.0:1", Http)),
                true,
                true,
            ),
            (
                Description::Inbound(web("web", "0.0.0.0:1", Tcp)),
                false,
                true,
            ),
            (
                Description::Outbound(web("web", "0.0.0.0:1", Http)),
                false,
                true,
            ),
            (Description::Health(at("0.0.0.0:1")), false, true),
            (Description::Health(at("0.0.0.0:2")), false, false),
            (Description::AdminSocket("/a".into()), false, false),
        ] {
            let seen = (inbound.is_same(&other), inbound.is_where(&other));
            assert_eq!(seen, (same, there), "{other:?}");
        }
        let free = Description::Health(at("0.0.0.0:0"));
        assert!(free.is_same(&free) && !free.is_where(&free));
    }
}
