//! Where requests go that name no service, on a listener that lets them through (`unknown: passthrough`): in clear text to the
//! host that they name.
//!
//! In: the snapshot in force, a host and a port as a request names them. Out: a [`Service`] that stands for them, with its own
//! connections, which are kept for the next request to the same host and port.
//!
//! 1. Nothing here is written in the configuration, so nothing is dialled that only what is written may lead to: loopback,
//!    link-local and unspecified addresses, our own listeners, and metadata services of clouds (`upstream`, by the address that
//!    would be dialled).
//! 2. At most [`HOSTS_MAX`] hosts are known at a time: what a request can name is without end. Who is forgotten ends with its
//!    last request.

use crate::snapshot::{Service, Snapshot};
use crate::upstream::{How, Upstream};
use crate::whom::Whom;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an app calls in passing is a handful of hosts; a crawler's are not worth their connections.
const HOSTS_MAX: usize = 256;
/// Without a port a request means this one (RFC 9110 §4.2.1).
pub(crate) const PORT: u16 = 80;
/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// The hosts that requests named lately.
#[derive(Default)]
pub(crate) struct Passthrough(Mutex<Known<Arc<Service>>>);

impl Passthrough {
    /// What stands for this host and port; `None`: nothing can be called so.
    pub(crate) fn find(&self, snapshot: &Snapshot, host: &str, port: u16) -> Option<Arc<Service>> {
        if host.len() > HOST_BYTES_MAX || port == 0 {
            return None;
        }
        let whom = Whom::passed(host, port);
        let wanted = snapshot.passed(&whom, host, port);
        let means = snapshot.means();
        let key = (Box::from(host), port);
        let mut known = self.known();
        if let Some(service) = known.get(&key)
            && *service.upstream.config() == wanted
            && Arc::ptr_eq(service.upstream.means(), means)
        {
            return Some(service.clone());
        }
        let upstream = Upstream::new(wanted, How::Passthrough, means.clone());
        let service = Service::passed(whom, upstream);
        known.put(key, service.clone());
        Some(service)
    }
    /// Forgets all of them, unless this snapshot lets anything through.
    pub(crate) fn keep_for(&self, snapshot: &Snapshot) {
        if !snapshot.passes_anything() {
            *self.known() = Known::default();
        }
    }
    fn known(&self) -> MutexGuard<'_, Known<Arc<Service>>> {
        // Nothing that happens under this lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host and a port.
type Key = (Box<str>, u16);

/// What is known of hosts, and when each was asked for: the more, the later.
struct Known<T> {
    hosts: HashMap<Key, (T, u64)>,
    turn: u64,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            turn: 0,
        }
    }
}

impl<T> Known<T> {
    fn get(&mut self, key: &Key) -> Option<&T> {
        self.turn += 1;
        let (value, used) = self.hosts.get_mut(key)?;
        *used = self.turn;
        Some(value)
    }
    /// One more; the one that was asked for longest ago goes for it, where there are as many as may be.
    fn put(&mut self, key: Key, value: T) {
        self.turn += 1;
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&key) {
            let oldest = self.hosts.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.hosts.remove(&key);
            }
        }
        self.hosts.insert(key, (value, self.turn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_name_is_bounded_and_who_is_called_stays() {
        let mut known = Known::default();
        let key = |number: usize| (format!("host-{number}").into_boxed_str(), PORT);
        for number in 0..10 * HOSTS_MAX {
            known.put(key(number), number);
            assert_eq!(known.get(&key(0)), Some(&0), "after {number}");
        }
        assert_eq!(known.hosts.len(), HOSTS_MAX);
        assert_eq!(known.get(&key(1)), None);
    }
}
