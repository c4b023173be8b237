//! Which listener a connection is of, whatever that is called by now.
//!
//! 1. A listener is its address and its protocol: what is open there stays open when a reload gives it another name.
//! 2. Port 0 is another port every time: there, and where nobody is at its address any more, a listener is its name.

use config::Address;
use config::sidecar::{Inbound, Outbound, Protocol};
use std::sync::Arc;

/// A listener, as it was when somebody came to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    /// What it was called then.
    pub(crate) name: Arc<str>,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
    /// Where it listens.
    pub(crate) listen: Address,
}

impl Which {
    /// A listener of this name, address and protocol.
    pub(crate) fn new(name: &str, listen: &Address, protocol: Protocol) -> Self {
        Self {
            name: name.into(),
            protocol,
            listen: listen.clone(),
        }
    }
    /// Whether both are one listener, of which one may have another name.
    pub(crate) fn is_same(&self, other: &impl Described) -> bool {
        let (name, listen, protocol) = other.parts();
        let named = *self.name == *name || !is_any_port(&self.listen);
        named && self.protocol == protocol && self.listen == *listen
    }
    /// Where it is among these. Allocates nothing.
    pub(crate) fn among<L: Described>(&self, all: &[L]) -> Option<usize> {
        let here = all.iter().position(|it| self.is_same(it));
        let is_named = |it: &L| {
            let (name, _, protocol) = it.parts();
            *self.name == *name && self.protocol == protocol
        };
        here.or_else(|| all.iter().position(is_named))
    }
}

/// Whether the kernel chooses.
pub(crate) fn is_any_port(address: &Address) -> bool {
    matches!(address, Address::Tcp { port: 0, .. })
}

/// A listener that is described somewhere.
pub(crate) trait Described {
    /// Its name, its address and what is spoken there.
    fn parts(&self) -> (&str, &Address, Protocol);
    /// Which one.
    fn which(&self) -> Which {
        let (name, listen, protocol) = self.parts();
        Which::new(name, listen, protocol)
    }
}

impl Described for Inbound {
    fn parts(&self) -> (&str, &Address, Protocol) {
        (&self.name, &self.listen, self.protocol)
    }
}

impl Described for Outbound {
    fn parts(&self) -> (&str, &Address, Protocol) {
        (&self.name, &self.listen, self.protocol)
    }
}

impl Described for Which {
    fn parts(&self) -> (&str, &Address, Protocol) {
        (&self.name, &self.listen, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn which(text: &str) -> Which {
        let (name, at) = text.split_once(' ').unwrap();
        let protocol = match name.starts_with("tcp") {
            true => Protocol::Tcp,
            false => Protocol::Http,
        };
        Which::new(name, &Address::parse(at).unwrap(), protocol)
    }

    #[test]
    fn a_listener_is_found_at_its_address_and_else_by_its_name() {
        for (was, now, found) in [
            ("web 0.0.0.0:1", &["web 0.0.0.0:1"][..], Some(0)),
            ("web 0.0.0.0:1", &["api 0.0.0.0:1"], Some(0)),
            (
                "web 0.0.0.0:1",
                &["web 0.0.0.0:2", "api 0.0.0.0:1"],
                Some(1),
            ),
            ("web 0.0.0.0:1", &["web 0.0.0.0:2"], Some(0)),
            ("web 0.0.0.0:1", &["tcp 0.0.0.0:1"], None),
            ("web 0.0.0.0:0", &["api 0.0.0.0:0"], None),
            (
                "web 0.0.0.0:0",
                &["api 0.0.0.0:0", "web 0.0.0.0:0"],
                Some(1),
            ),
            ("web unix:/a", &["web unix:/b", "api unix:/a"], Some(1)),
        ] {
            let now: Vec<_> = now.iter().map(|text| which(text)).collect();
            assert_eq!(which(was).among(&now), found, "{was} {now:?}");
        }
    }
}
