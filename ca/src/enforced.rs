//! What the clients who watch say that they enforce, for as long as they are there.
//!
//! In: what each says, over its stream. Out: all of them as they are now. Their word only; nothing here decides.
//!
//! 1. Who leaves is forgotten.  2. No more are taken than [`STREAMS_MAX`], and of one identity than [`STREAMS_OF_ONE_MAX`]:
//!    a workload gone wrong cannot keep out all the others.

use api::ca_v1::WatchRequest;
use config::SpiffeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Streams at a time: some 500 bytes each here, and 20 KB with their connection.
pub(crate) const STREAMS_MAX: usize = 20_000;

/// Streams of one identity at a time, whatever its replicas.
const STREAMS_OF_ONE_MAX: usize = STREAMS_MAX / 4;

/// A client that watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Whom its certificate names.
    pub id: SpiffeId,
    /// Which instance it says it is; empty until it says so.
    pub instance: String,
    /// The sequence of the statement whose roots it trusts; 0 until it says so.
    pub statement_sequence: u64,
    /// The epoch of the revocations that it refuses; 0 until it says so.
    pub revocation_epoch: u64,
    /// What it said that it cannot enforce.
    pub unsupported: Vec<String>,
    /// The serial of the certificate that it serves with, big-endian; empty until it says so.
    pub leaf_serial: Vec<u8>,
    /// What it said that it can enforce.
    pub capabilities: Vec<String>,
    /// SHA-256 of the policy that it decides by, if it said that it has one.
    pub policy_hash: Option<[u8; 32]>,
}

impl Watching {
    /// A message is within the bounds of the API, so what is kept of it is bounded: 4 KB.
    fn says(&mut self, message: WatchRequest) {
        self.instance = message.instance;
        self.leaf_serial = message.leaf_serial;
        self.capabilities = message.capabilities;
        self.policy_hash = message.policy_hash.try_into().ok();
        if let Some(enforced) = message.enforced {
            self.statement_sequence = enforced.statement_sequence;
            self.revocation_epoch = enforced.revocation_epoch;
            let unsupported = enforced.unsupported.into_iter().map(|one| one.what);
            self.unsupported = unsupported.collect();
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Enforced(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    next: u64,
    streams: HashMap<u64, Watching>,
    of: HashMap<SpiffeId, usize>,
}

/// One stream's place; what it said is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Enforced,
    number: u64,
    id: SpiffeId,
}

impl Enforced {
    /// A place for one more, or none.
    pub(crate) fn enter(&self, id: SpiffeId) -> Option<Place> {
        let mut all = self.all();
        let of = all.of.get(&id).copied().unwrap_or(0);
        if all.streams.len() >= STREAMS_MAX || of >= STREAMS_OF_ONE_MAX {
            return None;
        }
        all.of.insert(id.clone(), of + 1);
        let number = all.next;
        all.next += 1;
        let watching = Watching {
            id: id.clone(),
            instance: String::new(),
            statement_sequence: 0,
            revocation_epoch: 0,
            unsupported: Vec::new(),
            leaf_serial: Vec::new(),
            capabilities: Vec::new(),
            policy_hash: None,
        };
        all.streams.insert(number, watching);
        drop(all);
        Some(Place {
            all: self.clone(),
            number,
            id,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all().streams.len()
    }

    /// Everybody, in no order.
    pub(crate) fn list(&self) -> Vec<Watching> {
        self.all().streams.values().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes what the client says in place of what it said before.
    pub(crate) fn says(&self, message: WatchRequest) {
        if let Some(watching) = self.all.all().streams.get_mut(&self.number) {
            watching.says(message);
        }
    }

    /// Whom the certificate of the stream names.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.all();
        all.streams.remove(&self.number);
        match all.of.get_mut(&self.id) {
            Some(of) if *of > 1 => *of -= 1,
            _ => drop(all.of.remove(&self.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_identity_cannot_take_every_place_and_who_leaves_gives_its_own_back() {
        let id = |path: &str| SpiffeId::parse(&format!("spiffe://shop.example{path}")).unwrap();
        let all = Enforced::default();
        let mut places: Vec<_> = (0..STREAMS_OF_ONE_MAX)
            .map(|_| all.enter(id("/orders")).unwrap())
            .collect();

        assert!(all.enter(id("/orders")).is_none());
        assert!(all.enter(id("/ledger")).is_some());
        places.pop();
        assert!(all.enter(id("/orders")).is_some());
        assert_eq!(all.len(), STREAMS_OF_ONE_MAX - 1);
    }
}
