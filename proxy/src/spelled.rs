//! How the field names of a message were spelled, on their way from who reads it to who writes it on (HTTP/1).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The names of one head, as `front` reads and writes them. Most heads on a connection are alike: where none has names, as where all are
/// in lower case, nothing is locked.
#[derive(Debug, Default)]
pub(crate) struct Spelled {
    are_there: AtomicBool,
    names: Mutex<Vec<u8>>,
}

impl Spelled {
    /// These are the names from now on; empty: there are none.
    pub(crate) fn put(&self, names: Vec<u8>) {
        if !names.is_empty() || self.are_there() {
            self.are_there.store(!names.is_empty(), Ordering::Relaxed);
            *self.names() = names;
        }
    }
    /// Those of another, which keeps them.
    pub(crate) fn copy(&self, of: &Self) {
        if of.are_there() || self.are_there() {
            self.are_there.store(of.are_there(), Ordering::Relaxed);
            let names = of.names();
            self.names().clone_from(&names);
        }
    }
    /// They are there no more.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        if !self.are_there() {
            return None;
        }
        self.are_there.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *self.names()))
    }
    fn are_there(&self) -> bool {
        // Who puts them and who takes them are in one task, or one has woken the other since.
        self.are_there.load(Ordering::Relaxed)
    }
    fn names(&self) -> MutexGuard<'_, Vec<u8>> {
        // A panic elsewhere leaves it whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
