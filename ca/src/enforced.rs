//! What the clients who watch say that they enforce, for as long as they are there.
//!
//! In: what each says, over its stream. Out: all of them as they are now. Their word only; nothing here decides.
//!
//! 1. Who leaves is forgotten.  2. No more are taken than [`STREAMS_MAX`].

use config::SpiffeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Streams at a time: some 500 bytes each here, and 20 KB with their connection.
pub(crate) const STREAMS_MAX: usize = 20_000;

/// A client that watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Whom its certificate names.
    pub id: SpiffeId,
    /// Which instance it says it is; empty until it says so.
    pub instance: String,
    /// The sequence of the statement whose roots it trusts; 0 until it says so.
    pub statement_sequence: u64,
    /// What it said that it cannot enforce.
    pub unsupported: Vec<String>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Enforced(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    next: u64,
    streams: HashMap<u64, Watching>,
}

/// One stream's place; what it said is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Enforced,
    number: u64,
}

impl Enforced {
    /// A place for one more, or none.
    pub(crate) fn enter(&self, id: SpiffeId) -> Option<Place> {
        let mut all = self.all();
        if all.streams.len() >= STREAMS_MAX {
            return None;
        }
        let number = all.next;
        all.next += 1;
        let watching = Watching {
            id,
            instance: String::new(),
            statement_sequence: 0,
            unsupported: Vec::new(),
        };
        all.streams.insert(number, watching);
        drop(all);
        Some(Place {
            all: self.clone(),
            number,
        })
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
    pub(crate) fn says(&self, change: impl FnOnce(&mut Watching)) {
        if let Some(watching) = self.all.all().streams.get_mut(&self.number) {
            change(watching);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.all().streams.remove(&self.number);
    }
}
