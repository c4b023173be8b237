//! Which apps are reached only through us, as far as this machine tells.
//!
//! In: what was found at the last look. Out: whether a port is known to be closed to everybody but this machine's processes.
//! Where nobody has looked yet, it is not known.

use arc_swap::ArcSwap;

/// What the last look found. Asking costs a few nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Exposure {
    /// The apps' ports on which nobody listens beyond loopback.
    closed: ArcSwap<Vec<u16>>,
}

impl Exposure {
    /// These ports are closed, and no others.
    pub(crate) fn set_closed(&self, ports: Vec<u16>) {
        self.closed.store(ports.into());
    }
    /// Whether a port is known to be closed.
    pub(crate) fn is_closed(&self, port: u16) -> bool {
        self.closed.load().contains(&port)
    }
}
